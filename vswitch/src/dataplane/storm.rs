//! Storm control: a ceiling on the frames a port may make the whole network receive.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// A token bucket in frames. It holds at most one second's worth. Off (and free) by default.
#[derive(Default)]
pub struct Limit {
    per_second: AtomicU32,
    /// Thousandths of tokens in bits 32..64, so that a millisecond's share is never rounded;
    /// milliseconds of the last refill in 0..32.
    state: AtomicU64,
}

impl Limit {
    /// Frames a second; 0 lifts the limit.
    pub fn set(&self, per_second: u32) {
        self.state.store(u64::from(full(per_second)) << 32, Relaxed);
        self.per_second.store(per_second, Relaxed);
    }

    /// The limit in frames a second; 0 when there is none.
    pub fn get(&self) -> u32 {
        self.per_second.load(Relaxed)
    }

    /// Takes one token; false when there is none left. `now_ms` may wrap.
    pub fn allow(&self, now_ms: u32) -> bool {
        let rate = self.per_second.load(Relaxed);
        if rate == 0 {
            return true;
        }
        let mut allowed = false;
        let _ = self.state.fetch_update(Relaxed, Relaxed, |state| {
            let (tokens, last) = ((state >> 32) as u32, state as u32);
            // A clock that a slower worker read a moment earlier is no refill.
            let elapsed = now_ms.wrapping_sub(last);
            let (elapsed, last) =
                if elapsed > u32::MAX / 2 { (0, last) } else { (elapsed.min(1000), now_ms) };
            let earned = u64::from(elapsed) * u64::from(rate);
            let tokens = (u64::from(tokens) + earned).min(u64::from(full(rate))) as u32;
            allowed = tokens >= TOKEN;
            Some(u64::from(if allowed { tokens - TOKEN } else { tokens }) << 32 | u64::from(last))
        });
        allowed
    }
}

const TOKEN: u32 = 1000;

/// A second's worth; above four million frames a little less.
fn full(per_second: u32) -> u32 {
    per_second.saturating_mul(TOKEN)
}

/// The limits of one port.
#[derive(Default)]
pub struct StormControl {
    /// Broadcast and multicast frames.
    pub broadcast: Limit,
    /// Frames for addresses the table does not know.
    pub unknown_unicast: Limit,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_limit_everything_passes() {
        let limit = Limit::default();
        assert!((0..100_000).all(|_| limit.allow(0)));
    }

    #[test]
    fn a_second_gives_a_second_of_frames() {
        let limit = Limit::default();
        limit.set(100);
        assert_eq!((0..1000).filter(|_| limit.allow(5)).count(), 100);
        assert_eq!((0..1000).filter(|_| limit.allow(505)).count(), 50);
        let over_a_second = (505..=1505).flat_map(|ms| [ms; 3]).filter(|&ms| limit.allow(ms)).count();
        assert_eq!(over_a_second, 100);
        assert!(!limit.allow(1400), "a clock that went back earns nothing");
    }

    #[test]
    fn a_clock_of_few_ticks_loses_nothing() {
        // Frames at every tick of a clock with 250 a second, more than are allowed.
        for rate in [300, 499, 1999] {
            let limit = Limit::default();
            limit.set(rate);
            while limit.allow(0) {}
            let passed = (4..=10_000u32).step_by(4).flat_map(|ms| [ms; 20]).filter(|&ms| limit.allow(ms));
            assert_eq!(passed.count(), rate as usize * 10, "{rate}");
        }
    }

    #[test]
    fn a_slow_rate_still_earns() {
        let limit = Limit::default();
        limit.set(1);
        assert!(limit.allow(0));
        assert_eq!((1..=3000).filter(|&ms| limit.allow(ms)).count(), 3);
    }
}
