//! VXLAN (RFC 7348): Ethernet frames in UDP datagrams, without the sockets that carry them.
//!
//! What is here, all of it pure: no I/O, no clock, and no allocation per frame.
//!
//! - [`header`]: the 8-byte header and [`Vni`], read and written.
//! - [`mod@encap`]: a header put into a frame's headroom, and taken off a received datagram.
//! - [`mtu`]: how large an inner packet may be on an underlay.
//! - [`entropy`]: the outer UDP source port, from a hash of the inner flow.
//! - [`peers`]: who takes part in a VNI, behind which of them a MAC address lives, and to whom a
//!   frame is to be sent.
//! - [`drop_reason`]: why a received datagram goes no further, by name.
//!
//! What is not here yet: UDP sockets, and with them sending several segments at once, receiving
//! coalesced datagrams and following the underlay's path MTU; learning addresses from received
//! frames; entries that age; answering ARP and neighbour discovery from the peer table; ICMP for
//! inner packets that are too big; multicast underlays (RFC 7348, section 4.2), for which
//! head-end replication stands in; a policy for inner VLAN tags, which are carried through
//! although RFC 7348, section 6.1, would have them dropped unless configured otherwise; ECN
//! between inner and outer header (RFC 6040).

pub mod drop_reason;
pub mod encap;
pub mod entropy;
pub mod header;
pub mod mtu;
pub mod peers;

pub use drop_reason::DropReason;
pub use encap::{EncapError, decap, decap_in_place, encap};
pub use entropy::{flow_hash, source_port};
pub use header::{HEADER_LEN, Vni, VniError};
pub use mtu::{OVERHEAD_IPV4, OVERHEAD_IPV6, inner_mtu};
pub use peers::{PeerError, PeerTable};

/// The UDP port VXLAN datagrams are sent to unless configured otherwise (RFC 7348, section 5).
pub const PORT: u16 = 4789;
