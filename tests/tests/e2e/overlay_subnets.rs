//! IPv6 on overlay networks, and subnets of theirs.

use serde_json::Value;
use tests::{Background, Cluster, Daemon, eventually, run};

use crate::overlay::hosts;

/// A container on a network, and its IPv6 address there.
fn sleeper(daemon: &Daemon, name: &str, network: &str) -> String {
    daemon.sleeper_with(name, &["--network", network]);
    let address = daemon.endpoint(name, network)["GlobalIPv6Address"].as_str().unwrap().to_owned();
    let shown = daemon.exec(name, &["ip", "-6", "-o", "addr", "show", "dev", "eth0"]).ok();
    assert!(shown.contains(&format!("{address}/64")), "{address} in {shown}");
    address
}

fn ping6(daemon: &Daemon, from: &str, to: &str) {
    daemon.exec(from, &["ping", "-6", "-c", "2", "-i", "0.2", "-W", "10", to]).ok();
}

#[test]
fn containers_of_two_hosts_reach_each_other_over_ipv6() {
    let Some(hosts) = hosts() else { return };
    let daemons = [Daemon::start_in(&hosts[0], &[]), Daemon::start_in(&hosts[1], &[])];
    for (daemon, [peer, range]) in
        daemons.iter().zip([["192.0.2.2", "10.0.0.0/25"], ["192.0.2.1", "10.0.0.128/25"]])
    {
        let (peers, range) = (format!("peers={peer}"), format!("--ip-range={range}"));
        let own = ["-o", "vni=42", "-o", &peers, "--subnet=10.0.0.0/24", &range];
        let create = ["network", "create", "-d", "overlay", "--ipv6", "--subnet=fd00:42::/64"];
        daemon.ok(&[&create[..], &own, &["lab"]].concat());
        assert_eq!(daemon.network("lab")["EnableIPv6"], true);
    }
    let [one, two] = &daemons;
    let (u1, u2) = (sleeper(one, "u1", "lab"), sleeper(two, "u2", "lab"));
    ping6(one, "u1", &u2);
    ping6(two, "u2", &u1);
    one.ping("u1", &two.ip("u2", "lab"));
    let routes = one.exec("u1", &["ip", "-6", "route"]).ok();
    assert!(routes.contains("fd00:42::/64 dev eth0"), "{routes}");
    assert!(!routes.contains("default via"), "an overlay is no way out: {routes}");

    let mut server =
        Background::start(&mut two.exec_command("u2", &["iperf3", "-6", "-s", "-1", "--forceflush"]));
    server.line(|line| line.contains("Server listening"));
    let sent = one.exec("u1", &["iperf3", "-6", "-c", &u2, "-n", "8M", "-J"]).ok();
    assert!(sent.contains("\"sum_received\""), "{sent}");
    server.end();
}

#[test]
fn nodes_claim_ipv6_addresses_and_answer_for_each_other_by_name_and_address() {
    let Some(cluster) = Cluster::start(2, 1) else { return };
    let (one, two) = (cluster.node(0, &[]), cluster.node(1, &[]));
    let create =
        ["network", "create", "-d", "overlay", "--ipv6", "--subnet=10.9.0.0/24", "--subnet=fd00:9::/64"];
    one.ok(&[&create[..], &["demo"]].concat());
    eventually("the network on the other node", || {
        two.ok(&["network", "ls", "-q", "-f", "name=demo"]).lines().next().map(drop)
    });
    assert_eq!(two.network("demo")["EnableIPv6"], true);
    let (a1, a2) = (sleeper(&one, "test1", "demo"), sleeper(&two, "test2", "demo"));
    assert_ne!(a1, a2);
    let far = eventually("the other node's endpoint", || {
        let on = one.network("demo")["Containers"].take();
        let far = on.as_object()?.values().find(|endpoint| endpoint["Name"] == "test2").cloned();
        far.filter(|far| far["IPv6Address"] != "")
    });
    assert_eq!(far["IPv6Address"], Value::from(format!("{a2}/64")));

    // Who has the address is answered where it is asked: no solicitation for it crosses.
    let file = one.dir().join("wire.pcap");
    let file = file.to_str().unwrap();
    let words = ["-U", "--immediate-mode", "-i", "wire", "-w", file, "udp", "port", "4789"];
    let mut wire = Background::start(&mut cluster.hosts[1].command("tcpdump", &words));
    wire.line(|line| line.contains("listening on wire"));
    ping6(&one, "test1", &a2);
    ping6(&two, "test2", "test1");
    let shark = |filter: &str| {
        let words = ["-r", file, "-Y", filter, "-T", "fields", "-E", "occurrence=a", "-e", "ipv6.dst"];
        run(std::process::Command::new("tshark").args(words)).ok()
    };
    eventually("four pings on the underlay", || {
        (shark("vxlan && icmpv6.type == 128").lines().count() >= 4).then_some(())
    });
    wire.interrupt();
    for address in [&a1, &a2] {
        let asked = shark(&format!("vxlan && icmpv6.nd.ns.target_address == {address}"));
        assert!(asked.is_empty(), "{asked}");
    }

    // One address, one owner, whichever node is asked.
    let again =
        two.run(&["run", "-d", "--network", "demo", "--ip6", &a1, "--", "sleep", "infinity"]).fails_with(125);
    assert!(again.contains("Address already in use"), "{again}");
    one.ok(&["rm", "-f", "test1"]);
    two.ok(&["run", "-d", "--name", "heir", "--network", "demo", "--ip6", &a1, "--", "sleep", "infinity"]);
    ping6(&two, "test2", &a1);
}

#[test]
fn an_overlay_has_one_subnet_of_each_ip_version() {
    let daemon = Daemon::start();
    let by_hand = ["network", "create", "-d", "overlay", "-o", "vni=42", "-o", "peers=192.0.2.2"];
    let two = ["--subnet=10.0.0.0/24", "--subnet=10.0.1.0/24", "lab"];
    let refused = daemon.run(&[&by_hand[..], &two].concat()).fails_with(1);
    assert!(refused.contains("overlay driver doesn't support multiple subnets"), "{refused}");
    let no_pool = daemon.run(&[&by_hand[..], &["--ipv6", "lab"]].concat()).fails_with(1);
    assert!(no_pool.contains("IPv6 address pool"), "{no_pool}");
}
