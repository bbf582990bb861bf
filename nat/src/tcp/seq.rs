//! Sequence numbers (RFC 9293, section 3.4).

use std::{
    cmp::Ordering,
    ops::{Add, AddAssign, Sub},
};

/// A sequence number. Ordered modulo 2^32: of two that are less than 2^31 apart, the one that
/// comes first is less.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub struct Seq(pub u32);

impl Seq {
    /// Bytes from `earlier` to here, modulo 2^32.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// Bytes from `earlier` to here; 0 if it is later.
    #[must_use]
    pub fn after(self, earlier: Self) -> u32 {
        if self > earlier { self.since(earlier) } else { 0 }
    }

    /// The later of two.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        if other > self { other } else { self }
    }

    /// The earlier of two.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        if other < self { other } else { self }
    }
}

impl PartialOrd for Seq {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.0.wrapping_sub(other.0).cast_signed().cmp(&0))
    }
}

impl Add<u32> for Seq {
    type Output = Self;

    fn add(self, bytes: u32) -> Self {
        Self(self.0.wrapping_add(bytes))
    }
}

impl AddAssign<u32> for Seq {
    fn add_assign(&mut self, bytes: u32) {
        *self = *self + bytes;
    }
}

impl Sub<u32> for Seq {
    type Output = Self;

    fn sub(self, bytes: u32) -> Self {
        Self(self.0.wrapping_sub(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_ordered_across_the_wrap() {
        let (before, behind) = (Seq(u32::MAX - 5), Seq(10));
        assert!(before < behind);
        assert!(behind > before);
        assert_eq!(behind.since(before), 16);
        assert_eq!((behind.after(before), before.after(behind)), (16, 0));
        assert_eq!((before.max(behind), before.min(behind)), (behind, before));
        assert_eq!(before + 16, behind);
        assert_eq!(behind - 16, before);
    }
}
