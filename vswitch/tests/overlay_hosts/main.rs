//! Hosts that are network namespaces, joined by veth: kernels at the ends of every overlay here.

#![allow(clippy::unwrap_used)]

mod net;
mod ovs;

use std::process::Stdio;

use net::{Host, Netns, Running, cable, eventually, is_root, transfer};
use ovs::OpenVswitch;

/// Two hosts with a cable between them, one address each.
fn two(one: &str, two: &str, len: u8) -> (Netns, Netns) {
    let (a, b) = (Netns::new(), Netns::new());
    cable((&a, "wire", &format!("{one}/{len}")), (&b, "wire", &format!("{two}/{len}")));
    (a, b)
}

fn ping(from: &Netns, to: &str) {
    from.run(&format!("ping -q -c 3 -i 0.2 -W 5 {to}"));
}

/// Nothing that came from outside was refused.
fn nothing_dropped(host: &Host) {
    let counters = [host.network.network().drops(), host.overlay.drops()];
    assert!(counters.iter().all(|counter| counter.total() == 0), "{counters:?}");
}

#[test]
fn containers_on_two_hosts_are_on_one_ethernet() {
    if !is_root() {
        return;
    }
    let (a, b) = two("192.0.2.1", "192.0.2.2", 24);
    let a = Host::new(a, "192.0.2.1", &["192.0.2.2"], 1, true);
    let b = Host::new(b, "192.0.2.2", &["192.0.2.1"], 2, true);
    for address in ["10.9.0.2", "fd09::2"] {
        ping(&a.container, address);
        transfer(&a.container, &b.container, address, 20);
    }
    // Full-size packets, not to be fragmented, fit exactly.
    a.container.run("ping -q -c 1 -W 5 -M do -s 1422 10.9.0.2");
    let path = a.overlay.path("192.0.2.2".parse().unwrap());
    assert_eq!((path.mtu(), path.segmentation(), path.drops().total()), (1500, true, 0));
    nothing_dropped(&a);
}

#[test]
fn the_underlay_may_be_ipv6() {
    if !is_root() {
        return;
    }
    let (a, b) = two("2001:db8::1", "2001:db8::2", 64);
    let a = Host::new(a, "2001:db8::1", &["2001:db8::2"], 1, true);
    let b = Host::new(b, "2001:db8::2", &["2001:db8::1"], 2, true);
    ping(&a.container, "10.9.0.2");
    // 20 bytes less than over IPv4: the containers' kernels are told, and send less.
    assert_eq!(a.overlay.inner_mtu(["2001:db8::2".parse().unwrap()]), Some(1430));
    transfer(&a.container, &b.container, "10.9.0.2", 20);
    transfer(&b.container, &a.container, "fd09::1", 20);
    assert!(a.container.run("ip route get 10.9.0.2").contains("mtu 1430"));
}

/// A kernel VXLAN device in `container`, its sockets in `host`.
fn kernel_device(host: &Netns, container: &Netns, local: &str, remote: &str) {
    host.ip(&format!("link add vx0 type vxlan id 42 dstport 4789 local {local} remote {remote} dev wire"));
    host.ip(&format!("link set vx0 netns {}", container.name()));
    container.ip("address add 10.9.0.2/24 dev vx0");
    container.ip("address add fd09::2/64 dev vx0 nodad");
    container.ip("link set vx0 up mtu 1450");
}

#[test]
fn a_kernel_vxlan_device_is_a_peer_like_any_other() {
    if !is_root() {
        return;
    }
    let (a, b) = two("192.0.2.1", "192.0.2.2", 24);
    // First, so that it knows network and peer before anything comes from there.
    let a = Host::new(a, "192.0.2.1", &["192.0.2.2"], 1, true);
    let kernel = Netns::new();
    kernel_device(&b, &kernel, "192.0.2.2", "192.0.2.1");
    for address in ["10.9.0.2", "fd09::2"] {
        ping(&a.container, address);
        transfer(&a.container, &kernel, address, 20);
    }
    ping(&kernel, "10.9.0.1");
    transfer(&kernel, &a.container, "10.9.0.1", 20);
    nothing_dropped(&a);
}

#[test]
fn a_kernel_device_that_has_its_packets_cut_and_summed_is_one_too() {
    if !is_root() {
        return;
    }
    let (a, b) = two("192.0.2.1", "192.0.2.2", 24);
    // As over a wire: nothing leaves unfinished.
    for host in [&a, &b] {
        host.run("ethtool -K wire tx off tso off gso off gro off");
    }
    let kernel = Netns::new();
    kernel_device(&b, &kernel, "192.0.2.2", "192.0.2.1");
    let a = Host::new(a, "192.0.2.1", &["192.0.2.2"], 1, true);
    ping(&a.container, "10.9.0.2");
    transfer(&a.container, &kernel, "10.9.0.2", 10);
    transfer(&kernel, &a.container, "10.9.0.1", 10);
}

#[test]
fn open_vswitch_is_a_peer_like_any_other() {
    if !is_root() {
        return;
    }
    let (a, b) = (Netns::new(), Netns::new());
    cable((&a, "wire", "192.0.2.1/24"), (&b, "wire", "192.0.2.254/24"));
    b.ip("address flush dev wire");
    // Open vSwitch reads the wire with a packet socket, and so wants what would be on a wire.
    a.run("ethtool -K wire tx off tso off gso off");
    let Some(ovs) = OpenVswitch::start(&b) else { return };
    ovs.vsctl("add-br br-wire -- set bridge br-wire datapath_type=netdev -- add-port br-wire wire");
    b.ip("address add 192.0.2.2/24 dev br-wire");
    b.ip("link set br-wire up");
    ovs.vsctl("add-br br-in -- set bridge br-in datapath_type=netdev");
    ovs.vsctl(
        "add-port br-in vx0 -- set interface vx0 type=vxlan options:remote_ip=192.0.2.1 options:key=42",
    );
    ovs.vsctl("add-port br-in c2 -- set interface c2 type=internal");
    let container = Netns::new();
    b.ip(&format!("link set c2 netns {}", container.name()));
    container.ip("address add 10.9.0.2/24 dev c2");
    let a = Host::new(a, "192.0.2.1", &["192.0.2.2"], 1, true);
    container.ip("link set c2 up mtu 1450");
    // Its first packets wait for routes and neighbours that it learns by itself.
    eventually("an answer", || {
        a.container.command("ping -q -c 1 -W 1 10.9.0.2").output().unwrap().status.success().then_some(())
    });
    ping(&a.container, "10.9.0.2");
    transfer(&a.container, &container, "10.9.0.2", 10);
    transfer(&container, &a.container, "10.9.0.1", 10);
    nothing_dropped(&a);
}

#[test]
fn a_narrow_hop_is_noticed_and_senders_are_told() {
    if !is_root() {
        return;
    }
    let (a, router, b) = (Netns::new(), Netns::new(), Netns::new());
    cable((&a, "wire", "192.0.2.1/24"), (&router, "left", "192.0.2.254/24"));
    cable((&b, "wire", "198.51.100.1/24"), (&router, "right", "198.51.100.254/24"));
    a.ip("route add default via 192.0.2.254");
    b.ip("route add default via 198.51.100.254");
    router.run("sysctl -qw net.ipv4.ip_forward=1");
    let a = Host::new(a, "192.0.2.1", &["198.51.100.1"], 1, true);
    let b = Host::new(b, "198.51.100.1", &["192.0.2.1"], 2, true);
    transfer(&a.container, &b.container, "10.9.0.2", 2);
    for device in ["left", "right"] {
        router.ip(&format!("link set {device} mtu 1400"));
    }
    b.netns.ip("link set wire mtu 1400");
    transfer(&a.container, &b.container, "10.9.0.2", 2);
    let path = a.overlay.path("198.51.100.1".parse().unwrap());
    assert_eq!(path.mtu(), 1400);
    assert!(a.container.run("ip route get 10.9.0.2").contains("mtu 1350"));
    // A container that asks is answered, and IPv6 as well.
    let told = a.container.command("ping -c 1 -W 5 -M do -s 1372 fd09::2").output().unwrap();
    assert!(!told.status.success());
    transfer(&a.container, &b.container, "fd09::2", 2);
}

#[test]
fn the_underlay_sees_standard_vxlan() {
    if !is_root() {
        return;
    }
    let (a, b) = two("192.0.2.1", "192.0.2.2", 24);
    a.run("ethtool -K wire tx off tso off gso off");
    b.run("ethtool -K wire gro off");
    let file = std::env::temp_dir().join(format!("vsov-{}.pcap", std::process::id()));
    let capture = format!("tcpdump -i wire -U -w {} udp dst port 4789 and src 192.0.2.1", file.display());
    let capture = b.command(&capture).stderr(Stdio::piped()).spawn().unwrap();
    let mut capture = Running(capture);
    // tcpdump says when it listens.
    let mut says = std::io::BufReader::new(capture.0.stderr.take().unwrap());
    std::io::BufRead::read_line(&mut says, &mut String::new()).unwrap();

    let a = Host::new(a, "192.0.2.1", &["192.0.2.2"], 1, true);
    let b = Host::new(b, "192.0.2.2", &["192.0.2.1"], 2, true);
    ping(&a.container, "10.9.0.2");
    transfer(&a.container, &b.container, "10.9.0.2", 1);
    // Flows enough that sixteen source ports are nearly all of use.
    let script = "for p in $(seq 2000 2063); do echo hello > /dev/udp/10.9.0.2/$p; done";
    net::run(a.container.command("bash -c").arg(script));
    let fields = || {
        let mut tshark = std::process::Command::new("tshark");
        tshark.arg("-r").arg(&file).args(["-o", "udp.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE"]);
        tshark.args(["-o", "ip.check_checksum:TRUE", "-T", "fields", "-E", "occurrence=a"]);
        for field in [
            "vxlan.vni",
            "udp.checksum.status",
            "udp.srcport",
            "tcp.checksum.status",
            "ip.flags.df",
            "frame.len",
        ] {
            tshark.args(["-e", field]);
        }
        net::run(tshark.stderr(Stdio::null()))
    };
    let all = eventually("the last datagram is in the capture", || {
        let all = fields();
        let ports: std::collections::HashSet<_> = all.lines().filter_map(source_port).collect();
        (all.lines().count() > 100 && ports.len() > 8).then_some(all)
    });
    for line in all.lines() {
        let [vni, outer, _, inner, df, len] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        assert_eq!(vni, "42", "{line}");
        // 1: good. The first is the outer one's.
        assert!(outer.starts_with('1') && !outer.contains('0'), "{line}");
        assert!(matches!(inner, "" | "1"), "{line}");
        assert!(df.starts_with('1') || df.starts_with("True"), "{line}");
        assert!(len.parse::<usize>().unwrap() <= 1514, "{line}");
        assert!(source_port(line).is_some_and(|port| port >= 49_152), "{line}");
    }
    let _ = std::fs::remove_file(file);
}

/// The outer source port of one of tshark's lines.
fn source_port(line: &str) -> Option<u16> {
    line.split('\t').nth(2)?.split(',').next()?.parse().ok()
}
