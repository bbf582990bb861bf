//! Ethernet II and 802.3 frames (IEEE 802.3, clause 3).

use super::{WireError, array_at, bytes::slice_mut, need, put, slice, u16_at};
use crate::mac::MacAddr;

/// Bytes of an Ethernet header without tags.
pub const HEADER_LEN: usize = 14;

mod field {
    pub(super) const DESTINATION: usize = 0;
    pub(super) const SOURCE: usize = 6;
    pub(super) const ETHERTYPE: usize = 12;
}

/// A view of an Ethernet frame, without its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Frame<T> {
    /// A view of `buffer`, which must hold a whole header.
    ///
    /// # Errors
    /// [`WireError::Truncated`] below 14 bytes.
    pub fn new_checked(buffer: T) -> Result<Self, WireError> {
        need("Ethernet", HEADER_LEN, buffer.as_ref().len())?;
        Ok(Self { buffer })
    }

    /// The wrapped buffer.
    pub fn into_inner(self) -> T {
        self.buffer
    }

    /// Whom the frame is for.
    pub fn destination(&self) -> MacAddr {
        MacAddr(array_at(self.buffer.as_ref(), field::DESTINATION))
    }

    /// Who sent it.
    pub fn source(&self) -> MacAddr {
        MacAddr(array_at(self.buffer.as_ref(), field::SOURCE))
    }

    /// The type of what follows; below 0x0600 it is the length of an 802.3 frame in bytes.
    pub fn ethertype(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::ETHERTYPE)
    }

    /// Everything after the type: a VLAN tag or the packet.
    pub fn payload(&self) -> &[u8] {
        slice(self.buffer.as_ref(), HEADER_LEN, usize::MAX)
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Frame<T> {
    /// Sets the destination address.
    pub fn set_destination(&mut self, mac: MacAddr) {
        put(self.buffer.as_mut(), field::DESTINATION, mac.0);
    }

    /// Sets the source address.
    pub fn set_source(&mut self, mac: MacAddr) {
        put(self.buffer.as_mut(), field::SOURCE, mac.0);
    }

    /// Sets the type.
    pub fn set_ethertype(&mut self, ethertype: u16) {
        put(self.buffer.as_mut(), field::ETHERTYPE, ethertype.to_be_bytes());
    }

    /// The payload, to change in place.
    pub fn payload_mut(&mut self) -> &mut [u8] {
        slice_mut(self.buffer.as_mut(), HEADER_LEN, usize::MAX)
    }
}
