//! One connection: messages with their length in front, both ways.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::wire::{HardwareAddress, IpCidr, IpListenEndpoint};

use super::wire::Wire;
use crate::gateway::build::Link;
use crate::gateway::dns::{DnsQuery, Head, To, Transport, dispatch, intake::MIN_MESSAGE};
use crate::gateway::pool::Buffer;
use crate::gateway::port::Shared;

/// Bytes of the longest query.
const MAX_QUERY: usize = 4096;
/// Bytes the socket holds on their way in.
const RECEIVE: usize = 4096;
/// Bytes the socket holds on their way out.
const SEND: usize = 16 * 1024;
/// Queries of one connection that wait for their answers.
const MAX_PIPELINED: usize = 8;
/// Bytes of answers that wait for the socket before no further query is read.
const MAX_BACKLOG: usize = 64 * 1024;
/// How long a connection may take to open, and to close.
const OPENING: Duration = Duration::from_secs(5);
/// How long it may rest between queries (RFC 7766, section 6.2.3: some seconds).
const IDLE: Duration = Duration::from_secs(10);
/// How long a query may take.
const BUSY: Duration = Duration::from_secs(30);

pub(super) struct Connection {
    id: u64,
    head: Head,
    epoch: Instant,
    /// Of the last whole query or piece of an answer; half messages keep nobody alive.
    last: Instant,
    due: Instant,
    wire: Wire,
    interface: Interface,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
    inbound: Vec<u8>,
    outbound: VecDeque<u8>,
    in_flight: usize,
    closing: bool,
    cut: bool,
}

impl Connection {
    /// A connection that waits for its first segment. `seed` is random.
    pub(super) fn new(shared: &Arc<Shared>, head: Head, (id, seed): (u64, u64), now: Instant) -> Self {
        let state = shared.state.load();
        let link = Link { to: head.mac, from: state.mac() };
        let mtu = state.config.mtu as usize;
        let mut wire = Wire::new(shared.clone(), link, super::version(&head), mtu);
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut wire, smoltcp::time::Instant::ZERO);
        let prefix = if head.server.is_ipv4() { 32 } else { 128 };
        interface.update_ip_addrs(|all| {
            let _ = all.push(IpCidr::new(head.server.ip().into(), prefix));
        });
        let mut socket = Socket::new(SocketBuffer::new(vec![0; RECEIVE]), SocketBuffer::new(vec![0; SEND]));
        socket.set_nagle_enabled(false);
        // Clients that write length and message apart wait for this before the second.
        socket.set_ack_delay(None);
        let endpoint = IpListenEndpoint { addr: Some(head.server.ip().into()), port: head.server.port() };
        // It fails for port 0 only, and then stays closed and is swept away.
        let _ = socket.listen(endpoint);
        let mut sockets = SocketSet::new(Vec::with_capacity(1));
        let socket = sockets.add(socket);
        Self {
            id,
            head,
            epoch: now,
            last: now,
            due: now,
            wire,
            interface,
            sockets,
            socket,
            inbound: Vec::new(),
            outbound: VecDeque::new(),
            in_flight: 0,
            closing: false,
            cut: false,
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn head(&self) -> Head {
        self.head
    }

    pub(super) fn due(&self) -> Instant {
        self.due
    }

    pub(super) fn is_half_open(&self) -> bool {
        matches!(self.state(), State::Listen | State::SynReceived)
    }

    /// Nothing will come of it any more. The client closes first as a rule and so does the waiting
    /// (TIME-WAIT, RFC 9293); where it does not, a late segment is reset.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state(), State::Closed | State::TimeWait | State::Listen)
    }

    /// It was ended from here.
    pub(super) fn was_cut(&self) -> bool {
        self.cut
    }

    /// Takes a segment.
    pub(super) fn receive(&mut self, shared: &Arc<Shared>, packet: Buffer, now: Instant) {
        self.wire.put(packet);
        self.run(shared, now);
    }

    /// Takes the answer to one of its queries, of at most 65,535 bytes, or that there is none.
    pub(super) fn answer(&mut self, shared: &Arc<Shared>, message: Option<&[u8]>, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(message) = message
            && let Ok(len) = u16::try_from(message.len())
        {
            self.outbound.extend(len.to_be_bytes());
            self.outbound.extend(message);
        }
        self.run(shared, now);
    }

    /// Lets time pass.
    pub(super) fn tick(&mut self, shared: &Arc<Shared>, now: Instant) {
        if now >= self.last + self.patience() {
            self.cut();
        }
        self.run(shared, now);
    }

    fn run(&mut self, shared: &Arc<Shared>, now: Instant) {
        self.poll(now);
        self.read(shared, now);
        self.write(now);
        if self.has_ended() {
            self.socket().close();
            self.closing = true;
            self.last = now;
        }
        self.poll(now);
        self.schedule(now);
    }

    fn poll(&mut self, now: Instant) {
        let clock = self.clock(now);
        self.interface.poll(clock, &mut self.wire, &mut self.sockets);
    }

    /// Reads queries, as long as there are few enough unanswered.
    fn read(&mut self, shared: &Arc<Shared>, now: Instant) {
        loop {
            while self.in_flight < MAX_PIPELINED && self.outbound.len() < MAX_BACKLOG {
                let Some((len, rest)) = self.inbound.split_first_chunk() else { break };
                let len = usize::from(u16::from_be_bytes(*len));
                if !(MIN_MESSAGE..=MAX_QUERY).contains(&len) {
                    return self.cut();
                }
                let Some(message) = rest.get(..len) else { break };
                let message = shared.pool.copy(message);
                self.inbound.drain(..2 + len);
                self.in_flight += 1;
                self.last = now;
                let query = DnsQuery { head: self.head, transport: Transport::Tcp, message };
                dispatch(shared, To::Connection(self.id), query);
            }
            let room = (2 + MAX_QUERY).saturating_sub(self.inbound.len());
            let (sockets, inbound) = (&mut self.sockets, &mut self.inbound);
            let taken = sockets.get_mut::<Socket<'_>>(self.socket).recv(|data| {
                let data = data.get(..room).unwrap_or(data);
                inbound.extend_from_slice(data);
                (data.len(), data.len())
            });
            if !matches!(taken, Ok(1..)) {
                return;
            }
        }
    }

    fn write(&mut self, now: Instant) {
        while !self.outbound.is_empty() {
            let (data, _) = self.outbound.as_slices();
            let sent = self.sockets.get_mut::<Socket<'_>>(self.socket).send_slice(data).unwrap_or(0);
            if sent == 0 {
                return;
            }
            self.outbound.drain(..sent);
            self.last = now;
        }
    }

    /// The client will ask nothing more and has all its answers.
    fn has_ended(&mut self) -> bool {
        !self.closing
            && self.in_flight == 0
            && self.outbound.is_empty()
            && self.state() == State::CloseWait
            && self.socket().recv_queue() == 0
    }

    fn patience(&self) -> Duration {
        match self.state() {
            State::Established | State::CloseWait if self.in_flight > 0 => BUSY,
            State::Established | State::CloseWait => IDLE,
            _ => OPENING,
        }
    }

    fn schedule(&mut self, now: Instant) {
        let clock = self.clock(now);
        let wanted = self.interface.poll_at(clock, &self.sockets);
        // What was due now has just been done.
        let wanted =
            wanted.map(|at| now + Duration::from(at.max(clock) - clock).max(Duration::from_millis(1)));
        let patience = self.last + self.patience();
        self.due = wanted.map_or(patience, |wanted| wanted.min(patience));
    }

    fn cut(&mut self) {
        self.socket().abort();
        self.cut = true;
    }

    fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.socket)
    }

    fn state(&self) -> State {
        self.sockets.get::<Socket<'_>>(self.socket).state()
    }

    fn clock(&self, now: Instant) -> smoltcp::time::Instant {
        let micros = now.saturating_duration_since(self.epoch).as_micros();
        smoltcp::time::Instant::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }
}
