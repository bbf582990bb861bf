//! The control side: containers, networks, the store, the API, the daemon.

pub mod api;
pub mod daemon;
pub mod error;
pub mod id;
pub mod ipam;
pub mod network;
pub mod paths;
pub mod record;
pub mod request;
pub mod serve;
mod shim_link;
pub mod store;
pub mod units;
mod watch;
pub mod wire;
