//! Networks: made, listed, removed.

use std::sync::Arc;

use ipnet::IpNet;

use super::directory::Fabric;
use super::{Books, Daemon, Network, NetworkView, network_key, now, off_the_runtime};
use crate::control::error::ControlError;
use crate::control::id;
use crate::control::net::create::{Surroundings, create};
use crate::control::net::request::NetworkCreateRequest;
use crate::control::net::selection::PruneFilter;
use crate::control::net::{IpamConfig, NetError, NetworkRecord, Pool, host_routes};
use crate::dataplane::Bridge;
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
            let network = self.network_at_work(&record)?;
            self.books.lock().insert_network(network);
        }
        self.refresh_host_subnets();
        Ok(())
    }

    /// Keeps the networks apart that the host has interfaces on.
    fn refresh_host_subnets(&self) {
        if let Some(subnets) = &self.host_subnets {
            let books = self.books.lock();
            let switched = books.networks.values().filter(|network| network.fabric.is_some());
            subnets.set(switched.flat_map(|network| network.record.active()).map(|config| config.subnet));
        }
    }

    /// A network with its pools and its switching; nobody is on it yet.
    fn network_at_work(&self, record: &NetworkRecord) -> Result<Network, ControlError> {
        let pools: Result<Vec<Pool>, _> = record.active().map(IpamConfig::pool).collect();
        let pools = pools.map_err(|e| ControlError::Failed(format!("network {}: {e}", record.name)))?;
        let failed = |e: String| ControlError::Failed(format!("network {}: {e}", record.name));
        let mut network = Network { record: record.clone(), pools, fabric: None, overlay: None };
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
            && let Some(fabric) = &network.fabric
        {
            match off_the_runtime(|| self.join(record, &fabric.bridge)) {
                Ok(overlay) => network.overlay = Some(overlay),
                Err(error) => {
                    self.tear_down(&network);
                    return Err(failed(error));
                }
            }
        }
        Ok(network)
    }

    /// Joins an overlay network's bridge to its other hosts.
    fn join(&self, record: &NetworkRecord, bridge: &Arc<Bridge>) -> Result<OverlayNetwork, String> {
        match record.by_hand() {
            Some(hand) => self.tunnels.attach_by_hand(&self.switch, bridge, &hand),
            None => Err(NetError::NoPeers.to_string()),
        }
    }

    /// Makes a network: its id.
    ///
    /// # Errors
    /// With Docker's sentences; nothing is made then.
    pub fn create_network(&self, request: NetworkCreateRequest) -> Result<String, ControlError> {
        let routes = off_the_runtime(taken_outside);
        let id = id::new_id()?;
        // From reading the networks to having one more: two requests get two pools and two names.
        let _turn = self.writing();
        let record = {
            let books = self.books.lock();
            let networks: Vec<&NetworkRecord> = books.networks.values().map(|n| &n.record).collect();
            let around = Surroundings { networks: &networks, host_routes: &routes, last_pool: None };
            create(request, id.clone(), now(), &around)?
        };
        if record.is_overlay() && record.by_hand().is_none() {
            return Err(NetError::NoPeers.into());
        }
        let network = self.network_at_work(&record)?;
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
        let _turn = self.writing();
        let id = self.books.lock().resolve_network(text)?;
        self.remove_idle(&id)
    }

    /// The same, by id and with the turn to write.
    fn remove_idle(&self, id: &str) -> Result<(), ControlError> {
        let network = {
            let mut books = self.books.lock();
            let network = books.network(id)?;
            let name = network.record.name.clone();
            if network.record.is_predefined() {
                return Err(ControlError::Forbidden(format!(
                    "{name} is a pre-defined network and cannot be removed"
                )));
            }
            if books.in_use(id) {
                return Err(ControlError::Forbidden(format!(
                    "error while removing network: network {name} id {id} has active endpoints"
                )));
            }
            if let Some(user) = books.networks.values().find(|n| n.record.config_from == name) {
                return Err(ControlError::Forbidden(format!(
                    "configuration network \"{name}\" is in use by network {}",
                    user.record.name
                )));
            }
            // First out of the books: from now on nobody gets an address of it.
            let removed = books.networks.remove(id);
            if books.network_names.get(&name).is_some_and(|of| of == id) {
                books.network_names.remove(&name);
            }
            removed
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

    fn tear_down(&self, network: &Network) {
        off_the_runtime(|| {
            if let Some(overlay) = &network.overlay {
                self.tunnels.detach(&self.switch, overlay);
            }
            if let Some(fabric) = &network.fabric {
                fabric.tear_down(&self.switch);
            }
        });
    }

    /// Removes the networks that nobody is on: their names.
    ///
    /// # Errors
    /// When the store fails.
    pub fn prune_networks(&self, filter: &PruneFilter) -> Result<Vec<String>, ControlError> {
        let _turn = self.writing();
        let idle: Vec<(String, String)> = {
            let books = self.books.lock();
            let all = books.network_names.values().filter_map(|id| books.networks.get(id));
            let unused = all.filter(|n| filter.accepts(&n.record, books.in_use(&n.record.id)));
            unused.map(|n| (n.record.id.clone(), n.record.name.clone())).collect()
        };
        let mut removed = Vec::new();
        for (id, name) in idle {
            match self.remove_idle(&id) {
                Ok(()) => removed.push(name),
                // Somebody has joined it meanwhile.
                Err(ControlError::Forbidden(_)) => {}
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
        let (NetworkView { record, .. }, bridge) = self.bridge(network)?;
        let _turn = self.writing();
        let mut record = self.books.lock().network(&record.id)?.record.clone();
        record.ageing = seconds;
        self.put(&network_key(&record.id), &record)?;
        let id = record.id.clone();
        self.books.lock().network_mut(&id)?.record = record;
        bridge.fdb().set_ageing(seconds);
        Ok(())
    }
}

/// What the host itself reaches, which no network may be given.
fn taken_outside() -> Vec<IpNet> {
    host_routes::host_routes().unwrap_or_else(|error| {
        tracing::warn!("the host's routes cannot be read, so a new network may overlap one: {error}");
        Vec::new()
    })
}

impl Books {
    fn insert_network(&mut self, network: Network) {
        self.network_names.insert(network.record.name.clone(), network.record.id.clone());
        self.networks.insert(network.record.id.clone(), network);
    }

    /// Some container holds an address of the network.
    pub(super) fn in_use(&self, id: &str) -> bool {
        self.containers.values().any(|live| !live.record.has_ended() && live.record.endpoint_on(id).is_some())
    }
}
