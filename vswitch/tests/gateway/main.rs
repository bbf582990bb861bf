//! The gateway port on a real switch, seen from hosts in memory.
#![allow(clippy::unwrap_used)]

mod host;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use host::Host;
use packet::wire::{ArpPacket, Headers, Icmpv6Packet};
use packet::{Checksum, Frame, Gso, GsoKind, MacAddr, Offload};
use parking_lot::Mutex;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::{dhcpv4, icmp, tcp, udp};
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr, IpAddress, IpCidr};
use vswitch::dataplane::fdb::Station;
use vswitch::dataplane::memory::{MemoryHost, memory_port};
use vswitch::dataplane::{
    Bridge, BridgeConfig, DropReason, Port, PortConfig, Receive, Switch, SwitchConfig, Transmit,
};
use vswitch::gateway::{
    Beyond, DhcpConfig, DnsConfig, DnsQuery, DnsReply, Endpoint, Gateway, GatewayConfig, Transport,
    gateway_port,
};

const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 18, 0, 1);
const HOST: Ipv4Addr = Ipv4Addr::new(172, 18, 0, 2);
const GATEWAY6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
const HOST6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);
/// Milliseconds a frame that must come may take on a busy machine.
const PATIENCE: u16 = 20_000;

fn mac(n: u8) -> MacAddr {
    MacAddr([2, 0x42, 172, 18, 0, n])
}

fn config() -> GatewayConfig {
    GatewayConfig {
        mac: mac(1),
        v4: vec![ipnet::Ipv4Net::new(GATEWAY, 16).unwrap()],
        v6: vec![ipnet::Ipv6Net::new(GATEWAY6, 64).unwrap()],
        mtu: 1500,
        router: true,
        dns: None,
        dhcp: Some(DhcpConfig::default()),
        beyond: None,
    }
}

/// A switch with one network and its gateway.
struct Net {
    switch: Switch,
    bridge: Arc<Bridge>,
    gateway: Gateway,
    port: Arc<Port>,
}

impl Net {
    fn new(config: GatewayConfig) -> Self {
        let switch = Switch::new(&SwitchConfig::default(), &(Arc::new(|_| {}) as _)).unwrap();
        let bridge = switch.add_bridge(&BridgeConfig::default());
        let (gateway, transmit, receive) = gateway_port(config).unwrap();
        let config =
            PortConfig { owner: "net".into(), interface: "gateway".into(), mtu: 1500, trusted: false };
        let receive: Box<dyn Receive> = Box::new(receive);
        let port = switch.add_port(&bridge, config, Box::new(transmit), vec![receive]).unwrap();
        Self { switch, bridge, gateway, port }
    }

    fn attach(&self) -> MemoryHost {
        let (host, transmit, receive) = memory_port(1024).unwrap();
        let config = PortConfig { owner: "host".into(), interface: "eth0".into(), mtu: 1500, trusted: false };
        let receive: Box<dyn Receive> = Box::new(receive);
        self.switch.add_port(&self.bridge, config, Box::new(transmit), vec![receive]).unwrap();
        host
    }

    fn host(&self) -> Host {
        Host::with_address(self.attach(), mac(2), IpCidr::new(IpAddress::Ipv4(HOST), 16))
    }

    /// Waits until the gateway's port has dropped a frame for this reason.
    fn dropped(&self, reason: DropReason) -> bool {
        let deadline = std::time::Instant::now() + std::time::Duration::from_millis(PATIENCE.into());
        while std::time::Instant::now() < deadline {
            if self.port.counters().snapshot().tx_drops.contains_key(reason.name()) {
                return true;
            }
            std::thread::yield_now();
        }
        false
    }
}

/// The next frame that is what one looks for.
fn frame_with<R>(host: &MemoryHost, mut wanted: impl FnMut(&[u8]) -> Option<R>) -> R {
    loop {
        let (bytes, _) = host.recv(PATIENCE).expect("a frame");
        if let Some(found) = wanted(&bytes) {
            return found;
        }
    }
}

/// An untagged IPv4 frame from the host to the gateway's MAC, its header right.
fn ipv4_frame(to: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = [&mac(1).0[..], &mac(2).0, &[8, 0, 0x45, 0]].concat();
    frame.extend((20 + payload.len() as u16).to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    frame.extend(HOST.octets());
    frame.extend(to.octets());
    frame.extend(payload);
    packet::checksum::fill_ipv4(&mut frame, 14);
    frame
}

/// A UDP frame without a checksum, as IPv4 allows.
fn udp_frame(to: (Ipv4Addr, u16), payload: &[u8]) -> Vec<u8> {
    let mut datagram = vec![0x10, 0];
    datagram.extend(to.1.to_be_bytes());
    datagram.extend((8 + payload.len() as u16).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    ipv4_frame(to.0, 17, &datagram)
}

fn ping(host: &mut Host, source: IpAddress, target: IpAddress, size: usize) {
    let data: Vec<u8> = (0..size).map(|i| i as u8).collect();
    let handle = host.pinger();
    let checksums = ChecksumCapabilities::default();
    let len = 8 + data.len();
    let socket = host.get::<icmp::Socket<'_>>(handle);
    let buffer = socket.send(len, target).unwrap();
    if let (IpAddress::Ipv6(source), IpAddress::Ipv6(to)) = (source, target) {
        let echo = smoltcp::wire::Icmpv6Repr::EchoRequest { ident: 0x77, seq_no: 1, data: &data };
        echo.emit(&source, &to, &mut smoltcp::wire::Icmpv6Packet::new_unchecked(buffer), &checksums);
    } else {
        let echo = Icmpv4Repr::EchoRequest { ident: 0x77, seq_no: 1, data: &data };
        echo.emit(&mut Icmpv4Packet::new_unchecked(buffer), &checksums);
    }
    let reply = host.until("echo reply", |host| {
        let socket = host.get::<icmp::Socket<'_>>(handle);
        socket.can_recv().then(|| socket.recv().map(|(bytes, from)| (bytes.to_vec(), from)).unwrap())
    });
    assert_eq!((reply.1, &reply.0[8..]), (target, &data[..]));
}

#[test]
fn a_host_gets_its_address_by_dhcp_and_pings_the_gateway() {
    let net = Net::new(config());
    net.gateway.set_endpoint(mac(2), &Endpoint { address: Some(HOST), ..Endpoint::default() });
    let mut host = Host::new(net.attach(), mac(2));
    let client = host.add(dhcpv4::Socket::new());
    let (address, router) = host.until("lease", |host| match host.get::<dhcpv4::Socket<'_>>(client).poll() {
        Some(dhcpv4::Event::Configured(lease)) => Some((lease.address, lease.router)),
        _ => None,
    });
    assert_eq!((address.to_string(), router), ("172.18.0.2/16".into(), Some(GATEWAY)));
    host.interface.update_ip_addrs(|all| all.push(IpCidr::Ipv4(address)).unwrap());
    for size in [0, 56, 1472] {
        ping(&mut host, IpAddress::Ipv4(HOST), IpAddress::Ipv4(GATEWAY), size);
    }
    let stats = net.gateway.stats();
    assert_eq!((stats.dhcp_offers, stats.dhcp_acks, stats.echo_replies), (1, 1, 3));
    assert!(stats.arp_replies > 0);
}

#[test]
fn a_host_pings_the_gateway_over_ipv6() {
    let net = Net::new(config());
    let mut host = Host::with_address(net.attach(), mac(2), IpCidr::new(IpAddress::Ipv6(HOST6), 64));
    for size in [0, 1452] {
        ping(&mut host, IpAddress::Ipv6(HOST6), IpAddress::Ipv6(GATEWAY6), size);
    }
    assert!(net.gateway.stats().neighbor_advertisements > 0);
}

#[test]
fn a_connection_to_a_port_nobody_has_is_refused() {
    let net = Net::new(config());
    let mut host = net.host();
    let handle = host.connect((IpAddress::Ipv4(GATEWAY), 80), 4000);
    host.until("reset", |host| {
        (host.get::<tcp::Socket<'_>>(handle).state() == tcp::State::Closed).then_some(())
    });
    assert_eq!(net.gateway.stats().resets, 1);
}

/// A handler that answers in a task of its own with what it was asked, in capitals.
fn shouting() -> (tokio::runtime::Runtime, DnsConfig) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let tasks = runtime.handle().clone();
    let handler = move |query: DnsQuery, reply: DnsReply| {
        tasks.spawn(async move { reply.send(&query.message().to_ascii_uppercase()) });
    };
    let config = DnsConfig { handler: Arc::new(handler), runtime: runtime.handle().clone() };
    (runtime, config)
}

#[test]
fn queries_over_udp_are_answered_by_the_handler() {
    let (_runtime, dns) = shouting();
    let net = Net::new(GatewayConfig { dns: Some(dns), ..config() });
    let mut host = net.host();
    let handle = host.udp(5000);
    let server = (IpAddress::Ipv4(GATEWAY), 53);
    host.get::<udp::Socket<'_>>(handle).send_slice(b"what is your name", server).unwrap();
    let (answer, from) = host.until("answer", |host| {
        let socket = host.get::<udp::Socket<'_>>(handle);
        socket.can_recv().then(|| socket.recv().map(|(b, m)| (b.to_vec(), m.endpoint)).unwrap())
    });
    assert_eq!((&answer[..], from), (&b"WHAT IS YOUR NAME"[..], server.into()));
    // What is shorter than a header is no query.
    host.get::<udp::Socket<'_>>(handle).send_slice(b"too short", server).unwrap();
    host.until("refusal", |_| (net.gateway.stats().malformed == 1).then_some(()));
    assert_eq!((net.gateway.stats().dns_udp_queries, net.gateway.stats().dns_answers), (1, 1));
}

#[test]
fn queries_over_tcp_are_answered_by_the_handler() {
    let (_runtime, dns) = shouting();
    let net = Net::new(GatewayConfig { dns: Some(dns), ..config() });
    let mut host = net.host();
    let handle = host.connect((IpAddress::Ipv4(GATEWAY), 53), 4000);
    host.until("connection", |host| host.get::<tcp::Socket<'_>>(handle).may_send().then_some(()));
    let long = vec![b'x'; 4000];
    let asked = [&b"\0\x11what is your name\x0f\xa0"[..], &long].concat();
    assert_eq!(host.get::<tcp::Socket<'_>>(handle).send_slice(&asked), Ok(asked.len()));
    let mut heard = Vec::new();
    host.until("answers", |host| {
        let socket = host.get::<tcp::Socket<'_>>(handle);
        while socket.can_recv() {
            socket.recv(|data| (data.len(), heard.extend_from_slice(data))).unwrap();
        }
        (heard.len() >= asked.len()).then_some(())
    });
    // In any order: each has a task of its own.
    let (first, second) = asked.split_at(19);
    let orders = [[first, second].concat(), [second, first].concat()].map(|o| o.to_ascii_uppercase());
    assert!(orders.contains(&heard));
    host.get::<tcp::Socket<'_>>(handle).close();
    host.until("end", |host| {
        matches!(host.get::<tcp::Socket<'_>>(handle).state(), tcp::State::TimeWait | tcp::State::Closed)
            .then_some(())
    });
    assert_eq!(net.gateway.stats().dns_connections, 1);
}

#[test]
fn an_answer_longer_than_the_mtu_comes_in_fragments() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let handler = |query: DnsQuery, reply: DnsReply| {
        assert_eq!(query.transport(), Transport::Udp);
        assert!(reply.send(&vec![7; 4000]));
    };
    let dns = DnsConfig { handler: Arc::new(handler), runtime: runtime.handle().clone() };
    let net = Net::new(GatewayConfig { dns: Some(dns), ..config() });
    let host = net.attach();
    assert!(host.send(&udp_frame((GATEWAY, 53), &[0; 12]), Offload::NONE));
    let mut whole: Vec<u8> = Vec::new();
    frame_with(&host, |frame| {
        let ip = Headers::parse(frame)?.ip.filter(|ip| ip.protocol == 17)?;
        assert!(ip.fragment && frame.len() <= 1514);
        whole.extend(&frame[ip.l4..ip.end]);
        (whole.len() == 4008).then_some(())
    });
    assert_eq!(whole[8..], vec![7; 4000]);
}

#[test]
fn super_frames_and_partial_checksums_are_understood() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let handler = {
        let asked = asked.clone();
        move |query: DnsQuery, reply: DnsReply| {
            asked.lock().push(query.message().to_vec());
            reply.send(b"answer");
        }
    };
    let dns = DnsConfig { handler: Arc::new(handler), runtime: runtime.handle().clone() };
    let net = Net::new(GatewayConfig { dns: Some(dns), ..config() });
    let host = net.attach();
    let partial = Checksum::Partial { start: 34, offset: 6 };
    let mut frame = udp_frame((GATEWAY, 53), &[[1; 20], [2; 20], [3; 20]].concat());
    let ip = Headers::parse(&frame).unwrap().ip.unwrap();
    let pseudo = packet::checksum::Sum::pseudo(&frame, 14, &ip, 68).fold();
    frame[40..42].copy_from_slice(&pseudo.to_be_bytes());
    let gso = Gso { kind: GsoKind::UdpL4, ecn: false, size: 20, hdr_len: 42 };
    assert!(host.send(&frame, Offload { checksum: partial, gso: Some(gso) }));
    for _ in 0..3 {
        frame_with(&host, |frame| frame.ends_with(b"answer").then_some(()));
    }
    asked.lock().sort();
    assert_eq!(*asked.lock(), [[1; 20], [2; 20], [3; 20]]);
    assert!(host.send(&frame, Offload { checksum: partial, gso: None }));
    frame_with(&host, |frame| frame.ends_with(b"answer").then_some(()));
    assert_eq!(asked.lock().pop().unwrap().len(), 60);
}

#[test]
fn without_a_way_beyond_the_drop_is_named_and_the_sender_told() {
    let net = Net::new(config());
    let host = net.attach();
    let outside = Ipv4Addr::new(192, 0, 2, 9);
    let frame = udp_frame((outside, 9), b"hello");
    assert!(host.send(&frame, Offload::NONE));
    frame_with(&host, |answer| {
        let ip = Headers::parse(answer)?.ip.filter(|ip| ip.protocol == 1)?;
        assert_eq!((&answer[ip.l4..ip.l4 + 2], &answer[ip.l4 + 8..ip.end]), (&[3, 0][..], &frame[14..]));
        Some(())
    });
    assert!(net.dropped(DropReason::NoRoute));
    // A super-frame is one packet to its sender: one error, about its first segment.
    let mut tcp = vec![0; 20 + 40_000];
    tcp[12] = 5 << 4;
    let tso = Offload {
        checksum: Checksum::Partial { start: 34, offset: 16 },
        gso: Some(Gso { kind: GsoKind::Tcp4, ecn: false, size: 1460, hdr_len: 54 }),
    };
    assert!(host.send(&ipv4_frame(outside, 6, &tcp), tso));
    frame_with(&host, |answer| {
        let ip = Headers::parse(answer)?.ip.filter(|ip| ip.protocol == 1)?;
        assert_eq!(answer[ip.l4 + 8 + 2..ip.l4 + 8 + 4], 1500u16.to_be_bytes());
        Some(())
    });
    assert_eq!(
        (net.gateway.stats().errors_sent, net.port.counters().snapshot().tx_drops["no_route"]),
        (2, 2)
    );
}

/// Notes what goes beyond.
#[derive(Default)]
struct Noting(Mutex<Vec<(Vec<u8>, Offload)>>);

impl Beyond for Noting {
    fn forward(&self, _: usize, frame: &mut Frame, _: &mut Frame) -> Result<(), DropReason> {
        self.0.lock().push((frame.bytes().to_vec(), frame.offload()));
        if frame.len() > 1000 { Ok(()) } else { Err(DropReason::QueueFull) }
    }
}

#[test]
fn what_goes_beyond_goes_as_it_came() {
    let beyond = Arc::new(Noting::default());
    let net = Net::new(GatewayConfig { beyond: Some(beyond.clone()), ..config() });
    let host = net.attach();
    let mut tcp = vec![0; 20 + 40_000];
    tcp[12] = 5 << 4;
    let tso = Offload {
        checksum: Checksum::Partial { start: 34, offset: 16 },
        gso: Some(Gso { kind: GsoKind::Tcp4, ecn: false, size: 1460, hdr_len: 54 }),
    };
    let sent = [
        (ipv4_frame(Ipv4Addr::new(192, 0, 2, 9), 6, &tcp), tso),
        (udp_frame((Ipv4Addr::new(192, 0, 2, 9), 9), b"hello"), Offload::NONE),
    ];
    for (frame, offload) in &sent {
        assert!(host.send(frame, *offload));
    }
    assert!(net.dropped(DropReason::QueueFull), "what it refuses is a drop of the gateway's port");
    assert_eq!(*beyond.0.lock(), sent);
    assert_eq!(net.gateway.stats().errors_sent, 0);
}

#[test]
fn a_new_endpoint_is_announced_and_learned_nowhere() {
    let net = Net::new(config());
    let neighbour = net.attach();
    net.gateway.announce(&[HOST.into(), HOST6.into()], mac(2));
    frame_with(&neighbour, |frame| {
        let arp = (frame[12..14] == [8, 6]).then(|| ArpPacket::new_checked(&frame[14..]).unwrap())?;
        (arp.sender_ip() == HOST).then(|| assert!(arp.is_gratuitous() && arp.sender_mac() == mac(2)))
    });
    frame_with(&neighbour, |frame| {
        let ip = Headers::parse(frame)?.ip.filter(|ip| ip.protocol == 58)?;
        let icmp = Icmpv6Packet::new_checked(&frame[ip.l4..ip.end]).unwrap();
        let named = icmp.ndp_options().find_map(|o| o.mac());
        (icmp.target() == Some(HOST6))
            .then(|| assert_eq!((icmp.neighbor_flags(), named), (0x20, Some(mac(2)))))
    });
    let known = |n| net.bridge.fdb().lookup(Station { mac: mac(n), vlan: 0 }, Switch::now());
    assert_eq!((known(1), known(2)), (Some(net.port.no()), None));
}

#[test]
fn the_gateway_announces_itself_when_it_moves() {
    let net = Net::new(config());
    let neighbour = net.attach();
    let moved = Ipv4Addr::new(10, 9, 0, 1);
    net.gateway.configure(GatewayConfig { v4: vec![ipnet::Ipv4Net::new(moved, 24).unwrap()], ..config() });
    frame_with(&neighbour, |frame| {
        let arp = (frame[12..14] == [8, 6]).then(|| ArpPacket::new_checked(&frame[14..]).unwrap())?;
        (arp.sender_ip() == moved).then(|| assert_eq!(arp.sender_mac(), mac(1)))
    });
    // The old address is nobody's now, the new one answers.
    let mut host = Host::with_address(net.attach(), mac(2), "10.9.0.2/24".parse().unwrap());
    ping(&mut host, "10.9.0.2".parse().unwrap(), IpAddress::Ipv4(moved), 10);
}

#[test]
fn a_router_advertisement_reaches_everybody() {
    let net = Net::new(config());
    let neighbour = net.attach();
    net.gateway.advertise();
    frame_with(&neighbour, |frame| {
        let ip = Headers::parse(frame)?.ip.filter(|ip| ip.protocol == 58)?;
        let icmp = Icmpv6Packet::new_checked(&frame[ip.l4..ip.end]).unwrap();
        (icmp.kind() == 134).then(|| assert_eq!(frame[..6], [0x33, 0x33, 0, 0, 0, 1]))
    });
}

#[test]
fn frames_can_be_injected() {
    let net = Net::new(config());
    let host = net.attach();
    let frame = [&mac(2).0[..], &mac(1).0, &[0x88, 0xb5], &[1; 46]].concat();
    assert!(net.gateway.inject(&frame));
    frame_with(&host, |seen| (*seen == frame).then_some(()));
    assert!(!net.gateway.inject(&frame[..13]));
}

#[test]
fn a_full_queue_drops_and_says_so() {
    let (gateway, transmit, _receive) = gateway_port(config()).unwrap();
    let (mut frame, mut scratch) = (Frame::new(), Frame::new());
    let request = [
        &[0xff; 6][..],
        &mac(2).0,
        &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1],
        &mac(2).0,
        &HOST.octets(),
        &[0; 6],
        &GATEWAY.octets(),
    ]
    .concat();
    frame.copy_from(&request, Offload::NONE).unwrap();
    let results: Vec<_> = (0..1000).map(|_| transmit.send(0, &mut frame, &mut scratch)).collect();
    assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 256);
    assert!(results[256..].iter().all(|r| *r == Err(DropReason::QueueFull)));
    let injected = (0..1000).filter(|_| gateway.inject(&request)).count();
    // Its own announcements wait there too.
    let announced = gateway.stats().announcements as usize;
    assert_eq!((injected + announced, gateway.stats().queue_full), (512, (1000 - injected) as u64));
}

#[test]
fn a_gateway_that_is_dropped_leaves_nothing_running() {
    let (runtime, dns) = shouting();
    let net = Net::new(GatewayConfig { dns: Some(dns), ..config() });
    let metrics = runtime.metrics();
    assert_eq!(metrics.num_alive_tasks(), 1);
    drop(net);
    let deadline = std::time::Instant::now() + std::time::Duration::from_millis(PATIENCE.into());
    while metrics.num_alive_tasks() > 0 {
        assert!(std::time::Instant::now() < deadline);
        std::thread::yield_now();
    }
}
