//! System calls. What no library wraps is in [`tcp`], the only place with `unsafe`.

mod poll;
mod tcp;

pub(crate) use poll::{Clock, Poll};
pub(crate) use tcp::{TcpSocket, can_peek_at_offset};
