//! Descriptors that the runtime watches.
#![allow(unsafe_code)]

use std::os::fd::{AsFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::sandbox::channel::Channel;

/// Watches a channel for messages.
///
/// # Errors
/// What epoll says.
pub fn readable(channel: Channel) -> std::io::Result<AsyncFd<Channel>> {
    // SAFETY: a channel owns one open descriptor, the same for its whole life, and the `AsyncFd`
    // owns the channel.
    unsafe { AsyncFd::register_with_interest(channel, Interest::READABLE) }.map_err(Into::into)
}

/// Watches a descriptor that only ever becomes readable, as a pidfd.
///
/// # Errors
/// What epoll says.
pub fn readable_fd(fd: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: as above; the descriptor is open and owned.
    unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }.map_err(Into::into)
}

/// Watches a socket for the moment in which its other end is closed altogether, not only for writing.
pub struct HangUp(AsyncFd<OwnedFd>);

impl HangUp {
    /// Watches a socket, through a descriptor of its own.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub fn watch(socket: &impl AsFd) -> std::io::Result<Self> {
        let fd = socket.as_fd().try_clone_to_owned()?;
        // Not READABLE: a half-closed socket is that for ever, and says nothing when the other half goes.
        // EPOLLHUP is reported whatever was asked for (epoll_ctl(2)).
        // SAFETY: as above.
        let watched = unsafe { AsyncFd::register_with_interest(fd, Interest::PRIORITY) }?;
        Ok(Self(watched))
    }

    /// Waits for it.
    pub async fn happened(&self) {
        loop {
            match self.0.ready(Interest::PRIORITY).await {
                Ok(guard) if !guard.ready().is_read_closed() && !guard.ready().is_write_closed() => {
                    let mut guard = guard;
                    guard.clear_ready();
                }
                _ => return,
            }
        }
    }
}
