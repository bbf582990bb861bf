//! Answers to echoes, and errors about them.

use std::{
    collections::HashMap,
    io::IoSliceMut,
    net::{IpAddr, SocketAddr},
};

use packet::wire::{Icmpv4Packet, Icmpv6Packet, Ipv4Packet, icmpv4, icmpv6};
use rustix::io::Errno;

use super::{Icmp, Outlet, set_ident};
use crate::{
    config::Filtering,
    counters::Reason,
    engine::{
        Inside,
        build::Route,
        core::Core,
        events::Change,
        fragments::{HOPS, Head, icmp_for},
        outside::{self, Told, pass_error},
        token::{Kind, Token},
    },
    session::{Arrival, Table},
    sys::{AT_ONCE, DatagramSocket, Received, Trouble},
};

/// Calls for one socket before others have their turn.
const TURNS: usize = 4;

/// Whose requests a socket has sent.
#[derive(Clone, Copy)]
pub(super) enum Whose<'a> {
    /// This identifier's.
    Mapping(u32),
    /// Everybody's: a raw socket also hears of those of other programs.
    ByIdent(&'a HashMap<(bool, u16), u32>),
}

impl Icmp {
    /// Takes what a socket has to tell of requests that were sent, and passes it on.
    pub(super) fn troubles_at(&mut self, core: &mut Core, token: Token, out: &mut dyn Inside) {
        let Self { table, raw, by_ident, quote, .. } = self;
        let shared = raw.get(token.index as usize).and_then(Option::as_ref);
        let (socket, whose) = if token.kind == Kind::Raw {
            (shared, Whose::ByIdent(by_ident))
        } else {
            let mapping = table.mapping(token.index);
            (mapping.and_then(|mapping| mapping.data.socket.as_ref()), Whose::Mapping(token.index))
        };
        let Some(socket) = socket else { return };
        if take_troubles(core, table, whose, socket, quote, out).more {
            self.unread.push(token);
        }
    }

    /// Passes on the answers at a socket.
    pub(super) fn receive(&mut self, core: &mut Core, token: Token, out: &mut dyn Inside) {
        for _ in 0..TURNS {
            let mut buffers = std::mem::take(&mut self.buffers);
            let mut received = std::mem::take(&mut self.received);
            let mut areas = buffers.iter_mut();
            let mut slices: [IoSliceMut<'_>; AT_ONCE] =
                std::array::from_fn(|_| IoSliceMut::new(areas.next().map_or(&mut [], |area| area)));
            let done = match self.socket(token) {
                Some(socket) => socket.receive(&mut slices, &mut received),
                None => Err(Errno::BADF),
            };
            if done.is_ok() {
                for (buffer, received) in buffers.iter_mut().zip(&received) {
                    let message = buffer.get_mut(..received.len).unwrap_or(&mut []);
                    if let Err(reason) = self.arrive(core, token, message, received, out) {
                        core.counters.count(reason);
                    }
                }
            }
            let all = received.len() < AT_ONCE;
            (self.buffers, self.received) = (buffers, received);
            match done {
                Ok(()) if all => return,
                Ok(()) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN | Errno::BADF) => return,
                // An earlier request has met with something.
                Err(_) => self.troubles_at(core, token, out),
            }
        }
        self.unread.push(token);
    }

    /// Passes on one answer.
    fn arrive(
        &mut self,
        core: &mut Core,
        token: Token,
        message: &mut [u8],
        received: &Received,
        out: &mut dyn Inside,
    ) -> Result<(), Reason> {
        if received.cut {
            return Err(Reason::Malformed);
        }
        let v6 = received.from.is_ipv6();
        let message = match token.kind {
            // Raw IPv4 comes with its IP header (raw(7)).
            Kind::Raw if !v6 => {
                let header = Ipv4Packet::new_checked(&*message).map_err(|_| Reason::Malformed)?.header_len();
                message.get_mut(header..).unwrap_or(&mut [])
            }
            _ => message,
        };
        let reply = if v6 { icmpv6::kind::ECHO_REPLY } else { icmpv4::kind::ECHO_REPLY };
        let icmp = Icmpv4Packet::new_checked(&*message).map_err(|_| Reason::Malformed)?;
        let ident = icmp.ident();
        if icmp.kind() != reply {
            return Err(Reason::Protocol);
        }
        let index = match token.kind {
            // Every raw socket hears every answer: most are somebody else's.
            Kind::Raw => match self.by_ident.get(&(v6, ident)) {
                Some(index) => *index,
                None => return Ok(()),
            },
            _ => token.index,
        };
        let strict = Filtering::AddressAndPortDependent;
        let from = SocketAddr::new(received.from.ip(), 0);
        let Arrival::Session(session) = self.table.arrival(index, from, None, strict) else {
            return Err(Reason::Filtered);
        };
        let entry = self.table.session_mut(session).ok_or(Reason::NoFlow)?;
        entry.via = entry.via.or(received.via);
        let key = entry.key;
        let host = core.host(key.inside).ok_or(Reason::UnknownInside)?;
        let (mtu, link) = (host.config.mtu, host.link().ok_or(Reason::InsideDown)?);
        let head = Head {
            route: Route { source: key.remote.ip, destination: key.local.ip },
            protocol: icmp_for(key.local.ip),
            hops: received.hops.map_or(HOPS, |hops| hops.saturating_sub(1).max(1)),
            tos: received.tos,
        };
        sign(message, &head, key.local.port);
        let Core { splitter, counters, .. } = core;
        let sent = splitter.send(counters, key.inside, link, mtu, &head, [message, &[]], out);
        let bytes = if sent.is_ok() { message.len() } else { 0 };
        if self.table.received(session, bytes, false, core.now) {
            self.tell(core, session, Change::State);
        }
        Ok(())
    }
}

/// Gives an echo the identifier that its container knows, and a checksum.
fn sign(message: &mut [u8], head: &Head, ident: u16) {
    match (head.route.source, head.route.destination) {
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            if let Ok(mut icmp) = Icmpv6Packet::new_checked(message) {
                icmp.set_ident(ident);
                icmp.fill_checksum(source, destination);
            }
        }
        _ => {
            if let Ok(mut icmp) = Icmpv4Packet::new_checked(message) {
                icmp.set_ident(ident);
                icmp.fill_checksum();
            }
        }
    }
}

/// Takes what a socket has to tell of requests that were sent, and passes it on.
pub(super) fn take_troubles(
    core: &mut Core,
    table: &Table<Outlet>,
    whose: Whose<'_>,
    socket: &DatagramSocket,
    quote: &mut [u8],
    out: &mut dyn Inside,
) -> Told {
    outside::take_troubles(core, socket, quote, |core, trouble, message| {
        pass(core, table, whose, trouble, message, out)
    })
}

/// Passes an error on to the container whose request, in `message`, met with it.
fn pass(
    core: &mut Core,
    table: &Table<Outlet>,
    whose: Whose<'_>,
    trouble: &Trouble,
    message: &mut [u8],
    out: &mut dyn Inside,
) -> Result<(), Reason> {
    let to = SocketAddr::new(trouble.to.ok_or(Reason::IcmpError)?.ip(), 0);
    let ident = Icmpv4Packet::new_checked(&*message).map_err(|_| Reason::IcmpError)?.ident();
    let v6 = to.is_ipv6();
    let index = match whose {
        Whose::Mapping(index) => index,
        Whose::ByIdent(by_ident) => match by_ident.get(&(v6, ident)) {
            Some(index) => *index,
            None => return Ok(()),
        },
    };
    let session = table.find_outside(index, to, None).ok_or(Reason::IcmpError)?;
    let key = table.session(session).ok_or(Reason::IcmpError)?.key;
    if v6 {
        // The addresses count there, and the one it had outside is not known.
        let head = Head::quoted(key.local.ip, key.remote.ip, icmp_for(key.local.ip));
        sign(message, &head, key.local.port);
    } else {
        set_ident(message, key.local.port);
    }
    pass_error(core, &key, icmp_for(key.local.ip), v6, trouble, [message, &[]], out)
}
