//! Mappings and sessions of the protocols whose outside is one socket for each endpoint of a
//! container: UDP, and ICMP echo with an identifier for a port (RFC 4787, RFC 5508).
//!
//! A mapping is a container's endpoint and what it has outside: the same for all destinations
//! (RFC 4787, requirement 1). A session is a mapping and one far end. A mapping that was not
//! published ends with its last session. All is found in constant time; time is handed in, and
//! what is kept for a mapping is the caller's.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use slab::Slab;

use crate::{
    config::{Filtering, UdpTuning},
    engine::{Direction, InsideId},
    flow::Endpoint,
    list::{Linked, Links, List},
    time::Time,
    wheel::TimerId,
};

/// A session as the container sees it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Key {
    /// The container.
    pub inside: InsideId,
    /// Its end.
    pub local: Endpoint,
    /// The far end.
    pub remote: Endpoint,
}

/// A session as its socket sees it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Outside {
    mapping: u32,
    real: SocketAddr,
    via: Option<IpAddr>,
}

/// A container's endpoint and what it has outside.
#[derive(Debug)]
pub struct Mapping<M> {
    /// The container.
    pub inside: InsideId,
    /// Its end.
    pub local: Endpoint,
    /// It was published: everybody may send to it, and it stays.
    pub fixed: bool,
    /// Tells it from what has had its number before.
    pub generation: u32,
    /// How many sessions it has.
    pub sessions: usize,
    /// What it has outside.
    pub data: M,
}

/// What went through a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Traffic {
    /// Bytes of data from the container.
    pub bytes_out: u64,
    /// Bytes of data to the container.
    pub bytes_in: u64,
    /// Frames from the container, a super-frame as one.
    pub packets_out: u64,
    /// Frames to the container, a super-frame as one.
    pub packets_in: u64,
}

/// How far a session is that a client of a published port has begun. Others are
/// [`Stage::Settled`] from their beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// The container has not answered.
    Asked,
    /// It has.
    Answered,
    /// It is a conversation.
    Settled,
}

/// What a session begins with.
#[derive(Clone, Copy, Debug)]
pub struct NewSession {
    /// As the container sees it.
    pub key: Key,
    /// Whose it is.
    pub mapping: u32,
    /// The far end's own address.
    pub real: SocketAddr,
    /// The host's address that the far end knows, where that matters.
    pub via: Option<IpAddr>,
    /// Who has begun it.
    pub direction: Direction,
    /// How long it lives without a packet.
    pub idle: Duration,
    /// The same before it is a conversation, where a client has begun it.
    pub idle_first: Duration,
}

/// A mapping and one far end.
#[derive(Debug)]
pub struct Session {
    /// As the container sees it.
    pub key: Key,
    /// Whose it is.
    pub mapping: u32,
    /// Tells it from what has had its number before.
    pub generation: u32,
    /// The far end's own address.
    pub real: SocketAddr,
    /// The host's address that the far end knows, where that is known.
    pub via: Option<IpAddr>,
    /// Who has begun it.
    pub direction: Direction,
    /// How far it is.
    pub stage: Stage,
    /// When it began.
    pub born: Time,
    /// When anything was heard of it.
    pub heard: Time,
    /// What went through it.
    pub traffic: Traffic,
    /// For its caller.
    pub timer: Option<TimerId>,
    /// What it was entered under.
    outside: Outside,
    refreshed: Time,
    idle: Duration,
    idle_first: Duration,
    links: Links,
}

impl Session {
    /// The host's address that answers to the far end have to leave from; `None` to leave that to
    /// the routes.
    #[must_use]
    pub const fn leaves_from(&self) -> Option<IpAddr> {
        self.outside.via
    }

    /// When it ends if nothing more is heard of it.
    #[must_use]
    pub fn ends(&self) -> Time {
        self.refreshed + if self.stage == Stage::Settled { self.idle } else { self.idle_first }
    }
}

impl Linked for Session {
    fn links(&mut self) -> &mut Links {
        &mut self.links
    }
}

/// What a packet from outside is to a mapping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// It belongs to this session.
    Session(u32),
    /// It belongs to none and may pass.
    Stranger,
    /// It may not pass.
    Filtered,
}

/// All mappings with their sessions.
#[derive(Debug)]
pub struct Table<M> {
    mappings: Slab<Mapping<M>>,
    sessions: Slab<Session>,
    by_local: HashMap<(InsideId, Endpoint), u32>,
    by_key: HashMap<Key, u32>,
    by_outside: HashMap<Outside, u32>,
    /// Addresses that a mapping has sessions with of its container's making, and how many.
    peers: HashMap<(u32, IpAddr), u32>,
    /// Sessions of each container that are not settled, the oldest first.
    unsettled: HashMap<InsideId, List>,
    generation: u32,
}

impl<M> Default for Table<M> {
    fn default() -> Self {
        Self {
            mappings: Slab::new(),
            sessions: Slab::new(),
            by_local: HashMap::new(),
            by_key: HashMap::new(),
            by_outside: HashMap::new(),
            peers: HashMap::new(),
            unsettled: HashMap::new(),
            generation: 0,
        }
    }
}

impl<M> Table<M> {
    /// Of tokens, which have room for so much.
    const fn next_generation(&mut self) -> u32 {
        self.generation = self.generation.wrapping_add(1) & 0xff_ffff;
        self.generation
    }

    /// The mapping that an endpoint sends through, unless that is a fixed one.
    #[must_use]
    pub fn mapping_of(&self, inside: InsideId, local: Endpoint) -> Option<u32> {
        self.by_local.get(&(inside, local)).copied()
    }

    /// A mapping.
    #[must_use]
    pub fn mapping(&self, mapping: u32) -> Option<&Mapping<M>> {
        self.mappings.get(mapping as usize)
    }

    /// A mapping.
    pub fn mapping_mut(&mut self, mapping: u32) -> Option<&mut Mapping<M>> {
        self.mappings.get_mut(mapping as usize)
    }

    /// All mappings.
    pub fn mappings(&self) -> impl Iterator<Item = (u32, &Mapping<M>)> {
        self.mappings.iter().map(|(index, mapping)| (index as u32, mapping))
    }

    /// A session.
    #[must_use]
    pub fn session(&self, session: u32) -> Option<&Session> {
        self.sessions.get(session as usize)
    }

    /// A session.
    pub fn session_mut(&mut self, session: u32) -> Option<&mut Session> {
        self.sessions.get_mut(session as usize)
    }

    /// All sessions.
    pub fn sessions(&self) -> impl Iterator<Item = (u32, &Session)> {
        self.sessions.iter().map(|(index, session)| (index as u32, session))
    }

    /// The session with these ends.
    #[must_use]
    pub fn find(&self, key: &Key) -> Option<u32> {
        self.by_key.get(key).copied()
    }

    /// Enters a mapping. One that is not fixed is the one its endpoint sends through.
    pub fn add_mapping(&mut self, inside: InsideId, local: Endpoint, fixed: bool, data: M) -> u32 {
        let generation = self.next_generation();
        let mapping = Mapping { inside, local, fixed, generation, sessions: 0, data };
        let index = self.mappings.insert(mapping) as u32;
        if !fixed {
            self.by_local.insert((inside, local), index);
        }
        index
    }

    /// Forgets a mapping. Its sessions must be gone.
    pub fn remove_mapping(&mut self, mapping: u32) -> Option<Mapping<M>> {
        let removed = self.mappings.try_remove(mapping as usize)?;
        debug_assert_eq!(removed.sessions, 0);
        let local = (removed.inside, removed.local);
        if self.by_local.get(&local) == Some(&mapping) {
            self.by_local.remove(&local);
        }
        Some(removed)
    }

    /// What a packet from `real`, sent to the host's address `via`, is to a mapping.
    #[must_use]
    pub fn arrival(
        &self,
        mapping: u32,
        real: SocketAddr,
        via: Option<IpAddr>,
        filtering: Filtering,
    ) -> Arrival {
        if let Some(session) = self.find_outside(mapping, real, via) {
            return Arrival::Session(session);
        }
        let passes = self.mapping(mapping).is_some_and(|mapping| mapping.fixed)
            || match filtering {
                Filtering::EndpointIndependent => true,
                Filtering::AddressDependent => self.peers.contains_key(&(mapping, real.ip())),
                Filtering::AddressAndPortDependent => false,
            };
        if passes { Arrival::Stranger } else { Arrival::Filtered }
    }

    /// The session with the far end `real`, which knows the host as `via`.
    #[must_use]
    pub fn find_outside(&self, mapping: u32, real: SocketAddr, via: Option<IpAddr>) -> Option<u32> {
        let find = |via| self.by_outside.get(&Outside { mapping, real, via }).copied();
        let fixed = self.mapping(mapping).is_some_and(|mapping| mapping.fixed);
        let by_client = if fixed { find(via) } else { None };
        by_client.or_else(|| find(None))
    }

    /// Enters a session. One that the container has begun with the same far end under another
    /// address becomes this one.
    pub fn open(&mut self, new: &NewSession, now: Time) -> u32 {
        let NewSession { key, mapping, real, direction, idle, idle_first, .. } = *new;
        let published = direction == Direction::Published;
        let outside = Outside { mapping, real, via: new.via.filter(|_| published) };
        if let Some(same) = self.by_outside.get(&outside).copied() {
            self.rename(same, key);
            return same;
        }
        let generation = self.next_generation();
        let stage = if published { Stage::Asked } else { Stage::Settled };
        let session = Session {
            key,
            mapping,
            generation,
            real,
            via: new.via,
            direction,
            stage,
            born: now,
            heard: now,
            traffic: Traffic::default(),
            timer: None,
            outside,
            refreshed: now,
            idle,
            idle_first,
            links: Links::NONE,
        };
        let index = self.sessions.insert(session) as u32;
        self.by_key.insert(key, index);
        self.by_outside.insert(outside, index);
        if published {
            self.unsettled.entry(key.inside).or_default().push(&mut self.sessions, index);
        } else {
            *self.peers.entry((mapping, real.ip())).or_default() += 1;
        }
        if let Some(mapping) = self.mapping_mut(mapping) {
            mapping.sessions += 1;
        }
        index
    }

    fn rename(&mut self, session: u32, key: Key) {
        let Some(entry) = self.sessions.get_mut(session as usize) else { return };
        let old = std::mem::replace(&mut entry.key, key);
        if self.by_key.get(&old) == Some(&session) {
            self.by_key.remove(&old);
        }
        self.by_key.insert(key, session);
    }

    /// Forgets a session.
    pub fn close(&mut self, session: u32) -> Option<Session> {
        self.settle(session);
        let closed = self.sessions.try_remove(session as usize)?;
        if self.by_key.get(&closed.key) == Some(&session) {
            self.by_key.remove(&closed.key);
        }
        if self.by_outside.get(&closed.outside) == Some(&session) {
            self.by_outside.remove(&closed.outside);
        }
        if closed.direction == Direction::Outbound {
            let peer = (closed.mapping, closed.real.ip());
            if let Some(count) = self.peers.get_mut(&peer) {
                *count -= 1;
                if *count == 0 {
                    self.peers.remove(&peer);
                }
            }
        }
        if let Some(mapping) = self.mapping_mut(closed.mapping) {
            mapping.sessions -= 1;
        }
        Some(closed)
    }

    /// The session is not among the unsettled ones any more.
    fn settle(&mut self, session: u32) {
        let Some(entry) = self.sessions.get_mut(session as usize) else { return };
        if std::mem::replace(&mut entry.stage, Stage::Settled) == Stage::Settled {
            return;
        }
        let inside = entry.key.inside;
        if let Some(queue) = self.unsettled.get_mut(&inside) {
            queue.remove(&mut self.sessions, session);
            if queue.len() == 0 {
                self.unsettled.remove(&inside);
            }
        }
    }

    /// How many of a container's sessions are not settled.
    #[must_use]
    pub fn unsettled(&self, inside: InsideId) -> usize {
        self.unsettled.get(&inside).map_or(0, List::len)
    }

    /// The oldest of a container's sessions that are not settled.
    #[must_use]
    pub fn oldest_unsettled(&self, inside: InsideId) -> Option<u32> {
        self.unsettled.get(&inside).and_then(List::oldest)
    }

    /// The container has sent `bytes` of data, which keeps the session alive. Returns whether this is
    /// its first answer.
    pub fn sent(&mut self, session: u32, bytes: usize, now: Time) -> bool {
        let Some(entry) = self.sessions.get_mut(session as usize) else { return false };
        entry.traffic.bytes_out += bytes as u64;
        entry.traffic.packets_out += 1;
        (entry.heard, entry.refreshed) = (now, now);
        if entry.stage == Stage::Asked {
            entry.stage = Stage::Answered;
        }
        let Traffic { packets_out, packets_in, .. } = entry.traffic;
        self.look_for_conversation(session, now);
        packets_out == 1 && packets_in > 0
    }

    /// The far end has sent `bytes` of data, which keeps the session alive if it is to. Returns whether
    /// this is its first answer.
    pub fn received(&mut self, session: u32, bytes: usize, refresh: bool, now: Time) -> bool {
        let Some(entry) = self.sessions.get_mut(session as usize) else { return false };
        entry.traffic.bytes_in += bytes as u64;
        entry.traffic.packets_in += 1;
        entry.heard = now;
        if refresh {
            entry.refreshed = now;
        }
        let Traffic { packets_out, packets_in, .. } = entry.traffic;
        self.look_for_conversation(session, now);
        packets_in == 1 && packets_out > 0
    }

    fn look_for_conversation(&mut self, session: u32, now: Time) {
        let is_one =
            |entry: &Session| entry.stage == Stage::Answered && now.since(entry.born) >= UdpTuning::STREAM;
        if self.session(session).is_some_and(is_one) {
            self.settle(session);
        }
    }

    /// The numbers of a container's sessions, in no order. Walks over all sessions.
    #[must_use]
    pub fn sessions_of(&self, inside: InsideId) -> Vec<u32> {
        self.sessions().filter(|(_, session)| session.key.inside == inside).map(|(index, _)| index).collect()
    }

    /// The numbers of a mapping's sessions, in no order. Walks over all sessions.
    #[must_use]
    pub fn sessions_through(&self, mapping: u32) -> Vec<u32> {
        self.sessions().filter(|(_, session)| session.mapping == mapping).map(|(index, _)| index).collect()
    }
}

#[cfg(test)]
mod tests;
