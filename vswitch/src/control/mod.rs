//! The control side: networks, containers, the store, the API, the daemon.

pub mod api;
pub mod cluster;
pub mod daemon;
pub mod error;
pub mod events;
pub mod expose;
pub mod id;
mod json;
pub mod kv;
mod migrate;
pub mod net;
pub mod node;
pub mod paths;
pub mod publish;
pub mod record;
pub mod request;
pub mod serve;
mod shim_link;
pub mod store;
pub mod units;
mod watch;
pub mod wire;
