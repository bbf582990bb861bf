//! UDP (RFC 768; zero checksums over IPv6 by RFC 6935).

use super::{WireError, bytes::slice_mut, need, put, slice, u16_at};

/// Bytes of the header.
pub const HEADER_LEN: usize = 8;

pub(crate) mod field {
    pub(crate) const SOURCE: usize = 0;
    pub(crate) const DESTINATION: usize = 2;
    pub(crate) const LEN: usize = 4;
    pub(crate) const CHECKSUM: usize = 6;
}

/// A view of a UDP datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// A view of `buffer`, which may be longer than the datagram.
    ///
    /// # Errors
    /// [`WireError`] if the length field is below 8 or beyond the bytes there are.
    pub fn new_checked(buffer: T) -> Result<Self, WireError> {
        let packet = Self::new_truncated(buffer)?;
        if packet.datagram_len() < HEADER_LEN {
            return Err(WireError::Length { protocol: "UDP", length: packet.datagram_len() });
        }
        need("UDP", packet.datagram_len(), packet.buffer.as_ref().len())?;
        Ok(packet)
    }

    /// A view of a datagram that may end anywhere behind its header, as ICMP errors quote it.
    ///
    /// # Errors
    /// [`WireError::Truncated`] below 8 bytes.
    pub fn new_truncated(buffer: T) -> Result<Self, WireError> {
        need("UDP", HEADER_LEN, buffer.as_ref().len())?;
        Ok(Self { buffer })
    }

    /// The wrapped buffer.
    pub fn into_inner(self) -> T {
        self.buffer
    }

    /// The source port.
    pub fn source_port(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::SOURCE)
    }

    /// The destination port.
    pub fn destination_port(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::DESTINATION)
    }

    /// Bytes of the datagram, header included, as its length field says.
    pub fn datagram_len(&self) -> usize {
        usize::from(u16_at(self.buffer.as_ref(), field::LEN))
    }

    /// The checksum field; 0 means there is none.
    pub fn checksum(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::CHECKSUM)
    }

    /// The data.
    pub fn payload(&self) -> &[u8] {
        slice(self.buffer.as_ref(), HEADER_LEN, self.datagram_len())
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Makes `buffer` a UDP datagram as long as the buffer, 65,535 bytes at most: ports and
    /// checksum zero, the payload as it was.
    ///
    /// # Errors
    /// [`WireError::Truncated`] below 8 bytes.
    pub fn new_written(mut buffer: T) -> Result<Self, WireError> {
        need("UDP", HEADER_LEN, buffer.as_ref().len())?;
        let b = buffer.as_mut();
        let len = u16::try_from(b.len()).unwrap_or(u16::MAX);
        put(b, 0, [0; HEADER_LEN]);
        put(b, field::LEN, len.to_be_bytes());
        Ok(Self { buffer })
    }

    /// Sets the source port.
    pub fn set_source_port(&mut self, port: u16) {
        put(self.buffer.as_mut(), field::SOURCE, port.to_be_bytes());
    }

    /// Sets the destination port.
    pub fn set_destination_port(&mut self, port: u16) {
        put(self.buffer.as_mut(), field::DESTINATION, port.to_be_bytes());
    }

    /// Sets the length field, header included.
    pub fn set_datagram_len(&mut self, len: u16) {
        put(self.buffer.as_mut(), field::LEN, len.to_be_bytes());
    }

    /// Sets the checksum field.
    pub fn set_checksum(&mut self, checksum: u16) {
        put(self.buffer.as_mut(), field::CHECKSUM, checksum.to_be_bytes());
    }

    /// The data, to change in place.
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let to = self.datagram_len();
        slice_mut(self.buffer.as_mut(), HEADER_LEN, to)
    }
}
