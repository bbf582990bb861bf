//! The endpoints of other nodes: entries of the tunnels, and names.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use vxlan::Remote;

use super::{Daemon, ENDPOINTS, SharedEndpoint};
use crate::control::cluster::Cluster;
use crate::control::daemon::{Network, off_the_runtime};
use crate::control::id;

/// The endpoints of a network that are on other nodes, by id.
pub(in super::super) type Far = BTreeMap<String, Arc<SharedEndpoint>>;

fn remote(endpoint: &SharedEndpoint) -> Option<Remote> {
    let addresses = [Some(IpAddr::from(endpoint.ipv4.addr())), endpoint.ipv6.map(|net| net.addr().into())];
    let mac = endpoint.mac.parse().ok()?;
    Some(Remote { mac, addresses: addresses.into_iter().flatten().collect(), vtep: endpoint.vtep })
}

impl Network {
    /// Makes exactly these the network's endpoints on other nodes; without `all`, at least these.
    /// Whether there was anything to do.
    pub(in super::super) fn set_far(&mut self, mut wanted: Far, all: bool, own: Option<IpAddr>) -> bool {
        if !all {
            let kept = self.far.iter().map(|(id, endpoint)| (id.clone(), endpoint.clone()));
            let kept: Vec<_> = kept.filter(|(id, _)| !wanted.contains_key(id)).collect();
            wanted.extend(kept);
        }
        let same = |id: &String, endpoint: &Arc<SharedEndpoint>| self.far.get(id) == Some(endpoint);
        let came: Vec<_> = wanted.iter().filter(|(id, e)| !same(id, e)).map(|(_, e)| e.clone()).collect();
        let gone = |id: &String, e: &Arc<SharedEndpoint>| wanted.get(id) != Some(e);
        let went: Vec<_> = self.far.iter().filter(|(id, e)| gone(id, e)).map(|(_, e)| e.clone()).collect();
        if came.is_empty() && went.is_empty() {
            return false;
        }
        if let Some(fabric) = &self.fabric {
            for endpoint in &went {
                fabric.names.remove(&endpoint.id);
            }
            for endpoint in &came {
                let mut names = vec![endpoint.name.clone(), id::short(&endpoint.container).to_owned()];
                names.extend(endpoint.aliases.iter().cloned());
                let addresses: Vec<IpAddr> =
                    remote(endpoint).map(|remote| remote.addresses).unwrap_or_default();
                fabric.names.set(&endpoint.id, &endpoint.name, &names, &addresses);
            }
        }
        if let Some(fabric) = &self.fabric {
            // Every host with containers is a peer of every segment: it routes into all of them.
            let all = || fabric.segments().iter().filter_map(|segment| segment.overlay.as_ref());
            let of = |endpoint: &SharedEndpoint| {
                fabric.segment_of(endpoint.ipv4.addr().into()).and_then(|segment| segment.overlay.as_ref())
            };
            // This node is none of its own peers, whatever the store says.
            let vteps = |far: &Far| -> BTreeSet<IpAddr> {
                far.values().map(|e| e.vtep).filter(|vtep| Some(*vtep) != own).collect()
            };
            let (before, after) = (vteps(&self.far), vteps(&wanted));
            let failed = |endpoint: &SharedEndpoint, why: &dyn std::fmt::Display| {
                tracing::warn!("{} of node {} cannot be reached: {why}", endpoint.ipv4.addr(), endpoint.node);
            };
            for vtep in after.difference(&before) {
                if let Some(Err(error)) = all().map(|overlay| overlay.add_peer(*vtep)).find(Result::is_err) {
                    tracing::warn!("{vtep} cannot be a peer: {error}");
                }
            }
            for endpoint in &went {
                if let (Some(overlay), Ok(mac)) = (of(endpoint), endpoint.mac.parse()) {
                    overlay.remove_remote(mac);
                }
            }
            for endpoint in came.iter().filter(|endpoint| after.contains(&endpoint.vtep)) {
                match (of(endpoint), remote(endpoint)) {
                    (Some(overlay), Some(remote)) => {
                        if let Err(error) = overlay.set_remote(&remote) {
                            failed(endpoint, &error);
                        }
                    }
                    (None, _) => failed(endpoint, &"it is in none of the network's subnets"),
                    (_, None) => failed(endpoint, &"its Ethernet address is none"),
                }
            }
            for vtep in before.difference(&after) {
                for overlay in all() {
                    overlay.remove_peer(*vtep);
                }
            }
        }
        self.far = wanted;
        true
    }
}

impl Daemon {
    /// Brings one network to what is known of its endpoints on other nodes. Without `all` nothing is taken away:
    /// the store has not been heard yet. Whether some are kept only for a while, so that it has to be looked again.
    pub(super) fn refresh_far(&self, cluster: &Cluster, network_id: &str, all: bool) -> bool {
        let far = cluster.endpoints(network_id).into_iter().filter(|endpoint| !cluster.is_local(endpoint));
        let mut far: Far = far.map(|endpoint| (endpoint.id.clone(), endpoint)).collect();
        let own = self.tunnels.config().advertise;
        let (changed, lingering) = {
            let mut books = self.books.lock();
            let Some(network) = books.networks.get_mut(network_id) else { return false };
            // Whoever is there, and has only lost its key in the store for a moment, is reached on.
            let missing = network
                .far
                .iter()
                .filter(|(id, endpoint)| !far.contains_key(*id) && cluster.lingers(endpoint));
            let missing: Far = missing.map(|(id, endpoint)| (id.clone(), endpoint.clone())).collect();
            let lingering = !missing.is_empty();
            far.extend(missing);
            let changed =
                network.set_far(far, all, own).then(|| network.far.values().cloned().collect::<Vec<_>>());
            (changed, lingering)
        };
        let Some(now) = changed else { return lingering };
        let now: Vec<&SharedEndpoint> = now.iter().map(AsRef::as_ref).collect();
        if let Err(error) = self.put(&format!("{ENDPOINTS}{network_id}"), &now) {
            tracing::warn!("what other nodes have on a network cannot be kept: {error}");
        }
        lingering
    }

    /// What an earlier daemon knew of a network's endpoints on other nodes.
    pub(in super::super) fn remember_far(&self, network: &mut Network) {
        let key = format!("{ENDPOINTS}{}", network.record.id);
        let kept = off_the_runtime(|| self.store.get::<Vec<SharedEndpoint>>(&key));
        let kept = kept.unwrap_or_else(|error| {
            tracing::warn!("{error}");
            None
        });
        let far = kept.unwrap_or_default().into_iter().map(|e| (e.id.clone(), Arc::new(e))).collect();
        network.set_far(far, true, self.tunnels.config().advertise);
    }
}
