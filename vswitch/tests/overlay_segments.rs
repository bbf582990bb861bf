//! Networks of several segments: two switches in one process, joined by UDP over the loopback interface, each
//! with a router between two segments.

#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::{Duration, Instant};

use ipnet::{IpNet, Ipv4Net};
use nix::sched::{CloneFlags, unshare};
use packet::checksum::fill_ipv4;
use packet::{MacAddr, Offload};
use vswitch::dataplane::fdb::Station;
use vswitch::dataplane::memory::{MemoryHost, memory_port};
use vswitch::dataplane::{Bridge, BridgeConfig, Port, PortConfig, Receive, Switch, SwitchConfig};
use vswitch::gateway::{Gateway, GatewayConfig, gateway_port};
use vswitch::overlay::{Overlay, OverlayConfig, OverlayNetwork, Router};
use vxlan::{NetworkConfig, Remote, Vni};

/// Milliseconds a frame that must come may take on a busy machine.
const PATIENCE: u16 = 30_000;

/// One segment on one machine: 10.N.0.0/24 with the gateway .1, under VNI 256 + N.
struct Segment {
    bridge: Arc<Bridge>,
    network: OverlayNetwork,
    gateway_port: Arc<Port>,
    _gateway: Gateway,
}

struct Host {
    switch: Switch,
    overlay: Overlay,
    router: Arc<Router>,
    segments: Vec<Segment>,
    address: IpAddr,
}

fn address(segment: u8, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, segment, 0, host)
}

fn mac(segment: u8, host: u8) -> MacAddr {
    MacAddr::from_ipv4(address(segment, host))
}

impl Host {
    fn new(number: u8, vtep: IpAddr, port: u16) -> Self {
        let switch = Switch::new(
            &SwitchConfig { workers: 2, busy_poll: Duration::ZERO, ..SwitchConfig::default() },
            &(Arc::new(|_| {}) as _),
        )
        .unwrap();
        let config = OverlayConfig { addresses: vec![vtep], port, senders: 4 };
        let overlay = Overlay::new(&switch, &config).unwrap();
        let nets = |segment| vec![IpNet::new(address(segment, 1).into(), 24).unwrap()];
        let router = Router::new(&switch, MacAddr([6, 0, 0, 0, 0, number]), (0..2).map(nets));
        let mut host = Self { switch, overlay, router, segments: Vec::new(), address: vtep };
        for segment in 0..2 {
            host.add_segment(segment);
        }
        host
    }

    fn add_segment(&mut self, number: u8) {
        let bridge = self.switch.add_bridge(&BridgeConfig::default());
        let (gateway, transmit, receive) = gateway_port(GatewayConfig {
            mac: mac(number, 1),
            v4: vec![Ipv4Net::new(address(number, 1), 24).unwrap()],
            v6: Vec::new(),
            mtu: 1450,
            router: false,
            dns: None,
            dhcp: None,
            beyond: Some(self.router.beyond(number.into())),
        })
        .unwrap();
        let receive: Box<dyn Receive> = Box::new(receive);
        let config = config("gateway", &format!("br{number}"));
        let gateway_port = self.switch.add_port(&bridge, config, Box::new(transmit), vec![receive]).unwrap();
        let station = Station { mac: mac(number, 1), vlan: 0 };
        bridge.fdb().set_static(station, gateway_port.no(), Switch::now());
        let vni = Vni::new(256 + u32::from(number)).unwrap();
        let network = self.overlay.attach(&self.switch, &bridge, vni, &NetworkConfig::default()).unwrap();
        self.router.set_segment(number.into(), &bridge, &network);
        self.segments.push(Segment { bridge, network, gateway_port, _gateway: gateway });
    }

    /// A station here, of which the other host is told.
    fn station(&self, segment: u8, last: u8, other: &Self) -> MemoryHost {
        let (host, tx, rx) = memory_port(64).unwrap();
        let rx: Box<dyn Receive> = Box::new(rx);
        let bridge = &self.segments[usize::from(segment)].bridge;
        let port = self.switch.add_port(bridge, config("c", "eth0"), Box::new(tx), vec![rx]).unwrap();
        bridge.fdb().set_static(Station { mac: mac(segment, last), vlan: 0 }, port.no(), Switch::now());
        let addresses = vec![IpAddr::from(address(segment, last))];
        self.router.set_station(mac(segment, last), &addresses);
        let remote = Remote { mac: mac(segment, last), addresses, vtep: self.address };
        other.segments[usize::from(segment)].network.set_remote(&remote).unwrap();
        host
    }

    fn drops(&self, segment: usize) -> std::collections::BTreeMap<&'static str, u64> {
        self.segments[segment].gateway_port.counters().snapshot().tx_drops
    }
}

fn config(owner: &str, interface: &str) -> PortConfig {
    PortConfig { owner: owner.into(), interface: interface.into(), mtu: 1450, trusted: owner == "gateway" }
}

/// Addresses of the loopback interface that nobody else has: whoever shares a port between two of them would otherwise
/// find it taken by a sending socket of a test beside.
fn loopback() -> impl Fn(u8) -> IpAddr {
    static TAKEN: AtomicU8 = AtomicU8::new(0);
    let (process, number) = ((std::process::id() % 250) as u8 + 1, TAKEN.fetch_add(1, Relaxed));
    move |host| Ipv4Addr::new(127, process, number, host).into()
}

/// Two machines that are peers in both segments.
fn hosts() -> [Host; 2] {
    let address = loopback();
    let one = Host::new(1, address(1), 0);
    let two = Host::new(2, address(2), one.overlay.udp_port());
    for (host, other) in [(&one, &two), (&two, &one)] {
        for segment in &host.segments {
            segment.network.set_peers([other.address]).unwrap();
        }
    }
    [one, two]
}

/// A UDP packet in a frame, from one station to another as it is on the link of `link`'s.
fn udp(link: (MacAddr, MacAddr), from: Ipv4Addr, to: Ipv4Addr, hops: u8) -> Vec<u8> {
    let mut bytes = [&link.0.0[..], &link.1.0, &[8, 0, 0x45, 0, 0, 46, 0, 0, 0, 0, hops, 17, 0, 0]].concat();
    bytes.extend(from.octets());
    bytes.extend(to.octets());
    bytes.extend([0, 7, 0, 9, 0, 26, 0, 0]);
    bytes.extend(b"eighteen bytes....");
    fill_ipv4(&mut bytes, 14);
    bytes
}

/// From a station by its gateway to another segment.
fn routed(from: (u8, u8), to: (u8, u8), hops: u8) -> Vec<u8> {
    udp((mac(from.0, 1), mac(from.0, from.1)), address(from.0, from.1), address(to.0, to.1), hops)
}

fn send(host: &MemoryHost, bytes: &[u8]) {
    assert!(host.send(bytes, Offload::NONE));
}

/// The next frame that is not about addresses.
fn received(host: &MemoryHost) -> Vec<u8> {
    loop {
        let (bytes, _) = host.recv(PATIENCE).expect("a frame");
        if bytes[12..14] != [8, 6] {
            return bytes;
        }
    }
}

fn eventually(what: &str, mut look: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_millis(PATIENCE.into());
    while !look() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_packet_for_another_segment_is_routed_where_it_comes_from() {
    let [one, two] = hosts();
    let a = one.station(0, 2, &two);
    let (near, far) = (one.station(1, 3, &two), two.station(1, 4, &one));
    for (to, last) in [(&near, 3), (&far, 4)] {
        send(&a, &routed((0, 2), (1, last), 64));
        let link = (mac(1, last), one.router.mac());
        assert_eq!(received(to), udp(link, address(0, 2), address(1, last), 63));
    }
    // What the far one answers is routed there.
    send(&far, &routed((1, 4), (0, 2), 64));
    let link = (mac(0, 2), two.router.mac());
    assert_eq!(received(&a), udp(link, address(1, 4), address(0, 2), 63));
    assert!(one.drops(0).is_empty() && two.drops(1).is_empty());
}

#[test]
fn what_is_for_many_stays_in_its_segment() {
    let [one, two] = hosts();
    let a = one.station(0, 2, &two);
    let (same, other) = (two.station(0, 3, &one), two.station(1, 4, &one));
    let hello = udp((MacAddr::BROADCAST, mac(0, 2)), address(0, 2), Ipv4Addr::BROADCAST, 64);
    send(&a, &hello);
    assert_eq!(received(&same), hello);
    // To a station of the other segment by its Ethernet address: it is nobody here.
    let direct = udp((mac(1, 4), mac(0, 2)), address(0, 2), address(1, 4), 64);
    send(&a, &direct);
    assert_eq!(received(&same), direct);
    // The first that comes there is the routed one.
    send(&a, &routed((0, 2), (1, 4), 9));
    let link = (mac(1, 4), one.router.mac());
    assert_eq!(received(&other), udp(link, address(0, 2), address(1, 4), 8));
}

#[test]
fn who_sends_what_cannot_go_on_is_told_why() {
    let [one, two] = hosts();
    let a = one.station(0, 2, &two);
    let _there = two.station(1, 4, &one);
    for (number, (to, hops, kind, code, reason)) in
        [((1, 4), 1, 11, 0, "hop_limit"), ((1, 9), 64, 3, 1, "no_neighbour"), ((7, 7), 64, 3, 0, "no_route")]
            .into_iter()
            .enumerate()
    {
        let sent = routed((0, 2), to, hops);
        send(&a, &sent);
        let told = received(&a);
        assert_eq!((&told[..6], &told[26..30]), (&mac(0, 2).0[..], &address(0, 1).octets()[..]));
        assert_eq!((told[34], told[35]), (kind, code), "{reason}");
        assert_eq!(told[42..], sent[14..], "the packet itself is quoted");
        eventually("it is counted", || {
            let drops = one.drops(0);
            (drops.len(), drops.get(reason)) == (number + 1, Some(&1))
        });
    }
    // The gateway has its addresses in all segments.
    let mut echo = routed((0, 2), (1, 1), 64);
    echo[23] = 1;
    echo[34..].fill(0);
    echo[34] = 8;
    echo[36] = 0xf7;
    echo[37] = 0xff;
    fill_ipv4(&mut echo, 14);
    send(&a, &echo);
    let reply = received(&a);
    assert_eq!((&reply[26..30], reply[34]), (&address(1, 1).octets()[..], 0));
}

#[test]
fn nobody_routes_what_comes_from_another_host_or_in_the_name_of_another_subnet() {
    let [one, two] = hosts();
    let a = one.station(0, 2, &two);
    let b = two.station(1, 4, &one);
    // A host that is no better than it should be sends its packets to the other's gateway.
    one.segments[0].bridge.fdb().remove(Station { mac: mac(0, 1), vlan: 0 });
    let gateway = Remote { mac: mac(0, 1), addresses: Vec::new(), vtep: two.address };
    one.segments[0].network.set_remote(&gateway).unwrap();
    send(&a, &routed((0, 2), (1, 4), 64));
    eventually("the other host drops it", || two.drops(0).get("isolated") == Some(&1));

    let c = two.station(0, 5, &one);
    let spoofed = udp((mac(0, 1), mac(0, 5)), address(1, 9), address(1, 4), 64);
    send(&c, &spoofed);
    eventually("it is dropped", || two.drops(0).get("isolated") == Some(&2));
    send(&c, &routed((0, 5), (1, 4), 64));
    let link = (mac(1, 4), two.router.mac());
    assert_eq!(received(&b), udp(link, address(0, 5), address(1, 4), 63), "the only one that came");
}

/// Runs `test` in a network namespace of its own, whose loopback interface carries `mtu` bytes.
fn with_underlay(mtu: u16, test: impl FnOnce() + Send) {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root makes network namespaces");
        return;
    }
    let test = || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let mtu = mtu.to_string();
        let ip = Command::new("ip").args(["link", "set", "lo", "up", "mtu", &mtu]).status();
        assert!(ip.unwrap().success());
        test();
    };
    std::thread::scope(|scope| scope.spawn(test).join().unwrap());
}

/// The same packet, of 1400 bytes and not to be fragmented.
fn long(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(14 + 1400, b'.');
    bytes[16..18].copy_from_slice(&1400u16.to_be_bytes());
    bytes[20] = 0x40;
    bytes[38..40].copy_from_slice(&1380u16.to_be_bytes());
    fill_ipv4(&mut bytes, 14);
    bytes
}

/// What `told` is: Ethernet destination and source, IP source, and the MTU of a "fragmentation needed".
fn too_big(told: &[u8]) -> ([u8; 6], [u8; 6], [u8; 4], u16) {
    assert_eq!((told[23], told[34], told[35]), (1, 3, 4), "ICMP, fragmentation needed: {told:?}");
    let (to, from) = (told[..6].try_into().unwrap(), told[6..12].try_into().unwrap());
    (to, from, told[26..30].try_into().unwrap(), u16::from_be_bytes([told[40], told[41]]))
}

#[test]
fn of_a_packet_too_long_for_the_underlay_its_sender_is_told_once_and_nobody_else() {
    with_underlay(1300, || {
        let [one, two] = hosts();
        let (a, near) = (one.station(0, 2, &two), one.station(1, 3, &two));
        let (same, far) = (two.station(0, 5, &one), two.station(1, 4, &one));
        let told = |segment: usize| {
            let port = one.segments[segment].network.port().counters().snapshot();
            (port.rx_frames, port.tx_drops.get("too_big").copied())
        };
        // Routed: by the gateway of the sender's own segment, in the name of the packet's destination.
        send(&a, &long(routed((0, 2), (1, 4), 64)));
        let answer = (mac(0, 2).0, mac(0, 1).0, address(1, 4).octets(), 1250);
        assert_eq!(too_big(&received(&a)), answer);
        // Bridged: by the VXLAN port, in the name of the station. Its answers keep their order, so the first
        // that comes is the only one so far.
        for (number, from, asker, to) in [(1, &near, 3, 4), (0, &a, 2, 5)] {
            let link = (mac(number, to), mac(number, asker));
            send(from, &long(udp(link, address(number, asker), address(number, to), 64)));
            let answer = (mac(number, asker).0, mac(number, to).0, address(number, to).octets(), 1250);
            assert_eq!(too_big(&received(from)), answer);
        }
        // A frame is counted after its sender was told.
        eventually("each is counted once", || (told(0), told(1)) == ((1, Some(1)), (1, Some(2))));
        assert!(one.drops(0).is_empty(), "what was dropped is counted once");
        // What fits crosses, and is the first that the others hear of all this.
        for (to, host, last) in [(&far, 1, 4), (&same, 0, 5)] {
            let link = (mac(host, last), mac(host, 9));
            let fits = udp(link, address(host, 9), address(host, last), 64);
            let from = if host == 0 { &a } else { &near };
            send(from, &fits);
            assert_eq!(received(to), fits);
        }
    });
}

#[test]
fn nobody_is_told_of_a_station_that_is_about_to_have_a_port() {
    let [one, two] = hosts();
    let a = one.station(0, 2, &two);
    let own = MacAddr([2, 0, 0, 0, 0, 7]);
    one.router.set_station(own, &[address(1, 4).into(), address(1, 5).into()]);
    send(&a, &routed((0, 2), (1, 4), 64));
    eventually("it is dropped", || one.drops(0).get("not_yet") == Some(&1));
    assert!(one.segments[0].gateway_port.is_up(), "it is not the gateway that is missing");
    // Another host has the address meanwhile.
    let b = two.station(1, 4, &one);
    send(&a, &routed((0, 2), (1, 4), 64));
    let link = (mac(1, 4), one.router.mac());
    assert_eq!(received(&b), udp(link, address(0, 2), address(1, 4), 63));
    // It does not come: whoever asks is told, for the first time.
    one.router.remove_station(own, &[address(1, 5).into()]);
    send(&a, &routed((0, 2), (1, 5), 64));
    let told = received(&a);
    assert_eq!((told[34], told[35]), (3, 1));
    assert_eq!(told[42..], routed((0, 2), (1, 5), 64)[14..]);
    assert_eq!(one.router.station(address(1, 4).into()), Some(own));
}
