//! Messages that carry file descriptors over a unix socket (unix(7), SCM_RIGHTS).
#![allow(unsafe_code)]

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};

/// Descriptors one message carries at most.
pub const MAX_FDS: usize = 64;

/// Sends one message with descriptors beside it.
///
/// # Errors
/// What sendmsg(2) says.
pub fn send_with_fds(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
    loop {
        match sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(bytes)], control, MsgFlags::MSG_NOSIGNAL, None)
        {
            Err(Errno::EINTR) => {}
            other => return other.map(drop),
        }
    }
}

/// Receives one message into `buf`: its length (0 when the other side closed) and descriptors.
///
/// # Errors
/// What recvmsg(2) says; EMSGSIZE for a message or a set of descriptors that was cut short.
pub fn recv_with_fds(socket: BorrowedFd<'_>, buf: &mut [u8]) -> Result<(usize, Vec<OwnedFd>), Errno> {
    // Not nix: of a set that was cut short it gives nothing, and what was received stays open.
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut iov = [IoSliceMut::new(buf)];
    let message = loop {
        match recvmsg(socket, &mut iov, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other.map_err(|e| Errno::from_raw(e.raw_os_error()))?,
        }
    };
    let mut fds = Vec::new();
    for control in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = control {
            fds.extend(received);
        }
    }
    if message.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(Errno::EMSGSIZE);
    }
    Ok((message.bytes, fds))
}

/// Bytes of the next message, which stays where it is; 0 when the other side closed.
///
/// # Errors
/// What recv(2) says.
pub fn next_len(socket: BorrowedFd<'_>) -> Result<usize, Errno> {
    loop {
        match nix::sys::socket::recv(socket.as_raw_fd(), &mut [], MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC) {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}

/// Takes over a descriptor that this process was started with, by its number.
///
/// # Errors
/// EBADF when there is none, or when it is one of the standard three.
pub fn inherited(number: RawFd) -> Result<OwnedFd, Errno> {
    if number <= 2 {
        return Err(Errno::EBADF);
    }
    // SAFETY: only looked at by fcntl, which says whether it is open.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC))?;
    // SAFETY: it is open, was handed to this process by its parent for this purpose, and the
    // command line that names it is read once.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Duplicates a descriptor so that the next program started keeps it; close it after that.
///
/// # Errors
/// What fcntl(2) says.
pub fn for_child(fd: impl AsFd) -> Result<OwnedFd, Errno> {
    let raw = nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_DUPFD(3))?;
    // SAFETY: just made by F_DUPFD, which leaves it open across exec.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Accepts one connection.
///
/// # Errors
/// What accept(2) says.
pub fn accept(listener: &OwnedFd) -> Result<OwnedFd, Errno> {
    use nix::sys::socket::{SockFlag, accept4};
    let fd = accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC)?;
    // SAFETY: just made by accept4.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    use super::*;

    #[test]
    fn descriptors_of_a_set_that_was_cut_short_are_closed() {
        let pair = || socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC);
        let (a, b) = pair().unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        send_with_fds(a.as_fd(), b"x", &[writer.as_fd(); 3]).unwrap();
        let mut buf = [0; 8];
        let (n, fds) = recv_with_fds(b.as_fd(), &mut buf).unwrap();
        assert_eq!((n, fds.len()), (1, 3));
        send_with_fds(a.as_fd(), b"x", &[writer.as_fd(); MAX_FDS + 8]).unwrap();
        assert_eq!(recv_with_fds(b.as_fd(), &mut buf).unwrap_err(), Errno::EMSGSIZE);
        drop((fds, writer));
        // Hangs while a copy of the writing end is open.
        assert_eq!(reader.read(&mut buf).unwrap(), 0);
    }
}
