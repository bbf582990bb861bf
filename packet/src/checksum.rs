//! The Internet checksum (RFC 1071): over bytes, over pseudo-headers, and changed in place
//! (RFC 1624).

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    ops::{Add, AddAssign},
};

use crate::{
    frame::Frame,
    offload::Checksum,
    wire::{Headers, IpHeaders, IpVersion, ipproto, ipv4, ipv6, put, slice, tcp, u16_at, udp},
};

/// Why a checksum could not be completed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ChecksumError {
    /// The field, or the first byte to sum, is not within the frame.
    #[error("checksum field at {start}+{offset} is outside a frame of {len} bytes")]
    Outside {
        /// Where the sum starts, in bytes from the frame's first.
        start: u16,
        /// Where the field lies, in bytes from `start`.
        offset: u16,
        /// Bytes in the frame.
        len: usize,
    },
}

/// A ones' complement sum of 16-bit words that is not folded yet.
///
/// Sums of pieces add up if every piece but the last has an even length.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sum(u32);

impl Sum {
    /// The sum of nothing.
    pub const ZERO: Self = Self(0);

    /// Sums `bytes`; an odd last byte counts as the high half of a word. Any length, any alignment.
    #[inline]
    pub fn of(bytes: &[u8]) -> Self {
        Self(u32::from(sum_bytes(bytes)))
    }

    /// The sum of the IPv4 pseudo-header (RFC 9293, section 3.1) of `len` bytes of transport.
    #[inline]
    pub fn pseudo_ipv4(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, len: usize) -> Self {
        Self::of(&source.octets()) + Self::of(&destination.octets()) + Self::pseudo_tail(protocol, len)
    }

    /// The sum of the IPv6 pseudo-header (RFC 8200, section 8.1) of `len` bytes of transport.
    #[inline]
    pub fn pseudo_ipv6(source: Ipv6Addr, destination: Ipv6Addr, protocol: u8, len: usize) -> Self {
        Self::of(&source.octets()) + Self::of(&destination.octets()) + Self::pseudo_tail(protocol, len)
    }

    /// The sum of the pseudo-header of the packet at `l3` in `frame`, with `len` bytes of transport.
    #[inline]
    pub fn pseudo(frame: &[u8], l3: usize, ip: &IpHeaders, len: usize) -> Self {
        // Source and destination lie side by side in both headers.
        let (from, bytes) = match ip.version {
            IpVersion::V4 => (ipv4::field::SOURCE, 8),
            IpVersion::V6 => (ipv6::field::SOURCE, 32),
        };
        let from = l3.saturating_add(from);
        Self::of(slice(frame, from, from.saturating_add(bytes))) + Self::pseudo_tail(ip.protocol, len)
    }

    #[inline]
    fn pseudo_tail(protocol: u8, len: usize) -> Self {
        // The length is at most 32 bits on the wire; both its halves count.
        let [a, b, c, d] = u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes();
        Self::ZERO + u16::from(protocol) + u16::from_be_bytes([a, b]) + u16::from_be_bytes([c, d])
    }

    /// The sum folded into 16 bits, not inverted: what the field of a partial checksum holds.
    #[inline]
    pub const fn fold(self) -> u16 {
        let [a, b, c, d] = self.0.to_be_bytes();
        let (sum, carry) = u16::from_be_bytes([a, b]).overflowing_add(u16::from_be_bytes([c, d]));
        // After a carry the sum is at most 0xfffe.
        if carry { sum + 1 } else { sum }
    }

    /// The finished checksum: folded and inverted.
    #[inline]
    pub const fn checksum(self) -> u16 {
        !self.fold()
    }

    /// The finished checksum of a UDP datagram: 0 is sent as 0xffff, since 0 means none (RFC 768).
    #[inline]
    pub const fn udp_checksum(self) -> u16 {
        match self.checksum() {
            0 => 0xffff,
            checksum => checksum,
        }
    }

    /// The sum over data that includes a right checksum.
    #[inline]
    pub const fn is_valid(self) -> bool {
        self.fold() == 0xffff
    }
}

impl Add for Sum {
    type Output = Self;

    #[inline]
    fn add(self, other: Self) -> Self {
        let (sum, carry) = self.0.overflowing_add(other.0);
        Self(if carry { sum + 1 } else { sum })
    }
}

impl Add<u16> for Sum {
    type Output = Self;

    #[inline]
    fn add(self, word: u16) -> Self {
        self + Self(u32::from(word))
    }
}

impl AddAssign for Sum {
    #[inline]
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl AddAssign<u16> for Sum {
    #[inline]
    fn add_assign(&mut self, word: u16) {
        *self = *self + word;
    }
}

/// The folded sum of big-endian words. Adds 32-bit words in the machine's own byte order, which
/// only swaps the result (RFC 1071, section 2), into 64-bit lanes that cannot overflow.
#[inline]
fn sum_bytes(bytes: &[u8]) -> u16 {
    let word = |w: &[u8; 4]| u64::from(u32::from_ne_bytes(*w));
    let (words, tail) = bytes.as_chunks::<4>();
    let (blocks, rest) = words.as_chunks::<8>();
    let mut lanes = [0u64; 8];
    for block in blocks {
        for (lane, w) in lanes.iter_mut().zip(block) {
            *lane = lane.wrapping_add(word(w));
        }
    }
    let mut sum = lanes.iter().fold(0u64, |a, lane| a.wrapping_add(*lane));
    for w in rest {
        sum = sum.wrapping_add(word(w));
    }
    let mut last = [0u8; 4];
    for (to, from) in last.iter_mut().zip(tail) {
        *to = *from;
    }
    sum = sum.wrapping_add(word(&last));
    fold64(sum).to_be()
}

#[inline]
const fn fold64(sum: u64) -> u16 {
    // Each step leaves less than 17 bits in the end; the masks make the narrowing exact.
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let [.., a, b] = sum.to_be_bytes();
    u16::from_be_bytes([a, b])
}

/// What changes in a checksum when fields under it change (RFC 1624, equation 3). One delta
/// serves the complete checksum and the partial one of a frame that is still to be finished.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Delta(Sum);

impl Delta {
    /// No change.
    pub const NONE: Self = Self(Sum::ZERO);

    /// A 16-bit field, such as a port, goes from `old` to `new`.
    #[inline]
    #[must_use]
    pub fn replace_u16(self, old: u16, new: u16) -> Self {
        Self(self.0 + !old + new)
    }

    /// A 32-bit field, such as an IPv4 address, goes from `old` to `new`.
    #[inline]
    #[must_use]
    pub fn replace_u32(self, old: u32, new: u32) -> Self {
        Self(self.0 + Sum(!old) + Sum(new))
    }

    /// A 128-bit field, such as an IPv6 address, goes from `old` to `new`.
    #[inline]
    #[must_use]
    pub fn replace_u128(self, old: u128, new: u128) -> Self {
        Self(self.0 + Sum::of(&(!old).to_be_bytes()) + Sum::of(&new.to_be_bytes()))
    }

    /// The complete checksum after the change.
    #[inline]
    pub fn apply(self, checksum: u16) -> u16 {
        (self.0 + !checksum).checksum()
    }

    /// The complete checksum of a UDP datagram after the change: none stays none.
    #[inline]
    pub fn apply_udp(self, checksum: u16) -> u16 {
        match checksum {
            0 => 0,
            _ => (self.0 + !checksum).udp_checksum(),
        }
    }

    /// The field of a partial checksum, a folded pseudo-header sum, after the change. Only fields
    /// of the pseudo-header count there: a port lies under the sum that is still to come.
    #[inline]
    pub fn apply_partial(self, field: u16) -> u16 {
        (self.0 + field).fold()
    }
}

/// The checksum after a 16-bit field under it went from `old` to `new`.
#[inline]
pub fn update_u16(checksum: u16, old: u16, new: u16) -> u16 {
    Delta::NONE.replace_u16(old, new).apply(checksum)
}

/// The checksum after a 32-bit field under it went from `old` to `new`.
#[inline]
pub fn update_u32(checksum: u16, old: u32, new: u32) -> u16 {
    Delta::NONE.replace_u32(old, new).apply(checksum)
}

/// The checksum after a 128-bit field under it went from `old` to `new`.
#[inline]
pub fn update_u128(checksum: u16, old: u128, new: u128) -> u16 {
    Delta::NONE.replace_u128(old, new).apply(checksum)
}

/// Finishes the partial checksum of a frame in place; any other is left alone. Afterwards it is
/// [`Checksum::Unverified`]: the pseudo-header sum was the sender's. A super-frame gets one
/// checksum over its whole payload and keeps its [`crate::Gso`]; cut it first.
///
/// # Errors
/// [`ChecksumError::Outside`] if the field is not within the frame; nothing is changed then.
pub fn complete_partial(frame: &mut Frame) -> Result<(), ChecksumError> {
    let mut offload = frame.offload();
    let Checksum::Partial { start, offset } = offload.checksum else { return Ok(()) };
    complete_at(frame.bytes_mut(), start, offset)?;
    offload.checksum = Checksum::Unverified;
    frame.set_offload(offload);
    Ok(())
}

/// [`complete_partial`] on bare bytes: sums from `start` to the end of the packet and writes the
/// checksum `offset` bytes behind `start`.
///
/// # Errors
/// [`ChecksumError::Outside`] if the field is not within the frame; nothing is changed then.
pub fn complete_at(frame: &mut [u8], start: u16, offset: u16) -> Result<(), ChecksumError> {
    let len = frame.len();
    let from = usize::from(start);
    let field = from + usize::from(offset);
    if field + 2 > len {
        return Err(ChecksumError::Outside { start, offset, len });
    }
    // Padding behind the packet is no part of the sum, should a sender have left it non-zero.
    let end = Headers::parse(frame).and_then(|h| h.ip).map_or(len, |ip| ip.end);
    let end = if end >= field + 2 { end } else { len };
    let sum = Sum::of(slice(frame, from, end));
    let is_udp = usize::from(offset) == udp::field::CHECKSUM;
    let checksum = if is_udp { sum.udp_checksum() } else { sum.checksum() };
    put(frame, field, checksum.to_be_bytes());
    Ok(())
}

/// The transport checksum of the packet at `l3` in `frame` is right: TCP, UDP, ICMP or ICMPv6, not
/// a fragment. UDP over IPv4 without a checksum is right. `None` where there is nothing to tell:
/// other protocols, fragments, headers cut short, IPv6 routing headers.
#[inline]
pub fn verify_transport(frame: &[u8], l3: usize, ip: &IpHeaders) -> Option<bool> {
    if ip.fragment || ip.routed {
        return None;
    }
    ip.payload?;
    let mut end = ip.end;
    let sum = match ip.protocol {
        ipproto::ICMP => Sum::ZERO,
        ipproto::UDP => {
            if u16_at(frame, ip.l4 + udp::field::CHECKSUM) == 0 {
                return Some(ip.version == IpVersion::V4);
            }
            // The datagram's own length counts, which may be less than the packet's (RFC 768).
            let len = usize::from(u16_at(frame, ip.l4 + udp::field::LEN));
            if len < udp::HEADER_LEN || ip.l4 + len > end {
                return Some(false);
            }
            end = ip.l4 + len;
            Sum::pseudo(frame, l3, ip, len)
        }
        _ => Sum::pseudo(frame, l3, ip, end.saturating_sub(ip.l4)),
    };
    Some((sum + Sum::of(slice(frame, ip.l4, end))).is_valid())
}

/// Where the checksum field of a transport protocol lies, in bytes from its header's first.
#[inline]
pub const fn field_offset(protocol: u8) -> Option<usize> {
    match protocol {
        ipproto::TCP => Some(tcp::field::CHECKSUM),
        ipproto::UDP => Some(udp::field::CHECKSUM),
        ipproto::ICMP | ipproto::ICMPV6 => Some(2),
        _ => None,
    }
}

/// Computes the header checksum of the IPv4 packet at `l3` in `frame` and writes it. Bytes that
/// are no IPv4 header are left alone.
pub fn fill_ipv4(frame: &mut [u8], l3: usize) {
    if let Some(mut packet) = frame.get_mut(l3..).and_then(|b| ipv4::Packet::new_truncated(b).ok()) {
        packet.fill_checksum();
    }
}

#[cfg(test)]
#[path = "checksum_tests.rs"]
mod tests;
