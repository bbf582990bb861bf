//! The system calls that no library wraps. All `unsafe` of this crate is here.

pub mod asyncfd;
pub mod children;
pub mod nsfd;
pub mod passing;
pub mod tun;
pub mod uring;
