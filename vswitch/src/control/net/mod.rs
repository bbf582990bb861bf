//! The network model: what a network is, which addresses it gives, and how Docker's users see it.
//!
//! Nothing here does I/O but [`host_routes`]; the daemon's books hold these values and decide when.

pub mod create;
pub mod driver;
pub mod error;
pub mod filters;
pub mod host_routes;
mod macs;
pub mod options;
pub mod overlay_options;
pub mod pool;
pub mod record;
pub mod request;
pub mod selection;
pub mod subnets;
pub mod timestamp;
pub mod wire;

pub use create::{Surroundings, create};
pub use driver::{Driver, Scope};
pub use error::{Class, NetError, PoolError};
pub use filters::Filters;
pub use pool::Pool;
pub use record::{Ipam, IpamConfig, NetworkRecord};
pub use request::NetworkCreateRequest;
pub use selection::{ListFilter, PruneFilter};
