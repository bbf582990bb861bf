//! A simulated node: a daemon with a disk, which claims, is told, and dies.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::world::{Defect, Link, World};
use crate::control::cluster::schema::{Key, Value};
use crate::control::cluster::state::Claim;
use crate::control::cluster::{
    Clock, Cluster, Config, EndpointWish, Event, Events, Held, SharedEndpoint, SharedNetwork, Standing,
};
use crate::control::net::{Ipam, IpamConfig, NetworkRecord, overlay_options};

/// What survives the node.
#[derive(Clone, Default)]
pub(super) struct Disk {
    pub(super) endpoints: BTreeMap<String, SharedEndpoint>,
    /// Containers by name.
    pub(super) names: BTreeMap<String, String>,
}

/// What the node's data plane has been told.
pub(super) type Table = BTreeMap<(String, Ipv4Addr), SharedEndpoint>;

/// The networks that it has been told of, by id.
pub(super) type Networks = BTreeMap<String, Arc<SharedNetwork>>;

/// A network that somebody wants.
pub(super) struct Wanted {
    pub(super) name: String,
    /// IPv4 subnets.
    pub(super) subnets: Vec<&'static str>,
    /// Each with an IPv6 subnet.
    pub(super) dual: bool,
    /// Numbers of the first ones.
    pub(super) vnis: Vec<u32>,
}

struct Drifting {
    begun: Instant,
    /// Parts of a thousand by which it is too fast, if positive.
    drift: i64,
    offset: Duration,
    still: Arc<Mutex<Option<Instant>>>,
}

impl Clock for Drifting {
    fn now(&self) -> Duration {
        let now = self.still.lock().unwrap_or_else(Instant::now);
        let elapsed = now.saturating_duration_since(self.begun);
        let off = elapsed / 1000 * self.drift.unsigned_abs() as u32;
        self.offset + if self.drift < 0 { elapsed.saturating_sub(off) } else { elapsed + off }
    }
}

/// A daemon that runs.
pub(super) struct Life {
    pub(super) cluster: Cluster,
    tasks: JoinSet<()>,
}

pub(super) struct SimNode {
    pub(super) name: String,
    id: String,
    pub(super) link: Arc<Link>,
    pub(super) disk: Arc<Mutex<Disk>>,
    pub(super) table: Arc<Mutex<Table>>,
    pub(super) networks: Arc<Mutex<Networks>>,
    pub(super) life: Mutex<Option<Life>>,
    runs: Mutex<u32>,
    vtep: Ipv4Addr,
    /// Since when the machine is suspended: its clock stands still, and goes on as if it never had.
    suspended: Arc<Mutex<Option<Instant>>>,
}

/// Lease and grace time of all simulated nodes.
pub(super) const LEASE: Duration = Duration::from_secs(4);
pub(super) const GRACE: Duration = Duration::from_secs(12);

impl SimNode {
    pub(super) fn new(world: &Arc<World>, number: u8) -> Arc<Self> {
        let name = format!("n{number}");
        Arc::new(Self {
            id: format!("{:064x}", u64::from(number) + 0xa000),
            link: Link::new(world.clone(), &name),
            name,
            disk: Arc::default(),
            table: Arc::default(),
            networks: Arc::default(),
            life: Mutex::new(None),
            runs: Mutex::new(0),
            vtep: Ipv4Addr::new(192, 0, 2, number + 1),
            suspended: Arc::default(),
        })
    }

    /// The machine is suspended: nobody reaches it, and it does not notice that time passes.
    pub(super) fn suspend(&self) {
        *self.link.cut.lock() = true;
        self.suspended.lock().get_or_insert_with(Instant::now);
    }

    /// It is reached again, and its clock jumps to where it would be.
    pub(super) fn heal(&self) {
        *self.suspended.lock() = None;
        *self.link.cut.lock() = false;
    }

    fn world(&self) -> &Arc<World> {
        &self.link.world
    }

    pub(super) fn cluster(&self) -> Option<Cluster> {
        self.life.lock().as_ref().map(|life| life.cluster.clone())
    }

    /// The daemon starts, from what is on its disk.
    pub(super) fn start(self: &Arc<Self>) {
        let mut config = Config::new(&self.name, &self.id, self.vtep.into());
        config.prefix = "/sim".into();
        (config.lease, config.grace) = (LEASE, GRACE);
        let disk = self.disk.lock().clone();
        let names = disk.names.into_iter().collect();
        let held = Held { endpoints: disk.endpoints.into_values().collect(), names };
        let run = {
            let mut runs = self.runs.lock();
            *runs += 1;
            *runs
        };
        let clock = Drifting {
            begun: Instant::now(),
            drift: i64::try_from(self.world().roll(61)).unwrap() - 30,
            offset: Duration::from_secs(self.world().roll(1000)),
            still: self.suspended.clone(),
        };
        let seed = self.world().dice.lock().roll();
        let run = format!("{}-{run}", self.name);
        let (cluster, events) =
            Cluster::start_with(self.link.clone(), Arc::new(clock), config, held, run, seed);
        if self.world().defect == Some(Defect::ReapsTheLiving) {
            cluster.inner.state.lock().reaps_blind = true;
        }
        if self.world().defect == Some(Defect::HasNoGrace) {
            // The others still believe in the grace time that all have agreed upon.
            let mut state = cluster.inner.state.lock();
            if self.vtep.octets()[3] == 1 {
                state.config.grace = Duration::ZERO;
            }
        }
        self.table.lock().clear();
        self.networks.lock().clear();
        let mut tasks = JoinSet::new();
        tasks.spawn(listen(self.clone(), events));
        *self.life.lock() = Some(Life { cluster, tasks });
    }

    /// The daemon dies, and is seen no more until it starts again.
    pub(super) fn die(&self) {
        *self.link.fuse.lock() = None;
        if let Some(mut life) = self.life.lock().take() {
            life.cluster.stop();
            life.tasks.abort_all();
            let status = life.cluster.status();
            let mut counts = self.world().counts.lock();
            counts.rejoined += status.sessions.saturating_sub(1);
            counts.reaped += status.reaped;
            counts.lost += status.lost;
            counts.repaired += status.repaired;
        }
    }

    fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(life) = self.life.lock().as_mut() {
            life.tasks.spawn(task);
        }
    }

    /// Somebody starts a container.
    pub(super) fn run_container(
        self: &Arc<Self>,
        id: u64,
        network: String,
        name: String,
        ipv4: Option<Ipv4Addr>,
        ipv6: Option<Ipv6Addr>,
    ) {
        let (node, Some(cluster)) = (self.clone(), self.cluster()) else { return };
        self.spawn(async move {
            let wish = EndpointWish {
                id: format!("{id:064x}"),
                network,
                container: format!("{:064x}", id + (1 << 40)),
                name: name.clone(),
                ipv4,
                ipv6,
                ..EndpointWish::default()
            };
            let container = wish.container.clone();
            let Ok(endpoint) = cluster.claim(wish).await else { return };
            node.check();
            node.link.step().await;
            node.world().counts.lock().claimed += 1;
            let mut disk = node.disk.lock();
            disk.endpoints.insert(endpoint.id.clone(), endpoint.as_ref().clone());
            disk.names.insert(name, container);
        });
    }

    /// Somebody stops and removes one.
    pub(super) fn stop_container(self: &Arc<Self>, endpoint: SharedEndpoint) {
        let (node, Some(cluster)) = (self.clone(), self.cluster()) else { return };
        self.spawn(async move {
            {
                let mut disk = node.disk.lock();
                disk.endpoints.remove(&endpoint.id);
                if disk.names.get(&endpoint.name) == Some(&endpoint.container) {
                    disk.names.remove(&endpoint.name);
                }
            }
            node.link.step().await;
            let _ = cluster.release(&endpoint.id).await;
            node.world().counts.lock().released += 1;
            node.link.step().await;
            let _ = cluster.release_name(&endpoint.name, &endpoint.container).await;
        });
    }

    /// Somebody makes a network.
    pub(super) fn make_network(self: &Arc<Self>, id: u64, wanted: Wanted) {
        let (node, Some(cluster)) = (self.clone(), self.cluster()) else { return };
        self.spawn(async move {
            let plan = |_: &[SharedNetwork]| Ok(record(id, &wanted));
            if cluster.create_network(plan).await.is_ok() {
                let mut counts = node.world().counts.lock();
                counts.networks += 1;
                counts.wide += u64::from(wanted.subnets.len() > 1);
            }
        });
    }

    /// Somebody removes one.
    pub(super) fn remove_network(self: &Arc<Self>, id: String) {
        let Some(cluster) = self.cluster() else { return };
        self.spawn(async move {
            let _ = cluster.remove_network(&id).await;
        });
    }

    /// Whoever believes to own an address is the one whom the store says it is.
    pub(super) fn check(&self) {
        let Some(cluster) = self.cluster() else { return };
        if self.suspended.lock().is_some() {
            // It believes nothing, and does nothing.
            return;
        }
        let now = cluster.inner.now();
        let state = cluster.inner.state.lock();
        if state.standing(now) != Standing::Sure {
            return;
        }
        let mirror = self.world().mirror.lock();
        for claim in state.claims.values() {
            let Claim::Held { endpoint, confirmed: true } = claim else { continue };
            let key = Key::Endpoint(endpoint.network.clone(), endpoint.ipv4.addr());
            let owner = mirror.get(&key);
            let own = matches!(owner, Some(Value::Endpoint(e)) if e.id == endpoint.id && e.node == self.name);
            if !own {
                self.world().violation(format!(
                    "{} believes to own {}, and the store says {:?}",
                    self.name,
                    endpoint.ipv4.addr(),
                    owner.and_then(Value::node)
                ));
            }
        }
    }
}

/// Follows what the node is told, as a daemon does.
async fn listen(node: Arc<SimNode>, mut events: Events) {
    while let Some(batch) = events.next().await {
        let mut table = node.table.lock();
        for event in batch {
            match event {
                Event::EndpointCame(endpoint) | Event::EndpointChanged { new: endpoint, .. } => {
                    let at = (endpoint.network.clone(), endpoint.ipv4.addr());
                    table.insert(at, endpoint.as_ref().clone());
                }
                Event::EndpointWent(endpoint) => {
                    let at = (endpoint.network.clone(), endpoint.ipv4.addr());
                    if table.remove(&at).is_none_or(|known| known.id != endpoint.id) {
                        node.world().violation(format!("{} was told twice that one went", node.name));
                    }
                }
                Event::Lost(lost) => {
                    node.disk.lock().endpoints.remove(&lost.endpoint.id);
                }
                Event::LostName { name, .. } => {
                    node.disk.lock().names.remove(&name);
                }
                Event::NetworkCame(network) | Event::NetworkChanged { new: network, .. } => {
                    node.networks.lock().insert(network.id().to_owned(), network);
                }
                Event::NetworkWent(network) => {
                    let known = node.networks.lock().remove(network.id());
                    if known.is_none() {
                        node.world().violation(format!("{} was told twice that a network went", node.name));
                    }
                }
                _ => {}
            }
        }
    }
}

/// An overlay network.
fn record(id: u64, wanted: &Wanted) -> NetworkRecord {
    let list: Vec<String> = wanted.vnis.iter().map(u32::to_string).collect();
    let options = match list.as_slice() {
        [] => None,
        [one] => Some((overlay_options::VNI.to_owned(), one.clone())),
        several => Some((overlay_options::VNIS.to_owned(), several.join(","))),
    };
    let config = |subnet: IpNet| {
        let gateway = subnet.hosts().nth(usize::from(subnet.addr().is_ipv6()));
        IpamConfig { subnet, ip_range: None, gateway, aux: BTreeMap::new() }
    };
    let v4: Vec<Ipv4Net> = wanted.subnets.iter().map(|subnet| subnet.parse().unwrap()).collect();
    let v6 = v4.iter().filter(|_| wanted.dual).map(|net| IpNet::V6(beside(*net)));
    NetworkRecord {
        name: wanted.name.clone(),
        driver: "overlay".into(),
        enable_ipv6: wanted.dual,
        ipam: Ipam {
            driver: Ipam::DEFAULT.into(),
            options: None,
            config: v4.iter().copied().map(IpNet::V4).chain(v6).map(config).collect(),
        },
        options: options.into_iter().collect(),
        ..NetworkRecord::none(format!("{id:064x}"), 0)
    }
}

/// The IPv6 subnet that goes with an IPv4 subnet.
pub(super) fn beside(net: Ipv4Net) -> Ipv6Net {
    let [_, _, third, fourth] = net.addr().octets();
    let address = Ipv6Addr::new(0xfd00, 0, 0, u16::from_be_bytes([third, fourth]), 0, 0, 0, 0);
    Ipv6Net::new(address, 64).unwrap()
}
