//! The node's lease: joining, and staying.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::sleep;

use super::clock::Backoff;
use super::schema::{self, Epoch, Key, Node, SCHEMA, Value, Version, VtepClaim, encode};
use super::state::Session;
use super::{ClusterError, Inner, bounded};
use crate::control::kv::{Change, Condition, Entry, KvError, Lease, Outcome, PATIENCE};

/// Joins, stays as long as it can, and joins again.
pub(super) async fn run(inner: Arc<Inner>) {
    let longest = (inner.state.lock().config.lease / 4).min(PATIENCE);
    let mut backoff = Backoff::new(longest);
    loop {
        match join(&inner).await {
            Ok(lease) => {
                backoff.reset();
                keep(&inner, lease).await;
            }
            Err(why) => {
                let now = inner.now();
                let mut turn = inner.turn();
                if turn.trouble.as_ref().is_none_or(|trouble| trouble.why != why) {
                    tracing::warn!("this node cannot join the cluster: {why}");
                }
                turn.troubled(why, now);
            }
        }
        let pause = backoff.next(&mut inner.state.lock().dice);
        sleep(pause).await;
    }
}

/// One key, exactly.
async fn read(inner: &Inner, key: &Key) -> Result<Option<Entry>, KvError> {
    let text = inner.state.lock().keys.text(key);
    let found = bounded(PATIENCE, inner.kv.list(&text)).await?;
    Ok(found.entries.into_iter().find(|entry| entry.key == text))
}

fn unchanged(text: String, entry: Option<&Entry>) -> Condition {
    match entry {
        Some(entry) => Condition::Version(text, entry.version),
        None => Condition::Absent(text),
    }
}

/// Puts the node's key under a new lease.
async fn join(inner: &Inner) -> Result<Lease, ClusterError> {
    let (node, vtep, seconds) = {
        let state = inner.state.lock();
        let seconds = u32::try_from(state.config.lease.as_secs()).unwrap_or(u32::MAX);
        (Key::Node(state.config.node.clone()), Key::Vtep(state.config.vtep), seconds)
    };
    let version = read(inner, &Key::Version).await?;
    inner.turn().check_version(version.as_ref())?;
    let there = read(inner, &node).await?;
    let at_vtep = read(inner, &vtep).await?;
    admissible(inner, &node, there.as_ref())?;
    free(inner, &vtep, at_vtep.as_ref())?;

    let sent = inner.now();
    let lease = bounded(PATIENCE, inner.kv.grant(seconds)).await?;
    let (when, then) = {
        let state = inner.state.lock();
        let joined = for_people();
        let me = encode(&state.me(joined));
        let text = |key: &Key| state.keys.text(key);
        let mut when = vec![
            unchanged(text(&Key::Version), version.as_ref()),
            unchanged(text(&node), there.as_ref()),
            unchanged(text(&vtep), at_vtep.as_ref()),
        ];
        let put = |key: &Key, value: Vec<u8>, lease| Change::Put { key: text(key), value, lease };
        let member = Key::Member(state.config.node.clone());
        let at_address = encode(&VtepClaim { node: state.config.node.clone() });
        let mut then = vec![
            put(&node, me.clone(), Some(lease)),
            put(&vtep, at_address, Some(lease)),
            put(&member, me, None),
        ];
        if version.is_none() {
            then.push(put(&Key::Version, encode(&Version { schema: SCHEMA }), None));
            then.push(put(&Key::Epoch, encode(&Epoch { network: String::new() }), None));
            when.push(Condition::Absent(text(&Key::Epoch)));
        }
        (when, then)
    };
    match bounded(PATIENCE, inner.kv.commit(&when, &then)).await? {
        Outcome::Done(version) => {
            let now = inner.now();
            let mut turn = inner.turn();
            tracing::info!("joined the cluster as node {:?}", turn.config.node);
            turn.joined(Session { lease, version }, sent, now);
            Ok(lease)
        }
        Outcome::Refused(_) => Err(ClusterError::NotJoined("others joined at the same moment".into())),
    }
}

/// Seconds since 1970, by a clock that may be wrong: nothing depends on it.
#[allow(clippy::disallowed_methods)]
fn for_people() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The node's key is not there, or it is this node's.
fn admissible(inner: &Inner, key: &Key, there: Option<&Entry>) -> Result<(), ClusterError> {
    let Some(there) = there else { return Ok(()) };
    let state = inner.state.lock();
    match schema::decode(key, &there.value) {
        Ok(Value::Node(other)) => {
            let Node { name, id, run, vtep, .. } = other.as_ref();
            if *id != state.config.id {
                Err(ClusterError::NodeInUse { name: name.clone(), vtep: *vtep })
            } else if state.joined_before && *run != state.run {
                Err(ClusterError::Displaced(name.clone()))
            } else {
                Ok(())
            }
        }
        // Spoiled: whoever had it has lost it.
        _ => Ok(()),
    }
}

fn free(inner: &Inner, key: &Key, there: Option<&Entry>) -> Result<(), ClusterError> {
    let Some(there) = there else { return Ok(()) };
    let state = inner.state.lock();
    match schema::decode(key, &there.value) {
        Ok(Value::Vtep(other)) if other.node != state.config.node => {
            Err(ClusterError::VtepInUse { address: state.config.vtep, node: other.node })
        }
        _ => Ok(()),
    }
}

/// Renews the lease; `false` if the session has ended. A lease that lives says nothing of the node's key, by which
/// others go: somebody may have deleted it, or put another.
async fn renew(inner: &Inner, lease: Lease) -> Result<bool, KvError> {
    if !inner.kv.keep(lease).await? {
        return Ok(false);
    }
    let own = {
        let state = inner.state.lock();
        let Some(session) = state.session.filter(|session| session.lease == lease) else { return Ok(false) };
        Condition::Version(state.keys.text(&state.own_key()), session.version)
    };
    let outcome = inner.kv.commit(&[own], &[]).await?;
    Ok(matches!(outcome, Outcome::Done(_)))
}

/// Renews the lease until it, or the node's key, is gone.
async fn keep(inner: &Inner, lease: Lease) {
    let every = inner.state.lock().config.lease / 3;
    let patience = every.min(PATIENCE);
    let mut pause = every;
    loop {
        tokio::select! {
            biased;
            () = inner.over.notified() => {}
            () = sleep(pause) => {}
        }
        let lives = || inner.state.lock().session.is_some_and(|session| session.lease == lease);
        if !lives() {
            break;
        }
        let sent = inner.now();
        match bounded(patience, renew(inner, lease)).await {
            Ok(true) => {
                let mut turn = inner.turn();
                // The picture may have come to the end of the session meanwhile.
                if turn.session.is_some_and(|session| session.lease == lease) {
                    turn.kept(sent);
                }
                pause = every;
            }
            Ok(false) => {
                tracing::warn!("the node's lease or its key is gone: it joins anew");
                let mut turn = inner.turn();
                if turn.session.is_some_and(|session| session.lease == lease) {
                    turn.end_session();
                }
            }
            Err(why) => {
                let now = inner.now();
                inner.turn().troubled(why.into(), now);
                let short = (every / 4).max(Duration::from_millis(100));
                pause = inner.state.lock().dice.about(short);
            }
        }
    }
    // Its keys, if there are any left, are those of the next session by then, or nobody's.
    let _ = bounded(patience, inner.kv.revoke(lease)).await;
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
