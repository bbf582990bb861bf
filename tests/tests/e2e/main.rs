//! What `vswitch` does, seen from outside: real commands in real namespaces.
#![allow(clippy::unwrap_used)] // A test that fails to unwrap has failed.

mod about;
mod addresses;
mod attach;
mod autostart;
mod bridge;
mod capture;
mod churn;
mod demo;
mod ends;
mod exec;
mod forbidden;
mod forwarding;
mod hostile;
mod life;
mod list;
mod names;
mod overlay;
mod restart;
mod run;
mod serve;
mod support;
mod traffic;
mod wire;
