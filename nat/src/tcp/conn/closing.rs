//! How a connection ends: each half by itself, and what is remembered of it.

use packet::wire::tcp::flags;

use super::{Conn, Ended, Finished, NOTHING, Outcome, State};
use crate::{
    tcp::{header::Header, segment::Segment, seq::Seq},
    time::Time,
};

impl Conn {
    /// The outside has closed its half, and everything before that was sent.
    pub fn finish_sending(&mut self) {
        self.send.finish_at(self.send.max());
        self.readable = false;
    }

    /// Whether both halves are closed and acknowledged. To be asked when the outside has taken all
    /// data and knows of the end. Where it was this end that closed first, the connection must be
    /// remembered for a while.
    pub fn finish(&mut self, now: Time) -> Option<Finished> {
        if self.state != State::Established || !self.is_closed() {
            return None;
        }
        if !self.closed_first {
            return Some(Finished::Forget);
        }
        self.state = State::TimeWait;
        (self.heard, self.timer) = (now, Time::NEVER);
        Some(Finished::Remember)
    }

    /// Both halves are closed and acknowledged.
    pub(super) fn is_closed(&self) -> bool {
        self.recv.is_finished() && self.send.is_fin_acknowledged()
    }

    pub(super) fn after_the_end(&mut self, segment: &Segment, now: Time) -> Outcome {
        if segment.has(flags::RST) {
            let ours = segment.seq == self.recv.nxt();
            return Outcome { ended: ours.then_some(Ended::Quietly), ..NOTHING };
        }
        // RFC 9293, section 3.10.7.4: a new connection may begin behind the old one.
        if segment.flags & (flags::SYN | flags::ACK) == flags::SYN && segment.seq > self.recv.nxt() {
            return Outcome { ended: Some(Ended::Reopened), ..NOTHING };
        }
        if segment.has(flags::FIN) {
            self.heard = now;
        }
        if segment.sequence_len() > 0 {
            self.challenge(now, true);
        }
        NOTHING
    }

    /// The segment that ends the connection for the container.
    #[must_use]
    pub fn reset(&self) -> Header {
        let bits = flags::RST | flags::ACK;
        match self.state {
            State::Connecting => Header::plain(Seq(0), self.recv.nxt(), bits, 0),
            State::SynReceived | State::SynSent => Header::plain(self.isn + 1, self.recv.nxt(), bits, 0),
            State::Established | State::TimeWait => Header::plain(self.send.max(), self.recv.nxt(), bits, 0),
        }
    }
}
