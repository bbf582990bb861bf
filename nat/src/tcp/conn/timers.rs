//! What time brings: retransmissions, questions for a window or a sign of life, giving up.

use super::{Conn, Ended, RECOVERY_RETRIES, State, Timing};
use crate::{
    config::{TcpTuning, Timeouts},
    time::Time,
};

impl Conn {
    /// When [`Conn::on_timer`] is next to be called.
    #[must_use]
    pub fn deadline(&self, timeouts: &Timeouts) -> Time {
        self.timer.min(self.quiet_until(timeouts))
    }

    /// Until when the container may be silent.
    fn quiet_until(&self, timeouts: &Timeouts) -> Time {
        match self.state {
            State::TimeWait => self.heard + timeouts.tcp_time_wait,
            State::Established if self.recv.is_finished() && self.send.is_fin_sent() => {
                self.heard + timeouts.tcp_transitory
            }
            State::Established => {
                let asked = timeouts.tcp_probe_interval.saturating_mul(self.probes.into());
                self.heard + timeouts.tcp_established + asked
            }
            State::Connecting | State::SynReceived | State::SynSent => self.heard + timeouts.tcp_transitory,
        }
    }

    /// Time has passed.
    pub fn on_timer(&mut self, now: Time, timing: Timing<'_>) -> Option<Ended> {
        if now >= self.quiet_until(timing.timeouts) {
            match self.state {
                State::TimeWait => return Some(Ended::Quietly),
                State::Established if self.probes < timing.timeouts.tcp_probes => {
                    if self.recv.is_finished() && self.send.is_fin_sent() {
                        return Some(Ended::GivenUp);
                    }
                    self.probes += 1;
                    self.want_probe = true;
                }
                _ => return Some(Ended::GivenUp),
            }
        }
        if now < self.timer {
            return None;
        }
        self.timer = Time::NEVER;
        match self.state {
            State::SynReceived | State::SynSent => {
                if self.retries >= timing.tuning.syn_retries {
                    return Some(Ended::GivenUp);
                }
                self.retries += 1;
                self.send.rtt.back_off();
                self.want_syn = true;
            }
            State::Established => return self.unanswered(now, timing.tuning),
            State::Connecting | State::TimeWait => {}
        }
        None
    }

    /// The retransmission timer has run out.
    fn unanswered(&mut self, now: Time, tuning: &TcpTuning) -> Option<Ended> {
        if self.send.in_flight() == 0 {
            // The window is too small: ask for it (RFC 9293, section 3.8.6.1).
            if !(self.readable && self.send.is_shut()) {
                return None;
            }
            if self.retries >= tuning.retries {
                return Some(Ended::GivenUp);
            }
            self.retries += 1;
            (self.want_probe, self.forced) = (true, true);
            self.send.rtt.back_off();
            self.timer = now + self.send.rtt.timeout(tuning);
            return None;
        }
        if self.send.is_recovering() && self.retries < RECOVERY_RETRIES {
            self.retries += 1;
            self.send.repeat_recovery();
            self.timer = now + self.send.rtt.probe_timeout(tuning) * (1 << self.retries);
            return None;
        }
        if self.retries == 0 && self.send.can_probe_tail() {
            self.want_tail = true;
            self.timer = now + self.send.rtt.timeout(tuning);
            return None;
        }
        if self.retries >= tuning.retries {
            return Some(Ended::GivenUp);
        }
        self.retries += 1;
        self.send.timed_out();
        self.want_probe = self.send.is_closed();
        self.timer = now + self.send.rtt.timeout(tuning);
        None
    }

    /// Sets the retransmission timer anew, after progress or for the first data under way.
    pub(super) fn arm(&mut self, now: Time, tuning: &TcpTuning) {
        let timeout = self.send.rtt.timeout(tuning);
        self.timer = if self.send.in_flight() == 0 {
            Time::NEVER
        } else if self.send.is_recovering() {
            now + timeout.min(self.send.rtt.probe_timeout(tuning) * 2)
        } else if self.send.can_probe_tail() {
            now + timeout.min(self.send.rtt.probe_timeout(tuning))
        } else {
            now + timeout
        };
    }

    /// To be called when nothing more can be sent for now: starts to ask for a window if one is
    /// needed.
    pub fn settle(&mut self, now: Time, tuning: &TcpTuning) {
        if self.state != State::Established || self.send.in_flight() > 0 {
            return;
        }
        let asks = self.readable && self.send.is_shut();
        match (asks, self.timer) {
            (true, Time::NEVER) => self.timer = now + self.send.rtt.timeout(tuning),
            (false, _) => self.timer = Time::NEVER,
            _ => {}
        }
    }
}
