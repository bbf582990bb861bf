//! Which ports are to be had, one bit a port, so that a nearly full pool is searched quickly.

use super::Tier;

const WORDS: usize = 1024;
/// Bit 0 of a word is an even port.
const EVEN: u64 = 0x5555_5555_5555_5555;

/// A set of ports.
#[derive(Debug)]
pub(super) struct Bitmap(Box<[u64]>);

impl Default for Bitmap {
    fn default() -> Self {
        Self(vec![0; WORDS].into_boxed_slice())
    }
}

impl Bitmap {
    pub(super) fn insert(&mut self, port: u16) {
        self.0[usize::from(port / 64)] |= bit(port);
    }

    pub(super) fn remove(&mut self, port: u16) {
        self.0[usize::from(port / 64)] &= !bit(port);
    }

    /// The first port of `tier` that is not in the set, from the wanted one upwards and then from
    /// the lowest.
    pub(super) fn first_missing(&self, tier: &Tier) -> Option<u16> {
        let (low, high) = (*tier.ports.start(), *tier.ports.end());
        let from = if tier.ports.contains(&tier.wanted) { tier.wanted } else { low };
        let parity = match tier.odd {
            None => u64::MAX,
            Some(false) => EVEN,
            Some(true) => !EVEN,
        };
        self.scan(from, high, parity).or_else(|| self.scan(low, from, parity))
    }

    fn scan(&self, low: u16, high: u16, mask: u64) -> Option<u16> {
        (low / 64..=high / 64).find_map(|word| {
            let mut missing = !self.0[usize::from(word)] & mask;
            if word == low / 64 {
                missing &= u64::MAX << (low % 64);
            }
            if word == high / 64 {
                missing &= u64::MAX >> (63 - high % 64);
            }
            (missing != 0).then(|| word * 64 + missing.trailing_zeros() as u16)
        })
    }
}

#[cfg(test)]
impl Bitmap {
    pub(super) fn contains(&self, port: u16) -> bool {
        self.0[usize::from(port / 64)] & bit(port) != 0
    }

    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }
}

const fn bit(port: u16) -> u64 {
    1 << (port % 64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_search_finds_what_a_walk_finds(
            ends in (any::<u16>(), any::<u16>()),
            width in 0..300u16,
            odd in prop::option::of(any::<bool>()),
            holes in prop::collection::btree_set(0..300u16, 0..5),
        ) {
            let (low, wanted) = ends;
            let high = low.saturating_add(width);
            let wanted = low.saturating_add(wanted % 400);
            let tier = Tier { ports: low..=high, odd, wanted };
            let holes: BTreeSet<u16> = holes.iter().filter_map(|hole| low.checked_add(*hole)).collect();
            let mut taken = Bitmap(vec![u64::MAX; WORDS].into_boxed_slice());
            for hole in &holes {
                taken.remove(*hole);
                prop_assert!(!taken.contains(*hole));
            }
            let from = if wanted <= high { wanted } else { low };
            let walk = (from..=high).chain(low..from).find(|port| holes.contains(port) && tier.contains(*port));
            prop_assert_eq!(taken.first_missing(&tier), walk);
        }
    }
}
