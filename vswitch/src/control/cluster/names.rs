//! Claiming containers' names and giving them back, and the end of taking part.

use tokio::time::{Instant, timeout_at};

use super::schema::Key;
use super::{Cluster, ClusterError, Inner, bounded};
use crate::control::kv::{Change, Condition, PATIENCE};

/// A claim of a name under way.
struct Naming<'a> {
    inner: &'a Inner,
    name: &'a str,
}

impl Drop for Naming<'_> {
    fn drop(&mut self) {
        self.inner.turn().end_name(self.name);
    }
}

impl Cluster {
    /// Claims a container's name in the whole cluster.
    ///
    /// # Errors
    /// [`ClusterError`], within 5 s.
    pub async fn claim_name(&self, name: &str, container: &str) -> Result<(), ClusterError> {
        let inner = self.inner.as_ref();
        inner.turn().begin_name(name, container)?;
        let _naming = Naming { inner, name };
        let end = Instant::now() + PATIENCE;
        let work = async {
            loop {
                let happened = inner.happened.notified();
                let plan = inner.state.lock().plan_name(name, container);
                let plan = match plan {
                    Ok(plan) => plan,
                    Err(why) if why.may_pass() => {
                        if !Inner::happens(happened, end).await {
                            return Err(why);
                        }
                        continue;
                    }
                    Err(why) => return Err(why),
                };
                let outcome = inner.commit(&plan, end).await?;
                let now = inner.now();
                if inner.turn().name_outcome(name, container, &plan, &outcome, now) {
                    return Ok(());
                }
                // Whoever has it is known by now, or will be.
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let result = timeout_at(end + std::time::Duration::from_millis(100), work).await;
        result.unwrap_or(Err(ClusterError::Contended(PATIENCE.as_secs())))
    }

    /// Gives a container's name back. It is this node's no longer from this call on.
    ///
    /// # Errors
    /// When the store does not know yet; it is told as soon as it answers.
    pub async fn release_name(&self, name: &str, container: &str) -> Result<(), ClusterError> {
        {
            let mut turn = self.inner.turn();
            match turn.names.get_mut(name) {
                Some(hold) if hold.container == container => hold.held = false,
                _ => return Ok(()),
            }
            turn.end_name(name);
            turn.session_holds()?;
        }
        self.carry_out(|state| state.release_of_name(name)).await
    }

    /// Gives a container another name: the new one is claimed, its endpoints get it, the old one is
    /// given back.
    ///
    /// # Errors
    /// [`ClusterError`], within 5 s for the claim; nothing has changed then.
    pub async fn rename(&self, container: &str, old: &str, new: &str) -> Result<(), ClusterError> {
        self.claim_name(new, container).await?;
        let amended = self.amend(|held| {
            let hit = held.container == container && held.name != new;
            if hit {
                new.clone_into(&mut held.name);
            }
            hit
        });
        if let Err(why) = amended {
            let _ = self.release_name(new, container).await;
            return Err(why);
        }
        // What is left of it is done by the way: the name is the container's already.
        let _ = self.release_name(old, container).await;
        let _ = self.settled(|held| held.container == container).await;
        Ok(())
    }

    /// Ends taking part: the node's key goes, and its lease. What it still holds is given back by
    /// others after the grace time.
    ///
    /// # Errors
    /// When the store does not know; the lease runs out then.
    pub async fn leave(&self) -> Result<(), ClusterError> {
        let inner = self.inner.as_ref();
        inner.stop();
        let (session, when, then) = {
            let mut turn = inner.turn();
            let Some(session) = turn.session else { return Ok(()) };
            turn.end_session();
            let node = turn.keys.text(&turn.own_key());
            let mut then = vec![
                Change::Delete(node.clone()),
                Change::Delete(turn.keys.text(&Key::Vtep(turn.config.vtep))),
            ];
            if turn.picture.of_node(&turn.config.node).next().is_none() {
                then.push(Change::Delete(turn.keys.text(&Key::Member(turn.config.node.clone()))));
            }
            (session, [Condition::Version(node, session.version)], then)
        };
        bounded(PATIENCE, inner.kv.commit(&when, &then)).await?;
        bounded(PATIENCE, inner.kv.revoke(session.lease)).await?;
        Ok(())
    }
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
