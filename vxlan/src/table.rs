//! A hash table that every worker reads for every frame and the control side changes now and then.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

/// Parts of the table: a change copies one of them, so 100,000 entries cost about a hundred.
const SHARDS: usize = 1024;

type Shard<K, V> = HashMap<K, V, RandomState>;

/// Reading takes no lock and costs the same whatever the size. A change replaces a part of the
/// table; readers see the part before or after it, never between.
pub(crate) struct Table<K, V> {
    shards: Box<[ArcSwap<Shard<K, V>>]>,
    hasher: RandomState,
    len: AtomicUsize,
    writer: Mutex<()>,
}

impl<K: Hash + Eq + Clone, V: Clone> Default for Table<K, V> {
    fn default() -> Self {
        let hasher = RandomState::new();
        let empty = Arc::new(HashMap::with_hasher(hasher.clone()));
        Self {
            shards: (0..SHARDS).map(|_| ArcSwap::new(empty.clone())).collect(),
            hasher,
            len: AtomicUsize::new(0),
            writer: Mutex::new(()),
        }
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Table<K, V> {
    fn shard(&self, key: &K) -> &ArcSwap<Shard<K, V>> {
        // Bits from the middle: a part uses the others for itself.
        &self.shards[(self.hasher.hash_one(key) >> 32) as usize % SHARDS]
    }

    /// What `read` makes of the entry of `key`, if there is one.
    pub(crate) fn read<T>(&self, key: &K, read: impl FnOnce(&V) -> T) -> Option<T> {
        self.shard(key).load().get(key).map(read)
    }

    /// A copy of the entry of `key`.
    pub(crate) fn get(&self, key: &K) -> Option<V> {
        self.read(key, V::clone)
    }

    /// Makes `value` the entry of `key`, and returns the one before.
    pub(crate) fn insert(&self, key: K, value: V) -> Option<V> {
        self.update(key, |_| Some(value))
    }

    /// Removes and returns the entry of `key`.
    pub(crate) fn remove(&self, key: &K) -> Option<V> {
        self.update(key.clone(), |_| None)
    }

    /// Makes what `change` says the entry of `key`, or removes it, and returns the one before.
    /// Nobody else writes meanwhile.
    pub(crate) fn update(&self, key: K, change: impl FnOnce(Option<&V>) -> Option<V>) -> Option<V> {
        let _writing = self.writer.lock();
        let place = self.shard(&key);
        let mut shard = Shard::clone(&place.load());
        let before = match change(shard.get(&key)) {
            Some(value) => shard.insert(key, value),
            None => shard.remove(&key),
        };
        let (old, new) = (place.load().len(), shard.len());
        self.len.store(self.len.load(Relaxed) + new - old, Relaxed);
        place.store(Arc::new(shard));
        before
    }

    /// Removes the entries that `keep` refuses, and returns them.
    pub(crate) fn retain(&self, mut keep: impl FnMut(&K, &V) -> bool) -> Vec<(K, V)> {
        let _writing = self.writer.lock();
        let mut removed = Vec::new();
        for place in &self.shards {
            let old = place.load();
            let before = removed.len();
            removed.extend(old.iter().filter(|(k, v)| !keep(k, v)).map(|(k, v)| (k.clone(), v.clone())));
            if removed.len() == before {
                continue;
            }
            let mut shard = Shard::clone(&old);
            for (key, _) in &removed[before..] {
                shard.remove(key);
            }
            place.store(Arc::new(shard));
        }
        self.len.store(self.len.load(Relaxed) - removed.len(), Relaxed);
        removed
    }

    /// Entries.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Relaxed)
    }

    /// Copies of all entries, in no order.
    pub(crate) fn entries(&self) -> Vec<(K, V)> {
        let mut all = Vec::with_capacity(self.len());
        for place in &self.shards {
            all.extend(place.load().iter().map(|(k, v)| (k.clone(), v.clone())));
        }
        all
    }
}
