//! How a connection is opened, from either side or from both at once.

use packet::wire::tcp::flags;

use super::{Conn, DEFAULT_MSS, Ended, MIN_MSS, NOTHING, Outcome, State, Timing};
use crate::{
    config::TcpTuning,
    counters::Reason,
    tcp::{
        header::{Header, SynOptions},
        recv::Receiver,
        segment::Segment,
        send::Sender,
        seq::Seq,
    },
    time::Time,
};

impl Conn {
    /// The outside is connected: the container's SYN is answered.
    pub fn connected(&mut self, now: Time) {
        if self.state == State::Connecting {
            self.state = State::SynReceived;
            (self.want_syn, self.heard) = (true, now);
        }
    }

    pub(super) fn take_syn(&mut self, syn: &Segment, tuning: &TcpTuning) {
        let mss = syn.mss.unwrap_or(DEFAULT_MSS).clamp(MIN_MSS, self.mss);
        self.scaled = syn.scale.is_some();
        self.sack = syn.sack_permitted;
        let scale = self.scaled.then(|| Receiver::scale_for(tuning));
        self.recv = Receiver::new(syn.seq + 1, scale, tuning);
        let most = if tuning.peek_from_start { tuning.peeked_in_flight } else { u32::MAX };
        let scale = syn.scale.unwrap_or(0);
        self.send = Sender::new(self.isn + 1, mss, scale, self.sack, self.send.rtt).at_most(most);
        self.send.set_window(syn, false);
    }

    pub(super) fn while_connecting(&mut self, segment: &Segment, tuning: &TcpTuning) -> Outcome {
        if segment.has(flags::RST) {
            let ours = segment.seq == self.recv.nxt();
            return Outcome { ended: ours.then_some(Ended::ByInside), ..NOTHING };
        }
        // The same SYN again, or that of another attempt.
        if segment.flags & (flags::SYN | flags::ACK) == flags::SYN {
            self.take_syn(segment, tuning);
            return NOTHING;
        }
        Outcome { dropped: Some(Reason::OutOfWindow), ..NOTHING }
    }

    pub(super) fn after_syn(&mut self, segment: &Segment, now: Time, timing: Timing<'_>) -> Outcome {
        if segment.has(flags::SYN) && !segment.has(flags::RST) && segment.seq + 1 == self.recv.nxt() {
            if !segment.has(flags::ACK) {
                // Our answer was lost, or is on its way.
                self.want_syn = true;
                return NOTHING;
            }
            // The other half of a simultaneous open.
            if segment.ack == self.isn + 1 {
                self.establish(segment, now, false);
                self.want_ack = true;
                return NOTHING;
            }
        }
        if segment.has(flags::ACK) && !segment.has(flags::RST) {
            if segment.ack != self.isn + 1 {
                return Outcome { reset: true, dropped: Some(Reason::OutOfWindow), ..NOTHING };
            }
            if self.recv.is_acceptable(segment.seq, segment.seq + segment.sequence_len())
                && !segment.has(flags::SYN)
            {
                self.establish(segment, now, self.scaled);
            }
        }
        self.established(segment, now, timing)
    }

    pub(super) fn answer_to_syn(&mut self, segment: &Segment, now: Time, timing: Timing<'_>) -> Outcome {
        let acknowledged = segment.has(flags::ACK);
        if acknowledged && segment.ack != self.isn + 1 {
            return Outcome {
                reset: !segment.has(flags::RST),
                dropped: Some(Reason::OutOfWindow),
                ..NOTHING
            };
        }
        if segment.has(flags::RST) {
            return Outcome { ended: acknowledged.then_some(Ended::ByInside), ..NOTHING };
        }
        if !segment.has(flags::SYN) {
            return Outcome { dropped: Some(Reason::OutOfWindow), ..NOTHING };
        }
        if acknowledged {
            self.send.rtt.acknowledged(segment.ack, now);
        }
        self.take_syn(segment, timing.tuning);
        if acknowledged {
            self.establish(segment, now, false);
            self.want_ack = true;
        } else {
            // Simultaneous open (RFC 9293, section 3.5, figure 8).
            self.state = State::SynReceived;
            (self.want_syn, self.heard) = (true, now);
        }
        NOTHING
    }

    fn establish(&mut self, segment: &Segment, now: Time, scaled: bool) {
        self.send.rtt.acknowledged(segment.ack, now);
        self.send.set_window(segment, scaled);
        self.state = State::Established;
        (self.want_syn, self.readable) = (false, true);
        (self.retries, self.timer, self.heard) = (0, Time::NEVER, now);
    }

    pub(super) fn syn(&mut self, now: Time, tuning: &TcpTuning) -> Header {
        self.send.rtt.begin(self.isn + 1, now);
        if self.retries > 0 {
            self.send.rtt.spoil();
        }
        if self.timer == Time::NEVER {
            self.timer = now + self.send.rtt.timeout(tuning);
        }
        let scale = self.scaled.then(|| Receiver::scale_for(tuning));
        let (ack, bits, window) = match self.state {
            State::SynSent => (Seq(0), flags::SYN, u16::MAX),
            _ => (self.recv.nxt(), flags::SYN | flags::ACK, self.recv.window(0, true)),
        };
        let syn = Some(SynOptions { mss: self.mss, scale, sack: self.sack });
        Header { syn, ..Header::plain(self.isn, ack, bits, window) }
    }
}
