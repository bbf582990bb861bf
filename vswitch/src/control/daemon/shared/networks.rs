//! Networks of all nodes becoming networks of this daemon, and ceasing to be.

use std::sync::Arc;

use super::{ControlError, Daemon, wait};
use crate::control::cluster::SharedNetwork;
use crate::control::net::NetworkRecord;
use crate::control::net::create::{Surroundings, create};
use crate::control::net::request::NetworkCreateRequest;

/// Where this node keeps what it knows of the networks of all nodes.
pub(in super::super) const NETWORKS: &str = "shared/network/";
/// And of their endpoints on other nodes, a list for each network.
pub(in super::super) const ENDPOINTS: &str = "shared/endpoints/";

impl Daemon {
    /// Makes a network of all nodes.
    pub(in super::super) fn create_shared(
        &self,
        request: &NetworkCreateRequest,
        id: &str,
        created: u64,
        routes: &[ipnet::IpNet],
    ) -> Result<(), ControlError> {
        let cluster = self.sharing(&request.name)?;
        let plan = |all: &[SharedNetwork]| {
            let books = self.books.lock();
            let own = books.networks.values().filter(|network| network.shared.is_none());
            let networks: Vec<&NetworkRecord> =
                own.map(|network| &network.record).chain(all.iter().map(|shared| &shared.record)).collect();
            let around = Surroundings { networks: &networks, host_routes: routes, last_pool: None };
            create(request.clone(), id.to_owned(), created, &around)
        };
        let shared = wait(cluster.create_network(plan))?;
        if let Err(error) = self.adopt(&Arc::new(shared)) {
            let _ = wait(cluster.remove_network(id));
            return Err(error);
        }
        Ok(())
    }

    /// Makes a network of the store one of this daemon's, or what it is now of it.
    pub(in super::super) fn adopt(&self, shared: &Arc<SharedNetwork>) -> Result<(), ControlError> {
        let _turn = self.writing();
        let id = shared.id();
        let known = {
            let books = self.books.lock();
            books.networks.get(id).map(|network| (network.shared.clone(), network.record.ageing))
        };
        match known {
            // Only what says nothing of how it works may change.
            Some((Some(old), ageing)) => {
                if old != *shared {
                    self.put(&format!("{NETWORKS}{id}"), shared.as_ref())?;
                    let mut books = self.books.lock();
                    let network = books.network_mut(id)?;
                    network.record.labels.clone_from(&shared.record.labels);
                    network.record.ageing = ageing;
                    network.shared = Some(shared.clone());
                }
                return Ok(());
            }
            Some((None, _)) => {
                return Err(ControlError::Conflict(format!("network {id} is one of this node alone")));
            }
            None => {}
        }
        let network = self.network_at_work(&shared.record, Some(shared))?;
        if let Err(error) = self.put(&format!("{NETWORKS}{id}"), shared.as_ref()) {
            self.tear_down(&network);
            return Err(error);
        }
        self.books.lock().insert_network(network);
        self.refresh_host_subnets();
        self.events.network("create", &shared.record, None);
        Ok(())
    }

    /// Removes a network of all nodes.
    pub(in super::super) fn remove_shared(&self, id: &str) -> Result<(), ControlError> {
        self.books.lock().removable(id)?;
        // Without a store only what this node remembers of it goes.
        if let Some(cluster) = self.cluster() {
            wait(cluster.remove_network(id))?;
        }
        self.forsake(id);
        Ok(())
    }

    /// Forgets a network that is no longer in the store.
    pub(in super::super) fn forsake(&self, id: &str) {
        let _turn = self.writing();
        let Some(network) = self.books.lock().take_network(id) else { return };
        for key in [format!("{NETWORKS}{id}"), format!("{ENDPOINTS}{id}")] {
            self.erase(&key);
        }
        self.tear_down(&network);
        self.refresh_host_subnets();
        self.events.network("destroy", &network.record, None);
    }
}
