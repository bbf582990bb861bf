//! The half of a connection that the container sends: what is expected, and how much may come.

use super::{
    assembly::Assembly,
    segment::{Block, MAX_SACKS},
    seq::Seq,
};
use crate::config::TcpTuning;

/// What a segment brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// Nothing new.
    Nothing,
    /// What comes next: `len` bytes behind the first `skip` of the segment's data. It counts as
    /// received unless [`Receiver::retreat`] takes that back.
    Next {
        /// Bytes that were received before.
        skip: u32,
        /// Bytes that are new.
        len: u32,
    },
    /// Bytes behind a gap, to be given to [`Receiver::store`].
    Ahead {
        /// Where they belong.
        seq: Seq,
        /// Bytes to store.
        len: u32,
    },
}

/// What a container has sent and may send.
#[derive(Debug, Default)]
pub struct Receiver {
    /// The next number expected. Everything before it was received, FIN included.
    nxt: Seq,
    /// The right edge of the window: what was promised is never taken back.
    edge: Seq,
    /// The window, counted from what the socket has taken.
    target: u32,
    /// Bytes the socket took since the window was changed.
    taken: u32,
    /// How far windows are shifted (RFC 7323).
    scale: u8,
    /// The FIN was received.
    fin: bool,
    ahead: Option<Box<Assembly>>,
}

impl Receiver {
    /// A receiver that expects `nxt`. `scale` is what the container was told, `None` if it
    /// cannot scale.
    #[must_use]
    pub fn new(nxt: Seq, scale: Option<u8>, tuning: &TcpTuning) -> Self {
        let target = if scale.is_some() { tuning.window_min } else { tuning.window_min.min(0xffff) };
        // What a SYN says is not scaled.
        let edge = nxt + target.min(0xffff);
        Self { nxt, edge, target, scale: scale.unwrap_or(0), ..Self::default() }
    }

    /// The scale that is enough for the largest window (RFC 7323, section 2.3: at most 14).
    #[must_use]
    pub fn scale_for(tuning: &TcpTuning) -> u8 {
        (0..14).find(|scale| tuning.window_max >> scale <= 0xffff).unwrap_or(14)
    }

    /// The next number expected.
    #[must_use]
    pub const fn nxt(&self) -> Seq {
        self.nxt
    }

    /// The container has closed its half, and all before that was received.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.fin
    }

    /// Bytes kept behind a gap.
    #[must_use]
    pub fn ahead(&self) -> usize {
        self.ahead.as_ref().map_or(0, |ahead| ahead.cost())
    }

    /// The first number behind the window as the container may have understood it: windows are
    /// rounded up to the scale.
    fn limit(&self) -> Seq {
        self.edge + ((1 << self.scale) - 1)
    }

    /// Whether a segment from `seq` to before `end` is one to look at (RFC 9293, section 3.10.7.4).
    #[must_use]
    pub fn is_acceptable(&self, seq: Seq, end: Seq) -> bool {
        end >= self.nxt && seq <= self.limit()
    }

    /// Takes a segment of `len` bytes at `seq` that was found acceptable.
    pub fn take(&mut self, seq: Seq, len: u32, fin: bool) -> Arrival {
        if self.fin {
            return Arrival::Nothing;
        }
        let skip = self.nxt.after(seq);
        let room = self.limit().after(seq).min(len);
        let fin = fin && room == len;
        if seq > self.nxt {
            if fin {
                self.assembly().finish_at(seq + room);
            }
            return if room > 0 { Arrival::Ahead { seq, len: room } } else { Arrival::Nothing };
        }
        if skip > room || (skip == room && !fin) {
            return Arrival::Nothing;
        }
        self.nxt = seq + room;
        self.check_fin(fin);
        if room > skip { Arrival::Next { skip, len: room - skip } } else { Arrival::Nothing }
    }

    /// Keeps bytes that lie behind a gap.
    pub fn store(&mut self, seq: Seq, data: &[u8]) {
        self.assembly().insert(seq, data);
    }

    /// Bytes that were behind a gap and now come next; they count as received.
    pub fn next_stored(&mut self) -> Option<Vec<u8>> {
        let data = self.ahead.as_mut()?.take(self.nxt);
        if let Some(data) = &data {
            self.nxt += data.len() as u32;
        }
        self.check_fin(false);
        if self.ahead.as_ref().is_some_and(|ahead| ahead.is_empty()) {
            self.ahead = None;
        }
        data
    }

    fn check_fin(&mut self, fin: bool) {
        let stored = self.ahead.as_ref().and_then(|ahead| ahead.finish()) == Some(self.nxt);
        if (fin || stored) && !self.fin {
            self.fin = true;
            self.nxt += 1;
            self.ahead = None;
        }
    }

    fn assembly(&mut self) -> &mut Assembly {
        self.ahead.get_or_insert_default()
    }

    /// Forgets what is behind a gap; the container sends it again.
    pub fn forget_stored(&mut self) {
        self.ahead = None;
    }

    /// The last `len` bytes could not be kept: they were not received, nor was the FIN behind them.
    pub fn retreat(&mut self, len: u32) {
        if self.fin {
            self.fin = false;
            self.nxt = self.nxt - 1;
        }
        self.nxt = self.nxt - len;
        // Nothing behind it was acknowledged either, other than selectively.
        self.ahead = None;
    }

    /// The socket took `len` bytes at once: a flow that is never blocked gets a larger window.
    pub fn took(&mut self, len: u32, tuning: &TcpTuning) {
        self.taken = self.taken.saturating_add(len);
        let most = if self.scale == 0 { tuning.window_max.min(0xffff) } else { tuning.window_max };
        if self.taken >= self.target && self.target < most {
            self.target = self.target.saturating_mul(2).min(most);
            self.taken = 0;
        }
    }

    /// The socket took less than it was given: the window follows it.
    pub fn blocked(&mut self, tuning: &TcpTuning) {
        self.target = (self.target / 2).max(tuning.window_min.min(self.target));
        self.taken = 0;
    }

    /// The window field of the next segment, while `kept` received bytes wait for the socket. A
    /// SYN is not scaled.
    ///
    /// Rounded up: rounded down, the edge would move back with every acknowledgment.
    pub fn window(&mut self, kept: u32, syn: bool) -> u16 {
        self.edge = self.edge.max(self.candidate(kept));
        let scale = if syn { 0 } else { self.scale };
        let window = self.edge.after(self.nxt);
        u16::try_from(window.div_ceil(1 << scale)).unwrap_or(u16::MAX)
    }

    /// The container should be told that the window has grown (RFC 9293, section 3.8.6.2.2).
    #[must_use]
    pub fn is_update_due(&self, kept: u32) -> bool {
        let growth = self.candidate(kept).after(self.edge);
        growth > 0
            && growth >= (self.target / 2).min(if self.edge.after(self.nxt) == 0 { 0xffff } else { u32::MAX })
    }

    fn candidate(&self, kept: u32) -> Seq {
        self.nxt - kept + self.target
    }

    /// What lies behind gaps, the latest first (RFC 2018, section 4); returns how many blocks.
    pub fn blocks(&self, into: &mut [Block; MAX_SACKS]) -> usize {
        self.ahead.as_ref().map_or(0, |ahead| ahead.blocks(into))
    }
}

#[cfg(test)]
#[path = "recv_tests.rs"]
mod tests;
