//! TCP towards a container, as a pure state machine (RFC 9293): segments and the progress of a
//! socket go in, headers and plans for data come out. It reads no clock and touches no socket.

mod assembly;
pub mod conn;
#[cfg(test)]
mod conn_tests;
pub mod header;
mod loss;
pub mod outside;
pub mod recv;
pub mod rtt;
pub mod segment;
pub mod send;
pub mod seq;
#[cfg(test)]
mod sim;

pub use conn::{Conn, Ended, Finished, Outcome, State, Timing};
pub use header::Header;
pub use outside::{Outside, Peeked};
pub use recv::Arrival;
pub use segment::Segment;
pub use send::Plan;
pub use seq::Seq;
