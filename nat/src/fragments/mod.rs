//! Packets put together from their fragments (RFC 791, section 3.2; RFC 8200, section 4.5), in
//! whatever order these come.
//!
//! What it costs is bounded: a packet takes 64 KiB while it is incomplete, and there are so many
//! of them, in all and for each container. When a container has as many as it may, its oldest
//! makes room; when all have, the oldest of whoever has most does. Fragments that overlap cost the
//! whole packet, with what is still to come of it (RFC 5722); one that comes twice does no harm.

mod slot;

use std::{collections::HashMap, time::Duration};

use slab::Slab;

pub use self::slot::{Head, Whole};
use self::slot::{Outcome, Slot};
use crate::{
    classify::FragmentKey,
    config::FragmentTuning,
    counters::Reason,
    engine::InsideId,
    list::{Linked, Links, List},
    time::Time,
};

/// Most bytes behind the IP header of a packet.
pub const MAX_DATA: usize = 65_535;
/// Buffers that are kept for the next packets.
const SPARE: usize = 16;

/// Whose fragment, and of which packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PacketId {
    /// The container.
    pub inside: InsideId,
    /// What its fragments share.
    pub key: FragmentKey,
}

/// A fragment.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// What its header says.
    pub head: Head,
    /// Where its data lie in the packet, in bytes.
    pub offset: usize,
    /// More follow.
    pub more: bool,
    /// Its data.
    pub data: &'a [u8],
}

/// A packet of which something is missing. Without a slot it is only remembered, so that what
/// comes late of it is dropped too.
#[derive(Debug)]
struct Packet {
    id: PacketId,
    born: Time,
    slot: Option<Slot>,
    links: Links,
}

impl Linked for Packet {
    fn links(&mut self) -> &mut Links {
        &mut self.links
    }
}

/// A packet that was given up, as far as its sender is owed an ICMP error: its first fragment had
/// come (RFC 792; RFC 4443, section 3.3).
#[derive(Debug)]
pub struct Expired {
    /// Which it was.
    pub id: PacketId,
    /// What the first fragment's header says, and its data; `None` if it never came.
    pub first: Option<(Head, Vec<u8>)>,
}

/// Packets of which something is missing.
#[derive(Debug, Default)]
pub struct Reassembler {
    packets: Slab<Packet>,
    by_id: HashMap<PacketId, u32>,
    /// Each container's packets, the oldest first.
    insides: HashMap<InsideId, List>,
    spare: Vec<Box<[u8]>>,
}

impl Reassembler {
    /// Takes a fragment. Returns the packet if this was the last that was missing;
    /// [`Reassembler::recycle`] takes it back.
    ///
    /// # Errors
    /// Why the fragment was dropped.
    pub fn take(
        &mut self,
        id: PacketId,
        part: &Part<'_>,
        now: Time,
        tuning: &FragmentTuning,
    ) -> Result<Option<Whole>, Reason> {
        let end = part.offset + part.data.len();
        if part.data.is_empty() || end > MAX_DATA || (part.more && !part.data.len().is_multiple_of(8)) {
            return Err(Reason::Fragment);
        }
        let index = match self.by_id.get(&id) {
            Some(index) => *index,
            None => self.begin(id, now, tuning)?,
        };
        let packet = self.packets.get_mut(index as usize).ok_or(Reason::Fragment)?;
        let slot = packet.slot.as_mut().ok_or(Reason::FragmentOverlap)?;
        match slot.put(part, tuning.fragments) {
            Outcome::Kept => Ok(None),
            Outcome::Whole => {
                let whole = packet.slot.take().and_then(Slot::finish);
                self.remove(index);
                whole.map(Some).ok_or(Reason::Fragment)
            }
            Outcome::Spoiled(reason) => {
                // What is still to come of it finds the packet without a slot.
                let slot = packet.slot.take();
                self.give_back(slot);
                Err(reason)
            }
        }
    }

    fn begin(&mut self, id: PacketId, now: Time, tuning: &FragmentTuning) -> Result<u32, Reason> {
        let own = self.insides.get(&id.inside);
        if own.is_some_and(|own| own.len() >= tuning.packets_per_inside) {
            self.drop_oldest(id.inside);
        } else if self.packets.len() >= tuning.packets {
            let most = self.insides.iter().max_by_key(|(_, list)| list.len());
            let hog = most.map(|(inside, _)| *inside).ok_or(Reason::FragmentLimit)?;
            self.drop_oldest(hog);
        }
        let memory = self.spare.pop().unwrap_or_else(|| vec![0; MAX_DATA].into_boxed_slice());
        let packet = Packet { id, born: now, slot: Some(Slot::new(memory)), links: Links::NONE };
        let index = self.packets.insert(packet) as u32;
        self.by_id.insert(id, index);
        self.insides.entry(id.inside).or_default().push(&mut self.packets, index);
        Ok(index)
    }

    fn drop_oldest(&mut self, inside: InsideId) {
        if let Some(oldest) = self.insides.get(&inside).and_then(List::oldest) {
            self.remove(oldest);
        }
    }

    fn remove(&mut self, index: u32) -> Option<Packet> {
        let id = self.packets.get(index as usize)?.id;
        if let Some(list) = self.insides.get_mut(&id.inside) {
            list.remove(&mut self.packets, index);
            if list.len() == 0 {
                self.insides.remove(&id.inside);
            }
        }
        self.by_id.remove(&id);
        let mut packet = self.packets.try_remove(index as usize)?;
        let slot = packet.slot.take();
        self.give_back(slot);
        Some(packet)
    }

    fn give_back(&mut self, slot: Option<Slot>) {
        if let Some(slot) = slot
            && self.spare.len() < SPARE
        {
            self.spare.push(slot.into_memory());
        }
    }

    /// Takes the memory of a packet back.
    pub fn recycle(&mut self, whole: Whole) {
        if self.spare.len() < SPARE {
            self.spare.push(whole.into_memory());
        }
    }

    /// Gives up the next packet that has waited for `timeout`.
    pub fn expire(&mut self, now: Time, timeout: Duration) -> Option<Expired> {
        let born = |list: &List| list.oldest().and_then(|i| self.packets.get(i as usize)).map(|p| p.born);
        let due = |list: &List| born(list).is_some_and(|born| now.since(born) >= timeout);
        let index = self.insides.values().find(|list| due(list)).and_then(List::oldest)?;
        let packet = self.packets.get(index as usize)?;
        let (id, first) = (packet.id, packet.slot.as_ref().and_then(Slot::first));
        self.remove(index);
        Some(Expired { id, first })
    }

    /// When the oldest packet began; `None` without packets.
    #[must_use]
    pub fn oldest(&self) -> Option<Time> {
        let oldest = self.insides.values().filter_map(List::oldest);
        oldest.filter_map(|index| self.packets.get(index as usize)).map(|packet| packet.born).min()
    }

    /// Packets of which something is missing.
    #[must_use]
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// There is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Forgets a container's packets.
    pub fn remove_inside(&mut self, inside: InsideId) {
        while self.insides.contains_key(&inside) {
            self.drop_oldest(inside);
        }
    }
}

#[cfg(test)]
mod tests;
