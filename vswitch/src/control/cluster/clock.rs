//! Time that only goes forward.

use std::time::Duration;

/// A clock that nobody sets.
pub trait Clock: Send + Sync {
    /// Time since some moment.
    fn now(&self) -> Duration;
}

/// The kernel's `CLOCK_BOOTTIME`: it is not set with the wall clock, and goes on while the machine is
/// suspended, as a lease does.
#[derive(Clone, Copy, Debug, Default)]
pub struct Boottime;

impl Clock for Boottime {
    fn now(&self) -> Duration {
        // The clock is there since Linux 2.6.39: it cannot fail.
        nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
    }
}

/// Spreads what many nodes would do at once: splitmix64 (Steele, Lea, Flood, 2014).
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `end`; 0 of 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.roll().checked_rem(end).unwrap_or(0)
    }

    /// Between half of it and all.
    pub(super) fn about(&mut self, time: Duration) -> Duration {
        let half = time / 2;
        half + Duration::from_millis(self.below(u64::try_from(half.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// Waiting times between attempts: each twice as long as the one before.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    pub(super) fn new(longest: Duration) -> Self {
        Self { next: Self::first(longest), longest }
    }

    fn first(longest: Duration) -> Duration {
        Duration::from_millis(100).min(longest)
    }

    pub(super) fn next(&mut self, dice: &mut Dice) -> Duration {
        let now = self.next;
        self.next = (now * 2).min(self.longest);
        dice.about(now)
    }

    pub(super) fn reset(&mut self) {
        self.next = Self::first(self.longest);
    }
}
