//! What is put again and again.
//!
//! A key of this node that somebody has spoiled is put right at once. If it is spoiled again, by a
//! program perhaps that has its own idea of it, two programs would write as fast as they can for ever: so
//! the same change waits for a moment, twice as long with every time.

use std::collections::BTreeMap;
use std::time::Duration;

use super::repair::Plan;
use crate::control::kv::Change;

/// Waiting time after a change was made for the second time.
const SHORTEST: Duration = Duration::from_millis(100);

/// Longest waiting time.
const LONGEST: Duration = Duration::from_secs(30);

/// A change that was made longer ago than this is new again.
const FORGOTTEN: Duration = Duration::from_mins(2);

#[derive(Debug)]
struct Made {
    changes: Vec<Change>,
    at: Duration,
    pause: Duration,
}

/// The repairs of late, by what they were for.
#[derive(Debug, Default)]
pub(super) struct Damper(BTreeMap<super::repair::Purpose, Made>);

impl Damper {
    /// A plan was carried out.
    pub(super) fn made(&mut self, plan: &Plan, now: Duration) {
        self.0.retain(|_, made| now < made.at.saturating_add(FORGOTTEN));
        let before = self.0.get(&plan.purpose).filter(|made| made.changes == plan.then);
        let pause = before.map_or(Duration::ZERO, |made| (made.pause * 2).clamp(SHORTEST, LONGEST));
        self.0.insert(plan.purpose.clone(), Made { changes: plan.then.clone(), at: now, pause });
    }

    /// A plan may be carried out at this moment.
    pub(super) fn permits(&self, plan: &Plan, now: Duration) -> bool {
        let made = self.0.get(&plan.purpose).filter(|made| made.changes == plan.then);
        made.is_none_or(|made| made.at.saturating_add(made.pause) <= now)
    }

    /// When the next change may be made that may not at this moment.
    pub(super) fn next_due(&self, now: Duration) -> Option<Duration> {
        self.0.values().map(|made| made.at.saturating_add(made.pause)).filter(|due| *due > now).min()
    }
}
