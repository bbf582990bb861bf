//! Descriptors that the runtime watches.
#![allow(unsafe_code)]

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
