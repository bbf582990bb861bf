//! Network address translation: what it takes to tell flows apart, to change a frame in place,
//! and to give out ports. No sockets, and no clock of its own.
//!
//! What is here, all of it pure:
//!
//! - [`flow`]: which conversation a packet belongs to, and the same one seen from its other end.
//! - [`mod@classify`]: the flow of a frame; fragments, and what cannot be translated, told apart.
//! - [`mod@rewrite`]: addresses, ports and hops of a frame changed in place, its checksums patched
//!   rather than summed anew. Neither this nor [`mod@classify`] allocates.
//! - [`ports`]: ports of outside addresses for mappings: never two owners, parity and class kept,
//!   a rest before another host gets a port (RFC 4787, requirements 3 and 4; RFC 6888,
//!   requirement 8).
//!
//! What is not here yet: the table of flows and mappings with their timers, limits and filtering;
//! the TCP state machine; ICMP errors and the packets they quote (RFC 5508), which are told apart
//! and refused; reassembly of fragments; hairpinning; port forwarding; and the sockets that will
//! be the outside of every flow.

pub mod classify;
pub mod flow;
pub mod ports;
pub mod rewrite;
#[cfg(test)]
mod samples;

pub use classify::{Class, Fragment, FragmentKey, Untranslatable, classify};
pub use flow::{Endpoint, FlowKey, Protocol, Transport};
pub use ports::{PortAllocator, PortConfig, PortError};
pub use rewrite::{Rewrite, RewriteError, rewrite};
