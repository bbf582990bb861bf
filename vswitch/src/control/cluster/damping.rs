//! What is put again and again.
//!
//! A key of this node that somebody has spoiled is put right at once. If it is spoiled again, by a
//! program perhaps that has its own idea of it, two programs would write as fast as they can for ever: so
//! the same change waits for a moment, twice as long with every time.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::control::kv::{Change, Condition};

/// Waiting time after a change was made for the second time.
const SHORTEST: Duration = Duration::from_millis(100);

/// Longest waiting time.
const LONGEST: Duration = Duration::from_secs(30);

/// A change that was made longer ago than this is new again.
const FORGOTTEN: Duration = Duration::from_mins(2);

#[derive(Debug)]
struct Made {
    value: Vec<u8>,
    at: Duration,
    pause: Duration,
}

impl Made {
    fn due(&self) -> Duration {
        self.at.saturating_add(self.pause)
    }
}

/// What was put again of late, by its key.
#[derive(Debug, Default)]
pub(super) struct Damper(BTreeMap<String, Made>);

impl Damper {
    /// Changes were made.
    pub(super) fn made(&mut self, changes: &[Change], now: Duration) {
        self.0.retain(|_, made| now < made.at.saturating_add(FORGOTTEN));
        for change in changes {
            let Change::Put { key, value, .. } = change else { continue };
            let before = self.0.get(key).filter(|made| made.value == *value);
            let pause = before.map_or(Duration::ZERO, |made| (made.pause * 2).clamp(SHORTEST, LONGEST));
            self.0.insert(key.clone(), Made { value: value.clone(), at: now, pause });
        }
    }

    /// Of changes, and what must hold for them, those that may be made at this moment; `None` if none may.
    pub(super) fn permitted(
        &self,
        (mut when, mut then): (Vec<Condition>, Vec<Change>),
        now: Duration,
    ) -> Option<(Vec<Condition>, Vec<Change>)> {
        then.retain(|change| {
            let Change::Put { key, value, .. } = change else { return true };
            let waits = self.0.get(key).is_some_and(|made| made.value == *value && now < made.due());
            if waits {
                let of_it = |condition: &Condition| {
                    matches!(condition, Condition::Absent(of) | Condition::Version(of, _) if of == key)
                };
                when.retain(|condition| !of_it(condition));
            }
            !waits
        });
        (!then.is_empty()).then_some((when, then))
    }

    /// When the next change may be made that may not at this moment.
    pub(super) fn next_due(&self, now: Duration) -> Option<Duration> {
        self.0.values().map(Made::due).filter(|due| *due > now).min()
    }
}
