//! The memory of one packet, and which parts of it have come.

use crate::{counters::Reason, fragments::Part};

/// ECN of a packet whose sender does not take part (RFC 3168, section 5).
const NOT_ECT: u8 = 0;
/// Congestion experienced.
const CE: u8 = 3;

/// What a fragment's header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Head {
    /// What the packet carries, as its first fragment says.
    pub protocol: u8,
    /// Type of service or traffic class.
    pub tos: u8,
    /// Hops left.
    pub hops: u8,
}

/// A packet of which nothing is missing.
#[derive(Debug)]
pub struct Whole {
    head: Head,
    len: usize,
    memory: Box<[u8]>,
}

impl Whole {
    /// What its first fragment's header says; congestion that any fragment has met is in it.
    #[must_use]
    pub const fn head(&self) -> Head {
        self.head
    }

    /// What is behind the IP header.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        self.memory.get(..self.len).unwrap_or(&[])
    }

    pub(super) fn into_memory(self) -> Box<[u8]> {
        self.memory
    }
}

/// What became of a packet.
pub(super) enum Outcome {
    Kept,
    Whole,
    Spoiled(Reason),
}

#[derive(Debug)]
pub(super) struct Slot {
    memory: Box<[u8]>,
    /// What has come, as first byte and the one behind the last, in order.
    parts: Vec<(u16, u16)>,
    received: usize,
    /// Known once the last fragment has come.
    len: Option<usize>,
    /// Of the first fragment.
    head: Option<Head>,
    /// A bit for every value of the ECN field that was seen.
    ecn: u8,
}

impl Slot {
    pub(super) const fn new(memory: Box<[u8]>) -> Self {
        Self { memory, parts: Vec::new(), received: 0, len: None, head: None, ecn: 0 }
    }

    pub(super) fn into_memory(self) -> Box<[u8]> {
        self.memory
    }

    /// Takes in a fragment whose length was looked at.
    pub(super) fn put(&mut self, part: &Part<'_>, most: usize) -> Outcome {
        let (from, to) = (part.offset, part.offset + part.data.len());
        let range = (from as u16, to as u16);
        let at = self.parts.partition_point(|before| *before < range);
        if self.parts.get(at) == Some(&range) {
            return Outcome::Kept;
        }
        let behind = at.checked_sub(1).and_then(|before| self.parts.get(before));
        let overlaps = behind.is_some_and(|(_, end)| *end > range.0)
            || self.parts.get(at).is_some_and(|(start, _)| *start < range.1);
        // Nothing lies behind the last fragment, of which there is one.
        let ends = self.parts.last().map_or(0, |(_, end)| usize::from(*end));
        let beyond = self.len.is_some_and(|len| to > len || !part.more) || (!part.more && to < ends);
        if overlaps || beyond {
            return Outcome::Spoiled(Reason::FragmentOverlap);
        }
        if self.parts.len() >= most {
            return Outcome::Spoiled(Reason::FragmentLimit);
        }
        let Some(room) = self.memory.get_mut(from..to) else { return Outcome::Spoiled(Reason::Fragment) };
        room.copy_from_slice(part.data);
        self.parts.insert(at, range);
        self.received += part.data.len();
        self.ecn |= 1 << (part.head.tos & 3);
        if !part.more {
            self.len = Some(to);
        }
        if from == 0 {
            self.head = Some(part.head);
        }
        if self.len != Some(self.received) {
            return Outcome::Kept;
        }
        // RFC 3168, section 5.3: congestion that cannot be told to the sender is a loss.
        let seen = |value: u8| self.ecn & (1 << value) != 0;
        if seen(CE) && seen(NOT_ECT) { Outcome::Spoiled(Reason::Fragment) } else { Outcome::Whole }
    }

    /// The packet, which is whole.
    pub(super) fn finish(self) -> Option<Whole> {
        let (mut head, len) = (self.head?, self.len?);
        if self.ecn & (1 << CE) != 0 {
            head.tos |= CE;
        }
        Some(Whole { head, len, memory: self.memory })
    }

    /// What the first fragment brought, if it has come.
    pub(super) fn first(&self) -> Option<(Head, Vec<u8>)> {
        let (head, (_, end)) = (self.head?, *self.parts.first()?);
        Some((head, self.memory.get(..usize::from(end))?.to_vec()))
    }
}
