//! One connection, as the container sees it: the gateway is its other end.
//!
//! The work is shared: this decides, and whoever drives it moves the bytes. It hands in every
//! segment ([`Conn::on_segment`]), what the socket took of the data ([`Conn::took`]), that time has
//! passed ([`Conn::on_timer`]), and asks what to send: control segments ([`Conn::control`]) and
//! data ([`Conn::plan`]), which it reads itself and reports with [`Conn::sent`].

mod closing;
mod data;
mod opening;
mod timers;

use std::time::Duration;

use packet::wire::tcp::flags;

use super::{
    recv::{Arrival, Receiver},
    segment::Segment,
    send::Sender,
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

    /// The outside has taken data: the connection is not idle though the container is silent.
    pub const fn touch(&mut self, now: Time) {
        self.heard = now;
    }

    /// The SYN that the container has sent, as far as an error has to quote it.
    #[must_use]
    pub fn syn_received(&self) -> Segment {
        Segment { seq: self.recv.nxt() - 1, flags: flags::SYN, ..Segment::default() }
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
}

/// What is set of timing.
#[derive(Clone, Copy, Debug)]
pub struct Timing<'a> {
    /// How TCP behaves.
    pub tuning: &'a TcpTuning,
    /// How long connections live.
    pub timeouts: &'a Timeouts,
}
