//! ICMP: echoes, mapped by their identifier (RFC 5508), and errors.
//!
//! The outside of an identifier is a ping socket, where this process may open one, or else a share
//! of the one raw socket of its IP version; without either, containers are told that echoes are
//! prohibited. How sessions begin and end is in [`open`], answers and errors from outside are in
//! [`receive`], errors that containers send are in [`errors`].

mod errors;
mod open;
mod receive;

use std::{collections::HashMap, io::IoSlice, net::SocketAddr};

use packet::{
    Checksum, Frame,
    checksum::{Delta, complete_partial, verify_transport},
    wire::{Icmpv4Packet, IpVersion, icmpv4, icmpv6},
};
use rustix::event::epoll::EventFlags;

use self::receive::Whose;
use super::{
    Inside,
    core::{Core, Packet},
    events::Change,
    host::InsideId,
    outside::{QUOTE, send_one},
    token::{Kind, Token},
    udp::{Udp, info, sides},
    view::{FlowInfo, Sides},
};
use crate::{
    counters::Reason,
    flow::{Endpoint, Protocol},
    session::{Key, Mapping, Session, Table},
    sys::{AT_ONCE, DatagramSocket, Message, Received},
    time::Time,
};

/// Where the checksum lies in an ICMP header.
const CHECKSUM: usize = 2;
/// Where the identifier lies in an echo.
const IDENT: usize = 4;
/// What a socket is watched for, edge-triggered.
const WATCHED: EventFlags = EventFlags::IN.union(EventFlags::ET);
/// Longest ICMP message in bytes.
const MAX_MESSAGE: usize = 65_535;

/// What an identifier has outside.
#[derive(Debug)]
pub(super) struct Outlet {
    /// `None` for a share of the raw socket.
    socket: Option<DatagramSocket>,
    /// Where it is bound to, the port being the identifier outside.
    bound: SocketAddr,
}

/// All echo sessions of an engine, and its raw sockets.
pub(crate) struct Icmp {
    table: Table<Outlet>,
    /// For IPv4 and IPv6.
    raw: [Option<DatagramSocket>; 2],
    /// For errors of containers where echoes need no raw socket.
    unheard: [Option<DatagramSocket>; 2],
    /// Shares of the raw sockets, by IP version and identifier outside.
    by_ident: HashMap<(bool, u16), u32>,
    unread: Vec<Token>,
    buffers: Vec<Box<[u8]>>,
    received: Vec<Received>,
    quote: Box<[u8]>,
}

impl Icmp {
    pub(crate) fn new() -> Self {
        Self {
            table: Table::default(),
            raw: [None, None],
            unheard: [None, None],
            by_ident: HashMap::new(),
            unread: Vec::new(),
            buffers: (0..AT_ONCE).map(|_| vec![0; MAX_MESSAGE].into_boxed_slice()).collect(),
            received: Vec::with_capacity(AT_ONCE),
            quote: vec![0; QUOTE].into_boxed_slice(),
        }
    }

    /// Takes an ICMP message from a container. Errors may be about `udp`.
    pub(crate) fn take_frame(
        &mut self,
        core: &mut Core,
        udp: &Udp,
        packet: &Packet,
        frame: &mut Frame,
        out: &mut dyn Inside,
    ) -> Result<(), Reason> {
        check(frame, packet)?;
        let v6 = packet.ip.version == IpVersion::V6;
        let message = frame.bytes().get(packet.ip.l4..packet.ip.end).unwrap_or(&[]);
        // The first eight bytes of an echo are the same in both versions.
        let icmp = Icmpv4Packet::new_checked(message).map_err(|_| Reason::Malformed)?;
        let (kind, code, ident) = (icmp.kind(), icmp.code(), icmp.ident());
        let (request, reply, is_error) = if v6 {
            (icmpv6::kind::ECHO_REQUEST, icmpv6::kind::ECHO_REPLY, kind & 0x80 == 0)
        } else {
            (icmpv4::kind::ECHO_REQUEST, icmpv4::kind::ECHO_REPLY, icmp.is_error())
        };
        if is_error {
            return self.error_from_inside(core, udp, packet, message, out);
        }
        if kind == reply {
            // Nobody outside can ask a container.
            return Err(Reason::NoFlow);
        }
        if kind != request {
            return Err(Reason::Protocol);
        }
        if code != 0 {
            return Err(Reason::Malformed);
        }
        let key = Key {
            inside: packet.inside,
            local: Endpoint::new(packet.source, ident),
            remote: Endpoint::new(packet.destination, 0),
        };
        let session = match self.table.find(&key) {
            Some(session) => session,
            None => self.open(core, packet, &key, frame, out)?,
        };
        if self.table.sent(session, message.len(), core.now) {
            self.tell(core, session, Change::State);
        }
        self.send(core, session, packet, frame, out)
    }

    /// Sends a container's echo request.
    fn send(
        &mut self,
        core: &mut Core,
        session: u32,
        packet: &Packet,
        frame: &Frame,
        out: &mut dyn Inside,
    ) -> Result<(), Reason> {
        let session = self.table.session(session).ok_or(Reason::NoFlow)?;
        let (index, to) = (session.mapping, session.real);
        let v6 = to.is_ipv6();
        let mapping = self.table.mapping_mut(index).ok_or(Reason::NoFlow)?;
        let bound = mapping.data.bound;
        let via = Some(bound.ip()).filter(|ip| mapping.data.socket.is_none() && !ip.is_unspecified());
        let raw = self.raw.get_mut(usize::from(v6)).and_then(Option::as_mut);
        let socket = mapping.data.socket.as_mut().or(raw).ok_or(Reason::PingForbidden)?;
        let _ = socket.set_may_fragment(packet.may_fragment);

        let message = frame.bytes().get(packet.ip.l4..packet.ip.end).unwrap_or(&[]);
        let (header, data) = message.split_at_checked(icmpv4::HEADER_LEN).ok_or(Reason::Malformed)?;
        let mut header: [u8; icmpv4::HEADER_LEN] = header.try_into().map_err(|_| Reason::Malformed)?;
        // A ping socket does that itself, and over IPv6 every socket sums up.
        set_ident(&mut header, bound.port());
        let data = [IoSlice::new(&header), IoSlice::new(data)];
        let hops = packet.hops.saturating_sub(1);
        let message = Message { to, data: &data, hops, tos: packet.tos, segment: None, via };
        let quote = frame.bytes().get(packet.l3..packet.ip.end).unwrap_or(&[]);
        let Self { table, raw, by_ident, quote: buffer, .. } = self;
        let mapping = table.mapping(index).ok_or(Reason::NoFlow)?;
        let shared = raw.get(usize::from(v6)).and_then(Option::as_ref);
        let socket = mapping.data.socket.as_ref().or(shared).ok_or(Reason::PingForbidden)?;
        let whose =
            if mapping.data.socket.is_some() { Whose::Mapping(index) } else { Whose::ByIdent(by_ident) };
        send_one(core, socket, &message, packet, quote, out, |core, out| {
            receive::take_troubles(core, table, whose, socket, buffer, out).mtu
        })
    }

    /// Something happened at the socket of an identifier.
    pub(crate) fn on_event(
        &mut self,
        core: &mut Core,
        token: Token,
        event: EventFlags,
        out: &mut dyn Inside,
    ) {
        let there = match token.kind {
            Kind::Raw => true,
            _ => self.table.mapping(token.index).is_some_and(|m| m.generation == token.generation),
        };
        if there && event.contains(EventFlags::ERR) {
            self.troubles_at(core, token, out);
        }
        if there && event.contains(EventFlags::IN) {
            self.receive(core, token, out);
        }
    }

    /// Has sockets looked at again that were not read to their end.
    pub(crate) fn flush(&mut self, core: &Core) {
        let unread = std::mem::take(&mut self.unread);
        for token in &unread {
            if let Some(socket) = self.socket(*token) {
                let _ = core.poll.again(socket, WATCHED, token.pack());
            }
        }
        self.unread = unread;
        self.unread.clear();
    }

    /// The socket that an event is of.
    fn socket(&self, token: Token) -> Option<&DatagramSocket> {
        if token.kind == Kind::Raw {
            return self.raw.get(token.index as usize)?.as_ref();
        }
        let mapping = self.table.mapping(token.index)?;
        mapping.data.socket.as_ref().filter(|_| mapping.generation == token.generation)
    }

    /// Forgets a container's sessions.
    pub(crate) fn close_flows(&mut self, core: &mut Core, inside: InsideId) {
        for session in self.table.sessions_of(inside) {
            self.close(core, session);
        }
    }

    /// How the world knows a session.
    pub(super) fn sides(&self, key: &Key) -> Option<Sides> {
        let session = self.table.session(self.table.find(key)?)?;
        Some(sides(session, self.table.mapping(session.mapping)?.data.bound))
    }

    /// Tells whoever watches what has become of a session.
    fn tell(&self, core: &mut Core, session: u32, change: Change) {
        let Some(journal) = &mut core.journal else { return };
        if let Some(session) = self.table.session(session) {
            let bound = self.table.mapping(session.mapping).map(|mapping| mapping.data.bound);
            journal.note(change, info(Protocol::Icmp, session, bound, core.now));
        }
    }

    /// All sessions.
    pub(crate) fn flows(&self, now: Time) -> impl Iterator<Item = FlowInfo> + '_ {
        self.table.sessions().map(move |(_, session): (u32, &Session)| {
            let bound = self.table.mapping(session.mapping).map(|mapping| mapping.data.bound);
            info(Protocol::Icmp, session, bound, now)
        })
    }
}

/// The token of an identifier's socket.
fn token(mapping: &Mapping<Outlet>, index: u32) -> Token {
    Token { kind: Kind::Echo, generation: mapping.generation, index }
}

/// Replaces the identifier of an echo; a checksum that was right stays so.
fn set_ident(message: &mut [u8], ident: u16) {
    let word = |at: usize, message: &[u8]| {
        message.get(at..).and_then(|b| b.first_chunk()).map_or(0, |word| u16::from_be_bytes(*word))
    };
    let checksum = Delta::NONE.replace_u16(word(IDENT, message), ident).apply(word(CHECKSUM, message));
    for (at, word) in [(CHECKSUM, checksum), (IDENT, ident)] {
        if let Some(field) = message.get_mut(at..at + 2) {
            field.copy_from_slice(&word.to_be_bytes());
        }
    }
}

/// Checks the checksum and the offload metadata, and completes a partial checksum.
fn check(frame: &mut Frame, packet: &Packet) -> Result<(), Reason> {
    if frame.offload().gso.is_some() {
        return Err(Reason::BadOffload);
    }
    match frame.offload().checksum {
        Checksum::Verified => Ok(()),
        Checksum::Partial { start, offset } => {
            if usize::from(start) != packet.ip.l4 || usize::from(offset) != CHECKSUM {
                return Err(Reason::BadOffload);
            }
            complete_partial(frame).map_err(|_| Reason::BadOffload)
        }
        Checksum::Unverified => match verify_transport(frame.bytes(), packet.l3, &packet.ip) {
            Some(true) => Ok(()),
            Some(false) => Err(Reason::BadChecksum),
            None => Err(Reason::Malformed),
        },
    }
}
