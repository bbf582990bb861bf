//! A node's decisions on a store in memory, step by step, and whole nodes, for tests.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use ipnet::IpNet;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::schema::{Key, Keys, Node, SCHEMA, SharedEndpoint, SharedNetwork, Version, encode};
use super::state::{Session, State};
use super::{Clock, Cluster, ClusterError, Config, EndpointWish, Events, Held};
use crate::control::kv::{
    Change, Condition, Entry, Event as KvEvent, Kv, KvError, Lease, Memory, Outcome, Snapshot, Watch,
};
use crate::control::net::{Ipam, IpamConfig, NetworkRecord};

pub(super) const GRACE: Duration = Duration::from_mins(2);
pub(super) const LEASE: Duration = Duration::from_secs(20);

/// An id of 64 digits.
pub(super) fn id(number: u64) -> String {
    format!("{number:064x}")
}

/// An overlay network.
pub(super) fn network(number: u64, name: &str, subnet: &str) -> SharedNetwork {
    let subnet: IpNet = subnet.parse().unwrap();
    let gateway = match subnet {
        IpNet::V4(net) => net.hosts().next().map(Into::into),
        IpNet::V6(net) => net.hosts().nth(1).map(Into::into),
    };
    let config = IpamConfig { subnet, ip_range: None, gateway, aux: BTreeMap::new() };
    let record = NetworkRecord {
        name: name.into(),
        driver: "overlay".into(),
        ipam: Ipam { driver: Ipam::DEFAULT.into(), options: None, config: vec![config] },
        ..NetworkRecord::none(id(number), 0)
    };
    SharedNetwork { record, vnis: BTreeMap::from([(subnet, 256)]) }
}

/// An endpoint on network 1.
pub(super) fn endpoint(number: u64, last: u8, node: &str, vtep: u8) -> SharedEndpoint {
    let address = Ipv4Addr::new(10, 0, 0, last);
    SharedEndpoint {
        id: id(number),
        network: id(1),
        ipv4: ipnet::Ipv4Net::new(address, 24).unwrap(),
        ipv6: None,
        mac: packet::MacAddr::from_ipv4(address).to_string(),
        container: id(number + 0x1000),
        name: format!("c{number}"),
        aliases: Vec::new(),
        node: node.into(),
        vtep: Ipv4Addr::new(192, 0, 2, vtep).into(),
    }
}

pub(super) fn wish(number: u64) -> EndpointWish {
    EndpointWish {
        id: id(number),
        network: id(1),
        container: id(number + 0x1000),
        name: format!("c{number}"),
        ..EndpointWish::default()
    }
}

/// The store, and node n1, which has joined, on network 1, 10.0.0.0/24.
pub(super) struct Lab {
    pub(super) store: Memory,
    pub(super) state: State,
    pub(super) keys: Keys,
    pub(super) now: Duration,
    lease: Lease,
}

impl Lab {
    pub(super) fn new() -> Self {
        Self::holding(Held::default())
    }

    pub(super) fn holding(held: Held) -> Self {
        let config = Config::new("n1", &id(0xa1), Ipv4Addr::new(192, 0, 2, 1).into());
        let store = Memory::default();
        let lease = store.grant(20).now_or_never().unwrap().unwrap();
        let keys = Keys::new(&config.prefix);
        let state = State::new(config, held, "run1".into(), 1);
        let mut lab = Self { store, state, keys, now: Duration::from_secs(1000), lease };
        lab.put(&Key::Version, encode(&Version { schema: SCHEMA }));
        lab.put(&Key::Network(id(1)), encode(&network(1, "demo", "10.0.0.0/24")));
        lab.join();
        lab.list();
        lab
    }

    pub(super) fn commit(&self, when: &[Condition], then: &[Change]) -> Outcome {
        self.store.commit(when, then).now_or_never().unwrap().unwrap()
    }

    fn change(&self, changes: &[Change]) -> u64 {
        match self.commit(&[], changes) {
            Outcome::Done(revision) => revision,
            Outcome::Refused(_) => panic!("nothing was asked"),
        }
    }

    /// Somebody else puts a key.
    pub(super) fn put(&self, key: &Key, value: Vec<u8>) -> u64 {
        self.change(&[Change::Put { key: self.keys.text(key), value, lease: None }])
    }

    pub(super) fn delete(&self, key: &Key) {
        self.change(&[Change::Delete(self.keys.text(key))]);
    }

    /// Another node puts all of a claim, in one transaction as it does.
    pub(super) fn put_claim(&self, endpoint: &SharedEndpoint) {
        let put = |key: Key, value| Change::Put { key: self.keys.text(&key), value, lease: None };
        let mut all = vec![put(place(endpoint), encode(endpoint))];
        for second in endpoint.seconds() {
            all.push(put(Key::Second(endpoint.network.clone(), second), encode(&endpoint.second())));
        }
        self.change(&all);
    }

    /// Another node is, or was, there.
    pub(super) fn put_node(&self, name: &str, vtep: u8, there: bool) {
        let node = Node {
            name: name.into(),
            id: id(0xb0 + u64::from(vtep)),
            run: "run".into(),
            vtep: Ipv4Addr::new(192, 0, 2, vtep).into(),
            joined: 0,
        };
        self.put(&Key::Member(name.into()), encode(&node));
        if there {
            self.put(&Key::Node(name.into()), encode(&node));
        }
    }

    pub(super) fn join(&mut self) {
        let me = encode(&self.state.me(0));
        let text = |key: &Key| self.keys.text(key);
        let version = self.change(&[
            Change::Put { key: text(&Key::Node("n1".into())), value: me.clone(), lease: Some(self.lease) },
            Change::Put { key: text(&Key::Member("n1".into())), value: me, lease: None },
        ]);
        let session = Session { lease: self.lease, version };
        self.state.joined(session, self.now, self.now);
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        self.store.list(self.keys.prefix()).now_or_never().unwrap().unwrap()
    }

    /// The node reads everything.
    pub(super) fn list(&mut self) {
        self.try_list().unwrap();
    }

    pub(super) fn try_list(&mut self) -> Result<(), ClusterError> {
        let snapshot = self.snapshot();
        self.state.listed(&snapshot, self.now)
    }

    /// It hears of what has changed, as from a watch.
    pub(super) fn watch(&mut self) {
        let after = self.state.picture.revision;
        let mut watch = self.store.watch(self.keys.prefix(), after).now_or_never().unwrap().unwrap();
        while let Ok(batch) = watch.try_recv() {
            self.state.watched(&batch.unwrap(), self.now).unwrap();
        }
    }

    /// It does what it has to do at this moment; how many transactions that were.
    pub(super) fn work(&mut self) -> usize {
        for done in 0..1000 {
            let Some(plan) = self.state.plan(self.now) else { return done };
            let outcome = self.commit(&plan.when, &plan.then);
            self.state.carried_out(&plan, &outcome, self.now);
        }
        panic!("there is no end of it");
    }

    pub(super) fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    pub(super) fn at(&self, key: &Key) -> Option<Entry> {
        let text = self.keys.text(key);
        self.snapshot().entries.into_iter().find(|entry| entry.key == text)
    }

    pub(super) fn has(&self, key: &Key) -> bool {
        self.at(key).is_some()
    }
}

/// The key of an endpoint.
pub(super) fn place(endpoint: &SharedEndpoint) -> Key {
    Key::Endpoint(endpoint.network.clone(), endpoint.ipv4.addr())
}

/// The key of its Ethernet address.
pub(super) fn second(endpoint: &SharedEndpoint) -> Key {
    Key::Second(endpoint.network.clone(), endpoint.seconds()[0])
}

/// A clock that goes with tokio's.
pub(super) struct Ticking(Instant);

impl Clock for Ticking {
    fn now(&self) -> Duration {
        Duration::from_secs(1000) + self.0.elapsed()
    }
}

/// A whole node, n1 or another, with what it holds.
pub(super) fn start_holding(kv: impl Kv + 'static, number: u8, run: &str, held: Held) -> (Cluster, Events) {
    let vtep = Ipv4Addr::new(192, 0, 2, number).into();
    let config = Config::new(&format!("n{number}"), &id(0xa0 + u64::from(number)), vtep);
    start_as(kv, config, run, held)
}

/// The same, holding nothing.
pub(super) fn start(kv: impl Kv + 'static, number: u8) -> (Cluster, Events) {
    start_holding(kv, number, "run", Held::default())
}

pub(super) fn start_as(kv: impl Kv + 'static, config: Config, run: &str, held: Held) -> (Cluster, Events) {
    let clock = Ticking(Instant::now());
    Cluster::start_with(Arc::new(kv), Arc::new(clock), config, held, run.into(), 1)
}

/// Waits for something, by a clock that stands still but for this.
pub(super) async fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_hours(1);
    while !holds() {
        assert!(Instant::now() < end, "an hour in vain: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What is at a key of the store, as text.
pub(super) fn value_at(store: &Memory, key: &str) -> Option<String> {
    let found = store.list(key).now_or_never().unwrap().unwrap();
    let entry = found.entries.into_iter().find(|entry| entry.key == key)?;
    Some(String::from_utf8_lossy(&entry.value).into_owned())
}

/// Somebody with a shell changes something.
pub(super) fn by_hand(store: &Memory, change: Change) {
    let outcome = store.commit(&[], &[change]).now_or_never().unwrap().unwrap();
    assert!(matches!(outcome, Outcome::Done(_)));
}

/// A change of one key.
pub(super) fn put(key: &str, value: impl Into<Vec<u8>>) -> Change {
    Change::Put { key: key.into(), value: value.into(), lease: None }
}

/// Who would tell what a watch has seen.
type Teller = mpsc::Sender<Result<Vec<KvEvent>, KvError>>;

/// A store that answers, and whose watches say nothing.
#[derive(Clone, Default)]
pub(super) struct Deaf {
    pub(super) store: Memory,
    watches: Arc<Mutex<Vec<Teller>>>,
}

impl Kv for Deaf {
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Snapshot, KvError>> {
        self.store.list(prefix)
    }

    fn commit<'a>(
        &'a self,
        when: &'a [Condition],
        then: &'a [Change],
    ) -> BoxFuture<'a, Result<Outcome, KvError>> {
        self.store.commit(when, then)
    }

    fn watch<'a>(&'a self, _prefix: &'a str, _after: u64) -> BoxFuture<'a, Result<Watch, KvError>> {
        let (events, watch) = mpsc::channel(1);
        self.watches.lock().push(events);
        Box::pin(std::future::ready(Ok(watch)))
    }

    fn grant(&self, seconds: u32) -> BoxFuture<'_, Result<Lease, KvError>> {
        self.store.grant(seconds)
    }

    fn keep(&self, lease: Lease) -> BoxFuture<'_, Result<bool, KvError>> {
        self.store.keep(lease)
    }

    fn revoke(&self, lease: Lease) -> BoxFuture<'_, Result<(), KvError>> {
        self.store.revoke(lease)
    }
}
