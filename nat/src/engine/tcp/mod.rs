//! TCP flows: the table of them, and what each event means for one. How data move is in
//! [`service`], how flows begin and end in [`open`].

mod batch;
mod flow;
mod listener;
mod mapping;
mod open;
mod service;

use std::{collections::HashMap, hash::BuildHasher, hash::RandomState, net::SocketAddr};

use packet::{
    Frame, GsoKind,
    wire::{IpVersion, tcp::flags},
};
use rustix::event::epoll::EventFlags;
use slab::Slab;

pub use self::listener::{ListenError, Listener, PublishId, Publisher};
use self::{
    batch::Batch,
    flow::{Flow, Key},
    listener::Published,
    mapping::Mappings,
    open::Remembered,
};
use super::{
    Inside, build,
    core::{Core, Packet},
    events::Change,
    host::InsideId,
    token::{Kind, Token},
    view::{FlowInfo, Sides},
};
use crate::{
    counters::Reason,
    flow::Endpoint,
    sys::Manner,
    tcp::{Arrival, Ended, Header, Segment, Seq, State, Timing},
    time::Time,
};

/// Where the checksum lies in a TCP header.
const CHECKSUM: u16 = 16;
/// What a socket is watched for. Edge-triggered: bytes that were looked at stay in its queue.
const WATCHED: EventFlags = EventFlags::IN
    .union(EventFlags::OUT)
    .union(EventFlags::RDHUP)
    .union(EventFlags::PRI)
    .union(EventFlags::ET);

/// What a flow takes in the tables, in bytes: itself, its key once more, its port outside, its timer.
#[cfg(test)]
pub(crate) const FLOW_SIZE: usize =
    size_of::<Flow>() + size_of::<(Key, u32)>() + mapping::SIZE + crate::wheel::SIZE;

/// All TCP flows of an engine.
#[derive(Debug)]
pub(crate) struct Tcp {
    flows: Slab<Flow>,
    by_key: HashMap<Key, u32>,
    mappings: Mappings,
    published: Slab<Published>,
    batch: Batch,
    /// Flows that have something to do at the end of the batch.
    dirty: Vec<u32>,
    remembered: Remembered,
    /// Of the next flow.
    generation: u32,
    half_open: usize,
    /// Secret of initial sequence numbers (RFC 6528).
    secret: RandomState,
    /// Buffers for data to containers.
    frames: Vec<Frame>,
    manner: Manner,
}

impl Tcp {
    pub(crate) fn new(manner: Manner) -> Self {
        Self {
            flows: Slab::new(),
            by_key: HashMap::new(),
            mappings: Mappings::default(),
            published: Slab::new(),
            batch: Batch::default(),
            dirty: Vec::new(),
            remembered: Remembered::default(),
            generation: 0,
            half_open: 0,
            secret: RandomState::new(),
            frames: (0..service::PEEK_FRAMES).map(|_| Frame::new()).collect(),
            manner,
        }
    }

    /// Takes a TCP segment from a container.
    pub(crate) fn take_frame(
        &mut self,
        core: &mut Core,
        packet: &Packet,
        frame: &mut Frame,
        out: &mut dyn Inside,
    ) -> Result<(), Reason> {
        Core::check_transport(frame, packet, CHECKSUM)?;
        if let Some(gso) = frame.offload().gso {
            let fits = match packet.ip.version {
                IpVersion::V4 => gso.kind == GsoKind::Tcp4,
                IpVersion::V6 => gso.kind == GsoKind::Tcp6,
            };
            if !fits {
                return Err(Reason::BadOffload);
            }
        }
        let ip = &packet.ip;
        let segment = frame.bytes().get(ip.l4..ip.end).and_then(Segment::parse).ok_or(Reason::Malformed)?;
        let (source, destination) = ip.ports(frame.bytes()).ok_or(Reason::Malformed)?;
        if source == 0 || destination == 0 {
            return Err(Reason::Malformed);
        }
        let key = Key {
            inside: packet.inside,
            local: Endpoint::new(packet.source, source),
            remote: Endpoint::new(packet.destination, destination),
        };
        match self.by_key.get(&key) {
            Some(index) => self.on_segment(core, packet, key, *index, &segment, frame, out),
            None => self.without_flow(core, packet, key, &segment, out),
        }
    }

    /// A segment of no flow: a new one, or a mistake.
    fn without_flow(
        &mut self,
        core: &mut Core,
        packet: &Packet,
        key: Key,
        segment: &Segment,
        out: &mut dyn Inside,
    ) -> Result<(), Reason> {
        if !segment.is_sane() {
            return Err(Reason::BadFlags);
        }
        if segment.flags & (flags::SYN | flags::ACK) == flags::SYN {
            return self.open(core, packet.way, key, segment, out);
        }
        if !segment.has(flags::RST) {
            Self::refuse(core, &key, &Header::reset_for(segment), out);
        }
        Err(Reason::NoFlow)
    }

    /// Sends a reset that belongs to no flow, unless the container has had enough of them.
    fn refuse(core: &mut Core, key: &Key, header: &Header, out: &mut dyn Inside) {
        let (now, limit) = (core.now, core.config.limits.errors_per_second);
        let Some(host) = core.host_mut(key.inside) else { return };
        if host.may_send_error(now, limit) {
            Self::send_header(core, key, header, out);
        } else {
            core.counters.count(Reason::ErrorRate);
        }
    }

    /// Sends a segment without data; true if the container's queue took it.
    fn send_header(core: &mut Core, key: &Key, header: &Header, out: &mut dyn Inside) -> bool {
        let Some(link) = core.host(key.inside).and_then(super::host::Host::link) else { return false };
        let Core { scratch, counters, .. } = core;
        build::tcp_segment(scratch, link, key.route(), key.ports(), header, 0, 0).is_some()
            && Core::send(counters, key.inside, scratch, out).is_ok()
    }

    #[allow(clippy::too_many_arguments, reason = "the caller has looked all of it up")]
    fn on_segment(
        &mut self,
        core: &mut Core,
        packet: &Packet,
        key: Key,
        index: u32,
        segment: &Segment,
        frame: &mut Frame,
        out: &mut dyn Inside,
    ) -> Result<(), Reason> {
        let flow = self.flows.get_mut(index as usize).ok_or(Reason::NoFlow)?;
        let timing = Timing { tuning: &core.config.tcp, timeouts: &core.config.timeouts };
        let before = flow.conn.state();
        let outcome = flow.conn.on_segment(segment, core.now, timing);
        flow.traffic.packets_out += 1;
        flow.undiscarded += outcome.acknowledged;
        let data = packet.ip.payload.unwrap_or(packet.ip.end);
        let mut dropped = outcome.dropped;
        match outcome.arrival {
            Arrival::Nothing => {}
            Arrival::Next { skip, len } => {
                flow.traffic.bytes_out += u64::from(len);
                self.batch.hold(frame, data + skip as usize, len, &mut flow.pending);
                while let Some(stored) = flow.conn.next_stored() {
                    flow.traffic.bytes_out += stored.len() as u64;
                    self.batch.own(stored, &mut flow.pending);
                }
            }
            Arrival::Ahead { seq, len } => {
                let bytes = frame.bytes().get(data..data + len as usize).unwrap_or(&[]);
                if Self::has_room(core, key.inside, bytes.len()) {
                    flow.conn.store(seq, bytes);
                    Self::recount(core, flow);
                } else {
                    dropped = Some(Reason::Backlog);
                }
            }
        }
        if outcome.reset {
            Self::refuse(core, &key, &Header::reset_for(segment), out);
        }
        if before != State::Established && flow.conn.state() == State::Established {
            self.half_open -= usize::from(flow.half_open);
            Self::count_half_open(core, flow, false);
        }
        match outcome.ended {
            None => self.mark(index),
            Some(Ended::ByInside) => self.remove(core, index, true),
            Some(Ended::Quietly | Ended::GivenUp) => self.remove(core, index, false),
            Some(Ended::Reopened) => {
                self.remove(core, index, false);
                return self.open(core, packet.way, key, segment, out);
            }
        }
        if self.batch.is_full() {
            self.flush(core, out);
        }
        dropped.map_or(Ok(()), Err)
    }

    /// Whether `more` bytes may be kept for a container.
    fn has_room(core: &Core, inside: InsideId, more: usize) -> bool {
        let limits = &core.config.limits;
        let used = core.host(inside).map_or(0, |host| host.backlog);
        used + more <= limits.backlog_per_inside && core.backlog + more <= limits.backlog
    }

    /// Brings the sums of what is kept up to date.
    fn recount(core: &mut Core, flow: &mut Flow) {
        let memory = flow.memory();
        if memory == flow.counted {
            return;
        }
        core.backlog = (core.backlog + memory).saturating_sub(flow.counted);
        if let Some(host) = core.host_mut(flow.key.inside) {
            host.backlog = (host.backlog + memory).saturating_sub(flow.counted);
        }
        flow.counted = memory;
    }

    /// The flow has something to do at the end of the batch.
    fn mark(&mut self, index: u32) {
        if let Some(flow) = self.flows.get_mut(index as usize)
            && !std::mem::replace(&mut flow.dirty, true)
        {
            self.dirty.push(index);
        }
    }

    fn get(&mut self, token: Token) -> Option<&mut Flow> {
        self.flows.get_mut(token.index as usize).filter(|flow| flow.generation == token.generation)
    }

    /// Something happened at a flow's socket.
    pub(crate) fn on_event(
        &mut self,
        core: &mut Core,
        token: Token,
        event: EventFlags,
        out: &mut dyn Inside,
    ) {
        let now = core.now;
        let Some(flow) = self.get(token) else { return };
        if flow.conn.state() == State::Connecting {
            let settled = EventFlags::OUT | EventFlags::ERR | EventFlags::HUP;
            if event.intersects(settled) {
                self.on_connected(core, token.index, out);
            }
            return;
        }
        if event.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) {
            flow.heard = now;
            flow.conn.set_readable(true);
        }
        flow.read_on |=
            event.intersects(EventFlags::PRI | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        flow.broken |= event.contains(EventFlags::ERR);
        self.mark(token.index);
    }

    /// A flow's timer has fired.
    pub(crate) fn on_timer(&mut self, core: &mut Core, token: Token, out: &mut dyn Inside) {
        let timing = Timing { tuning: &core.config.tcp, timeouts: &core.config.timeouts };
        let now = core.now;
        let Some(flow) = self.get(token) else { return };
        (flow.timer, flow.timer_at) = (None, Time::NEVER);
        if flow.due(timing.timeouts) > now {
            return Self::schedule(core, flow, token.index);
        }
        if flow.retry_at <= now {
            flow.retry_at = Time::NEVER;
        }
        match flow.conn.on_timer(now, timing) {
            None => self.mark(token.index),
            Some(Ended::GivenUp) => self.give_up(core, token.index, out),
            Some(_) => self.remove(core, token.index, false),
        }
    }

    /// Sends on what the batch brought, and whatever else flows have to send.
    pub(crate) fn flush(&mut self, core: &mut Core, out: &mut dyn Inside) {
        let mut next = 0;
        while let Some(index) = self.dirty.get(next).copied() {
            next += 1;
            self.service(core, index, out);
        }
        self.dirty.clear();
        self.batch.clear();
    }

    /// Whether there is a flow with these ends, be it one that is only remembered.
    pub(super) fn has(&self, inside: InsideId, local: Endpoint, remote: Endpoint) -> bool {
        self.by_key.contains_key(&Key { inside, local, remote })
    }

    /// Whether both ends are those of a flow that is alive.
    fn is_taken(&self, key: &Key) -> bool {
        self.by_key
            .get(key)
            .and_then(|index| self.flows.get(*index as usize))
            .is_some_and(|flow| flow.conn.state() != State::TimeWait)
    }

    /// An initial sequence number (RFC 6528): a secret function of both ends, and a clock.
    fn isn(&self, key: &Key, now: Time) -> Seq {
        Seq((self.secret.hash_one(key) as u32).wrapping_add((now.micros() / 4) as u32))
    }

    /// Ends all flows of a container.
    pub(crate) fn close_flows(&mut self, core: &mut Core, inside: InsideId, out: &mut dyn Inside) {
        for index in self.of(inside) {
            self.give_up(core, index, out);
        }
    }

    /// Forgets a container, which is told nothing.
    pub(crate) fn remove_inside(&mut self, core: &mut Core, inside: InsideId) {
        self.unpublish_all(core, inside);
        for index in self.of(inside) {
            self.remove(core, index, true);
        }
    }

    fn of(&self, inside: InsideId) -> Vec<u32> {
        let flows = self.flows.iter().filter(|(_, flow)| flow.key.inside == inside);
        flows.map(|(index, _)| index as u32).collect()
    }

    /// How the world knows a flow.
    pub(super) fn sides(&self, inside: InsideId, local: Endpoint, remote: Endpoint) -> Option<Sides> {
        let index = self.by_key.get(&Key { inside, local, remote })?;
        let socket = self.flows.get(*index as usize)?.socket.as_ref()?;
        // One that still connects has no peer, but it will have this one.
        let peer = socket.peer().unwrap_or(SocketAddr::new(remote.ip, remote.port));
        Some(Sides { outside: socket.local()?, remote: peer })
    }

    /// From here on changes are told of.
    pub(crate) fn begin_to_tell(&mut self) {
        for (_, flow) in &mut self.flows {
            flow.tell();
        }
    }

    /// Tells whoever watches what has become of a flow.
    fn tell(core: &mut Core, flow: &mut Flow, change: Change) {
        let now = core.now;
        if let Some(journal) = &mut core.journal
            && (flow.tell() || change == Change::Gone)
        {
            journal.note(change, flow.info(now));
        }
    }

    /// All flows.
    pub(crate) fn flows(&self, now: Time) -> impl Iterator<Item = FlowInfo> + '_ {
        self.flows.iter().map(move |(_, flow)| flow.info(now))
    }
}

/// The token of a flow.
fn token(flow: &Flow, index: u32) -> Token {
    Token { kind: Kind::Tcp, generation: flow.generation, index }
}
