//! One TCP flow: the container's connection and the host's socket.

use std::collections::VecDeque;

use crate::{
    config::Timeouts,
    engine::{
        build::Route,
        host::InsideId,
        view::{Direction, FlowInfo},
    },
    flow::{Endpoint, Protocol},
    sys::TcpSocket,
    tcp::{Conn, State},
    time::Time,
    wheel::TimerId,
};

/// What tells a flow from all others: the container and both ends as it sees them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Key {
    pub(super) inside: InsideId,
    /// The container's end.
    pub(super) local: Endpoint,
    pub(super) remote: Endpoint,
}

impl Key {
    /// Of packets to the container.
    pub(super) const fn route(&self) -> Route {
        Route { source: self.remote.ip, destination: self.local.ip }
    }

    /// Source and destination port of packets to the container.
    pub(super) const fn ports(&self) -> (u16, u16) {
        (self.remote.port, self.local.port)
    }

    pub(super) const fn is_v6(&self) -> bool {
        self.local.ip.is_ipv6()
    }
}

/// No piece of the batch.
pub(super) const NO_PIECE: u32 = u32::MAX;

/// The pieces of the batch that are a flow's, a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) bytes: u32,
}

impl Pending {
    pub(super) const NONE: Self = Self { first: NO_PIECE, last: NO_PIECE, bytes: 0 };
}

/// What went through a flow.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traffic {
    pub(super) bytes_out: u64,
    pub(super) bytes_in: u64,
    pub(super) packets_out: u64,
    pub(super) packets_in: u64,
}

#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Flow {
    pub(super) key: Key,
    pub(super) generation: u32,
    pub(super) direction: Direction,
    pub(super) conn: Conn,
    /// Gone once the connection is only remembered.
    pub(super) socket: Option<TcpSocket>,
    /// The container's end has a port outside that is to be given back.
    pub(super) mapped: bool,
    /// Counted among the half-open ones.
    pub(super) half_open: bool,
    /// In the list of flows that have something to do.
    pub(super) dirty: bool,
    /// The socket was told that nothing more will come.
    pub(super) finished: bool,
    /// The outside has reset the connection; what it sent before that is still delivered.
    pub(super) broken: bool,
    /// A short read is not the last: urgent data end it early, and the end of the stream comes
    /// behind it.
    pub(super) read_on: bool,
    pub(super) pending: Pending,
    /// Received bytes that the socket did not take.
    pub(super) kept: VecDeque<u8>,
    /// Bytes of this flow in the sums of what is kept.
    pub(super) counted: usize,
    /// Bytes that the container has acknowledged and that are still in the socket.
    pub(super) undiscarded: u32,
    pub(super) timer: Option<TimerId>,
    pub(super) timer_at: Time,
    /// When to try again after the container's queue was full.
    pub(super) retry_at: Time,
    pub(super) born: Time,
    /// When the outside was last heard.
    pub(super) heard: Time,
    pub(super) traffic: Traffic,
    /// The state that those who watch know of.
    told: &'static str,
}

impl Flow {
    pub(super) fn new(key: Key, direction: Direction, conn: Conn, socket: TcpSocket, now: Time) -> Self {
        Self {
            key,
            generation: 0,
            direction,
            conn,
            socket: Some(socket),
            mapped: false,
            half_open: true,
            dirty: false,
            finished: false,
            broken: false,
            read_on: false,
            pending: Pending::NONE,
            kept: VecDeque::new(),
            counted: 0,
            undiscarded: 0,
            timer: None,
            timer_at: Time::NEVER,
            retry_at: Time::NEVER,
            born: now,
            heard: now,
            traffic: Traffic::default(),
            told: "",
        }
    }

    /// Bytes that wait for the socket.
    pub(super) fn kept(&self) -> u32 {
        self.kept.len() as u32
    }

    /// When there is something to do, if nothing happens before.
    pub(super) fn due(&self, timeouts: &Timeouts) -> Time {
        self.conn.deadline(timeouts).min(self.retry_at)
    }

    /// Memory for data, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.kept.len() + self.conn.ahead()
    }

    fn state(&self) -> &'static str {
        match self.conn.state() {
            State::Connecting => "SYN_SENT",
            State::SynReceived => "SYN_RECV",
            State::SynSent => "SYN_FORWARDED",
            State::TimeWait => "TIME_WAIT",
            State::Established => match (self.conn.is_inside_finished(), self.conn.is_outside_finished()) {
                (false, false) => "ESTABLISHED",
                (true, false) => "HALF_CLOSED_OUT",
                (false, true) => "HALF_CLOSED_IN",
                (true, true) => "CLOSING",
            },
        }
    }

    /// Whoever watches knows its state from here on. Returns whether that is news.
    pub(super) fn tell(&mut self) -> bool {
        let state = self.state();
        std::mem::replace(&mut self.told, state) != state
    }

    pub(super) fn info(&self, now: Time) -> FlowInfo {
        let heard = self.heard.max(self.conn.heard());
        FlowInfo {
            protocol: Protocol::Tcp,
            inside: self.key.inside,
            direction: self.direction,
            local: self.key.local,
            outside: self.socket.as_ref().and_then(TcpSocket::local),
            remote: self.key.remote,
            state: self.state(),
            age: now.since(self.born),
            idle: now.since(heard),
            bytes_out: self.traffic.bytes_out,
            bytes_in: self.traffic.bytes_in,
            packets_out: self.traffic.packets_out,
            packets_in: self.traffic.packets_in,
        }
    }
}
