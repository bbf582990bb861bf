//! The UDP sockets of a VTEP, with every option they need.

use std::{
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr},
    os::fd::AsFd,
};

use nix::sys::socket::{setsockopt, sockopt};
use packet::wire::IpVersion;
use parking_lot::Mutex;
use rustix::net::sockopt::{
    Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, ip_mtu, ipv6_mtu, set_ip_mtu_discover, set_ipv6_mtu_discover,
};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::entropy::{PORT_MAX, PORT_MIN};

/// Bytes asked for in a socket's buffers: some milliseconds at 10 Gb/s. Without privileges the
/// kernel gives what `net.core.rmem_max` and `wmem_max` allow.
const BUFFER: usize = 8 << 20;

/// Why the sockets of a VTEP could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The port belongs to somebody.
    #[error("UDP port {port} of {address} is in use: by a kernel VXLAN device, or another switch?")]
    InUse {
        /// The local address.
        address: IpAddr,
        /// The port.
        port: u16,
    },
    /// The address is none of this machine's.
    #[error("{0} is no address of this machine")]
    NotLocal(IpAddr),
    /// Two addresses of one IP version, or none at all.
    #[error("a VTEP has one address of each IP version at most, and one at least")]
    Addresses,
    /// The system refused something else.
    #[error("socket on {address}: {source}")]
    System {
        /// The local address.
        address: IpAddr,
        /// What it said.
        source: io::Error,
    },
}

/// The sockets of one IP version.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) local: IpAddr,
    pub(crate) receivers: Vec<Socket>,
    pub(crate) senders: Box<[Socket]>,
}

/// Which IP an address is of.
pub(crate) fn version(address: IpAddr) -> IpVersion {
    if address.is_ipv4() { IpVersion::V4 } else { IpVersion::V6 }
}

impl Family {
    /// Opens `receivers` sockets that share `local`:`port`, and `senders` with a port of their own
    /// each.
    pub(crate) fn open(
        local: IpAddr,
        port: u16,
        receivers: usize,
        senders: usize,
    ) -> Result<Self, SocketError> {
        let refused = |source: io::Error| match source.kind() {
            ErrorKind::AddrInUse => SocketError::InUse { address: local, port },
            ErrorKind::AddrNotAvailable => SocketError::NotLocal(local),
            _ => SocketError::System { address: local, source },
        };
        // Sockets that share a port would also share it with another switch of the same user, each
        // getting half of the flows. The first has it alone, and shares it afterwards.
        let first = receiver(local, port, false).map_err(refused)?;
        first.set_reuse_port(receivers > 1).map_err(refused)?;
        // Port 0 asks for any; the others must share what was given.
        let given = first.local_addr().ok().and_then(|a| a.as_socket()).map_or(port, |a| a.port());
        let mut sockets = vec![first];
        for _ in 1..receivers.max(1) {
            sockets.push(receiver(local, given, true).map_err(refused)?);
        }
        let senders =
            (0..senders.max(1)).map(|_| sender(local).map_err(refused)).collect::<Result<_, _>>()?;
        Ok(Self { local, receivers: sockets, senders })
    }

    /// The port the receiving sockets share.
    pub(crate) fn port(&self) -> Option<u16> {
        self.receivers.first()?.local_addr().ok()?.as_socket().map(|a| a.port())
    }
}

fn open(local: IpAddr) -> io::Result<Socket> {
    let domain = if local.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
    if local.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

fn receiver(local: IpAddr, port: u16, shared: bool) -> io::Result<Socket> {
    let socket = open(local)?;
    socket.set_reuse_port(shared)?;
    // Privileged first, then as far as the system allows.
    if setsockopt(&socket, sockopt::RcvBufForce, &BUFFER).is_err() {
        let _ = socket.set_recv_buffer_size(BUFFER);
    }
    // Linux before 5.0 cannot join datagrams and gives them one by one.
    let _ = setsockopt(&socket, sockopt::UdpGroSegment, &true);
    if local.is_ipv4() {
        let _ = socket.set_recv_tos_v4(true);
    } else {
        let _ = socket.set_recv_tclass_v6(true);
    }
    socket.bind(&SockAddr::from(SocketAddr::new(local, port)))?;
    Ok(socket)
}

fn sender(local: IpAddr) -> io::Result<Socket> {
    let socket = open(local)?;
    if setsockopt(&socket, sockopt::SndBufForce, &BUFFER).is_err() {
        let _ = socket.set_send_buffer_size(BUFFER);
    }
    // Nobody has anything to say to it.
    let _ = socket.set_recv_buffer_size(0);
    forbid_fragments(&socket, version(local))?;
    bind_in_dynamic_range(&socket, local)?;
    Ok(socket)
}

/// Sets DF and has the kernel refuse what is longer than the path MTU it knows (ip(7)).
fn forbid_fragments(socket: &Socket, version: IpVersion) -> io::Result<()> {
    match version {
        IpVersion::V4 => set_ip_mtu_discover(socket.as_fd(), Ipv4PathMtuDiscovery::DO)?,
        IpVersion::V6 => set_ipv6_mtu_discover(socket.as_fd(), Ipv6PathMtuDiscovery::DO)?,
    }
    Ok(())
}

/// RFC 7348, section 5, wants source ports from the dynamic range, which the kernel's own choice
/// is not limited to.
fn bind_in_dynamic_range(socket: &Socket, local: IpAddr) -> io::Result<()> {
    use std::hash::{BuildHasher, RandomState};
    let seed = RandomState::new();
    for attempt in 0..32u64 {
        let span = u64::from(PORT_MAX - PORT_MIN) + 1;
        let port = PORT_MIN + (seed.hash_one(attempt) % span) as u16;
        match socket.bind(&SockAddr::from(SocketAddr::new(local, port))) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            done => return done,
        }
    }
    socket.bind(&SockAddr::from(SocketAddr::new(local, 0)))
}

/// Asks the kernel what it knows of paths, without sending anything.
#[derive(Debug)]
pub(crate) struct Probe {
    /// Of the network namespace of the other sockets, whichever thread asks.
    sockets: Mutex<Vec<Socket>>,
}

impl Probe {
    /// For paths that begin at these addresses.
    pub(crate) fn new(locals: impl IntoIterator<Item = IpAddr>) -> Result<Self, SocketError> {
        let probe = |local| {
            let socket = open(local)?;
            // A port of the kernel's choice would be given back and looked for with every question, in vain
            // where none is free.
            bind_in_dynamic_range(&socket, local)?;
            Ok(socket)
        };
        let sockets = locals
            .into_iter()
            .map(|address| probe(address).map_err(|source| SocketError::System { address, source }))
            .collect::<Result<_, _>>()?;
        Ok(Self { sockets: Mutex::new(sockets) })
    }

    /// Tells `take` the MTU in bytes of IP packets on the path to `to`, from the route, the interface and what
    /// routers on the way have said (RFC 1191, RFC 8201); `None` without a route or a socket. Nobody else is
    /// told anything meanwhile, so that no older answer is taken after a newer one.
    pub(crate) fn path_mtu<T>(&self, to: &SockAddr, take: impl FnOnce(Option<u32>) -> T) -> T {
        let sockets = self.sockets.lock();
        take(Self::ask(&sockets, to))
    }

    fn ask(sockets: &[Socket], to: &SockAddr) -> Option<u32> {
        let socket = sockets.iter().find(|s| s.local_addr().is_ok_and(|a| a.family() == to.family()))?;
        // The source address that the last route chose is none for this one.
        rustix::net::connect_unspec(socket).ok()?;
        socket.connect(to).ok()?;
        if to.is_ipv4() { ip_mtu(socket.as_fd()) } else { ipv6_mtu(socket.as_fd()) }.ok()
    }
}
