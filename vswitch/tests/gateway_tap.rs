//! The gateway port in front of a kernel: a TAP in a network namespace, and busybox's udhcpc.
#![allow(clippy::unwrap_used)]

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use packet::MacAddr;
use vswitch::dataplane::tap::tap_port;
use vswitch::dataplane::{BridgeConfig, PortConfig, Receive, Switch, SwitchConfig};
use vswitch::gateway::{
    DhcpConfig, DnsConfig, DnsQuery, DnsReply, Endpoint, Gateway, GatewayConfig, gateway_port,
};
use vswitch::sys::tun::{TunError, create_tap};

const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 18, 0, 1);
const HOST: Ipv4Addr = Ipv4Addr::new(172, 18, 0, 2);
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const MTU: u32 = 1400;

/// Runs a test of this file in user, network and process namespaces of its own: what it leaves ends
/// with it.
fn in_namespace(test: &str) {
    let program = std::env::current_exe().unwrap();
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--net", "--pid", "--fork", "--"]).arg(program);
    unshare.args(["--exact", test, "--ignored", "--nocapture"]);
    let out = unshare.output().expect("unshare, of util-linux");
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(
        out.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&out.stderr)
    );
}

fn run(program: &str, arguments: &[&str]) -> String {
    let out = Command::new(program).args(arguments).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{program} {arguments:?}: {said}{}", String::from_utf8_lossy(&out.stderr));
    said
}

#[test]
fn a_kernel_and_udhcpc_are_content() {
    in_namespace("inside");
}

#[test]
fn a_tap_is_made_and_one_that_is_there_is_never_joined() {
    in_namespace("existing");
}

#[test]
#[ignore = "needs a namespace of its own: a_tap_is_made_and_one_that_is_there_is_never_joined runs it in one"]
fn existing() {
    // Of several queues, and of nobody: the kernel would give a queue of either.
    let _held = create_tap("eth0", 2).unwrap();
    run("ip", &["tuntap", "add", "dev", "eth1", "mode", "tap", "vnet_hdr"]);
    for (name, queues) in [("eth0", 2), ("eth1", 1)] {
        let refused = create_tap(name, queues);
        assert!(matches!(refused, Err(TunError::Create { errno: Errno::EBUSY, .. })), "{refused:?}");
    }
}

/// What udhcpc runs: it notes what it was told, and sets address and route.
const SCRIPT: &str = r#"#!/bin/sh
case "$1" in
deconfig) ip link set "$interface" up ;;
bound)
    ip address replace "$ip/$mask" dev "$interface"
    ip link set "$interface" mtu "$mtu"
    ip route replace default via "$router"
    for v in ip subnet router dns mtu hostname domain search lease serverid; do
        eval "echo \"$v=\$$v\""
    done >"$0.part"
    mv "$0.part" "$0.said"
    ;;
esac
"#;

fn executable(path: &Path, script: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, script).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
#[ignore = "needs a namespace of its own: a_kernel_and_udhcpc_are_content runs it in one"]
fn inside() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let shout = |query: DnsQuery, reply: DnsReply| {
        reply.send(&query.message().to_ascii_uppercase());
    };
    let switch = Switch::new(&SwitchConfig::default(), &(Arc::new(|_| {}) as _)).unwrap();
    let bridge = switch.add_bridge(&BridgeConfig::default());
    let (gateway, transmit, receive) = gateway_port(GatewayConfig {
        mac: MacAddr::from_ipv4(GATEWAY),
        v4: vec![ipnet::Ipv4Net::new(GATEWAY, 16).unwrap()],
        v6: vec!["fd00::1/64".parse().unwrap()],
        mtu: MTU,
        router: true,
        dns: Some(DnsConfig { handler: Arc::new(shout), runtime: runtime.handle().clone() }),
        dhcp: Some(DhcpConfig { domain: Some("net.test".into()), ..DhcpConfig::default() }),
        beyond: None,
    })
    .unwrap();
    let config =
        |owner: &str| PortConfig { owner: owner.into(), interface: "eth0".into(), mtu: MTU, trusted: false };
    let receive: Box<dyn Receive> = Box::new(receive);
    switch.add_port(&bridge, config("gateway"), Box::new(transmit), vec![receive]).unwrap();
    let endpoint = Endpoint {
        address: Some(HOST),
        hostname: Some("host".into()),
        search: vec!["net.test".into(), "example.com".into()],
    };
    gateway.set_endpoint(MacAddr::from_ipv4(HOST), &endpoint);

    let tap = create_tap("eth0", 1).unwrap();
    let (transmit, receivers) = tap_port(tap.queues, tap.offloads).unwrap();
    let queues = receivers.into_iter().map(|r| Box::new(r) as Box<dyn Receive>).collect();
    switch.add_port(&bridge, config("host"), Box::new(transmit), queues).unwrap();
    run("ip", &["link", "set", "eth0", "address", &MacAddr::from_ipv4(HOST).to_string()]);

    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("script");
    executable(&script, SCRIPT);
    let mut client = Command::new("udhcpc");
    client.args(["-i", "eth0", "-f", "-t", "20", "-T", "1", "-s", script.to_str().unwrap()]);
    let mut client = client.spawn().expect("udhcpc, of Debian's package of that name");
    let note = directory.path().join("script.said");
    eventually("lease", || note.exists());
    let said = std::fs::read_to_string(note).unwrap();
    let expected = [
        "ip=172.18.0.2",
        "subnet=255.255.0.0",
        "router=172.18.0.1",
        "dns=172.18.0.1",
        "mtu=1400",
        "hostname=host",
        "domain=net.test",
        "search=net.test example.com",
        "lease=3600",
        "serverid=172.18.0.1",
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);

    renews_and_gives_back(&gateway, &mut client);

    run("ip", &["-6", "address", "add", "fd00::2/64", "dev", "eth0", "nodad"]);
    for target in ["172.18.0.1", "fd00::1"] {
        for size in ["0", "56", "30000"] {
            run("ping", &["-c", "2", "-i", "0.05", "-w", "20", "-s", size, target]);
        }
    }
    refusals();
    for server in ["172.18.0.1:53", "[fd00::1]:53"] {
        names(server);
    }
    let stats = gateway.stats();
    assert_eq!((stats.malformed, stats.bad_checksum), (0, 0));
}

/// A client that is told to renews its lease with the gateway alone, and gives it back.
fn renews_and_gives_back(gateway: &Gateway, client: &mut Child) {
    let signal = |signal| kill(Pid::from_raw(client.id().cast_signed()), signal).unwrap();
    signal(Signal::SIGUSR1);
    eventually("renewal", || gateway.stats().dhcp_acks == 2);
    signal(Signal::SIGUSR2);
    eventually("release", || gateway.stats().dhcp_releases == 1);
    signal(Signal::SIGTERM);
    client.wait().unwrap();
    let stats = gateway.stats();
    assert_eq!((stats.dhcp_offers, stats.dhcp_acks, stats.dhcp_naks), (1, 2, 0));
    run("ip", &["address", "replace", "172.18.0.2/16", "dev", "eth0"]);
    run("ip", &["route", "replace", "default", "via", "172.18.0.1"]);
}

/// What nobody listens for is refused as by any host.
fn refusals() {
    for target in ["172.18.0.1:80", "[fd00::1]:80"] {
        assert_eq!(TcpStream::connect(target).unwrap_err().kind(), ErrorKind::ConnectionRefused, "{target}");
    }
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket.connect((GATEWAY, 9)).unwrap();
    socket.send(b"hello").unwrap();
    assert_eq!(socket.recv(&mut [0; 10]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    let unreachable = TcpStream::connect((OUTSIDE, 80)).unwrap_err().kind();
    assert_eq!(unreachable, ErrorKind::NetworkUnreachable);
    eventually("a default route from a router advertisement", || {
        run("ip", &["-6", "route", "show", "default"]).contains("via fe80::42:acff:fe12:1")
    });
    for (target, told) in [("192.0.2.1", "Destination Net Unreachable"), ("2001:db8::1", "No route")] {
        let out = Command::new("ping").args(["-c", "1", "-w", "20", target]).output().unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(said.contains(told), "{said}");
    }
}

fn eventually(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !happened() {
        assert!(Instant::now() < deadline, "no {what}");
        std::thread::yield_now();
    }
}

/// DNS is what the handler makes of it, over UDP and TCP.
fn names(server: &str) {
    let socket = UdpSocket::bind(if server.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" }).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket.connect(server).unwrap();
    for len in [12, 512, 4000] {
        socket.send(&vec![b'a'; len]).unwrap();
        // A query in fragments is dropped: no resolver sends one.
        if len <= MTU as usize {
            let mut answer = vec![0; 5000];
            let heard = socket.recv(&mut answer).unwrap();
            assert_eq!(answer[..heard], vec![b'A'; len]);
        }
    }
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    for len in [12u16, 512, 4000] {
        // Length and message apart, as simple clients do.
        stream.write_all(&len.to_be_bytes()).unwrap();
        stream.write_all(&vec![b'a'; len.into()]).unwrap();
        let mut answer = vec![0; 2 + usize::from(len)];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!((&answer[..2], &answer[2..]), (&len.to_be_bytes()[..], &vec![b'A'; len.into()][..]));
    }
    drop(stream);
}
