//! The host's TCP sockets, as the outside of a flow.
#![allow(unsafe_code)]

use std::{
    io::{IoSlice, IoSliceMut},
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use rustix::{
    io::{self, Errno},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketFlags,
        SocketType, acceptfrom_with, bind, connect, getpeername, getsockname, listen, recvmsg, sendmsg,
        shutdown, socket_with, sockopt,
    },
};

use super::peek::peek_from_start;
use crate::tcp::outside::{Outside, Peeked};

/// How many connections may wait in a listening socket; the kernel keeps it to `somaxconn`.
const BACKLOG: i32 = 4096;

/// A TCP socket of the host that never blocks.
#[derive(Debug)]
pub(crate) struct TcpSocket {
    fd: OwnedFd,
    /// Where the kernel peeks next, in bytes from the first that was not discarded. `None` where it
    /// always does so from there.
    peek_at: Option<u32>,
}

/// How receive queues are looked into.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Look {
    /// At an offset, which the kernel keeps.
    #[default]
    AtOffset,
    /// From the start; what lies before the offset is skipped.
    FromStart,
}

/// How sockets are used.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manner {
    pub(crate) look: Look,
    /// Congestion control; `None` for the host's.
    pub(crate) congestion: Option<Box<str>>,
}

/// The kernel keeps a peek offset for TCP sockets (`SO_PEEK_OFF`, Linux 6.9 and later).
pub(crate) fn can_peek_at_offset() -> io::Result<bool> {
    let socket = stream_socket(false)?;
    match set_peek_offset(socket.as_fd(), 0) {
        Ok(()) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOPROTOOPT) => Ok(false),
        Err(other) => Err(other),
    }
}

fn stream_socket(v6: bool) -> io::Result<OwnedFd> {
    let family = if v6 { AddressFamily::INET6 } else { AddressFamily::INET };
    socket_with(family, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)
}

fn set_peek_offset(fd: BorrowedFd<'_>, offset: libc::c_int) -> io::Result<()> {
    const LEN: libc::socklen_t = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the option is an int, which outlives the call.
    let done = unsafe {
        let value = (&raw const offset).cast();
        libc::setsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PEEK_OFF, value, LEN)
    };
    if done == 0 { Ok(()) } else { Err(last_error()) }
}

pub(super) fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

impl TcpSocket {
    /// A socket that is not bound and not connected.
    pub(crate) fn new(v6: bool, manner: &Manner) -> io::Result<Self> {
        Self::set_up(stream_socket(v6)?, manner)
    }

    fn set_up(fd: OwnedFd, manner: &Manner) -> io::Result<Self> {
        let look = manner.look;
        if look == Look::AtOffset {
            set_peek_offset(fd.as_fd(), 0)?;
        }
        if let Some(name) = &manner.congestion {
            sockopt::set_tcp_congestion(&fd, name)?;
        }
        // The container decides what makes a segment and has its own answer to urgent data.
        sockopt::set_tcp_nodelay(&fd, true)?;
        sockopt::set_socket_oobinline(&fd, true)?;
        sockopt::set_socket_keepalive(&fd, true)?;
        Ok(Self { fd, peek_at: (look == Look::AtOffset).then_some(0) })
    }

    /// A socket that listens at `address`. On [::] it takes IPv6 only, as 0.0.0.0 has its own.
    pub(crate) fn listen(address: SocketAddr) -> io::Result<OwnedFd> {
        let fd = stream_socket(address.is_ipv6())?;
        sockopt::set_socket_reuseaddr(&fd, true)?;
        if address.is_ipv6() {
            sockopt::set_ipv6_v6only(&fd, true)?;
        }
        bind(&fd, &address)?;
        listen(&fd, BACKLOG)?;
        Ok(fd)
    }

    /// Takes a connection from a listening socket, and who made it.
    pub(crate) fn accept(listener: BorrowedFd<'_>, manner: &Manner) -> io::Result<(Self, SocketAddr)> {
        let (fd, from) = acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
        let from = from.and_then(|from| SocketAddr::try_from(from).ok()).ok_or(Errno::CONNABORTED)?;
        Ok((Self::set_up(fd, manner)?, from))
    }

    /// Binds to `port` of `address`. Alone: nobody else may have the port. Shared: other sockets
    /// that share it may.
    pub(crate) fn bind(&self, address: IpAddr, port: u16, shared: bool) -> io::Result<()> {
        if shared {
            self.share_port()?;
        }
        bind(&self.fd, &SocketAddr::new(address, port))
    }

    /// Leaves from `address`, from a port that is found when it connects (`IP_BIND_ADDRESS_NO_PORT`).
    pub(crate) fn bind_address(&self, address: IpAddr) -> io::Result<()> {
        let one: libc::c_int = 1;
        // SAFETY: the option is an int, which outlives the call.
        let done = unsafe {
            let (value, len) = ((&raw const one).cast(), size_of::<libc::c_int>() as libc::socklen_t);
            libc::setsockopt(self.fd.as_raw_fd(), libc::SOL_IP, libc::IP_BIND_ADDRESS_NO_PORT, value, len)
        };
        if done == 0 { bind(&self.fd, &SocketAddr::new(address, 0)) } else { Err(last_error()) }
    }

    /// Lets others bind to the same port shared.
    pub(crate) fn share_port(&self) -> io::Result<()> {
        sockopt::set_socket_reuseaddr(&self.fd, true)
    }

    /// Begins to connect; `Ok` also where that is not done yet.
    pub(crate) fn connect(&self, remote: SocketAddr) -> io::Result<()> {
        match connect(&self.fd, &remote) {
            Err(Errno::INPROGRESS) => Ok(()),
            done => done,
        }
    }

    /// What went wrong since it was last asked.
    pub(crate) fn error(&self) -> io::Result<()> {
        sockopt::socket_error(&self.fd)?
    }

    /// The address the world sees.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        getsockname(&self.fd).ok().and_then(|address| SocketAddr::try_from(address).ok())
    }

    /// Whom it is connected to.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        getpeername(&self.fd).ok().flatten().and_then(|address| SocketAddr::try_from(address).ok())
    }

    /// Closes it so that the other side sees a reset.
    pub(crate) fn reset(self) {
        let _ = sockopt::set_socket_linger(&self.fd, Some(Duration::ZERO));
    }
}

impl AsFd for TcpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Outside for TcpSocket {
    fn send(&mut self, data: &[IoSlice<'_>]) -> io::Result<usize> {
        sendmsg(
            &self.fd,
            data,
            &mut SendAncillaryBuffer::default(),
            SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
        )
    }

    fn peek(&mut self, offset: u32, into: &mut [IoSliceMut<'_>]) -> io::Result<Peeked> {
        let Some(at) = &mut self.peek_at else {
            return peek_from_start(self.fd.as_fd(), offset as usize, into);
        };
        if *at != offset {
            set_peek_offset(self.fd.as_fd(), offset.min(i32::MAX as u32).cast_signed())?;
            *at = offset;
        }
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        match recvmsg(&self.fd, into, &mut RecvAncillaryBuffer::default(), flags) {
            Ok(message) if message.bytes == 0 => Ok(Peeked::End),
            Ok(message) => {
                *at = at.saturating_add(message.bytes as u32);
                Ok(Peeked::Data(message.bytes))
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(Peeked::Nothing),
            Err(error) => Err(error),
        }
    }

    fn discard(&mut self, len: usize) -> io::Result<usize> {
        // SAFETY: with MSG_TRUNC a TCP socket drops the bytes and writes nothing (tcp(7)), so the
        // address is not used.
        let done = unsafe {
            let flags = libc::MSG_TRUNC | libc::MSG_DONTWAIT;
            libc::recv(self.fd.as_raw_fd(), std::ptr::null_mut(), len, flags)
        };
        let done = usize::try_from(done).map_err(|_| last_error())?;
        // The kernel moves its offset along.
        self.peek_at = self.peek_at.map(|at| at.saturating_sub(done as u32));
        Ok(done)
    }

    fn finish(&mut self) -> io::Result<()> {
        shutdown(&self.fd, Shutdown::Write)
    }
}

#[cfg(test)]
#[path = "tcp_tests.rs"]
mod tests;
