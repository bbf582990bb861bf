//! ICMP for IPv6 (RFC 4443) with neighbour discovery (RFC 4861).

use std::net::Ipv6Addr;

use super::{WireError, array_at, bytes::slice_mut, ipproto, need, put, slice, u8_at, u16_at, u32_at};
use crate::{checksum::Sum, mac::MacAddr};

/// Bytes before the data: type, code, checksum and four bytes by type.
pub const HEADER_LEN: usize = 8;
/// Bytes of a neighbour solicitation or advertisement without options.
pub const NEIGHBOR_LEN: usize = 24;

/// Message types.
pub mod kind {
    /// Destination unreachable; the code says why.
    pub const UNREACHABLE: u8 = 1;
    /// Too big for the next hop; its MTU stands in the message.
    pub const PACKET_TOO_BIG: u8 = 2;
    /// Hops or reassembly time used up.
    pub const TIME_EXCEEDED: u8 = 3;
    /// A header field is wrong.
    pub const PARAMETER_PROBLEM: u8 = 4;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 128;
    /// Answer to an echo request.
    pub const ECHO_REPLY: u8 = 129;
    /// A host asks for routers.
    pub const ROUTER_SOLICITATION: u8 = 133;
    /// A router announces itself.
    pub const ROUTER_ADVERTISEMENT: u8 = 134;
    /// Who has this address?
    pub const NEIGHBOR_SOLICITATION: u8 = 135;
    /// I have this address.
    pub const NEIGHBOR_ADVERTISEMENT: u8 = 136;
    /// A better next hop.
    pub const REDIRECT: u8 = 137;
}

/// Codes of [`kind::UNREACHABLE`].
pub mod unreachable {
    /// No route.
    pub const NO_ROUTE: u8 = 0;
    /// Forbidden by policy.
    pub const PROHIBITED: u8 = 1;
    /// No way to the address.
    pub const ADDRESS: u8 = 3;
    /// Nobody listens on the port.
    pub const PORT: u8 = 4;
}

/// Flags in the first byte of a neighbour advertisement's second word.
pub mod neighbor_flags {
    /// The sender is a router.
    pub const ROUTER: u8 = 0x80;
    /// Sent in answer to a solicitation.
    pub const SOLICITED: u8 = 0x40;
    /// Replaces what the receiver has cached.
    pub const OVERRIDE: u8 = 0x20;
}

/// Kinds of neighbour discovery options.
pub mod option {
    /// The sender's Ethernet address.
    pub const SOURCE_LINK_LAYER: u8 = 1;
    /// The target's Ethernet address.
    pub const TARGET_LINK_LAYER: u8 = 2;
    /// A prefix, in router advertisements.
    pub const PREFIX: u8 = 3;
    /// The link's MTU.
    pub const MTU: u8 = 5;
    /// Addresses of name servers, RFC 8106.
    pub const RDNSS: u8 = 25;
}

mod field {
    pub(super) const KIND: usize = 0;
    pub(super) const CODE: usize = 1;
    pub(super) const CHECKSUM: usize = 2;
    pub(super) const IDENT: usize = 4;
    pub(super) const FLAGS: usize = 4;
    pub(super) const MTU: usize = 4;
    pub(super) const SEQUENCE: usize = 6;
    pub(super) const TARGET: usize = 8;
}

/// A view of an ICMPv6 message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// A view of `buffer`, which must end where the IP packet does.
    ///
    /// # Errors
    /// [`WireError::Truncated`] below 8 bytes, or 24 for neighbour discovery's three messages
    /// with a target address.
    pub fn new_checked(buffer: T) -> Result<Self, WireError> {
        need("ICMPv6", HEADER_LEN, buffer.as_ref().len())?;
        let packet = Self { buffer };
        if packet.has_target() {
            need("ICMPv6", NEIGHBOR_LEN, packet.buffer.as_ref().len())?;
        }
        Ok(packet)
    }

    /// The message type, see [`kind`].
    pub fn kind(&self) -> u8 {
        u8_at(self.buffer.as_ref(), field::KIND)
    }

    /// The code within the type.
    pub fn code(&self) -> u8 {
        u8_at(self.buffer.as_ref(), field::CODE)
    }

    /// The checksum field.
    pub fn checksum(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::CHECKSUM)
    }

    /// The checksum is right for a message from `source` to `destination`.
    pub fn verify_checksum(&self, source: Ipv6Addr, destination: Ipv6Addr) -> bool {
        self.sum(source, destination).is_valid()
    }

    /// The identifier of an echo message.
    pub fn ident(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::IDENT)
    }

    /// The sequence number of an echo message.
    pub fn sequence(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::SEQUENCE)
    }

    /// The next hop's MTU in bytes, in [`kind::PACKET_TOO_BIG`].
    pub fn mtu(&self) -> u32 {
        u32_at(self.buffer.as_ref(), field::MTU)
    }

    /// The flags of a neighbour advertisement, see [`neighbor_flags`].
    pub fn neighbor_flags(&self) -> u8 {
        u8_at(self.buffer.as_ref(), field::FLAGS)
    }

    /// The message quotes the packet that caused it (RFC 4443: types below 128).
    pub fn is_error(&self) -> bool {
        self.kind() < 128
    }

    /// The target of a neighbour solicitation, advertisement or redirect.
    pub fn target(&self) -> Option<Ipv6Addr> {
        self.has_target().then(|| array_at::<16>(self.buffer.as_ref(), field::TARGET).into())
    }

    /// The options of a neighbour solicitation or advertisement, or a router solicitation; none
    /// for other messages.
    pub fn ndp_options(&self) -> NdpOptions<'_> {
        let from = match self.kind() {
            kind::NEIGHBOR_SOLICITATION | kind::NEIGHBOR_ADVERTISEMENT => NEIGHBOR_LEN,
            kind::ROUTER_SOLICITATION => HEADER_LEN,
            kind::ROUTER_ADVERTISEMENT => 16,
            kind::REDIRECT => 40,
            _ => usize::MAX,
        };
        NdpOptions { rest: slice(self.buffer.as_ref(), from, usize::MAX) }
    }

    /// What follows the first 8 bytes: echo data, or the quoted packet of an error.
    pub fn payload(&self) -> &[u8] {
        slice(self.buffer.as_ref(), HEADER_LEN, usize::MAX)
    }

    fn has_target(&self) -> bool {
        matches!(self.kind(), kind::NEIGHBOR_SOLICITATION | kind::NEIGHBOR_ADVERTISEMENT | kind::REDIRECT)
    }

    fn sum(&self, source: Ipv6Addr, destination: Ipv6Addr) -> Sum {
        let b = self.buffer.as_ref();
        Sum::pseudo_ipv6(source, destination, ipproto::ICMPV6, b.len()) + Sum::of(b)
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Sets the message type.
    pub fn set_kind(&mut self, kind: u8) {
        put(self.buffer.as_mut(), field::KIND, [kind]);
    }

    /// Sets the code.
    pub fn set_code(&mut self, code: u8) {
        put(self.buffer.as_mut(), field::CODE, [code]);
    }

    /// Sets the checksum field.
    pub fn set_checksum(&mut self, checksum: u16) {
        put(self.buffer.as_mut(), field::CHECKSUM, checksum.to_be_bytes());
    }

    /// Sets the identifier.
    pub fn set_ident(&mut self, ident: u16) {
        put(self.buffer.as_mut(), field::IDENT, ident.to_be_bytes());
    }

    /// Sets the sequence number.
    pub fn set_sequence(&mut self, sequence: u16) {
        put(self.buffer.as_mut(), field::SEQUENCE, sequence.to_be_bytes());
    }

    /// Sets the next hop's MTU in bytes.
    pub fn set_mtu(&mut self, mtu: u32) {
        put(self.buffer.as_mut(), field::MTU, mtu.to_be_bytes());
    }

    /// Sets the flags of a neighbour advertisement and zeroes the three reserved bytes.
    pub fn set_neighbor_flags(&mut self, flags: u8) {
        put(self.buffer.as_mut(), field::FLAGS, [flags, 0, 0, 0]);
    }

    /// Sets the target of a neighbour solicitation, advertisement or redirect.
    pub fn set_target(&mut self, target: Ipv6Addr) {
        put(self.buffer.as_mut(), field::TARGET, target.octets());
    }

    /// Computes the checksum of the whole buffer and writes it.
    pub fn fill_checksum(&mut self, source: Ipv6Addr, destination: Ipv6Addr) {
        self.set_checksum(0);
        let checksum = self.sum(source, destination).checksum();
        self.set_checksum(checksum);
    }

    /// What follows the first 8 bytes, to change in place.
    pub fn payload_mut(&mut self) -> &mut [u8] {
        slice_mut(self.buffer.as_mut(), HEADER_LEN, usize::MAX)
    }
}

/// One neighbour discovery option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NdpOption<'a> {
    /// Which one, see [`option`].
    pub kind: u8,
    /// Its data, without kind and length.
    pub data: &'a [u8],
}

impl NdpOption<'_> {
    /// The address in a source or target link-layer address option.
    pub fn mac(&self) -> Option<MacAddr> {
        let known = matches!(self.kind, option::SOURCE_LINK_LAYER | option::TARGET_LINK_LAYER);
        self.data.first_chunk().filter(|_| known).map(|mac| MacAddr(*mac))
    }
}

/// The options of a neighbour discovery message. Ends at the first malformed one.
#[derive(Debug, Clone)]
pub struct NdpOptions<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for NdpOptions<'a> {
    type Item = NdpOption<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let &[kind, words, ..] = self.rest else { return None };
        // RFC 4861, section 4.6: a length of zero is invalid, and would never end.
        let (option, rest) = self.rest.split_at_checked(usize::from(words) * 8)?;
        self.rest = rest;
        Some(NdpOption { kind, data: option.get(2..)? })
    }
}
