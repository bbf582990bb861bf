//! Published TCP ports: connections from outside, passed on to a container.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use rustix::{event::epoll::EventFlags, io::Errno};

use super::{Tcp, flow::Key};
use crate::{
    counters::Reason,
    engine::{
        core::Core,
        host::InsideId,
        token::{Kind, Token},
        view::Direction,
    },
    flow::Endpoint,
    sys::{TcpSocket, leave_room},
    tcp::Conn,
};

/// Connections taken from a listener before others have their turn.
const BATCH: usize = 64;
/// How long no connections are taken after descriptors ran out.
const PAUSE: Duration = Duration::from_millis(100);
/// Ports that are tried for a client whose own is taken.
const PORT_TRIES: u16 = 64;

/// Why a port of the host cannot be listened at.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody listens there.
    #[error("Bind for {0} failed: port is already allocated")]
    Taken(SocketAddr),
    /// The port needs a privilege.
    #[error(
        "port {} needs a privilege: as root, lower net.ipv4.ip_unprivileged_port_start to it, or publish a port of \
         1024 or above", .0.port()
    )]
    Privileged(SocketAddr),
    /// The host has no such address.
    #[error("{} is none of the host's addresses", .0.ip())]
    Address(SocketAddr),
    /// Anything else.
    #[error("{0} cannot be listened at: {1}")]
    Other(SocketAddr, io::Error),
}

/// A port of the host that takes connections, which wait until it is published.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
    address: SocketAddr,
}

impl Listener {
    /// Listens at `address`, with port 0 at any that is free. `[::]` is IPv6 only: 0.0.0.0 is
    /// listened at on its own.
    ///
    /// # Errors
    /// [`ListenError`], which says what people can do.
    pub fn new(address: SocketAddr) -> Result<Self, ListenError> {
        let fd = TcpSocket::listen(address).map_err(|errno| match errno {
            Errno::ADDRINUSE => ListenError::Taken(address),
            Errno::ACCESS | Errno::PERM => ListenError::Privileged(address),
            Errno::ADDRNOTAVAIL => ListenError::Address(address),
            other => ListenError::Other(address, other.into()),
        })?;
        let bound = rustix::net::getsockname(&fd).ok().and_then(|bound| SocketAddr::try_from(bound).ok());
        Ok(Self { fd, address: bound.unwrap_or(address) })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Whom a published port belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Publisher {
    /// The container.
    pub inside: InsideId,
    /// Its port.
    pub port: u16,
}

/// A published port of an engine.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PublishId(u32);

#[derive(Debug)]
pub(super) struct Published {
    listener: Listener,
    to: Publisher,
}

fn token(index: usize) -> Token {
    Token { kind: Kind::TcpListener, generation: 0, index: index as u32 }
}

impl Tcp {
    pub(crate) fn publish(
        &mut self,
        core: &mut Core,
        listener: Listener,
        to: Publisher,
    ) -> io::Result<PublishId> {
        let entry = self.published.vacant_entry();
        let token = token(entry.key());
        core.poll.add(&listener.fd, EventFlags::IN, token.pack())?;
        entry.insert(Published { listener, to });
        Ok(PublishId(token.index))
    }

    pub(crate) fn unpublish(&mut self, core: &mut Core, PublishId(index): PublishId) {
        if let Some(published) = self.published.try_remove(index as usize) {
            // By hand, for a copy of the descriptor would keep it watched.
            let _ = core.poll.delete(&published.listener.fd);
        }
    }

    pub(super) fn unpublish_all(&mut self, core: &mut Core, inside: InsideId) {
        let ids: Vec<_> =
            self.published.iter().filter(|(_, p)| p.to.inside == inside).map(|(index, _)| index).collect();
        for index in ids {
            self.unpublish(core, PublishId(index as u32));
        }
    }

    /// Connections wait at a published port.
    pub(crate) fn on_connections(&mut self, core: &mut Core, token: Token) {
        for _ in 0..BATCH {
            let Some(published) = self.published.get(token.index as usize) else { return };
            let to = published.to;
            match TcpSocket::accept(published.listener.fd.as_fd(), &self.manner) {
                Ok((socket, client)) => {
                    if let Err((reason, socket)) = self.forward(core, socket, client, to) {
                        core.counters.count(reason);
                        socket.reset();
                    }
                }
                Err(Errno::AGAIN) => return,
                Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                    // The listener stays readable: look away for a while rather than spin.
                    core.counters.count(Reason::Descriptors);
                    let _ = core.poll.delete(&published.listener.fd);
                    core.wheel.set(core.now + PAUSE, token.pack());
                    return;
                }
                // The client has gone already, or the network has an error for it (accept(2)).
                Err(_) => {}
            }
        }
    }

    /// Takes connections again after descriptors had run out.
    pub(crate) fn resume(&mut self, core: &mut Core, token: Token) {
        if let Some(published) = self.published.get(token.index as usize) {
            let _ = core.poll.add(&published.listener.fd, EventFlags::IN, token.pack());
        }
    }

    /// Opens a connection to the container for one that came from outside.
    fn forward(
        &mut self,
        core: &mut Core,
        socket: TcpSocket,
        client: SocketAddr,
        to: Publisher,
    ) -> Result<(), (Reason, TcpSocket)> {
        let Some(key) = self.key_for(core, client, to) else { return Err((Reason::PublishRefused, socket)) };
        if leave_room(&socket, core.config.limits.descriptors).is_err() {
            return Err((Reason::Descriptors, socket));
        }
        if let Err(reason) = self.check_limits(core, to.inside) {
            return Err((reason, socket));
        }
        let mss = core.host(to.inside).map_or(0, |host| host.mss(key.is_v6()));
        let conn = Conn::open(self.isn(&key, core.now), mss, core.now);
        let index = self.insert(core, key, Direction::Published, conn, socket);
        if self.watch(core, index).is_ok() {
            self.mark(index);
        } else {
            core.counters.count(Reason::Descriptors);
            self.remove(core, index, true);
        }
        Ok(())
    }

    /// The ends of a forwarded connection as the container sees them: the client's own address
    /// where it can be, else the gateway's.
    fn key_for(&self, core: &Core, client: SocketAddr, to: Publisher) -> Option<Key> {
        let host = core.host(to.inside)?;
        let client_ip = client.ip().to_canonical();
        let key = |remote: IpAddr, port, local| Key {
            inside: to.inside,
            local: Endpoint::new(local, to.port),
            remote: Endpoint::new(remote, port),
        };
        if let Some(local) = host.address(client_ip)
            && host.can_see(client_ip)
        {
            let key = key(client_ip, client.port(), local);
            if !self.is_taken(&key) {
                return Some(key);
            }
        }
        // In its place the gateway, of the same IP version if the container has it.
        let local = host.address(client_ip).or_else(|| host.config.addresses.first().copied())?;
        let gateway = host.gateway(local)?;
        (0..PORT_TRIES)
            .map(|offset| key(gateway, client.port().wrapping_add(offset).max(1024), local))
            .find(|key| !self.is_taken(key))
    }
}
