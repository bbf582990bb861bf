//! The network model: what a network is, which addresses it gives, and how Docker's users see it.
//!
//! Nothing here does I/O but [`host_routes`]; the daemon's books hold these values and decide when.

pub mod driver;
pub mod error;
pub mod options;
pub mod pool;
pub mod record;
pub mod timestamp;
pub mod wire;

pub use driver::{Driver, Scope};
pub use error::{Class, NetError, PoolError};
pub use pool::Pool;
pub use record::{Ipam, IpamConfig, NetworkRecord};
