//! Overlay networks of several nodes with a store: real etcd, hosts that are network namespaces on one
//! underlay.

use serde_json::Value;
use tests::{Background, Cluster, Daemon, eventually};

use crate::support::{Pinging, addresses, interfaces, store_info, until_members, until_network};

fn sleeper(daemon: &Daemon, name: &str) -> String {
    daemon.sleeper_with(name, &["--network", "demo"]);
    daemon.ip(name, "demo")
}

#[test]
fn walkthrough_9_two_hosts() {
    let Some(cluster) = Cluster::start(2, 1) else { return };
    let (one, two) = (cluster.node(0, &[]), cluster.node(1, &[]));
    let id = one.ok(&["network", "create", "-d", "overlay", "demo"]);
    let there = until_network(&two, "demo");
    assert_eq!(there["Id"], id.as_str());
    assert_eq!((&there["Driver"], &there["Scope"]), (&"overlay".into(), &"global".into()));
    assert_eq!(there["IPAM"]["Config"][0]["Subnet"], "10.0.0.0/24");
    assert_eq!(there, one.network("demo"));
    let again = two.run(&["network", "create", "-d", "overlay", "demo"]).fails_with(1);
    assert!(again.contains("network with name demo already exists"), "{again}");

    assert_eq!(sleeper(&one, "test1"), "10.0.0.2");
    assert_eq!(interfaces(&one, "test1"), ["eth0", "eth1", "lo"]);
    assert_eq!(addresses(&one, "test1", "eth0"), ["10.0.0.2/24"]);
    let link = one.exec("test1", &["ip", "-o", "link", "show", "eth0"]).ok();
    assert!(link.contains("mtu 1450") && link.contains("02:42:0a:00:00:02"), "{link}");
    let bridge = one.network("docker_gwbridge");
    let gateway = bridge["IPAM"]["Config"][0]["Gateway"].as_str().unwrap();
    let route = one.exec("test1", &["ip", "route", "show", "default"]).ok();
    assert!(route.starts_with(&format!("default via {gateway} dev eth1")), "{route}");
    assert_eq!(bridge["Options"]["com.docker.network.bridge.enable_icc"], "false");
    assert!(one.endpoint("test1", "docker_gwbridge").is_null(), "nobody asked for it");

    let test1 = one.container_id("test1");
    let run = ["run", "-d", "--name", "test1", "--network", "demo", "--", "sleep", "infinity"];
    let refused = two.run(&run).fails_with(125);
    let sentence = format!(
        "Conflict. The container name \"/test1\" is already in use by container \"{test1}\". You have to remove (or \
         rename) that container to be able to reuse that name."
    );
    assert!(refused.contains(&sentence), "{refused}");

    assert_eq!(sleeper(&two, "test2"), "10.0.0.3");
    for (node, from, to, address) in
        [(&one, "test1", "test2", "10.0.0.3"), (&two, "test2", "test1", "10.0.0.2")]
    {
        until_members(node, "demo", 2);
        node.ping(from, address);
        node.ping(from, to);
    }

    let on_demo = until_members(&one, "demo", 2);
    assert_eq!(on_demo[&test1]["IPv4Address"], "10.0.0.2/24");
    let far = two.endpoint("test2", "demo")["EndpointID"].as_str().unwrap().to_owned();
    let far = &on_demo[format!("ep-{far}")];
    assert_eq!((&far["Name"], &far["IPv4Address"]), (&"test2".into(), &"10.0.0.3/24".into()));
    assert_eq!(far["MacAddress"], "02:42:0a:00:00:03");

    let keys = cluster.keys();
    let value = |end: &str| -> Value {
        let found = keys.iter().find(|(key, _)| key.ends_with(end));
        let (_, value) = found.unwrap_or_else(|| panic!("no key {end} in {keys:?}"));
        serde_json::from_str(value).unwrap_or_else(|e| panic!("{e} in {value}"))
    };
    let network = value(&format!("/networks/{id}"));
    assert_eq!((&network["name"], &network["vnis"]["10.0.0.0/24"]), (&"demo".into(), &256.into()));
    let endpoint = value(&format!("/endpoints/{id}/10.0.0.3"));
    assert_eq!((&endpoint["name"], &endpoint["vtep"]), (&"test2".into(), &"192.0.2.2".into()));
    assert_eq!(value("/nodes/n1")["vtep"], "192.0.2.1");
    assert_eq!(value("/containers/test1")["container"], test1.as_str());

    let in_use = one.run(&["network", "rm", "demo"]).fails_with(1);
    assert!(in_use.contains("has active endpoints"), "{in_use}");
    one.ok(&["rm", "-f", "test1"]);
    let still = one.run(&["network", "rm", "demo"]).fails_with(1);
    assert!(still.contains("has active endpoints"), "test2 is on it, elsewhere: {still}");
    assert_eq!(sleeper(&two, "test1"), "10.0.0.2", "name and address are free at once");
    two.ok(&["rm", "-f", "test1", "test2"]);
    two.ok(&["network", "rm", "demo"]);
    eventually("the network to go", || {
        let names = one.ok(&["network", "ls", "--format", "{{.Name}}"]);
        (!names.contains("demo")).then_some(())
    });
    let left: Vec<String> = cluster.keys().into_iter().map(|(key, _)| key).collect();
    let left: Vec<&String> =
        left.iter().filter(|k| k.contains("endpoints") || k.contains("containers")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn walkthrough_10_look_inside() {
    let Some(cluster) = Cluster::start(2, 1) else { return };
    let (one, two) = (cluster.node(0, &[]), cluster.node(1, &[]));
    one.ok(&["network", "create", "-d", "overlay", "demo"]);
    until_network(&two, "demo");
    sleeper(&one, "test1");
    let test2 = sleeper(&two, "test2");
    until_members(&one, "demo", 2);
    until_members(&two, "demo", 2);

    let inside = one.dir().join("inside.pcapng");
    let outside = one.dir().join("outside.pcap");
    let (inside, outside) = (inside.to_str().unwrap(), outside.to_str().unwrap());
    let own = one.background(&["capture", "-i", "demo", "-w", inside, "-c", "4", "icmp"]);
    let words = ["-U", "--immediate-mode", "-i", "wire", "-w", outside, "udp", "port", "4789"];
    let mut wire = Background::start(&mut cluster.hosts[1].command("tcpdump", &words));
    wire.line(|line| line.contains("listening on wire"));
    one.exec("test1", &["ping", "-c", "4", "-i", "0.2", "-W", "10", &test2]).ok();
    let (status, said) = own.end();
    assert_eq!(status, 0, "{said}");
    let shark = |file: &str, more: &[&str]| {
        let words =
            [&["-r", file, "-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"], more].concat();
        tests::run(std::process::Command::new("tshark").args(words)).ok()
    };
    // What the wire saw is in the file once it was seen on it.
    let tunnelled = eventually("four pings on the underlay", || {
        let filter = [
            "-Y",
            "vxlan && icmp",
            "-T",
            "fields",
            "-E",
            "occurrence=a",
            "-e",
            "vxlan.vni",
            "-e",
            "udp.checksum.status",
            "-e",
            "ip.checksum.status",
            "-e",
            "icmp.checksum.status",
        ];
        let lines = shark(outside, &filter);
        (lines.lines().count() >= 8).then_some(lines)
    });
    for line in tunnelled.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        assert_eq!(fields, ["256", "1", "1,1", "1"], "VNI, checksums of UDP, both IPs and ICMP: {tunnelled}");
    }
    wire.interrupt();
    let frames = shark(inside, &["-Y", "icmp", "-T", "fields", "-e", "ip.src", "-e", "ip.dst"]);
    assert!(frames.contains("10.0.0.2\t10.0.0.3"), "{frames}");
    assert!(shark(inside, &["-Y", "vxlan"]).is_empty(), "inside there is no tunnel");
}

#[test]
fn a_killed_daemon_and_a_killed_store_come_back_and_nothing_is_lost_between_others() {
    let Some(mut cluster) = Cluster::start(3, 1) else { return };
    let mut nodes: Vec<Daemon> = (0..3).map(|n| cluster.node(n, &[])).collect();
    nodes[0].ok(&["network", "create", "-d", "overlay", "demo"]);
    for (n, node) in nodes.iter().enumerate() {
        until_network(node, "demo");
        sleeper(node, &format!("c{n}"));
    }
    for node in &nodes {
        until_members(node, "demo", 3);
    }
    let c1 = nodes[1].ip("c1", "demo");
    let c2 = nodes[2].ip("c2", "demo");
    let mut pinging = Pinging::start(&nodes[0], "c0", &c1);

    nodes[2].kill();
    pinging.goes_on();
    nodes[2].start_again();
    eventually("the container to be taken back", || (nodes[2].names(false) == ["c2"]).then_some(()));
    nodes[0].ping("c0", &c2);
    nodes[2].ping("c2", "c1");

    cluster.kill_member(0);
    pinging.goes_on();
    let begun = std::time::Instant::now();
    let refused = nodes[0].run(&["network", "create", "-d", "overlay", "more"]).fails_with(1);
    assert!(refused.contains("the store does not answer"), "{refused}");
    let run = ["run", "-d", "--network", "demo", "--", "sleep", "infinity"];
    let refused = nodes[1].run(&run).fails_with(125);
    assert!(refused.contains("the store does not answer"), "{refused}");
    assert!(begun.elapsed().as_secs() < 30, "two writes that cannot be take 5 s each at most");
    // A daemon that is started meanwhile goes on with what the one before it knew.
    nodes[2].kill();
    nodes[2].start_again();
    eventually("the container to be taken back", || (nodes[2].names(false) == ["c2"]).then_some(()));
    nodes[2].ping("c2", &c1);
    nodes[2].ping("c2", "c1");

    cluster.start_member_again(0);
    cluster.until_it_answers();
    eventually("new containers", || (nodes[1].run(&run).status == 0).then_some(()));
    for node in &nodes {
        until_members(node, "demo", 4);
        eventually("everybody to have joined", || (store_info(node)["Joined"] == true).then_some(()));
    }
    pinging.goes_on();
    pinging.lost_none();
}

#[test]
fn ports_of_overlay_containers_are_published_and_the_outside_is_reached() {
    let Some(cluster) = Cluster::start(2, 1) else { return };
    let one = cluster.node(0, &[]);
    one.ok(&["network", "create", "-d", "overlay", "--attachable", "demo"]);
    assert_eq!(one.network("demo")["Attachable"], true);
    let serve = "echo hello | nc -N -l -p 80";
    one.ok(&["run", "-d", "--name", "web", "--network", "demo", "-p", "8080:80", "--", "sh", "-c", serve]);
    assert_eq!(one.ok(&["port", "web"]).lines().next(), Some("80/tcp -> 0.0.0.0:8080"));
    eventually("the published port", || {
        let got = cluster.hosts[1].run("nc", &["-w", "5", "-d", "192.0.2.1", "8080"]);
        got.stdout.contains("hello").then_some(())
    });
    one.sleeper_with("out", &["--network", "demo"]);
    one.ping("out", "192.0.2.201");
    let two_ways = one.exec("out", &["ip", "-o", "-4", "addr", "show"]).ok();
    assert!(two_ways.contains("eth1"), "{two_ways}");

    one.ok(&["network", "create", "-d", "overlay", "--internal", "closed"]);
    one.sleeper_with("in", &["--network", "closed"]);
    assert_eq!(interfaces(&one, "in"), ["eth0", "lo"]);
    one.ok(&["network", "connect", "demo", "in"]);
    assert_eq!(interfaces(&one, "in"), ["eth0", "eth1", "eth2", "lo"]);
    one.ok(&["network", "disconnect", "demo", "in"]);
    assert_eq!(interfaces(&one, "in"), ["eth0", "lo"]);
    let encrypted =
        one.run(&["network", "create", "-d", "overlay", "-o", "encrypted=true", "secret"]).fails_with(1);
    assert!(encrypted.contains("cannot be encrypted yet"), "{encrypted}");
    one.ok(&["rm", "-f", "web", "out", "in"]);
    let pruned = one.ok(&["network", "prune", "-f"]);
    for name in ["demo", "closed", "docker_gwbridge"] {
        assert!(pruned.contains(name), "{pruned}");
    }
}
