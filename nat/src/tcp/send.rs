//! The half of a connection that the container receives: what is under way, and what comes next.
//!
//! There is no congestion window: the way to a container is one queue in this machine's memory,
//! and its own receive window bounds what is under way. After a timeout there is one for as long
//! as it takes to find out how much gets through (RFC 5681, section 3.1, slow start).

use super::{
    loss::Loss,
    rtt::Rtt,
    segment::{Block, Segment},
    seq::Seq,
};
use crate::time::Time;

/// Acknowledgments without news after which data count as lost (RFC 5681, section 3.2).
const DUPLICATES: u8 = 3;
/// Bytes sent at once for one hole where the container does not say how large it is, and after a
/// timeout: a super-frame.
const BURST: u32 = 64 * 1024;

/// What is to be sent next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plan {
    /// Up to `len` bytes from `seq`, which were sent before.
    Again {
        /// Of the first byte.
        seq: Seq,
        /// Bytes, at least 1.
        len: u32,
    },
    /// Up to `len` bytes from `seq`, as far as there are any.
    Next {
        /// Of the first byte.
        seq: Seq,
        /// Bytes, at least 1.
        len: u32,
    },
    /// A FIN at `seq`.
    Finish {
        /// The FIN's own number.
        seq: Seq,
    },
}

/// What an acknowledgment said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Acknowledged {
    /// Bytes of data that were acknowledged for the first time.
    pub bytes: u32,
    /// Anything was acknowledged for the first time.
    pub progress: bool,
    /// It acknowledges what was never sent.
    pub impossible: bool,
}

/// What was sent to a container and what it has said about it.
#[derive(Debug, Default)]
pub struct Sender {
    /// The first number not acknowledged.
    una: Seq,
    /// The next to be sent: after a timeout it goes back.
    nxt: Seq,
    /// The first that was never sent.
    max: Seq,
    /// What `max` was when a timeout last had everything sent again, until that is acknowledged.
    rewound: Option<Seq>,
    window: u32,
    window_max: u32,
    /// Sequence and acknowledgment number of the segment that `window` is from.
    window_from: (Seq, Seq),
    scale: u8,
    mss: u16,
    sack: bool,
    /// The last segment was sent once more, to learn whether it arrived.
    probed: bool,
    duplicates: u8,
    /// What may be under way after a timeout; `None` when there is no such bound.
    congestion: Option<u32>,
    /// What may be under way at any time.
    most: u32,
    /// Where the stream ends, which is the FIN's number.
    end: Option<Seq>,
    loss: Option<Box<Loss>>,
    /// The round trip.
    pub rtt: Rtt,
}

impl Sender {
    /// A sender whose first byte has the number `first`, to a container that takes `mss` bytes of
    /// data in a segment and shifts its windows by `scale`.
    #[must_use]
    pub fn new(first: Seq, mss: u16, scale: u8, sack: bool, rtt: Rtt) -> Self {
        let scale = scale.min(14);
        Self { una: first, nxt: first, max: first, mss, scale, sack, rtt, most: u32::MAX, ..Self::default() }
    }

    /// No more than `most` bytes are to be under way.
    #[must_use]
    pub const fn at_most(mut self, most: u32) -> Self {
        self.most = most;
        self
    }

    /// The first number not acknowledged.
    #[must_use]
    pub const fn una(&self) -> Seq {
        self.una
    }

    /// The first number that was never sent.
    #[must_use]
    pub const fn max(&self) -> Seq {
        self.max
    }

    /// Bytes of data in a segment.
    #[must_use]
    pub const fn mss(&self) -> u16 {
        self.mss
    }

    /// Numbers sent and not acknowledged.
    #[must_use]
    pub const fn in_flight(&self) -> u32 {
        self.max.since(self.una)
    }

    /// The stream ends before `seq`.
    pub fn finish_at(&mut self, seq: Seq) {
        self.end = Some(seq);
    }

    /// The stream has an end.
    #[must_use]
    pub const fn is_ending(&self) -> bool {
        self.end.is_some()
    }

    /// The FIN was sent.
    #[must_use]
    pub fn is_fin_sent(&self) -> bool {
        self.end.is_some_and(|end| self.max > end)
    }

    /// The FIN was acknowledged.
    #[must_use]
    pub fn is_fin_acknowledged(&self) -> bool {
        self.end.is_some_and(|end| self.una > end)
    }

    /// Data are being sent again that the container has said it misses.
    #[must_use]
    pub fn is_recovering(&self) -> bool {
        self.loss.as_ref().is_some_and(|loss| loss.is_active())
    }

    /// Bytes that may still be sent.
    fn room(&self) -> u32 {
        let bound = self.congestion.map_or(self.window, |congestion| congestion.min(self.window));
        (self.una + bound.min(self.most)).after(self.nxt)
    }

    /// The window was taken back: not even what was sent before may be sent.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.room() == 0
    }

    /// The window is too small for the next segment, and nothing is under way that would be
    /// acknowledged: only asking helps.
    #[must_use]
    pub fn is_shut(&self) -> bool {
        self.max == self.una && !self.is_worth(self.room()) && self.end != Some(self.nxt)
    }

    /// The silly window syndrome is avoided (RFC 9293, section 3.8.6.2.1).
    fn is_worth(&self, room: u32) -> bool {
        room > 0 && (room >= u32::from(self.mss) || room >= self.window_max / 2)
    }

    /// What is to be sent next. `readable`: there may be more data. `forced`: even a small window
    /// is used.
    #[must_use]
    pub fn plan(&self, readable: bool, forced: bool) -> Option<Plan> {
        if let Some(hole) = self.loss.as_ref().and_then(|loss| loss.hole(self.una, self.nxt, BURST)) {
            let end = self.end.unwrap_or(hole.1).min(hole.1);
            if end > hole.0 {
                return Some(Plan::Again { seq: hole.0, len: end.since(hole.0) });
            }
            return Some(Plan::Finish { seq: hole.0 });
        }
        if self.end == Some(self.nxt) {
            return Some(Plan::Finish { seq: self.nxt });
        }
        if self.end.is_some_and(|end| self.nxt > end) {
            return None;
        }
        let room = self.room();
        // What was sent before goes again however small the window is by now.
        if room == 0 || !(self.is_worth(room) || forced || self.nxt < self.max) {
            return None;
        }
        if self.nxt < self.max {
            let last = self.end.unwrap_or(self.max).min(self.max).min(self.nxt + room);
            let last =
                self.loss.as_ref().map_or(last, |loss| loss.next_known(self.nxt).unwrap_or(last).min(last));
            return Some(Plan::Again { seq: self.nxt, len: last.after(self.nxt).max(1) });
        }
        (readable && self.end.is_none()).then_some(Plan::Next { seq: self.nxt, len: room })
    }

    /// The end of what is under way is worth a probe: a receiver does not keep the acknowledgment of
    /// several segments back.
    #[must_use]
    pub fn can_probe_tail(&self) -> bool {
        !self.probed && self.in_flight() > self.mss.into() && self.rtt.smoothed().is_some()
    }

    /// Up to a segment at the end of what is under way, sent to learn whether it arrived (RFC 8985,
    /// section 7, tail loss probe). `None` where there is nothing to learn.
    pub fn tail(&mut self) -> Option<Plan> {
        if !self.can_probe_tail() {
            return None;
        }
        self.probed = true;
        let end = self.end.filter(|end| self.max > *end);
        Some(end.map_or_else(
            || {
                let len = self.in_flight().min(self.mss.into());
                Plan::Again { seq: self.max - len, len }
            },
            |end| Plan::Finish { seq: end },
        ))
    }

    /// `len` bytes from `seq` were sent, or a FIN with `len` 1. Returns how many of them were sent
    /// before.
    pub fn sent(&mut self, seq: Seq, len: u32, now: Time) -> u32 {
        let end = seq + len;
        let again = self.max.min(end).after(seq);
        if again > 0 {
            self.rtt.spoil();
        } else {
            self.rtt.begin(end, now);
        }
        if seq == self.nxt {
            self.nxt = end;
            if let Some(loss) = &self.loss {
                self.nxt = loss.skip_known(self.nxt);
            }
        }
        self.max = self.max.max(end);
        if again > 0
            && let Some(loss) = &mut self.loss
        {
            loss.sent_again(self.una, (seq, end), self.max);
        }
        again
    }

    /// Takes what a segment says of the data sent: its acknowledgment, its window and its
    /// selective acknowledgments.
    pub fn acknowledge(&mut self, segment: &Segment, now: Time) -> Acknowledged {
        let ack = segment.ack;
        if ack > self.max {
            return Acknowledged { impossible: true, ..Acknowledged::default() };
        }
        if ack < self.una {
            return Acknowledged::default();
        }
        let window = u32::from(segment.window) << self.scale;
        let same_window = window == self.window;
        self.take_window(segment, window);
        let blocks = if self.sack { segment.blocks() } else { &[] };
        let news = self.take_blocks(blocks);
        if ack > self.una {
            return self.advance(ack, now);
        }
        let duplicate = segment.sequence_len() == 0 && self.max > self.una && (same_window || news);
        if duplicate {
            self.duplicates = self.duplicates.saturating_add(1);
        }
        if duplicate || news {
            self.check_loss();
        }
        Acknowledged::default()
    }

    fn take_window(&mut self, segment: &Segment, window: u32) {
        let (seq, ack) = self.window_from;
        if segment.seq > seq || (segment.seq == seq && segment.ack >= ack) {
            self.window = window;
            self.window_max = self.window_max.max(window);
            self.window_from = (segment.seq, segment.ack);
        }
    }

    /// The window as a handshake gives it, without looking at what was before.
    pub fn set_window(&mut self, segment: &Segment, scaled: bool) {
        let scale = if scaled { self.scale } else { 0 };
        self.window = u32::from(segment.window) << scale;
        self.window_max = self.window;
        self.window_from = (segment.seq, segment.ack);
    }

    /// Takes selective acknowledgments; true if there was something new in them.
    fn take_blocks(&mut self, blocks: &[Block]) -> bool {
        let mut news = false;
        for (from, to) in blocks {
            // Blocks before the acknowledgment tell of duplicates (RFC 2883), others of nothing
            // that was sent. Both ends are compared: one alone may be half the numbers away.
            if from < to && *from > self.una && *from < self.max && *to <= self.max {
                news |= self.loss.get_or_insert_default().add((*from, *to));
            }
        }
        if let Some(loss) = &self.loss {
            // After a timeout: it has some of what would be sent again next.
            self.nxt = loss.skip_known(self.nxt);
        }
        news
    }

    fn advance(&mut self, ack: Seq, now: Time) -> Acknowledged {
        let fin = self.end.is_some_and(|end| ack > end && self.una <= end);
        let bytes = ack.since(self.una) - u32::from(fin);
        self.una = ack;
        self.nxt = self.nxt.max(ack);
        self.rewound = self.rewound.filter(|point| ack < *point);
        self.duplicates = 0;
        self.probed = false;
        self.rtt.acknowledged(ack, now);
        if let Some(congestion) = self.congestion {
            let more = congestion.saturating_add(bytes.saturating_mul(2));
            self.congestion = (more < self.window_max.max(BURST)).then_some(more);
        }
        if let Some(loss) = &mut self.loss {
            loss.acknowledged(ack, self.max);
            self.nxt = loss.skip_known(self.nxt);
            if loss.is_over() {
                self.loss = None;
            }
        }
        self.check_loss();
        Acknowledged { bytes, progress: true, impossible: false }
    }

    /// Decides whether something is lost, and lets it be sent again (RFC 6675, section 5).
    fn check_loss(&mut self) {
        let (una, max) = (self.una, self.max);
        if self.nxt < max {
            // After a timeout everything is sent again in any case.
            return;
        }
        if let Some(point) = self.rewound
            && self.loss.as_ref().and_then(|loss| loss.highest()).is_none_or(|highest| highest <= point)
        {
            // What was sent again is still on its way: of its loss tells only what was first sent behind
            // it (RFC 6675, section 5.1; RFC 6582, section 4).
            return;
        }
        if self.sack {
            let Some(loss) = &mut self.loss else { return };
            // Frames keep their order on the way, so few bytes behind a hole say enough.
            let enough = 2 * u32::from(self.mss);
            if self.duplicates >= DUPLICATES || self.probed || loss.known() > enough {
                loss.begin(una, max);
            }
        } else if self.duplicates == DUPLICATES {
            self.loss.get_or_insert_default().begin_blind(una, max);
        }
    }

    /// What was sent again did not help in time: once more, from the front.
    pub fn repeat_recovery(&mut self) {
        if let Some(loss) = &mut self.loss {
            loss.restart(self.una);
        }
    }

    /// The retransmission timer ran out: everything counts as lost (RFC 6298, section 5; RFC 2018,
    /// section 8).
    pub fn timed_out(&mut self) {
        self.rewound = (self.una < self.max).then_some(self.max);
        self.nxt = self.una;
        self.loss = None;
        self.duplicates = 0;
        self.congestion = Some(BURST);
        self.probed = false;
        self.rtt.back_off();
    }
}

#[cfg(test)]
#[path = "send_tests.rs"]
mod tests;
