//! Frames of two containers in any order, between an engine and this machine's loopback.

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::Once,
    time::Duration,
};

use packet::{
    Checksum, Frame, Gso, GsoKind, MacAddr, Offload,
    checksum::{Sum, field_offset, fill_ipv4, verify_transport},
    segment,
    wire::{Headers, IpVersion, TcpPacket, ipproto, tcp::flags},
};

use super::Input;
use crate::{
    config::{Config, InsideConfig, Limits},
    engine::{Engine, Inside, InsideId, Listener, Publisher, SendError, UdpListener},
    sys::Clock,
};

/// Where the host serves TCP and UDP, on 127.0.0.1 and ::1.
pub const PORT: u16 = 7000;
/// Which of the host's ports are the first container's ports 80 and 53.
pub const PUBLISHED: u16 = 7001;

/// The bits of a record's control byte.
pub mod control {
    /// The checksum is known to be right, the number a TCP segment acknowledges counts from what
    /// was last sent to its port, and for port 0 it goes to where that came from.
    pub const VERIFIED: u8 = 1;
    /// A super-frame.
    pub const GSO: u8 = 2;
    /// The batch goes on behind this frame.
    pub const MORE: u8 = 4;
    /// The engine's sockets and timers have their turn behind it.
    pub const TURN: u8 = 8;
    /// Containers' queues take nothing.
    pub const FULL: u8 = 16;
    /// Some minutes pass before it.
    pub const PASS: u8 = 32;
    /// Not a frame: what the host's programs do, see [`host`](super::host).
    pub const HOST: u8 = 64;
    /// The second container sends it.
    pub const OTHER: u8 = 128;
}

/// What the host's programs do, by the first byte of a record that is not a frame.
pub mod host {
    /// A server takes a connection.
    pub const ACCEPT: u8 = 0;
    /// The newest connection sends the rest of the record.
    pub const WRITE: u8 = 1;
    /// The newest connection reads.
    pub const READ: u8 = 2;
    /// The newest connection closes its half.
    pub const SHUTDOWN: u8 = 3;
    /// The newest connection is closed.
    pub const CLOSE: u8 = 4;
    /// A client connects to the published port.
    pub const CONNECT: u8 = 5;
    /// The server answers the last datagram with the rest of the record.
    pub const ANSWER: u8 = 6;
    /// A client sends the rest of the record to the published port.
    pub const ASK: u8 = 7;
    /// How many there are.
    pub const COUNT: u8 = 8;
}

const GATEWAY_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const MTU: u16 = 1500;
/// What passes at once.
const MINUTES: u64 = 3;

/// The addresses of a container, the first or the second.
fn addresses(number: u8) -> [IpAddr; 2] {
    let v6 = Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, u16::from(number) + 2);
    [Ipv4Addr::new(10, 0, 2, number + 2).into(), v6.into()]
}

fn mac(number: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 1, number + 2])
}

/// What was last sent to a port of a container.
#[derive(Clone, Copy)]
struct Last {
    /// From which.
    port: u16,
    /// The number behind it, of a segment.
    number: u32,
}

/// What containers get.
#[derive(Default)]
struct Containers {
    full: bool,
    ids: Vec<InsideId>,
    /// What was last sent to each of their ports.
    last: HashMap<(InsideId, u16), Last>,
}

impl Inside for Containers {
    fn send(&mut self, inside: InsideId, frame: &mut Frame) -> Result<(), SendError> {
        let number = self.ids.iter().position(|id| *id == inside);
        let Some(number) = number.and_then(|number| u8::try_from(number).ok()) else {
            panic!("a frame for {inside:?}, which is none");
        };
        assert_eq!(frame.bytes().get(..12), Some(&[mac(number).0, GATEWAY_MAC.0].concat()[..]));
        if self.full {
            return Err(SendError::Full);
        }
        self.learn(inside, frame.bytes());
        let done = segment(frame, &mut Frame::new(), |frame| check(number, frame.bytes()));
        assert!(done.is_ok(), "{done:?}");
        Ok(())
    }
}

impl Containers {
    fn learn(&mut self, inside: InsideId, frame: &[u8]) {
        let Some(ip) = Headers::parse(frame).and_then(|headers| headers.ip) else { return };
        let Some((from, to)) = ip.ports(frame) else { return };
        let mut last = Last { port: from, number: 0 };
        if ip.protocol == ipproto::TCP
            && let Some(tcp) = frame.get(ip.l4..ip.end).and_then(|bytes| TcpPacket::new_checked(bytes).ok())
        {
            let control = [flags::SYN, flags::FIN].iter().filter(|bit| tcp.flags() & **bit != 0).count();
            let len = ip.end - ip.l4 - tcp.header_len() + control;
            last.number = tcp.sequence().wrapping_add(len as u32);
        }
        self.last.insert((inside, to), last);
    }
}

/// A packet on the wire to container `number` is in order.
fn check(number: u8, frame: &[u8]) {
    let headers = Headers::parse(frame).expect("headers");
    let ip = headers.ip.expect("an IP packet");
    let packet = frame.get(headers.l3..ip.end).expect("a whole packet");
    assert!(packet.len() <= usize::from(MTU), "{} bytes", packet.len());
    let destination = match ip.version {
        IpVersion::V4 => {
            assert!(Sum::of(frame.get(headers.l3..headers.l3 + 20).unwrap_or(&[])).is_valid());
            IpAddr::from(*packet.get(16..).and_then(|b| b.first_chunk::<4>()).expect("a destination"))
        }
        IpVersion::V6 => {
            IpAddr::from(*packet.get(24..).and_then(|b| b.first_chunk::<16>()).expect("a destination"))
        }
    };
    assert!(addresses(number).contains(&destination), "container {number} gets what is for {destination}");
    assert!(ip.fragment || verify_transport(frame, headers.l3, &ip) == Some(true), "a wrong checksum");
}

/// The programs of the host.
struct Host {
    listeners: [TcpListener; 2],
    servers: [UdpSocket; 2],
    client: UdpSocket,
    connections: Vec<TcpStream>,
    last: Option<(usize, SocketAddr)>,
}

impl Host {
    fn new() -> std::io::Result<Self> {
        let here = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
        let [v4, v6] = here.map(|ip| SocketAddr::new(ip, PORT));
        let host = Self {
            listeners: [TcpListener::bind(v4)?, TcpListener::bind(v6)?],
            servers: [UdpSocket::bind(v4)?, UdpSocket::bind(v6)?],
            client: UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?,
            connections: Vec::new(),
            last: None,
        };
        for listener in &host.listeners {
            listener.set_nonblocking(true)?;
        }
        for socket in host.servers.iter().chain([&host.client]) {
            socket.set_nonblocking(true)?;
        }
        Ok(host)
    }

    /// Whatever comes of it is what happens to programs.
    fn act(&mut self, record: &[u8]) {
        let Some((what, rest)) = record.split_first() else { return };
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, PUBLISHED));
        match (what % host::COUNT, self.connections.last_mut()) {
            (host::ACCEPT, _) => {
                let taken = self.listeners.iter().filter_map(|listener| listener.accept().ok());
                let taken: Vec<_> = taken.map(|(stream, _)| stream).collect();
                self.connections.extend(taken);
            }
            (host::WRITE, Some(stream)) => drop(stream.write(rest)),
            (host::READ, Some(stream)) => drop(stream.read(&mut [0; 10_000])),
            (host::SHUTDOWN, Some(stream)) => drop(stream.shutdown(std::net::Shutdown::Write)),
            (host::CLOSE, _) => drop(self.connections.pop()),
            (host::CONNECT, _) => self.connections.extend(TcpStream::connect(at)),
            (host::ANSWER, _) => {
                for (index, server) in self.servers.iter().enumerate() {
                    while let Ok((_, from)) = server.recv_from(&mut [0; 100]) {
                        self.last = Some((index, from));
                    }
                }
                if let Some((index, to)) = self.last
                    && let Some(server) = self.servers.get(index)
                {
                    let _ = server.send_to(rest, to);
                }
            }
            (host::ASK, _) => drop(self.client.send_to(rest, at)),
            _ => {}
        }
        if let Some(stream) = self.connections.last() {
            let _ = stream.set_nonblocking(true);
        }
    }
}

/// So that no frame gets further than this machine, and nothing on it.
fn assert_alone() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let interfaces = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
        let others = interfaces.lines().skip(2).filter(|line| !line.trim_start().starts_with("lo:")).count();
        assert_eq!(others, 0, "to be run in a network namespace with nothing but lo, see nat/fuzz/README.md");
    });
}

/// Takes `bytes` for records: control byte, 2 bytes segment size, 2 bytes length, a frame. The
/// engine panics at nothing, sends containers nothing but packets that are in order and theirs,
/// keeps its limits, and gives everything back in the end.
pub fn engine(bytes: &[u8]) {
    assert_alone();
    let limits = Limits { flows_per_inside: 8, flows: 12, half_open_per_inside: 4, ..Limits::default() };
    let config = Config { limits: limits.clone(), ..Config::default() };
    let (Ok(mut engine), Ok(mut host)) = (Engine::new(config), Host::new()) else { return };
    let ids = [0, 1].map(|number| engine.add_inside(inside(number))).to_vec();
    let mut containers = Containers { ids, ..Containers::default() };
    let [first, second] = [0, 1].map(|number| containers.ids.get(number).copied().unwrap_or(InsideId(9)));
    let published = SocketAddr::from((Ipv4Addr::LOCALHOST, PUBLISHED));
    if let (Ok(tcp), Ok(udp)) = (Listener::new(published), UdpListener::new(published)) {
        let _ = engine.publish(tcp, Publisher { inside: first, port: 80 });
        let _ = engine.publish_udp(udp, Publisher { inside: first, port: 53 });
    }

    let mut input = Input(bytes);
    let mut frame = Frame::new();
    while !input.is_empty() {
        let (control, size, len) = (input.byte(), input.word(), input.word());
        let record = input.bytes(len.into());
        containers.full = control & control::FULL != 0;
        if control & control::PASS != 0 {
            Clock::pass(Duration::from_mins(MINUTES));
        }
        if control & control::HOST != 0 {
            host.act(record);
        } else {
            let from = if control & control::OTHER == 0 { first } else { second };
            if fill(&mut frame, record, control, size, &containers, from) {
                engine.from_inside(from, &mut frame, &mut containers);
            }
        }
        if control & control::MORE == 0 {
            engine.flush(&mut containers);
        }
        if control & control::TURN != 0 {
            engine.turn(&mut containers);
        }
        for info in [first, second].iter().filter_map(|id| engine.inside(*id)) {
            assert!(info.flows <= limits.flows_per_inside && info.half_open <= limits.half_open_per_inside);
            assert!(info.backlog <= limits.backlog_per_inside);
        }
    }
    engine.flush(&mut containers);
    for id in [first, second] {
        engine.close_flows(id, &mut containers);
        let left = engine.inside(id).map(|info| (info.flows, info.half_open, info.backlog));
        assert_eq!(left, Some((0, 0, 0)));
        engine.remove_inside(id);
    }
    assert_eq!(engine.flows().count(), 0);
}

fn inside(number: u8) -> InsideConfig {
    let mut config = InsideConfig::new(GATEWAY_MAC);
    config.mac = Some(mac(number));
    config.addresses = addresses(number).to_vec();
    config.gateway_v4 = Some(Ipv4Addr::new(10, 0, 2, 1));
    config.gateway_v6 = Some(Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, 1));
    config.subnets = ["10.0.2.0/24", "fd00:2::/64"].iter().filter_map(|net| net.parse().ok()).collect();
    config.mtu = MTU;
    // 198.18.0.1 and 2001:db8:ffff::1 are the loopback's.
    let seen6 = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1);
    config.host_addresses = vec![
        (Ipv4Addr::new(198, 18, 0, 1).into(), Ipv4Addr::LOCALHOST.into()),
        (seen6.into(), Ipv6Addr::LOCALHOST.into()),
    ];
    config
}

/// Makes the frame that a record says; false if there can be none.
fn fill(
    frame: &mut Frame,
    record: &[u8],
    control: u8,
    size: u16,
    known: &Containers,
    from: InsideId,
) -> bool {
    let mut bytes = record.to_vec();
    let mut offload = Offload::NONE;
    if let Some(headers) = Headers::parse(&bytes)
        && let Some(ip) = headers.ip
    {
        if control & control::VERIFIED != 0 {
            offload.checksum = Checksum::Verified;
            if ip.version == IpVersion::V4 {
                fill_ipv4(&mut bytes, headers.l3);
            }
            let last = ip.ports(&bytes).and_then(|(port, _)| known.last.get(&(from, port)));
            if let Some(last) = last
                && let Some([_, _, high @ 0, low @ 0, ..]) = bytes.get_mut(ip.l4..)
            {
                [*high, *low] = last.port.to_be_bytes();
            }
            if ip.protocol == ipproto::TCP
                && let Some(last) = last
                && let Some(field) = bytes.get_mut(ip.l4 + 8..).and_then(|b| b.first_chunk_mut::<4>())
            {
                *field = u32::from_be_bytes(*field).wrapping_add(last.number).to_be_bytes();
            }
        }
        if control & control::GSO != 0 {
            let kind = match (ip.protocol, ip.version) {
                (ipproto::UDP, _) => GsoKind::UdpL4,
                (_, IpVersion::V4) => GsoKind::Tcp4,
                (_, IpVersion::V6) => GsoKind::Tcp6,
            };
            let offset = field_offset(ip.protocol).unwrap_or(0) as u16;
            offload.checksum = Checksum::Partial { start: ip.l4 as u16, offset };
            let hdr_len = ip.payload.unwrap_or(ip.l4) as u16;
            offload.gso = Some(Gso { kind, ecn: false, size: size.max(1), hdr_len });
        }
    }
    frame.copy_from(&bytes, offload).is_ok()
}
