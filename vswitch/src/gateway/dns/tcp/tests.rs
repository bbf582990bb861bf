//! Connections with a client of another stack, in a time of their own.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use packet::{Frame, Offload};
use parking_lot::Mutex;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::wire::{HardwareAddress, IpCidr};

use super::super::{DnsConfig, DnsQuery, DnsReply, Transport, turn};
use super::*;
use crate::dataplane::{Receive, Received, Transmit};
use crate::gateway::samples::{self, GATEWAY, GATEWAY6, HOST, HOST6, gateway_mac, host_mac};
use crate::gateway::{Gateway, GatewayReceive, GatewayTransmit, gateway_port};

/// The way between a client and the gateway: frames both ways.
#[derive(Default)]
struct Wire {
    to_client: VecDeque<Vec<u8>>,
    to_gateway: VecDeque<Vec<u8>>,
}

struct Rx(Vec<u8>);
struct Tx<'a>(&'a mut VecDeque<Vec<u8>>);

impl RxToken for Rx {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0[14..])
    }
}

impl TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; 14 + len];
        let result = f(&mut frame[14..]);
        frame[..6].copy_from_slice(&gateway_mac().0);
        frame[6..12].copy_from_slice(&host_mac().0);
        let ethertype = if frame[14] >> 4 == 4 { [8, 0] } else { [0x86, 0xdd] };
        frame[12..14].copy_from_slice(&ethertype);
        self.0.push_back(frame);
        result
    }
}

impl Device for Wire {
    type RxToken<'a> = Rx;
    type TxToken<'a> = Tx<'a>;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Rx, Tx<'_>)> {
        Some((Rx(self.to_client.pop_front()?), Tx(&mut self.to_gateway)))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Tx<'_>> {
        Some(Tx(&mut self.to_gateway))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = 1400;
        capabilities
    }
}

type Asked = Arc<Mutex<Vec<(DnsQuery, DnsReply)>>>;

struct Net {
    gateway: Gateway,
    transmit: GatewayTransmit,
    receive: GatewayReceive,
    connections: Connections,
    asked: Asked,
    start: Instant,
    now: Instant,
    wire: Wire,
    interface: Interface,
    sockets: SocketSet<'static>,
    server: IpAddr,
    /// Never driven: the tests take the turns of its task.
    _runtime: tokio::runtime::Runtime,
}

impl Net {
    fn new(v6: bool) -> Self {
        let (host, server): (IpAddr, IpAddr) =
            if v6 { (HOST6.into(), GATEWAY6.into()) } else { (HOST.into(), GATEWAY.into()) };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let asked = Asked::default();
        let handler = {
            let asked = asked.clone();
            Arc::new(move |query, reply| asked.lock().push((query, reply)))
        };
        let mut config = samples::config();
        config.dns = Some(DnsConfig { handler, runtime: runtime.handle().clone() });
        let (gateway, transmit, receive) = gateway_port(config).unwrap();
        let mut wire = Wire::default();
        let start = smoltcp::time::Instant::ZERO;
        let mut interface = Interface::new(Config::new(HardwareAddress::Ip), &mut wire, start);
        interface
            .update_ip_addrs(|all| all.push(IpCidr::new(host.into(), if v6 { 64 } else { 16 })).unwrap());
        let sockets = SocketSet::new(Vec::new());
        let connections = Connections::default();
        let now = Instant::now();
        Self {
            gateway,
            transmit,
            receive,
            connections,
            asked,
            start: now,
            now,
            wire,
            interface,
            sockets,
            server,
            _runtime: runtime,
        }
    }

    fn connect(&mut self, port: u16) -> SocketHandle {
        let buffer = || SocketBuffer::new(vec![0; 100_000]);
        let mut socket = Socket::new(buffer(), buffer());
        // What waits for time waits for ever where there is none.
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None);
        let handle = self.sockets.add(socket);
        let context = self.interface.context();
        let remote = (smoltcp::wire::IpAddress::from(self.server), 53);
        self.sockets.get_mut::<Socket<'_>>(handle).connect(context, remote, port).unwrap();
        handle
    }

    fn socket(&mut self, handle: SocketHandle) -> &mut Socket<'static> {
        self.sockets.get_mut(handle)
    }

    fn state(&mut self, handle: SocketHandle) -> State {
        self.socket(handle).state()
    }

    /// Lets frames go back and forth until there are none; `lose` throws all of the client's away.
    fn settle(&mut self, lose: bool) {
        let (mut frame, mut scratch) = (Frame::new(), Frame::new());
        let micros = i64::try_from((self.now - self.start).as_micros()).unwrap();
        loop {
            self.interface.poll(
                smoltcp::time::Instant::from_micros(micros),
                &mut self.wire,
                &mut self.sockets,
            );
            if lose {
                self.wire.to_gateway.clear();
            }
            for bytes in self.wire.to_gateway.drain(..) {
                samples::assert_right(&bytes);
                frame.copy_from(&bytes, Offload::NONE).unwrap();
                self.transmit.send(0, &mut frame, &mut scratch).unwrap();
            }
            while turn(self.gateway.shared(), &mut self.connections, self.now) {}
            while self.receive.recv(&mut frame) == Received::Frame {
                samples::assert_right(frame.bytes());
                if frame.bytes()[..6] == host_mac().0 {
                    self.wire.to_client.push_back(frame.bytes().to_vec());
                }
            }
            if self.wire.to_client.is_empty() {
                return;
            }
        }
    }

    /// Lets time pass in steps of a second.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += Duration::from_secs(1).min(end - self.now);
            self.settle(false);
        }
    }

    fn ask(&mut self, handle: SocketHandle, message: &[u8]) {
        let len = u16::try_from(message.len()).unwrap().to_be_bytes();
        let bytes = [&len[..], message].concat();
        assert_eq!(self.socket(handle).send_slice(&bytes), Ok(bytes.len()));
        self.settle(false);
    }

    fn take(&mut self) -> Vec<(DnsQuery, DnsReply)> {
        std::mem::take(&mut *self.asked.lock())
    }

    fn heard(&mut self, handle: SocketHandle) -> Vec<u8> {
        let mut all = Vec::new();
        while let Ok(n @ 1..) = self.socket(handle).recv(|data| {
            all.extend_from_slice(data);
            (data.len(), data.len())
        }) {
            let _ = n;
            self.settle(false);
        }
        all
    }

    fn ended(&self) -> u64 {
        self.gateway.stats().dns_connections_ended
    }
}

fn query(n: u8) -> Vec<u8> {
    vec![n; 12 + usize::from(n)]
}

#[test]
fn queries_are_answered_in_any_order() {
    for v6 in [false, true] {
        let mut net = Net::new(v6);
        let client = net.connect(4000);
        net.settle(false);
        assert_eq!(net.state(client), State::Established);
        net.ask(client, &query(1));
        net.ask(client, &query(2));
        let mut asked = net.take();
        let (second, first) = (asked.pop().unwrap(), asked.pop().unwrap());
        assert_eq!((first.0.message(), first.0.transport()), (&query(1)[..], Transport::Tcp));
        assert_eq!(
            (first.0.mac(), first.0.source().port(), first.0.server()),
            (host_mac(), 4000, net.server)
        );
        assert!(second.1.send(b"second") && first.1.send(b"first"));
        net.settle(false);
        assert_eq!(net.heard(client), b"\0\x06second\0\x05first");
        net.socket(client).close();
        net.settle(false);
        assert!(matches!(net.state(client), State::TimeWait | State::Closed));
        assert_eq!((net.connections.all.len(), net.ended()), (0, 0));
        assert_eq!(net.gateway.stats().dns_answers, 2);
    }
}

#[test]
fn the_longest_answer_comes_whole() {
    let mut net = Net::new(false);
    let client = net.connect(4000);
    net.settle(false);
    net.ask(client, &query(1));
    let answer: Vec<u8> = (0..65_535u32).map(|i| (i % 251) as u8).collect();
    let (_, reply) = net.take().pop().unwrap();
    assert!(reply.send(&answer));
    net.settle(false);
    let mut heard = net.heard(client);
    // What was sent last may wait for an acknowledgment that is sent late.
    while heard.len() < 65_537 && net.now < net.start + Duration::from_mins(1) {
        net.pass(Duration::from_secs(1));
        heard.extend(net.heard(client));
    }
    assert_eq!((heard.len(), &heard[2..]), (65_537, &answer[..]));
}

#[test]
fn a_query_may_come_in_pieces() {
    let mut net = Net::new(false);
    let client = net.connect(4000);
    net.settle(false);
    for byte in [&[0, 12][..], &query(0)].concat() {
        assert!(net.take().is_empty());
        net.socket(client).send_slice(&[byte]).unwrap();
        net.settle(false);
    }
    assert_eq!(net.take().pop().unwrap().0.message(), query(0));
}

#[test]
fn who_half_closes_still_gets_the_answer() {
    let mut net = Net::new(false);
    let client = net.connect(4000);
    net.settle(false);
    net.ask(client, &query(1));
    net.socket(client).close();
    net.settle(false);
    assert_eq!(net.connections.all.len(), 1);
    let (_, reply) = net.take().pop().unwrap();
    assert!(reply.send(b"answer"));
    net.settle(false);
    assert_eq!(net.heard(client), b"\0\x06answer");
    assert_eq!(net.connections.all.len(), 0);
}

#[test]
fn a_query_without_an_answer_holds_nothing() {
    let mut net = Net::new(false);
    let client = net.connect(4000);
    net.settle(false);
    net.ask(client, &query(1));
    drop(net.take());
    net.settle(false);
    net.socket(client).close();
    net.settle(false);
    assert_eq!(net.connections.all.len(), 0);
    assert_eq!(net.gateway.shared().dns.in_flight.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[test]
fn what_is_no_dns_ends_the_connection() {
    for bytes in [&[0, 0][..], &[0, 11], &[0x10, 0x01], b"GET / HTTP/1.1\r\n"] {
        let mut net = Net::new(false);
        let client = net.connect(4000);
        net.settle(false);
        net.socket(client).send_slice(bytes).unwrap();
        net.settle(false);
        assert_eq!((net.state(client), net.ended()), (State::Closed, 1), "{bytes:?}");
    }
}

#[test]
fn an_idle_connection_ends_and_a_busy_one_does_not() {
    let mut net = Net::new(false);
    let (idle, half, busy) = (net.connect(4000), net.connect(4001), net.connect(4002));
    net.settle(false);
    net.ask(busy, &query(1));
    net.pass(Duration::from_secs(6));
    // Half a query keeps nobody alive.
    net.socket(half).send_slice(&[0, 12, 0]).unwrap();
    net.pass(Duration::from_secs(6));
    let states = [idle, half, busy].map(|handle| net.state(handle));
    assert_eq!(states, [State::Closed, State::Closed, State::Established]);
    let (_, reply) = net.take().pop().unwrap();
    assert!(reply.send(b"late"));
    net.settle(false);
    assert_eq!(net.heard(busy), b"\0\x04late");
    net.pass(Duration::from_secs(12));
    assert_eq!((net.state(busy), net.ended()), (State::Closed, 3));
}

#[test]
fn a_handler_that_never_answers_does_not_hold_a_connection_for_ever() {
    let mut net = Net::new(false);
    let client = net.connect(4000);
    net.settle(false);
    net.ask(client, &query(1));
    net.pass(Duration::from_secs(35));
    assert_eq!((net.state(client), net.connections.all.len()), (State::Closed, 0));
    // Too late is no harm.
    let (_, reply) = net.take().pop().unwrap();
    reply.send(b"answer");
    net.settle(false);
}

#[test]
fn only_so_many_queries_wait_at_once() {
    let mut net = Net::new(false);
    let client = net.connect(4000);
    net.settle(false);
    for n in 0..20 {
        net.ask(client, &query(n));
    }
    let mut answered = 0;
    loop {
        let asked = net.take();
        assert!(asked.len() <= 8);
        if asked.is_empty() {
            break;
        }
        answered += asked.len();
        for (query, reply) in asked {
            assert!(reply.send(query.message()));
        }
        net.settle(false);
    }
    assert_eq!(answered, 20);
}

#[test]
fn connections_have_a_limit_for_each_address_and_in_all() {
    let mut net = Net::new(false);
    let clients: Vec<_> = (0..20).map(|n| net.connect(4000 + n)).collect();
    net.settle(false);
    let open =
        clients.iter().filter(|c| net.sockets.get::<Socket<'_>>(**c).state() == State::Established).count();
    assert_eq!((open, net.connections.all.len()), (MAX_PER_PEER, MAX_PER_PEER));
    // Opening ones of many other addresses that never finish: the open stay, the half-open go.
    let (mut frame, mut scratch) = (Frame::new(), Frame::new());
    for n in 0..200u8 {
        let source = IpAddr::from([172, 18, 1, n]);
        let mut syn = samples::tcp_frame((source, 1), (GATEWAY.into(), 53), (1, 0, flags::SYN), &[]);
        syn[11] = n;
        syn[10] = 1;
        frame.copy_from(&syn, Offload::NONE).unwrap();
        net.transmit.send(0, &mut frame, &mut scratch).unwrap();
        net.settle(true);
    }
    assert_eq!(net.connections.all.len(), MAX);
    assert_eq!(net.ended(), 200 - (MAX - MAX_PER_PEER) as u64);
    let still =
        clients.iter().filter(|c| net.sockets.get::<Socket<'_>>(**c).state() == State::Established).count();
    assert_eq!(still, MAX_PER_PEER);
    net.pass(Duration::from_secs(8));
    assert_eq!(net.connections.all.len(), MAX_PER_PEER, "half-open ones are forgotten");
}

#[test]
fn a_station_gains_nothing_by_having_many_addresses() {
    let mut net = Net::new(false);
    let (mut frame, mut scratch) = (Frame::new(), Frame::new());
    for n in 0..200u8 {
        let source = IpAddr::from([172, 18, 1, n]);
        let syn = samples::tcp_frame((source, 1), (GATEWAY.into(), 53), (1, 0, flags::SYN), &[]);
        frame.copy_from(&syn, Offload::NONE).unwrap();
        net.transmit.send(0, &mut frame, &mut scratch).unwrap();
        net.settle(true);
    }
    assert_eq!(net.connections.all.len(), MAX_PER_PEER);
    assert_eq!(net.gateway.stats().dns_connections_refused, 200 - MAX_PER_PEER as u64);
}

#[test]
fn a_segment_of_no_connection_is_reset() {
    let mut net = Net::new(false);
    let (mut frame, mut scratch) = (Frame::new(), Frame::new());
    let late = samples::tcp_frame((HOST.into(), 9), (GATEWAY.into(), 53), (1, 77, flags::ACK), b"data");
    frame.copy_from(&late, Offload::NONE).unwrap();
    net.transmit.send(0, &mut frame, &mut scratch).unwrap();
    net.settle(false);
    assert_eq!((net.gateway.stats().resets, net.connections.all.len()), (1, 0));
}

#[test]
fn without_dns_all_connections_end() {
    let mut net = Net::new(false);
    net.connect(4000);
    net.settle(false);
    net.gateway.configure(samples::config());
    net.settle(false);
    assert_eq!(net.connections.all.len(), 0);
    assert!(net.connections.due().is_none());
}

proptest::proptest! {
    #[test]
    fn any_segments_are_survived(
        segments in proptest::collection::vec((0u32..20, 0u32..20, proptest::num::u8::ANY, proptest::collection::vec(proptest::num::u8::ANY, 0..40)), 1..40),
    ) {
        let mut net = Net::new(false);
        let (mut frame, mut scratch) = (Frame::new(), Frame::new());
        for (sequence, acknowledgment, flags, payload) in segments {
            let bytes =
                samples::tcp_frame((HOST.into(), 9), (GATEWAY.into(), 53), (sequence, acknowledgment, flags), &payload);
            frame.copy_from(&bytes, Offload::NONE).unwrap();
            net.transmit.send(0, &mut frame, &mut scratch).unwrap();
            net.settle(true);
        }
        net.pass(Duration::from_secs(40));
        proptest::prop_assert_eq!(net.connections.all.len(), 0);
    }
}
