//! Ports, forwarding tables, workers, capture: the way of a frame.

pub mod bridge;
pub mod capture;
pub mod counters;
pub mod fdb;
pub mod memory;
mod outbox;
pub mod policy;
pub mod port;
pub mod storm;
pub mod switch;
pub mod tap;
mod wire;
pub mod worker;

pub use bridge::Bridge;
pub use counters::{DropReason, PortStats};
pub use port::{Deliver, Port, PortConfig, Receive, Received, Transmit, Trunk, Uplink};
pub use switch::{AddPortError, BridgeConfig, IoUring, Switch, SwitchConfig, TrunkId};
pub use worker::PortEvent;
