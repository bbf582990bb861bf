//! Network address translation, and the sockets that are the outside of every flow.
//!
//! [`engine`] is what the switch drives: frames of containers go in, the host's sockets are its
//! other side, frames for containers come out. It knows containers by numbers, and nothing of
//! networks, TAPs or Docker.
//!
//! - [`tcp`]: TCP towards a container as a pure state machine, without buffers of its own.
//! - [`config`], [`counters`]: what can be set, and what is counted.
//! - [`wheel`], [`time`]: timers, and the clock that is handed in.
//!
//! And what needs no engine, all of it pure:
//!
//! - [`flow`]: which conversation a packet belongs to, and the same one seen from its other end.
//! - [`mod@classify`]: the flow of a frame; fragments, and what cannot be translated, told apart.
//! - [`mod@rewrite`]: addresses, ports and hops of a frame changed in place, its checksums patched
//!   rather than summed anew. Neither this nor [`mod@classify`] allocates.
//! - [`ports`]: ports of outside addresses for mappings: never two owners, parity and class kept,
//!   a rest before another host gets a port (RFC 4787, requirements 3 and 4; RFC 6888,
//!   requirement 8).

pub mod classify;
pub mod config;
pub mod counters;
pub mod engine;
pub mod flow;
pub mod fragments;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod list;
pub mod ports;
pub mod rewrite;
#[cfg(test)]
mod samples;
pub mod session;
mod sys;
pub mod tcp;
pub mod time;
pub mod udp;
pub mod wheel;

pub use classify::{Class, Fragment, FragmentKey, Untranslatable, classify};
pub use engine::{Engine, Inside, InsideId, SendError};
pub use flow::{Endpoint, FlowKey, Protocol, Transport};
pub use ports::{PortAllocator, PortConfig, PortError};
pub use rewrite::{Rewrite, RewriteError, rewrite};
