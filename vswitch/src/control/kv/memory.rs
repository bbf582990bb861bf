//! A store in memory, for tests of what uses one. Leases end when they are told to.

use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::{Change, Condition, Entry, Event, Kv, KvError, Lease, Outcome, Snapshot, Watch};

/// Changes a watch may be behind before it is ended.
const BEHIND: usize = 4096;

struct Watcher {
    prefix: String,
    events: mpsc::Sender<Result<Vec<Event>, KvError>>,
}

#[derive(Default)]
struct State {
    revision: u64,
    entries: BTreeMap<String, (Entry, Option<Lease>)>,
    leases: BTreeSet<Lease>,
    granted: i64,
    history: Vec<(u64, Vec<Event>)>,
    /// Changes up to this revision are forgotten.
    compacted: u64,
    watchers: Vec<Watcher>,
    silent: bool,
}

/// A store in memory. Clones are the same store.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<State>>);

fn below(prefix: &str, events: &[Event]) -> Vec<Event> {
    let key = |event: &Event| match event {
        Event::Put(entry) => entry.key.clone(),
        Event::Deleted(key, _) => key.clone(),
    };
    events.iter().filter(|event| key(event).starts_with(prefix)).cloned().collect()
}

impl State {
    fn holds(&self, condition: &Condition) -> bool {
        let at = |key: &String| self.entries.get(key).map(|(entry, _)| entry);
        match condition {
            Condition::Absent(key) => at(key).is_none(),
            Condition::Present(key) => at(key).is_some(),
            Condition::NoneBelow(prefix) => self.first_below(prefix).is_none(),
            Condition::Version(key, version) => at(key).is_some_and(|e| e.version == *version),
            Condition::Value(key, value) => at(key).is_some_and(|e| e.value == *value),
        }
    }

    fn first_below(&self, prefix: &str) -> Option<&Entry> {
        let (key, (entry, _)) = self.entries.range(prefix.to_owned()..).next()?;
        key.starts_with(prefix).then_some(entry)
    }

    fn change(&mut self, changes: &[Change]) -> u64 {
        let revision = self.revision + 1;
        let mut events = Vec::new();
        for change in changes {
            match change {
                Change::Put { key, value, lease } => {
                    let created = self.entries.get(key).map_or(revision, |(entry, _)| entry.created);
                    let entry = Entry { key: key.clone(), value: value.clone(), version: revision, created };
                    self.entries.insert(key.clone(), (entry.clone(), *lease));
                    events.push(Event::Put(entry));
                }
                Change::Delete(key) => {
                    if self.entries.remove(key).is_some() {
                        events.push(Event::Deleted(key.clone(), revision));
                    }
                }
            }
        }
        if events.is_empty() {
            return self.revision;
        }
        self.revision = revision;
        self.watchers.retain(|watcher| {
            let seen = below(&watcher.prefix, &events);
            seen.is_empty() || watcher.events.try_send(Ok(seen)).is_ok()
        });
        self.history.push((revision, events));
        revision
    }

    fn end(&mut self, lease: Lease) {
        self.leases.remove(&lease);
        let held = self.entries.values().filter(|(_, of)| *of == Some(lease));
        let gone: Vec<Change> = held.map(|(entry, _)| Change::Delete(entry.key.clone())).collect();
        self.change(&gone);
    }
}

impl Memory {
    /// From now on it does not answer, and ends its watches; or it answers again.
    pub fn set_silent(&self, silent: bool) {
        let mut state = self.0.lock();
        state.silent = silent;
        if silent {
            state.watchers.clear();
        }
    }

    /// Nobody has kept the lease for its time.
    pub fn expire(&self, lease: Lease) {
        self.0.lock().end(lease);
    }

    /// Forgets all changes so far, but not what came of them.
    pub fn compact(&self) {
        let mut state = self.0.lock();
        state.compacted = state.revision;
        state.history.clear();
    }

    fn act<'a, T: Send + 'a>(
        &self,
        act: impl FnOnce(&mut State) -> Result<T, KvError>,
    ) -> BoxFuture<'a, Result<T, KvError>> {
        let mut state = self.0.lock();
        let silent = state.silent;
        let result = if silent { Err(KvError::Unreachable("it is silent".into())) } else { act(&mut state) };
        Box::pin(ready(result))
    }
}

impl Kv for Memory {
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Snapshot, KvError>> {
        self.act(|state| {
            let all = state.entries.values().map(|(entry, _)| entry);
            let entries = all.filter(|entry| entry.key.starts_with(prefix)).cloned().collect();
            Ok(Snapshot { entries, revision: state.revision })
        })
    }

    fn commit<'a>(
        &'a self,
        when: &'a [Condition],
        then: &'a [Change],
    ) -> BoxFuture<'a, Result<Outcome, KvError>> {
        self.act(|state| {
            let lost = then.iter().find_map(|change| match change {
                Change::Put { lease: Some(lease), .. } if !state.leases.contains(lease) => Some(lease),
                _ => None,
            });
            if when.iter().all(|condition| state.holds(condition)) {
                return match lost {
                    Some(_) => Err(KvError::Refused("requested lease not found".into())),
                    None => Ok(Outcome::Done(state.change(then))),
                };
            }
            let found = when.iter().filter_map(|condition| match condition {
                Condition::NoneBelow(prefix) => state.first_below(prefix),
                Condition::Absent(key)
                | Condition::Present(key)
                | Condition::Version(key, _)
                | Condition::Value(key, _) => state.entries.get(key).map(|(entry, _)| entry),
            });
            Ok(Outcome::Refused(found.cloned().collect()))
        })
    }

    fn watch<'a>(&'a self, prefix: &'a str, after: u64) -> BoxFuture<'a, Result<Watch, KvError>> {
        self.act(|state| {
            let (events, watch) = mpsc::channel(BEHIND);
            if after < state.compacted {
                let _ = events.try_send(Err(KvError::Compacted(after)));
                return Ok(watch);
            }
            for (_, past) in state.history.iter().filter(|(revision, _)| *revision > after) {
                let seen = below(prefix, past);
                if !seen.is_empty() && events.try_send(Ok(seen)).is_err() {
                    return Ok(watch);
                }
            }
            state.watchers.push(Watcher { prefix: prefix.to_owned(), events });
            Ok(watch)
        })
    }

    fn grant(&self, _seconds: u32) -> BoxFuture<'_, Result<Lease, KvError>> {
        self.act(|state| {
            state.granted += 1;
            let lease = Lease(state.granted);
            state.leases.insert(lease);
            Ok(lease)
        })
    }

    fn keep(&self, lease: Lease) -> BoxFuture<'_, Result<bool, KvError>> {
        self.act(|state| Ok(state.leases.contains(&lease)))
    }

    fn revoke(&self, lease: Lease) -> BoxFuture<'_, Result<(), KvError>> {
        self.act(|state| {
            state.end(lease);
            Ok(())
        })
    }
}
