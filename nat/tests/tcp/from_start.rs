//! The same tests as on a kernel that keeps no offset for looks into TCP sockets.
#![allow(clippy::unwrap_used, clippy::large_stack_arrays, reason = "tests")]

#[path = "../lab/mod.rs"]
mod lab;

mod closing;
mod ends;
mod limits;
mod opening;
mod published;
mod transfer;
mod unasked;

use self::ends::{connect, lab, listen, pair};

/// Engines look into receive queues from their start.
const PEEK_FROM_START: bool = true;
