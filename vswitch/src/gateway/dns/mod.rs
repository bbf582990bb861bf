//! DNS queries to the gateway's addresses: from frames to messages and back.
//!
//! What a query means is a handler's affair. A worker that meets a query over UDP copies it into a
//! bounded ring and wakes a task of the control side's runtime; that task hands it to the handler,
//! with a [`DnsReply`] that anybody may use at any time later. Segments of TCP take the same way;
//! the task ends the connections itself, with one small TCP/IP stack each ([`tcp`]).
//!
//! A task and no thread: it costs nothing while there is nothing to do, the answers come from the
//! same runtime, and a timer there is all that idle connections need.

mod intake;
mod tcp;

use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use crossbeam_queue::{ArrayQueue, SegQueue};
use packet::MacAddr;
use packet::wire::udp::HEADER_LEN;
use tokio::sync::Notify;

pub(super) use intake::{take_tcp, take_udp};

use super::build::Link;
use super::pool::Buffer;
use super::port::Shared;
use super::udp::{self, Identification, MAX_PAYLOAD, Path};

/// The port of name servers.
pub(super) const PORT: u16 = 53;
/// Queries, and as many segments, that wait for the task.
const RING: usize = 512;
/// Queries a handler may have at once.
const MAX_IN_FLIGHT: usize = 2048;
/// Queries and segments taken before the runtime's other tasks have their turn.
const TURN: usize = 128;

/// Who answers, and where.
#[derive(Clone)]
pub struct DnsConfig {
    /// Called for every query.
    pub handler: DnsHandler,
    /// Where the gateway's task runs, and the handler is called; its timers must be enabled. One
    /// gateway has one task, which stays on the runtime it was first given.
    pub runtime: tokio::runtime::Handle,
}

/// Takes a query; must not block, so it spawns or sends what takes time.
pub type DnsHandler = Arc<dyn Fn(DnsQuery, DnsReply) + Send + Sync>;

/// How a query came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// In a datagram.
    Udp,
    /// Over a connection (RFC 7766).
    Tcp,
}

/// One query, as it came: nothing of the message was looked at, but that there are 12 bytes.
pub struct DnsQuery {
    head: Head,
    transport: Transport,
    message: Buffer,
}

impl DnsQuery {
    /// The station that sent it.
    pub fn mac(&self) -> MacAddr {
        self.head.mac
    }

    /// From which address and port.
    pub fn source(&self) -> SocketAddr {
        self.head.source
    }

    /// To which of the gateway's addresses.
    pub fn server(&self) -> IpAddr {
        self.head.server.ip()
    }

    /// How it came.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// The message.
    pub fn message(&self) -> &[u8] {
        &self.message
    }
}

impl std::fmt::Debug for DnsQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DnsQuery").field("head", &self.head).finish_non_exhaustive()
    }
}

/// The way back of one query. Dropping it is to give no answer.
pub struct DnsReply {
    shared: Arc<Shared>,
    to: Option<To>,
}

#[derive(Clone, Copy)]
enum To {
    Datagram(Head),
    Connection(u64),
}

impl DnsReply {
    /// Answers. Over UDP a message longer than the MTU goes in fragments; better it is truncated
    /// before. False when it is longer than 65,507 bytes or cannot be sent now; over TCP the
    /// connection may also be gone without anybody knowing here.
    pub fn send(mut self, message: &[u8]) -> bool {
        let sent = match self.to.take() {
            Some(To::Datagram(head)) => datagram(&self.shared, &head, message),
            Some(To::Connection(id)) if u16::try_from(message.len()).is_ok() => {
                self.shared.dns.answer(id, Some(message.to_vec()));
                true
            }
            to => {
                self.to = to;
                false
            }
        };
        if sent {
            self.shared.stats.dns_answers.add();
        }
        sent
    }
}

impl Drop for DnsReply {
    fn drop(&mut self) {
        if let Some(To::Connection(id)) = self.to {
            self.shared.dns.answer(id, None);
        }
        self.shared.dns.in_flight.fetch_sub(1, Relaxed);
    }
}

fn datagram(shared: &Shared, head: &Head, message: &[u8]) -> bool {
    if message.len() > MAX_PAYLOAD {
        return false;
    }
    let state = shared.state.load();
    let link = Link { to: head.mac, from: state.mac() };
    let path = Path { link, source: head.server, destination: head.source };
    let mut datagram = shared.pool.zeroed(HEADER_LEN + message.len());
    if let Some(payload) = datagram.get_mut(HEADER_LEN..) {
        payload.copy_from_slice(message);
    }
    let mtu = state.config.mtu as usize;
    let mut queued = true;
    let sent = udp::send(&path, &mut datagram, (mtu, &shared.dns.ids), &shared.pool, |frame| {
        queued &= shared.send(frame);
    });
    sent.is_some() && queued
}

/// Who asks whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Head {
    mac: MacAddr,
    source: SocketAddr,
    /// The gateway's address and port.
    server: SocketAddr,
}

/// What a worker leaves for the task.
struct Arrival {
    head: Head,
    /// A message, or an IP packet with a TCP segment.
    bytes: Buffer,
}

/// Between workers, task and handlers.
pub(super) struct Dns {
    queries: ArrayQueue<Arrival>,
    segments: ArrayQueue<Arrival>,
    /// Answers for connections; no more than there are queries in flight.
    answers: SegQueue<(u64, Option<Vec<u8>>)>,
    wake: Notify,
    in_flight: AtomicUsize,
    ids: Identification,
}

impl Dns {
    pub(super) fn new(seed: u32) -> Self {
        Self {
            queries: ArrayQueue::new(RING),
            segments: ArrayQueue::new(RING),
            answers: SegQueue::new(),
            wake: Notify::new(),
            in_flight: AtomicUsize::new(0),
            ids: Identification::starting_at(seed),
        }
    }

    fn answer(&self, connection: u64, message: Option<Vec<u8>>) {
        self.answers.push((connection, message));
        self.wake.notify_one();
    }
}

/// Hands a query to the handler.
fn dispatch(shared: &Arc<Shared>, to: To, query: DnsQuery) {
    let stats = &shared.stats;
    let counter = match query.transport {
        Transport::Udp => &stats.dns_udp_queries,
        Transport::Tcp => &stats.dns_tcp_queries,
    };
    counter.add();
    let in_flight = shared.dns.in_flight.fetch_add(1, Relaxed);
    // From here on its end is told by being dropped.
    let reply = DnsReply { shared: shared.clone(), to: Some(to) };
    if in_flight >= MAX_IN_FLIGHT {
        stats.dns_overload.add();
        return;
    }
    // The guard must not be held while others' code runs.
    let handler = shared.state.load().config.dns.as_ref().map(|dns| dns.handler.clone());
    if let Some(handler) = handler {
        handler(query, reply);
    }
}

/// The task of one gateway. Runs until it is aborted.
pub(super) async fn serve(shared: Arc<Shared>) {
    let mut connections = tcp::Connections::default();
    loop {
        // A defect costs the connections there are, not the names of a whole network.
        let busy = catch_unwind(AssertUnwindSafe(|| turn(&shared, &mut connections, Instant::now())))
            .unwrap_or_else(|_| {
                connections = tcp::Connections::default();
                true
            });
        let notified = shared.dns.wake.notified();
        if busy {
            tokio::task::yield_now().await;
            continue;
        }
        match connections.due() {
            Some(due) => {
                let _ = tokio::time::timeout_at(due.into(), notified).await;
            }
            None => notified.await,
        }
    }
}

/// Works off what is there; true when there may be more.
fn turn(shared: &Arc<Shared>, connections: &mut tcp::Connections, now: Instant) -> bool {
    let dns = &shared.dns;
    let mut left = TURN;
    while left > 0 {
        let Some(Arrival { head, bytes }) = dns.queries.pop() else { break };
        let query = DnsQuery { head, transport: Transport::Udp, message: bytes };
        dispatch(shared, To::Datagram(head), query);
        left -= 1;
    }
    if shared.state.load().config.dns.is_none() {
        connections.end_all();
    }
    while left > 0 {
        let Some(Arrival { head, bytes }) = dns.segments.pop() else { break };
        connections.segment(shared, head, bytes, now);
        left -= 1;
    }
    while let Some((id, message)) = dns.answers.pop() {
        connections.answer(shared, id, message.as_deref(), now);
    }
    connections.tick(shared, now);
    left == 0
}
