use serde_json::{Value, json};

use super::*;
use crate::control::net::Class;

fn id(digit: char) -> String {
    digit.to_string().repeat(64)
}

fn attempt(body: &Value, networks: &[&NetworkRecord], routes: &[&str]) -> Result<NetworkRecord, NetError> {
    let request = NetworkCreateRequest::parse(body.to_string().as_bytes())?;
    let host_routes: Vec<IpNet> = routes.iter().map(|r| r.parse().unwrap()).collect();
    let around = Surroundings { networks, host_routes: &host_routes, last_pool: None };
    create(request, id('a'), 5, &around)
}

/// On a host with the predefined networks.
fn make(body: &Value) -> Result<NetworkRecord, NetError> {
    let bridge = NetworkRecord::default_bridge(id('0'), 1);
    let host = NetworkRecord::host(id('1'), 1);
    let none = NetworkRecord::none(id('2'), 1);
    attempt(body, &[&bridge, &host, &none], &[])
}

fn refusal(body: &Value) -> (Class, String) {
    let error = make(body).unwrap_err();
    (error.class(), error.to_string())
}

fn with_config(config: &Value) -> Value {
    json!({"Name": "web", "IPAM": {"Config": [config]}})
}

fn addresses(config: &Value) -> IpamConfig {
    make(&with_config(config)).unwrap().ipam.config.remove(0)
}

fn texts(record: &NetworkRecord) -> Vec<(String, String)> {
    let gateway = |c: &IpamConfig| c.gateway.map(|g| g.to_string()).unwrap_or_default();
    record.ipam.config.iter().map(|c| (c.subnet.to_string(), gateway(c))).collect()
}

fn pair(subnet: &str, gateway: &str) -> (String, String) {
    (subnet.into(), gateway.into())
}

#[test]
fn a_name_alone_makes_a_bridge_network_on_the_next_pool() {
    let record = make(&json!({"Name": "my-bridge"})).unwrap();
    assert_eq!((record.name.as_str(), record.driver.as_str(), record.created), ("my-bridge", "bridge", 5));
    assert_eq!(texts(&record), [pair("172.18.0.0/16", "172.18.0.1")]);
    assert_eq!((record.ipam.driver.as_str(), &record.ipam.options), ("default", &None));
    assert!(record.options.is_empty() && record.labels.is_empty());
    assert_eq!(record.bridge_name(), "br-aaaaaaaaaaaa");
}

#[test]
fn what_dockers_client_sends_is_understood() {
    let record = make(&json!({
        "CheckDuplicate": true, "Driver": "bridge", "Scope": "", "EnableIPv6": false,
        "IPAM": {"Driver": "default", "Options": {}, "Config": []},
        "Internal": true, "Attachable": true, "Ingress": false, "ConfigOnly": false, "ConfigFrom": null,
        "Options": {"com.docker.network.driver.mtu": "1400", "x": "y"}, "Labels": {"a": "b"},
        "Name": "n", "SomethingNew": [1, 2],
    }))
    .unwrap();
    assert!(record.internal && record.attachable && !record.ingress && !record.enable_ipv6);
    assert_eq!((record.mtu(), record.labels["a"].as_str()), (1400, "b"));
    assert_eq!(record.ipam.options, Some(BTreeMap::new()));
    assert_eq!(record.options.len(), 2);
}

#[test]
fn null_is_what_is_left_out() {
    let record = make(&json!({
        "Name": "n", "Driver": null, "Options": null, "Labels": null, "Internal": null,
        "IPAM": {"Driver": null, "Options": null, "Config": null}, "EnableIPv6": null, "Scope": null,
    }));
    assert_eq!(record, make(&json!({"Name": "n"})));
    let config =
        json!({"Subnet": "10.1.0.0/16", "IPRange": null, "Gateway": null, "AuxiliaryAddresses": null});
    assert_eq!(addresses(&config), addresses(&json!({"Subnet": "10.1.0.0/16"})));
}

#[test]
fn subnet_gateway_range_and_auxiliary_addresses_are_as_asked_for() {
    let config = addresses(&json!({
        "Subnet": "10.1.0.0/16", "IPRange": "10.1.5.0/24", "Gateway": "10.1.0.254",
        "AuxiliaryAddresses": {"router": "10.1.0.7"}, "AuxAddress": {"printer": "10.1.5.0"},
    }));
    assert_eq!(config.gateway, Some(IpAddr::from([10, 1, 0, 254])));
    assert_eq!(config.ip_range, "10.1.5.0/24".parse().ok());
    assert_eq!(config.aux["router"], IpAddr::from([10, 1, 0, 7]));
    assert_eq!(
        config.pool().unwrap().allocate(),
        Ok(IpAddr::from([10, 1, 5, 1])),
        "10.1.5.0 is the printer's"
    );
}

#[test]
fn a_gateway_nobody_asked_for_is_the_first_free_address_inside_the_range() {
    assert_eq!(addresses(&json!({"Subnet": "10.1.0.0/16"})).gateway, Some(IpAddr::from([10, 1, 0, 1])));
    let config = json!({"Subnet": "10.1.0.0/16", "IPRange": "10.1.5.0/24"});
    assert_eq!(addresses(&config).gateway, Some(IpAddr::from([10, 1, 5, 0])));
}

#[test]
fn a_subnet_with_host_bits_is_the_subnet_of_that_address() {
    let config = addresses(&json!({"Subnet": "10.1.2.3/16", "IPRange": "10.1.5.9/24"}));
    assert_eq!(
        (config.subnet, config.ip_range),
        ("10.1.0.0/16".parse().unwrap(), "10.1.5.0/24".parse().ok())
    );
}

#[test]
fn ipv6_needs_a_subnet_and_its_gateway_is_the_first_address() {
    let record = make(&json!({
        "Name": "six", "EnableIPv6": true, "IPAM": {"Config": [{"Subnet": "2001:db8:1::/64"}]},
    }))
    .unwrap();
    let expected = [pair("172.18.0.0/16", "172.18.0.1"), pair("2001:db8:1::/64", "2001:db8:1::1")];
    assert_eq!(texts(&record), expected, "IPv4 is chosen, and listed first");
    assert!(record.v4().is_some() && record.v6().is_some());
    assert_eq!(
        refusal(&json!({"Name": "six", "EnableIPv6": true})),
        (
            Class::NotFound,
            "could not find an available, non-overlapping IPv6 address pool among the defaults to assign to the \
             network"
                .into()
        )
    );
}

#[test]
fn an_ipv6_subnet_without_ipv6_is_shown_and_not_used() {
    let record = make(&with_config(&json!({"Subnet": "2001:db8:1::/64"}))).unwrap();
    assert_eq!(texts(&record), [pair("172.18.0.0/16", "172.18.0.1"), pair("2001:db8:1::/64", "")]);
    assert!(record.v6().is_none());
}

#[test]
fn bodies_that_are_no_request_are_refused() {
    for (body, start) in [
        ("", "got EOF while reading request body"),
        (" \n", "got EOF while reading request body"),
        ("{", "EOF while parsing"),
        ("[]", "invalid type: sequence"),
        ("{\"IPAM\": []}", "invalid type: sequence"),
        ("{\"IPAM\": {\"Config\": [[]]}}", "invalid type: sequence"),
        ("{\"Name\": 3}", "invalid type: integer"),
        ("{\"Options\": {\"a\": 1}}", "invalid type: integer"),
        ("{\"IPAM\": {\"Config\": {}}}", "invalid type: map"),
        ("\u{1}", "expected value"),
    ] {
        let error = NetworkCreateRequest::parse(body.as_bytes()).unwrap_err();
        assert_eq!(error.class(), Class::Invalid);
        assert!(error.to_string().starts_with(start), "{body}: {error}");
    }
}

#[test]
fn names_are_refused_in_dockers_words() {
    for name in ["bridge", "host", "none", "default"] {
        let sentence = format!("operation is not permitted on predefined {name} network");
        assert_eq!(refusal(&json!({"Name": name})), (Class::Forbidden, sentence));
    }
    for name in ["", " ", "a b", "-a", "a/b", "ä", "a\n", &"x".repeat(256)] {
        assert_eq!(refusal(&json!({"Name": name})), (Class::Invalid, format!("invalid name: {name}")));
    }
    let web = make(&json!({"Name": "web"})).unwrap();
    let error = attempt(&json!({"Name": "web"}), &[&web], &[]).unwrap_err();
    assert_eq!(error.to_string(), "network with name web already exists");
    assert_eq!(error.class(), Class::Conflict);
}

#[test]
fn drivers_and_scopes_that_are_not_there_are_refused_in_dockers_words() {
    for (body, class, sentence) in [
        (json!({"Driver": "foo"}), Class::NotFound, "plugin \"foo\" not found"),
        (json!({"Driver": "host"}), Class::Forbidden, "only one instance of \"host\" network is allowed"),
        (json!({"Driver": "null"}), Class::Forbidden, "only one instance of \"null\" network is allowed"),
        (json!({"IPAM": {"Driver": "dhcp"}}), Class::NotFound, "plugin \"dhcp\" not found"),
        (json!({"IPAM": {"Driver": "null"}}), Class::Invalid, "ipv4 pool is empty"),
        (json!({"Ingress": true}), Class::Forbidden, "Ingress network can only be global scope network"),
        (
            json!({"Scope": "swarm"}),
            Class::Forbidden,
            "cannot create a swarm scoped network when swarm is not active",
        ),
        (json!({"Scope": "x"}), Class::Invalid, "datastore for scope \"x\" is not initialized"),
    ] {
        let mut body = body;
        body["Name"] = json!("web");
        assert_eq!(refusal(&body), (class, sentence.to_owned()), "{body}");
    }
    assert!(make(&json!({"Name": "web", "Scope": "local"})).is_ok());
}

#[test]
fn subnets_that_cannot_be_are_refused_in_dockers_words() {
    for (config, class, sentence) in [
        (
            json!({"Subnet": "10.0.0.0/33"}),
            Class::Invalid,
            "Invalid subnet 10.0.0.0/33 : invalid CIDR address: 10.0.0.0/33",
        ),
        (
            json!({"Subnet": "10.0.0.0"}),
            Class::Invalid,
            "Invalid subnet 10.0.0.0 : invalid CIDR address: 10.0.0.0",
        ),
        (json!({}), Class::Invalid, "Invalid subnet  : invalid CIDR address: "),
        (
            json!({"Subnet": "::ffff:10.0.0.0/120"}),
            Class::Invalid,
            "Invalid subnet ::ffff:10.0.0.0/120 : invalid CIDR address: ::ffff:10.0.0.0/120",
        ),
        (
            json!({"Subnet": "127.0.0.0/16"}),
            Class::Invalid,
            "Invalid subnet 127.0.0.0/16 : loopback and multicast addresses are not for hosts of a network",
        ),
        (
            json!({"Subnet": "0.0.0.0/0"}),
            Class::Forbidden,
            "Pool overlaps with other one on this address space",
        ),
        (
            json!({"Subnet": "172.17.128.0/17"}),
            Class::Forbidden,
            "Pool overlaps with other one on this address space",
        ),
        (
            json!({"Subnet": "172.16.0.0/12"}),
            Class::Forbidden,
            "Pool overlaps with other one on this address space",
        ),
        (
            json!({"Subnet": "10.0.0.0/31"}),
            Class::Invalid,
            "failed to allocate gateway (): No available addresses on this pool",
        ),
    ] {
        assert_eq!(refusal(&with_config(&config)), (class, sentence.to_owned()), "{config}");
    }
    let two =
        json!({"Name": "web", "IPAM": {"Config": [{"Subnet": "10.1.0.0/16"}, {"Subnet": "10.2.0.0/16"}]}});
    assert_eq!(refusal(&two), (Class::Forbidden, "bridge driver doesn't support multiple subnets".into()));
}

#[test]
fn addresses_that_do_not_fit_the_subnet_are_refused_in_dockers_words() {
    for (rest, class, sentence) in [
        (
            json!({"IPRange": "10.1.0.0"}),
            Class::Invalid,
            "failed to parse pool request for address space \"LocalDefault\" pool \"10.1.0.0/16\" subpool \
             \"10.1.0.0\": Invalid Address SubPool",
        ),
        (
            json!({"IPRange": "10.2.0.0/24"}),
            Class::Invalid,
            "invalid ip-range 10.2.0.0/24: parent subnet 10.1.0.0/16 doesn't contain ip-range",
        ),
        (
            json!({"IPRange": "10.0.0.0/8"}),
            Class::Invalid,
            "invalid ip-range 10.0.0.0/8: CIDR block is bigger than its parent subnet 10.1.0.0/16",
        ),
        (
            json!({"IPRange": "fd00::/64"}),
            Class::Invalid,
            "invalid ip-range fd00::/64: parent subnet 10.1.0.0/16 doesn't contain ip-range",
        ),
        (json!({"Gateway": "here"}), Class::Invalid, "invalid gateway address here in Ipam configuration"),
        (
            json!({"Gateway": "1.2.3.4"}),
            Class::Invalid,
            "failed to allocate gateway (1.2.3.4): Requested address is out of range",
        ),
        (
            json!({"Gateway": "10.1.255.255"}),
            Class::Invalid,
            "failed to allocate gateway (10.1.255.255): Address already in use",
        ),
        (
            json!({"AuxiliaryAddresses": {"a": "there"}}),
            Class::Invalid,
            "non parsable secondary ip address (a:there) passed for network web",
        ),
        (
            json!({"AuxiliaryAddresses": {"a": "10.2.0.1"}}),
            Class::Forbidden,
            "auxiliary address: (a:10.2.0.1) must belong to the master pool: 10.1.0.0/16",
        ),
        (
            json!({"AuxiliaryAddresses": {"a": "10.1.0.1"}}),
            Class::Invalid,
            "failed to allocate secondary ip address (a:10.1.0.1): Address already in use",
        ),
        (
            json!({"AuxiliaryAddresses": {"a": "10.1.0.9", "b": "10.1.0.9"}}),
            Class::Invalid,
            "failed to allocate secondary ip address (b:10.1.0.9): Address already in use",
        ),
    ] {
        let mut config = rest;
        config["Subnet"] = json!("10.1.0.0/16");
        assert_eq!(refusal(&with_config(&config)), (class, sentence.to_owned()), "{config}");
    }
}

#[test]
fn options_are_checked_by_the_driver() {
    let option = |key: &str, value: &str| json!({"Name": "web", "Options": {key: value}});
    assert_eq!(
        refusal(&option("com.docker.network.driver.mtu", "x")).1,
        "failed to parse com.docker.network.driver.mtu value: x (strconv.Atoi: parsing \"x\": invalid syntax)"
    );
    let mut small = option("com.docker.network.driver.mtu", "1000");
    assert!(make(&small).is_ok());
    small["EnableIPv6"] = json!(true);
    small["IPAM"] = json!({"Config": [{"Subnet": "fd00::/64"}]});
    assert_eq!(refusal(&small).1, "invalid MTU number: 1000: a network with IPv6 needs at least 1280");
    let (class, sentence) = refusal(&option("com.docker.network.bridge.name", "docker0"));
    assert_eq!(class, Class::Forbidden);
    let zeros = id('0');
    assert!(
        sentence
            .ends_with(&format!("conflicts with network {zeros} (docker0): networks have same bridge name"))
    );
}

#[test]
fn pools_of_networks_and_routes_of_the_host_are_not_chosen_but_may_be_asked_for() {
    let bridge = NetworkRecord::default_bridge(id('0'), 1);
    let chosen = attempt(&json!({"Name": "web"}), &[&bridge], &["172.18.5.0/24", "0.0.0.0/0"]).unwrap();
    assert_eq!(texts(&chosen), [pair("172.19.0.0/16", "172.19.0.1")]);
    let asked = with_config(&json!({"Subnet": "172.18.0.0/16"}));
    assert!(attempt(&asked, &[&bridge], &["172.18.5.0/24"]).is_ok());
    let all = ["172.16.0.0/12", "192.168.0.0/16"];
    assert_eq!(attempt(&json!({"Name": "web"}), &[&bridge], &all), Err(NetError::NoPool(4)));
}

#[test]
fn a_configuration_only_network_holds_no_addresses_and_others_are_made_from_it() {
    let body = json!({
        "Name": "conf", "ConfigOnly": true, "EnableIPv6": true, "Labels": {"a": "b"},
        "Options": {"com.docker.network.driver.mtu": "1400"},
        "IPAM": {"Config": [{"Subnet": "172.17.0.0/16"}, {"Subnet": "fd00::/64", "Gateway": "fd00::9"}]},
    });
    let conf = make(&body).unwrap();
    assert_eq!((conf.driver.as_str(), conf.active().count()), ("null", 0));
    let from = json!({"Name": "web", "ConfigFrom": {"Network": "conf"}});
    let web = attempt(&from, &[&conf], &[]).unwrap();
    assert_eq!(texts(&web), [pair("172.17.0.0/16", "172.17.0.1"), pair("fd00::/64", "fd00::9")]);
    assert_eq!((web.mtu(), web.labels.len(), web.config_from.as_str()), (1400, 1, "conf"));
    let again = json!({"Name": "more", "ConfigFrom": {"Network": "conf"}});
    assert_eq!(attempt(&again, &[&conf, &web], &[]), Err(NetError::PoolOverlap));
}

#[test]
fn configurations_that_contradict_each_other_are_refused_in_dockers_words() {
    let from = json!({"Network": "conf"});
    for (body, class, start) in [
        (
            json!({"ConfigOnly": true, "Internal": true}),
            Class::Forbidden,
            "configuration network can only contain",
        ),
        (
            json!({"ConfigOnly": true, "ConfigFrom": from}),
            Class::Forbidden,
            "a configuration network cannot depend",
        ),
        (json!({"ConfigFrom": from, "EnableIPv6": true}), Class::Forbidden, "user specified configurations"),
        (
            json!({"ConfigFrom": from, "Options": {"a": "b"}}),
            Class::Forbidden,
            "network driver options are not",
        ),
        (json!({"ConfigFrom": from}), Class::NotFound, "configuration network \"conf\" does not exist"),
        (
            json!({"ConfigFrom": {"Network": "bridge"}}),
            Class::NotFound,
            "configuration network \"bridge\" does",
        ),
    ] {
        let mut body = body;
        body["Name"] = json!("web");
        let (found, sentence) = refusal(&body);
        assert!(found == class && sentence.starts_with(start), "{body}: {sentence}");
    }
}

#[path = "create_properties.rs"]
mod properties;

#[test]
fn an_overlay_has_several_subnets_each_with_what_lies_in_it() {
    let overlay = |configs: &[Value], options: &Value| {
        json!({"Name": "wide", "Driver": "overlay", "EnableIPv6": configs.iter().any(|c| c["Subnet"].as_str().is_some_and(|s| s.contains(':'))),
            "IPAM": {"Config": configs}, "Options": options})
    };
    let (a, b) = (json!({"Subnet": "10.1.0.0/24"}), json!({"Subnet": "10.2.0.0/24", "Gateway": "10.2.0.9"}));
    let (c, d) = (json!({"Subnet": "fd00:1::/64"}), json!({"Subnet": "fd00:2::/64"}));
    let none = json!({});
    let made = make(&overlay(&[c.clone(), b.clone(), a.clone(), d.clone()], &none)).unwrap();
    let pair = |subnet: &str, gateway: &str| (subnet.to_owned(), gateway.to_owned());
    let expected = [
        pair("10.2.0.0/24", "10.2.0.9"),
        pair("10.1.0.0/24", "10.1.0.1"),
        pair("fd00:1::/64", "fd00:1::1"),
        pair("fd00:2::/64", "fd00:2::1"),
    ];
    assert_eq!(texts(&made), expected);
    let list = |vnis: &str| json!({"com.docker.network.driver.overlay.vxlanid_list": vnis});
    assert!(make(&overlay(&[a.clone(), b.clone()], &list("5,6"))).is_ok());
    let many: Vec<Value> = (0..129).map(|n| json!({"Subnet": format!("10.9.{n}.0/24")})).collect();
    for (configs, options, sentence) in [
        (&[a.clone(), b.clone()][..], list("5"), "insufficient vnis(1) passed to overlay"),
        (
            &[a.clone(), b.clone(), c.clone()],
            none.clone(),
            "with --ipv6 an overlay network has as many IPv6 subnets as IPv4 subnets, in the same order",
        ),
        (
            &[c, d],
            none.clone(),
            "with --ipv6 an overlay network has as many IPv6 subnets as IPv4 subnets, in the same order",
        ),
        (&[a.clone(), a.clone()], none.clone(), "Pool overlaps with other one on this address space"),
        (&many, none, "a network has at most 128 subnets of each IP version"),
    ] {
        assert_eq!(make(&overlay(configs, &options)).unwrap_err().to_string(), sentence);
    }
}
