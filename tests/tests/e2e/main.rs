//! What `vswitch` does, seen from outside: real commands in real namespaces.
#![allow(clippy::unwrap_used)] // A test that fails to unwrap has failed.

mod about;
mod addresses;
mod api;
mod attach;
mod autostart;
mod bad_input;
mod bridge;
mod capture;
mod churn;
mod cluster;
mod connect;
mod crash;
mod demo;
mod docker;
mod ends;
mod exec;
mod forbidden;
mod forwarding;
mod gateway;
mod host_interface;
mod hostile;
mod life;
mod list;
mod modes;
mod names;
mod network_json;
mod overlay;
mod resolve;
mod restart;
mod run;
mod serve;
mod support;
mod traffic;
mod walkthroughs;
mod wire;
