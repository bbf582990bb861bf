//! Typed views of the headers on the wire, one protocol a file.
//!
//! A view wraps bytes and reads or writes them by offset. Its `new_checked` validates every
//! length a getter depends on; a setter that later makes the bytes contradict themselves costs
//! right values, never a panic. [`Headers::parse`] finds all layers of a frame in one pass.

pub mod arp;
mod bytes;
pub mod ethernet;
mod headers;
pub mod icmpv4;
pub mod icmpv6;
pub mod ipv4;
pub mod ipv6;
pub mod tcp;
pub mod udp;
pub mod vlan;

pub use arp::Packet as ArpPacket;
pub use ethernet::Frame as EthernetFrame;
pub use headers::{Headers, IpHeaders, IpVersion, parse};
pub use icmpv4::Packet as Icmpv4Packet;
pub use icmpv6::Packet as Icmpv6Packet;
pub use ipv4::Packet as Ipv4Packet;
pub use ipv6::Packet as Ipv6Packet;
pub use tcp::Packet as TcpPacket;
pub use udp::Packet as UdpPacket;
pub use vlan::Tag as VlanTag;

pub(crate) use bytes::{array_at, put, slice, u8_at, u16_at, u32_at};

/// EtherType numbers (IEEE 802, IANA).
pub mod ethertype {
    /// IPv4, RFC 894.
    pub const IPV4: u16 = 0x0800;
    /// ARP, RFC 826.
    pub const ARP: u16 = 0x0806;
    /// An 802.1Q customer tag.
    pub const VLAN: u16 = 0x8100;
    /// IPv6, RFC 2464.
    pub const IPV6: u16 = 0x86dd;
    /// An 802.1ad service tag.
    pub const QINQ: u16 = 0x88a8;
    /// What was used for service tags before 802.1ad.
    pub const QINQ_OLD: u16 = 0x9100;
    /// The link layer discovery protocol, 802.1AB.
    pub const LLDP: u16 = 0x88cc;

    /// A VLAN tag follows.
    #[inline]
    pub const fn is_vlan(ethertype: u16) -> bool {
        matches!(ethertype, VLAN | QINQ | QINQ_OLD)
    }
}

/// IP protocol numbers and IPv6 next-header values (IANA).
pub mod ipproto {
    /// IPv6 hop-by-hop options, RFC 8200.
    pub const HOP_BY_HOP: u8 = 0;
    /// ICMP, RFC 792.
    pub const ICMP: u8 = 1;
    /// IGMP, RFC 3376.
    pub const IGMP: u8 = 2;
    /// TCP, RFC 9293.
    pub const TCP: u8 = 6;
    /// UDP, RFC 768.
    pub const UDP: u8 = 17;
    /// IPv6 routing header, RFC 8200.
    pub const ROUTING: u8 = 43;
    /// IPv6 fragment header, RFC 8200.
    pub const FRAGMENT: u8 = 44;
    /// Encapsulating security payload, RFC 4303: what follows cannot be read.
    pub const ESP: u8 = 50;
    /// Authentication header, RFC 4302.
    pub const AUTHENTICATION: u8 = 51;
    /// ICMPv6, RFC 4443.
    pub const ICMPV6: u8 = 58;
    /// Nothing follows, RFC 8200.
    pub const NO_NEXT: u8 = 59;
    /// IPv6 destination options, RFC 8200.
    pub const DESTINATION: u8 = 60;
    /// SCTP, RFC 9260.
    pub const SCTP: u8 = 132;
    /// IPv6 mobility header, RFC 6275.
    pub const MOBILITY: u8 = 135;
    /// Host identity protocol, RFC 7401.
    pub const HIP: u8 = 139;
    /// Shim6, RFC 5533.
    pub const SHIM6: u8 = 140;
}

/// Why bytes are not what a view takes them for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WireError {
    /// Fewer bytes than the header needs.
    #[error("{protocol} needs {needed} bytes, {len} are there")]
    Truncated {
        /// The protocol's name.
        protocol: &'static str,
        /// Bytes the header asks for.
        needed: usize,
        /// Bytes that are there.
        len: usize,
    },
    /// The version field names another protocol.
    #[error("{protocol} header with version {version}")]
    Version {
        /// The protocol's name.
        protocol: &'static str,
        /// What the version field says.
        version: u8,
    },
    /// A length field is smaller than the header it counts.
    #[error("{protocol} length field says {length} bytes, less than its header")]
    Length {
        /// The protocol's name.
        protocol: &'static str,
        /// What the length field says, in bytes.
        length: usize,
    },
    /// ARP for other hardware than Ethernet or another protocol than IPv4.
    #[error("ARP for other than IPv4 over Ethernet")]
    ForeignArp,
}

/// `Ok` if `len` bytes are enough for `needed`.
#[inline]
fn need(protocol: &'static str, needed: usize, len: usize) -> Result<(), WireError> {
    if len < needed { Err(WireError::Truncated { protocol, needed, len }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
