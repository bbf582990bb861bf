//! Networks that come to running containers, and leave them.

use serde_json::json;
use tests::{Daemon, eventually};

use crate::support::{addresses, interfaces};

fn default_route(daemon: &Daemon, container: &str) -> String {
    daemon.exec(container, &["ip", "route", "show", "default"]).ok().trim().to_owned()
}

#[test]
fn interfaces_and_the_default_route_come_and_go_with_networks() {
    let daemon = Daemon::start_on_own_host("");
    for name in ["net1", "net2"] {
        daemon.ok(&["network", "create", name]);
        daemon.sleeper_with(&format!("on-{name}"), &["--network", name]);
    }
    daemon.sleeper("u1");
    assert_eq!(default_route(&daemon, "u1"), "default via 172.17.0.1 dev eth0");
    daemon.ok(&["network", "connect", "net1", "u1"]);
    daemon.ok(&["network", "connect", "net2", "u1"]);
    assert_eq!(interfaces(&daemon, "u1"), ["eth0", "eth1", "eth2", "lo"]);
    assert_eq!(default_route(&daemon, "u1"), "default via 172.17.0.1 dev eth0", "the first stays");
    daemon.ping("u1", "on-net1");
    daemon.ping("u1", "on-net2");

    daemon.ok(&["network", "disconnect", "bridge", "u1"]);
    assert_eq!(interfaces(&daemon, "u1"), ["eth1", "eth2", "lo"]);
    assert_eq!(default_route(&daemon, "u1"), "default via 172.18.0.1 dev eth1");
    daemon.ok(&["network", "disconnect", "net1", "u1"]);
    assert_eq!(default_route(&daemon, "u1"), "default via 172.19.0.1 dev eth2");
    daemon.ping("u1", "on-net2");
    daemon.ok(&["network", "disconnect", "net2", "u1"]);
    assert_eq!(interfaces(&daemon, "u1"), ["lo"]);
    assert_eq!(daemon.inspect("u1")["NetworkSettings"]["Networks"], json!({}));

    // The lowest free name, and everything else anew.
    daemon.ok(&["network", "connect", "net1", "u1"]);
    assert_eq!(interfaces(&daemon, "u1"), ["eth0", "lo"]);
    assert_eq!(default_route(&daemon, "u1"), "default via 172.18.0.1 dev eth0");
    daemon.ping("u1", "on-net1");
    daemon.ping("on-net1", "u1");
    let hosts = daemon.exec("u1", &["cat", "/etc/hosts"]).ok();
    let id = daemon.container_id("u1");
    let own: Vec<&str> = hosts.lines().filter(|line| line.ends_with(&id[..12])).collect();
    assert_eq!(own, [format!("172.18.0.3\t{}", &id[..12])]);
}

#[test]
fn an_address_that_is_left_is_the_next_ones() {
    let daemon = Daemon::start_on_own_host("");
    daemon.ok(&["network", "create", "net1"]);
    daemon.sleeper("u1");
    daemon.sleeper("u2");
    for _ in 0..3 {
        daemon.ok(&["network", "connect", "net1", "u1"]);
        assert_eq!(daemon.ip("u1", "net1"), "172.18.0.2");
        daemon.ok(&["network", "connect", "net1", "u2"]);
        assert_eq!(daemon.ip("u2", "net1"), "172.18.0.3");
        daemon.ok(&["network", "disconnect", "net1", "u1"]);
        daemon.ok(&["network", "disconnect", "net1", "u2"]);
    }
    daemon.ok(&["network", "rm", "net1"]);
}

#[test]
fn connect_takes_wishes() {
    let daemon = Daemon::start_on_own_host("");
    daemon.ok(&["network", "create", "--ipv6", "--subnet", "10.1.0.0/16", "--subnet", "fd00:1::/64", "net1"]);
    daemon.sleeper_with("other", &["--network", "net1"]);
    daemon.sleeper("u1");
    let flags = ["--ip", "10.1.7.7", "--ip6", "fd00:1::7", "--alias", "seven", "--link", "other:friend"];
    daemon.ok(&[&["network", "connect"], &flags[..], &["net1", "u1"]].concat());
    assert_eq!(addresses(&daemon, "u1", "eth1"), ["10.1.7.7/16"]);
    assert_eq!(daemon.endpoint("u1", "net1")["GlobalIPv6Address"], "fd00:1::7");
    daemon.ping("other", "seven");
    daemon.ping("u1", "friend");
    daemon.exec("other", &["ping", "-6", "-c", "1", "-W", "10", "seven"]).ok();
}

#[test]
fn a_container_that_ends_leaves_all_its_networks() {
    let daemon = Daemon::start_on_own_host("");
    for name in ["net1", "net2"] {
        daemon.ok(&["network", "create", name]);
    }
    daemon.sleeper("u1");
    daemon.ok(&["network", "connect", "net1", "u1"]);
    daemon.ok(&["network", "connect", "net2", "u1"]);
    daemon.ok(&["kill", "u1"]);
    daemon.ok(&["wait", "u1"]);
    daemon.ok(&["network", "rm", "net1", "net2"]);
    assert_eq!(daemon.sleeper("next").ip, "172.17.0.2");
    assert!(daemon.names(true).contains(&"u1".to_owned()));
    let said = daemon.run(&["network", "connect", "bridge", "u1"]).fails_with(1);
    assert!(said.contains("is not running"), "{said}");
}

#[test]
fn many_who_connect_and_disconnect_at_once_get_an_address_each() {
    let daemon = Daemon::start_on_own_host("");
    daemon.ok(&["network", "create", "net1"]);
    let names: Vec<String> = (0..8).map(|n| format!("u{n}")).collect();
    std::thread::scope(|scope| {
        for name in &names {
            scope.spawn(|| {
                daemon.sleeper(name);
                for _ in 0..5 {
                    daemon.ok(&["network", "connect", "net1", name]);
                    daemon.ok(&["network", "disconnect", "net1", name]);
                }
                daemon.ok(&["network", "connect", "net1", name]);
            });
        }
    });
    let mut all: Vec<String> = names.iter().map(|name| daemon.ip(name, "net1")).collect();
    all.sort();
    let expected: Vec<String> = (2..10).map(|n| format!("172.18.0.{n}")).collect();
    assert_eq!(all, expected);
    for name in &names {
        assert_eq!(addresses(&daemon, name, "eth1"), [format!("{}/16", daemon.ip(name, "net1"))]);
    }
    daemon.ping("u0", "u7");
}

#[test]
fn a_network_cannot_go_while_somebody_comes() {
    let daemon = Daemon::start_on_own_host("");
    daemon.sleeper("u1");
    for _ in 0..20 {
        daemon.ok(&["network", "create", "net1"]);
        let (connected, removed) = std::thread::scope(|scope| {
            let connect = scope.spawn(|| daemon.run(&["network", "connect", "net1", "u1"]).status == 0);
            let remove = scope.spawn(|| daemon.run(&["network", "rm", "net1"]).status == 0);
            (connect.join().unwrap(), remove.join().unwrap())
        });
        assert!(connected != removed, "connected: {connected}, removed: {removed}");
        if connected {
            assert_eq!(addresses(&daemon, "u1", "eth1").len(), 1);
            daemon.ok(&["network", "disconnect", "net1", "u1"]);
            daemon.ok(&["network", "rm", "net1"]);
        }
    }
    eventually("the interface to be gone", || (interfaces(&daemon, "u1") == ["eth0", "lo"]).then_some(()));
}

#[test]
fn an_attached_namespace_is_connected_and_disconnected_too() {
    let daemon = Daemon::start_on_own_host("");
    let netns = tests::Netns::new();
    daemon.ok(&["network", "create", "net1"]);
    daemon.sleeper_with("u1", &["--network", "net1"]);
    daemon.ok(&["attach", "--netns", netns.path().to_str().unwrap(), "--name", "ns1"]);
    daemon.ok(&["network", "connect", "net1", "ns1"]);
    netns.run("ping", &["-c", "1", "-W", "10", &daemon.ip("u1", "net1")]).ok();
    // What it has for name servers is where it is.
    let conf = || daemon.exec("ns1", &["cat", "/etc/resolv.conf"]).ok();
    assert_eq!(conf(), "nameserver 172.17.0.1\nnameserver 172.18.0.1\noptions ndots:0\n");
    daemon.ok(&["network", "disconnect", "bridge", "ns1"]);
    assert_eq!(conf(), "nameserver 172.18.0.1\noptions ndots:0\n");
    let links = netns.run("ip", &["-o", "link"]).ok();
    assert!(!links.contains("eth0") && links.contains("eth1"), "{links}");
}
