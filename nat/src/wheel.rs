//! A hierarchical timing wheel (Varghese and Lauck, 1987): set, move and cancel a timer in
//! constant time, whatever the number of timers.

use std::num::NonZeroU32;

use crate::time::Time;

/// Bits of a tick: 2^10 us, a little more than a millisecond.
const TICK_BITS: u32 = 10;
/// Bits of a level's slots: a `u64` tells which are in use.
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// Five levels reach 12 days; what is later waits in the last slot and is put in anew from there.
const LEVELS: usize = 5;
const NONE: u32 = u32::MAX;

/// A timer that was set. It is over once it has fired or was cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimerId(NonZeroU32);

impl TimerId {
    fn new(index: u32) -> Self {
        Self(NonZeroU32::MIN.saturating_add(index))
    }

    fn index(self) -> usize {
        (self.0.get() - 1) as usize
    }
}

#[derive(Clone, Copy, Debug)]
struct Node {
    token: u64,
    /// The tick at which it fires.
    at: u64,
    next: u32,
    previous: u32,
    /// Its list, by level and slot; `NONE` when the node is free.
    list: u32,
}

/// What a timer takes, in bytes.
#[cfg(test)]
pub(crate) const SIZE: usize = size_of::<Node>();

/// Timers, each with a token that says whose it is.
#[derive(Debug)]
pub struct Wheel {
    nodes: Vec<Node>,
    free: u32,
    heads: [u32; SLOTS * LEVELS],
    used: [u64; LEVELS],
    /// Everything up to this tick has fired.
    now: u64,
    len: usize,
}

/// The first tick that is not before `time`.
fn tick(time: Time) -> u64 {
    (time.micros() >> TICK_BITS).saturating_add(u64::from(time.micros() & ((1 << TICK_BITS) - 1) != 0))
}

impl Wheel {
    /// A wheel without timers, at `now`.
    #[must_use]
    pub fn new(now: Time) -> Self {
        Self {
            nodes: Vec::new(),
            free: NONE,
            heads: [NONE; SLOTS * LEVELS],
            used: [0; LEVELS],
            now: now.micros() >> TICK_BITS,
            len: 0,
        }
    }

    /// Timers that are set.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// No timer is set.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sets a timer that fires at `at` or up to a tick later, never earlier.
    pub fn set(&mut self, at: Time, token: u64) -> TimerId {
        let node = Node { token, at: tick(at).max(self.now + 1), next: NONE, previous: NONE, list: NONE };
        let index = if let Some(free) = self.nodes.get_mut(self.free as usize) {
            let index = self.free;
            self.free = free.next;
            *free = node;
            index
        } else {
            self.nodes.push(node);
            (self.nodes.len() - 1) as u32
        };
        self.link(index);
        self.len += 1;
        TimerId::new(index)
    }

    /// Takes a timer back.
    pub fn cancel(&mut self, id: TimerId) {
        if self.nodes.get(id.index()).is_some_and(|node| node.list != NONE) {
            self.unlink(id.index() as u32);
            self.release(id.index() as u32);
        }
    }

    /// When [`Wheel::advance`] is next worth calling: never later than the next timer, and seldom
    /// earlier. `None` without timers.
    #[must_use]
    pub fn next(&self) -> Option<Time> {
        let mut earliest = u64::MAX;
        for (level, used) in self.used.iter().enumerate() {
            if *used == 0 {
                continue;
            }
            let shift = SLOT_BITS * level as u32;
            let current = (self.now >> shift) & (SLOTS as u64 - 1);
            // Slots from the one behind the current on, round to the current itself.
            let ahead =
                u64::from(used.rotate_right((current as u32 + 1) % SLOTS as u32).trailing_zeros()) + 1;
            let start = ((self.now >> shift) + ahead) << shift;
            earliest = earliest.min(start);
        }
        (earliest != u64::MAX).then(|| Time::from_micros(earliest << TICK_BITS))
    }

    /// Goes on to `now` and appends the tokens of the timers that fire to `fired`.
    pub fn advance(&mut self, now: Time, fired: &mut Vec<u64>) {
        let target = now.micros() >> TICK_BITS;
        while self.now < target {
            // Nothing lies before the next slot in use: go straight to it.
            let next = self.next().map_or(u64::MAX, |time| time.micros() >> TICK_BITS);
            if next > target {
                self.now = target;
                return;
            }
            self.now = next;
            for level in (0..LEVELS).rev() {
                let shift = SLOT_BITS * level as u32;
                if self.now & ((1 << shift) - 1) == 0 {
                    let slot = ((self.now >> shift) & (SLOTS as u64 - 1)) as usize;
                    self.empty(level, slot, fired);
                }
            }
        }
    }

    /// Fires what is due in a slot and puts the rest where it belongs by now.
    fn empty(&mut self, level: usize, slot: usize, fired: &mut Vec<u64>) {
        let list = level * SLOTS + slot;
        let mut index = std::mem::replace(&mut self.heads[list], NONE);
        self.used[level] &= !(1 << slot);
        while let Some(node) = self.nodes.get(index as usize).copied() {
            if node.at <= self.now {
                fired.push(node.token);
                self.release(index);
            } else {
                self.link(index);
            }
            index = node.next;
        }
    }

    fn link(&mut self, index: u32) {
        let at = self.nodes[index as usize].at;
        let ahead = at.saturating_sub(self.now);
        let level = (0..LEVELS - 1)
            .find(|level| ahead < 1 << (SLOT_BITS * (*level as u32 + 1)))
            .unwrap_or(LEVELS - 1);
        let shift = SLOT_BITS * level as u32;
        // What is beyond the last level waits in the slot that is emptied last.
        let reach = self.now + ((SLOTS as u64 - 1) << shift);
        let slot = ((at.min(reach) >> shift) & (SLOTS as u64 - 1)) as usize;
        let list = level * SLOTS + slot;
        let head = self.heads[list];
        self.heads[list] = index;
        self.used[level] |= 1 << slot;
        if let Some(head) = self.nodes.get_mut(head as usize) {
            head.previous = index;
        }
        let node = &mut self.nodes[index as usize];
        (node.next, node.previous, node.list) = (head, NONE, list as u32);
    }

    fn unlink(&mut self, index: u32) {
        let Node { next, previous, list, .. } = self.nodes[index as usize];
        if let Some(next) = self.nodes.get_mut(next as usize) {
            next.previous = previous;
        }
        if let Some(previous) = self.nodes.get_mut(previous as usize) {
            previous.next = next;
            return;
        }
        let list = list as usize;
        self.heads[list] = next;
        if next == NONE {
            self.used[list / SLOTS] &= !(1 << (list % SLOTS));
        }
    }

    fn release(&mut self, index: u32) {
        let node = &mut self.nodes[index as usize];
        (node.next, node.list) = (self.free, NONE);
        self.free = index;
        self.len -= 1;
    }
}

#[cfg(test)]
#[path = "wheel_tests.rs"]
mod tests;
