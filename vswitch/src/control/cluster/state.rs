//! What a node knows and holds. No I/O: what is to be done at the store comes out as plans, and what
//! became of them goes in again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::changes::{Changes, Event, LostEndpoint, Standing};
use super::clock::Dice;
use super::contention::Contention;
use super::damping::Damper;
use super::picture::{Changed, Picture};
use super::schema::{Key, Keys, Node, SCHEMA, SharedEndpoint, Value};
use super::{ClusterError, Config, EndpointWish, Held};
use crate::control::kv::{Condition, Entry, Event as KvEvent, Lease, Snapshot};

/// A node's membership as long as its lease lives: the key of the node as it was put in one revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) lease: Lease,
    /// The revision in which the node's key was put.
    pub(super) version: u64,
}

/// An endpoint of this node.
#[derive(Clone, Debug)]
pub(super) enum Claim {
    /// Asked for; the address is the one that is tried at the moment.
    Pending(Box<EndpointWish>, Option<Arc<SharedEndpoint>>),
    /// It is this node's, once it was seen in the store.
    Held { endpoint: Arc<SharedEndpoint>, confirmed: bool },
}

/// A container's name on this node.
#[derive(Clone, Debug)]
pub(super) struct NameHold {
    pub(super) container: String,
    /// It was claimed, or the daemon says so.
    pub(super) held: bool,
    /// Claims under way.
    pub(super) pending: usize,
}

/// Since when another node's key has not been there.
#[derive(Clone, Debug)]
pub(super) struct Absence {
    /// Which of its sessions was the last one: the revision of its key among the members.
    pub(super) member: Option<u64>,
    /// Not to be acted upon before.
    pub(super) due: Duration,
}

/// Numbers for [`super::Status`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    pub(super) resyncs: u64,
    /// Changes of the picture.
    pub(super) seen: u64,
    pub(super) lost: u64,
    pub(super) repaired: u64,
    pub(super) reaped: u64,
    pub(super) sessions: u64,
    /// Claims that found their address taken.
    pub(super) collisions: u64,
}

/// Why the store is not to be had, and since when.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    pub(super) why: ClusterError,
    pub(super) since: Duration,
}

#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // independent facts, not one state
pub(super) struct State {
    pub(super) config: Config,
    pub(super) keys: Keys,
    pub(super) run: String,
    pub(super) picture: Picture,
    pub(super) changes: Changes,
    pub(super) dice: Dice,
    pub(super) contention: Contention,
    pub(super) damper: Damper,
    pub(super) claims: BTreeMap<String, Claim>,
    pub(super) names: BTreeMap<String, NameHold>,
    pub(super) absences: BTreeMap<String, Absence>,
    /// For which [`Picture::people`] they were noted.
    pub(super) noted: Option<u64>,
    pub(super) counters: Counters,
    pub(super) trouble: Option<Trouble>,
    pub(super) session: Option<Session>,
    /// The claims have been compared with the store in this session.
    pub(super) confirmed: bool,
    /// When the last call that renewed the session's lease was sent.
    kept: Duration,
    /// Until when nobody gives this node's claims to others.
    sure_until: Option<Duration>,
    /// The picture is one of the store.
    pub(super) synced: bool,
    /// Since when changes in the store have not been seen.
    pub(super) blind_since: Option<Duration>,
    /// A defect for the simulation to find: what is not seen counts against the absent.
    #[cfg(test)]
    pub(super) reaps_blind: bool,
    pub(super) joined_before: bool,
    /// Somebody later than this has written the store's content.
    pub(super) newer: Option<u32>,
    pub(super) left: bool,
}

impl State {
    pub(super) fn new(config: Config, held: Held, run: String, seed: u64) -> Self {
        let mut claims = BTreeMap::new();
        for mut endpoint in held.endpoints {
            // It may have another name or address than in its life before.
            endpoint.node.clone_from(&config.node);
            endpoint.vtep = config.vtep;
            let id = endpoint.id.clone();
            claims.insert(id, Claim::Held { endpoint: endpoint.into(), confirmed: false });
        }
        let hold = |container| NameHold { container, held: true, pending: 0 };
        let names = held.names.into_iter().map(|(name, container)| (name, hold(container))).collect();
        Self {
            keys: Keys::new(&config.prefix),
            config,
            run,
            picture: Picture::default(),
            changes: Changes::default(),
            dice: Dice::new(seed),
            contention: Contention::default(),
            damper: Damper::default(),
            claims,
            names,
            absences: BTreeMap::new(),
            noted: None,
            counters: Counters::default(),
            trouble: None,
            session: None,
            confirmed: false,
            kept: Duration::ZERO,
            sure_until: None,
            synced: false,
            blind_since: None,
            #[cfg(test)]
            reaps_blind: false,
            joined_before: false,
            newer: None,
            left: false,
        }
    }

    pub(super) fn own_key(&self) -> Key {
        Key::Node(self.config.node.clone())
    }

    pub(super) fn me(&self, joined: u64) -> Node {
        Node {
            name: self.config.node.clone(),
            id: self.config.id.clone(),
            run: self.run.clone(),
            vtep: self.config.vtep,
            joined,
        }
    }

    // -- What the store says

    /// A list of everything.
    ///
    /// # Errors
    /// Content that is not to be followed; the picture stays as it was.
    pub(super) fn listed(&mut self, snapshot: &Snapshot, now: Duration) -> Result<(), ClusterError> {
        let version = self.keys.text(&Key::Version);
        let version = snapshot.entries.iter().find(|entry| entry.key == version);
        self.check_version(version)?;
        if snapshot.revision < self.picture.revision {
            // Revisions mean something else from now on.
            self.end_session();
        }
        let mut changed = Vec::new();
        self.picture.replace(&self.keys, snapshot, &mut changed);
        self.synced = true;
        self.counters.resyncs += 1;
        // Others could not reach the store either, perhaps: that time is not counted against them. All
        // the rest is, or a node whose watch breaks again and again would wait for ever.
        if let Some(since) = self.blind_since.take() {
            let blind = now.saturating_sub(since);
            for absence in self.absences.values_mut() {
                absence.due += blind;
            }
        }
        self.absorb(changed, now);
        Ok(())
    }

    /// Changes are not seen any more, until the next list.
    pub(super) fn blind(&mut self, now: Duration) {
        self.blind_since.get_or_insert(now);
    }

    /// Whether the store's content is of this layout.
    pub(super) fn check_version(&mut self, entry: Option<&Entry>) -> Result<(), ClusterError> {
        let Some(entry) = entry else {
            return if self.picture.get(&Key::Version).is_some() {
                Err(ClusterError::NotOurs(format!(
                    "the store has been emptied: the key {} is gone; what is known is kept until a node is started \
                     again",
                    self.keys.text(&Key::Version)
                )))
            } else {
                Ok(())
            };
        };
        match super::schema::decode(&Key::Version, &entry.value) {
            Ok(Value::Version(version)) if version.schema > SCHEMA => {
                self.newer = Some(version.schema);
                Err(ClusterError::NewerSchema { found: version.schema })
            }
            Ok(_) => {
                self.newer = None;
                Ok(())
            }
            Err(why) => Err(ClusterError::Unreadable { key: entry.key.clone(), why }),
        }
    }

    /// Changes since the list.
    ///
    /// # Errors
    /// As [`State::listed`].
    pub(super) fn watched(&mut self, events: &[KvEvent], now: Duration) -> Result<(), ClusterError> {
        let version = self.keys.text(&Key::Version);
        for event in events {
            match event {
                KvEvent::Put(entry) if entry.key == version => self.check_version(Some(entry))?,
                KvEvent::Deleted(key, _) if *key == version => self.check_version(None)?,
                _ => {}
            }
        }
        let mut changed = Vec::new();
        self.picture.follow(&self.keys, events, &mut changed);
        self.absorb(changed, now);
        Ok(())
    }

    /// Keys that were read on the way.
    pub(super) fn learn(&mut self, entries: &[Entry], now: Duration) {
        let mut changed = Vec::new();
        for entry in entries {
            // This node's own key counts only when everything before it is known.
            match self.keys.read(&entry.key) {
                None | Some(Key::Node(_)) => {}
                Some(key) => {
                    let at = (entry.version, entry.created);
                    self.picture.wrote(key, at, &entry.value, &mut changed);
                }
            }
        }
        self.absorb(changed, now);
    }

    pub(super) fn absorb(&mut self, changed: Vec<Changed>, now: Duration) {
        for Changed { key, .. } in &changed {
            let Key::Endpoint(network, address) = key else { continue };
            for claim in self.claims.values_mut() {
                if let Claim::Held { endpoint, confirmed } = claim
                    && endpoint.network == *network
                    && endpoint.ipv4.addr() == *address
                {
                    *confirmed = is_in(&self.picture, endpoint);
                }
            }
        }
        self.counters.seen += changed.len() as u64;
        self.changes.note(changed);
        self.look_at_session(now);
    }

    // -- The session

    /// The node's key was put; the call that granted its lease was sent at `sent`.
    pub(super) fn joined(&mut self, session: Session, sent: Duration, now: Duration) {
        self.session = Some(session);
        self.confirmed = false;
        self.kept = sent;
        self.joined_before = true;
        self.trouble = None;
        self.counters.sessions += 1;
        self.look_at_session(now);
    }

    /// The lease was renewed; the call was sent at `sent`.
    pub(super) fn kept(&mut self, sent: Duration) {
        self.kept = sent;
        self.trouble = None;
        self.extend();
    }

    pub(super) fn end_session(&mut self) {
        self.session = None;
        self.confirmed = false;
    }

    /// Once the picture has come to where the node's key was put, nothing can have been taken from
    /// this node that the picture does not know of: see docs/overlay.md.
    fn look_at_session(&mut self, _now: Duration) {
        let Some(session) = self.session else { return };
        let seen = self.picture.version_of(&self.own_key());
        match seen {
            Some(version) if version == session.version && self.confirmed => {}
            Some(version) if version == session.version => self.confirm(),
            // Somebody else is this node now, or somebody has edited the key.
            Some(version) if version > session.version => {
                let other = self.picture.node(&self.config.node).is_some_and(|node| node.run != self.run);
                if other {
                    self.sure_until = None;
                }
                self.end_session();
            }
            None if self.synced && self.picture.revision >= session.version => self.end_session(),
            _ => {}
        }
    }

    fn confirm(&mut self) {
        for claim in self.claims.values_mut() {
            if let Claim::Held { endpoint, confirmed } = claim {
                *confirmed = is_in(&self.picture, endpoint);
            }
        }
        self.confirmed = true;
        self.extend();
    }

    fn extend(&mut self) {
        if self.session.is_some() && self.confirmed {
            // Reaped is what was without its node for the lease's time and the grace time. The other half of
            // the grace time is for clocks that go at different speeds.
            self.sure_until = Some(self.kept + self.config.lease + self.config.grace / 2);
        }
    }

    /// What a change must find in the store, so that it is this session's.
    pub(super) fn session_holds(&self) -> Result<(Session, Condition), ClusterError> {
        if self.left {
            return Err(ClusterError::Left);
        }
        if let Some(found) = self.newer {
            return Err(ClusterError::NewerSchema { found });
        }
        match self.session {
            Some(session) if self.confirmed => {
                Ok((session, Condition::Version(self.keys.text(&self.own_key()), session.version)))
            }
            _ => Err(match &self.trouble {
                Some(trouble) => trouble.why.clone(),
                None => ClusterError::NotJoined("it has just begun to".into()),
            }),
        }
    }

    pub(super) fn troubled(&mut self, why: ClusterError, now: Duration) {
        let since = self.trouble.as_ref().map_or(now, |trouble| trouble.since);
        self.trouble = Some(Trouble { why, since });
    }

    // -- What it holds

    pub(super) fn standing(&self, now: Duration) -> Standing {
        if self.sure_until.is_some_and(|until| now < until) { Standing::Sure } else { Standing::Doubtful }
    }

    /// How long the standing stays as it is, if nothing happens.
    pub(super) fn sure_for(&self, now: Duration) -> Option<Duration> {
        self.sure_until.and_then(|until| until.checked_sub(now)).filter(|rest| !rest.is_zero())
    }

    pub(super) fn owns(&self, endpoint: &str, now: Duration) -> bool {
        self.standing(now) == Standing::Sure
            && matches!(self.claims.get(endpoint), Some(Claim::Held { confirmed: true, .. }))
    }

    /// An endpoint is somebody else's.
    pub(super) fn lose(&mut self, endpoint: &str, why: String) {
        if let Some(Claim::Held { endpoint, .. }) = self.claims.remove(endpoint) {
            self.counters.lost += 1;
            tracing::warn!(endpoint = %endpoint.id, address = %endpoint.ipv4, "an endpoint is lost: {why}");
            self.changes.own(Event::Lost(LostEndpoint { endpoint, why }));
        }
    }

    pub(super) fn lose_name(&mut self, name: &str, owner: String) {
        if let Some(hold) = self.names.remove(name) {
            self.counters.lost += 1;
            let (name, container) = (name.to_owned(), hold.container);
            tracing::warn!(name, "a container's name is lost to node {owner}");
            self.changes.own(Event::LostName { name, container, owner });
        }
    }

    pub(super) fn take_changes(&mut self, now: Duration) -> Vec<Event> {
        let standing = self.standing(now);
        self.changes.take(&self.picture, standing)
    }
}

/// The store says that this endpoint has its address.
pub(super) fn is_in(picture: &Picture, endpoint: &SharedEndpoint) -> bool {
    let key = Key::Endpoint(endpoint.network.clone(), endpoint.ipv4.addr());
    match picture.get(&key).and_then(|item| item.shown()) {
        Some(Value::Endpoint(found)) => found.id == endpoint.id && found.node == endpoint.node,
        _ => false,
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
