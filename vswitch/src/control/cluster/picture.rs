//! What a node knows of the store's content: a list at one revision, and every change since.
//!
//! The picture only follows what the store says. While the store is silent it stays as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::schema::{self, Key, Keys, Node, SharedEndpoint, SharedNetwork, Value};
use crate::control::kv::{Entry, Event, Snapshot};

/// A key that is there.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// The revision in which it was put.
    pub(super) version: u64,
    /// The revision since which it has been there.
    created: u64,
    /// What it says, or why that cannot be read.
    pub(super) value: Result<Value, String>,
    /// What it said last that could be read.
    last: Option<Value>,
    /// The node whose it is.
    owner: Option<String>,
}

impl Item {
    /// What to go by: a value that somebody has spoiled is as it was.
    pub(super) fn shown(&self) -> Option<&Value> {
        self.value.as_ref().ok().or(self.last.as_ref())
    }

    /// What it says now.
    pub(super) fn readable(&self) -> Option<&Value> {
        self.value.as_ref().ok()
    }

    /// The node whose it is, as it says, or, if it cannot be read, as is certain nevertheless.
    pub(super) fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// The revision since which it has been there.
    pub(super) fn created(&self) -> u64 {
        self.created
    }

    /// What is known of its making.
    fn made(&self) -> Option<(u64, String)> {
        Some((self.created, self.readable()?.node()?.to_owned()))
    }
}

/// What changed at a key, for those who are told.
#[derive(Debug)]
pub(super) struct Changed {
    pub(super) key: Key,
    pub(super) before: Option<Value>,
}

/// The picture.
#[derive(Debug, Default)]
pub(super) struct Picture {
    items: BTreeMap<Key, Item>,
    /// Keys that go with a node, by its name.
    of_node: BTreeMap<String, BTreeSet<Key>>,
    /// How many keys that can be read were made in a revision by a node: what is made in one
    /// revision is of one transaction, and so of one node.
    makers: BTreeMap<(u64, String), usize>,
    /// Keys that this node has removed, and in which revision: the watch may not have come that far.
    removed: BTreeMap<Key, u64>,
    /// Everything up to this revision has been seen.
    pub(super) revision: u64,
    /// Another number whenever a node came or went, or got or lost all that goes with it.
    pub(super) people: u64,
}

impl Picture {
    pub(super) fn get(&self, key: &Key) -> Option<&Item> {
        self.items.get(key)
    }

    fn set(&mut self, key: Key, item: Option<Item>) -> Option<Changed> {
        let before = self.items.get(&key).cloned();
        let item = item.map(|mut item| {
            item.owner = if let Ok(value) = &item.value {
                value.node().map(ToOwned::to_owned)
            } else {
                // Spoiled, but the same claim: it has never been free for another's since.
                let same = before.as_ref().filter(|before| before.created == item.created);
                item.last = same.and_then(|before| before.shown().cloned());
                same.and_then(|before| before.owner.clone()).or_else(|| self.maker(item.created))
            };
            item
        });
        self.index(&key, before.as_ref(), item.as_ref());
        let before_value = before.as_ref().and_then(Item::shown).cloned();
        let same = before_value.as_ref() == item.as_ref().and_then(Item::shown);
        match item {
            Some(item) => self.items.insert(key.clone(), item),
            None => self.items.remove(&key),
        };
        if matches!(key, Key::Node(_) | Key::Member(_)) {
            self.people += 1;
        }
        (!same).then_some(Changed { key, before: before_value })
    }

    /// The only node that is known to have made something in a revision.
    fn maker(&self, revision: u64) -> Option<String> {
        let mut of =
            self.makers.range((revision, String::new())..).take_while(|((at, _), _)| *at == revision);
        let ((_, maker), _) = of.next()?;
        of.next().is_none().then(|| maker.clone())
    }

    fn index(&mut self, key: &Key, before: Option<&Item>, now: Option<&Item>) {
        if let Some(old) = before.and_then(Item::made)
            && let Some(count) = self.makers.get_mut(&old)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.makers.remove(&old);
            }
        }
        if let Some(new) = now.and_then(Item::made) {
            *self.makers.entry(new).or_default() += 1;
        }
        let (old, new) = (before.and_then(Item::owner), now.and_then(Item::owner));
        if old == new {
            return;
        }
        if let Some(old) = old
            && let Some(keys) = self.of_node.get_mut(old)
        {
            keys.remove(key);
            if keys.is_empty() {
                self.of_node.remove(old);
                self.people += 1;
            }
        }
        if let Some(new) = new {
            let keys = self.of_node.entry(new.to_owned()).or_default();
            if keys.is_empty() {
                self.people += 1;
            }
            keys.insert(key.clone());
        }
    }

    fn put(&mut self, key: Key, (version, created): (u64, u64), bytes: &[u8]) -> Option<Changed> {
        let newer = self.items.get(&key).is_some_and(|item| item.version >= version);
        if newer || self.removed.get(&key).is_some_and(|at| *at > version) {
            return None;
        }
        let value = schema::decode(&key, bytes);
        self.set(key, Some(Item { version, created, value, last: None, owner: None }))
    }

    fn delete(&mut self, key: Key, revision: u64) -> Option<Changed> {
        if self.items.get(&key).is_none_or(|item| item.version > revision) {
            return None;
        }
        self.set(key, None)
    }

    /// Goes over to what a list says.
    pub(super) fn replace(&mut self, keys: &Keys, snapshot: &Snapshot, changed: &mut Vec<Changed>) {
        // A store that went back to an earlier revision is believed. Revisions mean something else from then on, so
        // nothing that was known tells who made what.
        if snapshot.revision < self.revision {
            self.removed.clear();
            let all: Vec<Key> = self.items.keys().cloned().collect();
            changed.extend(all.into_iter().filter_map(|key| self.set(key, None)));
        }
        let listed = snapshot.entries.iter().filter_map(|entry| Some((keys.read(&entry.key)?, entry)));
        let listed: BTreeMap<Key, &Entry> = listed.collect();
        // Own changes may be newer than the list; what is newer than them the watch will say.
        let gone = self
            .items
            .iter()
            .filter(|(key, item)| !listed.contains_key(key) && item.version <= snapshot.revision);
        let gone: Vec<Key> = gone.map(|(key, _)| key.clone()).collect();
        for key in gone {
            changed.extend(self.set(key, None));
        }
        for (key, entry) in listed {
            changed.extend(self.put(key, (entry.version, entry.created), &entry.value));
        }
        self.seen(snapshot.revision);
        self.find_owners();
    }

    /// Of what cannot be read, and came before that which tells whose it is.
    fn find_owners(&mut self) {
        let stray = self.items.iter().filter(|(_, item)| item.value.is_err() && item.owner.is_none());
        let found: Vec<(Key, Item)> = stray
            .filter_map(|(key, item)| {
                let owner = Some(self.maker(item.created)?);
                Some((key.clone(), Item { owner, ..item.clone() }))
            })
            .collect();
        for (key, item) in found {
            let before = self.items.insert(key.clone(), item.clone());
            self.index(&key, before.as_ref(), Some(&item));
        }
    }

    fn seen(&mut self, revision: u64) {
        self.revision = revision;
        self.removed.retain(|_, at| *at > revision);
    }

    /// Follows what a watch says.
    pub(super) fn follow(&mut self, keys: &Keys, events: &[Event], changed: &mut Vec<Changed>) {
        let mut seen = self.revision;
        for event in events {
            match event {
                Event::Put(entry) => {
                    seen = seen.max(entry.version);
                    let Some(key) = keys.read(&entry.key) else { continue };
                    changed.extend(self.put(key, (entry.version, entry.created), &entry.value));
                }
                Event::Deleted(key, revision) => {
                    seen = seen.max(*revision);
                    let Some(key) = keys.read(key) else { continue };
                    changed.extend(self.delete(key, *revision));
                }
            }
        }
        self.seen(seen);
    }

    /// A key was read, or put by this node, otherwise than by following the store.
    pub(super) fn wrote(
        &mut self,
        key: Key,
        (version, created): (u64, u64),
        bytes: &[u8],
        changed: &mut Vec<Changed>,
    ) {
        // Everything later may have been seen already, this key's end with it.
        if version > self.revision {
            changed.extend(self.put(key, (version, created), bytes));
        }
    }

    /// This node has removed a key itself.
    pub(super) fn erased(&mut self, key: Key, revision: u64, changed: &mut Vec<Changed>) {
        if revision > self.revision {
            changed.extend(self.delete(key.clone(), revision));
            self.removed.insert(key, revision);
        }
    }

    /// The keys that go with a node, also such as cannot be read.
    pub(super) fn of_node(&self, node: &str) -> impl Iterator<Item = &Key> {
        self.of_node.get(node).into_iter().flatten()
    }

    /// All nodes that something goes with, and all that were there.
    pub(super) fn holders(&self) -> BTreeSet<String> {
        let holders = self.of_node.keys().cloned();
        let members = self.items.range(Key::Member(String::new())..).map_while(|(key, _)| match key {
            Key::Member(name) => Some(name.clone()),
            _ => None,
        });
        holders.chain(members).collect()
    }

    pub(super) fn version_of(&self, key: &Key) -> Option<u64> {
        self.items.get(key).map(|item| item.version)
    }

    pub(super) fn network(&self, id: &str) -> Option<&Arc<SharedNetwork>> {
        match self.items.get(&Key::Network(id.into()))?.shown()? {
            Value::Network(network) => Some(network),
            _ => None,
        }
    }

    pub(super) fn networks(&self) -> impl Iterator<Item = &Arc<SharedNetwork>> {
        self.items
            .range(Key::Network(String::new())..)
            .map_while(|(key, item)| match key {
                Key::Network(_) => Some(item),
                _ => None,
            })
            .filter_map(|item| match item.shown() {
                Some(Value::Network(network)) => Some(network),
                _ => None,
            })
    }

    /// What is at the addresses of a network, whether it can be read or not.
    pub(super) fn addresses(&self, network: &str) -> impl Iterator<Item = (Ipv4Addr, &Item)> {
        let from = Key::Endpoint(network.into(), Ipv4Addr::UNSPECIFIED);
        let network = network.to_owned();
        self.items.range(from..).map_while(move |(key, item)| match key {
            Key::Endpoint(of, address) if *of == network => Some((*address, item)),
            _ => None,
        })
    }

    /// The further addresses of a network that are taken.
    pub(super) fn seconds(&self, network: &str) -> impl Iterator<Item = schema::Second> {
        let from = Key::Second(network.into(), schema::Second::Mac(packet::MacAddr::ZERO));
        let network = network.to_owned();
        self.items.range(from..).map_while(move |(key, _)| match key {
            Key::Second(of, address) if *of == network => Some(*address),
            _ => None,
        })
    }

    pub(super) fn endpoints(&self, network: &str) -> impl Iterator<Item = &Arc<SharedEndpoint>> {
        self.addresses(network).filter_map(|(_, item)| match item.shown() {
            Some(Value::Endpoint(endpoint)) => Some(endpoint),
            _ => None,
        })
    }

    pub(super) fn node(&self, name: &str) -> Option<&Arc<Node>> {
        match self.items.get(&Key::Node(name.into()))?.shown()? {
            Value::Node(node) => Some(node),
            _ => None,
        }
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.items
            .range(Key::Node(String::new())..)
            .map_while(|(key, item)| match key {
                Key::Node(_) => Some(item),
                _ => None,
            })
            .filter_map(|item| match item.shown() {
                Some(Value::Node(node)) => Some(node),
                _ => None,
            })
    }

    /// Keys whose values cannot be read, and why.
    pub(super) fn unreadable(&self) -> impl Iterator<Item = (&Key, &str)> {
        self.items.iter().filter_map(|(key, item)| Some((key, item.value.as_ref().err()?.as_str())))
    }
}
