//! Networks of all nodes: what the store says of them, and what this node claims there.
//!
//! The decisions are made in `state` and its neighbours, which do no I/O: the picture of the store
//! (`picture`), claims (`claims`), repairs and what dead nodes leave behind (`repair`). Around
//! them are three tasks: one keeps the node's lease (`session`), one follows the store
//! (`follow`), one carries out repairs (`keeper`). docs/overlay.md says what holds and why.

#![deny(clippy::disallowed_methods)] // no clock that people set

mod changes;
mod claims;
mod clock;
mod contention;
mod damping;
mod endpoints;
mod error;
mod follow;
pub mod fuzzing;
mod keeper;
#[cfg(test)]
mod many_tests;
mod names;
mod networks;
mod picture;
mod repair;
pub mod schema;
mod session;
#[cfg(test)]
mod sim;
mod state;
#[cfg(test)]
mod testing;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use packet::MacAddr;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout, timeout_at};

pub use changes::{Event, LostEndpoint, Standing};
pub use clock::{Boottime, Clock};
pub use error::ClusterError;
pub use schema::{Node, SharedEndpoint, SharedNetwork};

use crate::control::kv::{Kv, KvError, Outcome, PATIENCE};
use repair::Plan;
use schema::{Key, Value};
use state::State;

/// What all keys are below unless told otherwise.
pub const DEFAULT_PREFIX: &str = "/vswitch";

/// Shortest lease: etcd grants none shorter than its members need to elect a leader.
const SHORTEST_LEASE: Duration = Duration::from_secs(2);

/// How this node takes part.
#[derive(Clone, Debug)]
pub struct Config {
    /// All keys are below it.
    pub prefix: String,
    /// The node's name: see [`schema::is_node_name`].
    pub node: String,
    /// What the node is known again by after a restart: as long as its data directory.
    pub id: String,
    /// The address under which others reach this node's tunnels.
    pub vtep: IpAddr,
    /// How long the node counts as being there without a word of it, in whole seconds.
    pub lease: Duration,
    /// How long after that its claims stay its own; at least twice the lease.
    pub grace: Duration,
}

impl Config {
    /// The defaults: a lease of 20 s, a grace time of 120 s.
    pub fn new(node: &str, id: &str, vtep: IpAddr) -> Self {
        Self {
            prefix: DEFAULT_PREFIX.into(),
            node: node.into(),
            id: id.into(),
            vtep,
            lease: Duration::from_secs(20),
            grace: Duration::from_mins(2),
        }
    }

    /// Times that make sense together: see docs/overlay.md.
    fn sound(mut self) -> Self {
        self.lease = Duration::from_secs(self.lease.max(SHORTEST_LEASE).as_secs());
        self.grace = self.grace.max(self.lease * 2);
        self
    }
}

/// What this node holds when it starts, by its own records. What the store has of it beyond that
/// is given back.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// Endpoints; their node and tunnel endpoint are set anew.
    pub endpoints: Vec<SharedEndpoint>,
    /// Names, and the containers they are of.
    pub names: Vec<(String, String)>,
}

/// An endpoint that is asked for.
#[derive(Clone, Debug, Default)]
pub struct EndpointWish {
    /// 64 hexadecimal digits.
    pub id: String,
    /// The network's id.
    pub network: String,
    /// The container's id.
    pub container: String,
    /// The container's name; empty of one that has none.
    pub name: String,
    /// Further names.
    pub aliases: Vec<String>,
    /// The Ethernet address; derived from the IPv4 address otherwise.
    pub mac: Option<MacAddr>,
    /// The IPv4 address; the lowest free one otherwise.
    pub ipv4: Option<Ipv4Addr>,
    /// The IPv6 address; derived from the Ethernet address otherwise.
    pub ipv6: Option<Ipv6Addr>,
}

/// How things stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The node's name.
    pub node: String,
    /// Its tunnel endpoint.
    pub vtep: IpAddr,
    /// It has a lease, and its claims have been compared with the store.
    pub joined: bool,
    /// Whether its claims are its own.
    pub standing: Standing,
    /// Why the store is not to be had, and for how long.
    pub trouble: Option<(String, Duration)>,
    /// The store's revision up to which everything is known.
    pub revision: u64,
    /// Networks of all nodes.
    pub networks: usize,
    /// Endpoints of this node.
    pub endpoints: usize,
    /// Nodes that are there.
    pub nodes: usize,
    /// Keys below the prefix that cannot be read, and why.
    pub unreadable: Vec<(String, String)>,
    /// How often everything was read anew.
    pub resyncs: u64,
    /// How often this node has joined.
    pub sessions: u64,
    /// Endpoints and names that this node lost to others.
    pub lost: u64,
    /// Keys of this node that had to be put again.
    pub repaired: u64,
    /// Keys of dead nodes that this one gave back.
    pub reaped: u64,
}

/// Most unreadable keys that are named in [`Status`].
const MOST_UNREADABLE: usize = 100;

struct Inner {
    kv: Arc<dyn Kv>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// There may be something to repair.
    work: Notify,
    /// There may be something to tell.
    told: Notify,
    /// The session may have ended.
    over: Notify,
    /// Tells all who wait, in the order in which they began to, of everything that happens.
    happened: Notify,
    tasks: Mutex<Vec<AbortHandle>>,
    /// Claims of endpoints are made one after the other: what waits here in vain leaves nothing in the store, and the
    /// next one knows what became of the one before.
    claiming: tokio::sync::Mutex<()>,
}

/// The state, and word to everybody when it is let go of.
struct Turn<'a> {
    state: MutexGuard<'a, State>,
    inner: &'a Inner,
}

impl std::ops::Deref for Turn<'_> {
    type Target = State;
    fn deref(&self) -> &State {
        &self.state
    }
}

impl std::ops::DerefMut for Turn<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // Those who are woken wait for the lock, which goes with the fields.
        if !self.state.changes.is_empty() {
            self.inner.told.notify_one();
        }
        if self.state.session.is_none() {
            self.inner.over.notify_one();
        }
        self.inner.work.notify_one();
        self.inner.happened.notify_waiters();
    }
}

/// Waits for a call to the store, but not for ever.
async fn bounded<T>(
    patience: Duration,
    call: impl Future<Output = Result<T, KvError>>,
) -> Result<T, KvError> {
    match timeout(patience, call).await {
        Ok(result) => result,
        Err(_) => Err(KvError::Unreachable(format!("no answer within {} s", patience.as_secs_f32().ceil()))),
    }
}

/// The same as a part of something that has its own time.
async fn bounded_by<T>(end: Instant, call: impl Future<Output = Result<T, KvError>>) -> Result<T, KvError> {
    match timeout_at(end, call).await {
        Ok(result) => result,
        Err(_) => Err(KvError::Unreachable(format!("no answer within {} s", PATIENCE.as_secs()))),
    }
}

impl Inner {
    /// The state, to change something in it.
    fn turn(&self) -> Turn<'_> {
        Turn { state: self.state.lock(), inner: self }
    }

    fn now(&self) -> Duration {
        self.clock.now()
    }

    async fn commit(&self, plan: &Plan, end: Instant) -> Result<Outcome, KvError> {
        bounded_by(end, self.kv.commit(&plan.when, &plan.then)).await
    }

    /// Waits for something to happen after `happened` was made, until `end` at most: `false` then.
    async fn happens(happened: Notified<'_>, end: Instant) -> bool {
        timeout_at(end, happened).await.is_ok()
    }

    fn stop(&self) {
        for task in self.tasks.lock().drain(..) {
            task.abort();
        }
        self.turn().left = true;
        self.told.notify_one();
    }
}

/// Ends the tasks with the last handle.
struct Owner(Arc<Inner>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// This node's part in the cluster. Clones are the same.
#[derive(Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
    _owner: Arc<Owner>,
}

impl Cluster {
    /// Begins to take part, on tokio's current runtime. The store need not answer yet.
    pub fn start(kv: Arc<dyn Kv>, config: Config, held: Held) -> (Self, Events) {
        let (run, seed) = (format!("{:016x}", rand::random::<u64>()), rand::random());
        Self::start_with(kv, Arc::new(Boottime), config, held, run, seed)
    }

    /// The same with another clock, and with nothing left to chance.
    pub(crate) fn start_with(
        kv: Arc<dyn Kv>,
        clock: Arc<dyn Clock>,
        config: Config,
        held: Held,
        run: String,
        seed: u64,
    ) -> (Self, Events) {
        let inner = Arc::new(Inner {
            kv,
            clock,
            state: Mutex::new(State::new(config.sound(), held, run, seed)),
            work: Notify::new(),
            told: Notify::new(),
            over: Notify::new(),
            happened: Notify::new(),
            tasks: Mutex::default(),
            claiming: tokio::sync::Mutex::default(),
        });
        let tasks = [
            tokio::spawn(session::run(inner.clone())).abort_handle(),
            tokio::spawn(follow::run(inner.clone())).abort_handle(),
            tokio::spawn(keeper::run(inner.clone())).abort_handle(),
        ];
        inner.tasks.lock().extend(tasks);
        let owner = Arc::new(Owner(inner.clone()));
        (Self { inner: inner.clone(), _owner: owner }, Events { inner })
    }

    /// Waits until this node has joined and knows what is in the store, 5 s at most.
    ///
    /// # Errors
    /// Why it has not; it goes on trying.
    pub async fn ready(&self) -> Result<(), ClusterError> {
        self.ready_by(Instant::now() + PATIENCE).await
    }

    /// The same as a part of something that has its own time.
    async fn ready_by(&self, end: Instant) -> Result<(), ClusterError> {
        loop {
            let happened = self.inner.happened.notified();
            let Err(reason) = self.inner.state.lock().session_holds() else { return Ok(()) };
            // Waiting does not make these better.
            let hopeless = matches!(
                reason,
                ClusterError::Store(KvError::Refused(_))
                    | ClusterError::NewerSchema { .. }
                    | ClusterError::Left
            );
            if hopeless || !Inner::happens(happened, end).await {
                return Err(reason);
            }
        }
    }

    /// A network, by its id.
    pub fn network(&self, id: &str) -> Option<Arc<SharedNetwork>> {
        self.inner.state.lock().picture.network(id).cloned()
    }

    /// The networks of all nodes.
    pub fn networks(&self) -> Vec<Arc<SharedNetwork>> {
        self.inner.state.lock().picture.networks().cloned().collect()
    }

    /// The endpoints of a network, on all nodes.
    pub fn endpoints(&self, network: &str) -> Vec<Arc<SharedEndpoint>> {
        self.inner.state.lock().picture.endpoints(network).cloned().collect()
    }

    /// The endpoint's key is gone, and another one that was claimed with it is still there. Its node gives all of them
    /// back at once: so it was not given back, but somebody has deleted the key, and its node will put it again.
    pub fn lingers(&self, endpoint: &SharedEndpoint) -> bool {
        let state = self.inner.state.lock();
        let there = |key: Key| state.picture.get(&key);
        let of_it = |second| {
            let item = there(Key::Second(endpoint.network.clone(), second));
            matches!(item.and_then(|item| item.shown()), Some(Value::Second(claim)) if claim.endpoint == endpoint.id)
        };
        there(Key::Endpoint(endpoint.network.clone(), endpoint.ipv4.addr())).is_none()
            && endpoint.seconds().into_iter().any(of_it)
    }

    /// The nodes that are there.
    pub fn nodes(&self) -> Vec<Arc<Node>> {
        self.inner.state.lock().picture.nodes().cloned().collect()
    }

    /// It is on this node.
    pub fn is_local(&self, endpoint: &SharedEndpoint) -> bool {
        endpoint.node == self.inner.state.lock().config.node
    }

    /// Whether this node may regard its claims as its own at this moment.
    pub fn standing(&self) -> Standing {
        self.inner.state.lock().standing(self.inner.now())
    }

    /// The endpoint is this node's without a doubt.
    pub fn owns(&self, endpoint: &str) -> bool {
        self.inner.state.lock().owns(endpoint, self.inner.now())
    }

    /// How things stand.
    pub fn status(&self) -> Status {
        let now = self.inner.now();
        let state = self.inner.state.lock();
        let unreadable = state.picture.unreadable().take(MOST_UNREADABLE);
        let trouble = state.trouble.as_ref();
        Status {
            node: state.config.node.clone(),
            vtep: state.config.vtep,
            joined: state.session.is_some() && state.confirmed,
            standing: state.standing(now),
            trouble: trouble.map(|trouble| (trouble.why.to_string(), now.saturating_sub(trouble.since))),
            revision: state.picture.revision,
            networks: state.picture.networks().count(),
            endpoints: state.claims.len(),
            nodes: state.picture.nodes().count(),
            unreadable: unreadable.map(|(key, why)| (state.keys.text(key), why.to_owned())).collect(),
            resyncs: state.counters.resyncs,
            sessions: state.counters.sessions,
            lost: state.counters.lost,
            repaired: state.counters.repaired,
            reaped: state.counters.reaped,
        }
    }

    /// Ends taking part, without a word to the store: the node's lease runs out, unless it starts again.
    pub fn stop(&self) {
        self.inner.stop();
    }
}

/// What the daemon is told; there is one of it.
pub struct Events {
    inner: Arc<Inner>,
}

impl Events {
    /// Waits for changes and takes them all. `None` when this node has left.
    pub async fn next(&mut self) -> Option<Vec<Event>> {
        loop {
            let (events, left, sure_for) = {
                let now = self.inner.now();
                let mut state = self.inner.state.lock();
                (state.take_changes(now), state.left, state.sure_for(now))
            };
            if !events.is_empty() {
                return Some(events);
            }
            if left {
                return None;
            }
            match sure_for {
                Some(rest) => {
                    let _ = timeout(rest, self.inner.told.notified()).await;
                }
                None => self.inner.told.notified().await,
            }
        }
    }
}
