//! What the daemon does when the store changes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{ControlError, Daemon};
use crate::control::cluster::{Cluster, Event, Events, LostEndpoint, SharedNetwork, Standing};
use crate::control::daemon::{off_the_runtime, short};
use crate::control::record::Status;

/// Between two attempts to learn that the store has been heard.
const AGAIN: Duration = Duration::from_secs(1);

impl Daemon {
    /// Follows the store until this node leaves.
    pub(super) async fn follow_store(self: Arc<Self>, cluster: Cluster, mut events: Events) {
        // What is on disk may be older than the store: nothing of it goes before the store was heard.
        let mut heard = false;
        let mut said = String::new();
        // Networks with endpoints whose keys are gone, and which were not given back.
        let mut lingering = BTreeSet::new();
        loop {
            let ready = async {
                let ready = cluster.ready().await;
                if ready.is_err() {
                    tokio::time::sleep(AGAIN).await;
                }
                ready
            };
            tokio::select! {
                batch = events.next() => match batch {
                    Some(batch) => lingering.append(&mut self.take_in(&cluster, batch, heard).await),
                    None => return,
                },
                ready = ready, if !heard => match ready {
                    Ok(()) => {
                        heard = true;
                        tracing::info!("joined the cluster as node {}", cluster.status().node);
                        lingering.append(&mut self.catch_up(&cluster).await);
                    }
                    Err(error) => {
                        let why = error.to_string();
                        if why != said {
                            tracing::warn!("{why}");
                            said = why;
                        }
                    }
                },
                () = tokio::time::sleep(AGAIN), if !lingering.is_empty() => {
                    lingering.retain(|id| off_the_runtime(|| self.refresh_far(&cluster, id, heard)));
                }
            }
        }
    }

    /// Everything at once, when the store is heard for the first time. What has to be looked at again.
    async fn catch_up(self: &Arc<Self>, cluster: &Cluster) -> BTreeSet<String> {
        let known: Vec<String> = {
            let books = self.books.lock();
            books.networks.values().filter(|n| n.shared.is_some()).map(|n| n.record.id.clone()).collect()
        };
        for id in known.iter().filter(|id| cluster.network(id).is_none()) {
            self.lose_network(id).await;
        }
        let mut lingering = BTreeSet::new();
        for network in cluster.networks() {
            self.adopt_or_warn(&network);
            if off_the_runtime(|| self.refresh_far(cluster, network.id(), true)) {
                lingering.insert(network.id().to_owned());
            }
        }
        lingering
    }

    /// What has changed. Networks that have to be looked at again.
    async fn take_in(
        self: &Arc<Self>,
        cluster: &Cluster,
        batch: Vec<Event>,
        heard: bool,
    ) -> BTreeSet<String> {
        let mut touched = BTreeSet::new();
        let mut gone = Vec::new();
        let mut lost = Vec::new();
        for event in batch {
            match event {
                Event::NetworkCame(network) | Event::NetworkChanged { new: network, .. } => {
                    self.adopt_or_warn(&network);
                    touched.insert(network.id().to_owned());
                }
                Event::NetworkWent(network) => gone.push(network.id().to_owned()),
                Event::EndpointCame(endpoint) | Event::EndpointWent(endpoint) => {
                    touched.insert(endpoint.network.clone());
                }
                Event::EndpointChanged { old, new } => {
                    touched.insert(old.network.clone());
                    touched.insert(new.network.clone());
                }
                Event::Lost(endpoint) => lost.push(endpoint),
                Event::LostName { name, container, owner } => tracing::warn!(
                    "the name {name} of container {} is that of a container of node {owner}: rename one of them",
                    short(&container)
                ),
                Event::Standing(Standing::Doubtful) => tracing::warn!(
                    "the store has not been reached for long: what is there goes on, and nothing new begins"
                ),
                Event::Standing(Standing::Sure) => tracing::info!("what this node holds is its own"),
                Event::NodeCame(node) => tracing::info!("node {} is there, at {}", node.name, node.vtep),
                // Its stations stay: it may only be cut off from the store.
                Event::NodeWent(node) => tracing::info!("node {} is not heard of any more", node.name),
                Event::NodeChanged { .. } => {}
            }
        }
        // What is somebody else's first: for a moment two have it.
        for lost in lost {
            self.lose(&lost).await;
        }
        for id in gone {
            self.lose_network(&id).await;
            touched.remove(&id);
        }
        touched.retain(|id| {
            if let Some(network) = cluster.network(id) {
                self.adopt_or_warn(&network);
            }
            off_the_runtime(|| self.refresh_far(cluster, id, heard))
        });
        touched
    }

    fn adopt_or_warn(&self, network: &Arc<SharedNetwork>) {
        if let Err(error) = self.adopt(network) {
            tracing::warn!("network {} of the store cannot be used here: {error}", network.record.name);
        }
    }

    /// A network is not in the store any more: its containers leave it.
    async fn lose_network(self: &Arc<Self>, id: &str) {
        let on_it: Vec<String> = {
            let books = self.books.lock();
            let on_it = books.containers.values().filter(|live| live.record.endpoint_on(id).is_some());
            on_it.filter(|live| !live.record.has_ended()).map(|live| live.record.id.clone()).collect()
        };
        for container in on_it {
            tracing::warn!(
                "container {} leaves a network that was removed from the store",
                short(&container)
            );
            self.take_down(id, &container).await;
        }
        self.forsake(id);
    }

    /// An endpoint is another's now.
    async fn lose(self: &Arc<Self>, lost: &LostEndpoint) {
        let endpoint = &lost.endpoint;
        tracing::warn!(
            "container {} leaves network {}: its address {} is lost: {}",
            short(&endpoint.container),
            short(&endpoint.network),
            endpoint.ipv4.addr(),
            lost.why
        );
        let has = {
            let books = self.books.lock();
            let of = |live: &super::super::Live| live.record.endpoints.iter().any(|e| e.id == endpoint.id);
            books.containers.get(&endpoint.container).is_some_and(of)
        };
        if has {
            self.take_down(&endpoint.network, &endpoint.container).await;
        }
    }

    async fn take_down(self: &Arc<Self>, network: &str, container: &str) {
        match self.disconnect(network, container, true).await {
            Ok(()) | Err(ControlError::NotFound(_)) => {}
            // Not yet running: it cannot begin without.
            Err(_) if self.view(container).is_ok_and(|view| view.record.status == Status::Created) => {
                self.forget(container);
            }
            Err(error) => tracing::warn!("container {}: {error}", short(container)),
        }
    }
}
