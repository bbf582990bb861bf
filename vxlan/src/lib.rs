//! VXLAN (RFC 7348): Ethernet frames in UDP datagrams, over plain sockets and without privileges.
//!
//! A [`Vtep`] is the sockets; a [`Network`] is one VNI with its peers and stations. Frames go out by
//! [`Sender::send`] and [`Sender::flush`], and come in by [`Receiver::receive`]. A super-frame is cut
//! into equal datagrams that one `UDP_SEGMENT` message carries; what `UDP_GRO` has joined is taken
//! apart and its frames joined again (udp(7)). Per frame there is no lock and no allocation.
//!
//! Without I/O, and of use alone:
//!
//! - [`header`]: the 8-byte header and [`Vni`], read and written.
//! - [`mod@encap`]: a header put into a frame's headroom, and taken off a received datagram.
//! - [`mtu`]: how large an inner packet may be on an underlay.
//! - [`entropy`]: a hash of the inner flow, which chooses the outer UDP source port.
//! - [`neighbour`]: answers to ARP and neighbour discovery from what a network knows.
//! - [`too_big`]: the ICMP message for a packet that the underlay cannot carry.
//! - [`ecn`]: congestion marks of the underlay, carried over.
//! - [`drop_reason`]: why something goes no further, by name.
//!
//! What is not here: multicast underlays (RFC 7348, section 4.2), for which head-end replication
//! stands in; a policy for inner VLAN tags, which are carried through although RFC 7348, section
//! 6.1, would have them dropped unless configured otherwise; the inner packet's congestion bits in the
//! outer header (RFC 6040's normal mode): the outer one says "not ECN-capable".

pub mod counters;
pub mod demux;
pub mod drop_reason;
pub mod ecn;
pub mod encap;
pub mod entropy;
#[doc(hidden)]
pub mod fuzzing;
pub mod header;
pub mod mtu;
pub mod neighbour;
pub mod network;
pub mod path;
pub mod receive;
pub mod send;
pub mod socket;
pub mod too_big;
pub mod vtep;

mod batch;
mod sys;
mod table;
mod unfinished;

pub use counters::Counters;
pub use demux::{Demux, Member};
pub use drop_reason::{DropReason, SendError};
pub use encap::{EncapError, decap, decap_in_place, encap};
pub use entropy::{flow_hash, source_port};
pub use header::{HEADER_LEN, Vni, VniError};
pub use mtu::{OVERHEAD_IPV4, OVERHEAD_IPV6, inner_mtu};
pub use network::{Network, NetworkConfig, PeerError, Remote};
pub use path::Path;
pub use receive::{Receiver, Sink};
pub use send::Sender;
pub use socket::SocketError;
pub use vtep::{Vtep, VtepConfig};

/// The UDP port VXLAN datagrams are sent to unless configured otherwise (RFC 7348, section 5).
pub const PORT: u16 = 4789;
