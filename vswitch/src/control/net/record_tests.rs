use super::*;
use crate::control::net::Class;

fn bridge() -> NetworkRecord {
    NetworkRecord::default_bridge("0123456789abcdef".repeat(4), 7)
}

fn custom(options: &[(&str, &str)]) -> NetworkRecord {
    let options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    NetworkRecord { name: "web".into(), options, ..bridge() }
}

#[test]
fn the_default_bridge_is_dockers() {
    let record = bridge();
    assert_eq!((record.bridge_name().as_str(), record.mtu()), ("docker0", 1500));
    assert!(record.icc() && record.masquerade() && !record.inhibit_ipv4());
    assert_eq!(record.host_binding(), IpAddr::from([0, 0, 0, 0]));
    let v4 = record.v4().unwrap();
    assert_eq!(v4.default_gateway(), Some(IpAddr::from([172, 17, 0, 1])));
    assert_eq!(v4.pool().unwrap().allocate(), Ok(IpAddr::from([172, 17, 0, 2])));
    assert!(record.v6().is_none() && record.is_predefined() && record.has_addresses());
    assert_eq!(record.scope().as_str(), "local");
}

#[test]
fn host_and_none_have_no_addresses() {
    for record in [NetworkRecord::host(String::new(), 0), NetworkRecord::none(String::new(), 0)] {
        assert!(record.is_predefined() && !record.has_addresses(), "{}", record.name);
        assert!(record.active().next().is_none() && record.options.is_empty());
    }
    assert_eq!(NetworkRecord::none(String::new(), 0).driver, "null");
    assert!(is_predefined_name("default") && !is_predefined_name("web"));
}

#[test]
fn what_no_option_says_is_the_default() {
    let record = custom(&[]);
    assert_eq!(record.bridge_name(), "br-0123456789ab");
    assert_eq!(record.interface_prefix(), "eth");
    assert!(record.icc() && record.masquerade());
    assert_eq!((record.mtu(), record.outbound_address()), (1500, None));
    assert_eq!(custom(&[(options::MTU, "0"), (options::BRIDGE_NAME, "")]).mtu(), 1500);
    assert_eq!(custom(&[(options::BRIDGE_NAME, "")]).bridge_name(), "br-0123456789ab");
}

#[test]
fn options_say_how_the_network_is() {
    let record = custom(&[
        (options::MTU, "9000"),
        (options::ENABLE_ICC, "F"),
        (options::ENABLE_MASQUERADE, "0"),
        (options::INHIBIT_IPV4, "1"),
        (options::HOST_BINDING, "127.0.0.1"),
        (options::HOST_IPV4, "192.0.2.7"),
        (options::BRIDGE_NAME, "br0"),
        (options::INTERFACE_PREFIX, "net"),
    ]);
    assert_eq!((record.mtu(), record.icc(), record.masquerade()), (9000, false, false));
    assert!(record.inhibit_ipv4());
    assert_eq!(record.host_binding(), IpAddr::from([127, 0, 0, 1]));
    assert_eq!(record.outbound_address(), Some(IpAddr::from([192, 0, 2, 7])));
    assert_eq!((record.bridge_name().as_str(), record.interface_prefix()), ("br0", "net"));
}

#[test]
fn an_auxiliary_address_can_be_the_way_out_and_no_address_is_reserved_twice() {
    let mut config = bridge().ipam.config.remove(0);
    config.aux.insert("DefaultGatewayIPv4".into(), IpAddr::from([172, 17, 0, 254]));
    assert_eq!(config.default_gateway(), Some(IpAddr::from([172, 17, 0, 254])));
    assert_eq!(config.pool().unwrap().len(), 2);
    config.aux.insert("again".into(), IpAddr::from([172, 17, 0, 1]));
    assert_eq!(config.pool().unwrap_err(), PoolError::Taken);
}

#[test]
fn an_ipv6_subnet_is_used_only_where_ipv6_is_enabled() {
    let mut record = custom(&[]);
    record.ipam.config.push(IpamConfig {
        subnet: "fd00:1::/64".parse().unwrap(),
        ip_range: None,
        gateway: None,
        aux: BTreeMap::new(),
    });
    assert!(record.v6().is_none() && record.v4().is_some());
    record.enable_ipv6 = true;
    assert!(record.v6().is_some());
    record.config_only = true;
    assert!(record.v4().is_none() && record.v6().is_none());
}

#[test]
fn each_ipv4_subnet_of_a_network_of_several_hosts_is_a_segment() {
    let config = |subnet: &str, gateway: &str| IpamConfig {
        subnet: subnet.parse().unwrap(),
        ip_range: None,
        gateway: gateway.parse().ok(),
        aux: BTreeMap::new(),
    };
    let mut record = custom(&[]);
    record.ipam.config = vec![
        config("10.1.0.0/24", "10.1.0.1"),
        config("10.2.0.0/24", "10.2.0.9"),
        config("fd00:1::/64", "fd00:1::1"),
        config("fd00:2::/64", "fd00:2::1"),
    ];
    record.enable_ipv6 = true;
    let shown = |record: &NetworkRecord| -> Vec<String> {
        let segments = record.segments().into_iter();
        segments.map(|s| s.iter().map(|c| c.subnet.to_string()).collect::<Vec<_>>().join(" ")).collect()
    };
    assert_eq!(shown(&record).len(), 1, "one host, one segment");
    let addresses: [IpAddr; 2] = ["10.2.0.3".parse().unwrap(), "fd00:2::3".parse().unwrap()];
    assert!(record.routes_of(&addresses).is_empty());
    record.driver = "overlay".into();
    assert_eq!(shown(&record), ["10.1.0.0/24 fd00:1::/64", "10.2.0.0/24 fd00:2::/64"]);
    let routes = record.routes_of(&addresses);
    let routes: Vec<String> = routes.iter().map(|(to, via)| format!("{to} via {via}")).collect();
    assert_eq!(routes, ["10.1.0.0/24 via 10.2.0.9", "fd00:1::/64 via fd00:2::1"]);
    assert_eq!(record.routes_of(&addresses[..1]).len(), 1, "an endpoint without IPv6 routes none");
    assert_eq!(
        (record.bridge_name_of(0), record.bridge_name_of(1)),
        (record.bridge_name(), format!("{}.1", record.bridge_name()))
    );
}

#[test]
fn an_endpoint_is_refused_an_address_in_dockers_words() {
    let record = NetworkRecord { id: "1f".into(), ..custom(&[]) };
    let wanted = Some(IpAddr::from([10, 0, 0, 1]));
    for (wanted, error, class, sentence) in [
        (
            wanted,
            PoolError::Outside,
            Class::Invalid,
            "Invalid address 10.0.0.1: It does not belong to any of this network's subnets",
        ),
        (wanted, PoolError::Taken, Class::Forbidden, "Address already in use"),
        (
            None,
            PoolError::Exhausted,
            Class::Conflict,
            "no available IPv4 addresses on this network's address pools: web (1f)",
        ),
    ] {
        let refused = record.refused(4, wanted, error);
        assert_eq!((refused.class(), refused.to_string().as_str()), (class, sentence));
    }
}

#[test]
fn a_record_comes_back_from_the_store_as_it_went() {
    let mut record = custom(&[(options::MTU, "1400")]);
    record.created = u64::MAX;
    record.ipam.options = Some(BTreeMap::new());
    record.ipam.config[0].ip_range = Some("172.17.5.0/24".parse().unwrap());
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<NetworkRecord>(&text).unwrap(), record);
}
