//! Claiming endpoints and giving them back.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::claims::Claimed;
use super::schema::SharedEndpoint;
use super::state::Claim;
use super::{Cluster, ClusterError, EndpointWish, Inner, bounded_by};
use crate::control::kv::PATIENCE;

/// Refusals of a claim after which it reads what is taken on its network.
const LOOK_EVERY: u32 = 4;

/// How long a claim waits after its first refusal at most; after each further one as much longer.
const PAUSE: Duration = Duration::from_millis(50);

/// Up to so many times that.
const LONGEST_PAUSE: u32 = 10;

/// A claim under way. What the store was told of one that did not succeed is given back.
struct Asking<'a> {
    inner: &'a Inner,
    id: String,
    name: String,
}

impl<'a> Asking<'a> {
    /// Begins; the endpoint if it is held already.
    fn begin(
        inner: &'a Inner,
        wish: EndpointWish,
    ) -> Result<Result<Self, Arc<SharedEndpoint>>, ClusterError> {
        let mut turn = inner.turn();
        match turn.claims.get(&wish.id) {
            Some(Claim::Held { endpoint, .. }) => return Ok(Err(endpoint.clone())),
            Some(Claim::Pending(..)) => {
                return Err(ClusterError::NotJoined(format!("endpoint {} is asked for already", wish.id)));
            }
            None => {}
        }
        turn.begin_name(&wish.name, &wish.container)?;
        let (id, name) = (wish.id.clone(), wish.name.clone());
        turn.claims.insert(id.clone(), Claim::Pending(Box::new(wish), None));
        Ok(Ok(Self { inner, id, name }))
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut turn = self.inner.turn();
        if matches!(turn.claims.get(&self.id), Some(Claim::Pending(..))) {
            turn.claims.remove(&self.id);
        }
        turn.end_name(&self.name);
    }
}

impl Cluster {
    /// Claims an address, the Ethernet address that goes with it and the container's name, all or none.
    ///
    /// # Errors
    /// [`ClusterError`], within 5 s. If the store did not answer in time, it may have heard; it is
    /// told then that nobody wants the claim.
    pub async fn claim(&self, wish: EndpointWish) -> Result<Arc<SharedEndpoint>, ClusterError> {
        let inner = self.inner.as_ref();
        let network = wish.network.clone();
        let asking = match Asking::begin(inner, wish)? {
            Ok(asking) => asking,
            Err(held) => return Ok(held),
        };
        let end = Instant::now() + PATIENCE;
        let (mut level, mut refusals) = (0, 0);
        let work = async {
            loop {
                let turn = inner.claiming.lock().await;
                let happened = inner.happened.notified();
                // Nobody is told: it would be this that happens.
                let plan = {
                    let now = inner.now();
                    let mut state = inner.state.lock();
                    level = state.contention.level(&network, now).max(level);
                    state.plan_claim(&asking.id, level)
                };
                let plan = match plan {
                    Ok(plan) => plan,
                    Err(why) if why.may_pass() => {
                        drop(turn);
                        if !Inner::happens(happened, end).await {
                            return Err(why);
                        }
                        continue;
                    }
                    Err(why) => return Err(why),
                };
                let outcome = inner.commit(&plan, end).await;
                let now = inner.now();
                let outcome = outcome.inspect_err(|why| inner.turn().troubled(why.clone().into(), now))?;
                let claimed = inner.turn().claim_outcome(&asking.id, &plan, &outcome, now)?;
                let since = match claimed {
                    Claimed::Held(endpoint) => return Ok(endpoint),
                    Claimed::Collided(since) => {
                        inner.state.lock().contention.collided(&network, level, now);
                        level += 1;
                        since
                    }
                    Claimed::Again => u64::MAX,
                };
                drop(turn);
                refusals += 1;
                self.after_refusal(&network, refusals, since, end).await?;
            }
        };
        let result = timeout_at(end + Duration::from_millis(100), work).await;
        result.unwrap_or_else(|_| {
            // Those before it may have waited for an answer.
            let trouble = inner.state.lock().trouble.as_ref().map(|trouble| trouble.why.clone());
            Err(trouble.unwrap_or(ClusterError::Contended(PATIENCE.as_secs())))
        })
    }

    /// This claim was refused for so many times, the last time for what has been there since a revision: it
    /// waits until the watch has come there, or for a moment, longer with every time. In between it
    /// reads what is taken, which costs as much as all others have, but the watch may be far behind.
    async fn after_refusal(
        &self,
        network: &str,
        refusals: u32,
        since: u64,
        end: Instant,
    ) -> Result<(), ClusterError> {
        if refusals.is_multiple_of(LOOK_EVERY) {
            let prefix = self.inner.state.lock().keys.endpoints_of(network);
            let taken = bounded_by(end, self.inner.kv.list(&prefix)).await?;
            let now = self.inner.now();
            self.inner.turn().learn(&taken.entries, now);
        }
        let pause = self.inner.state.lock().dice.about(PAUSE * refusals.min(LONGEST_PAUSE));
        let until = Instant::now() + pause;
        loop {
            let happened = self.inner.happened.notified();
            if self.inner.state.lock().picture.revision >= since || !Inner::happens(happened, until).await {
                return Ok(());
            }
        }
    }

    /// Gives an endpoint back. It is this node's no longer from this call on, whatever comes of it.
    ///
    /// # Errors
    /// When the store does not know yet; it is told as soon as it answers.
    pub async fn release(&self, endpoint: &str) -> Result<(), ClusterError> {
        let inner = self.inner.as_ref();
        let held = {
            let mut turn = inner.turn();
            if !matches!(turn.claims.get(endpoint), Some(Claim::Held { .. })) {
                return Ok(());
            }
            match turn.claims.remove(endpoint) {
                Some(Claim::Held { endpoint, .. }) => endpoint,
                _ => return Ok(()),
            }
        };
        let known = inner.state.lock().session_holds().map(|_| ());
        known?;
        self.carry_out(|state| state.release_of(&held.network, &held)).await
    }

    /// Gives an endpoint that is held other aliases.
    ///
    /// # Errors
    /// [`ClusterError::NotHeld`]; [`ClusterError::Unfit`] of too many, and nothing has changed then; when the store does not know yet, which it is told as soon as it answers.
    pub async fn set_aliases(&self, endpoint: &str, aliases: Vec<String>) -> Result<(), ClusterError> {
        self.amend(|held| {
            if held.id != endpoint || held.aliases == aliases {
                return false;
            }
            held.aliases.clone_from(&aliases);
            true
        })?;
        let held = |id: &str| matches!(self.inner.state.lock().claims.get(id), Some(Claim::Held { .. }));
        if held(endpoint) {
            self.settled(|endpoint_held| endpoint_held.id == endpoint).await
        } else {
            Err(ClusterError::NotHeld(endpoint.into()))
        }
    }

    /// Changes endpoints that are held; the store is told by the way.
    ///
    /// # Errors
    /// [`ClusterError::Unfit`]; nothing has changed then.
    pub(super) fn amend(&self, change: impl FnMut(&mut SharedEndpoint) -> bool) -> Result<(), ClusterError> {
        self.inner.turn().amend(change)
    }

    /// Waits until the store has these endpoints as they are to be.
    pub(super) async fn settled(&self, these: impl Fn(&SharedEndpoint) -> bool) -> Result<(), ClusterError> {
        let end = Instant::now() + PATIENCE;
        loop {
            let happened = self.inner.happened.notified();
            {
                let state = self.inner.state.lock();
                let open = state.claims.values().any(|claim| match claim {
                    Claim::Held { endpoint, .. } => these(endpoint) && !state.is_settled(endpoint),
                    Claim::Pending(..) => false,
                });
                if !open {
                    return Ok(());
                }
            }
            if !Inner::happens(happened, end).await {
                self.inner.state.lock().session_holds()?;
                return Err(ClusterError::Contended(PATIENCE.as_secs()));
            }
        }
    }

    /// Carries out plans until there is none.
    pub(super) async fn carry_out(
        &self,
        plan: impl Fn(&super::state::State) -> Option<super::repair::Plan>,
    ) -> Result<(), ClusterError> {
        let inner = self.inner.as_ref();
        let end = Instant::now() + PATIENCE;
        let work = async {
            loop {
                let happened = inner.happened.notified();
                let next = plan(&inner.state.lock());
                let Some(next) = next else { return Ok(()) };
                let outcome = inner.commit(&next, end).await?;
                let now = inner.now();
                let wiser = inner.turn().carried_out(&next, &outcome, now);
                if !wiser && !Inner::happens(happened, end).await {
                    return Err(ClusterError::Contended(PATIENCE.as_secs()));
                }
            }
        };
        timeout_at(end, work).await.unwrap_or(Err(ClusterError::Contended(PATIENCE.as_secs())))
    }
}

#[cfg(test)]
#[path = "endpoints_tests.rs"]
mod tests;
