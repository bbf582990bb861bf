//! How echo sessions and identifiers begin and end.

use std::net::{IpAddr, SocketAddr};

use packet::Frame;
use rustix::io::Errno;

use super::{Icmp, Outlet, WATCHED, token};
use crate::{
    counters::Reason,
    engine::{
        Inside,
        core::{Core, Packet, Target},
        events::Change,
        icmp_error::Trouble,
        notice::Notice,
        outside::{reason_of, tell},
        sessions,
        token::{Kind, Token},
        view::Direction,
    },
    flow::{Endpoint, Protocol},
    session::{Key, NewSession},
    sys::{DatagramSocket, leave_room},
};

impl Icmp {
    /// Begins a session for a container that asks a new far end. If there can be none it is told.
    pub(super) fn open(
        &mut self,
        core: &mut Core,
        packet: &Packet,
        key: &Key,
        frame: &Frame,
        out: &mut dyn Inside,
    ) -> Result<u32, Reason> {
        let quote = || frame.bytes().get(packet.l3..packet.ip.end).unwrap_or(&[]);
        let real = match core.target(packet.way) {
            Target::Outside(real) => real,
            // Echoes to the gateway are for whoever is the gateway.
            Target::Nobody => return Err(Reason::NoFlow),
            Target::Forbidden => {
                tell(core, packet, Trouble::Prohibited, quote(), out);
                return Err(Reason::NoOutbound);
            }
        };
        let there = self.table.mapping_of(key.inside, key.local);
        let opened = core.room_for_session(key.inside).and_then(|()| match there {
            Some(mapping) => Ok(mapping),
            None => self.open_mapping(core, key, real),
        });
        let mapping = match opened {
            Ok(mapping) => mapping,
            Err(reason) => {
                // RFC 5508, requirement 8; RFC 6888, requirement 11.
                let forbidden = reason == Reason::PingForbidden;
                let trouble = if forbidden { Trouble::Prohibited } else { Trouble::Host };
                tell(core, packet, trouble, quote(), out);
                return Err(reason);
            }
        };
        let idle = core.config.icmp.idle();
        let new = NewSession {
            key: *key,
            mapping,
            real: SocketAddr::new(real, 0),
            via: None,
            direction: Direction::Outbound,
            idle,
            idle_first: idle,
        };
        let (index, new) = sessions::begin(core, &mut self.table, Kind::EchoSession, &new);
        if new {
            self.tell(core, index, Change::New);
        }
        Ok(index)
    }

    fn open_mapping(&mut self, core: &mut Core, key: &Key, real: IpAddr) -> Result<u32, Reason> {
        let v6 = real.is_ipv6();
        let outside = core.host(key.inside).ok_or(Reason::UnknownInside)?.outside(real);
        let ceiling = core.config.limits.descriptors;
        let opened = match DatagramSocket::ping(v6) {
            Ok(first) => {
                let mut first = Some(first);
                let bound = core.config.ports.bind(Protocol::Icmp, outside, key.local, core.now, |ident| {
                    let socket = first.take().map_or_else(|| DatagramSocket::ping(v6), Ok)?;
                    leave_room(&socket, ceiling)?;
                    socket.bind(outside, ident)?;
                    let ident = socket.local().map_or(ident, |local| local.port());
                    Ok((socket, ident))
                });
                bound.map(|(socket, ident)| (Some(socket), ident)).map_err(reason_of)
            }
            // Not in the group, or a kernel without ping sockets.
            Err(Errno::ACCESS | Errno::PERM | Errno::PROTONOSUPPORT) => {
                self.raw(core, v6)?;
                let ident = core.config.ports.take(Protocol::Icmp, outside, key.local, core.now);
                ident.map(|ident| (None, ident)).map_err(|_| Reason::Ports)
            }
            Err(errno) => Err(reason_of(errno)),
        };
        let (socket, ident) = opened?;
        let shared = socket.is_none();
        let outlet = Outlet { socket, bound: SocketAddr::new(outside, ident) };
        let index = self.table.add_mapping(key.inside, key.local, false, outlet);
        if shared {
            self.by_ident.insert((v6, ident), index);
        } else if let Some(mapping) = self.table.mapping(index)
            && let Some(socket) = &mapping.data.socket
            && core.poll.add(socket, WATCHED, token(mapping, index).pack()).is_err()
        {
            self.close_mapping(core, index);
            return Err(Reason::Descriptors);
        }
        Ok(index)
    }

    /// Opens the raw socket of an IP version, unless it is open.
    fn raw(&mut self, core: &mut Core, v6: bool) -> Result<(), Reason> {
        let Some(slot) = self.raw.get_mut(usize::from(v6)) else { return Err(Reason::PingForbidden) };
        if slot.is_some() {
            return Ok(());
        }
        let socket = match DatagramSocket::raw(v6, true) {
            Ok(socket) => socket,
            Err(Errno::ACCESS | Errno::PERM) => {
                core.notices.give(Notice::PingForbidden);
                return Err(Reason::PingForbidden);
            }
            Err(errno) => return Err(reason_of(errno)),
        };
        let token = Token { kind: Kind::Raw, generation: 0, index: u32::from(v6) };
        core.poll.add(&socket, WATCHED, token.pack()).map_err(reason_of)?;
        *slot = Some(socket);
        Ok(())
    }

    /// A session's timer has fired.
    pub(crate) fn on_timer(&mut self, core: &mut Core, token: Token) {
        if sessions::is_over(core, &mut self.table, token) {
            self.close(core, token.index);
        }
    }

    /// Ends a session, and its identifier's mapping if that was its last one.
    pub(super) fn close(&mut self, core: &mut Core, session: u32) {
        self.tell(core, session, Change::Gone);
        if let Some(mapping) = sessions::end(core, &mut self.table, session) {
            self.close_mapping(core, mapping);
        }
    }

    fn close_mapping(&mut self, core: &mut Core, index: u32) {
        let Some(mapping) = self.table.remove_mapping(index) else { return };
        let bound = mapping.data.bound;
        let ident = (bound.is_ipv6(), bound.port());
        if self.by_ident.get(&ident) == Some(&index) {
            self.by_ident.remove(&ident);
        }
        let outside = Endpoint { ip: bound.ip(), port: bound.port() };
        core.config.ports.release(Protocol::Icmp, outside, core.now);
    }
}
