//! The VXLAN header (RFC 7348, section 5).
//!
//! ```text
//! |R|R|R|R|I|R|R|R|            Reserved                           |
//! |                VXLAN Network Identifier (VNI) |   Reserved    |
//! ```

use std::{fmt, str::FromStr};

use crate::drop_reason::DropReason;

/// Bytes of the header.
pub const HEADER_LEN: usize = 8;

/// The I flag in the first byte: the VNI is valid.
const FLAG_VNI: u8 = 0x08;

/// A VXLAN network identifier: 24 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Vni(u32);

impl Vni {
    /// The highest, 2^24 - 1.
    pub const MAX: Self = Self(0x00ff_ffff);

    /// The identifier `value`. `None` if it has more than 24 bits.
    pub const fn new(value: u32) -> Option<Self> {
        if value <= Self::MAX.0 { Some(Self(value)) } else { None }
    }

    /// The identifier as a number, below 2^24.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The whole header that names this network, all reserved bits zero.
    #[inline]
    pub const fn to_header(self) -> [u8; HEADER_LEN] {
        let [_, a, b, c] = self.0.to_be_bytes();
        [FLAG_VNI, 0, 0, 0, a, b, c, 0]
    }

    /// Reads the header at the front of `datagram`, a UDP payload. Reserved bits are ignored, as
    /// RFC 7348, section 5, asks of a receiver.
    ///
    /// # Errors
    /// [`DropReason::Truncated`] below 8 bytes, [`DropReason::NoVni`] if the I flag is clear.
    #[inline]
    pub fn from_header(datagram: &[u8]) -> Result<Self, DropReason> {
        let &[flags, _, _, _, a, b, c, _] =
            datagram.first_chunk::<HEADER_LEN>().ok_or(DropReason::Truncated)?;
        if flags & FLAG_VNI == 0 {
            return Err(DropReason::NoVni);
        }
        Ok(Self(u32::from_be_bytes([0, a, b, c])))
    }
}

impl fmt::Display for Vni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Vni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vni({})", self.0)
    }
}

/// The value or text is no network identifier.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("\"{0}\" is not a VXLAN network identifier: write a number from 0 to 16777215")]
pub struct VniError(String);

impl TryFrom<u32> for Vni {
    type Error = VniError;

    fn try_from(value: u32) -> Result<Self, VniError> {
        Self::new(value).ok_or_else(|| VniError(value.to_string()))
    }
}

impl FromStr for Vni {
    type Err = VniError;

    fn from_str(text: &str) -> Result<Self, VniError> {
        // The standard parser would take a plus sign.
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let value = if digits { text.parse().ok() } else { None };
        value.and_then(Self::new).ok_or_else(|| VniError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_header_is_as_the_rfc_draws_it() {
        let vni = Vni::new(0x0012_3456).unwrap();
        assert_eq!(vni.to_header(), [8, 0, 0, 0, 0x12, 0x34, 0x56, 0]);
        assert_eq!(Vni::MAX.to_header(), [8, 0, 0, 0, 0xff, 0xff, 0xff, 0]);
    }

    #[test]
    fn headers_without_a_network_are_refused() {
        assert_eq!(Vni::from_header(&[8, 0, 0, 0, 0, 0, 1]), Err(DropReason::Truncated));
        assert_eq!(Vni::from_header(&[]), Err(DropReason::Truncated));
        assert_eq!(Vni::from_header(&[0xf7, 0, 0, 0, 0, 0, 1, 0]), Err(DropReason::NoVni));
    }

    #[test]
    fn identifiers_have_24_bits() {
        assert_eq!(Vni::new(1 << 24), None);
        assert_eq!("16777215".parse(), Ok(Vni::MAX));
        assert_eq!(Vni::try_from(42).unwrap().to_string(), "42");
        for text in ["", "16777216", "-1", "+1", " 1", "0x10", "99999999999999999999"] {
            assert!(text.parse::<Vni>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn reserved_bits_are_ignored(value in 0..1u32 << 24, noise in any::<[u8; 8]>(), tail in any::<u8>()) {
            let vni = Vni::new(value).unwrap();
            let mut bytes = vni.to_header().to_vec();
            prop_assert_eq!(Vni::from_header(&bytes), Ok(vni));
            for i in [0, 1, 2, 3, 7] {
                bytes[i] |= noise[i];
            }
            bytes.push(tail);
            prop_assert_eq!(Vni::from_header(&bytes), Ok(vni));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            match Vni::from_header(&bytes) {
                Ok(vni) => {
                    prop_assert!(vni <= Vni::MAX);
                    prop_assert_eq!(&vni.to_header()[4..7], &bytes[4..7]);
                }
                Err(reason) => prop_assert_eq!(reason == DropReason::Truncated, bytes.len() < HEADER_LEN),
            }
        }
    }
}
