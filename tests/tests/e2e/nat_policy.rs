//! What networks let out, and by which address.

use tests::Lab;
use tests::lab::{HOST, HOST_TOO, WORLD};

use crate::support::{engine_count, flows};

/// A network with an option, and the container `c1` on it.
#[track_caller]
fn with_option(lab: &Lab, option: &str, more: &[&str]) {
    lab.daemon.ok(&["network", "create", "--subnet", "10.5.0.0/24", "-o", option, "net1"]);
    lab.container("c1", &[&["--network", "net1"], more].concat());
}

#[test]
fn without_masquerade_nothing_leaves_and_published_ports_work() {
    let lab = Lab::default();
    let option = "com.docker.network.bridge.enable_ip_masquerade=false";
    with_option(&lab, option, &["-p", "8080:80", "-p", "8080:80/udp"]);
    let at = format!("{WORLD}:7000");
    let mut server = lab.serve(&["serve", "tcp", &at]);
    let said = lab.ask_from("c1", &["ask", "tcp", &at]).fails_with(1);
    assert!(said.contains("No route to host") || said.contains("unreachable"), "{said}");
    let said = lab.daemon.exec("c1", &["ping", "-c", "1", "-W", "30", WORLD]);
    assert_ne!(said.status, 0, "{said:?}");
    assert!(engine_count(&lab.daemon, "no_outbound") >= 2);
    assert!(server.is_running() && flows(&lab.daemon).is_empty());

    let _tcp = lab.serve_in("c1", &["serve", "tcp", "0.0.0.0:80"]);
    let _udp = lab.serve_in("c1", &["serve", "udp", "0.0.0.0:80"]);
    for protocol in ["tcp", "udp"] {
        let said = lab.ask_from_world(&["ask", protocol, &format!("{HOST}:8080")]).ok();
        assert!(said.starts_with(&format!("{WORLD}:")), "{protocol}: {said}");
    }
}

#[test]
fn an_internal_network_has_no_way_out() {
    let lab = Lab::default();
    lab.daemon.ok(&["network", "create", "--internal", "--subnet", "10.5.0.0/24", "inside"]);
    lab.container("c1", &["--network", "inside"]);
    let at = format!("{WORLD}:7000");
    let _server = lab.serve(&["serve", "tcp", &at]);
    let said = lab.ask_from("c1", &["ask", "tcp", &at]).fails_with(1);
    assert!(said.contains("unreachable"), "{said}");
    // Nor has who makes himself a route.
    lab.daemon.exec("c1", &["ip", "route", "add", "default", "via", "10.5.0.1"]).ok();
    let said = lab.ask_from("c1", &["ask", "tcp", &at]).fails_with(1);
    assert!(said.contains("No route to host") || said.contains("unreachable"), "{said}");
    assert!(flows(&lab.daemon).is_empty());
}

#[test]
fn without_icc_containers_meet_at_published_ports_only() {
    let lab = Lab::default();
    with_option(&lab, "com.docker.network.bridge.enable_icc=false", &["-p", "8080:80"]);
    lab.container("c2", &["--network", "net1"]);
    let _server = lab.serve_in("c1", &["serve", "tcp", "0.0.0.0:80"]);
    let direct = lab.daemon.exec("c2", &["nc", "-n", "-z", "-w", "1", "10.5.0.2", "80"]);
    assert_ne!(direct.status, 0, "{direct:?}");
    let said = lab.ask_from("c2", &["ask", "tcp", &format!("{HOST}:8080")]).ok();
    assert!(said.starts_with(&format!("{HOST}:")), "{said}");
}

#[test]
fn host_binding_is_where_ports_are_published_that_name_no_address() {
    let lab = Lab::default();
    let option = "com.docker.network.bridge.host_binding_ipv4=127.0.0.1";
    with_option(&lab, option, &["-p", "8080:80", "-p", "0.0.0.0:8081:80"]);
    let _server = lab.serve_in("c1", &["serve", "tcp", "0.0.0.0:80"]);
    let ports = lab.daemon.ok(&["port", "c1"]);
    let ports: Vec<&str> = ports.lines().collect();
    assert_eq!(ports, ["80/tcp -> 127.0.0.1:8080", "80/tcp -> 0.0.0.0:8081"]);
    lab.ask_from_host(&["ask", "tcp", "127.0.0.1:8080"]).ok();
    let said = lab.ask_from_world(&["ask", "tcp", &format!("{HOST}:8080")]).fails_with(1);
    assert!(said.contains("refused"), "{said}");
    lab.ask_from_world(&["ask", "tcp", &format!("{HOST}:8081")]).ok();
}

#[test]
fn the_outbound_address_is_the_one_that_was_set() {
    let lab = Lab::default();
    with_option(&lab, &format!("com.docker.network.host_ipv4={HOST_TOO}"), &[]);
    lab.container("c2", &[]);
    let at = format!("{WORLD}:7000");
    let _tcp = lab.serve(&["serve", "tcp", &at]);
    let _udp = lab.serve(&["serve", "udp", &at]);
    for protocol in ["tcp", "udp"] {
        let said = lab.ask_from("c1", &["ask", protocol, &at]).ok();
        assert!(said.starts_with(&format!("{HOST_TOO}:")), "{protocol}: {said}");
        let said = lab.ask_from("c2", &["ask", protocol, &at]).ok();
        assert!(said.starts_with(&format!("{HOST}:")), "{protocol}: {said}");
    }
    lab.daemon.ping("c1", WORLD);
    let echo = flows(&lab.daemon).into_iter().find(|flow| flow["Protocol"] == "icmp").unwrap();
    assert!(echo["Outside"].as_str().unwrap().starts_with(HOST_TOO), "{echo}");
}

#[test]
fn forged_sources_are_dropped_and_counted_unless_the_network_allows_them() {
    let ping = ["ping", "-c", "1", "-W", "2", "-I", "10.5.0.99", WORLD];
    let forge = |lab: &Lab| {
        lab.daemon.exec("c1", &["ip", "address", "add", "10.5.0.99/24", "dev", "eth0"]).ok();
        lab.daemon.exec("c1", &ping)
    };
    let lab = Lab::default();
    with_option(&lab, "vswitch.any_source=false", &[]);
    let said = forge(&lab);
    assert_eq!(said.status, 1, "{said:?}");
    assert!(engine_count(&lab.daemon, "spoofed_source") >= 1);
    assert!(lab.daemon.ok(&["stats"]).contains("spoofed_source "));
    lab.daemon.ping("c1", WORLD);

    let lab = Lab::default();
    with_option(&lab, "vswitch.any_source=true", &[]);
    let said = forge(&lab);
    assert_eq!(said.status, 0, "{said:?}");
    assert_eq!(engine_count(&lab.daemon, "spoofed_source"), 0);
}
