//! The command against a daemon that gives the answers it is told to: what is asked, what is printed, how it ends.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

mod containers;
mod events;
mod mock;
mod networks;
mod run;
