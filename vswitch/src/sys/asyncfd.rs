//! Descriptors that the runtime watches.
#![allow(unsafe_code)]

use std::os::fd::OwnedFd;

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
