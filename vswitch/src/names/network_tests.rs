use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::names::testing::{ip, strings};

fn v4(net: &NetworkNames, name: &str) -> Vec<String> {
    let key = wire::to_key(name).unwrap();
    let mut found: Vec<_> = net
        .hosts(&key)
        .iter()
        .flat_map(|hosts| hosts.iter())
        .flat_map(|h| &h.v4)
        .map(Ipv4Addr::to_string)
        .collect();
    found.sort();
    found
}

#[test]
fn an_endpoint_is_found_by_each_of_its_names() {
    let net = NetworkNames::new("net");
    net.set("e", "web", &strings(&["web", "WWW", "www", "012345"]), &[ip("10.0.0.2"), ip("fd00::2")]);
    for name in ["web", "www", "012345"] {
        assert_eq!(v4(&net, name), ["10.0.0.2"]);
    }
    assert_eq!(net.len(), 1);
    assert_eq!(net.host_at(ip("fd00::2")).unwrap().fqdn.as_deref().unwrap(), b"\x03web\x03net\0");
}

#[test]
fn what_is_set_replaces_what_was() {
    let net = NetworkNames::new("net");
    net.set("e", "old", &strings(&["old", "both"]), &[ip("10.0.0.2")]);
    net.set("e", "new", &strings(&["new", "both"]), &[ip("10.0.0.3")]);
    assert!(v4(&net, "old").is_empty());
    assert_eq!(v4(&net, "new"), ["10.0.0.3"]);
    assert_eq!(v4(&net, "both"), ["10.0.0.3"]);
    assert!(net.host_at(ip("10.0.0.2")).is_none());
}

#[test]
fn endpoints_share_a_name_until_they_go() {
    let net = NetworkNames::new("net");
    net.set("a", "a", &strings(&["a", "pool"]), &[ip("10.0.0.2")]);
    net.set("b", "b", &strings(&["b", "pool"]), &[ip("10.0.0.3")]);
    assert_eq!(v4(&net, "pool"), ["10.0.0.2", "10.0.0.3"]);
    net.remove("a");
    net.remove("a");
    assert_eq!(v4(&net, "pool"), ["10.0.0.3"]);
    net.remove("b");
    assert!(net.is_empty());
    let table = net.table.read();
    assert!(table.names.is_empty() && table.addresses.is_empty());
}

#[test]
fn a_name_dns_cannot_carry_hides_no_other() {
    let net = NetworkNames::new("net");
    let long = "a".repeat(64);
    net.set("e", &long, &strings(&[&long, "", "ok"]), &[ip("10.0.0.2")]);
    assert_eq!(v4(&net, "ok"), ["10.0.0.2"]);
    assert!(net.host_at(ip("10.0.0.2")).unwrap().fqdn.is_none());
}

proptest! {
    /// Sets and removals in any order leave what a plain list of endpoints would.
    #[test]
    fn it_is_what_a_list_would_be(
        steps in prop::collection::vec((0u8..6, prop::collection::vec(0u8..8, 0..4), prop::collection::vec(0u8..8, 0..3), any::<bool>()), 0..60)
    ) {
        let net = NetworkNames::new("net");
        let mut model = BTreeMap::new();
        for (endpoint, names, addresses, remove) in steps {
            if remove {
                net.remove(&endpoint.to_string());
                model.remove(&endpoint);
            } else {
                let called: Vec<_> = names.iter().map(|n| format!("n{n}")).collect();
                let at: Vec<_> = addresses.iter().map(|a| Ipv4Addr::new(10, 0, 0, *a).into()).collect();
                net.set(&endpoint.to_string(), "c", &called, &at);
                model.insert(endpoint, (called, at));
            }
            for n in 0..8 {
                let name = format!("n{n}");
                let mut expected: Vec<String> = model
                    .values()
                    .filter(|(called, _)| called.contains(&name))
                    .flat_map(|(_, at)| {
                        let mut at: Vec<IpAddr> = at.clone();
                        at.sort();
                        at.dedup();
                        at
                    })
                    .map(|a: IpAddr| a.to_string())
                    .collect();
                expected.sort();
                prop_assert_eq!(v4(&net, &name), expected);
                let address = Ipv4Addr::new(10, 0, 0, n).into();
                let owned = model.values().any(|(_, at)| at.contains(&address));
                prop_assert_eq!(net.host_at(address).is_some(), owned);
            }
            prop_assert_eq!(net.len(), model.len());
        }
    }
}
