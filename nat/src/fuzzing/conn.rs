//! One TCP connection against any container: segments with any numbers and control bits.

use std::time::Duration;

use packet::wire::tcp::flags;

use super::Input;
use crate::{
    config::{TcpTuning, Timeouts},
    tcp::{Arrival, Conn, Ended, Plan, Segment, Seq, State, Timing},
    time::Time,
};

/// Bytes that may wait behind gaps.
const AHEAD: usize = 1 << 18;
/// Segments without data that one event can lead to.
const CONTROLS: usize = 4;

/// What the container sends at a number.
const fn content(seq: Seq) -> u8 {
    (seq.0 ^ seq.0 >> 8 ^ seq.0 >> 16) as u8
}

/// A connection and what is known of it.
struct Checked {
    conn: Conn,
    now: Time,
    tuning: TcpTuning,
    timeouts: Timeouts,
    /// The next number of the container's data.
    next: Seq,
    /// The last bytes that were received together.
    batch: u32,
    /// The number behind the last that was sent to it.
    sent: Seq,
    /// Bytes of data sent to it for the first time, and acknowledged.
    data: (u64, u64),
}

/// Takes `bytes` for what happens to a connection. It panics at nothing, hands on the container's
/// bytes in their order and each once, and plans to send nothing that it may not.
pub fn conn(bytes: &[u8]) {
    let mut input = Input(bytes);
    let (tuning, now) = (TcpTuning::default(), Time::from_micros(1_000_000_000));
    let isn = Seq(u32::from(input.word()) << 16 | 0xff00);
    let conn = if input.byte() & 1 == 0 {
        let syn = segment(&mut input, Seq(0x7fff_fff0), Seq(0));
        Conn::accept(&Segment { flags: flags::SYN, len: 0, ..syn }, isn, 1460, now, &tuning)
    } else {
        Conn::open(isn, 1460, now)
    };
    let next = conn.syn_received().seq + 1;
    let timeouts = Timeouts::default();
    let mut checked = Checked { conn, now, tuning, timeouts, next, batch: 0, sent: isn + 1, data: (0, 0) };
    while !input.is_empty() && checked.step(&mut input) {
        checked.conn.settle(checked.now, &checked.tuning);
        assert!(checked.data.1 <= checked.data.0, "{:?}", checked.data);
    }
    let _ = checked.conn.reset();
}

/// A segment with numbers near `seq` and `ack`.
fn segment(input: &mut Input<'_>, seq: Seq, ack: Seq) -> Segment {
    let moved = |seq: Seq, by: i32| Seq(seq.0.wrapping_add_signed(by));
    let mut segment = Segment { flags: input.byte(), window: input.word(), ..Segment::default() };
    segment.seq = moved(seq, input.near());
    segment.ack = moved(ack, input.near());
    segment.len = u32::from(input.word() & 0x3fff);
    let options = input.byte();
    segment.mss = (options & 1 != 0).then(|| input.word());
    segment.scale = (options & 2 != 0).then(|| input.byte());
    segment.sack_permitted = options & 4 != 0;
    segment.sack_count = options >> 3 & 3;
    for block in segment.sacks.iter_mut().take(usize::from(segment.sack_count)) {
        *block = (moved(ack, input.near()), moved(ack, input.near()));
    }
    segment
}

impl Checked {
    /// The next thing that happens; false once the connection is over.
    fn step(&mut self, input: &mut Input<'_>) -> bool {
        match input.byte() % 16 {
            0..=5 => {
                let segment = segment(input, self.next, self.sent);
                return self.take(&segment);
            }
            6 => {
                self.conn.connected(self.now);
                self.conn.set_readable(true);
            }
            7..=8 => self.send(input.word()),
            9 => self.controls(u32::from(input.word())),
            10 => {
                self.now =
                    self.conn.deadline(&self.timeouts).max(self.now).min(self.now + Duration::from_hours(3));
                return self.tick();
            }
            11 => {
                self.now = self.now + Duration::from_millis(u64::from(input.word()));
                return self.tick();
            }
            12 => self.conn.took(u32::from(input.word()) << 4, &self.tuning),
            13 => self.block(input),
            // Who looks for data finds the end of them.
            14 => {
                if let Some(Plan::Next { .. }) = self.conn.plan() {
                    self.conn.finish_sending();
                }
            }
            _ => drop(self.conn.finish(self.now)),
        }
        true
    }

    fn tick(&mut self) -> bool {
        let timing = Timing { tuning: &self.tuning, timeouts: &self.timeouts };
        self.conn.on_timer(self.now, timing).is_none()
    }

    fn take(&mut self, segment: &Segment) -> bool {
        let timing = Timing { tuning: &self.tuning, timeouts: &self.timeouts };
        let before = self.conn.state();
        let outcome = self.conn.on_segment(segment, self.now, timing);
        self.data.1 += u64::from(outcome.acknowledged);
        self.batch = 0;
        match outcome.arrival {
            Arrival::Nothing => {}
            Arrival::Next { skip, len } => {
                assert!(len > 0 && skip + len <= segment.len);
                assert_eq!(segment.seq + skip, self.next);
                self.received(len);
            }
            Arrival::Ahead { seq, len } => {
                assert!(len > 0 && len <= segment.len && seq > self.next);
                if self.conn.ahead() + len as usize <= AHEAD {
                    let data: Vec<u8> = (0..len).map(|at| content(seq + at)).collect();
                    self.conn.store(seq, &data);
                } else {
                    self.conn.forget_stored();
                }
            }
        }
        while let Some(stored) = self.conn.next_stored() {
            assert!(stored.iter().enumerate().all(|(at, byte)| *byte == content(self.next + at as u32)));
            self.received(stored.len() as u32);
        }
        if matches!(before, State::Connecting | State::SynSent) {
            assert_eq!(outcome.arrival, Arrival::Nothing);
            self.next = self.conn.syn_received().seq + 1;
        }
        outcome.ended.is_none_or(|ended| ended == Ended::Quietly && before != State::TimeWait)
    }

    fn received(&mut self, len: u32) {
        self.next += len;
        self.batch += len;
    }

    /// Sends up to `most` bytes of what is planned.
    fn send(&mut self, most: u16) {
        for _ in 0..CONTROLS {
            let (seq, len, fin) = match self.conn.plan() {
                None => return,
                Some(Plan::Finish { seq }) => (seq, 1, true),
                Some(Plan::Again { seq, len }) => {
                    assert!(seq >= self.conn.unacknowledged() && seq + len <= self.sent, "{seq:?} {len}");
                    (seq, len, false)
                }
                Some(Plan::Next { seq, len }) => {
                    assert_eq!(seq, self.sent);
                    (seq, len, false)
                }
            };
            assert!(len > 0);
            let len = if fin { 1 } else { len.min(u32::from(most).max(1)) };
            let header = self.conn.header(seq, fin, 0);
            assert_eq!((header.seq, header.flags & flags::FIN != 0), (seq, fin));
            let again = self.conn.sent(seq, len, self.now, &self.tuning);
            assert!(again <= len);
            if !fin {
                self.data.0 += u64::from(len - again);
            }
            self.sent = self.sent.max(seq + len);
        }
    }

    fn controls(&mut self, kept: u32) {
        for count in 0.. {
            let Some(header) = self.conn.control(kept, self.now, &self.tuning) else { return };
            assert!(count < CONTROLS, "it never falls silent");
            if header.syn.is_some() {
                assert!(header.flags & flags::SYN != 0);
            }
        }
    }

    /// The socket takes no more, and some of what came last cannot be kept.
    fn block(&mut self, input: &mut Input<'_>) {
        self.conn.blocked(&self.tuning);
        let lost = u32::from(input.word()).min(self.batch);
        if lost > 0 {
            self.conn.retreat(lost);
            self.next = Seq(self.next.0.wrapping_sub(lost));
            self.batch = 0;
        }
        self.conn.drained(u32::from(input.word()));
    }
}
