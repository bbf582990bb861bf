//! IPv6 (RFC 8200) and a walk over its extension headers.

use std::net::Ipv6Addr;

use super::{WireError, array_at, bytes::slice_mut, ipproto, need, put, slice, u8_at, u16_at, u32_at};

/// Bytes of the fixed header.
pub const HEADER_LEN: usize = 40;
/// Bytes of a fragment header.
pub const FRAGMENT_HEADER_LEN: usize = 8;
/// Extension headers that are walked over; with more the transport header is not looked for.
pub const MAX_EXTENSIONS: usize = 8;

pub(crate) mod field {
    pub(crate) const VERSION_CLASS_FLOW: usize = 0;
    pub(crate) const PAYLOAD_LEN: usize = 4;
    pub(crate) const NEXT_HEADER: usize = 6;
    pub(crate) const HOP_LIMIT: usize = 7;
    pub(crate) const SOURCE: usize = 8;
    pub(crate) const DESTINATION: usize = 24;
}

/// A view of an IPv6 packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// A view of `buffer`, which may be longer than the packet.
    ///
    /// # Errors
    /// [`WireError`] if the version is not 6 or the payload length does not fit.
    pub fn new_checked(buffer: T) -> Result<Self, WireError> {
        let packet = Self::new_truncated(buffer)?;
        need("IPv6", packet.total_len(), packet.buffer.as_ref().len())?;
        Ok(packet)
    }

    /// A view of a packet that may end anywhere behind its header, as ICMPv6 errors quote it.
    ///
    /// # Errors
    /// [`WireError`] if the version is not 6 or the header itself is not whole.
    pub fn new_truncated(buffer: T) -> Result<Self, WireError> {
        need("IPv6", HEADER_LEN, buffer.as_ref().len())?;
        let packet = Self { buffer };
        if packet.version() != 6 {
            return Err(WireError::Version { protocol: "IPv6", version: packet.version() });
        }
        Ok(packet)
    }

    /// The wrapped buffer.
    pub fn into_inner(self) -> T {
        self.buffer
    }

    /// The version, 6.
    pub fn version(&self) -> u8 {
        u8_at(self.buffer.as_ref(), field::VERSION_CLASS_FLOW) >> 4
    }

    /// The traffic class: DSCP and ECN.
    pub fn traffic_class(&self) -> u8 {
        (u16_at(self.buffer.as_ref(), field::VERSION_CLASS_FLOW) >> 4).to_be_bytes()[1]
    }

    /// The flow label, 20 bits.
    pub fn flow_label(&self) -> u32 {
        u32_at(self.buffer.as_ref(), field::VERSION_CLASS_FLOW) & 0x000f_ffff
    }

    /// Bytes behind the fixed header, extension headers included.
    pub fn payload_len(&self) -> usize {
        usize::from(u16_at(self.buffer.as_ref(), field::PAYLOAD_LEN))
    }

    /// Bytes of the packet, fixed header included.
    pub fn total_len(&self) -> usize {
        HEADER_LEN + self.payload_len()
    }

    /// What follows the fixed header: an extension header or the transport.
    pub fn next_header(&self) -> u8 {
        u8_at(self.buffer.as_ref(), field::NEXT_HEADER)
    }

    /// Hops left.
    pub fn hop_limit(&self) -> u8 {
        u8_at(self.buffer.as_ref(), field::HOP_LIMIT)
    }

    /// The source address.
    pub fn source(&self) -> Ipv6Addr {
        array_at::<16>(self.buffer.as_ref(), field::SOURCE).into()
    }

    /// The destination address; with a routing header only the next on the way.
    pub fn destination(&self) -> Ipv6Addr {
        array_at::<16>(self.buffer.as_ref(), field::DESTINATION).into()
    }

    /// Everything behind the fixed header, without padding.
    pub fn payload(&self) -> &[u8] {
        slice(self.buffer.as_ref(), HEADER_LEN, self.total_len())
    }

    /// The extension headers, one after the other.
    pub fn extensions(&self) -> Extensions<'_> {
        Extensions::new(self.next_header(), self.payload())
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Makes `buffer` an IPv6 packet as long as the buffer, 65,535 bytes of payload at most: all
    /// other fields zero, the payload as it was.
    ///
    /// # Errors
    /// [`WireError::Truncated`] below 40 bytes.
    pub fn new_written(mut buffer: T) -> Result<Self, WireError> {
        need("IPv6", HEADER_LEN, buffer.as_ref().len())?;
        let b = buffer.as_mut();
        let len = u16::try_from(b.len().saturating_sub(HEADER_LEN)).unwrap_or(u16::MAX);
        put(b, 0, [0; HEADER_LEN]);
        put(b, field::VERSION_CLASS_FLOW, [0x60]);
        put(b, field::PAYLOAD_LEN, len.to_be_bytes());
        Ok(Self { buffer })
    }

    /// Sets the traffic class.
    pub fn set_traffic_class(&mut self, class: u8) {
        let word = u16_at(self.buffer.as_ref(), field::VERSION_CLASS_FLOW);
        let word = (word & 0xf00f) | u16::from(class) << 4;
        put(self.buffer.as_mut(), field::VERSION_CLASS_FLOW, word.to_be_bytes());
    }

    /// Sets the flow label, its low 20 bits.
    pub fn set_flow_label(&mut self, label: u32) {
        let word = u32_at(self.buffer.as_ref(), field::VERSION_CLASS_FLOW);
        let word = (word & 0xfff0_0000) | (label & 0x000f_ffff);
        put(self.buffer.as_mut(), field::VERSION_CLASS_FLOW, word.to_be_bytes());
    }

    /// Sets the bytes behind the fixed header.
    pub fn set_payload_len(&mut self, len: u16) {
        put(self.buffer.as_mut(), field::PAYLOAD_LEN, len.to_be_bytes());
    }

    /// Sets what follows the fixed header.
    pub fn set_next_header(&mut self, next: u8) {
        put(self.buffer.as_mut(), field::NEXT_HEADER, [next]);
    }

    /// Sets the hops left.
    pub fn set_hop_limit(&mut self, hops: u8) {
        put(self.buffer.as_mut(), field::HOP_LIMIT, [hops]);
    }

    /// Sets the source address.
    pub fn set_source(&mut self, ip: Ipv6Addr) {
        put(self.buffer.as_mut(), field::SOURCE, ip.octets());
    }

    /// Sets the destination address.
    pub fn set_destination(&mut self, ip: Ipv6Addr) {
        put(self.buffer.as_mut(), field::DESTINATION, ip.octets());
    }

    /// Everything behind the fixed header, to change in place.
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let to = self.total_len();
        slice_mut(self.buffer.as_mut(), HEADER_LEN, to)
    }
}

/// One extension header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extension<'a> {
    /// Which one, see [`ipproto`].
    pub kind: u8,
    /// Where it begins, in bytes from the end of the fixed header.
    pub offset: usize,
    /// The whole header, its next-header byte first; at least 8 bytes.
    pub bytes: &'a [u8],
}

impl Extension<'_> {
    /// The word of offset (in bytes, low 3 bits flags) of a fragment header, its lowest bit more
    /// fragments. `None` for other headers.
    pub fn fragment_word(&self) -> Option<u16> {
        (self.kind == ipproto::FRAGMENT).then(|| u16_at(self.bytes, 2))
    }

    /// A routing header that has not reached its last address.
    pub fn is_active_routing(&self) -> bool {
        self.kind == ipproto::ROUTING && u8_at(self.bytes, 3) != 0
    }
}

/// The extension headers of a packet, at most [`MAX_EXTENSIONS`]. Ends before the first header
/// that is not whole; [`Extensions::finish`] then tells whether the transport was reached.
#[derive(Debug, Clone)]
pub struct Extensions<'a> {
    payload: &'a [u8],
    offset: usize,
    next: u8,
    left: usize,
    /// A fragment that is not the first: what follows is payload, whatever the header says.
    stopped: bool,
}

impl<'a> Extensions<'a> {
    /// Walks `payload`, the bytes behind a fixed header whose next-header field is `next`.
    pub fn new(next: u8, payload: &'a [u8]) -> Self {
        Self { payload, offset: 0, next, left: MAX_EXTENSIONS, stopped: false }
    }

    /// Walks to the end: the transport's protocol and its offset from the end of the fixed
    /// header in bytes. `None` if a header is cut short or there are too many.
    pub fn finish(mut self) -> Option<(u8, usize)> {
        while self.next().is_some() {}
        (self.stopped || !is_extension(self.next)).then_some((self.next, self.offset))
    }

    /// The protocol and offset reached so far.
    #[inline]
    pub(super) fn position(&self) -> Option<(u8, usize)> {
        (self.stopped || !is_extension(self.next)).then_some((self.next, self.offset))
    }
}

impl<'a> Iterator for Extensions<'a> {
    type Item = Extension<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.stopped || self.left == 0 || !is_extension(self.next) {
            return None;
        }
        let rest = self.payload.get(self.offset..)?;
        let &[next, len, ..] = rest else { return None };
        let len = match self.next {
            ipproto::FRAGMENT => FRAGMENT_HEADER_LEN,
            // RFC 4302 counts 4-byte words less two, all others 8-byte words less one.
            ipproto::AUTHENTICATION => (usize::from(len) + 2) * 4,
            _ => (usize::from(len) + 1) * 8,
        };
        let extension = Extension { kind: self.next, offset: self.offset, bytes: rest.get(..len)? };
        self.stopped = extension.fragment_word().is_some_and(|word| word & 0xfff8 != 0);
        self.offset += len;
        self.next = next;
        self.left -= 1;
        Some(extension)
    }
}

/// A next-header value that names an extension header this walk knows the length of.
#[inline]
pub const fn is_extension(next: u8) -> bool {
    matches!(
        next,
        ipproto::HOP_BY_HOP
            | ipproto::ROUTING
            | ipproto::FRAGMENT
            | ipproto::AUTHENTICATION
            | ipproto::DESTINATION
            | ipproto::MOBILITY
            | ipproto::HIP
            | ipproto::SHIM6
    )
}
