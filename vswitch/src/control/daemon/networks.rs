//! Networks: made, listed, removed.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;

use super::fabric::{Fabric, Segment};
use super::{Books, Daemon, Network, NetworkView, network_key, now, off_the_runtime, shared};
use crate::control::cluster::SharedNetwork;
use crate::control::error::ControlError;
use crate::control::id;
use crate::control::net::create::{Surroundings, create};
use crate::control::net::driver::{self, Driver};
use crate::control::net::request::NetworkCreateRequest;
use crate::control::net::selection::PruneFilter;
use crate::control::net::{IpamConfig, NetError, NetworkRecord, Pool, host_routes, overlay_options};
use crate::outside::{Apart, Outside};
use crate::overlay::OverlayNetwork;

type Make = fn(String, u64) -> NetworkRecord;

impl Daemon {
    /// Reads the networks of an earlier daemon, and makes those that are always there.
    pub(super) fn open_networks(&self) -> Result<(), ControlError> {
        let mut records: Vec<NetworkRecord> = self.store.list("network/")?;
        let predefined: [(&str, Make); 3] = [
            ("bridge", NetworkRecord::default_bridge),
            ("host", NetworkRecord::host),
            ("none", NetworkRecord::none),
        ];
        for (name, make) in predefined {
            if !records.iter().any(|r| r.name == name) {
                let record = make(id::new_id()?, now());
                self.store.put(&network_key(&record.id), &record)?;
                records.push(record);
            }
        }
        for record in records {
            let network = self.network_at_work(&record, None)?;
            self.books.lock().insert_network(network);
        }
        for shared in self.store.list::<SharedNetwork>(shared::NETWORKS)? {
            let shared = Arc::new(shared);
            // What the store has no word for any more, or another network here now has the number of.
            match self.network_at_work(&shared.record, Some(&shared)) {
                Ok(mut network) => {
                    self.remember_far(&mut network);
                    self.books.lock().insert_network(network);
                }
                Err(error) => tracing::warn!("a network of the store cannot be used: {error}"),
            }
        }
        self.refresh_host_subnets();
        Ok(())
    }

    /// Keeps the networks apart that the host has interfaces on.
    pub(super) fn refresh_host_subnets(&self) {
        if let Some(subnets) = &self.host_subnets {
            let books = self.books.lock();
            let switched = books.networks.values().filter(|network| network.fabric.is_some());
            subnets.set(switched.flat_map(|network| network.record.active()).map(|config| config.subnet));
        }
    }

    /// A network with its pools and its switching; nobody is on it yet.
    pub(super) fn network_at_work(
        &self,
        record: &NetworkRecord,
        shared: Option<&Arc<SharedNetwork>>,
    ) -> Result<Network, ControlError> {
        // Addresses of a network of all nodes are claimed in the store.
        let own = record.active().filter(|_| shared.is_none());
        let pools: Result<Vec<Pool>, _> = own.map(IpamConfig::pool).collect();
        let pools = pools.map_err(|e| ControlError::Failed(format!("network {}: {e}", record.name)))?;
        let failed = |e: String| ControlError::Failed(format!("network {}: {e}", record.name));
        let mut network = Network {
            record: record.clone(),
            pools,
            fabric: None,
            shared: shared.cloned(),
            far: BTreeMap::new(),
        };
        if record.has_addresses() {
            let beyond = self.outside.as_ref().map(|_| match &self.host_subnets {
                Some(subnets) => Apart::around(Outside::beyond(), subnets.clone()),
                None => Outside::beyond(),
            });
            let host = self.host_subnets.is_some() && !record.is_overlay();
            let fabric = off_the_runtime(|| Fabric::new(&self.switch, &self.resolver, beyond, record, host));
            network.fabric = Some(fabric?);
        }
        if record.is_overlay()
            && let Some(fabric) = &mut network.fabric
        {
            let joined = off_the_runtime(|| fabric.join(|segment| self.join(record, shared, segment)));
            if let Err(error) = joined {
                self.tear_down(&network);
                return Err(failed(error));
            }
        }
        Ok(network)
    }

    /// Joins a segment of an overlay network to its other hosts.
    fn join(
        &self,
        record: &NetworkRecord,
        shared: Option<&Arc<SharedNetwork>>,
        segment: &Segment,
    ) -> Result<OverlayNetwork, String> {
        if let Some(shared) = shared {
            let vni = segment.subnet().and_then(|subnet| shared.vni_of(subnet.addr()));
            let vni = vni.ok_or("a subnet has no VNI")?;
            let joined = self.tunnels.attach(&self.switch, &segment.bridge, vni, false);
            return joined.map_err(|error| error.to_string());
        }
        match record.by_hand() {
            Some(hand) => self.tunnels.attach_by_hand(&self.switch, &segment.bridge, &hand),
            None => Err(NetError::NoPeers.to_string()),
        }
    }

    /// Makes a network: its id.
    ///
    /// # Errors
    /// With Docker's sentences; nothing is made then.
    pub fn create_network(&self, request: NetworkCreateRequest) -> Result<String, ControlError> {
        let routes = off_the_runtime(taken_outside);
        let (id, created) = (id::new_id()?, now());
        if self.cluster().is_some() && is_for_store(&request) {
            self.create_shared(&request, &id, created, &routes)?;
            return Ok(id);
        }
        // From reading the networks to having one more: two requests get two pools and two names.
        let _turn = self.writing();
        let record = {
            let books = self.books.lock();
            let networks: Vec<&NetworkRecord> = books.networks.values().map(|n| &n.record).collect();
            let around = Surroundings { networks: &networks, host_routes: &routes, last_pool: None };
            create(request, id.clone(), created, &around)?
        };
        if record.is_overlay() && record.by_hand().is_none() {
            return Err(NetError::NoPeers.into());
        }
        let network = self.network_at_work(&record, None)?;
        if let Err(error) = self.put(&network_key(&id), &record) {
            self.tear_down(&network);
            return Err(error);
        }
        self.books.lock().insert_network(network);
        self.refresh_host_subnets();
        self.events.network("create", &record, None);
        Ok(id)
    }

    /// Removes a network that nobody is on.
    ///
    /// # Errors
    /// With Docker's sentences; the network stays then.
    pub fn remove_network(&self, text: &str) -> Result<(), ControlError> {
        let id = self.books.lock().resolve_network(text)?;
        self.remove_idle(&id)
    }

    /// The same, by id.
    fn remove_idle(&self, id: &str) -> Result<(), ControlError> {
        if self.books.lock().is_shared(id) {
            return self.remove_shared(id);
        }
        let _turn = self.writing();
        let network = {
            let mut books = self.books.lock();
            books.removable(id)?;
            // First out of the books: from now on nobody gets an address of it.
            books.take_network(id)
        };
        let Some(network) = network else { return Ok(()) };
        if let Err(error) = off_the_runtime(|| self.store.remove(&network_key(id))) {
            self.books.lock().insert_network(network);
            return Err(error.into());
        }
        self.tear_down(&network);
        self.refresh_host_subnets();
        self.events.network("destroy", &network.record, None);
        Ok(())
    }

    pub(super) fn tear_down(&self, network: &Network) {
        off_the_runtime(|| {
            if let Some(fabric) = &network.fabric {
                for overlay in fabric.segments().iter().filter_map(|segment| segment.overlay.as_ref()) {
                    self.tunnels.detach(&self.switch, overlay);
                }
                fabric.tear_down(&self.switch);
            }
        });
    }

    /// Removes the networks that nobody is on: their names.
    ///
    /// # Errors
    /// When the store fails.
    pub fn prune_networks(&self, filter: &PruneFilter) -> Result<Vec<String>, ControlError> {
        let idle: Vec<(String, String)> = {
            let books = self.books.lock();
            let in_use = |n: &Network| books.in_use(&n.record.id) || !n.far.is_empty();
            let unused = books.networks.values().filter(|n| filter.accepts(&n.record, in_use(n)));
            let mut unused: Vec<_> = unused.map(|n| (n.record.id.clone(), n.record.name.clone())).collect();
            unused.sort_by(|(_, a), (_, b)| a.cmp(b));
            unused
        };
        let mut removed = Vec::new();
        for (id, name) in idle {
            match self.remove_idle(&id) {
                Ok(()) => removed.push(name),
                // Somebody has joined it meanwhile, or removed it.
                Err(ControlError::Forbidden(_) | ControlError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        self.events.pruned();
        Ok(removed)
    }

    /// Sets and keeps a network's ageing time.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub fn set_ageing(&self, network: &str, seconds: u32) -> Result<(), ControlError> {
        let (NetworkView { record, .. }, bridges) = self.bridges(network)?;
        let _turn = self.writing();
        let mut record = self.books.lock().network(&record.id)?.record.clone();
        record.ageing = seconds;
        let id = record.id.clone();
        let shared = self.books.lock().network(&id)?.shared.clone();
        // What this node keeps of a network of all nodes is what the store says.
        if shared.is_none() {
            self.put(&network_key(&id), &record)?;
        }
        self.books.lock().network_mut(&id)?.record = record;
        for bridge in bridges {
            bridge.fdb().set_ageing(seconds);
        }
        Ok(())
    }
}

/// A network whose stations are to be found by the store.
fn is_for_store(request: &NetworkCreateRequest) -> bool {
    let by_hand = request.options.contains_key(overlay_options::PEERS);
    request.driver == driver::Overlay.name() && !request.config_only && !by_hand
}

/// What the host itself reaches, which no network may be given.
fn taken_outside() -> Vec<IpNet> {
    host_routes::host_routes().unwrap_or_else(|error| {
        tracing::warn!("the host's routes cannot be read, so a new network may overlap one: {error}");
        Vec::new()
    })
}

impl Books {
    pub(super) fn insert_network(&mut self, network: Network) {
        let (name, id) = (network.record.name.clone(), network.record.id.clone());
        self.network_names.entry(name).or_insert_with(|| id.clone());
        self.networks.insert(id, network);
    }

    /// Takes a network out: from now on nobody gets an address of it.
    pub(super) fn take_network(&mut self, id: &str) -> Option<Network> {
        let network = self.networks.remove(id)?;
        let name = &network.record.name;
        if self.network_names.get(name).is_some_and(|of| of == id) {
            self.network_names.remove(name);
            if let Some(other) = self.networks.values().find(|other| other.record.name == *name) {
                self.network_names.insert(name.clone(), other.record.id.clone());
            }
        }
        Some(network)
    }

    /// Why a network cannot be removed.
    pub(super) fn removable(&self, id: &str) -> Result<(), ControlError> {
        let network = self.network(id)?;
        let name = &network.record.name;
        if network.record.is_predefined() {
            return Err(ControlError::Forbidden(format!(
                "{name} is a pre-defined network and cannot be removed"
            )));
        }
        if self.in_use(id) {
            return Err(ControlError::Forbidden(format!(
                "error while removing network: network {name} id {id} has active endpoints"
            )));
        }
        if let Some(user) = self.networks.values().find(|n| n.record.config_from == *name) {
            return Err(ControlError::Forbidden(format!(
                "configuration network \"{name}\" is in use by network {}",
                user.record.name
            )));
        }
        Ok(())
    }

    /// Some container holds an address of the network.
    pub(super) fn in_use(&self, id: &str) -> bool {
        self.containers.values().any(|live| !live.record.has_ended() && live.record.endpoint_on(id).is_some())
    }
}
