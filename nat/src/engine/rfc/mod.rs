//! The numbered requirements of the RFCs, as tests named after them: frames of containers on one
//! side, sockets of this machine on the other.

pub(crate) mod namespace;
mod reader;
mod rfc4787;
mod rfc4787_ways;
mod rfc5508;
mod rfc6888;
mod udp;
mod udp_published;

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use packet::{Frame, MacAddr, Offload, segment};
use rustix::{
    event::{PollFd, PollFlags, poll},
    time::Timespec,
};

use self::reader::{Error, Seen};
use super::{Engine, FlowInfo, Inside, InsideId, Publisher, SendError, UdpListener, UdpPublishId};
use crate::{
    config::{Config, Filtering, InsideConfig},
    counters::Reason,
    flow::Transport,
    samples::{Sample, key},
    sys::Clock,
};

const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 1);
const GATEWAY6: Ipv6Addr = Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, 1);
/// What containers see for 127.0.0.`n`: 198.18.0.`n`.
const SEEN: [u8; 3] = [198, 18, 0];
/// What they see for ::1.
const SEEN6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1);
/// Longer than anything here takes.
const PATIENCE: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };

/// What containers got.
#[derive(Default)]
struct Inbox {
    frames: VecDeque<(InsideId, Vec<u8>, Offload)>,
    /// What their queues say.
    refuses: Option<SendError>,
}

impl Inside for Inbox {
    fn send(&mut self, inside: InsideId, frame: &mut Frame) -> Result<(), SendError> {
        if let Some(why) = self.refuses {
            return Err(why);
        }
        self.frames.push_back((inside, frame.bytes().to_vec(), frame.offload()));
        Ok(())
    }
}

/// An engine with containers. Number `n` has the addresses 10.0.2.`n` and fd00:2::`n`.
struct Bench {
    engine: Engine,
    inbox: Inbox,
    insides: Vec<(u8, InsideId)>,
}

/// The addresses of a container.
fn address(number: u8, v6: bool) -> IpAddr {
    if v6 {
        Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, number.into()).into()
    } else {
        Ipv4Addr::new(10, 0, 2, number).into()
    }
}

/// What containers see for an address of this machine's loopback.
fn seen(address: SocketAddr) -> (IpAddr, u16) {
    let ip = match address.ip() {
        IpAddr::V4(v4) if v4.is_loopback() => {
            let [a, b, c] = SEEN;
            Ipv4Addr::new(a, b, c, v4.octets()[3]).into()
        }
        IpAddr::V6(v6) if v6.is_loopback() => SEEN6.into(),
        other => other,
    };
    (ip, address.port())
}

/// A server at 127.0.0.`number`, or at ::1.
fn server(number: u8, v6: bool) -> UdpSocket {
    let ip: IpAddr = if v6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::new(127, 0, 0, number).into() };
    server_at(SocketAddr::new(ip, 0))
}

fn server_at(address: SocketAddr) -> UdpSocket {
    let server = UdpSocket::bind(address).unwrap();
    server.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    server
}

/// What a server got, and from where.
fn take(server: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut bytes = vec![0; 70_000];
    let (len, from) = server.recv_from(&mut bytes).unwrap();
    bytes.truncate(len);
    (bytes, from)
}

/// A datagram from port `port` of container `number`.
fn datagram(number: u8, port: u16, to: (IpAddr, u16), payload: &[u8]) -> Sample {
    let from = (address(number, to.0.is_ipv6()), port);
    Sample { key: key(Transport::Udp, from, to), payload: payload.to_vec(), ..Sample::default() }
}

/// An echo request of container `number`.
fn ping(number: u8, ident: u16, to: IpAddr, payload: &[u8]) -> Sample {
    let from = (address(number, to.is_ipv6()), ident);
    Sample { key: key(Transport::EchoRequest, from, (to, 0)), payload: payload.to_vec(), ..Sample::default() }
}

impl Bench {
    fn new(config: Config) -> Self {
        Self { engine: Engine::new(config).unwrap(), inbox: Inbox::default(), insides: Vec::new() }
    }

    /// With container 2.
    fn plain() -> Self {
        let mut bench = Self::new(Config::default());
        bench.add(2);
        bench
    }

    fn filtering(filtering: Filtering) -> Self {
        let mut config = Config::default();
        config.udp.filtering = filtering;
        let mut bench = Self::new(config);
        bench.add(2);
        bench
    }

    fn add(&mut self, number: u8) -> InsideId {
        self.add_with(number, |_| {})
    }

    fn add_with(&mut self, number: u8, change: impl FnOnce(&mut InsideConfig)) -> InsideId {
        let mut config = InsideConfig::new(MacAddr([2, 0, 0, 0, 0, 1]));
        config.mac = Some(MacAddr([2, 0, 0, 0, 1, number]));
        config.addresses = vec![address(number, false), address(number, true)];
        (config.gateway_v4, config.gateway_v6) = (Some(GATEWAY), Some(GATEWAY6));
        config.subnets = vec!["10.0.2.0/24".parse().unwrap(), "fd00:2::/64".parse().unwrap()];
        config.host_addresses = (1..10)
            .map(|n| SocketAddr::from(([127, 0, 0, n], 0)))
            .chain([SocketAddr::from((Ipv6Addr::LOCALHOST, 0))])
            .map(|host| (seen(host).0, host.ip()))
            .collect();
        change(&mut config);
        let id = self.engine.add_inside(config);
        self.insides.push((number, id));
        id
    }

    fn id(&self, number: u8) -> InsideId {
        self.insides.iter().find(|(n, _)| *n == number).unwrap().1
    }

    /// A container sends this, and the batch is over.
    fn send(&mut self, sample: &Sample) {
        let number = match sample.key.source.ip {
            IpAddr::V4(v4) => v4.octets()[3],
            IpAddr::V6(v6) => v6.octets()[15],
        };
        self.send_frame(number, sample.build());
    }

    fn send_frame(&mut self, number: u8, mut frame: Frame) {
        let id = self.id(number);
        self.engine.from_inside(id, &mut frame, &mut self.inbox);
        self.engine.flush(&mut self.inbox);
    }

    /// A container's datagram to a server; returns from where the server sees it.
    fn reach(&mut self, number: u8, port: u16, server: &UdpSocket) -> SocketAddr {
        let to = seen(server.local_addr().unwrap());
        self.send(&datagram(number, port, to, b"hello"));
        let (bytes, from) = take(server);
        assert_eq!(bytes, b"hello");
        from
    }

    /// Waits for something and does it.
    fn turn(&mut self) {
        let ready = poll(&mut [PollFd::from_borrowed_fd(self.engine.fd(), PollFlags::IN)], Some(&PATIENCE));
        assert_ne!(ready, Ok(0), "nothing happens: {:?}", self.engine.counters());
        self.engine.turn(&mut self.inbox);
    }

    fn until(&mut self, mut done: impl FnMut(&mut Self) -> bool) {
        while !done(self) {
            self.turn();
        }
    }

    fn count(&self, reason: Reason) -> u64 {
        self.engine.counters().get(reason)
    }

    fn until_counted(&mut self, reason: Reason, count: u64) {
        self.until(|bench| bench.count(reason) >= count);
        assert_eq!(self.count(reason), count, "{reason:?}");
    }

    /// The next frame for a container, as it was sent.
    fn frame(&mut self) -> (InsideId, Vec<u8>, Offload) {
        self.until(|bench| !bench.inbox.frames.is_empty());
        self.inbox.frames.pop_front().unwrap()
    }

    /// The next frame for a container as the packets it is on the wire.
    fn packets(&mut self) -> Vec<Seen> {
        let (inside, bytes, offload) = self.frame();
        let mut frame = Frame::with_capacity(70_000);
        frame.copy_from(&bytes, offload).unwrap();
        let (mut out, mut found) = (Frame::new(), Vec::new());
        let number = self.insides.iter().find(|(_, id)| *id == inside).unwrap().0;
        segment(&frame, &mut out, |frame| found.push(reader::read(number, frame.bytes()))).unwrap();
        found
    }

    /// The next packet for a container.
    fn packet(&mut self) -> Seen {
        let mut packets = self.packets();
        assert_eq!(packets.len(), 1);
        packets.remove(0)
    }

    /// The next packet, which is an error.
    fn error(&mut self) -> Error {
        match self.packet() {
            Seen::Error(error) => error,
            other => panic!("{other:?}"),
        }
    }

    /// The next packet, which is a datagram: from where, to which port, and its data.
    fn datagram(&mut self) -> ((IpAddr, u16), u16, Vec<u8>) {
        match self.packet() {
            Seen::Datagram(datagram) => (datagram.from, datagram.to.1, datagram.data),
            other => panic!("{other:?}"),
        }
    }

    /// Nothing was sent to a container that was not looked at.
    fn assert_quiet(&self) {
        assert!(self.inbox.frames.is_empty(), "{:?}", self.inbox.frames);
    }

    /// Time goes by.
    fn pass(&mut self, time: Duration) {
        Clock::pass(time);
        self.engine.turn(&mut self.inbox);
    }

    fn flows(&self) -> Vec<FlowInfo> {
        self.engine.flows().collect()
    }

    fn publish(&mut self, number: u8, port: u16, at: &str) -> (UdpPublishId, SocketAddr) {
        let listener = UdpListener::new(at.parse().unwrap()).unwrap();
        let address = listener.address();
        let to = Publisher { inside: self.id(number), port };
        (self.engine.publish_udp(listener, to).unwrap(), address)
    }
}
