//! The store, and everything between it and the nodes: delay, loss, duplication, partition, restart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use ipnet::IpNet;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, sleep_until};

use super::node::SimNode;
use crate::control::cluster::clock::Dice;
use crate::control::cluster::schema::{Key, Keys, SharedEndpoint, SharedNetwork, Value, decode};
use crate::control::kv::{Change, Condition, Kv, KvError, Lease, Memory, Outcome, PATIENCE, Snapshot, Watch};
use crate::control::net::IpamConfig;
use crate::control::net::subnets::overlap;

/// A defect that is put in on purpose, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Defect {
    /// A claim does not ask whether the address is free.
    ClaimsTakenAddresses,
    /// A claim does not ask whether the name is free.
    ClaimsTakenNames,
    /// A network is made without a look at who else makes one.
    ForgetsTheEpoch,
    /// What a dead node held is given back without asking whether it has come back.
    ReapsTheLiving,
    /// What a node held is given back with its lease.
    HasNoGrace,
    /// A network is removed without asking whether somebody is on it.
    RemovesUsedNetworks,
    /// A claim does not ask whether the network is there.
    ClaimsOnNoNetwork,
    /// Every tenth change is not told to those who watch.
    LosesChanges,
}

/// How often something goes wrong, in thousandths.
#[derive(Clone, Copy, Debug)]
pub(super) struct Faults {
    pub(super) slow: u64,
    pub(super) lost_request: u64,
    pub(super) lost_answer: u64,
    pub(super) late: u64,
    pub(super) twice: u64,
    pub(super) silent_watch: u64,
}

impl Faults {
    pub(super) const NONE: Self =
        Self { slow: 0, lost_request: 0, lost_answer: 0, late: 0, twice: 0, silent_watch: 0 };
}

pub(super) struct World {
    pub(super) store: Memory,
    pub(super) keys: Keys,
    pub(super) dice: Mutex<Dice>,
    pub(super) faults: Mutex<Faults>,
    pub(super) defect: Option<Defect>,
    leases: Mutex<BTreeMap<Lease, (Duration, Instant)>>,
    leases_changed: Notify,
    up: Mutex<bool>,
    /// What the store has: kept beside it, so that it can be looked at all the time.
    pub(super) mirror: Mutex<BTreeMap<Key, Value>>,
    pub(super) trace: Mutex<u64>,
    pub(super) violations: Mutex<Vec<String>>,
    pub(super) counts: Mutex<Counts>,
    nodes: Mutex<Vec<Weak<SimNode>>>,
    /// Revisions in which something was made that somebody has spoiled.
    spoiled: Mutex<BTreeSet<u64>>,
}

/// What has happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) commits: u64,
    pub(super) claimed: u64,
    pub(super) released: u64,
    pub(super) networks: u64,
    /// Those of them with several subnets.
    pub(super) wide: u64,
    /// Claims in another subnet than the first of a network.
    pub(super) further: u64,
    pub(super) deaths: u64,
    pub(super) rejoined: u64,
    pub(super) reaped: u64,
    pub(super) lost: u64,
    pub(super) repaired: u64,
    pub(super) spoiled: u64,
    pub(super) suspended: u64,
}

impl World {
    pub(super) fn new(seed: u64, faults: Faults, defect: Option<Defect>) -> Arc<Self> {
        Arc::new(Self {
            store: Memory::default(),
            keys: Keys::new("/sim"),
            dice: Mutex::new(Dice::new(seed)),
            faults: Mutex::new(faults),
            defect,
            leases: Mutex::default(),
            leases_changed: Notify::new(),
            up: Mutex::new(true),
            mirror: Mutex::default(),
            trace: Mutex::new(seed),
            violations: Mutex::default(),
            counts: Mutex::default(),
            nodes: Mutex::default(),
            spoiled: Mutex::default(),
        })
    }

    pub(super) fn add(&self, node: &Arc<SimNode>) {
        self.nodes.lock().push(Arc::downgrade(node));
    }

    /// Asks every node whether it believes what is so.
    pub(super) fn check(&self) {
        let nodes = self.nodes.lock().clone();
        for node in nodes.iter().filter_map(Weak::upgrade) {
            node.check();
        }
    }

    pub(super) fn roll(&self, end: u64) -> u64 {
        self.dice.lock().below(end)
    }

    pub(super) fn chance(&self, thousandths: u64) -> bool {
        self.roll(1000) < thousandths
    }

    pub(super) fn violation(&self, what: String) {
        let mut violations = self.violations.lock();
        if violations.len() < 10 && !violations.contains(&what) {
            violations.push(what);
        }
    }

    fn note(&self, what: &impl std::hash::Hash) {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        let mut trace = self.trace.lock();
        trace.hash(&mut hasher);
        what.hash(&mut hasher);
        *trace = hasher.finish();
    }

    pub(super) fn is_up(&self) -> bool {
        *self.up.lock()
    }

    pub(super) fn go_down(&self) {
        *self.up.lock() = false;
        self.end_watches();
    }

    /// Its leases begin anew, as those of etcd do with a new leader.
    pub(super) fn come_up(&self) {
        *self.up.lock() = true;
        for (time, end) in self.leases.lock().values_mut() {
            *end = Instant::now() + *time;
        }
        self.leases_changed.notify_one();
    }

    pub(super) fn end_watches(&self) {
        self.store.set_silent(true);
        self.store.set_silent(false);
    }

    /// Ends leases that nobody keeps.
    pub(super) async fn expire(self: Arc<Self>) {
        loop {
            let next = self.leases.lock().iter().map(|(lease, (_, end))| (*end, *lease)).min();
            let Some((end, lease)) = next else {
                self.leases_changed.notified().await;
                continue;
            };
            tokio::select! {
                biased;
                () = self.leases_changed.notified() => continue,
                () = sleep_until(end) => {}
            }
            if !self.is_up() {
                self.leases_changed.notified().await;
                continue;
            }
            let still = self.leases.lock().get(&lease).is_some_and(|(_, end)| *end <= Instant::now());
            if still {
                self.leases.lock().remove(&lease);
                self.store.expire(lease);
                self.note(&("expired", lease));
            }
        }
    }

    /// Somebody with a shell writes nonsense over one of the claims.
    pub(super) fn vandalise(&self) {
        let claims: Vec<Key> = {
            let mirror = self.mirror.lock();
            mirror.iter().filter(|(_, value)| value.node().is_some()).map(|(key, _)| key.clone()).collect()
        };
        let at = self.roll(claims.len() as u64) as usize;
        let Some(key) = claims.into_iter().nth(at) else { return };
        let text = self.keys.text(&key);
        let there = self.store.list(&text).now_or_never().and_then(Result::ok).unwrap_or_default();
        // One key of a transaction: whose it was is told by the others.
        let Some(entry) = there.entries.into_iter().find(|entry| entry.key == text) else { return };
        if !self.spoiled.lock().insert(entry.created) {
            return;
        }
        let put = Change::Put { key: text, value: b"{\"node\": 7".to_vec(), lease: None };
        let _ = self.store.commit(&[], &[put]).now_or_never();
        self.note(&key.to_string());
        self.counts.lock().spoiled += 1;
    }

    /// What is in the store in a form that nobody can read.
    pub(super) fn unreadable(&self) -> BTreeSet<Key> {
        let all = self.store.list(self.keys.prefix()).now_or_never().and_then(Result::ok).unwrap_or_default();
        let keys = all.entries.iter().filter_map(|entry| Some((self.keys.read(&entry.key)?, &entry.value)));
        keys.filter(|(key, value)| decode(key, value).is_err()).map(|(key, _)| key).collect()
    }

    /// What the defect makes of a transaction's conditions.
    fn spoil(&self, when: &[Condition], then: &[Change]) -> Vec<Condition> {
        let reaps = when.iter().any(|c| matches!(c, Condition::Absent(key) if key.contains("/nodes/")))
            && then.iter().all(|change| matches!(change, Change::Delete(_)));
        let kept = when.iter().filter(|condition| match (self.defect, condition) {
            (Some(Defect::ClaimsTakenAddresses), Condition::Absent(key)) => {
                !key.contains("/endpoints/") && !key.contains("/addresses/")
            }
            (Some(Defect::ClaimsTakenNames), Condition::Absent(key)) => !key.contains("/containers/"),
            (Some(Defect::ForgetsTheEpoch), Condition::Version(key, _)) => !key.ends_with("/epoch"),
            (Some(Defect::ReapsTheLiving), Condition::Absent(key) | Condition::Version(key, _)) => {
                !reaps || !(key.contains("/nodes/") || key.contains("/members/"))
            }
            (Some(Defect::RemovesUsedNetworks), Condition::NoneBelow(_))
            | (Some(Defect::ClaimsOnNoNetwork), Condition::Present(_)) => false,
            _ => true,
        });
        kept.cloned().collect()
    }

    fn execute(&self, by: &str, when: &[Condition], then: &[Change]) -> Result<Outcome, KvError> {
        let when = self.spoil(when, then);
        let outcome = self.store.commit(&when, then).now_or_never().expect("memory does not wait");
        if let Ok(Outcome::Done(revision)) = &outcome {
            self.note(&(revision, then.len()));
            self.counts.lock().commits += 1;
            for change in then {
                match change {
                    Change::Put { key, value, .. } => self.is_put(by, key, value),
                    Change::Delete(key) => self.is_deleted(by, key),
                }
            }
            self.check_networks();
            self.check();
        }
        outcome
    }

    /// Nobody puts over what is another's.
    fn is_put(&self, by: &str, key: &str, value: &[u8]) {
        let Some(key) = self.keys.read(key) else { return };
        let value = match decode(&key, value) {
            Ok(value) => value,
            Err(why) => return self.violation(format!("{by} writes {key}, which nobody can read: {why}")),
        };
        let mut mirror = self.mirror.lock();
        if let Value::Endpoint(endpoint) = &value
            && let Some(Value::Network(network)) = mirror.get(&Key::Network(endpoint.network.clone()))
        {
            self.is_in(endpoint, network);
            let is_new = !mirror.contains_key(&key);
            let first =
                network.record.v4().is_some_and(|first| first.subnet.contains(&IpNet::V4(endpoint.ipv4)));
            self.counts.lock().further += u64::from(is_new && !first);
        }
        let before = mirror.get(&key).and_then(Value::node);
        if let Some(before) = before.filter(|before| Some(*before) != value.node()) {
            self.violation(format!("{by} takes {key}, which is {before}'s"));
        }
        mirror.insert(key, value);
    }

    /// An endpoint has addresses of one segment of its network, and none that is the gateway's.
    fn is_in(&self, endpoint: &SharedEndpoint, network: &SharedNetwork) {
        let fits = |config: &IpamConfig, net: IpNet| {
            config.subnet == net.trunc() && config.gateway != Some(net.addr())
        };
        let segments = network.record.segments();
        let in_one = segments.iter().any(|segment| {
            let has = |net: IpNet| segment.iter().any(|config| fits(config, net));
            let six = endpoint.ipv6.map(IpNet::V6);
            let dual = segment.iter().any(|config| !config.is_v4());
            has(IpNet::V4(endpoint.ipv4)) && dual == six.is_some() && six.is_none_or(has)
        });
        if !in_one || network.vni_of(endpoint.ipv4.addr().into()).is_none() {
            self.violation(format!(
                "{} and {:?} are no addresses of {:?}",
                endpoint.ipv4, endpoint.ipv6, network.vnis
            ));
        }
    }

    /// Nobody removes what is another's while the other is there.
    fn is_deleted(&self, by: &str, key: &str) {
        let Some(key) = self.keys.read(key) else { return };
        let before = self.mirror.lock().remove(&key);
        let Some(of) = before.as_ref().and_then(Value::node).filter(|of| *of != by) else { return };
        let node = self.keys.text(&Key::Node(of.to_owned()));
        let there = self.store.list(&node).now_or_never().and_then(Result::ok);
        if there.is_some_and(|there| there.entries.iter().any(|entry| entry.key == node)) {
            self.violation(format!("{by} removes {key} of {of}, which is there"));
        }
    }

    /// No two networks have a name, an address or a number in common, and nobody is on one that is
    /// not there.
    fn check_networks(&self) {
        let mirror = self.mirror.lock();
        let networks: Vec<&SharedNetwork> = mirror
            .values()
            .filter_map(|value| match value {
                Value::Network(network) => Some(network.as_ref()),
                _ => None,
            })
            .collect();
        for (at, a) in networks.iter().enumerate() {
            let numbers: BTreeSet<u32> = a.vnis.values().copied().collect();
            let segments = a.record.segments().len();
            if numbers.len() != segments || a.vnis.len() != segments {
                self.violation(format!("{segments} segments have the numbers {:?}", a.vnis));
            }
            for b in &networks[at + 1..] {
                let subnets = a.vnis.keys().any(|x| b.vnis.keys().any(|y| overlap(*x, *y)));
                let vnis = a.vnis.values().any(|x| b.vnis.values().any(|y| x == y));
                if a.record.name == b.record.name || subnets || vnis {
                    self.violation(format!("two networks collide: {:?} and {:?}", a.vnis, b.vnis));
                }
            }
        }
        for key in mirror.keys() {
            if let Key::Endpoint(network, address) = key
                && !mirror.contains_key(&Key::Network(network.clone()))
            {
                self.violation(format!("{address} is on a network that is not there"));
            }
        }
    }
}

/// A node's way to the store.
pub(super) struct Link {
    pub(super) world: Arc<World>,
    of: String,
    pub(super) cut: Arc<Mutex<bool>>,
    /// Steps until the node dies, if it is to.
    pub(super) fuse: Mutex<Option<u32>>,
    pub(super) blown: Notify,
    pub(super) steps: Mutex<u32>,
}

fn silence() -> KvError {
    KvError::Unreachable("simulated".into())
}

impl Link {
    pub(super) fn new(world: Arc<World>, of: &str) -> Arc<Self> {
        Arc::new(Self {
            world,
            of: of.to_owned(),
            cut: Arc::default(),
            fuse: Mutex::new(None),
            blown: Notify::new(),
            steps: Mutex::new(0),
        })
    }

    /// A moment at which the node may die.
    pub(super) async fn step(&self) {
        *self.steps.lock() += 1;
        let blown = {
            let mut fuse = self.fuse.lock();
            match fuse.as_mut() {
                Some(0) => {
                    *fuse = None;
                    true
                }
                Some(left) => {
                    *left -= 1;
                    false
                }
                None => false,
            }
        };
        if blown {
            self.blown.notify_one();
            std::future::pending::<()>().await;
        }
    }

    fn reaches(&self) -> bool {
        !*self.cut.lock() && self.world.is_up()
    }

    async fn travel(&self) {
        let slow = self.world.faults.lock().slow;
        let longest = if self.world.chance(slow) { 4000 } else { 20 };
        sleep(Duration::from_millis(self.world.roll(longest))).await;
    }

    async fn lost<T>(&self) -> Result<T, KvError> {
        sleep(Duration::from_millis(self.world.roll(PATIENCE.as_millis() as u64))).await;
        Err(silence())
    }

    /// Does something at the store, or does not, or twice, or too late.
    async fn act<T: Send + 'static>(
        &self,
        act: impl Fn() -> Result<T, KvError> + Send + Sync + Clone + 'static,
    ) -> Result<T, KvError> {
        self.step().await;
        let faults = *self.world.faults.lock();
        self.travel().await;
        if !self.reaches() || self.world.chance(faults.lost_request) {
            return self.lost().await;
        }
        if self.world.chance(faults.twice) || self.world.chance(faults.late) {
            let (again, world) = (act.clone(), self.world.clone());
            let later = Duration::from_millis(self.world.roll(20_000));
            tokio::spawn(async move {
                sleep(later).await;
                if world.is_up() {
                    let _ = again();
                }
            });
        }
        if self.world.chance(faults.late) {
            return self.lost().await;
        }
        let result = act();
        self.step().await;
        if self.world.chance(faults.lost_answer) {
            return self.lost().await;
        }
        self.travel().await;
        if *self.cut.lock() { self.lost().await } else { result }
    }
}

impl Kv for Link {
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Snapshot, KvError>> {
        let (world, prefix) = (self.world.clone(), prefix.to_owned());
        Box::pin(self.act(move || world.store.list(&prefix).now_or_never().expect("memory does not wait")))
    }

    fn commit<'a>(
        &'a self,
        when: &'a [Condition],
        then: &'a [Change],
    ) -> BoxFuture<'a, Result<Outcome, KvError>> {
        let (world, by, when, then) = (self.world.clone(), self.of.clone(), when.to_vec(), then.to_vec());
        Box::pin(self.act(move || world.execute(&by, &when, &then)))
    }

    fn watch<'a>(&'a self, prefix: &'a str, after: u64) -> BoxFuture<'a, Result<Watch, KvError>> {
        Box::pin(async move {
            self.step().await;
            self.travel().await;
            if !self.reaches() {
                return self.lost().await;
            }
            let mut watch = self.world.store.watch(prefix, after).await?;
            let (sender, receiver) = mpsc::channel(64);
            let world = self.world.clone();
            let silent = world.chance(world.faults.lock().silent_watch);
            let drops = world.defect == Some(Defect::LosesChanges);
            // A cut way holds back what a watch says; it goes on when the way is there again.
            let cut = self.cut.clone();
            tokio::spawn(async move {
                let mut told = world.roll(10);
                let mut to_tell = if silent { world.roll(20) } else { u64::MAX };
                loop {
                    let batch = tokio::select! {
                        biased;
                        batch = watch.recv() => batch,
                        () = sender.closed() => return,
                    };
                    if to_tell == 0 {
                        sender.closed().await;
                        return;
                    }
                    to_tell -= 1;
                    let slow = if world.chance(world.faults.lock().slow) { 8000 } else { 20 };
                    sleep(Duration::from_millis(world.roll(slow))).await;
                    while *cut.lock() && !sender.is_closed() {
                        sleep(Duration::from_millis(500)).await;
                    }
                    told += 1;
                    if drops && told.is_multiple_of(10) {
                        continue;
                    }
                    let Some(batch) = batch else { return };
                    if sender.send(batch).await.is_err() {
                        return;
                    }
                }
            });
            Ok(receiver)
        })
    }

    fn grant(&self, seconds: u32) -> BoxFuture<'_, Result<Lease, KvError>> {
        let world = self.world.clone();
        Box::pin(self.act(move || {
            let lease = world.store.grant(seconds).now_or_never().expect("memory does not wait")?;
            let time = Duration::from_secs(seconds.into());
            world.leases.lock().insert(lease, (time, Instant::now() + time));
            world.leases_changed.notify_one();
            Ok(lease)
        }))
    }

    fn keep(&self, lease: Lease) -> BoxFuture<'_, Result<bool, KvError>> {
        let world = self.world.clone();
        Box::pin(self.act(move || {
            if let Some((time, end)) = world.leases.lock().get_mut(&lease) {
                *end = Instant::now() + *time;
                world.leases_changed.notify_one();
                return Ok(true);
            }
            Ok(false)
        }))
    }

    fn revoke(&self, lease: Lease) -> BoxFuture<'_, Result<(), KvError>> {
        let world = self.world.clone();
        Box::pin(self.act(move || {
            world.leases.lock().remove(&lease);
            world.store.expire(lease);
            Ok(())
        }))
    }
}
