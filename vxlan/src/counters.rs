//! Counters by reason, for what leaves the fast path.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// Something that is counted by name. Implemented by the reasons why datagrams are dropped.
pub trait Reason: Copy + 'static {
    /// Every reason, in the order of their numbers.
    const ALL: &'static [Self];

    /// The place in [`Reason::ALL`].
    fn number(self) -> usize;

    /// The name that counters show.
    fn name(self) -> &'static str;
}

/// One counter for every reason. Any thread may count; readers see a value a moment old.
pub struct Counters<R: 'static> {
    counts: Box<[AtomicU64]>,
    reasons: &'static [R],
}

impl<R: Reason> Default for Counters<R> {
    fn default() -> Self {
        Self { counts: R::ALL.iter().map(|_| AtomicU64::new(0)).collect(), reasons: R::ALL }
    }
}

impl<R: Reason> fmt::Debug for Counters<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.named()).finish()
    }
}

impl<R: Reason> Counters<R> {
    /// Counts `n` more under `reason`.
    pub fn add(&self, reason: R, n: u64) {
        if let Some(count) = self.counts.get(reason.number()) {
            count.fetch_add(n, Relaxed);
        }
    }

    /// What was counted under `reason`.
    pub fn get(&self, reason: R) -> u64 {
        self.counts.get(reason.number()).map_or(0, |count| count.load(Relaxed))
    }

    /// The sum of all.
    pub fn total(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Relaxed)).sum()
    }

    /// Reasons that were counted at least once, with their numbers.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.reasons.iter().map(|&reason| (reason.name(), self.get(reason))).filter(|&(_, n)| n > 0)
    }
}
