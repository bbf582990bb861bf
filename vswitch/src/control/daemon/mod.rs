//! The daemon: it keeps the books, which networks and containers there are, where they stand, what they hold.

mod advertise;
mod books;
mod create;
mod directory;
mod draft;
mod etc;
mod fabric;
mod host_interface;
mod life;
mod networks;
mod plug;
mod ports;
mod recover;
mod reserve;
mod shared;
#[cfg(test)]
mod tests;
mod tunnels;
mod views;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::cluster::Cluster;
use super::error::ControlError;
use super::events::Events;
use super::id;
use super::publish::FreePorts;
use super::record::{Container, Status};
use super::store::Store;
use crate::dataplane::{Bridge, Port, Switch};
use crate::names::Resolver;
use crate::outside::{Inside, Outside, Subnets};
use crate::sandbox::spec::ShimRequest;

pub use directory::Directory;
pub use life::ended;
pub use shared::Sharing;
pub use tunnels::{TunnelConfig, Tunnels};
pub use views::{ContainerView, Member, NamedBridge, NetworkView};

use books::{Books, Holdings, Lent, Live, Network, no_network, no_such};

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
