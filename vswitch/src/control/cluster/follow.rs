//! Following the store: a list, then every change since, and a list again whenever the thread breaks.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::error::TryRecvError;
use tokio::time::{Instant, sleep, sleep_until};

use super::clock::Backoff;
use super::schema::Key;
use super::{ClusterError, Inner, bounded};
use crate::control::kv::{Event, KvError, PATIENCE, Watch};

/// How much longer the next look at a quiet watch may wait, in times of the lease.
const LONGEST_LOOK: u32 = 16;

/// Changes that are taken over at once, at most about so many: the state is locked meanwhile.
const MOST_AT_ONCE: usize = 1024;

/// Follows the store for ever.
pub(super) async fn run(inner: Arc<Inner>) {
    let lease = inner.state.lock().config.lease;
    let mut backoff = Backoff::new((lease / 4).min(PATIENCE));
    let mut look = lease;
    let mut doubted = None;
    loop {
        let begun = Instant::now();
        let end = match begin(&inner).await {
            Ok(watch) => {
                let seen = inner.state.lock().counters.seen;
                if let Some(before) = doubted.take() {
                    // Had it missed nothing, others use the store for something else.
                    look = if before == seen { (look * 2).min(lease * LONGEST_LOOK) } else { lease };
                }
                follow(&inner, watch, look).await
            }
            Err(why) => End::Trouble(why),
        };
        let now = inner.now();
        inner.turn().blind(now);
        match end {
            End::Broken => {}
            End::Doubtful => doubted = Some(inner.state.lock().counters.seen),
            End::Trouble(why) => {
                tracing::debug!("the store has to be read anew: {why}");
                let now = inner.now();
                inner.turn().troubled(why, now);
            }
        }
        if begun.elapsed() > lease {
            backoff.reset();
        }
        let pause = backoff.next(&mut inner.state.lock().dice);
        sleep(pause).await;
    }
}

/// Why a watch is not followed any longer.
enum End {
    /// It has ended, or the store has forgotten what it was to tell.
    Broken,
    /// It says nothing, and there may be something to say.
    Doubtful,
    Trouble(ClusterError),
}

/// Reads everything, and watches from there on.
async fn begin(inner: &Inner) -> Result<Watch, ClusterError> {
    let prefix = inner.state.lock().keys.prefix().to_owned();
    let snapshot = bounded(PATIENCE, inner.kv.list(&prefix)).await?;
    let now = inner.now();
    {
        let mut turn = inner.turn();
        turn.listed(&snapshot, now)?;
        turn.trouble = None;
    }
    Ok(bounded(PATIENCE, inner.kv.watch(&prefix, snapshot.revision)).await?)
}

/// Follows a watch to its end.
async fn follow(inner: &Inner, mut watch: Watch, look: Duration) -> End {
    let mut next_look = Instant::now() + look;
    let mut known = None;
    loop {
        tokio::select! {
            biased;
            batch = watch.recv() => {
                let (events, end) = all_of(batch, &mut watch);
                let now = inner.now();
                if !events.is_empty() && let Err(why) = inner.turn().watched(&events, now) {
                    return End::Trouble(why);
                }
                if let Some(end) = end {
                    return end;
                }
            }
            () = sleep_until(next_look) => {
                if !is_alive(inner, &mut known).await {
                    return End::Doubtful;
                }
                next_look = Instant::now() + look;
            }
        }
    }
}

/// What a watch has said, and all it has said since, as one: whoever is behind catches up at the price of
/// one change.
fn all_of(first: Option<Result<Vec<Event>, KvError>>, watch: &mut Watch) -> (Vec<Event>, Option<End>) {
    let (mut events, mut next) = (Vec::new(), first);
    loop {
        match next {
            Some(Ok(batch)) => events.extend(batch),
            Some(Err(KvError::Compacted(_))) | None => return (events, Some(End::Broken)),
            Some(Err(why)) => return (events, Some(End::Trouble(why.into()))),
        }
        if events.len() >= MOST_AT_ONCE {
            return (events, None);
        }
        next = match watch.try_recv() {
            Ok(batch) => Some(batch),
            Err(TryRecvError::Empty) => return (events, None),
            Err(TryRecvError::Disconnected) => None,
        };
    }
}

/// A watch that says nothing may have nothing to say, or nobody at its other end. It is held to be
/// dead when it has not come to a revision that was there a look ago; that may also have been a change
/// of something else in the store, and then the picture is at that revision after the list.
async fn is_alive(inner: &Inner, known: &mut Option<u64>) -> bool {
    let revision = inner.state.lock().picture.revision;
    if known.is_some_and(|known| revision < known) {
        return false;
    }
    let text = inner.state.lock().keys.text(&Key::Version);
    match bounded(PATIENCE, inner.kv.list(&text)).await {
        // The store has gone back.
        Ok(snapshot) if snapshot.revision < revision => false,
        Ok(snapshot) => {
            *known = Some(snapshot.revision);
            true
        }
        Err(why) => {
            let now = inner.now();
            inner.turn().troubled(why.into(), now);
            true
        }
    }
}

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;
