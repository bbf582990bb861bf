//! Published UDP ports: datagrams from outside enter with their own source, answers leave from the
//! port and the address that they were sent to.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use rustix::io::Errno;

use super::Udp;
use crate::{
    counters::Reason,
    engine::{
        core::Core,
        tcp::{ListenError, Publisher},
        view::Direction,
    },
    flow::Endpoint,
    session::{Key, NewSession},
    sys::{DatagramSocket, Received},
};

/// Ports that are tried for a client whose own is taken.
const PORT_TRIES: u16 = 64;

/// A UDP port of the host. What comes before it is published waits, as far as its buffer goes.
#[derive(Debug)]
pub struct UdpListener {
    socket: DatagramSocket,
    address: SocketAddr,
}

impl UdpListener {
    /// Takes the port at `address`, with port 0 any that is free. `[::]` is IPv6 only: 0.0.0.0 is
    /// taken on its own.
    ///
    /// # Errors
    /// [`ListenError`], which says what people can do.
    pub fn new(address: SocketAddr) -> Result<Self, ListenError> {
        let open = || {
            let socket = DatagramSocket::udp(address.is_ipv6())?;
            socket.bind(address.ip(), address.port())?;
            Ok(socket)
        };
        let socket = open().map_err(|errno| match errno {
            Errno::ADDRINUSE => ListenError::Taken(address),
            Errno::ACCESS | Errno::PERM => ListenError::Privileged(address),
            Errno::ADDRNOTAVAIL => ListenError::Address(address),
            other => ListenError::Other(address, other.into()),
        })?;
        let address = socket.local().unwrap_or(address);
        Ok(Self { socket, address })
    }

    /// Where it is.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A published UDP port of an engine.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct UdpPublishId {
    mapping: u32,
    generation: u32,
}

impl Udp {
    pub(crate) fn publish(
        &mut self,
        core: &Core,
        listener: UdpListener,
        to: Publisher,
    ) -> io::Result<UdpPublishId> {
        let UdpListener { socket, address } = listener;
        let like = address.ip();
        let (local, sends) = {
            let host = core.host(to.inside).ok_or(io::ErrorKind::NotFound)?;
            let local = host.address(like).or_else(|| host.config.addresses.first().copied());
            let local = local.ok_or(io::ErrorKind::AddrNotAvailable)?;
            // The container's own datagrams go through it where they may leave from its address.
            let anywhere = like.is_unspecified() || host.outside(like) == like;
            (Endpoint { ip: local, port: to.port }, anywhere && local.is_ipv6() == like.is_ipv6())
        };
        let mapping = self.add_mapping(core, to.inside, local, true, socket, address)?;
        if sends {
            self.published.entry((to.inside, local)).or_insert(mapping);
        }
        let generation = self.table.mapping(mapping).map_or(0, |mapping| mapping.generation);
        Ok(UdpPublishId { mapping, generation })
    }

    /// Closes a published port with its sessions, which have no socket without it.
    pub(crate) fn unpublish(&mut self, core: &mut Core, id: UdpPublishId) {
        let is_there = |udp: &Self| {
            udp.table.mapping(id.mapping).is_some_and(|m| m.generation == id.generation && m.fixed)
        };
        if is_there(self) {
            for session in self.table.sessions_through(id.mapping) {
                self.close(core, session);
            }
            self.close_mapping(core, id.mapping);
        }
    }

    /// Begins a session for a client that a mapping has none for; `None` where the mapping is not
    /// a published port.
    pub(super) fn welcome(
        &mut self,
        core: &mut Core,
        mapping: u32,
        received: &Received,
    ) -> Result<Option<u32>, Reason> {
        let Some(entry) = self.table.mapping(mapping) else { return Ok(None) };
        if !entry.fixed {
            return Ok(None);
        }
        let (inside, port) = (entry.inside, entry.local.port);
        self.make_room(core, inside, true)?;
        let client = received.from;
        let key = self.key_for(core, inside, port, client).ok_or(Reason::PublishRefused)?;
        let new = NewSession {
            key,
            mapping,
            real: client,
            via: received.via,
            direction: Direction::Published,
            idle: core.config.udp.idle(0),
            idle_first: core.config.udp.published_timeout,
        };
        Ok(Some(self.begin(core, &new)))
    }

    /// The ends of a client's session as the container sees them: the client's own address where
    /// it can be, else the gateway's.
    fn key_for(
        &self,
        core: &Core,
        inside: crate::engine::InsideId,
        port: u16,
        client: SocketAddr,
    ) -> Option<Key> {
        let host = core.host(inside)?;
        let key = |remote: IpAddr, from, local| Key {
            inside,
            local: Endpoint { ip: local, port },
            remote: Endpoint { ip: remote, port: from },
        };
        let is_free = |key: &Key| self.table.find(key).is_none();
        if let Some(local) = host.address(client.ip())
            && host.can_see(client.ip())
        {
            let key = key(client.ip(), client.port(), local);
            if is_free(&key) {
                return Some(key);
            }
        }
        // In its place the gateway, of the same IP version if the container has it.
        let local = host.address(client.ip()).or_else(|| host.config.addresses.first().copied())?;
        let gateway = host.gateway(local)?;
        (0..PORT_TRIES)
            .map(|offset| key(gateway, client.port().wrapping_add(offset).max(1024), local))
            .find(is_free)
    }
}
