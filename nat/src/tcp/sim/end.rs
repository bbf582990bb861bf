//! One end of a simulated connection, with a socket that is only counted.

use std::collections::VecDeque;

use packet::wire::tcp::flags;

use super::{Scene, tuning};
use crate::{
    config::Timeouts,
    tcp::{Arrival, Conn, Ended, Header, Plan, Segment, Seq, State, Timing, conn::Finished},
    time::Time,
};

/// Most data in a frame.
const FRAME: u32 = 65_000;

/// A segment on its way.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wire {
    header: (u32, u32, u8, u16),
    options: Option<(u16, Option<u8>, bool)>,
    blocks: Vec<(u32, u32)>,
    data: Vec<u8>,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {:?} {:?} len {}", self.header, self.options, self.blocks, self.data.len())
    }
}

impl Wire {
    fn new(header: &Header, data: Vec<u8>) -> Self {
        let blocks = &header.blocks[..header.block_count.into()];
        Self {
            header: (header.seq.0, header.ack.0, header.flags, header.window),
            options: header.syn.map(|syn| (syn.mss, syn.scale, syn.sack)),
            blocks: blocks.iter().map(|(from, to)| (from.0, to.0)).collect(),
            data,
        }
    }

    fn segment(&self) -> Segment {
        let (seq, ack, flags, window) = self.header;
        let mut segment = Segment {
            seq: Seq(seq),
            ack: Seq(ack),
            flags,
            window,
            mss: self.options.map(|options| options.0),
            scale: self.options.and_then(|options| options.1),
            sack_permitted: self.options.is_some_and(|options| options.2),
            len: self.data.len() as u32,
            ..Segment::default()
        };
        for (to, (from, end)) in segment.sacks.iter_mut().zip(&self.blocks) {
            *to = (Seq(*from), Seq(*end));
        }
        segment.sack_count = self.blocks.len() as u8;
        segment
    }
}

/// The byte at a place in a stream.
fn byte(at: usize) -> u8 {
    (at.wrapping_mul(2_654_435_761) >> 11) as u8
}

#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct End {
    pub(super) conn: Option<Conn>,
    accepts: bool,
    mss: u16,
    sack: bool,
    /// It closes its half as soon as it has sent everything.
    pub(super) eager: bool,
    /// Bytes that the socket has for the other end.
    total: usize,
    /// Of these, those that were acknowledged.
    acknowledged: usize,
    /// Bytes that the socket has taken.
    pub(super) delivered: usize,
    takes: usize,
    pub(super) rests: bool,
    kept: VecDeque<u8>,
    pub(super) finished: bool,
    pub(super) was_reset: bool,
    over: bool,
}

impl std::fmt::Debug for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("End")
            .field("total", &self.total)
            .field("acknowledged", &self.acknowledged)
            .field("delivered", &self.delivered)
            .field("kept", &self.kept.len())
            .field("finished", &self.finished)
            .field("reset", &self.was_reset)
            .field("conn", &self.conn)
            .finish_non_exhaustive()
    }
}

impl End {
    fn new(scene: &Scene, total: usize) -> Self {
        Self {
            conn: None,
            accepts: false,
            mss: scene.mss,
            sack: scene.sack,
            eager: true,
            total,
            acknowledged: 0,
            delivered: 0,
            takes: scene.takes.0,
            rests: false,
            kept: VecDeque::new(),
            finished: false,
            was_reset: false,
            over: false,
        }
    }

    pub(super) fn opening(scene: &Scene, now: Time) -> Self {
        let conn = Conn::open(Seq(u32::MAX - 1000), scene.mss, now);
        Self { conn: Some(conn), ..Self::new(scene, scene.bytes.0) }
    }

    /// The same with other data.
    pub(super) fn with(self, total: usize) -> Self {
        Self { total, ..self }
    }

    pub(super) fn accepting(scene: &Scene) -> Self {
        Self { accepts: true, ..Self::new(scene, scene.bytes.1) }
    }

    /// The connection is over, or only remembered.
    pub(super) fn is_over(&self) -> bool {
        self.over || self.conn.as_ref().is_some_and(|conn| conn.state() == State::TimeWait)
    }

    pub(super) fn deadline(&self, timeouts: &Timeouts) -> Time {
        match &self.conn {
            Some(conn) if conn.state() != State::TimeWait => conn.deadline(timeouts),
            _ => Time::NEVER,
        }
    }

    pub(super) fn on_timer(&mut self, now: Time, timeouts: &Timeouts) {
        let Some(conn) = &mut self.conn else { return };
        if let Some(ended) = conn.on_timer(now, Timing { tuning: &tuning(), timeouts }) {
            self.end(ended);
        }
    }

    fn end(&mut self, ended: Ended) {
        self.was_reset |= ended != Ended::Quietly;
        (self.conn, self.over) = (None, true);
    }

    /// A segment arrives; returns the reset that answers it, if one does.
    pub(super) fn arrival(&mut self, wire: &Wire, now: Time, timeouts: &Timeouts) -> Option<Wire> {
        let segment = wire.segment();
        if self.conn.is_none() && self.accepts && segment.flags == flags::SYN {
            self.accepts = false;
            let syn = Segment { sack_permitted: self.sack && segment.sack_permitted, ..segment };
            let mut conn = Conn::accept(&syn, Seq(7), self.mss, now, &tuning());
            conn.connected(now);
            self.conn = Some(conn);
            return None;
        }
        let reset = (!segment.has(flags::RST)).then(|| Wire::new(&Header::reset_for(&segment), Vec::new()));
        let Some(conn) = &mut self.conn else { return reset };
        let outcome = conn.on_segment(&segment, now, Timing { tuning: &tuning(), timeouts });
        self.acknowledged += outcome.acknowledged as usize;
        match outcome.arrival {
            Arrival::Nothing => {}
            Arrival::Next { skip, len } => {
                self.kept.extend(&wire.data[skip as usize..(skip + len) as usize]);
                while let Some(data) = conn.next_stored() {
                    self.kept.extend(data);
                }
            }
            Arrival::Ahead { seq, len } => conn.store(seq, &wire.data[..len as usize]),
        }
        if let Some(ended) = outcome.ended {
            self.end(ended);
        }
        outcome.reset.then_some(reset).flatten()
    }

    /// Does all that can be done; true if the socket rests from now on.
    pub(super) fn drive(&mut self, now: Time, _: &Timeouts, out: &mut Vec<Wire>) -> bool {
        let Some(conn) = &mut self.conn else { return false };
        if conn.state() == State::TimeWait {
            while let Some(header) = conn.control(0, now, &tuning()) {
                out.push(Wire::new(&header, Vec::new()));
            }
            return false;
        }
        let mut rests = false;
        if !self.rests && !self.kept.is_empty() {
            let taken = self.takes.min(self.kept.len());
            for each in self.kept.drain(..taken) {
                assert_eq!(each, byte(self.delivered), "at {}", self.delivered);
                self.delivered += 1;
            }
            conn.touch(now);
            if self.kept.is_empty() {
                conn.took(taken as u32, &tuning());
            } else {
                conn.blocked(&tuning());
                (self.rests, rests) = (true, true);
            }
            conn.drained(self.kept.len() as u32);
        }
        self.finished |= conn.is_inside_finished() && self.kept.is_empty();
        let kept = self.kept.len() as u32;
        while let Some(plan) = conn.plan() {
            let (seq, len) = match plan {
                Plan::Finish { seq } => {
                    out.push(Wire::new(&conn.header(seq, true, kept), Vec::new()));
                    conn.sent(seq, 1, now, &tuning());
                    continue;
                }
                Plan::Again { seq, len } | Plan::Next { seq, len } => (seq, len),
            };
            assert!(len > 0);
            let at = self.acknowledged + seq.since(conn.unacknowledged()) as usize;
            let len = (len.min(FRAME) as usize).min(self.total - at);
            if len == 0 {
                assert!(matches!(plan, Plan::Next { .. }), "data that were never sent: {plan:?}");
                if self.eager || conn.is_inside_finished() {
                    conn.finish_sending();
                    continue;
                }
                conn.set_readable(false);
                break;
            }
            out.push(Wire::new(&conn.header(seq, false, kept), (at..at + len).map(byte).collect()));
            conn.sent(seq, len as u32, now, &tuning());
        }
        while let Some(header) = conn.control(kept, now, &tuning()) {
            out.push(Wire::new(&header, Vec::new()));
        }
        // Who waits for the other to close first learns of it here.
        if !self.eager && conn.is_inside_finished() && !conn.is_outside_finished() && !conn.is_readable() {
            conn.set_readable(true);
            return self.drive(now, &Timeouts::default(), out) || rests;
        }
        let finished = if self.finished { conn.finish(now) } else { None };
        match finished {
            Some(Finished::Forget) => (self.conn, self.over) = (None, true),
            Some(Finished::Remember) => {}
            None => conn.settle(now, &tuning()),
        }
        rests
    }
}
