//! Carries out, one after the other, what [`repair`](super::repair) says is to be done.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::Inner;
use super::clock::Backoff;
use crate::control::kv::PATIENCE;

/// How long it waits when nothing is due: it is woken by what happens.
const LONG: Duration = Duration::from_hours(1);

/// Repairs for ever.
pub(super) async fn run(inner: Arc<Inner>) {
    let mut backoff = Backoff::new(PATIENCE);
    loop {
        let (plan, due) = {
            let now = inner.now();
            let mut state = inner.state.lock();
            let plan = state.plan(now);
            if !state.changes.is_empty() {
                inner.told.notify_one();
            }
            (plan, state.next_due(now).map(|due| due.saturating_sub(now)))
        };
        let Some(plan) = plan else {
            backoff.reset();
            let _ = timeout(due.unwrap_or(LONG), inner.work.notified()).await;
            continue;
        };
        let wiser = match inner.commit(&plan, Instant::now() + PATIENCE).await {
            Ok(outcome) => {
                let now = inner.now();
                inner.turn().carried_out(&plan, &outcome, now)
            }
            Err(why) => {
                let now = inner.now();
                inner.turn().troubled(why.into(), now);
                false
            }
        };
        if !wiser {
            let pause = backoff.next(&mut inner.state.lock().dice);
            sleep(pause).await;
        }
    }
}
