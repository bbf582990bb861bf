//! TCP (RFC 9293).

use super::{WireError, bytes::slice_mut, need, put, slice, u8_at, u16_at, u32_at};

/// Bytes of a header without options.
pub const HEADER_LEN: usize = 20;
/// Bytes of the longest header.
pub const MAX_HEADER_LEN: usize = 60;

/// The control bits, as in the byte that holds them.
pub mod flags {
    /// No more data.
    pub const FIN: u8 = 0x01;
    /// Synchronize sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// Push.
    pub const PSH: u8 = 0x08;
    /// The acknowledgment field counts.
    pub const ACK: u8 = 0x10;
    /// The urgent pointer counts.
    pub const URG: u8 = 0x20;
    /// ECN echo, RFC 3168.
    pub const ECE: u8 = 0x40;
    /// Congestion window reduced, RFC 3168.
    pub const CWR: u8 = 0x80;
}

/// Kinds of options (IANA).
pub mod option {
    /// No operation.
    pub const NOP: u8 = 1;
    /// Maximum segment size, RFC 9293; 2 bytes.
    pub const MSS: u8 = 2;
    /// Window scale, RFC 7323; 1 byte.
    pub const WINDOW_SCALE: u8 = 3;
    /// Selective acknowledgments permitted, RFC 2018; no data.
    pub const SACK_PERMITTED: u8 = 4;
    /// Selective acknowledgments, RFC 2018; 8 bytes a block.
    pub const SACK: u8 = 5;
    /// Time stamps, RFC 7323; 8 bytes.
    pub const TIMESTAMPS: u8 = 8;
}

pub(crate) mod field {
    pub(crate) const SOURCE: usize = 0;
    pub(crate) const DESTINATION: usize = 2;
    pub(crate) const SEQUENCE: usize = 4;
    pub(crate) const ACKNOWLEDGMENT: usize = 8;
    pub(crate) const DATA_OFFSET: usize = 12;
    pub(crate) const FLAGS: usize = 13;
    pub(crate) const WINDOW: usize = 14;
    pub(crate) const CHECKSUM: usize = 16;
    pub(crate) const URGENT: usize = 18;
}

/// A view of a TCP segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// A view of `buffer`, which must end where the IP packet does.
    ///
    /// # Errors
    /// [`WireError`] if the header is not whole or its length is below 20 bytes.
    pub fn new_checked(buffer: T) -> Result<Self, WireError> {
        need("TCP", HEADER_LEN, buffer.as_ref().len())?;
        let packet = Self { buffer };
        let header = packet.header_len();
        if header < HEADER_LEN {
            return Err(WireError::Length { protocol: "TCP", length: header });
        }
        need("TCP", header, packet.buffer.as_ref().len())?;
        Ok(packet)
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

    /// The sequence number of the first payload byte (of SYN, if set).
    pub fn sequence(&self) -> u32 {
        u32_at(self.buffer.as_ref(), field::SEQUENCE)
    }

    /// The next sequence number expected from the other side.
    pub fn acknowledgment(&self) -> u32 {
        u32_at(self.buffer.as_ref(), field::ACKNOWLEDGMENT)
    }

    /// Bytes of the header with its options, 20 to 60.
    pub fn header_len(&self) -> usize {
        usize::from(u8_at(self.buffer.as_ref(), field::DATA_OFFSET) >> 4) * 4
    }

    /// The control bits, see [`flags`].
    pub fn flags(&self) -> u8 {
        u8_at(self.buffer.as_ref(), field::FLAGS)
    }

    /// All of `bits` are set.
    pub fn has_flags(&self, bits: u8) -> bool {
        self.flags() & bits == bits
    }

    /// The window as it stands there, not scaled.
    pub fn window(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::WINDOW)
    }

    /// The checksum field.
    pub fn checksum(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::CHECKSUM)
    }

    /// The urgent pointer.
    pub fn urgent(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::URGENT)
    }

    /// The options, one after the other.
    pub fn options(&self) -> Options<'_> {
        Options { rest: slice(self.buffer.as_ref(), HEADER_LEN, self.header_len()) }
    }

    /// The maximum segment size the sender takes, in bytes, if it says.
    pub fn mss(&self) -> Option<u16> {
        self.options().find(|o| o.kind == option::MSS && o.data.len() == 2).map(|o| u16_at(o.data, 0))
    }

    /// The data.
    pub fn payload(&self) -> &[u8] {
        slice(self.buffer.as_ref(), self.header_len(), usize::MAX)
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Makes `buffer` a TCP segment without options: all fields zero, the payload as it was.
    ///
    /// # Errors
    /// [`WireError::Truncated`] below 20 bytes.
    pub fn new_written(mut buffer: T) -> Result<Self, WireError> {
        need("TCP", HEADER_LEN, buffer.as_ref().len())?;
        let b = buffer.as_mut();
        put(b, 0, [0; HEADER_LEN]);
        put(b, field::DATA_OFFSET, [0x50]);
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

    /// Sets the sequence number.
    pub fn set_sequence(&mut self, sequence: u32) {
        put(self.buffer.as_mut(), field::SEQUENCE, sequence.to_be_bytes());
    }

    /// Sets the acknowledgment number.
    pub fn set_acknowledgment(&mut self, acknowledgment: u32) {
        put(self.buffer.as_mut(), field::ACKNOWLEDGMENT, acknowledgment.to_be_bytes());
    }

    /// Sets the header's length in bytes, a multiple of 4 from 20 to 60; other values are
    /// rounded down and kept within 60.
    pub fn set_header_len(&mut self, len: u8) {
        let low = u8_at(self.buffer.as_ref(), field::DATA_OFFSET) & 0x0f;
        put(self.buffer.as_mut(), field::DATA_OFFSET, [((len.min(60) / 4) << 4) | low]);
    }

    /// Sets the control bits.
    pub fn set_flags(&mut self, flags: u8) {
        put(self.buffer.as_mut(), field::FLAGS, [flags]);
    }

    /// Sets the window, not scaled.
    pub fn set_window(&mut self, window: u16) {
        put(self.buffer.as_mut(), field::WINDOW, window.to_be_bytes());
    }

    /// Sets the checksum field.
    pub fn set_checksum(&mut self, checksum: u16) {
        put(self.buffer.as_mut(), field::CHECKSUM, checksum.to_be_bytes());
    }

    /// Sets the urgent pointer.
    pub fn set_urgent(&mut self, urgent: u16) {
        put(self.buffer.as_mut(), field::URGENT, urgent.to_be_bytes());
    }

    /// The bytes of the options, to change in place.
    pub fn options_mut(&mut self) -> &mut [u8] {
        let to = self.header_len();
        slice_mut(self.buffer.as_mut(), HEADER_LEN, to)
    }

    /// The data, to change in place.
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let from = self.header_len();
        slice_mut(self.buffer.as_mut(), from, usize::MAX)
    }
}

/// One option of a TCP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpOption<'a> {
    /// Which one, see [`option`].
    pub kind: u8,
    /// Its data, without kind and length.
    pub data: &'a [u8],
}

/// The options of a header. Ends at End of Options and at the first malformed one.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Options<'a> {
    type Item = TcpOption<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let (kind, data, rest) = super::bytes::next_option(self.rest)?;
        self.rest = rest;
        Some(TcpOption { kind, data })
    }
}
