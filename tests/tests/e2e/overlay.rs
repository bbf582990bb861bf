//! Overlay networks whose peers are given by hand: hosts are network namespaces, joined by veth.

use std::sync::Arc;

use tests::{Daemon, Netns, eventually, is_root};

/// Two hosts on one wire, at 192.0.2.1 and 192.0.2.2.
pub(crate) fn hosts() -> Option<[Arc<Netns>; 2]> {
    if !is_root() {
        eprintln!("skipped: only root joins two network namespaces");
        return None;
    }
    let hosts = [Arc::new(Netns::named()), Arc::new(Netns::named())];
    let path = |host: &Netns| host.path().to_str().unwrap().to_owned();
    let wire = ["link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns"];
    hosts[0].run("ip", &[&wire[..], &[&path(&hosts[1])]].concat()).ok();
    for (host, address) in hosts.iter().zip(["192.0.2.1/24", "192.0.2.2/24"]) {
        host.run("ip", &["addr", "add", address, "dev", "wire"]).ok();
        host.run("ip", &["link", "set", "lo", "up"]).ok();
        host.run("ip", &["link", "set", "wire", "up"]).ok();
    }
    Some(hosts)
}

fn network(daemon: &Daemon, peers: &str, range: &str) {
    let (peers, range) = (format!("peers={peers}"), format!("--ip-range={range}"));
    let subnet = "--subnet=10.0.0.0/24";
    daemon.ok(&["network", "create", "-d", "overlay", "-o", "vni=42", "-o", &peers, subnet, &range, "lab"]);
}

fn sleeper(daemon: &Daemon, name: &str) -> String {
    daemon.ok(&["run", "-d", "--name", name, "--network", "lab", "--", "sleep", "infinity"]);
    let lab = &daemon.inspect(name)["NetworkSettings"]["Networks"]["lab"];
    lab["IPAddress"].as_str().unwrap().to_owned()
}

#[test]
fn containers_of_two_hosts_are_on_one_network() {
    let Some(hosts) = hosts() else { return };
    let one = Daemon::start_in(&hosts[0], &["--advertise", "192.0.2.1"]);
    let two = Daemon::start_in(&hosts[1], &[]);
    network(&one, "192.0.2.2", "10.0.0.0/25");
    network(&two, "192.0.2.1", "10.0.0.128/25");
    let (u1, u2) = (sleeper(&one, "u1"), sleeper(&two, "u2"));
    assert_eq!(u1, "10.0.0.2");
    one.ping("u1", &u2);
    two.ping("u2", &u1);

    let link = one.exec("u1", &["ip", "link", "show", "eth0"]).ok();
    assert!(link.contains("mtu 1450"), "{link}");
    let routes = one.exec("u1", &["ip", "route"]).ok();
    assert!(routes.contains("default via") && routes.contains("dev eth1"), "by docker_gwbridge: {routes}");

    let mut server =
        tests::Background::start(&mut two.exec_command("u2", &["iperf3", "-s", "-1", "--forceflush"]));
    server.line(|line| line.contains("Server listening"));
    let sent = one.exec("u1", &["iperf3", "-c", &u2, "-n", "8M", "-J"]).ok();
    assert!(sent.contains("\"sum_received\""), "{sent}");
    server.end();
}

#[test]
fn a_kernel_vxlan_device_is_a_peer() {
    let Some(hosts) = hosts() else { return };
    let one = Daemon::start_in(&hosts[0], &["--vxlan-port", "8472"]);
    network(&one, "192.0.2.2", "10.0.0.0/25");
    let device = "link add vxlan0 type vxlan id 42 dstport 8472 local 192.0.2.2 remote 192.0.2.1 dev wire";
    hosts[1].run("ip", &device.split(' ').collect::<Vec<_>>()).ok();
    hosts[1].run("ip", &["addr", "add", "10.0.0.200/24", "dev", "vxlan0"]).ok();
    hosts[1].run("ip", &["link", "set", "vxlan0", "up"]).ok();
    let u1 = sleeper(&one, "u1");
    one.ping("u1", "10.0.0.200");
    hosts[1].run("ping", &["-c", "2", "-i", "0.2", "-W", "10", &u1]).ok();
    let mut server = hosts[1].command("iperf3", &["-s", "-1", "--forceflush"]);
    let mut server = tests::Background::start(&mut server);
    server.line(|line| line.contains("Server listening"));
    for way in ["--", "-R"] {
        let mut words = vec!["iperf3", "-c", "10.0.0.200", "-n", "4M", "-J"];
        if way == "-R" {
            let mut again = hosts[1].command("iperf3", &["-s", "-1", "--forceflush"]);
            std::mem::replace(&mut server, tests::Background::start(&mut again)).end();
            server.line(|line| line.contains("Server listening"));
            words.push(way);
        }
        let sent = one.exec("u1", &words).ok();
        assert!(sent.contains("\"sum_received\""), "{sent}");
    }
    server.end();
}

#[test]
fn a_network_by_hand_survives_its_daemon() {
    let Some(hosts) = hosts() else { return };
    let mut one = Daemon::start_in(&hosts[0], &[]);
    let two = Daemon::start_in(&hosts[1], &[]);
    network(&one, "192.0.2.2", "10.0.0.0/25");
    network(&two, "192.0.2.1", "10.0.0.128/25");
    sleeper(&one, "u1");
    let u2 = sleeper(&two, "u2");
    one.ping("u1", &u2);
    one.kill();
    one.start_again();
    eventually("the container to be taken back", || (one.names(false) == ["u1"]).then_some(()));
    one.ping("u1", &u2);
}

#[test]
fn what_an_overlay_cannot_be_is_said_in_a_sentence() {
    let daemon = Daemon::start();
    let refusal = |options: &[&str]| {
        let mut words = vec!["network", "create", "-d", "overlay"];
        words.extend(options);
        words.push("lab");
        daemon.run(&words).fails_with(1)
    };
    for (options, sentence) in [
        (&[][..], "an overlay network needs a store"),
        (&["-o", "peers=192.0.2.2"], "give -o vni=NUMBER"),
        (&["-o", "vni=42", "-o", "peers=192.0.2.2", "-o", "encrypted=true"], "cannot be encrypted yet"),
        (&["-o", "vni=42", "-o", "peers=nobody"], "\"nobody\" is no address of a host"),
        (&["-o", "vni=42", "-o", "peers=192.0.2.2", "--ipv6", "--subnet=fd00::/64"], "have no IPv6 yet"),
    ] {
        let said = refusal(options);
        assert!(said.contains(sentence), "{options:?}: {said}");
    }
    assert_eq!(daemon.ok(&["network", "ls", "-q"]).lines().count(), 3);
}
