use super::*;
use crate::names::testing::{ip, strings};

fn net(name: &str, hosts: &[(&str, &str)]) -> Arc<NetworkNames> {
    let net = NetworkNames::new(name);
    for (host, address) in hosts {
        net.set(host, host, &strings(&[host]), &[ip(address)]);
    }
    net
}

fn view(networks: Vec<Attached>) -> View {
    View { networks, ..View::default() }
}

fn find(view: &View, name: &str) -> Option<String> {
    let key = wire::to_key(name).unwrap();
    let hosts = view.find_wire(&key)?;
    Some(hosts[0].v4[0].to_string())
}

#[test]
fn a_name_is_known_alone_and_before_its_network() {
    let view = view(vec![net("a", &[("web", "10.0.0.2")]).into(), net("b", &[("web", "10.0.1.2")]).into()]);
    assert_eq!(find(&view, "web").unwrap(), "10.0.0.2");
    assert_eq!(find(&view, "WEB.A").unwrap(), "10.0.0.2");
    assert_eq!(find(&view, "web.b").unwrap(), "10.0.1.2");
    for unknown in ["web.c", "a", "web.a.b", "x.web", "db"] {
        assert_eq!(find(&view, unknown), None, "{unknown}");
    }
}

#[test]
fn names_and_networks_may_have_dots() {
    let view = view(vec![
        net("net.example", &[("web", "10.0.0.2"), ("api.v1", "10.0.0.3")]).into(),
        net("example", &[("web.net", "10.0.1.2")]).into(),
    ]);
    assert_eq!(find(&view, "api.v1").unwrap(), "10.0.0.3");
    assert_eq!(find(&view, "api.v1.net.example").unwrap(), "10.0.0.3");
    // The network right of the last dot is tried first.
    assert_eq!(find(&view, "web.net.example").unwrap(), "10.0.1.2");
}

#[test]
fn a_link_is_seen_by_its_container_only_and_hides_the_name() {
    let names = net("a", &[("web", "10.0.0.2"), ("db", "10.0.0.3"), ("store", "10.0.0.4")]);
    let links =
        [("store".into(), "db".into()), ("DB1".into(), "db".into()), ("gone".into(), "nobody".into())];
    let linked = view(vec![Attached::new(names.clone(), &links)]);
    assert_eq!(find(&linked, "db1").unwrap(), "10.0.0.3");
    assert_eq!(find(&linked, "db1.a").unwrap(), "10.0.0.3");
    assert_eq!(find(&linked, "store").unwrap(), "10.0.0.3");
    assert_eq!(find(&linked, "gone"), None);
    let other = view(vec![names.into()]);
    assert_eq!(find(&other, "db1"), None);
    assert_eq!(find(&other, "store").unwrap(), "10.0.0.4");
}

#[test]
fn a_link_goes_before_a_name_of_an_earlier_network() {
    let first = net("a", &[("db", "10.0.0.2")]);
    let second = Attached::new(net("b", &[("real", "10.0.1.2")]), &[("db".into(), "real".into())]);
    assert_eq!(find(&view(vec![first.into(), second]), "db").unwrap(), "10.0.1.2");
}

#[test]
fn an_address_is_found_on_any_network() {
    let view = view(vec![net("a", &[("web", "10.0.0.2")]).into(), net("b", &[("db", "10.0.1.2")]).into()]);
    assert_eq!(view.host_at(ip("10.0.1.2")).unwrap().fqdn.as_deref().unwrap(), b"\x02db\x01b\0");
    assert!(view.host_at(ip("10.0.1.3")).is_none());
}

#[test]
fn the_longest_names_are_looked_up_without_harm() {
    let view = view(vec![net("a", &[("web", "10.0.0.2")]).into()]);
    assert!(view.find_wire(&b"\x01a".repeat(127)).is_none());
    assert!(view.find_wire(&[]).is_none());
}
