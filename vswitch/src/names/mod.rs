//! Names of containers: the DNS server that each container finds at 127.0.0.11.
//!
//! It knows nothing of containers and their life: whoever does, says what endpoints of a network
//! are called ([`NetworkNames`]) and what a container may resolve ([`View`]). Names that are
//! known are answered at once and on the spot; for the rest the container's or the host's
//! servers are asked, from this process, whatever namespace the query came from.
//!
//! It behaves as Docker 20.10, save that it keeps answers as long as they say, answers whatever
//! it is asked about a known name itself, and says SERVFAIL where Docker's says nothing.

mod cache;
mod encode;
mod forward;
#[doc(hidden)]
pub mod fuzzing;
mod network;
mod resolv_conf;
mod resolver;
mod response;
mod serve;
mod stats;
#[cfg(test)]
mod testing;
mod upstream;
mod view;
mod wire;

pub use network::{NetworkNames, Service as ServiceRecord};
pub use resolver::{Config, Pending, Resolver, Step, Transport};
pub use serve::Service;
pub use view::{Attached, View};
