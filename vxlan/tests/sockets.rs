//! Two endpoints joined by real sockets over a loopback interface.

#![allow(clippy::unwrap_used)]

use std::{
    net::{IpAddr, Ipv4Addr, UdpSocket},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
};

use nix::{
    poll::{PollFd, PollFlags, poll},
    sched::{CloneFlags, unshare},
};
use packet::{
    Frame, MacAddr,
    fuzzing::sample::{Sample, payload},
    segment,
};
use vxlan::{Network, NetworkConfig, Path, Receiver, SendError, Sink, SocketError, Vni, Vtep, VtepConfig};

/// Milliseconds something that must arrive may take on a busy machine.
const PATIENCE: u16 = 5000;

struct Endpoint {
    vtep: Vtep<()>,
    receivers: Vec<Receiver<()>>,
    network: Arc<Network>,
    address: IpAddr,
}

impl Endpoint {
    fn new(address: IpAddr, port: u16, receivers: usize) -> Self {
        let config = VtepConfig { addresses: vec![address], port, receivers, senders: 16, workers: 1 };
        let (vtep, receivers) = Vtep::new(&config).unwrap();
        let network = Arc::new(Network::new(Vni::new(7).unwrap(), &NetworkConfig::default()));
        assert!(vtep.demux().add(network.clone(), ()));
        Self { vtep, receivers, network, address }
    }

    fn path(&self, to: &Self) -> Arc<Path> {
        self.vtep.sender().path(to.address)
    }

    fn send(&self, frame: &Frame, to: &Self) -> Result<(), SendError> {
        self.vtep.sender().send(0, self.network.vni(), frame, &[self.path(to)])
    }
}

/// Addresses of the loopback interface that nobody else has: whoever shares a port between two of them would otherwise
/// find it taken by a sending socket of a test beside.
fn loopback() -> impl Fn(u8) -> IpAddr {
    static TAKEN: AtomicU8 = AtomicU8::new(0);
    let (process, number) = ((std::process::id() % 250) as u8 + 1, TAKEN.fetch_add(1, Relaxed));
    move |host| Ipv4Addr::new(127, process, number, host).into()
}

fn pair(receivers: usize) -> (Endpoint, Endpoint) {
    let address = loopback();
    let a = Endpoint::new(address(1), 0, 1);
    let b = Endpoint::new(address(2), a.vtep.port(), receivers);
    b.network.add_peer(b.vtep.sender(), a.address).unwrap();
    a.network.add_peer(a.vtep.sender(), b.address).unwrap();
    (a, b)
}

#[derive(Default)]
struct Collect(Vec<Frame>);

impl Sink<()> for Collect {
    fn admits(&mut self, (): &(), _: MacAddr) -> bool {
        true
    }

    fn deliver(&mut self, (): &(), frame: &mut Frame) {
        let mut copy = Frame::new();
        copy.copy_from(frame.bytes(), frame.offload()).unwrap();
        self.0.push(copy);
    }
}

/// What one socket has, once there is something.
fn receive(receiver: &mut Receiver<()>) -> Vec<Frame> {
    let mut fds = [PollFd::new(receiver.fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut fds, PATIENCE), Ok(1), "nothing arrived");
    let mut sink = Collect::default();
    while receiver.receive(0, &mut sink) > 0 {}
    sink.0
}

fn frame(sample: &Sample) -> Frame {
    let (bytes, offload) = sample.build().unwrap();
    let mut frame = Frame::new();
    frame.copy_from(&bytes, offload).unwrap();
    frame
}

fn super_frame(segments: usize) -> Frame {
    frame(&Sample { gso: Some(1000), payload: payload(segments * 1000), ..Sample::default() })
}

fn wire(frames: &[Frame]) -> Vec<Vec<u8>> {
    let (mut all, mut out) = (Vec::new(), Frame::new());
    for frame in frames {
        segment(frame, &mut out, |segment| all.push(segment.bytes().to_vec())).unwrap();
    }
    all
}

#[test]
fn a_super_frame_crosses_whole() {
    let (a, mut b) = pair(1);
    let sent = super_frame(60);
    a.send(&sent, &b).unwrap();
    a.vtep.sender().flush(0);
    let received = receive(&mut b.receivers[0]);
    assert_eq!(received.len(), 1);
    assert_eq!((received[0].bytes(), received[0].offload()), (sent.bytes(), sent.offload()));
}

#[test]
fn without_segmentation_offload_every_datagram_goes_alone() {
    let (a, mut b) = pair(1);
    a.path(&b).set_segmentation(false);
    let sent = super_frame(60);
    a.send(&sent, &b).unwrap();
    a.vtep.sender().flush(0);
    let mut received = Vec::new();
    while wire(&received).len() < 60 {
        received.extend(receive(&mut b.receivers[0]));
    }
    assert_eq!(wire(&received), wire(&[sent]));
}

#[test]
fn nothing_leaves_before_the_batch_ends() {
    let (a, mut b) = pair(1);
    let small = |id| frame(&Sample { tcp: false, id, payload: payload(100), ..Sample::default() });
    let small: Vec<_> = (0..10).map(small).collect();
    for frame in &small {
        a.send(frame, &b).unwrap();
    }
    assert_eq!(b.receivers[0].receive(0, &mut Collect::default()), 0);
    a.vtep.sender().flush(0);
    assert!(wire(&receive(&mut b.receivers[0])) == wire(&small));
}

#[test]
fn flows_have_source_ports_and_receivers_of_their_own() {
    let (a, mut b) = pair(2);
    let ports = a.vtep.sender().source_ports();
    assert!(ports.len() == 16 && ports.iter().all(|port| *port >= 49_152), "{ports:?}");
    for port in 0..64 {
        a.send(&frame(&Sample { port, payload: payload(100), ..Sample::default() }), &b).unwrap();
    }
    a.vtep.sender().flush(0);
    let (one, two) = b.receivers.split_at_mut(1);
    let (one, two) = (receive(&mut one[0]), receive(&mut two[0]));
    assert_eq!(wire(&one).len() + wire(&two).len(), 64);
}

#[test]
fn sockets_that_cannot_be_are_refused_by_name() {
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let taken = UdpSocket::bind((address, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    for receivers in [1, 4] {
        let config = VtepConfig { addresses: vec![address], port, receivers, ..VtepConfig::default() };
        let refused = Vtep::<()>::new(&config).unwrap_err();
        assert!(matches!(refused, SocketError::InUse { port: p, .. } if p == port), "{refused}");
    }
    let with = |addresses: &[&str]| {
        let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
        Vtep::<()>::new(&VtepConfig { addresses, port: 0, ..VtepConfig::default() })
    };
    assert!(matches!(with(&["203.0.113.77"]), Err(SocketError::NotLocal(_))));
    assert!(matches!(with(&[]), Err(SocketError::Addresses)));
    assert!(matches!(with(&["127.0.0.1", "127.0.0.2"]), Err(SocketError::Addresses)));
    let (both, receivers) = with(&["127.0.0.1", "::1"]).unwrap();
    assert_eq!(receivers.len(), 2);
    assert!(receivers.iter().all(|r| r.address().unwrap().port() == both.port()));
}

/// Runs `test` in a network namespace of its own, whose loopback interface is as `lo` says.
fn with_loopback(lo: &str, test: impl FnOnce() + Send) {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root makes network namespaces");
        return;
    }
    let test = || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let words = ["link", "set", "lo", "up"].into_iter().chain(lo.split_whitespace());
        assert!(Command::new("ip").args(words).status().unwrap().success());
        test();
    };
    std::thread::scope(|scope| scope.spawn(test).join().unwrap());
}

#[test]
fn a_path_that_got_narrower_is_noticed_by_sending() {
    with_loopback("mtu 9000", || {
        let (a, mut b) = pair(1);
        let path = a.path(&b);
        assert_eq!((path.mtu(), path.room()), (9000, 9000 - 36));
        a.send(&super_frame(20), &b).unwrap();
        // Before the batch leaves, the interface changes.
        let narrower = ["link", "set", "lo", "mtu", "800"];
        assert!(Command::new("ip").args(narrower).status().unwrap().success());
        a.vtep.sender().flush(0);
        assert_eq!(path.mtu(), 800);
        assert_eq!(path.drops().get(SendError::TooBig), 20);
        assert!(path.segmentation(), "that was not the reason");
        assert_eq!(a.send(&super_frame(20), &b), Err(SendError::TooBig));
        let fits = frame(&Sample { gso: Some(600), payload: payload(6000), ..Sample::default() });
        a.send(&fits, &b).unwrap();
        a.vtep.sender().flush(0);
        assert_eq!(wire(&receive(&mut b.receivers[0])), wire(&[fits]));
        // That it is wider again is noticed by asking.
        assert!(Command::new("ip").args(["link", "set", "lo", "mtu", "1500"]).status().unwrap().success());
        a.vtep.refresh(0);
        assert_eq!(a.vtep.inner_mtu([b.address]), Some(1450));
        a.send(&super_frame(20), &b).unwrap();
    });
}

#[test]
fn a_peer_without_a_route_is_counted() {
    with_loopback("", || {
        let (a, b) = pair(1);
        let nowhere = a.vtep.sender().path("203.0.113.1".parse().unwrap());
        let small = frame(&Sample { payload: payload(10), ..Sample::default() });
        let vni = a.network.vni();
        a.vtep.sender().send(0, vni, &small, &[nowhere.clone(), a.path(&b)]).unwrap();
        a.vtep.sender().flush(0);
        assert_eq!(nowhere.drops().total(), 1);
        assert_eq!(a.path(&b).drops().total(), 0, "the others are not held up");
        let v6 = a.vtep.sender().path("2001:db8::1".parse().unwrap());
        assert_eq!(a.vtep.sender().send(0, vni, &small, &[v6]), Err(SendError::NoSocket));
        assert_eq!(a.vtep.sender().send(0, vni, &small, &[]), Err(SendError::NoPeer));
    });
}

fn ip(args: &str) {
    assert!(Command::new("ip").args(args.split_whitespace()).status().unwrap().success(), "ip {args}");
}

#[test]
fn a_route_that_refuses_is_no_way_and_leaves_segmentation_as_it_is() {
    with_loopback("", || {
        let (a, mut b) = pair(1);
        let path = a.path(&b);
        // What sendmsg says: EINVAL, EACCES, EHOSTUNREACH.
        for (round, kind) in (1..).zip(["blackhole", "prohibit", "unreachable"]) {
            ip(&format!("route add {kind} {} table local", b.address));
            a.send(&super_frame(60), &b).unwrap();
            a.send(&frame(&Sample { payload: payload(10), ..Sample::default() }), &b).unwrap();
            a.vtep.sender().flush(0);
            assert_eq!(path.drops().get(SendError::Unreachable), 61 * round, "{kind}");
            assert_eq!(path.drops().total(), 61 * round, "{kind}");
            assert!(path.segmentation(), "{kind}");
            ip(&format!("route del {kind} {} table local", b.address));
            let sent = super_frame(60);
            a.send(&sent, &b).unwrap();
            a.vtep.sender().flush(0);
            let received = receive(&mut b.receivers[0]);
            assert_eq!(received.len(), 1, "it crosses whole after {kind}");
            assert_eq!(wire(&received), wire(&[sent]));
        }
        assert_eq!(path.drops().total(), 3 * 61);
    });
}

#[test]
fn a_route_of_ipv6_that_refuses_is_no_way_either() {
    with_loopback("", || {
        let config = VtepConfig { addresses: vec!["::1".parse().unwrap()], port: 0, ..VtepConfig::default() };
        let (vtep, _receivers) = Vtep::<()>::new(&config).unwrap();
        let path = vtep.sender().path("2001:db8::1".parse().unwrap());
        for (round, kind) in (1..).zip(["blackhole", "prohibit", "unreachable"]) {
            ip(&format!("-6 route add {kind} 2001:db8::/64"));
            vtep.sender()
                .send(0, Vni::new(7).unwrap(), &super_frame(60), std::slice::from_ref(&path))
                .unwrap();
            vtep.sender().flush(0);
            assert_eq!(path.drops().get(SendError::Unreachable), 60 * round, "{kind}");
            assert_eq!(path.drops().total(), 60 * round, "{kind}");
            assert!(path.segmentation(), "{kind}");
            ip(&format!("-6 route del {kind} 2001:db8::/64"));
        }
    });
}

#[test]
fn paths_are_known_where_no_port_is_left() {
    with_loopback("mtu 1400", || {
        let (a, b) = pair(1);
        let path = a.path(&b);
        std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40001").unwrap();
        let _taken = [40_000, 40_001].map(|port| UdpSocket::bind(("0.0.0.0", port)).unwrap());
        assert!(UdpSocket::bind("127.0.0.1:0").is_err());
        assert!(!path.refresh());
        assert_eq!(path.mtu(), 1400);
    });
}
