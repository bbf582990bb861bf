//! Keys have one spelling, and values are what their keys promise.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::super::testing::{endpoint, id, network};
use super::*;

fn of(kind: u8, number: u64, name: String, address: u32, v6: u128) -> Key {
    let address = Ipv4Addr::from(address);
    match kind {
        0 => Key::Version,
        1 => Key::Epoch,
        2 => Key::Network(id(number)),
        3 => Key::Endpoint(id(number), address),
        4 => Key::Second(id(number), Second::Mac(MacAddr::from_ipv4(address))),
        5 => Key::Second(id(number), Second::V6(v6.into())),
        6 => Key::Container(name),
        7 => Key::Node(name),
        8 => Key::Member(name),
        9 => Key::Vtep(address.into()),
        _ => Key::Vtep(Ipv6Addr::from(v6).into()),
    }
}

proptest! {
    #[test]
    fn a_key_is_read_as_it_is_written(
        kind in 0u8..=10,
        number: u64,
        name in "[a-zA-Z0-9][a-zA-Z0-9_.-]{1,20}",
        address: u32,
        v6: u128,
        prefix in "[a-z/]{0,9}",
    ) {
        let key = of(kind, number, name, address, v6);
        let keys = Keys::new(&prefix);
        prop_assert_eq!(keys.read(&keys.text(&key)), Some(key));
    }

    #[test]
    fn whatever_a_key_is_it_has_one_spelling(text in "(networks|endpoints|addresses|containers|nodes|members|vteps)?/?[0-9a-fA-F:./]{0,20}") {
        prop_assert_eq!(Key::parse(&text).to_string(), text);
    }

    #[test]
    fn an_endpoint_is_read_as_it_is_written(
        address: u32,
        len in 0u8..=32,
        v6: Option<u128>,
        mac: [u8; 6],
        names in prop::collection::vec("\\PC{0,12}", 0..5),
    ) {
        let mut mac = mac;
        mac[0] = mac[0] & 0xfe | 2;
        let ipv4 = Ipv4Net::new(address.into(), len).unwrap();
        let ipv6 = v6.map(|v6| Ipv6Net::new(v6.into(), 64).unwrap());
        let mac = MacAddr(mac).to_string();
        let whole = SharedEndpoint { ipv4, ipv6, mac, aliases: names, ..endpoint(5, 2, "n1", 1) };
        let key = Key::Endpoint(whole.network.clone(), ipv4.addr());
        prop_assert_eq!(decode(&key, &encode(&whole)), Ok(Value::Endpoint(whole.clone().into())));
        prop_assert_eq!(whole.check(), Ok(()));
    }

    #[test]
    fn no_value_panics(kind in 0u8..=10, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let key = of(kind, 1, "n1".into(), 0x0a00_0002, 1);
        prop_assert_eq!(decode(&key, &bytes).is_ok(), matches!(key, Key::Epoch));
    }
}

#[test]
fn other_spellings_of_a_key_are_unknown() {
    let net = id(1);
    for text in [
        "",
        "version/",
        "networks/",
        "networks/a/b",
        "endpoints/10.0.0.2",
        &format!("endpoints/{net}/10.0.0.02"),
        &format!("endpoints/{net}/10.0.0.2/"),
        &format!("endpoints/{net}/fd00::1"),
        "endpoints//10.0.0.2",
        &format!("addresses/{net}/02:42:0A:00:00:02"),
        &format!("addresses/{net}/FD00::1"),
        &format!("addresses/{net}/fd00:0::1"),
        &format!("addresses/{net}/10.0.0.2"),
        "containers/",
        "containers/a/b",
        "nodes/",
        "vteps/192.0.2.001",
        "vteps/host",
        "Version",
    ] {
        assert_eq!(Key::parse(text), Key::Unknown(text.into()));
    }
}

#[test]
fn a_prefix_may_have_slashes_around_it_or_be_none_and_is_not_the_beginning_of_another() {
    for prefix in ["/vswitch", "vswitch", "/vswitch/", "//vswitch//"] {
        let keys = Keys::new(prefix);
        assert_eq!(keys.prefix(), "/vswitch/");
        assert_eq!(keys.read("/vswitch/version"), Some(Key::Version));
        assert_eq!(keys.read("/vswitch2/version"), None);
        assert_eq!(
            (keys.networks(), keys.endpoints_of("n")),
            ("/vswitch/networks/".into(), "/vswitch/endpoints/n/".into())
        );
    }
    assert_eq!(Keys::new("").text(&Key::Epoch), "/epoch");
    assert_eq!(Keys::new("/a/b").text(&Key::Epoch), "/a/b/epoch");
}

/// What is wrong with a value in which something was changed.
fn wrong(key: &Key, value: &impl Serialize, field: &str, other: Json) -> String {
    let mut value = serde_json::to_value(value).unwrap();
    value[field] = other;
    decode(key, value.to_string().as_bytes()).unwrap_err()
}

#[test]
fn an_endpoint_that_contradicts_its_key_or_itself_is_refused_with_the_reason() {
    let whole = endpoint(5, 2, "n1", 1);
    let key = Key::Endpoint(id(1), Ipv4Addr::new(10, 0, 0, 2));
    for (field, other, reason) in [
        ("network", json!(id(2)), "it speaks of another network than its key"),
        ("ipv4", json!("10.0.0.3/24"), "it speaks of another address than its key"),
        ("ipv4", json!("10.0.0.2/33"), "it is not what this version writes"),
        ("id", json!("5"), "its id is not 64 hexadecimal digits"),
        ("id", json!(id(5).replace('5', "A")), "its id is not 64 hexadecimal digits"),
        ("mac", json!("02:42"), "its Ethernet address is none"),
        ("mac", json!("02:42:0A:00:00:02"), "is not written as"),
        ("mac", json!("01:00:5e:00:00:01"), "none of a station"),
        ("mac", json!("00:00:00:00:00:00"), "none of a station"),
        ("node", json!(""), "its node has no valid name"),
        ("node", json!("a/b"), "its node has no valid name"),
        ("node", json!("n".repeat(254)), "its node has no valid name"),
        ("vtep", json!("0.0.0.0"), "its tunnel endpoint is no address of a host"),
        ("vtep", json!("224.0.0.1"), "its tunnel endpoint is no address of a host"),
        ("vtep", json!("255.255.255.255"), "its tunnel endpoint is no address of a host"),
        ("vtep", json!("::ffff:192.0.2.1"), "its tunnel endpoint is no address of a host"),
        ("aliases", json!(vec!["a"; 1025]), "it has too many aliases"),
        ("name", json!("n".repeat(256 << 10)), "it is too long"),
        ("name", Json::Null, "it is not what this version writes"),
    ] {
        let why = wrong(&key, &whole, field, other);
        assert!(why.contains(reason), "{field}: {why}");
    }
    let most = SharedEndpoint { aliases: vec!["a".into(); 1024], ..whole };
    assert_eq!(most.check(), Ok(()));
}

#[test]
fn a_network_that_contradicts_its_key_or_itself_is_refused_with_the_reason() {
    let whole = network(1, "demo", "10.0.0.0/24");
    let key = Key::Network(id(1));
    assert!(decode(&key, &encode(&whole)).is_ok());
    let elsewhere = decode(&Key::Network(id(2)), &encode(&whole)).unwrap_err();
    assert!(elsewhere.contains("another network than its key"), "{elsewhere}");
    for (vnis, reason) in [
        (json!({}), "not each of its IPv4 subnets has a VNI"),
        (json!({"10.0.1.0/24": 256}), "not each of its IPv4 subnets has a VNI"),
        (json!({"10.0.0.0/24": 256, "10.0.1.0/24": 257}), "not each of its IPv4 subnets has a VNI"),
        (json!({"10.0.0.0/24": 1 << 24}), "a VNI is out of range"),
        (json!({"10.0.0.0/24": -1}), "it is not what this version writes"),
    ] {
        let why = wrong(&key, &whole, "vnis", vnis);
        assert!(why.contains(reason), "{why}");
    }
    let mut bridge = whole.clone();
    bridge.record.driver = "bridge".into();
    assert_eq!(decode(&key, &encode(&bridge)), Err("it is no overlay network".into()));
    let mut nameless = whole;
    nameless.record.name = "a/b".into();
    assert_eq!(decode(&key, &encode(&nameless)), Err("its name is none of a network".into()));
}

#[test]
fn names_and_nodes_are_what_their_keys_say() {
    let claim = NameClaim { container: id(1), node: "n1".into() };
    assert!(decode(&Key::Container("web".into()), &encode(&claim)).is_ok());
    assert_eq!(
        decode(&Key::Container("-web".into()), &encode(&claim)),
        Err("this is no name of a container".into())
    );
    let node = Node { name: "n1".into(), id: id(1), run: "r".into(), vtep: [192, 0, 2, 1].into(), joined: 0 };
    for kind in [Key::Node, Key::Member] {
        assert!(decode(&kind("n1".into()), &encode(&node)).is_ok());
        let other = decode(&kind("n2".into()), &encode(&node));
        assert_eq!(other, Err("it speaks of another node than its key".into()));
    }
    let unspecified = Node { vtep: [0, 0, 0, 0].into(), ..node };
    assert!(decode(&Key::Node("n1".into()), &encode(&unspecified)).is_err());
    assert!(decode(&Key::Unknown("x".into()), b"{}").is_err());
}

/// A network with these subnets and numbers; why it is refused, if it is.
fn of_subnets(subnets: &[&str], vnis: Json) -> Option<String> {
    let configs = subnets.iter().flat_map(|subnet| network(1, "demo", subnet).record.ipam.config);
    let mut whole = network(1, "demo", "10.0.0.0/24");
    whole.record.ipam.config = configs.collect();
    whole.record.enable_ipv6 = subnets.iter().any(|subnet| subnet.contains(':'));
    let mut value = serde_json::to_value(&whole).unwrap();
    value["vnis"] = vnis;
    decode(&Key::Network(id(1)), value.to_string().as_bytes()).err()
}

#[test]
fn a_network_of_several_subnets_has_a_number_for_each_and_they_are_apart() {
    let (a, b, a6, b6) = ("10.1.0.0/24", "10.2.0.0/24", "fd00:1::/64", "fd00:2::/64");
    let vnis = json!({a: 256, b: 300});
    assert_eq!(of_subnets(&[a, b], vnis.clone()), None);
    assert_eq!(of_subnets(&[a, b, a6, b6], vnis.clone()), None);
    let many: Vec<String> = (0..=MAX_OVERLAY_SUBNETS).map(|n| format!("10.3.{n}.0/24")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (subnets, vnis, reason) in [
        (&[a, b][..], json!({a: 256, b: 256}), "two of its subnets have one VNI"),
        (&[a, b], json!({a: 256}), "not each of its IPv4 subnets has a VNI"),
        (&[a, b, a6], vnis.clone(), "not each of its IPv4 subnets has an IPv6 subnet"),
        (&[a, b, a6, a6], vnis.clone(), "two of its subnets overlap"),
        (&[a, a], json!({a: 256}), "two of its subnets overlap"),
        (&[a, "10.1.0.128/25"], json!({a: 256, "10.1.0.128/25": 257}), "two of its subnets overlap"),
        (&many, json!({}), "it has too many subnets"),
        (&[a6, b6], json!({}), "it has no IPv4 subnet"),
    ] {
        assert_eq!(of_subnets(subnets, vnis).as_deref(), Some(reason), "{subnets:?}");
    }
}
