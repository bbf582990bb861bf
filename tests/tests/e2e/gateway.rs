//! The gateway of a network: what answers at its address.

use std::os::unix::fs::PermissionsExt;

use tests::{Daemon, Nameserver, Netns, eventually};

fn attach(daemon: &Daemon, netns: &Netns, arguments: &[&str]) {
    let path = netns.path().to_str().unwrap().to_owned();
    daemon.ok(&[&["attach", "--netns", &path, "--name", "ns1"], arguments].concat());
}

/// What udhcpc was given on an interface of a namespace: its script's variables.
fn udhcpc(daemon: &Daemon, netns: &Netns, interface: &str, more: &[&str]) -> (i32, String) {
    let script = daemon.dir().join("udhcpc.sh");
    let file = daemon.dir().join("lease");
    let _ = std::fs::remove_file(&file);
    std::fs::write(&script, format!("#!/bin/sh\n[ \"$1\" = bound ] && env >{}\ntrue\n", file.display()))
        .unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    let path = script.to_str().unwrap();
    let options = ["-i", interface, "-n", "-q", "-f", "-t", "5", "-T", "2", "-O", "mtu", "-s", path];
    let said = netns.run("udhcpc", &[&options, more].concat());
    (said.status, std::fs::read_to_string(&file).unwrap_or_default())
}

#[track_caller]
fn variable<'a>(lease: &'a str, name: &str) -> &'a str {
    let line = lease.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    line.unwrap_or_else(|| panic!("no {name} in {lease}"))
}

#[test]
fn the_gateway_answers_arp_and_nothing_else_does() {
    let daemon = Daemon::start();
    let u1 = daemon.sleeper("u1");
    let said = daemon.exec("u1", &["arping", "-c", "2", "-w", "10", "-i", "eth0", "172.17.0.1"]).ok();
    assert!(said.contains("02:42:ac:11:00:01"), "{said}");
    let said = daemon.exec("u1", &["arping", "-c", "1", "-w", "1", "-i", "eth0", "172.17.0.9"]);
    assert_ne!(said.status, 0, "{said:?}");
    // Of two who answer the second would show as a duplicate.
    let said = daemon.exec("u1", &["arping", "-d", "-c", "2", "-w", "10", "-i", "eth0", "172.17.0.1"]).ok();
    assert!(!said.contains(&u1.mac), "{said}");
}

#[test]
fn the_gateway_answers_echo_of_both_versions_and_any_size() {
    let daemon = Daemon::start_on_own_host("");
    daemon.ok(&["network", "create", "--ipv6", "--subnet", "10.1.0.0/16", "--subnet", "fd00:1::/64", "net1"]);
    daemon.ok(&[
        "network",
        "create",
        "--internal",
        "--ipv6",
        "--subnet",
        "10.2.0.0/16",
        "--subnet",
        "fd00:2::/64",
        "inside",
    ]);
    daemon.sleeper_with("u1", &["--network", "net1"]);
    daemon.sleeper_with("u2", &["--network", "inside"]);
    for (from, four, six) in [("u1", "10.1.0.1", "fd00:1::1"), ("u2", "10.2.0.1", "fd00:2::1")] {
        for size in ["0", "56", "1472", "9000"] {
            let said = daemon.exec(from, &["ping", "-c", "1", "-W", "10", "-s", size, four]).ok();
            assert!(said.contains("1 received"), "{said}");
        }
        daemon.exec(from, &["ping", "-6", "-c", "2", "-i", "0.2", "-W", "10", six]).ok();
    }
    // The gateway by its link-local address, and as one of all nodes and all routers.
    daemon.exec("u1", &["ping", "-6", "-c", "1", "-W", "10", "fe80::42:aff:fe01:1%eth0"]).ok();
    let neighbours = daemon.exec("u1", &["ip", "-6", "neighbour", "show", "fd00:1::1"]).ok();
    assert!(neighbours.contains("02:42:0a:01:00:01"), "{neighbours}");
}

#[test]
fn what_goes_nowhere_is_said_to_be_unreachable() {
    let daemon = Daemon::start_on_own_host("");
    daemon.ok(&["network", "create", "--internal", "--subnet", "10.2.0.0/16", "inside"]);
    daemon.sleeper_with("u1", &["--network", "inside"]);
    // It has no way out, and takes one all the same.
    daemon.exec("u1", &["ip", "route", "add", "default", "via", "10.2.0.1"]).ok();
    let said = daemon.exec("u1", &["ping", "-c", "1", "-W", "10", "192.0.2.1"]);
    assert!(said.status == 1 && said.stdout.contains("From 10.2.0.1"), "{said:?}");
    assert!(said.stdout.contains("Unreachable"), "{said:?}");
    // Nobody serves this on the gateway.
    let said = daemon.exec("u1", &["nc", "-n", "-v", "-w", "5", "10.2.0.1", "9"]);
    assert!(said.status != 0 && said.stderr.contains("refused"), "{said:?}");
}

#[test]
fn udhcpc_gets_the_endpoints_address_and_all_it_needs() {
    let daemon = Daemon::start_on_own_host("");
    let netns = Netns::new();
    daemon.ok(&[
        "network",
        "create",
        "--subnet",
        "10.1.0.0/16",
        "-o",
        "com.docker.network.driver.mtu=1400",
        "net1",
    ]);
    attach(&daemon, &netns, &["--network", "net1", "--ip", "10.1.7.7"]);
    let (status, lease) = udhcpc(&daemon, &netns, "eth0", &[]);
    assert_eq!(status, 0, "{lease}");
    assert_eq!(variable(&lease, "ip"), "10.1.7.7");
    assert_eq!(variable(&lease, "subnet"), "255.255.0.0");
    assert_eq!(variable(&lease, "router"), "10.1.0.1");
    assert_eq!(variable(&lease, "dns"), "10.1.0.1");
    assert_eq!(variable(&lease, "mtu"), "1400");
    assert!(variable(&lease, "lease").parse::<u32>().unwrap() >= 60, "{lease}");
    // Another address is not to be had; its own it gets again.
    let (status, lease) = udhcpc(&daemon, &netns, "eth0", &["-r", "10.1.9.9"]);
    assert_eq!((status, variable(&lease, "ip")), (0, "10.1.7.7"));
    // On a second network too, and no more where it has left.
    daemon.ok(&["network", "connect", "bridge", "ns1"]);
    let (status, lease) = udhcpc(&daemon, &netns, "eth1", &[]);
    assert_eq!((status, variable(&lease, "ip")), (0, "172.17.0.2"));
}

#[test]
fn udhcpc_of_a_strange_interface_gets_nothing() {
    let daemon = Daemon::start();
    let netns = Netns::new();
    attach(&daemon, &netns, &[]);
    netns.run("ip", &["link", "set", "eth0", "address", "02:00:00:00:00:99"]).ok();
    let (status, lease) = udhcpc(&daemon, &netns, "eth0", &["-t", "2", "-T", "1"]);
    assert_ne!(status, 0, "{lease}");
    assert_eq!(lease, "");
}

#[test]
fn an_internal_network_offers_no_router() {
    let daemon = Daemon::start();
    let netns = Netns::new();
    daemon.ok(&["network", "create", "--internal", "--subnet", "10.77.0.0/16", "inside"]);
    attach(&daemon, &netns, &["--network", "inside"]);
    let (status, lease) = udhcpc(&daemon, &netns, "eth0", &[]);
    assert_eq!((status, variable(&lease, "ip")), (0, "10.77.0.2"));
    assert!(!lease.lines().any(|line| line.starts_with("router=")), "{lease}");
}

#[test]
fn names_are_answered_at_the_gateways_address() {
    let daemon = Daemon::start_on_own_host("nameserver 127.0.0.53\n");
    let mut server =
        Nameserver::start(&daemon, "127.0.0.53", &["www.example=192.0.2.80", "many.example=many"]);
    daemon.ok(&["network", "create", "net1"]);
    daemon.sleeper_with("web", &["--network", "net1"]);
    daemon.sleeper_with("client", &["--network", "net1"]);
    let ip = daemon.ip("web", "net1");
    let dig = |words: &[&str]| {
        let all = [&["dig", "+tries=1", "+time=20", "+short", "@172.18.0.1"], words].concat();
        daemon.exec("client", &all).ok()
    };
    assert_eq!(dig(&["web"]).trim(), ip);
    assert_eq!(dig(&["+tcp", "web.net1"]).trim(), ip);
    assert_eq!(dig(&["-x", &ip]).trim(), "web.net1.");
    assert_eq!(dig(&["www.example"]).trim(), "192.0.2.80");
    assert_eq!(dig(&["many.example"]).lines().count(), 100, "over TCP");
    assert!(server.asked().contains(&"udp A www.example".to_owned()));

    // An attached namespace has no other, and its files say so.
    let netns = Netns::new();
    attach(&daemon, &netns, &["--network", "net1", "--network-alias", "guest"]);
    assert_eq!(
        daemon.exec("ns1", &["getent", "ahostsv4", "web"]).ok().split_whitespace().next(),
        Some(ip.as_str())
    );
    daemon.exec("ns1", &["ping", "-c", "1", "-W", "10", "web"]).ok();
    daemon.ping("web", "guest");
    // On the default network it has no names, but the world's.
    daemon.sleeper("old");
    let ask = |name: &str| daemon.exec("old", &["dig", "+tries=1", "+time=20", "@172.17.0.1", name]).ok();
    assert!(ask("www.example").contains("192.0.2.80"));
    assert!(ask("web").contains("NXDOMAIN"));
}

#[test]
fn neighbours_learn_at_once_that_an_address_has_moved() {
    let daemon = Daemon::start();
    daemon.ok(&["network", "create", "--subnet", "10.78.0.0/16", "net1"]);
    daemon.sleeper_with("watcher", &["--network", "net1"]);
    let join = |name: &str, mac: &str| {
        daemon.sleeper_with(name, &["--network", "net1", "--ip", "10.78.0.9", "--mac-address", mac]);
    };
    join("first", "02:00:00:00:00:01");
    daemon.ping("watcher", "10.78.0.9");
    daemon.ok(&["rm", "-f", "first"]);
    join("second", "02:00:00:00:00:02");
    // Without a packet of its own.
    eventually("the neighbour's new address", || {
        let said = daemon.exec("watcher", &["ip", "neighbour", "show", "10.78.0.9"]).ok();
        said.contains("02:00:00:00:00:02").then_some(())
    });
}

#[test]
fn the_gateway_is_in_the_table_as_the_bridges_own_and_stays() {
    let daemon = Daemon::start();
    daemon.sleeper("u1");
    daemon.exec("u1", &["ping", "-c", "1", "-W", "10", "172.17.0.1"]).ok();
    daemon.ok(&["bridge", "flush", "bridge"]);
    assert!(!daemon.ok(&["bridge", "show"]).contains("gateway"));
    let is_local = || {
        let table = daemon.ok(&["bridge", "fdb", "bridge"]);
        let line = table.lines().find(|line| line.contains("02:42:ac:11:00:01"));
        line.and_then(|line| line.split_whitespace().nth(2)) == Some("yes")
    };
    assert!(is_local());
    // A station that says it is the gateway is not believed.
    let forged =
        ["-S", "172.17.0.1", "-s", "02:42:ac:11:00:01", "-c", "3", "-w", "1", "-i", "eth0", "172.17.0.99"];
    let said = daemon.exec("u1", &[&["arping"], &forged[..]].concat());
    assert!(said.stdout.contains("packets transmitted"), "{said:?}");
    assert!(is_local());
    daemon.sleeper("u2");
    daemon.exec("u2", &["ping", "-c", "1", "-W", "10", "172.17.0.1"]).ok();
}
