use proptest::prelude::*;

use super::*;

/// Texts that may be addresses, subnets, names and options, and some that may not.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "web",
            "bridge",
            "host",
            "null",
            "default",
            "overlay",
            "local",
            "swarm",
            "",
            "conf",
            "172.17.0.0/16",
            "10.0.0.0/8",
            "10.0.0.1",
            "10.255.255.255",
            "0.0.0.0/0",
            "255.255.255.255/32",
            "fd00::/64",
            "fd00::1",
            "::/0",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
            "::ffff:1.2.3.4",
            "true",
            "1500",
            "-1",
            "99999999999999999999",
            "com.docker.network.driver.mtu",
            "com.docker.network.bridge.enable_icc",
            "com.docker.network.bridge.name",
            "DefaultGatewayIPv4",
        ])
        .prop_map(str::to_owned),
        "[0-9a-f.:/]{0,20}",
        any::<String>(),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        let key = prop_oneof![
            prop::sample::select(vec![
                "Name",
                "Driver",
                "Scope",
                "EnableIPv6",
                "IPAM",
                "Config",
                "Subnet",
                "IPRange",
                "Gateway",
                "AuxiliaryAddresses",
                "AuxAddress",
                "Options",
                "Labels",
                "ConfigOnly",
                "ConfigFrom",
                "Network",
            ])
            .prop_map(str::to_owned),
            text(),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

fn texts_by_name() -> impl Strategy<Value = BTreeMap<String, String>> {
    prop::collection::btree_map(text(), text(), 0..3)
}

/// A request of the right types, whose texts are anything.
fn request() -> impl Strategy<Value = NetworkCreateRequest> {
    let config = (text(), text(), text(), texts_by_name()).prop_map(|(subnet, ip_range, gateway, aux)| {
        IpamConfigRequest { subnet, ip_range, gateway, auxiliary_addresses: aux, ..Default::default() }
    });
    let ipam = (text(), prop::collection::vec(config, 0..4)).prop_map(|(driver, config)| IpamRequest {
        driver,
        options: None,
        config,
    });
    let words = (text(), text(), text(), prop::option::of(ipam));
    (words, any::<[bool; 5]>(), texts_by_name(), texts_by_name()).prop_map(
        |((name, driver, scope, ipam), flags, options, labels)| NetworkCreateRequest {
            name,
            driver,
            scope,
            ipam,
            enable_ipv6: flags[0],
            internal: flags[1],
            attachable: flags[2],
            ingress: flags[3],
            config_only: flags[4],
            options,
            labels,
            ..Default::default()
        },
    )
}

proptest! {
    #[test]
    fn no_json_makes_it_panic(body in value()) {
        let _ = make(&body);
    }

    #[test]
    fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = NetworkCreateRequest::parse(&body);
    }

    #[test]
    fn what_is_made_can_be_used(request in request(), routes in prop::collection::vec(any::<u32>(), 0..4)) {
        let bridge = NetworkRecord::default_bridge(id('0'), 1);
        let host_routes: Vec<IpNet> = routes
            .into_iter()
            .map(|a| IpNet::new_assert(std::net::Ipv4Addr::from(a).into(), 12).trunc())
            .collect();
        let around = Surroundings { networks: &[&bridge], host_routes: &host_routes, last_pool: None };
        if let Ok(record) = create(request, id('a'), 5, &around) {
            prop_assert!(is_valid_name(&record.name) && !record.is_predefined());
            prop_assert_eq!(record.v4().is_some(), record.has_addresses());
            for config in record.active() {
                prop_assert!(config.gateway.is_some() && config.pool().is_ok());
                prop_assert!(!subnets::overlap(config.subnet, bridge.ipam.config[0].subnet));
            }
        }
    }

    /// Networks come and go; no two of them ever share an address.
    #[test]
    fn networks_never_overlap(
        steps in prop::collection::vec((any::<bool>(), 0usize..40, prop::option::of((16u8..20, 8u8..28))), 1..60),
    ) {
        let mut networks = vec![NetworkRecord::default_bridge(id('0'), 1)];
        let mut last_pool = None;
        for (n, (remove, which, subnet)) in steps.into_iter().enumerate() {
            if remove && networks.len() > 1 {
                networks.remove(1 + which % (networks.len() - 1));
                continue;
            }
            let config = subnet.map(|(b, len)| json!({"Subnet": format!("172.{b}.0.0/{len}")}));
            let body = json!({"Name": format!("n{n}"), "IPAM": {"Config": Vec::from_iter(config.clone())}});
            let request = NetworkCreateRequest::parse(body.to_string().as_bytes()).unwrap();
            let references: Vec<&NetworkRecord> = networks.iter().collect();
            let around = Surroundings { networks: &references, host_routes: &[], last_pool };
            if let Ok(record) = create(request, format!("{n:064x}"), 5, &around) {
                if config.is_none() && let IpNet::V4(pool) = record.ipam.config[0].subnet {
                    last_pool = Some(pool);
                }
                networks.push(record);
            }
            for (i, a) in networks.iter().enumerate() {
                for b in &networks[..i] {
                    prop_assert!(!subnets::overlap(a.ipam.config[0].subnet, b.ipam.config[0].subnet));
                }
            }
        }
    }
}
