//! Networks of all nodes: what the store says becomes this daemon's networks, and the stations of
//! other nodes become entries of their tunnels and names.
//!
//! What was heard of the store is kept on this node's disk too, so that a daemon that is started
//! while the store is silent goes on where the one before it ended.

mod claims;
mod far;
mod follow;
mod gateway;
mod networks;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::{Books, Daemon, off_the_runtime};
use crate::control::cluster::{Cluster, ClusterError, Config, EndpointWish, Held, SharedEndpoint};
use crate::control::error::ControlError;
use crate::control::id;
use crate::control::kv::{Kv, KvError, PATIENCE};
use crate::control::net::Class;
use crate::control::record::{Container, Endpoint};

pub(super) use claims::Claims;
pub(super) use networks::{ENDPOINTS, NETWORKS};

/// How long a container's end waits for the store to know of it.
const TELLING: Duration = Duration::from_secs(2);

/// Where networks of all nodes are kept, and as whom this daemon takes part.
#[derive(Clone)]
pub struct Sharing {
    /// The store.
    pub kv: Arc<dyn Kv>,
    /// What all its keys are below.
    pub prefix: String,
    /// This node's name, another one on each.
    pub node: String,
}

impl std::fmt::Debug for Sharing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sharing")
            .field("prefix", &self.prefix)
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

impl From<ClusterError> for ControlError {
    fn from(e: ClusterError) -> Self {
        let text = e.to_string();
        match e.class() {
            Some(Class::Invalid) => Self::Invalid(text),
            Some(Class::Forbidden) => Self::Forbidden(text),
            Some(Class::NotFound) => Self::NotFound(text),
            Some(Class::Conflict) => Self::Conflict(text),
            None => Self::Failed(text),
        }
    }
}

/// Waits for something that takes its time, without holding up other requests.
fn wait<T>(future: impl Future<Output = Result<T, ClusterError>>) -> Result<T, ControlError> {
    let runtime = tokio::runtime::Handle::try_current()
        .map_err(|_| ControlError::Failed("the store can only be asked by a running daemon".into()))?;
    if runtime.runtime_flavor() == tokio::runtime::RuntimeFlavor::CurrentThread {
        return Err(ControlError::Failed("the store can only be asked where others go on meanwhile".into()));
    }
    Ok(off_the_runtime(|| runtime.block_on(future))?)
}

/// The same as a part of what is to take [`PATIENCE`] in all.
fn wait_by<T>(
    end: Instant,
    future: impl Future<Output = Result<T, ClusterError>>,
) -> Result<Result<T, ClusterError>, ControlError> {
    let late = || KvError::Unreachable(format!("no answer within {} s", PATIENCE.as_secs()));
    // What ends by itself at that moment has more to say.
    let end = end + Duration::from_millis(200);
    wait(async { Ok(timeout_at(end, future).await.unwrap_or_else(|_| Err(late().into()))) })
}

impl Daemon {
    /// Begins to take part in the networks of all nodes. To be called once, after
    /// [`recover`](Self::recover); it does not wait for the store.
    ///
    /// # Errors
    /// When this node has no address for others, or its own store fails.
    pub fn share(self: &Arc<Self>, sharing: Sharing) -> Result<(), ControlError> {
        let vtep = self.tunnels.config().advertise.ok_or_else(|| {
            ControlError::Failed("no address of this host was found: give one with --advertise".into())
        })?;
        let mut config = Config::new(&sharing.node, &self.node_id()?, vtep);
        config.prefix = sharing.prefix;
        let (cluster, events) = Cluster::start(sharing.kv, config, self.held());
        if self.cluster.set(cluster.clone()).is_err() {
            return Err(ControlError::Failed("this daemon takes part already".into()));
        }
        tokio::spawn(self.clone().follow_store(cluster, events));
        Ok(())
    }

    /// This node's part in the networks of all nodes, if it has one.
    pub fn cluster(&self) -> Option<&Cluster> {
        self.cluster.get()
    }

    /// The same for what cannot be done without.
    fn sharing(&self, network: &str) -> Result<Cluster, ControlError> {
        self.cluster().cloned().ok_or_else(|| {
            ControlError::Failed(format!(
                "network {network} is kept in a store, and this daemon was started without: start it with --store"
            ))
        })
    }

    /// Takes no part any more: at once if containers go on, else after the store knows that they are gone.
    pub async fn stop_sharing(&self, containers_go_on: bool) {
        let Some(cluster) = self.cluster() else { return };
        if containers_go_on {
            cluster.stop();
            return;
        }
        self.store_told().await;
        if let Err(error) = cluster.leave().await {
            tracing::warn!("the store does not know that this node has left: {error}");
        }
    }

    /// What this node is known again by: as long as its data directory.
    fn node_id(&self) -> Result<String, ControlError> {
        if let Some(id) = off_the_runtime(|| self.store.get::<String>("node"))? {
            return Ok(id);
        }
        let id = id::new_id()?;
        self.put("node", &id)?;
        Ok(id)
    }

    /// What containers of this node hold in the store, by this node's own records.
    fn held(&self) -> Held {
        let books = self.books.lock();
        let mut held = Held::default();
        for live in books.containers.values() {
            let record = &live.record;
            let mut any = false;
            for endpoint in record.endpoints.iter().filter(|e| books.is_shared(&e.network_id)) {
                any = true;
                if live.holds_addresses {
                    held.endpoints.extend(in_store(record, endpoint));
                }
            }
            if any {
                held.names.push((record.name.clone(), record.id.clone()));
            }
        }
        held
    }

    /// Carries out what the store need only be told: [`store_told`](Self::store_told) waits for it.
    fn tell_store(&self, telling: impl Future<Output = Result<(), ClusterError>> + Send + 'static) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let task = runtime.spawn(async move {
            match telling.await {
                Ok(()) | Err(ClusterError::NotHeld(_)) => {}
                Err(error) => tracing::warn!("the store is told later: {error}"),
            }
        });
        let mut telling = self.telling.lock();
        telling.retain(|task| !task.is_finished());
        telling.push(task);
    }

    /// Waits until the store knows what it was told, but not long.
    pub(super) async fn store_told(&self) {
        let tasks = std::mem::take(&mut *self.telling.lock());
        let silent = self.cluster().is_none_or(|cluster| cluster.status().trouble.is_some());
        if tasks.is_empty() || silent {
            return;
        }
        let _ = tokio::time::timeout(TELLING, futures_util::future::join_all(tasks)).await;
    }

    /// The same where nobody can await. Not while a lock is held.
    pub(super) fn wait_for_store(&self) {
        if self.telling.lock().is_empty() {
            return;
        }
        let told = async {
            self.store_told().await;
            Ok(())
        };
        let _ = wait(told);
    }
}

impl Books {
    /// The network is one of all nodes.
    pub(super) fn is_shared(&self, network_id: &str) -> bool {
        self.networks.get(network_id).is_some_and(|network| network.shared.is_some())
    }

    /// Something of the container is in the store.
    pub(super) fn is_in_store(&self, record: &Container) -> bool {
        record.endpoints.iter().any(|endpoint| self.is_shared(&endpoint.network_id))
    }
}

/// An endpoint of this node as the store has it; node and tunnel endpoint are for others to fill in.
fn in_store(record: &Container, endpoint: &Endpoint) -> Option<SharedEndpoint> {
    Some(SharedEndpoint {
        id: endpoint.id.clone(),
        network: endpoint.network_id.clone(),
        ipv4: endpoint.v4?,
        ipv6: endpoint.v6,
        mac: endpoint.mac.clone(),
        container: record.id.clone(),
        name: record.name.clone(),
        aliases: endpoint.wished.aliases.clone(),
        node: String::new(),
        vtep: std::net::Ipv4Addr::UNSPECIFIED.into(),
    })
}

fn wish(
    container: &str,
    name: &str,
    network: &str,
    request: &crate::control::request::EndpointRequest,
) -> Result<EndpointWish, ControlError> {
    Ok(EndpointWish {
        id: id::new_id()?,
        network: network.to_owned(),
        container: container.to_owned(),
        name: name.to_owned(),
        aliases: request.aliases.clone(),
        mac: request.mac_address.as_deref().map(super::reserve::mac_of).transpose()?,
        ipv4: request.ip,
        ipv6: request.ip6,
    })
}

#[cfg(test)]
mod tests;
