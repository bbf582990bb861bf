//! The host, as its containers reach it: at the gateway's address and as `host.docker.internal`.

use std::sync::Arc;

use tests::lab::{HOST, WORLD};
use tests::{Daemon, Lab, Netns, is_root};

const NAME: &str = "host.docker.internal";

/// The address that stands for a name in a container.
#[track_caller]
fn resolved(daemon: &Daemon, container: &str, name: &str) -> String {
    let said = daemon.exec(container, &["getent", "ahosts", name]).ok();
    said.split_whitespace().next().unwrap_or_default().to_owned()
}

#[test]
fn the_gateway_is_the_host_but_not_its_loopback() {
    let lab = Lab::default();
    lab.container("c1", &[]);
    let _everywhere = lab.serve_on_host(&["serve", "tcp", "0.0.0.0:7000"]);
    let _everywhere6 = lab.serve_on_host(&["serve", "udp", "0.0.0.0:7000"]);
    let _own = lab.serve_on_host(&["serve", "tcp", "127.0.0.1:7001", "127.0.0.2:7001"]);
    let _own_too = lab.serve_on_host(&["serve", "udp", "127.0.0.1:7001"]);
    assert_eq!(resolved(&lab.daemon, "c1", NAME), "172.17.0.1");
    for protocol in ["tcp", "udp"] {
        let said = lab.ask_from("c1", &["ask", protocol, "172.17.0.1:7000"]).ok();
        assert!(said.starts_with(&format!("{HOST}:")), "{protocol}: {said}");
        let said = lab.ask_from("c1", &["ask", protocol, "172.17.0.1:7001"]).fails_with(1);
        assert!(said.contains("refused"), "{protocol}: {said}");
        for never in ["127.0.0.2:7001", &format!("{HOST}:7001")] {
            let said = lab.ask_from("c1", &["ask", protocol, never]).fails_with(1);
            assert!(said.contains("refused"), "{protocol} {never}: {said}");
        }
    }
}

#[test]
fn no_packet_to_the_loopback_net_gets_out_of_a_container() {
    let lab = Lab::default();
    lab.container("c1", &[]);
    let mut own = lab.serve_on_host(&["serve", "tcp", "127.0.0.2:7001"]);
    // It takes the way of other packets, if the container wants it to.
    let inside = |words: &[&str]| lab.daemon.exec("c1", words).ok();
    inside(&["sysctl", "-q", "-w", "net.ipv4.conf.eth0.route_localnet=1"]);
    inside(&["ip", "address", "del", "127.0.0.1/8", "dev", "lo"]);
    inside(&["ip", "route", "add", "127.0.0.2/32", "via", "172.17.0.1", "src", "172.17.0.2"]);
    let at = ["nc", "-n", "-z", "-w", "1", "127.0.0.2", "7001"];
    assert_ne!(lab.daemon.exec("c1", &at).status, 0);
    assert!(own.is_running());
    let served = lab.ask_from_host(&["ask", "tcp", "127.0.0.2:7001"]).ok();
    assert!(served.starts_with("127.0.0.1:") || served.starts_with("127.0.0.2:"), "{served}");
    let first = own.line(|line| line.starts_with("tcp "));
    assert!(first.contains("tcp 127."), "it is the first that came: {first}");
}

#[test]
fn with_the_flag_the_gateway_is_the_hosts_loopback() {
    let lab = Lab::new(&["--map-host-loopback"]);
    lab.dual_network("two");
    lab.container("c1", &[]);
    lab.container("c2", &["--network", "two"]);
    let _tcp = lab.serve_on_host(&["serve", "tcp", "127.0.0.1:7001", "[::1]:7001"]);
    let _udp = lab.serve_on_host(&["serve", "udp", "127.0.0.1:7001", "[::1]:7001"]);
    for protocol in ["tcp", "udp"] {
        let said = lab.ask_from("c1", &["ask", protocol, "172.17.0.1:7001"]).ok();
        assert!(said.starts_with("127.0.0.1:"), "{protocol}: {said}");
        let said = lab.ask_from("c2", &["ask", protocol, "10.66.0.1:7001"]).ok();
        assert!(said.starts_with("127.0.0.1:"), "{protocol}: {said}");
        let said = lab.ask_from("c2", &["ask", protocol, "[fd00:66::1]:7001"]).ok();
        assert!(said.starts_with("[::1]:"), "{protocol}: {said}");
    }
    // By name, with a real program; the host's name service at the gateway is not reached.
    let said = lab.daemon.exec("c1", &["nc", "-w", "5", "-N", NAME, "7001"]).ok();
    assert!(said.starts_with("127.0.0.1:"), "{said}");
}

#[test]
fn a_network_has_its_own_say() {
    let lab = Lab::default();
    let option = "vswitch.map_host_loopback=true";
    lab.daemon.ok(&["network", "create", "--subnet", "10.5.0.0/24", "-o", option, "open"]);
    lab.container("c1", &["--network", "open"]);
    lab.container("c2", &[]);
    let _own = lab.serve_on_host(&["serve", "tcp", "127.0.0.1:7001"]);
    lab.ask_from("c1", &["ask", "tcp", "10.5.0.1:7001"]).ok();
    lab.ask_from("c2", &["ask", "tcp", "172.17.0.1:7001"]).fails_with(1);
    // And the other way round.
    let lab = Lab::new(&["--map-host-loopback"]);
    let option = "vswitch.map_host_loopback=false";
    lab.daemon.ok(&["network", "create", "--subnet", "10.5.0.0/24", "-o", option, "closed"]);
    lab.container("c1", &["--network", "closed"]);
    let _own = lab.serve_on_host(&["serve", "tcp", "127.0.0.1:7001"]);
    lab.ask_from("c1", &["ask", "tcp", "10.5.0.1:7001"]).fails_with(1);
    let said =
        lab.daemon.run(&["network", "create", "-o", "vswitch.map_host_loopback=yes", "bad"]).fails_with(1);
    assert!(said.contains("vswitch.map_host_loopback"), "{said}");
}

#[test]
fn host_gateway_is_an_address_for_add_host() {
    let lab = Lab::default();
    lab.daemon.ok(&["network", "create", "--subnet", "10.5.0.0/24", "net1"]);
    lab.container("c1", &["--network", "net1", "--add-host", "here:host-gateway"]);
    lab.container("c2", &["--add-host", "host.docker.internal:192.0.2.9"]);
    assert_eq!(resolved(&lab.daemon, "c1", "here"), "10.5.0.1");
    assert_eq!(resolved(&lab.daemon, "c1", NAME), "10.5.0.1");
    assert_eq!(resolved(&lab.daemon, "c2", NAME), "192.0.2.9");
    assert_eq!(lab.daemon.inspect("c1")["HostConfig"]["ExtraHosts"][0], "here:host-gateway");
    // It moves with the way out.
    lab.daemon.ok(&["network", "connect", "bridge", "c1"]);
    lab.daemon.ok(&["network", "disconnect", "net1", "c1"]);
    assert_eq!(resolved(&lab.daemon, "c1", "here"), "172.17.0.1");
}

#[test]
fn an_internal_network_reaches_nothing_of_the_host() {
    let lab = Lab::new(&["--map-host-loopback"]);
    lab.daemon.ok(&["network", "create", "--internal", "--subnet", "10.5.0.0/24", "inside"]);
    lab.container("c1", &["--network", "inside"]);
    let _own = lab.serve_on_host(&["serve", "tcp", "0.0.0.0:7001"]);
    let said = lab.ask_from("c1", &["ask", "tcp", "10.5.0.1:7001"]).fails_with(1);
    assert!(said.contains("refused"), "{said}");
    let hosts = lab.daemon.exec("c1", &["cat", "/etc/hosts"]).ok();
    assert!(!hosts.contains(NAME), "{hosts}");
}

/// A lab whose host has an interface on every network; `None` for those who may not.
fn with_interface(more: &[&str]) -> Option<Lab> {
    is_root().then(|| Lab::privileged(&[&["--host-interface"], more].concat()))
}

#[test]
fn published_ports_are_reached_over_loopback_beside_the_hosts_interface() {
    let Some(lab) = with_interface(&[]) else { return };
    lab.dual_network("two");
    lab.container("web", &["--network", "two", "-p", "8080:80", "-p", "8080:80/udp"]);
    let v6 = lab.daemon.endpoint("web", "two")["GlobalIPv6Address"].as_str().unwrap().to_owned();
    let at = ["0.0.0.0:80".to_owned(), format!("[{v6}]:80")];
    let _tcp = lab.serve_in("web", &["serve", "tcp", &at[0], &at[1]]);
    let _udp = lab.serve_in("web", &["serve", "udp", &at[0], &at[1]]);
    for protocol in ["tcp", "udp"] {
        for (to, seen) in [("127.0.0.1:8080", "10.66.0.1:"), ("[::1]:8080", "[fd00:66::1]:")] {
            let said = lab.ask_from_host(&["ask", protocol, to]).ok();
            assert!(said.starts_with(seen), "{protocol} {to}: {said}");
        }
        // By address it is the host's own interface, and both at once.
        let said = lab.ask_from_host(&["ask", protocol, "10.66.0.2:80"]).ok();
        assert!(said.starts_with("10.66.0.1:"), "{protocol}: {said}");
        let said = lab.ask_from_world(&["ask", protocol, &format!("{HOST}:8080")]).ok();
        assert!(said.starts_with(&format!("{WORLD}:")), "{protocol}: {said}");
    }
}

#[test]
fn loopback_is_mapped_for_tcp_beside_the_hosts_interface() {
    let Some(lab) = with_interface(&["--map-host-loopback"]) else { return };
    lab.container("c1", &[]);
    let _own = lab.serve_on_host(&["serve", "tcp", "127.0.0.1:7001"]);
    let said = lab.ask_from("c1", &["ask", "tcp", "172.17.0.1:7001"]).ok();
    assert!(said.starts_with("127.0.0.1:"), "{said}");
    // What listens at the interface is reached by UDP, and the host reaches the container.
    let _udp = lab.serve_on_host(&["serve", "udp", "172.17.0.1:7002"]);
    let said = lab.ask_from("c1", &["ask", "udp", "172.17.0.1:7002"]).ok();
    assert!(said.starts_with("172.17.0.2:"), "{said}");
    let _in = lab.serve_in("c1", &["serve", "tcp", "0.0.0.0:7003"]);
    let said = lab.ask_from_host(&["ask", "tcp", "172.17.0.2:7003"]).ok();
    assert!(said.starts_with("172.17.0.1:"), "{said}");
}

#[test]
fn without_the_flag_the_interface_keeps_loopback_out_of_reach() {
    let Some(lab) = with_interface(&[]) else { return };
    lab.container("c1", &[]);
    let _own = lab.serve_on_host(&["serve", "tcp", "127.0.0.1:7001"]);
    let said = lab.ask_from("c1", &["ask", "tcp", "172.17.0.1:7001"]).fails_with(1);
    assert!(said.contains("refused"), "{said}");
    assert_eq!(resolved(&lab.daemon, "c1", NAME), "172.17.0.1");
}

#[test]
fn a_host_without_addresses_refuses_at_the_gateway() {
    let host = Arc::new(Netns::new());
    host.run("ip", &["link", "set", "lo", "up"]).ok();
    let daemon = Daemon::start_in(&host, &[]);
    daemon.sleeper("c1");
    for protocol in ["tcp", "udp"] {
        let said = daemon.exec_own("c1", "peer", &["ask", protocol, "172.17.0.1:9"]).fails_with(1);
        assert!(said.contains("refused"), "{protocol}: {said}");
    }
}
