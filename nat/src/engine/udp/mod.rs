//! UDP: one socket for each endpoint of a container, whatever it sends to (RFC 4787).
//!
//! Frames of a batch are kept until its end; then the datagrams of each socket go out together,
//! equal ones for the same destination as one message (`UDP_SEGMENT`), super-frames as they are.
//! What comes from outside is received straight into frames for the container, runs of datagrams
//! (`UDP_GRO`) as super-frames. How sessions begin and end is in [`open`], how data go out in
//! [`send`], how they come in in [`receive`], published ports are in [`publish`].

mod batch;
mod build;
mod open;
mod publish;
mod receive;
mod send;

use std::{collections::HashMap, net::SocketAddr};

use packet::{
    Checksum, Frame, GsoKind,
    checksum::verify_transport,
    wire::{UdpPacket, ipproto, udp},
};
use rustix::event::epoll::EventFlags;

use self::batch::{Batch, Pending, Piece};
pub use self::publish::{UdpListener, UdpPublishId};
use super::{
    Inside,
    core::{Core, Packet},
    events::Change,
    fragments::{Head, udp_header},
    host::InsideId,
    outside::QUOTE,
    token::{Kind, Token},
    view::{FlowInfo, Sides},
};
use crate::{
    counters::Reason,
    flow::{Endpoint, Protocol},
    session::{Key, Mapping, Session, Table},
    sys::{AT_ONCE, DatagramSocket, Received},
    time::Time,
};

/// Where the checksum lies in a UDP header.
const CHECKSUM: u16 = 6;
/// What a socket is watched for. Edge-triggered, so that one that is not read to its end does not
/// keep others from their turn.
const WATCHED: EventFlags = EventFlags::IN.union(EventFlags::ET);

/// The socket of a mapping.
#[derive(Debug)]
pub(super) struct Outlet {
    socket: DatagramSocket,
    /// Where it is bound to.
    bound: SocketAddr,
    /// What the batch has for it.
    pending: Pending,
    /// The kernel cuts runs of datagrams for the way that they take.
    cuts: bool,
}

/// A session as it looks from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Facing {
    /// The far end.
    pub(super) real: SocketAddr,
    /// The container's end as the far end sees it.
    pub(super) outside: SocketAddr,
}

/// All UDP sessions of an engine.
pub(crate) struct Udp {
    table: Table<Outlet>,
    /// Published ports that their containers' endpoints send through.
    published: HashMap<(InsideId, Endpoint), u32>,
    /// Mappings of this engine by the port that the world sees, and whether it is one of IPv6.
    by_port: HashMap<(bool, u16), u32>,
    batch: Batch,
    /// Mappings for which the batch has something.
    dirty: Vec<u32>,
    /// Mappings whose sockets were not read to their end, with their generation.
    unread: Vec<(u32, u32)>,
    /// Buffers for data to containers.
    frames: Vec<Frame>,
    received: Vec<Received>,
    quote: Box<[u8]>,
}

impl Udp {
    pub(crate) fn new() -> Self {
        Self {
            table: Table::default(),
            published: HashMap::new(),
            by_port: HashMap::new(),
            batch: Batch::default(),
            dirty: Vec::new(),
            unread: Vec::new(),
            frames: (0..AT_ONCE).map(|_| build::buffer()).collect(),
            received: Vec::with_capacity(AT_ONCE),
            quote: vec![0; QUOTE].into_boxed_slice(),
        }
    }

    /// Takes a datagram, or a super-frame of them, from a container.
    pub(crate) fn take_frame(
        &mut self,
        core: &mut Core,
        packet: &Packet,
        frame: &mut Frame,
        out: &mut dyn Inside,
    ) -> Result<(), Reason> {
        let segment = check(frame, packet)?;
        let ip = &packet.ip;
        let datagram = frame.bytes().get(ip.l4..ip.end).and_then(|b| UdpPacket::new_checked(b).ok());
        let datagram = datagram.ok_or(Reason::Malformed)?;
        let (local, remote) = (datagram.source_port(), datagram.destination_port());
        if local == 0 || remote == 0 {
            return Err(Reason::Malformed);
        }
        let len = datagram.payload().len();
        let key = Key {
            inside: packet.inside,
            local: Endpoint::new(packet.source, local),
            remote: Endpoint::new(packet.destination, remote),
        };
        let session = match self.table.find(&key) {
            Some(session) => session,
            None => self.open(core, packet, &key, frame, out)?,
        };
        if self.table.sent(session, len, core.now) {
            self.tell(core, session, Change::State);
        }
        let session = self.table.session(session).ok_or(Reason::NoFlow)?;
        let piece = Piece {
            packet: *packet,
            to: session.real,
            via: session.leaves_from(),
            segment,
            from: ip.payload.ok_or(Reason::Malformed)?,
            len,
        };
        let index = session.mapping;
        let mapping = self.table.mapping_mut(index).ok_or(Reason::NoFlow)?;
        if mapping.data.pending.is_empty() {
            self.dirty.push(index);
        }
        self.batch.hold(frame, piece, &mut mapping.data.pending);
        if self.batch.is_full() {
            self.send_all(core, out);
        }
        Ok(())
    }

    /// Something happened at a socket.
    pub(crate) fn on_event(
        &mut self,
        core: &mut Core,
        token: Token,
        event: EventFlags,
        out: &mut dyn Inside,
    ) {
        if self.table.mapping(token.index).is_none_or(|mapping| mapping.generation != token.generation) {
            return;
        }
        if event.contains(EventFlags::ERR) {
            self.take_troubles(core, token.index, out);
        }
        if event.contains(EventFlags::IN) {
            self.receive(core, token.index, out);
        }
    }

    /// The batch is over: sends on what it brought, and has sockets looked at again that were not
    /// read to their end.
    pub(crate) fn flush(&mut self, core: &mut Core, out: &mut dyn Inside) {
        self.send_all(core, out);
        for (index, generation) in self.unread.drain(..) {
            if let Some(mapping) = self.table.mapping(index)
                && mapping.generation == generation
            {
                let _ = core.poll.again(&mapping.data.socket, WATCHED, token(mapping, index).pack());
            }
        }
    }

    /// Ends all sessions of a container but keeps its published ports.
    pub(crate) fn close_flows(&mut self, core: &mut Core, inside: InsideId) {
        for session in self.table.sessions_of(inside) {
            self.close(core, session);
        }
    }

    /// Forgets a container.
    pub(crate) fn remove_inside(&mut self, core: &mut Core, inside: InsideId) {
        self.close_flows(core, inside);
        let fixed: Vec<u32> =
            self.table.mappings().filter(|(_, m)| m.inside == inside).map(|(index, _)| index).collect();
        for mapping in fixed {
            self.close_mapping(core, mapping);
        }
    }

    /// Whether there is a session with these ends.
    pub(super) fn has(&self, key: &Key) -> bool {
        self.table.find(key).is_some()
    }

    /// How the session with these ends looks from outside; `None` if there is none, or if nothing
    /// has come from there yet.
    pub(super) fn facing(&self, key: &Key) -> Option<Facing> {
        let session = self.table.session(self.table.find(key)?)?;
        let bound = self.table.mapping(session.mapping)?.data.bound;
        let ip = if bound.ip().is_unspecified() { session.via? } else { bound.ip() };
        Some(Facing { real: session.real, outside: SocketAddr::new(ip, bound.port()) })
    }

    /// How the world knows a session.
    pub(super) fn sides(&self, key: &Key) -> Option<Sides> {
        let session = self.table.session(self.table.find(key)?)?;
        Some(sides(session, self.table.mapping(session.mapping)?.data.bound))
    }

    /// The session of the other side of `facing`, where that is behind this engine too (RFC 4787,
    /// requirement 9).
    pub(super) fn behind(&self, facing: &Facing) -> Option<Key> {
        if facing.real.ip() != facing.outside.ip() {
            return None;
        }
        let other = self.by_port.get(&(facing.real.is_ipv6(), facing.real.port()))?;
        let session = self.table.find_outside(*other, facing.outside, Some(facing.real.ip()))?;
        self.table.session(session).map(|session| session.key)
    }

    /// The header of a datagram with `data` as the container has sent it.
    pub(super) fn quoted_header(key: &Key, data: &[u8]) -> [u8; udp::HEADER_LEN] {
        let head = Head::quoted(key.local.ip, key.remote.ip, ipproto::UDP);
        udp_header(&head, (key.local.port, key.remote.port), data)
    }

    /// Tells whoever watches what has become of a session.
    fn tell(&self, core: &mut Core, session: u32, change: Change) {
        let Some(journal) = &mut core.journal else { return };
        if let Some(session) = self.table.session(session) {
            let bound = self.table.mapping(session.mapping).map(|mapping| mapping.data.bound);
            journal.note(change, info(Protocol::Udp, session, bound, core.now));
        }
    }

    /// All sessions.
    pub(crate) fn flows(&self, now: Time) -> impl Iterator<Item = FlowInfo> + '_ {
        self.table.sessions().map(move |(_, session)| {
            let bound = self.table.mapping(session.mapping).map(|mapping| mapping.data.bound);
            info(Protocol::Udp, session, bound, now)
        })
    }
}

/// The token of a mapping's socket.
fn token(mapping: &Mapping<Outlet>, index: u32) -> Token {
    Token { kind: Kind::Udp, generation: mapping.generation, index }
}

/// How the world knows a session whose socket is `bound` there.
pub(super) fn sides(session: &Session, bound: SocketAddr) -> Sides {
    let via = session.via.filter(|_| bound.ip().is_unspecified());
    Sides { outside: SocketAddr::new(via.unwrap_or(bound.ip()), bound.port()), remote: session.real }
}

/// What people are shown of a session whose socket is `bound` there.
pub(super) fn info(protocol: Protocol, session: &Session, bound: Option<SocketAddr>, now: Time) -> FlowInfo {
    let outside = bound.map(|bound| sides(session, bound).outside);
    let traffic = session.traffic;
    let both_ways = traffic.packets_in > 0 && traffic.packets_out > 0;
    FlowInfo {
        protocol,
        inside: session.key.inside,
        direction: session.direction,
        local: session.key.local,
        outside,
        remote: session.key.remote,
        state: if both_ways { "REPLIED" } else { "UNREPLIED" },
        age: now.since(session.born),
        idle: now.since(session.heard),
        bytes_out: traffic.bytes_out,
        bytes_in: traffic.bytes_in,
        packets_out: traffic.packets_out,
        packets_in: traffic.packets_in,
    }
}

/// Checks the checksum and the offload metadata; returns the size of a super-frame's datagrams.
fn check(frame: &Frame, packet: &Packet) -> Result<Option<u16>, Reason> {
    match frame.offload().checksum {
        // With none the datagram has no checksum, which IPv4 allows.
        Checksum::Unverified => match verify_transport(frame.bytes(), packet.l3, &packet.ip) {
            Some(true) => {}
            Some(false) => return Err(Reason::BadChecksum),
            None => return Err(Reason::Malformed),
        },
        _ => Core::check_transport(frame, packet, CHECKSUM)?,
    }
    match frame.offload().gso {
        None => Ok(None),
        Some(gso) if gso.kind == GsoKind::UdpL4 && gso.size > 0 => Ok(Some(gso.size)),
        Some(_) => Err(Reason::BadOffload),
    }
}
