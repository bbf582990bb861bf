//! System calls. What no library wraps is in [`tcp`], [`peek`] and [`datagram`], the only places
//! with `unsafe`.

mod control;
mod datagram;
mod name;
mod peek;
mod poll;
mod tcp;

pub(crate) use datagram::{AT_ONCE, DatagramSocket, Message, Received, Trouble};
pub(crate) use poll::{Clock, Poll};
pub(crate) use tcp::{Look, TcpSocket, can_peek_at_offset};
