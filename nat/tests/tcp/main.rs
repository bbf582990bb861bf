//! TCP through an engine, between kernels: a container behind a TAP, the world behind a veth.
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
const PEEK_FROM_START: bool = false;
