//! How sessions and mappings begin and end.

use std::net::{IpAddr, SocketAddr};

use packet::Frame;

use super::{Outlet, Udp, WATCHED, batch::Pending, token};
use crate::{
    counters::Reason,
    engine::{
        Inside,
        core::{Core, Packet, Target},
        events::Change,
        host::InsideId,
        icmp_error::Trouble,
        outside::{reason_of, tell},
        sessions,
        token::{Kind, Token},
        view::Direction,
    },
    flow::{Endpoint, Protocol},
    session::{Key, NewSession},
    sys::{DatagramSocket, leave_room},
};

impl Udp {
    /// Begins a session for a container that sends to a new far end. If there can be none it is
    /// told (RFC 6888, requirement 11).
    pub(super) fn open(
        &mut self,
        core: &mut Core,
        packet: &Packet,
        key: &Key,
        frame: &Frame,
        out: &mut dyn Inside,
    ) -> Result<u32, Reason> {
        let quote = frame.bytes().get(packet.l3..packet.ip.end).unwrap_or(&[]);
        let real = match core.target(packet.way) {
            Target::Outside(real) => real,
            Target::Nobody => {
                tell(core, packet, Trouble::Port, quote, out);
                return Err(Reason::NoFlow);
            }
            Target::Forbidden => {
                tell(core, packet, Trouble::Prohibited, quote, out);
                return Err(Reason::NoOutbound);
            }
        };
        let opened = self.make_room(core, key.inside, false).and_then(|()| self.outlet_for(core, key, real));
        let mapping = match opened {
            Ok(mapping) => mapping,
            Err(reason) => {
                tell(core, packet, Trouble::Host, quote, out);
                return Err(reason);
            }
        };
        let idle = core.config.udp.idle(key.remote.port);
        Ok(self.begin(
            core,
            &NewSession {
                key: *key,
                mapping,
                real: SocketAddr::new(real, key.remote.port),
                via: None,
                direction: Direction::Outbound,
                idle,
                idle_first: idle,
            },
        ))
    }

    /// Enters a session, for which there is room.
    pub(super) fn begin(&mut self, core: &mut Core, new: &NewSession) -> u32 {
        let (index, new) = sessions::begin(core, &mut self.table, Kind::UdpSession, new);
        if new {
            self.tell(core, index, Change::New);
        }
        index
    }

    /// Whether one more session is within the limits. Where none is left, the oldest client of the
    /// container's own published ports makes room with which there is no conversation; clients
    /// never take more than half of what a container may have.
    pub(super) fn make_room(
        &mut self,
        core: &mut Core,
        inside: InsideId,
        client: bool,
    ) -> Result<(), Reason> {
        let half = core.config.limits.flows_per_inside / 2;
        let full = |core: &Core| core.room_for_session(inside);
        let reason = match full(core) {
            Err(reason) => reason,
            Ok(()) if client && self.table.unsettled(inside) >= half.max(1) => Reason::InsideFlows,
            Ok(()) => return Ok(()),
        };
        let oldest = self.table.oldest_unsettled(inside).ok_or(reason)?;
        self.close(core, oldest);
        full(core)
    }

    /// The mapping that an endpoint sends to `real` through: the one it has, or a new one.
    fn outlet_for(&mut self, core: &mut Core, key: &Key, real: IpAddr) -> Result<u32, Reason> {
        let there = self.table.mapping_of(key.inside, key.local);
        let published = || self.published.get(&(key.inside, key.local)).copied();
        match there.or_else(published) {
            Some(mapping) => Ok(mapping),
            None => self.open_mapping(core, key, real),
        }
    }

    fn open_mapping(&mut self, core: &mut Core, key: &Key, real: IpAddr) -> Result<u32, Reason> {
        let outside = core.host(key.inside).ok_or(Reason::UnknownInside)?.outside(real);
        let ceiling = core.config.limits.descriptors;
        let bound = core.config.ports.bind(Protocol::Udp, outside, key.local, core.now, |port| {
            let socket = DatagramSocket::udp(real.is_ipv6())?;
            leave_room(&socket, ceiling)?;
            socket.bind(outside, port)?;
            let port = socket.local().map_or(port, |local| local.port());
            Ok((socket, port))
        });
        let (socket, port) = bound.map_err(reason_of)?;
        let bound = SocketAddr::new(outside, port);
        let index = self.add_mapping(core, key.inside, key.local, false, socket, bound);
        index.map_err(|_| {
            core.config.ports.release(Protocol::Udp, Endpoint { ip: outside, port }, core.now);
            Reason::Descriptors
        })
    }

    /// Enters a mapping and watches its socket.
    pub(super) fn add_mapping(
        &mut self,
        core: &Core,
        inside: InsideId,
        local: Endpoint,
        fixed: bool,
        socket: DatagramSocket,
        bound: SocketAddr,
    ) -> rustix::io::Result<u32> {
        let outlet = Outlet { socket, bound, pending: Pending::NONE, cuts: true };
        let index = self.table.add_mapping(inside, local, fixed, outlet);
        if let Some(mapping) = self.table.mapping(index)
            && let Err(errno) = core.poll.add(&mapping.data.socket, WATCHED, token(mapping, index).pack())
        {
            self.table.remove_mapping(index);
            return Err(errno);
        }
        self.by_port.insert((bound.is_ipv6(), bound.port()), index);
        Ok(index)
    }

    /// A session's timer has fired.
    pub(crate) fn on_timer(&mut self, core: &mut Core, token: Token) {
        if sessions::is_over(core, &mut self.table, token) {
            self.close(core, token.index);
        }
    }

    /// Ends a session, and its mapping if that was its last one.
    pub(super) fn close(&mut self, core: &mut Core, session: u32) {
        self.tell(core, session, Change::Gone);
        if let Some(mapping) = sessions::end(core, &mut self.table, session) {
            self.close_mapping(core, mapping);
        }
    }

    /// Ends a mapping, which has no sessions.
    pub(super) fn close_mapping(&mut self, core: &mut Core, index: u32) {
        let Some(mapping) = self.table.remove_mapping(index) else { return };
        let Outlet { socket, bound, .. } = mapping.data;
        // By hand, for a copy of the descriptor would keep it watched.
        let _ = core.poll.delete(&socket);
        let port = (bound.is_ipv6(), bound.port());
        if self.by_port.get(&port) == Some(&index) {
            self.by_port.remove(&port);
        }
        let local = (mapping.inside, mapping.local);
        if self.published.get(&local) == Some(&index) {
            self.published.remove(&local);
        }
        if !mapping.fixed {
            let outside = Endpoint { ip: bound.ip(), port: bound.port() };
            core.config.ports.release(Protocol::Udp, outside, core.now);
        }
    }
}
