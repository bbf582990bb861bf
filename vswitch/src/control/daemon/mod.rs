//! The daemon's books: which networks and containers there are, where they stand, what they hold.

mod advertise;
mod create;
mod directory;
mod etc;
mod fabric;
mod host_interface;
mod life;
mod networks;
mod plug;
mod ports;
mod recover;
mod shared;
#[cfg(test)]
mod tests;
mod tunnels;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ipnet::IpNet;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::cluster::{Cluster, SharedEndpoint, SharedNetwork};
use super::error::ControlError;
use super::events::Events;
use super::id;
use super::net::{NetworkRecord, Pool};
use super::publish::FreePorts;
use super::record::{Container, Endpoint, Status};
use super::shim_link::ShimLink;
use super::store::Store;
use crate::dataplane::{Bridge, Port, Switch};
use crate::names::Resolver;
use crate::outside::{Inside, Outside, Subnets};
use crate::sandbox::spec::ShimRequest;

pub use directory::Directory;
pub use life::ended;
pub use shared::Sharing;
pub use tunnels::{TunnelConfig, Tunnels};

/// How long a shim has to answer; all it does by itself takes milliseconds.
const SHIM_ANSWER: Duration = Duration::from_secs(10);

/// TAP queues of an interface unless asked otherwise.
const QUEUES: usize = 1;

/// What whoever waits for a container is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its command has not begun.
    Created,
    /// It runs.
    Running,
    /// Its command has ended with this status.
    Exited(i32),
    /// It is gone; this was the status.
    Removed(i32),
}

/// An endpoint's port.
#[derive(Clone)]
pub struct Plugged {
    /// The endpoint's id.
    pub endpoint: String,
    /// The bridge it is on.
    pub bridge: Arc<Bridge>,
    /// The port.
    pub port: Arc<Port>,
    /// Its way out, if it has one.
    pub inside: Option<Inside>,
}

struct Live {
    record: Container,
    phase: watch::Sender<Phase>,
    pid: i32,
    shim: i32,
    link: Option<Arc<ShimLink>>,
    ports: Vec<Plugged>,
    directory: Option<Directory>,
    /// Its addresses are its own. Whoever takes this is who gives them back.
    holds_addresses: bool,
    /// Addresses of its record that another had before it, by network: not for it to give back.
    others: Vec<(String, IpAddr)>,
    /// Somebody starts it.
    starting: bool,
    /// Held by whoever asks its shim for something: one at a time.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// An endpoint's addresses, to be given back by whoever took them out of the books.
struct Lent {
    /// The endpoint's id.
    endpoint: String,
    network_id: String,
    addresses: Vec<IpAddr>,
}

/// What a container held, to be given back likewise.
struct Holdings {
    ports: Vec<Plugged>,
    link: Option<Arc<ShimLink>>,
    directory: Option<Directory>,
    lent: Vec<Lent>,
}

impl Live {
    fn new(record: Container, phase: Phase, holds_addresses: bool) -> Self {
        Self {
            record,
            phase: watch::Sender::new(phase),
            pid: 0,
            shim: 0,
            link: None,
            ports: Vec::new(),
            directory: None,
            holds_addresses,
            others: Vec::new(),
            starting: false,
            turn: Arc::default(),
        }
    }

    /// What is to be given back with an endpoint.
    fn lent(&self, endpoint: &Endpoint) -> Lent {
        let network_id = endpoint.network_id.clone();
        let own =
            |a: &IpAddr| !self.others.iter().any(|(network, other)| *network == network_id && other == a);
        let addresses = endpoint.addresses().into_iter().filter(own).collect();
        Lent { endpoint: endpoint.id.clone(), addresses, network_id }
    }

    /// Its record while its networks may know of it: once its holdings are taken they are told, or
    /// have been, that it is gone.
    fn present(&self) -> Option<&Container> {
        Some(&self.record).filter(|record| record.is_running() && self.link.is_some())
    }

    fn take_holdings(&mut self) -> Holdings {
        self.pid = 0;
        self.shim = 0;
        let held = std::mem::take(&mut self.holds_addresses);
        let lent = self.record.endpoints.iter().filter(|_| held).map(|e| self.lent(e)).collect();
        Holdings {
            lent,
            ports: std::mem::take(&mut self.ports),
            link: self.link.take(),
            directory: self.directory.take(),
        }
    }
}

/// A network at work.
struct Network {
    record: NetworkRecord,
    /// The addresses of each of its subnets.
    pools: Vec<Pool>,
    /// Its switching, where it has any.
    fabric: Option<fabric::Fabric>,
    /// What the store says of it, if it is one of all nodes.
    shared: Option<Arc<SharedNetwork>>,
    /// Its endpoints on other nodes.
    far: BTreeMap<String, Arc<SharedEndpoint>>,
}

impl Network {
    /// The bridges of its segments, in their order.
    fn bridges(&self) -> Vec<NamedBridge> {
        let segments = self.fabric.iter().flat_map(fabric::Fabric::segments).enumerate();
        let named = segments.map(|(number, segment)| NamedBridge {
            name: self.record.bridge_name_of(number),
            bridge: segment.bridge.clone(),
            subnet: segment.subnet(),
        });
        named.collect()
    }

    fn release(&mut self, addresses: &[IpAddr]) {
        for address in addresses {
            for pool in &mut self.pools {
                pool.release(*address);
            }
        }
    }
}

#[derive(Default)]
struct Books {
    containers: HashMap<String, Live>,
    /// Containers' ids by name.
    names: BTreeMap<String, String>,
    /// By id.
    networks: HashMap<String, Network>,
    /// Networks' ids by name.
    network_names: BTreeMap<String, String>,
}

/// How the host appears to containers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostSide {
    /// It has an interface on every network.
    pub interface: bool,
    /// The gateways' addresses lead to its loopback.
    pub map_loopback: bool,
}

/// The daemon, as its API sees it.
pub struct Daemon {
    switch: Switch,
    store: Store,
    data_dir: PathBuf,
    books: Mutex<Books>,
    /// Held from reading a record to having written it: what is on disk is what the books say.
    /// Taken before the books' lock.
    writing: Mutex<()>,
    resolver: Arc<Resolver>,
    /// There is a way out of networks.
    outside: Option<Outside>,
    /// The host has an interface on every network, and these are their subnets.
    host_subnets: Option<Arc<Subnets>>,
    /// The gateways' addresses lead to the host's loopback, where networks do not say otherwise.
    map_host_loopback: bool,
    tunnels: Tunnels,
    /// This node's part in the networks of all nodes.
    cluster: OnceLock<Cluster>,
    /// What the store is being told.
    telling: Mutex<Vec<tokio::task::JoinHandle<()>>>,
    free_ports: Mutex<FreePorts>,
    events: Events,
    changed: Notify,
    started: SystemTime,
}

/// A container and what is known of it only while it lives.
#[derive(Clone)]
pub struct ContainerView {
    /// What is kept.
    pub record: Container,
    /// Its first process, 0 if there is none.
    pub pid: i32,
    /// Its shim, 0 if there is none.
    pub shim: i32,
    /// Its ports.
    pub ports: Vec<Plugged>,
    /// The network namespace it sees, as a path; empty if there is none.
    pub netns: PathBuf,
    /// Where its files under /etc are.
    pub dir: PathBuf,
}

/// One container on a network, as the network shows it.
#[derive(Clone, Debug)]
pub struct Member {
    /// The container's id.
    pub container: String,
    /// Its name.
    pub name: String,
    /// Its endpoint.
    pub endpoint: super::record::Endpoint,
}

/// A bridge of a network.
#[derive(Clone)]
pub struct NamedBridge {
    /// Its name.
    pub name: String,
    /// It.
    pub bridge: Arc<Bridge>,
    /// The first subnet on it.
    pub subnet: Option<IpNet>,
}

/// A network at this moment.
#[derive(Clone)]
pub struct NetworkView {
    /// What is kept.
    pub record: NetworkRecord,
    /// Its switching, where it has any: one for each segment.
    pub bridges: Vec<NamedBridge>,
    /// Who is on it.
    pub members: Vec<Member>,
    /// Who is on it on other nodes.
    pub far: Vec<Arc<SharedEndpoint>>,
}

/// Nanoseconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
}

fn container_key(id: &str) -> String {
    format!("container/{id}")
}

fn network_key(id: &str) -> String {
    format!("network/{id}")
}

fn no_such(text: &str) -> ControlError {
    ControlError::NotFound(format!("No such container: {text}"))
}

fn no_network(text: &str) -> ControlError {
    ControlError::NotFound(format!("network {text} not found"))
}

impl Books {
    /// The id that a name, an id or an unambiguous beginning of one stands for.
    fn resolve(&self, text: &str) -> Result<String, ControlError> {
        let text = text.strip_prefix('/').unwrap_or(text);
        if let Some(id) = self.names.get(text) {
            return Ok(id.clone());
        }
        if self.containers.contains_key(text) {
            return Ok(text.to_owned());
        }
        let mut matching = self.containers.keys().filter(|id| !text.is_empty() && id.starts_with(text));
        match (matching.next(), matching.next()) {
            (Some(id), None) => Ok(id.clone()),
            (Some(_), Some(_)) => {
                Err(ControlError::Invalid(format!("Multiple IDs found with provided prefix: {text}")))
            }
            _ => Err(no_such(text)),
        }
    }

    fn live(&self, id: &str) -> Result<&Live, ControlError> {
        self.containers.get(id).ok_or_else(|| no_such(id))
    }

    fn live_mut(&mut self, id: &str) -> Result<&mut Live, ControlError> {
        self.containers.get_mut(id).ok_or_else(|| no_such(id))
    }

    /// The id of the network that a name, an id, the beginning of one, or a bridge's name stands for.
    fn resolve_network(&self, text: &str) -> Result<String, ControlError> {
        let text = if text == "default" { "bridge" } else { text };
        if let Some(id) = self.network_names.get(text) {
            return Ok(id.clone());
        }
        if self.networks.contains_key(text) {
            return Ok(text.to_owned());
        }
        let mut matching = self.networks.keys().filter(|id| !text.is_empty() && id.starts_with(text));
        match (matching.next(), matching.next()) {
            (Some(id), None) => return Ok(id.clone()),
            (Some(_), Some(_)) => {
                return Err(ControlError::Invalid(format!(
                    "network {text} is ambiguous ({} matches found on ID prefix)",
                    2 + matching.count()
                )));
            }
            _ => {}
        }
        let bridge = self.networks.values().find(|n| n.bridges().iter().any(|bridge| bridge.name == text));
        bridge.map(|n| n.record.id.clone()).ok_or_else(|| no_network(text))
    }

    fn network(&self, id: &str) -> Result<&Network, ControlError> {
        self.networks.get(id).ok_or_else(|| no_network(id))
    }

    fn network_mut(&mut self, id: &str) -> Result<&mut Network, ControlError> {
        self.networks.get_mut(id).ok_or_else(|| no_network(id))
    }

    fn members(&self, network_id: &str) -> Vec<Member> {
        let on_it = self.containers.values().filter(|live| live.record.is_running());
        let mut members: Vec<Member> = on_it
            .filter_map(|live| {
                let endpoint = match (&live.record.mode, live.record.endpoint_on(network_id)) {
                    (_, Some(endpoint)) => endpoint.clone(),
                    _ => return None,
                };
                Some(Member { container: live.record.id.clone(), name: live.record.name.clone(), endpoint })
            })
            .collect();
        members.sort_by(|a, b| a.container.cmp(&b.container));
        members
    }

    fn network_view(&self, network: &Network) -> NetworkView {
        NetworkView {
            record: network.record.clone(),
            bridges: network.bridges(),
            members: self.members(&network.record.id),
            far: network.far.values().cloned().collect(),
        }
    }
}

impl Daemon {
    /// Opens the books. Follow with [`Daemon::recover`].
    ///
    /// # Errors
    /// When they cannot be read, or an interface cannot be made.
    pub fn new(
        switch: Switch,
        store: Store,
        data_dir: PathBuf,
        resolver: Arc<Resolver>,
        outside: Option<Outside>,
        host: HostSide,
        tunnels: Tunnels,
    ) -> Result<Arc<Self>, ControlError> {
        let HostSide { interface: host_interface, map_loopback } = host;
        if host_interface {
            host_interface::permitted()?;
        }
        let daemon = Arc::new(Self {
            switch,
            store,
            data_dir,
            books: Mutex::default(),
            writing: Mutex::default(),
            resolver,
            outside,
            host_subnets: host_interface.then(Arc::default),
            map_host_loopback: map_loopback,
            tunnels,
            cluster: OnceLock::new(),
            telling: Mutex::default(),
            free_ports: Mutex::default(),
            events: Events::default(),
            changed: Notify::new(),
            started: SystemTime::now(),
        });
        daemon.open_networks()?;
        Ok(daemon)
    }

    /// The dataplane.
    pub fn switch(&self) -> &Switch {
        &self.switch
    }

    /// Where the data are.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Since when this daemon runs.
    pub fn started(&self) -> SystemTime {
        self.started
    }

    /// What happens to networks and containers.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// The name service.
    pub fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// Something about the containers has changed since the last call. For one listener.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn dir(&self, id: &str) -> PathBuf {
        self.data_dir.join("containers").join(id)
    }

    /// Changes a container's record, first on disk, then in the books.
    ///
    /// # Errors
    /// When there is no such container or the store fails; nothing is changed then.
    fn commit(&self, id: &str, change: impl FnOnce(&mut Container)) -> Result<Container, ControlError> {
        let _turn = self.writing();
        self.commit_in_turn(id, change)
    }

    /// The same, for whoever has `writing`.
    fn commit_in_turn(
        &self,
        id: &str,
        change: impl FnOnce(&mut Container),
    ) -> Result<Container, ControlError> {
        let mut record = self.books.lock().live(id)?.record.clone();
        change(&mut record);
        self.put(&container_key(id), &record)?;
        self.books.lock().live_mut(id)?.record = record.clone();
        Ok(record)
    }

    /// The turn to write; whoever has it may be waiting for the disk.
    fn writing(&self) -> parking_lot::MutexGuard<'_, ()> {
        off_the_runtime(|| self.writing.lock())
    }

    fn put<T: serde::Serialize>(&self, key: &str, object: &T) -> Result<(), ControlError> {
        off_the_runtime(|| self.store.put(key, object)).map_err(ControlError::from)
    }

    /// False when it is still on disk.
    fn erase(&self, key: &str) -> bool {
        let erased = off_the_runtime(|| self.store.remove(key));
        if let Err(error) = &erased {
            tracing::error!("{key}: {error}");
        }
        erased.is_ok()
    }

    fn set_phase(&self, id: &str, phase: Phase) {
        if let Some(live) = self.books.lock().containers.get(id) {
            live.phase.send_replace(phase);
        }
    }

    /// The id that a container's name, id or an unambiguous beginning of one stands for.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] with Docker's sentence.
    pub fn resolve(&self, text: &str) -> Result<String, ControlError> {
        self.books.lock().resolve(text)
    }

    /// One container.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub fn view(&self, text: &str) -> Result<ContainerView, ControlError> {
        let books = self.books.lock();
        let id = books.resolve(text)?;
        Ok(self.container_view(&books, books.live(&id)?))
    }

    /// All containers, the newest first.
    pub fn views(&self) -> Vec<ContainerView> {
        let books = self.books.lock();
        let mut all: Vec<_> =
            books.containers.values().map(|live| self.container_view(&books, live)).collect();
        all.sort_by(|a, b| (b.record.created, &b.record.id).cmp(&(a.record.created, &a.record.id)));
        all
    }

    fn container_view(&self, books: &Books, live: &Live) -> ContainerView {
        use super::record::{Mode, Origin};
        use crate::sandbox::spec::Target;
        let sees = match &live.record.mode {
            Mode::Container(other) => books.containers.get(other).unwrap_or(live),
            _ => live,
        };
        let netns = match &sees.record.origin {
            Origin::Attach { target: Target::Netns(path), .. } => path.clone(),
            Origin::Attach { target: Target::Pid(pid), .. } => format!("/proc/{pid}/ns/net").into(),
            Origin::Run { .. } if sees.pid > 0 => format!("/proc/{}/ns/net", sees.pid).into(),
            Origin::Run { .. } => PathBuf::new(),
        };
        ContainerView {
            record: live.record.clone(),
            pid: live.pid,
            shim: live.shim,
            ports: live.ports.clone(),
            netns: if live.record.is_running() { netns } else { PathBuf::new() },
            dir: self.dir(&sees.record.id),
        }
    }

    /// All networks, by name.
    pub fn networks(&self) -> Vec<NetworkView> {
        let books = self.books.lock();
        let mut all: Vec<&Network> = books.networks.values().collect();
        // A network of all nodes may have the name of one that this node had before.
        all.sort_by(|a, b| (&a.record.name, &a.record.id).cmp(&(&b.record.name, &b.record.id)));
        all.into_iter().map(|network| books.network_view(network)).collect()
    }

    /// One network, by name, id, beginning of an id, or its bridge's name.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] with Docker's sentence.
    pub fn network(&self, text: &str) -> Result<NetworkView, ControlError> {
        let books = self.books.lock();
        let id = books.resolve_network(text)?;
        Ok(books.network_view(books.network(&id)?))
    }

    /// The network with switching of its own that `text` names, and its bridges, or the one that `text` names;
    /// one at least.
    ///
    /// # Errors
    /// [`ControlError::NotFound`]; [`ControlError::Invalid`] for one without.
    pub fn bridges(&self, text: &str) -> Result<(NetworkView, Vec<Arc<Bridge>>), ControlError> {
        let view = self.network(text)?;
        let by_name = text != view.record.name && view.bridges.iter().any(|named| named.name == text);
        let wanted = view.bridges.iter().filter(|named| !by_name || named.name == text);
        let bridges: Vec<_> = wanted.map(|named| named.bridge.clone()).collect();
        if bridges.is_empty() {
            return Err(ControlError::Invalid(format!(
                "network {text} has no forwarding table: it switches nothing"
            )));
        }
        Ok((view, bridges))
    }

    /// How a container's phase changes.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub fn phase(&self, text: &str) -> Result<watch::Receiver<Phase>, ControlError> {
        let books = self.books.lock();
        let id = books.resolve(text)?;
        Ok(books.live(&id)?.phase.subscribe())
    }

    /// Containers that hold something.
    pub fn active(&self) -> usize {
        let books = self.books.lock();
        books.containers.values().filter(|live| !live.record.has_ended()).count()
    }

    /// Frees the places of stations that have aged. Returns when the next look is due.
    pub fn sweep(&self) -> Option<Duration> {
        let now = Switch::now();
        let mut next = None;
        let bridges: Vec<Arc<Bridge>> = {
            let books = self.books.lock();
            books.networks.values().flat_map(Network::bridges).map(|named| named.bridge).collect()
        };
        for bridge in bridges {
            bridge.fdb().sweep(now);
            if !bridge.fdb().is_empty() {
                next = Some(Duration::from_secs(30));
            }
        }
        next
    }

    /// Gives back what was taken out of the books; the addresses last: nobody else gets them while
    /// a port still has them.
    fn give_back(&self, Holdings { ports, link, directory, lent }: Holdings) {
        drop(directory);
        if let Some(link) = link {
            let _ = link.send(&ShimRequest::Quit);
        }
        for plugged in &ports {
            self.remove_port(plugged);
        }
        self.release(&lent);
    }

    fn remove_port(&self, plugged: &Plugged) {
        if let Some(inside) = plugged.inside {
            Outside::remove(&self.switch, inside);
        }
        self.switch.remove_port(&plugged.bridge, &plugged.port);
    }

    fn release(&self, lent: &[Lent]) {
        let mut in_store = Vec::new();
        {
            let mut books = self.books.lock();
            for Lent { endpoint, network_id, addresses } in lent {
                let network = books.networks.get_mut(network_id);
                if network.as_ref().is_none_or(|network| network.shared.is_some()) {
                    in_store.push(endpoint);
                }
                if let Some(network) = network {
                    network.release(addresses);
                }
            }
        }
        for endpoint in in_store {
            self.release_endpoint(endpoint);
        }
    }
}

fn is_over(status: Status) -> bool {
    matches!(status, Status::Exited { .. })
}

/// Runs what waits for a disk or for the workers without holding up other requests.
pub(super) fn off_the_runtime<T>(act: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(act),
        _ => act(),
    }
}

/// Which of a gateway's addresses are of which version.
fn gateways(all: impl Iterator<Item = IpAddr>) -> (Option<Ipv4Addr>, Option<Ipv6Addr>) {
    let (mut v4, mut v6) = (None, None);
    for address in all {
        match address {
            IpAddr::V4(a) => v4 = v4.or(Some(a)),
            IpAddr::V6(a) => v6 = v6.or(Some(a)),
        }
    }
    (v4, v6)
}

/// The first 12 digits of an id, for messages.
fn short(id: &str) -> &str {
    id::short(id)
}
