//! Data in both directions while a connection is established, and what acknowledges them.

use packet::wire::tcp::flags;

use super::{CHALLENGE_INTERVAL, Conn, Ended, NOTHING, Outcome, State, Timing};
use crate::{
    config::TcpTuning,
    counters::Reason,
    tcp::{header::Header, recv::Arrival, segment::Segment, send::Plan, seq::Seq},
    time::Time,
};

impl Conn {
    pub(super) fn established(&mut self, segment: &Segment, now: Time, timing: Timing<'_>) -> Outcome {
        let end = segment.seq + segment.sequence_len();
        if !self.recv.is_acceptable(segment.seq, end) {
            if !segment.has(flags::RST) {
                self.challenge(now, segment.len > 0);
            }
            return Outcome { dropped: Some(Reason::OutOfWindow), ..NOTHING };
        }
        if segment.has(flags::RST) {
            if segment.seq == self.recv.nxt() {
                return Outcome { ended: Some(Ended::ByInside), ..NOTHING };
            }
            // RFC 5961, section 3.2: a reset must hit the very number.
            self.challenge(now, false);
            return Outcome { dropped: Some(Reason::OutOfWindow), ..NOTHING };
        }
        if segment.has(flags::SYN) || !segment.has(flags::ACK) {
            // RFC 5961, section 4.2.
            self.challenge(now, false);
            return Outcome { dropped: Some(Reason::BadFlags), ..NOTHING };
        }
        if self.state != State::Established {
            return Outcome { dropped: Some(Reason::OutOfWindow), ..NOTHING };
        }
        let acknowledged = self.send.acknowledge(segment, now);
        if acknowledged.impossible {
            self.challenge(now, false);
            return Outcome { dropped: Some(Reason::OutOfWindow), ..NOTHING };
        }
        (self.heard, self.probes) = (now, 0);
        if acknowledged.progress {
            self.retries = 0;
            self.arm(now, timing.tuning);
        } else if self.send.in_flight() == 0 {
            self.retries = 0;
        }
        let mut outcome = Outcome { acknowledged: acknowledged.bytes, ..NOTHING };
        if segment.len > 0 || segment.has(flags::FIN) {
            let was_finished = self.recv.is_finished();
            outcome.arrival = self.recv.take(segment.seq, segment.len, segment.has(flags::FIN));
            self.want_ack = true;
            if outcome.arrival == Arrival::Nothing && segment.len > 0 {
                outcome.dropped = Some(Reason::Duplicate);
            }
            self.note_fin(was_finished);
        }
        outcome
    }

    fn note_fin(&mut self, was_finished: bool) {
        if self.recv.is_finished() && !was_finished {
            self.closed_first = self.send.is_fin_sent();
        }
    }

    /// Answers a segment that is not acceptable with what is expected, unless that was just done.
    pub(super) fn challenge(&mut self, now: Time, always: bool) {
        if always || now.since(self.challenged) >= CHALLENGE_INTERVAL || self.challenged == Time::ZERO {
            (self.challenged, self.want_ack) = (now, true);
        }
    }

    /// Keeps data that [`Arrival::Ahead`] told of.
    pub fn store(&mut self, seq: Seq, data: &[u8]) {
        self.recv.store(seq, data);
    }

    /// Data that were kept and come next now.
    pub fn next_stored(&mut self) -> Option<Vec<u8>> {
        if self.recv.ahead() == 0 {
            return None;
        }
        let was_finished = self.recv.is_finished();
        let data = self.recv.next_stored();
        self.note_fin(was_finished);
        data
    }

    /// Gives up what is kept behind a gap.
    pub fn forget_stored(&mut self) {
        self.recv.forget_stored();
    }

    /// The socket took `len` bytes at once.
    pub fn took(&mut self, len: u32, tuning: &TcpTuning) {
        self.recv.took(len, tuning);
    }

    /// The socket takes no more for now.
    pub fn blocked(&mut self, tuning: &TcpTuning) {
        self.recv.blocked(tuning);
    }

    /// The last `len` received bytes could not be kept; the container will send them again.
    pub fn retreat(&mut self, len: u32) {
        self.recv.retreat(len);
    }

    /// The socket has taken some of what it was blocked with, `kept` bytes are left: the container
    /// may be told.
    pub fn drained(&mut self, kept: u32) {
        if self.state == State::Established && !self.recv.is_finished() && self.recv.is_update_due(kept) {
            self.want_ack = true;
        }
    }

    /// The outside may have something to read.
    pub const fn set_readable(&mut self, readable: bool) {
        self.readable = readable;
    }

    /// What is to be sent next of the data. Report it with [`Conn::sent`].
    pub fn plan(&mut self) -> Option<Plan> {
        if self.state != State::Established {
            return None;
        }
        if std::mem::take(&mut self.want_tail)
            && let Some(plan) = self.send.tail()
        {
            return Some(plan);
        }
        self.send.plan(self.readable, self.forced)
    }

    /// The header for data or a FIN at `seq`, which also acknowledges. `kept` bytes wait for the
    /// socket.
    pub fn header(&mut self, seq: Seq, fin: bool, kept: u32) -> Header {
        // Selective acknowledgments need a segment of their own.
        self.want_ack &= self.recv.ahead() > 0;
        let bits = if fin { flags::FIN | flags::ACK } else { flags::ACK };
        Header::plain(seq, self.recv.nxt(), bits, self.recv.window(kept, false))
    }

    /// `len` bytes from `seq`, or with `len` 1 a FIN, were sent. Returns how many were sent before.
    pub fn sent(&mut self, seq: Seq, len: u32, now: Time, tuning: &TcpTuning) -> u32 {
        let again = self.send.sent(seq, len, now);
        self.forced = false;
        if self.timer == Time::NEVER || self.send.is_recovering() {
            self.arm(now, tuning);
        }
        again
    }

    /// A control segment that is to be sent, if any. `kept` bytes wait for the socket.
    pub fn control(&mut self, kept: u32, now: Time, tuning: &TcpTuning) -> Option<Header> {
        if std::mem::take(&mut self.want_syn) {
            return Some(self.syn(now, tuning));
        }
        if !matches!(self.state, State::Established | State::TimeWait) {
            return None;
        }
        // A number that was acknowledged already is answered by any container.
        let seq = if std::mem::take(&mut self.want_probe) {
            self.want_ack = false;
            self.send.una() - 1
        } else if std::mem::take(&mut self.want_ack) {
            self.send.max()
        } else {
            return None;
        };
        let mut header = Header::plain(seq, self.recv.nxt(), flags::ACK, self.recv.window(kept, false));
        if self.sack {
            header.block_count = self.recv.blocks(&mut header.blocks) as u8;
        }
        Some(header)
    }

    /// A control segment could not be sent: it is due once more.
    pub const fn repeat(&mut self, header: &Header) {
        if header.flags & flags::SYN == 0 {
            self.want_ack = true;
        } else {
            self.want_syn = true;
        }
    }
}
