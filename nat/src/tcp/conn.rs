//! One connection, as the container sees it: the gateway is its other end.
//!
//! The work is shared: this decides, and whoever drives it moves the bytes. It hands in every
//! segment ([`Conn::on_segment`]), what the socket took of the data ([`Conn::took`]), that time has
//! passed ([`Conn::on_timer`]), and asks what to send: control segments ([`Conn::control`]) and
//! data ([`Conn::plan`]), which it reads itself and reports with [`Conn::sent`].

use std::time::Duration;

use packet::wire::tcp::flags;

use super::{
    header::{Header, SynOptions},
    recv::{Arrival, Receiver},
    segment::Segment,
    send::{Plan, Sender},
    seq::Seq,
};
use crate::{
    config::{TcpTuning, Timeouts},
    counters::Reason,
    time::Time,
};

/// The segment size of a container that does not say (RFC 9293, section 3.7.1).
const DEFAULT_MSS: u16 = 536;
/// The smallest segment size that is believed, or a hostile container could ask for a header a byte.
const MIN_MSS: u16 = 88;
/// Between two answers to segments that are not acceptable, so that two sides cannot keep on
/// answering each other (RFC 5961, section 10).
const CHALLENGE_INTERVAL: Duration = Duration::from_millis(100);
/// Times that recovery is repeated before everything counts as lost.
const RECOVERY_RETRIES: u8 = 4;

/// How far a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// The container has sent a SYN; the outside is being connected.
    Connecting,
    /// The outside is connected and the container's SYN was answered.
    SynReceived,
    /// The outside came to a published port and the container was sent a SYN.
    SynSent,
    /// Data flow, in both directions or in one.
    Established,
    /// Both sides have closed; only repeated segments are answered.
    TimeWait,
}

/// Why a connection is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// The container reset or refused it: the outside is to be reset.
    ByInside,
    /// The container did not answer, or nothing happened for too long: both are to be reset.
    GivenUp,
    /// It was closed long enough ago.
    Quietly,
    /// The container opens a new one with the same addresses and ports.
    Reopened,
}

/// What becomes of a connection that both sides have closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finished {
    /// The container waits for what may still be under way.
    Forget,
    /// That is up to this end: it is in [`State::TimeWait`] now.
    Remember,
}

/// What a segment led to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The data that the segment brought.
    pub arrival: Arrival,
    /// Bytes of data that the container acknowledged for the first time.
    pub acknowledged: u32,
    /// The segment is not one of this connection: it is to be answered with a reset.
    pub reset: bool,
    /// The segment was of no use.
    pub dropped: Option<Reason>,
    /// The connection is over.
    pub ended: Option<Ended>,
}

const NOTHING: Outcome =
    Outcome { arrival: Arrival::Nothing, acknowledged: 0, reset: false, dropped: None, ended: None };

/// One connection.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Conn {
    state: State,
    /// The number of our SYN.
    isn: Seq,
    /// The largest segment the container may send.
    mss: u16,
    want_ack: bool,
    want_syn: bool,
    want_probe: bool,
    want_tail: bool,
    /// A small window is to be used all the same.
    forced: bool,
    /// There may be more data to send.
    readable: bool,
    /// The container offered to scale its windows.
    scaled: bool,
    sack: bool,
    /// Our FIN was sent before the container's came.
    closed_first: bool,
    /// Times that the timer ran out without progress.
    retries: u8,
    /// Times that the silent container was asked for a sign of life.
    probes: u8,
    /// When the retransmission timer runs out.
    timer: Time,
    /// When the container was last heard.
    heard: Time,
    /// When a segment that was not acceptable was last answered.
    challenged: Time,
    recv: Receiver,
    send: Sender,
}

impl Conn {
    /// A connection that the container opens with `syn`, while the outside is being connected.
    /// `isn` is the number for our SYN, `mss` the most data in a segment either way.
    #[must_use]
    pub fn accept(syn: &Segment, isn: Seq, mss: u16, now: Time, tuning: &TcpTuning) -> Self {
        let mut conn = Self::new(State::Connecting, isn, mss, now);
        conn.take_syn(syn, tuning);
        conn
    }

    /// A connection to the container, whose SYN is to be sent.
    #[must_use]
    pub fn open(isn: Seq, mss: u16, now: Time) -> Self {
        let mut conn = Self::new(State::SynSent, isn, mss, now);
        (conn.want_syn, conn.scaled, conn.sack) = (true, true, true);
        conn
    }

    fn new(state: State, isn: Seq, mss: u16, now: Time) -> Self {
        Self {
            state,
            isn,
            mss: mss.max(MIN_MSS),
            want_ack: false,
            want_syn: false,
            want_probe: false,
            want_tail: false,
            forced: false,
            readable: false,
            scaled: false,
            sack: false,
            closed_first: false,
            retries: 0,
            probes: 0,
            timer: Time::NEVER,
            heard: now,
            challenged: Time::ZERO,
            recv: Receiver::default(),
            send: Sender::default(),
        }
    }

    fn take_syn(&mut self, syn: &Segment, tuning: &TcpTuning) {
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

    /// How far it is.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// When the container was last heard.
    #[must_use]
    pub const fn heard(&self) -> Time {
        self.heard
    }

    /// Most data in a segment to the container.
    #[must_use]
    pub const fn segment_size(&self) -> u16 {
        self.send.mss()
    }

    /// The first number that the container has not acknowledged.
    #[must_use]
    pub const fn unacknowledged(&self) -> Seq {
        self.send.una()
    }

    /// The container has closed its half: after what it sent before, the outside is told.
    #[must_use]
    pub const fn is_inside_finished(&self) -> bool {
        self.recv.is_finished()
    }

    /// The outside has closed its half.
    #[must_use]
    pub const fn is_outside_finished(&self) -> bool {
        self.send.is_ending()
    }

    /// There may be data to send that were not looked for yet.
    #[must_use]
    pub const fn is_readable(&self) -> bool {
        self.readable
    }

    /// Bytes of memory that wait behind a gap.
    #[must_use]
    pub fn ahead(&self) -> usize {
        self.recv.ahead()
    }

    /// Both halves are closed and acknowledged.
    fn is_closed(&self) -> bool {
        self.recv.is_finished() && self.send.is_fin_acknowledged()
    }

    /// The outside has taken data: the connection is not idle though the container is silent.
    pub const fn touch(&mut self, now: Time) {
        self.heard = now;
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

    /// The SYN that the container has sent, as far as an error has to quote it.
    #[must_use]
    pub fn syn_received(&self) -> Segment {
        Segment { seq: self.recv.nxt() - 1, flags: flags::SYN, ..Segment::default() }
    }

    /// The outside is connected: the container's SYN is answered.
    pub fn connected(&mut self, now: Time) {
        if self.state == State::Connecting {
            self.state = State::SynReceived;
            (self.want_syn, self.heard) = (true, now);
        }
    }

    /// The outside may have something to read.
    pub const fn set_readable(&mut self, readable: bool) {
        self.readable = readable;
    }

    /// The outside has closed its half, and everything before that was sent.
    pub fn finish_sending(&mut self) {
        self.send.finish_at(self.send.max());
        self.readable = false;
    }

    /// Takes a segment of the container.
    pub fn on_segment(&mut self, segment: &Segment, now: Time, timing: Timing<'_>) -> Outcome {
        if !segment.is_sane() {
            return Outcome { dropped: Some(Reason::BadFlags), ..NOTHING };
        }
        match self.state {
            State::Connecting => self.while_connecting(segment, timing.tuning),
            State::SynReceived => self.after_syn(segment, now, timing),
            State::SynSent => self.answer_to_syn(segment, now, timing),
            State::Established if self.is_closed() => {
                // Only the outside still has to take what the container sent before.
                let outcome = self.after_the_end(segment, now);
                Outcome { ended: None, ..outcome }
            }
            State::Established => self.established(segment, now, timing),
            State::TimeWait => self.after_the_end(segment, now),
        }
    }

    fn while_connecting(&mut self, segment: &Segment, tuning: &TcpTuning) -> Outcome {
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

    fn after_syn(&mut self, segment: &Segment, now: Time, timing: Timing<'_>) -> Outcome {
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

    fn answer_to_syn(&mut self, segment: &Segment, now: Time, timing: Timing<'_>) -> Outcome {
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

    fn established(&mut self, segment: &Segment, now: Time, timing: Timing<'_>) -> Outcome {
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

    fn after_the_end(&mut self, segment: &Segment, now: Time) -> Outcome {
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

    /// Answers a segment that is not acceptable with what is expected, unless that was just done.
    fn challenge(&mut self, now: Time, always: bool) {
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

    fn syn(&mut self, now: Time, tuning: &TcpTuning) -> Header {
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
    fn arm(&mut self, now: Time, tuning: &TcpTuning) {
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

/// What is set of timing.
#[derive(Clone, Copy, Debug)]
pub struct Timing<'a> {
    /// How TCP behaves.
    pub tuning: &'a TcpTuning,
    /// How long connections live.
    pub timeouts: &'a Timeouts,
}
