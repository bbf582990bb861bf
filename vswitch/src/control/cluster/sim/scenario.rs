//! A run: a while in which everything happens, then quiet, then the look at what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::Ipv4Net;
use tokio::time::{Instant, sleep};

use super::node::{GRACE, LEASE, Networks, SimNode, Table, Wanted, beside};
use super::world::{Counts, Defect, Faults, World};
use crate::control::cluster::schema::{Key, Value};

/// What is simulated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scenario {
    pub(super) nodes: u8,
    /// How long everything happens.
    pub(super) unrest: Duration,
    pub(super) defect: Option<Defect>,
    /// No faults, but that the first node dies at this step.
    pub(super) death: Option<u32>,
    pub(super) verbose: bool,
}

impl Default for Scenario {
    fn default() -> Self {
        Self { nodes: 3, unrest: Duration::from_secs(45), defect: None, death: None, verbose: false }
    }
}

impl Scenario {
    pub(super) fn death_at(step: u32) -> Self {
        Self { unrest: Duration::from_secs(20), death: Some(step), ..Self::default() }
    }
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) violations: Vec<String>,
    /// Differs as soon as anything differs.
    pub(super) trace: u64,
    pub(super) counts: Counts,
    /// The first node's dealings with the store before it was quiet.
    pub(super) steps: u64,
}

pub(super) fn run(seed: u64, scenario: Scenario) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.unwrap();
    let report = runtime.block_on(simulate(seed, scenario));
    runtime.shutdown_background();
    report
}

/// Subnets of networks, of one each and of several. Some of them overlap, and some have room for one container.
const SUBNETS: [&[&str]; 9] = [
    &["10.0.0.0/29"],
    &["10.0.0.0/28"],
    &["10.0.1.0/29"],
    &["10.0.0.8/29"],
    &["10.0.2.0/30"],
    &["10.0.0.0/30", "10.0.1.0/29"],
    &["10.0.2.0/30", "10.0.0.8/29", "10.0.3.0/30"],
    &["10.0.3.0/30", "10.0.0.0/29"],
    &["10.0.3.0/29", "10.0.2.0/29"],
];

/// So many of them are one subnet.
const SINGLE: usize = 5;

struct Driver {
    world: Arc<World>,
    nodes: Vec<Arc<SimNode>>,
    scenario: Scenario,
    /// Some networks have several subnets, or addresses of both versions.
    wide: bool,
    counted: u64,
    heal: BTreeMap<usize, Instant>,
    rise: BTreeMap<usize, Instant>,
    up: Option<Instant>,
}

async fn simulate(seed: u64, scenario: Scenario) -> Report {
    // Some runs are calm, so that what only shows without noise shows too.
    let level = if scenario.death.is_some() { 0 } else { seed % 4 };
    let faults = Faults {
        slow: 10 * level,
        lost_request: 10 * level,
        lost_answer: 15 * level,
        late: 10 * level,
        twice: 15 * level,
        silent_watch: 60 * level,
    };
    let world = World::new(seed, faults, scenario.defect);
    tokio::spawn(world.clone().expire());
    let nodes: Vec<_> = (0..scenario.nodes).map(|number| SimNode::new(&world, number)).collect();
    let mut driver = Driver {
        world,
        nodes,
        scenario,
        wide: seed / 4 % 2 == 1,
        counted: 0,
        heal: BTreeMap::new(),
        rise: BTreeMap::new(),
        up: None,
    };
    *driver.nodes[0].link.fuse.lock() = scenario.death;
    for node in &driver.nodes {
        driver.world.add(node);
        node.start();
    }
    driver.unrest().await;
    let steps = u64::from(*driver.nodes[0].link.steps.lock());
    driver.calm().await;
    let world = &driver.world;
    for node in &driver.nodes {
        node.die();
    }
    Report {
        violations: world.violations.lock().clone(),
        trace: *world.trace.lock(),
        counts: *world.counts.lock(),
        steps,
    }
}

impl Driver {
    fn say(&self, what: impl FnOnce() -> String) {
        if self.scenario.verbose {
            eprintln!("{:?} {}", Instant::now(), what());
        }
    }

    async fn unrest(&mut self) {
        let end = Instant::now() + self.scenario.unrest;
        // In some runs one is away for longer than the others wait for it, and comes back.
        let mut away = (self.scenario.death.is_none() && self.world.roll(3) == 0)
            .then(|| Instant::now() + Duration::from_secs(10));
        while Instant::now() < end {
            sleep(Duration::from_millis(self.world.roll(300))).await;
            self.mend();
            self.act();
            if away.take_if(|at| *at < Instant::now()).is_some() {
                self.cut(0, Duration::from_secs(30));
            }
            self.world.check();
        }
    }

    /// What was broken for a while is whole again; those who ran into their end have ended.
    fn mend(&mut self) {
        let now = Instant::now();
        for (at, node) in self.nodes.clone().iter().enumerate() {
            if futures_util::FutureExt::now_or_never(node.link.blown.notified()).is_some() {
                self.die(at, now, 30);
                self.say(|| format!("{} dies in the midst of something", node.name));
            }
            if self.heal.get(&at).is_some_and(|end| *end <= now) {
                self.heal.remove(&at);
                node.heal();
                self.say(|| format!("{} is back", node.name));
            }
            if self.rise.get(&at).is_some_and(|end| *end <= now) {
                self.rise.remove(&at);
                node.start();
                self.say(|| format!("{} starts again", node.name));
            }
        }
        if self.up.is_some_and(|end| end <= now) && self.scenario.death.is_none() {
            self.up = None;
            self.world.come_up();
            self.say(|| "the store is back".into());
        }
    }

    fn cut(&mut self, at: usize, time: Duration) {
        self.heal.insert(at, Instant::now() + time);
        *self.nodes[at].link.cut.lock() = true;
        self.say(|| format!("{} is cut off", self.nodes[at].name));
    }

    fn die(&mut self, at: usize, now: Instant, longest: u64) {
        self.nodes[at].die();
        self.world.counts.lock().deaths += 1;
        self.rise.entry(at).or_insert(now + Duration::from_secs(self.world.roll(longest)));
    }

    fn act(&mut self) {
        let world = self.world.clone();
        let at = usize::try_from(world.roll(self.nodes.len() as u64)).unwrap();
        let node = self.nodes[at].clone();
        let now = Instant::now();
        let networks: Vec<String> = world
            .mirror
            .lock()
            .keys()
            .filter_map(|key| match key {
                Key::Network(id) => Some(id.clone()),
                _ => None,
            })
            .collect();
        let one_of = |all: &[String]| all.get(world.roll(all.len() as u64) as usize).cloned();
        self.counted += 1;
        let id = self.counted;
        let first = if networks.is_empty() { 12 } else { 100 };
        let faults = self.scenario.death.is_none();
        match world.roll(first) {
            0..=5 => {
                let name = format!("net{}", world.roll(4));
                let choices = if self.wide { &SUBNETS[..] } else { &SUBNETS[..SINGLE] };
                let subnets = choices[world.roll(choices.len() as u64) as usize].to_vec();
                let dual = self.wide && world.roll(4) == 0;
                let vnis = if world.roll(3) == 0 {
                    let first = 256 + world.roll(3) as u32;
                    let all = u32::try_from(subnets.len()).unwrap();
                    // As many as there are subnets, or one for the first.
                    let last = if all > 1 && world.roll(2) == 0 { first } else { first + all - 1 };
                    (first..=last).rev().collect()
                } else {
                    Vec::new()
                };
                self.say(|| format!("{} makes {name} with {subnets:?}, {vnis:?}", node.name));
                node.make_network(id, Wanted { name, subnets, dual, vnis });
            }
            6..=8 => {
                if let Some(network) = one_of(&networks) {
                    self.say(|| format!("{} removes a network", node.name));
                    node.remove_network(network);
                }
            }
            9..=60 => {
                let Some(network) = one_of(&networks) else { return };
                let name = format!("name{}", world.roll(24));
                let third = if self.wide && world.roll(2) == 0 { world.roll(4) as u8 } else { 0 };
                let mut ipv4 =
                    (world.roll(5) == 0).then(|| Ipv4Addr::new(10, 0, third, 2 + world.roll(4) as u8));
                let mut ipv6 = (self.wide && world.roll(8) == 0).then(|| {
                    let net = beside(Ipv4Net::new(Ipv4Addr::new(10, 0, third, 0), 29).unwrap());
                    Ipv6Addr::from(net.addr().to_bits() + 3 + u128::from(world.roll(4)))
                });
                let mut network = network;
                // What one who is away holds, and may lose.
                if self.heal.contains_key(&0) && world.roll(2) == 0 {
                    let held = self.nodes[0].disk.lock().endpoints.values().next().cloned();
                    if let Some(endpoint) = held {
                        (network, ipv4) = (endpoint.network.clone(), Some(endpoint.ipv4.addr()));
                        ipv6 = endpoint.ipv6.map(|net| net.addr()).filter(|_| world.roll(2) == 0);
                    }
                }
                self.say(|| format!("{} runs {name}", node.name));
                node.run_container(id + 0x10_0000, network, name, ipv4, ipv6);
            }
            61..=89 => {
                let held: Vec<_> = node.disk.lock().endpoints.values().cloned().collect();
                if let Some(endpoint) = held.get(world.roll(held.len() as u64) as usize) {
                    self.say(|| format!("{} stops {}", node.name, endpoint.name));
                    node.stop_container(endpoint.clone());
                }
            }
            90..=92 if faults => {
                let time = if world.roll(2) == 0 { 18 + world.roll(15) } else { world.roll(8) };
                self.cut(at, Duration::from_secs(time));
            }
            93 if faults => {
                *node.link.fuse.lock() = Some(world.roll(12) as u32);
            }
            94 if faults && node.cluster().is_some() => {
                let longest = if world.roll(2) == 0 { 40 } else { 6 };
                self.die(at, now, longest);
                self.say(|| format!("{} dies", node.name));
            }
            95 if faults && self.up.is_none() && world.roll(2) == 0 => {
                let longest = if world.roll(3) == 0 { 40 } else { 5 };
                self.up = Some(now + Duration::from_secs(world.roll(longest)));
                world.go_down();
                self.say(|| "the store is down".into());
            }
            96 => world.store.compact(),
            97 => world.end_watches(),
            98 if faults => world.vandalise(),
            99 if faults && !self.heal.contains_key(&at) => {
                self.heal.insert(at, now + Duration::from_secs(1 + world.roll(40)));
                node.suspend();
                world.counts.lock().suspended += 1;
                self.say(|| format!("{} is suspended", node.name));
            }
            _ => {}
        }
    }

    /// Everything is whole again, but one node may stay dead; then all have the time they need.
    async fn calm(&mut self) {
        *self.world.faults.lock() = Faults::NONE;
        let dead = (self.world.roll(3) == 0).then_some(0);
        for (at, node) in self.nodes.iter().enumerate() {
            *node.link.fuse.lock() = None;
            node.heal();
            let _ = futures_util::FutureExt::now_or_never(node.link.blown.notified());
            if Some(at) == dead {
                node.die();
            } else if self.rise.contains_key(&at) || node.cluster().is_none() {
                node.die();
                node.start();
            }
        }
        if !self.world.is_up() {
            self.world.come_up();
        }
        self.say(|| "quiet".into());
        // What is late comes within 20 s, what the dead hold is given back after lease and grace time. Then
        // all may agree; that a watch died without a word is noticed after two looks at the latest.
        let begun = Instant::now();
        let soonest = Duration::from_secs(20).max(LEASE + GRACE * 5 / 4);
        let latest = Duration::from_secs(20) + (LEASE + GRACE) * 2 + LEASE * 34;
        while begun.elapsed() < latest {
            sleep(Duration::from_millis(700)).await;
            // Somebody whose fuse blew just before.
            for (at, node) in self.nodes.iter().enumerate() {
                if futures_util::FutureExt::now_or_never(node.link.blown.notified()).is_some()
                    && Some(at) != dead
                {
                    node.die();
                    node.start();
                }
            }
            self.world.check();
            if begun.elapsed() > soonest && self.look().is_empty() {
                return;
            }
        }
        for difference in self.look() {
            self.world.violation(difference);
        }
    }

    /// Where nodes and store do not agree.
    fn look(&self) -> Vec<String> {
        let world = &self.world;
        let mut wrong = Vec::new();
        let mut strays = world.unreadable();
        let living: Vec<_> =
            self.nodes.iter().filter_map(|node| Some((&node.name, node.cluster()?))).collect();
        for (name, cluster) in &living {
            let state = cluster.inner.state.lock();
            let others = |owner: &str| owner != *name && living.iter().any(|(of, _)| *of == owner);
            strays.retain(|key| state.picture.get(key).is_some_and(|item| item.owner().is_none_or(others)));
        }
        // What stays: nobody knows that it is its own, or that of somebody dead.
        let mut mirror = world.mirror.lock().clone();
        mirror.retain(|key, _| !strays.contains(key));
        let is_stray = |at: &(String, Ipv4Addr)| strays.contains(&Key::Endpoint(at.0.clone(), at.1));
        let mut table = Table::new();
        let mut ids = BTreeSet::new();
        for (key, value) in &mirror {
            if let (Key::Endpoint(network, address), Value::Endpoint(endpoint)) = (key, value) {
                table.insert((network.clone(), *address), endpoint.as_ref().clone());
                if !ids.insert(endpoint.id.clone()) {
                    wrong.push(format!("endpoint {} is there twice", endpoint.id));
                }
            }
        }
        let networks = mirror.values().filter_map(|value| match value {
            Value::Network(network) => Some((network.id().to_owned(), network.clone())),
            _ => None,
        });
        let networks: Networks = networks.collect();
        let (mut held, mut names) = (BTreeMap::new(), BTreeMap::new());
        for node in &self.nodes {
            let Some(cluster) = node.cluster() else { continue };
            let mut known = node.table.lock().clone();
            known.retain(|at, _| !is_stray(at));
            if known != table {
                wrong.push(format!("{} does not know what the store says", node.name));
            }
            if *node.networks.lock() != networks {
                wrong.push(format!("{} does not know the networks of the store", node.name));
            }
            let status = cluster.status();
            if !status.joined {
                wrong.push(format!("{} has not joined: {status:?}", node.name));
            }
            let disk = node.disk.lock();
            for (id, endpoint) in &disk.endpoints {
                if !cluster.owns(id) {
                    wrong.push(format!("{} has {} and does not own it", node.name, endpoint.ipv4));
                }
                if held.insert((endpoint.network.clone(), endpoint.ipv4.addr()), id.clone()).is_some() {
                    wrong.push(format!("{} has two owners", endpoint.ipv4));
                }
            }
            for (name, container) in &disk.names {
                if names.insert(name.clone(), container.clone()).is_some() {
                    wrong.push(format!("{name} has two owners"));
                }
            }
        }
        let stored: BTreeMap<_, _> = table.iter().map(|(at, e)| (at.clone(), e.id.clone())).collect();
        if stored != held {
            wrong.push(format!("the store has endpoints {:?}, the nodes {:?}", stored.keys(), held.keys()));
        }
        let stored = mirror.iter().filter_map(|(key, value)| match (key, value) {
            (Key::Container(name), Value::Container(claim)) => Some((name.clone(), claim.container.clone())),
            _ => None,
        });
        let stored: BTreeMap<_, _> = stored.collect();
        if stored != names {
            wrong.push(format!("the store has the names {stored:?}, the nodes {names:?}"));
        }
        let seconds = mirror.values().filter(|value| matches!(value, Value::Second(_))).count();
        let due: usize = table.values().map(|endpoint| endpoint.seconds().len()).sum();
        if seconds != due && strays.is_empty() {
            wrong.push(format!("{seconds} further addresses for endpoints that have {due}"));
        }
        wrong
    }
}
