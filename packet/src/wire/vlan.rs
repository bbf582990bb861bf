//! VLAN tags: 802.1Q, and 802.1ad where two of them stack (IEEE 802.1Q, clause 9).

use super::{WireError, need, put, slice, u16_at};

/// Bytes a tag adds to a frame.
pub const TAG_LEN: usize = 4;

/// Tags that [`super::Headers`] walks over; a frame with more has no readable layer 3.
pub const MAX_TAGS: usize = 2;

/// The twelve bits of a VLAN identifier in a TCI.
pub const VID_MASK: u16 = 0x0fff;

mod field {
    pub(super) const TCI: usize = 0;
    pub(super) const ETHERTYPE: usize = 2;
}

/// A view of a tag, from its TCI on: the two bytes before are the EtherType that announced it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Tag<T> {
    /// A view of `buffer`, which begins with the tag control information.
    ///
    /// # Errors
    /// [`WireError::Truncated`] below 4 bytes.
    pub fn new_checked(buffer: T) -> Result<Self, WireError> {
        need("VLAN tag", TAG_LEN, buffer.as_ref().len())?;
        Ok(Self { buffer })
    }

    /// Priority, drop eligibility and VLAN identifier as they lie on the wire.
    pub fn tci(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::TCI)
    }

    /// The VLAN identifier, 0 to 4095; 0 is a priority tag without a VLAN.
    pub fn vid(&self) -> u16 {
        self.tci() & VID_MASK
    }

    /// The priority code point, 0 to 7.
    pub fn priority(&self) -> u8 {
        self.tci().to_be_bytes()[0] >> 5
    }

    /// The drop eligible indicator.
    pub fn drop_eligible(&self) -> bool {
        self.tci() & 0x1000 != 0
    }

    /// The type of what follows the tag.
    pub fn ethertype(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::ETHERTYPE)
    }

    /// Everything after the tag.
    pub fn payload(&self) -> &[u8] {
        slice(self.buffer.as_ref(), TAG_LEN, usize::MAX)
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Tag<T> {
    /// Sets priority, drop eligibility and VLAN identifier at once.
    pub fn set_tci(&mut self, tci: u16) {
        put(self.buffer.as_mut(), field::TCI, tci.to_be_bytes());
    }

    /// Sets the VLAN identifier (its low 12 bits) and keeps the priority.
    pub fn set_vid(&mut self, vid: u16) {
        let tci = (self.tci() & !VID_MASK) | (vid & VID_MASK);
        self.set_tci(tci);
    }

    /// Sets the type of what follows.
    pub fn set_ethertype(&mut self, ethertype: u16) {
        put(self.buffer.as_mut(), field::ETHERTYPE, ethertype.to_be_bytes());
    }
}
