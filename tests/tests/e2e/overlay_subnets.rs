//! IPv6 on overlay networks, and subnets of theirs.

use serde_json::Value;
use tests::{Background, Cluster, Daemon, eventually, run};

use crate::overlay::hosts;
use crate::support::{until_members, until_network};

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
fn a_network_by_hand_has_one_subnet_of_each_ip_version() {
    let daemon = Daemon::start();
    let by_hand = ["network", "create", "-d", "overlay", "-o", "vni=42", "-o", "peers=192.0.2.2"];
    let two = ["--subnet=10.0.0.0/24", "--subnet=10.0.1.0/24", "lab"];
    let refused = daemon.run(&[&by_hand[..], &two].concat()).fails_with(1);
    assert!(refused.contains("peers are given by hand has one subnet"), "{refused}");
    let no_pool = daemon.run(&[&by_hand[..], &["--ipv6", "lab"]].concat()).fails_with(1);
    assert!(no_pool.contains("IPv6 address pool"), "{no_pool}");
}

/// The inner packets of a capture of the underlay that pass a filter: VNI, and fields of the inner header.
fn tunnelled(file: &str, filter: &str, fields: &[&str]) -> Vec<String> {
    let mut words = vec!["-r", file, "-Y", filter, "-T", "fields", "-E", "occurrence=l", "-e", "vxlan.vni"];
    words.extend(fields.iter().flat_map(|field| ["-e", field]));
    run(std::process::Command::new("tshark").args(words)).ok().lines().map(str::to_owned).collect()
}

#[test]
fn several_subnets_have_a_vni_each_and_are_routed_between_hosts() {
    let Some(cluster) = Cluster::start(2, 1) else { return };
    let (one, two) = (cluster.node(0, &[]), cluster.node(1, &[]));
    let create = ["network", "create", "-d", "overlay", "--subnet=10.9.1.0/29", "--subnet=10.9.2.0/24"];
    let more = ["--gateway=10.9.2.254", "--ip-range=10.9.2.128/25", "--aux-address=kept=10.9.2.128", "demo"];
    let id = one.ok(&[&create[..], &more].concat());
    let shown = until_network(&two, "demo")["IPAM"]["Config"].take();
    assert_eq!((&shown[0]["Subnet"], &shown[0]["Gateway"]), (&"10.9.1.0/29".into(), &"10.9.1.1".into()));
    assert_eq!((&shown[1]["Subnet"], &shown[1]["Gateway"]), (&"10.9.2.0/24".into(), &"10.9.2.254".into()));
    assert_eq!(shown[1]["IPRange"], "10.9.2.128/25");
    let keys = cluster.keys();
    let (_, value) = keys.iter().find(|(key, _)| key.ends_with(&format!("/networks/{id}"))).unwrap();
    let vnis: Value = serde_json::from_str(value).unwrap();
    assert_eq!(vnis["vnis"], serde_json::json!({"10.9.1.0/29": 256, "10.9.2.0/24": 257}));

    // One of each subnet on each host; the rest of the first subnet; then it goes on in the second.
    let on = |daemon: &Daemon, name: &str, more: &[&str]| {
        daemon.sleeper_with(name, &[&["--network", "demo"], more].concat());
        daemon.ip(name, "demo")
    };
    assert_eq!(on(&one, "a1", &[]), "10.9.1.2");
    assert_eq!(on(&two, "a2", &[]), "10.9.1.3");
    assert_eq!(on(&one, "b1", &["--ip", "10.9.2.10"]), "10.9.2.10");
    assert_eq!(on(&two, "b2", &["--ip", "10.9.2.20"]), "10.9.2.20");
    for (name, address) in [("a3", "10.9.1.4"), ("a4", "10.9.1.5"), ("a5", "10.9.1.6")] {
        assert_eq!(on(&two, name, &[]), address);
    }
    assert_eq!(on(&two, "b3", &[]), "10.9.2.129", "the first is full, and one of the second is kept");
    let outside = two.run(&["run", "--network", "demo", "--ip", "10.9.3.2", "--", "true"]).fails_with(125);
    assert!(outside.contains("does not belong to any of this network's subnets"), "{outside}");
    for node in [&one, &two] {
        until_members(node, "demo", 8);
    }
    let routes = one.exec("a1", &["ip", "route"]).ok();
    assert!(routes.contains("10.9.2.0/24 via 10.9.1.1 dev eth0"), "{routes}");
    let routes = one.exec("b1", &["ip", "route"]).ok();
    assert!(routes.contains("10.9.1.0/29 via 10.9.2.254 dev eth0"), "{routes}");

    let file = one.dir().join("wire.pcap");
    let file = file.to_str().unwrap();
    let words = ["-U", "--immediate-mode", "-i", "wire", "-w", file, "udp", "port", "4789"];
    let mut wire = Background::start(&mut cluster.hosts[1].command("tcpdump", &words));
    wire.line(|line| line.contains("listening on wire"));
    for (from, to) in [("a1", "10.9.1.3"), ("a1", "10.9.2.20"), ("b1", "10.9.1.3"), ("b1", "10.9.2.20")] {
        one.ping(from, to);
    }
    one.ping("a1", "10.9.2.10");
    one.ping("a1", "b3");
    two.ping("b3", "a1");
    // Of the underlay: the subnet of the destination says under which number a packet crosses, one hop further
    // where it was routed.
    let seen = eventually("the pings on the underlay", || {
        let filter = "vxlan && icmp.type == 8 && ip.dst == 10.9.2.129";
        (!tunnelled(file, filter, &[]).is_empty()).then(|| {
            let all = tunnelled(file, "vxlan && icmp", &["ip.dst", "ip.ttl", "icmp.type"]);
            all.into_iter().collect::<std::collections::BTreeSet<_>>()
        })
    });
    for line in [
        "256\t10.9.1.3\t64\t8",
        "257\t10.9.2.20\t63\t8",
        "256\t10.9.1.2\t63\t0",
        "256\t10.9.1.3\t63\t8",
        "257\t10.9.2.20\t64\t8",
        "257\t10.9.2.10\t63\t0",
    ] {
        assert!(seen.contains(line), "{line:?} is not in {seen:#?}");
    }
    let crossed = seen.iter().find(|line| line.starts_with("256") != line.contains("\t10.9.1."));
    assert_eq!(crossed, None, "{seen:#?}");

    // Super-frames are routed whole.
    let mut server = Background::start(&mut two.exec_command("b2", &["iperf3", "-s", "-1", "--forceflush"]));
    server.line(|line| line.contains("Server listening"));
    let sent = one.exec("a1", &["iperf3", "-c", "10.9.2.20", "-n", "8M", "-J"]).ok();
    assert!(sent.contains("\"sum_received\""), "{sent}");
    server.end();
    wire.interrupt();

    // The gateway is a router like others.
    one.ping("a1", "10.9.2.254");
    let expired = one.exec("a1", &["ping", "-c", "1", "-t", "1", "-W", "10", "10.9.2.20"]).stdout;
    assert!(expired.contains("From 10.9.1.1") && expired.contains("Time to live exceeded"), "{expired}");
    let nobody = one.exec("a1", &["ping", "-c", "1", "-W", "10", "10.9.2.99"]).stdout;
    assert!(nobody.contains("From 10.9.1.1") && nobody.contains("Destination Host Unreachable"), "{nobody}");

    // And says how long a packet may be that goes on to another host.
    cluster.hosts[0].run("ip", &["link", "set", "wire", "mtu", "1400"]).ok();
    eventually("the MTU of the way", || {
        let told = one.exec("a1", &["ping", "-c", "1", "-M", "do", "-s", "1400", "-W", "1", "10.9.2.20"]);
        (told.stdout + &told.stderr).contains("1350").then_some(())
    });
    cluster.hosts[0].run("ip", &["link", "set", "wire", "mtu", "1500"]).ok();

    // Each subnet is a broadcast domain of its own, with a bridge.
    let bridges = one.ok(&["bridge", "show", "demo", "--format", "{{.Name}}"]);
    let short = format!("br-{}", &id[..12]);
    assert_eq!(bridges.lines().collect::<Vec<_>>(), [short.clone(), format!("{short}.1")]);
    let ports = |bridge: &str| {
        let fdb = one.ok(&["bridge", "fdb", bridge, "--format", "{{.PortName}}"]);
        fdb.lines().filter(|line| line.ends_with(":eth0")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(ports(&short), ["a1:eth0"]);
    assert_eq!(ports(&format!("{short}.1")), ["b1:eth0"]);
    assert_eq!(ports("demo"), ["a1:eth0", "b1:eth0"]);

    // An interface that comes later has the routes too, and a daemon that died is replaced.
    one.sleeper_with("late", &[]);
    one.ok(&["network", "connect", "--ip", "10.9.2.30", "demo", "late"]);
    let routes = one.exec("late", &["ip", "route"]).ok();
    assert!(routes.contains("10.9.1.0/29 via 10.9.2.254 dev eth1"), "{routes}");
    two.ping("a2", "10.9.2.30");
    // Who is back first is not told that the others are unreachable.
    let ping = ["ping", "-i", "0.05", "10.9.2.10"];
    let mut pings = Background::start(&mut one.exec_command("a1", &ping));
    pings.line(|line| line.contains("bytes from"));
    let mut one = one;
    one.kill();
    one.start_again();
    two.ping("a2", "10.9.2.10");
    one.ping("a1", "10.9.2.20");
    one.ping("a1", "10.9.2.10");
    let (_, said) = pings.interrupt();
    assert!(!said.contains("From 10.9.1.1"), "{said}");
}

#[test]
fn subnets_of_both_ip_versions_go_together_in_pairs() {
    let Some(cluster) = Cluster::start(2, 1) else { return };
    let (one, two) = (cluster.node(0, &[]), cluster.node(1, &[]));
    let v4 = ["network", "create", "-d", "overlay", "--subnet=10.9.1.0/24", "--subnet=10.9.2.0/24", "--ipv6"];
    let refused = one.run(&[&v4[..], &["--subnet=fd00:1::/64", "demo"]].concat()).fails_with(1);
    assert!(refused.contains("as many IPv6 subnets as IPv4 subnets"), "{refused}");
    let list = "com.docker.network.driver.overlay.vxlanid_list";
    let pairs = ["--subnet=fd00:1::/64", "--subnet=fd00:2::/64", "demo"];
    let few = one.run(&[&v4[..], &["-o", &format!("{list}=77")], &pairs].concat()).fails_with(1);
    assert!(few.contains("insufficient vnis(1) passed to overlay"), "{few}");
    one.ok(&[&v4[..], &["-o", &format!("{list}=78,77")], &pairs].concat());
    until_network(&two, "demo");
    let vnis = cluster.keys().into_iter().find(|(key, _)| key.contains("/networks/")).unwrap().1;
    let vnis: Value = serde_json::from_str(&vnis).unwrap();
    assert_eq!(vnis["vnis"], serde_json::json!({"10.9.1.0/24": 78, "10.9.2.0/24": 77}));
    let a = sleeper(&one, "a1", "demo");
    two.sleeper_with("b1", &["--network", "demo", "--ip", "10.9.2.9"]);
    let b = two.endpoint("b1", "demo")["GlobalIPv6Address"].as_str().unwrap().to_owned();
    assert!(a.starts_with("fd00:1::") && b.starts_with("fd00:2::"), "{a} {b}");
    until_members(&one, "demo", 2);
    until_members(&two, "demo", 2);
    ping6(&one, "a1", &b);
    ping6(&two, "b1", &a);
    two.ping("b1", "10.9.1.2");
}
