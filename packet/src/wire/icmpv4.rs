//! ICMP for IPv4 (RFC 792; next-hop MTU by RFC 1191).

use super::{WireError, bytes::slice_mut, need, put, slice, u8_at, u16_at};
use crate::checksum::Sum;

/// Bytes before the data: type, code, checksum and four bytes by type.
pub const HEADER_LEN: usize = 8;

/// Message types.
pub mod kind {
    /// Answer to an echo request.
    pub const ECHO_REPLY: u8 = 0;
    /// Destination unreachable; the code says why.
    pub const UNREACHABLE: u8 = 3;
    /// Source quench, obsolete.
    pub const SOURCE_QUENCH: u8 = 4;
    /// A better gateway.
    pub const REDIRECT: u8 = 5;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 8;
    /// Hops or reassembly time used up.
    pub const TIME_EXCEEDED: u8 = 11;
    /// A header field is wrong.
    pub const PARAMETER_PROBLEM: u8 = 12;
    /// Time stamp request.
    pub const TIMESTAMP: u8 = 13;
    /// Time stamp reply.
    pub const TIMESTAMP_REPLY: u8 = 14;
}

/// Codes of [`kind::UNREACHABLE`].
pub mod unreachable {
    /// No route to the network.
    pub const NETWORK: u8 = 0;
    /// No way to the host.
    pub const HOST: u8 = 1;
    /// The host does not speak the protocol.
    pub const PROTOCOL: u8 = 2;
    /// Nobody listens on the port.
    pub const PORT: u8 = 3;
    /// Too big, and may not be fragmented; the MTU stands in the message.
    pub const FRAGMENTATION_NEEDED: u8 = 4;
    /// Forbidden by policy (RFC 1812).
    pub const PROHIBITED: u8 = 13;
}

mod field {
    pub(super) const KIND: usize = 0;
    pub(super) const CODE: usize = 1;
    pub(super) const CHECKSUM: usize = 2;
    pub(super) const IDENT: usize = 4;
    pub(super) const SEQUENCE: usize = 6;
    pub(super) const MTU: usize = 6;
}

/// A view of an ICMP message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// A view of `buffer`, which must end where the IP packet does.
    ///
    /// # Errors
    /// [`WireError::Truncated`] below 8 bytes.
    pub fn new_checked(buffer: T) -> Result<Self, WireError> {
        need("ICMP", HEADER_LEN, buffer.as_ref().len())?;
        Ok(Self { buffer })
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

    /// The message's checksum is right.
    pub fn verify_checksum(&self) -> bool {
        Sum::of(self.buffer.as_ref()).is_valid()
    }

    /// The identifier of an echo or time stamp message.
    pub fn ident(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::IDENT)
    }

    /// The sequence number of an echo or time stamp message.
    pub fn sequence(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::SEQUENCE)
    }

    /// The next hop's MTU in bytes, in [`unreachable::FRAGMENTATION_NEEDED`].
    pub fn mtu(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::MTU)
    }

    /// The message quotes the packet that caused it.
    pub fn is_error(&self) -> bool {
        matches!(
            self.kind(),
            kind::UNREACHABLE
                | kind::SOURCE_QUENCH
                | kind::REDIRECT
                | kind::TIME_EXCEEDED
                | kind::PARAMETER_PROBLEM
        )
    }

    /// What follows the first 8 bytes: echo data, or the quoted packet of an error.
    pub fn payload(&self) -> &[u8] {
        slice(self.buffer.as_ref(), HEADER_LEN, usize::MAX)
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
    pub fn set_mtu(&mut self, mtu: u16) {
        put(self.buffer.as_mut(), field::MTU, mtu.to_be_bytes());
    }

    /// Computes the checksum of the whole buffer and writes it.
    pub fn fill_checksum(&mut self) {
        self.set_checksum(0);
        let checksum = Sum::of(self.buffer.as_ref()).checksum();
        self.set_checksum(checksum);
    }

    /// What follows the first 8 bytes, to change in place.
    pub fn payload_mut(&mut self) -> &mut [u8] {
        slice_mut(self.buffer.as_mut(), HEADER_LEN, usize::MAX)
    }
}
