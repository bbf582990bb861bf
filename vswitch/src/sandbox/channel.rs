//! The channel between a process of the switch and one it started: JSON messages with
//! descriptors over a unix seqpacket socket.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::sys::passing;

/// Bytes of the longest message: a command line with its environment is the largest there is
/// (`ARG_MAX` is 2 MiB, but no sane one passes this).
const MAX_MESSAGE: usize = 1 << 20;

/// Why a message did not get across.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The other side has ended.
    #[error("the other side has closed the channel")]
    Closed,
    /// A system call failed.
    #[error("{0}")]
    System(#[from] Errno),
    /// The bytes are no message, or another version's.
    #[error("a message that cannot be read: {0}")]
    Json(#[from] serde_json::Error),
}

/// One end.
#[derive(Debug)]
pub struct Channel(OwnedFd);

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Channel {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl From<OwnedFd> for Channel {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl Channel {
    /// Two ends that are connected.
    ///
    /// # Errors
    /// What socketpair(2) says.
    pub fn pair() -> Result<(Self, Self), Errno> {
        let (a, b) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        // The default of some 200 KiB is less than a message may have.
        for fd in [&a, &b] {
            let _ = nix::sys::socket::setsockopt(fd, nix::sys::socket::sockopt::SndBuf, &(2 * MAX_MESSAGE));
        }
        Ok((Self(a), Self(b)))
    }

    /// The end that this process was started with.
    ///
    /// # Errors
    /// EBADF when there is no such descriptor.
    pub fn inherited(number: i32) -> Result<Self, Errno> {
        passing::inherited(number).map(Self)
    }

    /// Sends one message.
    ///
    /// # Errors
    /// [`ChannelError`].
    pub fn send<T: Serialize>(&self, message: &T, fds: &[BorrowedFd<'_>]) -> Result<(), ChannelError> {
        let bytes = serde_json::to_vec(message)?;
        match passing::send_with_fds(self.0.as_fd(), &bytes, fds) {
            Err(Errno::EPIPE | Errno::ECONNRESET) => Err(ChannelError::Closed),
            other => other.map_err(ChannelError::System),
        }
    }

    /// Waits for one message.
    ///
    /// # Errors
    /// [`ChannelError`]; `EAGAIN` on a non-blocking socket without one.
    pub fn recv<T: DeserializeOwned>(&self) -> Result<(T, Vec<OwnedFd>), ChannelError> {
        let len = match passing::next_len(self.0.as_fd()) {
            Ok(0) | Err(Errno::ECONNRESET) => return Err(ChannelError::Closed),
            other => other?.min(MAX_MESSAGE),
        };
        let mut buf = vec![0; len];
        let (n, fds) = match passing::recv_with_fds(self.0.as_fd(), &mut buf) {
            Ok((0, _)) | Err(Errno::ECONNRESET) => return Err(ChannelError::Closed),
            other => other?,
        };
        Ok((serde_json::from_slice(&buf[..n])?, fds))
    }
}

/// Starts this program again under one of its inner commands, with a channel to it.
///
/// # Errors
/// What starting it says.
pub fn spawn_self(inner: &str, configure: impl FnOnce(&mut Command)) -> std::io::Result<(Child, Channel)> {
    let (ours, theirs) = Channel::pair()?;
    let passed = passing::for_child(&theirs)?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0("vswitch").arg(inner).arg(passed.as_raw_fd().to_string());
    configure(&mut command);
    let child = command.spawn()?;
    Ok((child, ours))
}
