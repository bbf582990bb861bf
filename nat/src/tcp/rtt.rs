//! How long to wait for an acknowledgment (RFC 6298).

use std::time::Duration;

use super::seq::Seq;
use crate::{config::TcpTuning, time::Time};

/// What is known of the round trip, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rtt {
    smoothed: u32,
    variation: u32,
    measured: bool,
    /// Times the timeout was doubled since the last new acknowledgment.
    backoff: u8,
    /// What is being timed: the acknowledgment that ends it, and when it began.
    sample: Option<(Seq, Time)>,
}

impl Rtt {
    /// Times the acknowledgment of `end`, unless another is being timed.
    pub fn begin(&mut self, end: Seq, now: Time) {
        if self.sample.is_none() {
            self.sample = Some((end, now));
        }
    }

    /// Something was sent again: whose acknowledgment comes next cannot be told (Karn's algorithm,
    /// RFC 6298, section 3).
    pub fn spoil(&mut self) {
        self.sample = None;
    }

    /// Everything before `ack` was acknowledged anew.
    pub fn acknowledged(&mut self, ack: Seq, now: Time) {
        self.backoff = 0;
        if let Some((end, since)) = self.sample
            && ack >= end
        {
            self.sample = None;
            self.measure(u32::try_from(now.since(since).as_micros()).unwrap_or(u32::MAX));
        }
    }

    fn measure(&mut self, micros: u32) {
        if self.measured {
            let difference = self.smoothed.abs_diff(micros);
            self.variation = self.variation - self.variation / 4 + difference / 4;
            self.smoothed = self.smoothed - self.smoothed / 8 + micros / 8;
        } else {
            (self.smoothed, self.variation, self.measured) = (micros, micros / 2, true);
        }
    }

    /// The timeout was too short, or the path does not work.
    pub fn back_off(&mut self) {
        self.backoff = self.backoff.saturating_add(1);
        self.spoil();
    }

    /// The retransmission timeout.
    #[must_use]
    pub fn timeout(&self, tuning: &TcpTuning) -> Duration {
        let base = if self.measured { self.estimate().max(tuning.rto_min) } else { tuning.rto_initial };
        base.saturating_mul(1 << self.backoff.min(16)).min(tuning.rto_max)
    }

    /// When an answer that is not delayed on purpose should be there: for probes, which may be
    /// wrong without harm.
    #[must_use]
    pub fn probe_timeout(&self, tuning: &TcpTuning) -> Duration {
        let least = Duration::from_millis(10);
        if self.measured { self.estimate().max(least) } else { tuning.rto_initial }
    }

    fn estimate(&self) -> Duration {
        let variation = self.variation.saturating_mul(4).max(1000);
        Duration::from_micros(u64::from(self.smoothed) + u64::from(variation))
    }

    /// The smoothed round trip, if one was measured.
    #[must_use]
    pub fn smoothed(&self) -> Option<Duration> {
        self.measured.then(|| Duration::from_micros(self.smoothed.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TUNING: fn() -> TcpTuning = TcpTuning::default;

    fn measure(rtt: &mut Rtt, micros: u64) {
        rtt.begin(Seq(1), Time::ZERO);
        rtt.acknowledged(Seq(1), Time::from_micros(micros));
    }

    #[test]
    fn rfc6298_the_timeout_follows_the_round_trip_and_its_variation() {
        let mut rtt = Rtt::default();
        assert_eq!(rtt.timeout(&TUNING()), Duration::from_secs(1));
        measure(&mut rtt, 400_000);
        assert_eq!(rtt.timeout(&TUNING()), Duration::from_millis(1200));
        for _ in 0..100 {
            measure(&mut rtt, 400_000);
        }
        assert!(rtt.timeout(&TUNING()) < Duration::from_millis(410));
        for _ in 0..100 {
            measure(&mut rtt, 100);
        }
        assert_eq!(rtt.timeout(&TUNING()), TUNING().rto_min);
    }

    #[test]
    fn rfc6298_the_timeout_doubles_until_something_new_is_acknowledged() {
        let mut rtt = Rtt::default();
        measure(&mut rtt, 100_000);
        let first = rtt.timeout(&TUNING());
        rtt.back_off();
        assert_eq!(rtt.timeout(&TUNING()), first * 2);
        for _ in 0..100 {
            rtt.back_off();
        }
        assert_eq!(rtt.timeout(&TUNING()), TUNING().rto_max);
        rtt.acknowledged(Seq(9), Time::ZERO);
        assert_eq!(rtt.timeout(&TUNING()), first);
    }

    #[test]
    fn rfc6298_what_was_sent_twice_is_not_measured() {
        let mut rtt = Rtt::default();
        rtt.begin(Seq(1), Time::ZERO);
        rtt.spoil();
        rtt.acknowledged(Seq(1), Time::from_micros(5_000_000));
        assert_eq!(rtt.smoothed(), None);
    }
}
