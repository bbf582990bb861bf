//! IPv4 (RFC 791; DSCP and ECN by RFC 2474 and 3168).

use std::net::Ipv4Addr;

use super::{WireError, array_at, bytes::slice_mut, need, put, slice, u8_at, u16_at};
use crate::checksum::Sum;

/// Bytes of a header without options.
pub const HEADER_LEN: usize = 20;
/// Bytes of the longest header.
pub const MAX_HEADER_LEN: usize = 60;

/// Don't fragment, in the word of flags and fragment offset.
pub const DONT_FRAGMENT: u16 = 0x4000;
/// More fragments, in the word of flags and fragment offset.
pub const MORE_FRAGMENTS: u16 = 0x2000;
/// The fragment offset in that word, in units of 8 bytes.
pub const OFFSET_MASK: u16 = 0x1fff;

pub(crate) mod field {
    pub(crate) const VERSION_IHL: usize = 0;
    pub(crate) const TOS: usize = 1;
    pub(crate) const TOTAL_LEN: usize = 2;
    pub(crate) const ID: usize = 4;
    pub(crate) const FRAGMENT: usize = 6;
    pub(crate) const TTL: usize = 8;
    pub(crate) const PROTOCOL: usize = 9;
    pub(crate) const CHECKSUM: usize = 10;
    pub(crate) const SOURCE: usize = 12;
    pub(crate) const DESTINATION: usize = 16;
}

/// A view of an IPv4 packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// A view of `buffer`, which may be longer than the packet (Ethernet pads it).
    ///
    /// # Errors
    /// [`WireError`] if the version is not 4, or the header length or total length does not fit.
    pub fn new_checked(buffer: T) -> Result<Self, WireError> {
        let packet = Self::new_truncated(buffer)?;
        let (header, total) = (packet.header_len(), packet.total_len());
        if total < header {
            return Err(WireError::Length { protocol: "IPv4", length: total });
        }
        need("IPv4", total, packet.buffer.as_ref().len())?;
        Ok(packet)
    }

    /// A view of a packet that may end anywhere behind its header, as ICMP errors quote it.
    ///
    /// # Errors
    /// [`WireError`] if the version is not 4 or the header itself is not whole.
    pub fn new_truncated(buffer: T) -> Result<Self, WireError> {
        let b = buffer.as_ref();
        need("IPv4", HEADER_LEN, b.len())?;
        let packet = Self { buffer };
        if packet.version() != 4 {
            return Err(WireError::Version { protocol: "IPv4", version: packet.version() });
        }
        let header = packet.header_len();
        if header < HEADER_LEN {
            return Err(WireError::Length { protocol: "IPv4", length: header });
        }
        need("IPv4", header, packet.buffer.as_ref().len())?;
        Ok(packet)
    }

    /// The wrapped buffer.
    pub fn into_inner(self) -> T {
        self.buffer
    }

    /// The version, 4.
    pub fn version(&self) -> u8 {
        u8_at(self.buffer.as_ref(), field::VERSION_IHL) >> 4
    }

    /// Bytes of the header with its options, 20 to 60.
    pub fn header_len(&self) -> usize {
        usize::from(u8_at(self.buffer.as_ref(), field::VERSION_IHL) & 0x0f) * 4
    }

    /// The type-of-service byte: DSCP and ECN.
    pub fn tos(&self) -> u8 {
        u8_at(self.buffer.as_ref(), field::TOS)
    }

    /// Bytes of the packet, header included.
    pub fn total_len(&self) -> usize {
        usize::from(u16_at(self.buffer.as_ref(), field::TOTAL_LEN))
    }

    /// The identification, which tells the fragments of one packet.
    pub fn id(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::ID)
    }

    /// The packet must not be fragmented.
    pub fn dont_fragment(&self) -> bool {
        self.fragment_word() & DONT_FRAGMENT != 0
    }

    /// More fragments follow this one.
    pub fn more_fragments(&self) -> bool {
        self.fragment_word() & MORE_FRAGMENTS != 0
    }

    /// Where this fragment lies in the packet, in bytes.
    pub fn fragment_offset(&self) -> usize {
        usize::from(self.fragment_word() & OFFSET_MASK) * 8
    }

    /// This is a part of a packet, not a whole one.
    pub fn is_fragment(&self) -> bool {
        self.fragment_word() & (MORE_FRAGMENTS | OFFSET_MASK) != 0
    }

    /// Hops left.
    pub fn ttl(&self) -> u8 {
        u8_at(self.buffer.as_ref(), field::TTL)
    }

    /// The protocol of the payload, see [`super::ipproto`].
    pub fn protocol(&self) -> u8 {
        u8_at(self.buffer.as_ref(), field::PROTOCOL)
    }

    /// The header's checksum as it stands there.
    pub fn checksum(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::CHECKSUM)
    }

    /// The header's checksum is right.
    pub fn verify_checksum(&self) -> bool {
        Sum::of(slice(self.buffer.as_ref(), 0, self.header_len())).is_valid()
    }

    /// The source address.
    pub fn source(&self) -> Ipv4Addr {
        array_at::<4>(self.buffer.as_ref(), field::SOURCE).into()
    }

    /// The destination address.
    pub fn destination(&self) -> Ipv4Addr {
        array_at::<4>(self.buffer.as_ref(), field::DESTINATION).into()
    }

    /// The header's options, one after the other.
    pub fn options(&self) -> Options<'_> {
        Options { rest: slice(self.buffer.as_ref(), HEADER_LEN, self.header_len()) }
    }

    /// What the packet carries, without padding behind it.
    pub fn payload(&self) -> &[u8] {
        slice(self.buffer.as_ref(), self.header_len(), self.total_len())
    }

    fn fragment_word(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::FRAGMENT)
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Makes `buffer` an IPv4 packet without options as long as the buffer, 65,535 bytes at most:
    /// all other fields zero, the payload as it was.
    ///
    /// # Errors
    /// [`WireError::Truncated`] below 20 bytes.
    pub fn new_written(mut buffer: T) -> Result<Self, WireError> {
        need("IPv4", HEADER_LEN, buffer.as_ref().len())?;
        let b = buffer.as_mut();
        let len = u16::try_from(b.len()).unwrap_or(u16::MAX);
        put(b, 0, [0; HEADER_LEN]);
        put(b, field::VERSION_IHL, [0x45]);
        put(b, field::TOTAL_LEN, len.to_be_bytes());
        Ok(Self { buffer })
    }

    /// Sets the type-of-service byte.
    pub fn set_tos(&mut self, tos: u8) {
        put(self.buffer.as_mut(), field::TOS, [tos]);
    }

    /// Sets the packet's length in bytes, header included.
    pub fn set_total_len(&mut self, len: u16) {
        put(self.buffer.as_mut(), field::TOTAL_LEN, len.to_be_bytes());
    }

    /// Sets the identification.
    pub fn set_id(&mut self, id: u16) {
        put(self.buffer.as_mut(), field::ID, id.to_be_bytes());
    }

    /// Sets the word of flags ([`DONT_FRAGMENT`], [`MORE_FRAGMENTS`]) and offset (8-byte units).
    pub fn set_fragment_word(&mut self, word: u16) {
        put(self.buffer.as_mut(), field::FRAGMENT, word.to_be_bytes());
    }

    /// Sets the hops left.
    pub fn set_ttl(&mut self, ttl: u8) {
        put(self.buffer.as_mut(), field::TTL, [ttl]);
    }

    /// Sets the payload's protocol.
    pub fn set_protocol(&mut self, protocol: u8) {
        put(self.buffer.as_mut(), field::PROTOCOL, [protocol]);
    }

    /// Sets the checksum field.
    pub fn set_checksum(&mut self, checksum: u16) {
        put(self.buffer.as_mut(), field::CHECKSUM, checksum.to_be_bytes());
    }

    /// Sets the source address.
    pub fn set_source(&mut self, ip: Ipv4Addr) {
        put(self.buffer.as_mut(), field::SOURCE, ip.octets());
    }

    /// Sets the destination address.
    pub fn set_destination(&mut self, ip: Ipv4Addr) {
        put(self.buffer.as_mut(), field::DESTINATION, ip.octets());
    }

    /// Computes the header's checksum and writes it.
    pub fn fill_checksum(&mut self) {
        self.set_checksum(0);
        let checksum = Sum::of(slice(self.buffer.as_ref(), 0, self.header_len())).checksum();
        self.set_checksum(checksum);
    }

    /// The payload, to change in place.
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let (from, to) = (self.header_len(), self.total_len());
        slice_mut(self.buffer.as_mut(), from, to)
    }
}

/// One option of an IPv4 header (RFC 791, section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv4Option<'a> {
    /// Copied flag, class and number in one byte.
    pub kind: u8,
    /// The option's data; empty for the one-byte No Operation.
    pub data: &'a [u8],
}

/// The options of a header. Ends at End of Options and at the first malformed one.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Options<'a> {
    type Item = Ipv4Option<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let (kind, data, rest) = super::bytes::next_option(self.rest)?;
        self.rest = rest;
        Some(Ipv4Option { kind, data })
    }
}
