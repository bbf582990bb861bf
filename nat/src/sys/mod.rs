//! System calls. What no library wraps is in [`tcp`], [`peek`] and [`datagram`], the only places
//! with `unsafe`.

mod control;
mod datagram;
mod name;
mod peek;
mod poll;
mod tcp;

use std::os::fd::{AsFd, AsRawFd};

use rustix::io::{self, Errno};

pub(crate) use datagram::{AT_ONCE, DatagramSocket, Message, Received, Trouble};
pub(crate) use poll::{Clock, Poll};
pub(crate) use tcp::{Look, Manner, TcpSocket, can_peek_at_offset};

/// Refuses a socket whose number is not below `ceiling`. The kernel gives the lowest that is free, so
/// then all below are taken.
pub(crate) fn leave_room(socket: &impl AsFd, ceiling: usize) -> io::Result<()> {
    let number = usize::try_from(socket.as_fd().as_raw_fd()).unwrap_or(0);
    if number < ceiling { Ok(()) } else { Err(Errno::MFILE) }
}
