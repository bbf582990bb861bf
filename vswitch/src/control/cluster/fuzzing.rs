//! Body of the fuzz target `store`, so that tests run it too. Not part of the public interface.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use futures_util::FutureExt;
use ipnet::{IpNet, Ipv4Net};
use packet::MacAddr;

use super::schema::{Key, Keys, SCHEMA, SharedEndpoint, SharedNetwork, Value, Version, decode, encode};
use super::state::{Session, State};
use super::{Config, Held};
use crate::control::kv::{Change, Condition, Kv, Lease, Memory, Outcome};
use crate::control::net::{Ipam, IpamConfig, NetworkRecord};

/// Transactions after which a node must have come to an end of what it wants of a store that nobody
/// changes.
const MOST_WORK: usize = 200;

fn id(number: u64) -> String {
    format!("{number:064x}")
}

/// An overlay network with these subnets, numbered from 256 on.
fn network(number: u64, name: &str, subnets: &[&str]) -> Option<SharedNetwork> {
    let (mut config, mut vnis) = (Vec::new(), BTreeMap::new());
    for subnet in subnets {
        let subnet: IpNet = subnet.parse().ok()?;
        let gateway = subnet.hosts().nth(usize::from(subnet.addr().is_ipv6()));
        config.push(IpamConfig { subnet, ip_range: None, gateway, aux: BTreeMap::new() });
        if matches!(subnet, IpNet::V4(_)) {
            let next = u32::try_from(vnis.len()).ok()?;
            vnis.insert(subnet, u32::try_from(number).ok()? * 256 + next);
        }
    }
    let record = NetworkRecord {
        name: name.into(),
        driver: "overlay".into(),
        enable_ipv6: config.len() > vnis.len(),
        ipam: Ipam { driver: Ipam::DEFAULT.into(), options: None, config },
        ..NetworkRecord::none(id(number), 0)
    };
    Some(SharedNetwork { record, vnis })
}

/// One subnet, VNI 256.
fn demo() -> Option<SharedNetwork> {
    network(1, "demo", &["10.0.0.0/24"])
}

/// Two of each IP version, VNIs 512 and 513.
fn wide() -> Option<SharedNetwork> {
    network(2, "wide", &["10.1.0.0/24", "10.2.0.0/24", "fd00:1::/64", "fd00:2::/64"])
}

fn endpoint(number: u64, network: u64, name: &str, ipv4: [u8; 4]) -> Option<SharedEndpoint> {
    let address = Ipv4Addr::from(ipv4);
    Some(SharedEndpoint {
        id: id(number),
        network: id(network),
        ipv4: Ipv4Net::new(address, 24).ok()?,
        ipv6: None,
        mac: MacAddr::from_ipv4(address).to_string(),
        container: id(number + 1),
        name: name.into(),
        aliases: Vec::new(),
        node: "n1".into(),
        vtep: Ipv4Addr::new(192, 0, 2, 1).into(),
    })
}

/// What the node has: an endpoint on each network, on the second one in its second subnet.
fn held() -> Option<Held> {
    let ipv6 = "fd00:2::2/64".parse().ok()?;
    let second = SharedEndpoint { ipv6: Some(ipv6), ..endpoint(7, 2, "db", [10, 2, 0, 2])? };
    let endpoints = vec![endpoint(5, 1, "web", [10, 0, 0, 2])?, second];
    let names = endpoints.iter().map(|endpoint| (endpoint.name.clone(), endpoint.container.clone()));
    Some(Held { names: names.collect(), endpoints })
}

/// A node on a store in which somebody with a shell is at work.
struct Victim {
    store: Memory,
    state: State,
    keys: Keys,
    now: Duration,
}

impl Victim {
    fn commit(&self, when: &[Condition], then: &[Change]) -> Option<Outcome> {
        self.store.commit(when, then).now_or_never()?.ok()
    }

    fn put(&self, key: String, value: Vec<u8>, lease: Option<Lease>) -> Option<u64> {
        match self.commit(&[], &[Change::Put { key, value, lease }])? {
            Outcome::Done(revision) => Some(revision),
            Outcome::Refused(_) => None,
        }
    }

    fn new() -> Option<Self> {
        let config = Config::new("n1", &id(0xa1), Ipv4Addr::new(192, 0, 2, 1).into());
        let keys = Keys::new(&config.prefix);
        let state = State::new(config, held()?, "run".into(), 1);
        let mut victim = Self { store: Memory::default(), state, keys, now: Duration::from_secs(100) };
        victim.put(victim.keys.text(&Key::Version), encode(&Version { schema: SCHEMA }), None)?;
        for network in [demo()?, wide()?] {
            victim.put(victim.keys.text(&Key::Network(network.id().into())), encode(&network), None)?;
        }
        victim.join()?;
        victim.list();
        victim.work();
        Some(victim)
    }

    fn join(&mut self) -> Option<()> {
        let lease = self.store.grant(20).now_or_never()?.ok()?;
        let me = encode(&self.state.me(0));
        let version = self.put(self.keys.text(&self.state.own_key()), me, Some(lease))?;
        self.state.joined(Session { lease, version }, self.now, self.now);
        Some(())
    }

    fn list(&mut self) {
        if let Some(Ok(snapshot)) = self.store.list(self.keys.prefix()).now_or_never() {
            let _ = self.state.listed(&snapshot, self.now);
        }
    }

    /// `false` if what it hears is not to be followed.
    fn watch(&mut self) -> bool {
        let after = self.state.picture.revision;
        let Some(Ok(mut watch)) = self.store.watch(self.keys.prefix(), after).now_or_never() else {
            return false;
        };
        while let Ok(Ok(batch)) = watch.try_recv() {
            if self.state.watched(&batch, self.now).is_err() {
                return false;
            }
        }
        true
    }

    fn work(&mut self) {
        for _ in 0..MOST_WORK {
            let Some(plan) = self.state.plan(self.now) else { return };
            let Some(outcome) = self.commit(&plan.when, &plan.then) else { return };
            if !self.state.carried_out(&plan, &outcome, self.now) && !self.watch() {
                return;
            }
        }
        panic!("a node never comes to an end of putting things right");
    }

    /// What it knows is what somebody knows who has just come.
    fn check(&mut self) {
        let followed = self.watch();
        self.state.take_changes(self.now);
        let Some(Ok(snapshot)) = self.store.list(self.keys.prefix()).now_or_never() else { return };
        let mut other = State::new(self.state.config.clone(), Held::default(), "other".into(), 2);
        if !followed || other.listed(&snapshot, self.now).is_err() {
            return;
        }
        for entry in &snapshot.entries {
            let Some(key) = self.keys.read(&entry.key) else { continue };
            assert_eq!(self.keys.text(&key), entry.key, "a key has one spelling");
            let readable = |state: &State| state.picture.get(&key).and_then(|item| item.readable().cloned());
            assert_eq!(readable(&self.state), readable(&other), "{key}");
            if let Ok(value) = decode(&key, &entry.value) {
                assert_eq!(Some(&value), readable(&other).as_ref(), "{key}");
                again(&key, &value);
            }
        }
        assert_eq!(self.state.picture.unreadable().count(), other.picture.unreadable().count());
    }
}

/// What can be read can be written, and is read again as it was.
fn again(key: &Key, value: &Value) {
    let bytes = match value {
        Value::Version(value) => encode(value),
        Value::Epoch => return,
        Value::Network(value) => encode(value.as_ref()),
        Value::Endpoint(value) => encode(value.as_ref()),
        Value::Second(value) => encode(value),
        Value::Container(value) => encode(value),
        Value::Node(value) => encode(value.as_ref()),
        Value::Vtep(value) => encode(value),
    };
    assert_eq!(decode(key, &bytes).as_ref(), Ok(value), "{key}");
}

/// Runs what somebody does to a store, and a node on it. The steps are separated by zero bytes: `+` lets 200 s pass, `!`
/// has the node read everything anew, `-KEY` deletes a key, and anything else is a key, a line end, and
/// its value. Keys are below the prefix. How many of its two endpoints the node still has, and how many keys
/// it cannot read.
///
/// # Panics
/// When the node does not hold what it promises.
pub fn store(bytes: &[u8]) -> (usize, usize) {
    let Some(mut victim) = Victim::new() else { panic!("a node joins an empty store") };
    for step in bytes.split(|byte| *byte == 0) {
        match step {
            b"+" => victim.now += Duration::from_secs(200),
            b"!" => {
                victim.state.blind(victim.now);
                victim.list();
            }
            [b'-', key @ ..] => {
                let key = format!("{}{}", victim.keys.prefix(), String::from_utf8_lossy(key));
                let _ = victim.commit(&[], &[Change::Delete(key)]);
            }
            _ => {
                let end = step.iter().position(|byte| *byte == b'\n').unwrap_or(step.len());
                let (key, value) = step.split_at(end);
                let key = format!("{}{}", victim.keys.prefix(), String::from_utf8_lossy(key));
                let _ = victim.put(key, value.get(1..).unwrap_or_default().to_vec(), None);
            }
        }
        if !victim.watch() {
            victim.list();
        }
        if victim.state.session.is_none() {
            let _ = victim.join();
            victim.watch();
        }
        victim.work();
    }
    victim.check();
    let held = [id(5), id(7)].iter().filter(|id| victim.state.claims.contains_key(*id)).count();
    (held, victim.state.picture.unreadable().count())
}
