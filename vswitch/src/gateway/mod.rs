//! The gateway of a network: a port of its bridge behind which the switch itself answers.
//!
//! For its own addresses it answers ARP, IPv6 neighbour and router discovery, echo requests, DHCP
//! and DNS, and refuses everything else as a host does: TCP with a reset, the rest with an ICMP
//! error. What is sent through it to somewhere else goes to a [`Beyond`] on the worker's own
//! thread. It knows nothing of containers: the control side tells it plain values, replaced as a
//! whole while frames pass.
//!
//! The machine itself may stand behind it, with the gateway's addresses: then it is the machine that
//! has what the gateway would refuse, see [`gateway_port_with_host`].
//!
//! There is no thread of its own. A frame for it is copied into a bounded queue by the worker that
//! carries it; the worker that reads the gateway's port takes it out, and the answer enters the
//! bridge as any port's frame does. Only DNS takes longer than that, see [`DnsConfig`].
//!
//! A worker never waits here and takes no lock; no frame costs an allocation once the pool of
//! buffers is as large as frames were under way at once.

mod answer;
mod arp;
mod build;
mod classify;
mod config;
mod dhcp;
mod dns;
mod echo;
#[doc(hidden)]
pub mod fuzzing;
mod host;
mod icmp_error;
mod ndp;
mod pool;
mod port;
mod queue;
mod reset;
#[cfg(test)]
mod samples;
mod stats;
mod udp;

pub use config::{Beyond, DhcpConfig, Endpoint, GatewayConfig, link_local};
pub use dns::{DnsConfig, DnsHandler, DnsQuery, DnsReply, Transport};
pub use icmp_error::Fault;
pub use port::{Gateway, GatewayReceive, GatewayTransmit, gateway_port, gateway_port_with_host};
pub use stats::GatewayStats;
