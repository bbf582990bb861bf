//! The system calls that no library wraps. All `unsafe` of this crate is here.

pub mod tun;
