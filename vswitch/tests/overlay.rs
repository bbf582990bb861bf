//! Networks that span hosts: two switches in one process, joined by UDP over the loopback interface.

#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::{Duration, Instant};

use packet::checksum::{Sum, fill_ipv4};
use packet::wire::{ArpPacket, EthernetFrame, arp};
use packet::{Checksum, Frame, Gso, GsoKind, MacAddr, Offload, segment};
use vswitch::dataplane::memory::{MemoryHost, memory_port};
use vswitch::dataplane::{Bridge, BridgeConfig, Port, PortConfig, Receive, Switch, SwitchConfig};
use vswitch::overlay::{Overlay, OverlayConfig, OverlayNetwork};
use vxlan::{NetworkConfig, Remote, Vni};

/// Milliseconds a frame that must come may take on a busy machine.
const PATIENCE: u16 = 5000;

/// One machine: a switch, its sockets, and one network.
struct Host {
    switch: Switch,
    overlay: Overlay,
    bridge: Arc<Bridge>,
    network: OverlayNetwork,
    address: IpAddr,
}

impl Host {
    fn new(address: IpAddr, port: u16, config: &NetworkConfig) -> Self {
        let switch = Switch::new(
            &SwitchConfig { workers: 2, busy_poll: Duration::ZERO, ..SwitchConfig::default() },
            &(Arc::new(|_| {}) as _),
        )
        .unwrap();
        let overlay =
            Overlay::new(&switch, &OverlayConfig { addresses: vec![address], port, senders: 4 }).unwrap();
        let bridge = switch.add_bridge(&BridgeConfig::default());
        let network = overlay.attach(&switch, &bridge, vni(42), config).unwrap();
        Self { switch, overlay, bridge, network, address }
    }

    fn container(&self) -> (MemoryHost, Arc<Port>) {
        let (host, tx, rx) = memory_port(64).unwrap();
        let config = PortConfig { owner: "host".into(), interface: "eth0".into(), mtu: 1450, trusted: false };
        let rx: Box<dyn Receive> = Box::new(rx);
        (host, self.switch.add_port(&self.bridge, config, Box::new(tx), vec![rx]).unwrap())
    }
}

fn vni(n: u32) -> Vni {
    Vni::new(n).unwrap()
}

/// Addresses of the loopback interface that nobody else has: whoever shares a port between two of them would otherwise
/// find it taken by a sending socket of a test beside.
fn loopback() -> impl Fn(u8) -> IpAddr {
    static TAKEN: AtomicU8 = AtomicU8::new(0);
    let (process, number) = ((std::process::id() % 250) as u8 + 1, TAKEN.fetch_add(1, Relaxed));
    move |host| Ipv4Addr::new(127, process, number, host).into()
}

/// `count` machines that are peers of each other.
fn hosts(count: u8, config: &NetworkConfig) -> Vec<Host> {
    let address = loopback();
    let first = Host::new(address(1), 0, config);
    let port = first.overlay.udp_port();
    let mut hosts = vec![first];
    hosts.extend((2..=count).map(|n| Host::new(address(n), port, config)));
    for host in &hosts {
        let others = hosts.iter().map(|other| other.address).filter(|other| *other != host.address);
        host.network.set_peers(others).unwrap();
    }
    hosts
}

const LEARNING: NetworkConfig = NetworkConfig { learning: true, ageing: 300, limit: 1000 };
const PUSHED: NetworkConfig = NetworkConfig { learning: false, ..LEARNING };

fn mac(n: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, n])
}

fn frame(to: MacAddr, from: MacAddr, text: &[u8]) -> Vec<u8> {
    let mut bytes = [&to.0[..], &from.0, &[0x88, 0xb5], text].concat();
    bytes.resize(bytes.len().max(60), 0);
    bytes
}

fn send(host: &MemoryHost, bytes: &[u8]) {
    assert!(host.send(bytes, Offload::NONE));
}

fn received(host: &MemoryHost) -> Vec<u8> {
    host.recv(PATIENCE).expect("a frame").0
}

/// Waits until `look` sees what it looks for.
fn eventually(what: &str, mut look: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_millis(PATIENCE.into());
    while !look() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}

/// A TCP super-frame over IPv4 with `payload` bytes in segments of `size`.
fn tso(to: MacAddr, from: MacAddr, payload: usize, size: u16) -> (Vec<u8>, Offload) {
    let (source, destination) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
    let mut bytes = frame(to, from, b"")[..14].to_vec();
    bytes[12..14].copy_from_slice(&[8, 0]);
    bytes.extend([0x45, 0]);
    bytes.extend(u16::try_from(40 + payload).unwrap().to_be_bytes());
    bytes.extend([0, 7, 0x40, 0, 64, 6, 0, 0]);
    bytes.extend(source.octets());
    bytes.extend(destination.octets());
    bytes.extend([0x1f, 0x90, 0, 80, 0, 0, 1, 0, 0, 0, 2, 0, 0x50, 0x10, 0xff, 0xff]);
    let pseudo = Sum::pseudo_ipv4(source, destination, 6, 20 + payload).fold();
    bytes.extend(pseudo.to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend((0..payload).map(|i| (i * 31 % 251) as u8));
    fill_ipv4(&mut bytes, 14);
    let gso = Some(Gso { kind: GsoKind::Tcp4, ecn: false, size, hdr_len: 54 });
    (bytes, Offload { checksum: Checksum::Partial { start: 34, offset: 16 }, gso })
}

fn wire_frames(bytes: &[u8], offload: Offload) -> Vec<Vec<u8>> {
    let (mut frame, mut out) = (Frame::new(), Frame::new());
    frame.copy_from(bytes, offload).unwrap();
    let mut frames = Vec::new();
    segment(&frame, &mut out, |segment| frames.push(segment.bytes().to_vec())).unwrap();
    frames
}

#[test]
fn stations_of_two_hosts_find_each_other() {
    let hosts = hosts(3, &LEARNING);
    let (a, b, c) = (hosts[0].container().0, hosts[1].container().0, hosts[2].container().0);
    let hello = frame(MacAddr::BROADCAST, mac(1), b"hello");
    send(&a, &hello);
    assert_eq!(received(&b), hello);
    assert_eq!(received(&c), hello);
    // The second host knows now where the first station is: the third gets nothing.
    send(&b, &frame(mac(1), mac(2), b"answer"));
    assert_eq!(received(&a), frame(mac(1), mac(2), b"answer"));
    send(&a, &frame(mac(2), mac(1), b"again"));
    assert_eq!(received(&b), frame(mac(2), mac(1), b"again"));
    send(&a, &frame(MacAddr::BROADCAST, mac(1), b"end"));
    assert_eq!(received(&c), frame(MacAddr::BROADCAST, mac(1), b"end"));
}

#[test]
fn a_super_frame_arrives_as_one_and_with_its_checksums() {
    let hosts = hosts(2, &LEARNING);
    let (a, b) = (hosts[0].container().0, hosts[1].container().0);
    send(&b, &frame(MacAddr::BROADCAST, mac(2), b"here I am"));
    received(&a);
    let (bytes, offload) = tso(mac(2), mac(1), 60_000, 1398);
    assert!(a.send(&bytes, offload));
    let expected = wire_frames(&bytes, offload);
    let (mut frames, mut pieces) = (Vec::new(), 0);
    while frames.len() < expected.len() {
        let (bytes, offload) = b.recv(PATIENCE).expect("the rest of the super-frame");
        frames.extend(wire_frames(&bytes, offload));
        pieces += 1;
    }
    assert_eq!(frames, expected);
    assert!(pieces <= 3, "{} segments came in {pieces} pieces", frames.len());
}

#[test]
fn who_has_a_known_address_is_answered_here() {
    let hosts = hosts(2, &PUSHED);
    let (a, b) = (hosts[0].container().0, hosts[1].container().0);
    let remote = Remote { mac: mac(2), addresses: vec!["10.0.0.2".parse().unwrap()], vtep: hosts[1].address };
    hosts[0].network.set_remote(&remote).unwrap();
    let mut request = frame(MacAddr::BROADCAST, mac(1), &[0; 28]);
    request[12..14].copy_from_slice(&[8, 6]);
    let mut packet = ArpPacket::new_written(&mut request[14..]).unwrap();
    packet.set_operation(arp::REQUEST);
    packet.set_sender(mac(1), Ipv4Addr::new(10, 0, 0, 1));
    packet.set_target(MacAddr::ZERO, Ipv4Addr::new(10, 0, 0, 2));
    send(&a, &request);
    let reply = received(&a);
    let packet = ArpPacket::new_checked(&reply[14..]).unwrap();
    assert_eq!(packet.operation(), arp::REPLY);
    assert_eq!((packet.sender_mac(), packet.sender_ip()), (mac(2), Ipv4Addr::new(10, 0, 0, 2)));
    assert_eq!((packet.target_mac(), packet.target_ip()), (mac(1), Ipv4Addr::new(10, 0, 0, 1)));
    // The request did not cross; what is sent to the answer's address does.
    send(&a, &frame(mac(2), mac(1), b"data"));
    assert_eq!(received(&b), frame(mac(2), mac(1), b"data"));
    assert_eq!(hosts[0].network.port().counters().snapshot().tx_drops["answered"], 1);
}

#[test]
fn a_local_address_claimed_from_outside_is_refused() {
    let hosts = hosts(2, &LEARNING);
    let (a, b) = (hosts[0].container().0, hosts[1].container().0);
    send(&a, &frame(MacAddr::BROADCAST, mac(1), b"I am here"));
    received(&b);
    let forger = UdpSocket::bind((hosts[1].address, 0)).unwrap();
    let forged = [&vni(42).to_header()[..], &frame(MacAddr::BROADCAST, mac(1), b"no, I am")].concat();
    forger.send_to(&forged, (hosts[0].address, hosts[0].overlay.udp_port())).unwrap();
    eventually("the forged frame is counted", || {
        hosts[0].network.port().counters().snapshot().rx_drops.get("local_source") == Some(&1)
    });
    send(&b, &frame(mac(1), mac(2), b"for the first"));
    assert_eq!(received(&a), frame(mac(1), mac(2), b"for the first"));
}

#[test]
fn datagrams_that_do_not_belong_are_counted_by_name() {
    let hosts = hosts(2, &LEARNING);
    let (a, _) = hosts[0].container();
    let to = (hosts[0].address, hosts[0].overlay.udp_port());
    let (stranger, peer) =
        (UdpSocket::bind("127.0.0.9:0").unwrap(), UdpSocket::bind((hosts[1].address, 0)).unwrap());
    let datagram = |n: u32, inner: &[u8]| [&vni(n).to_header(), inner].concat();
    let inner = frame(MacAddr::BROADCAST, mac(9), b"strange");
    stranger.send_to(&datagram(42, &inner), to).unwrap();
    peer.send_to(&datagram(43, &inner), to).unwrap();
    peer.send_to(&datagram(42, &inner[..13]), to).unwrap();
    peer.send_to(&[0; 60], to).unwrap();
    peer.send_to(&[8; 7], to).unwrap();
    peer.send_to(&[], to).unwrap();
    let mut last = datagram(42, &inner);
    // Reserved bits are nobody's business.
    last[0] = 0xff;
    last[7] = 0xff;
    peer.send_to(&last, to).unwrap();
    assert_eq!(received(&a), inner);
    let network = hosts[0].network.network().drops();
    let rest = hosts[0].overlay.drops();
    eventually("all are counted", || network.total() + rest.total() == 6);
    assert_eq!(
        network.named().collect::<Vec<_>>(),
        [("vxlan_inner_truncated", 1), ("vxlan_unknown_peer", 1)]
    );
    assert_eq!(
        rest.named().collect::<Vec<_>>(),
        [("vxlan_truncated", 2), ("vxlan_no_vni", 1), ("vxlan_unknown_vni", 1)]
    );
}

#[test]
fn what_comes_from_a_host_goes_to_no_other() {
    let hosts = hosts(3, &LEARNING);
    let (a, b, c) = (hosts[0].container().0, hosts[1].container().0, hosts[2].container().0);
    // Not even where somebody says that frames may leave as they came.
    hosts[1].network.port().set_hairpin(true);
    let sent: Vec<_> = (0..10).map(|n| frame(MacAddr::BROADCAST, mac(1), &[n])).collect();
    for frame in &sent {
        send(&a, frame);
        assert_eq!(&received(&b), frame);
    }
    let end = frame(MacAddr::BROADCAST, mac(2), b"end");
    send(&b, &end);
    assert_eq!(received(&a), end);
    // Frames of two hosts may overtake each other.
    let mut expected = [&sent[..], &[end]].concat();
    let mut arrived: Vec<_> = expected.iter().map(|_| received(&c)).collect();
    expected.sort();
    arrived.sort();
    assert!(arrived == expected);
    assert!(c.try_recv().is_none());
    assert_eq!(hosts[1].network.port().counters().snapshot().tx_frames, 1);
}

#[test]
fn networks_on_one_socket_do_not_mix() {
    let hosts = hosts(2, &LEARNING);
    let others: Vec<_> = hosts
        .iter()
        .map(|host| {
            let bridge = host.switch.add_bridge(&BridgeConfig::default());
            let network = host.overlay.attach(&host.switch, &bridge, vni(43), &LEARNING).unwrap();
            let other = hosts.iter().find(|other| other.address != host.address).unwrap();
            network.set_peers([other.address]).unwrap();
            (bridge, network)
        })
        .collect();
    let (a, b) = (hosts[0].container().0, hosts[1].container().0);
    let (other, tx, rx) = memory_port(64).unwrap();
    let config = PortConfig { owner: "other".into(), interface: "eth0".into(), mtu: 1450, trusted: false };
    let rx: Box<dyn Receive> = Box::new(rx);
    hosts[1].switch.add_port(&others[1].0, config, Box::new(tx), vec![rx]).unwrap();
    send(&a, &frame(MacAddr::BROADCAST, mac(1), b"one"));
    assert_eq!(received(&b), frame(MacAddr::BROADCAST, mac(1), b"one"));
    assert!(other.try_recv().is_none());
    hosts[1].overlay.detach(&hosts[1].switch, &others[1].1);
    assert!(hosts[0].overlay.attach(&hosts[0].switch, &others[0].0, vni(42), &LEARNING).is_err());
    hosts[1].overlay.attach(&hosts[1].switch, &others[1].0, vni(43), &LEARNING).unwrap();
}

#[test]
fn a_bridge_sees_who_is_far_by_the_address_only() {
    let hosts = hosts(2, &LEARNING);
    let (a, b) = (hosts[0].container().0, hosts[1].container().0);
    send(&b, &frame(MacAddr::BROADCAST, mac(2), b"hello"));
    let seen = received(&a);
    assert_eq!(EthernetFrame::new_checked(&seen[..]).unwrap().source(), mac(2));
    assert!(hosts[0].bridge.fdb().is_empty(), "far stations are not the bridge's");
    assert_eq!(hosts[0].network.network().station(mac(2), Switch::now()), Some(hosts[1].address));
}
