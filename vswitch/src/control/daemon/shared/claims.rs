//! What a container needs of the store, claimed before anything of it exists and given back after all
//! of it has gone.

use std::sync::Arc;

use tokio::time::Instant;

use super::{ControlError, Daemon, PATIENCE, SharedEndpoint, wait, wait_by, wish};
use crate::control::cluster::ClusterError;
use crate::control::id;
use crate::control::record::Container;
use crate::control::request::EndpointRequest;

/// How many names are tried for a container that was given none.
const NAMES: usize = 20;

/// What was claimed for a container.
#[derive(Default)]
pub(in super::super) struct Claims {
    container: String,
    name: String,
    endpoints: Vec<Arc<SharedEndpoint>>,
}

impl Claims {
    /// The endpoint on a network.
    pub(in super::super) fn on(&self, network_id: &str) -> Option<&SharedEndpoint> {
        self.endpoints.iter().map(AsRef::as_ref).find(|endpoint| endpoint.network == network_id)
    }
}

impl Daemon {
    /// Claims a container's endpoints on the networks of all nodes, and its name, which is chosen here if
    /// there is none and is needed.
    pub(in super::super) fn claim_all(
        &self,
        container: &str,
        name: &mut Option<String>,
        networks: &[EndpointRequest],
    ) -> Result<Claims, ControlError> {
        let wanted: Vec<(String, &EndpointRequest)> = {
            let books = self.books.lock();
            let on = |request: &EndpointRequest| books.resolve_network(&request.network).ok();
            let wanted = networks.iter().filter_map(|request| Some((on(request)?, request)));
            wanted.filter(|(network, _)| books.is_shared(network)).collect()
        };
        let Some((_, first)) = wanted.first() else { return Ok(Claims::default()) };
        let cluster = self.sharing(&first.network)?;
        // Whether this node has yet to join, how many names are tried and how many networks there are: the time is
        // the same.
        let end = Instant::now() + PATIENCE;
        let chosen = match name.as_deref() {
            Some(given) => {
                self.books.lock().check_name(given)?;
                given.to_owned()
            }
            None => self.claim_some_name(container, end)?,
        };
        *name = Some(chosen.clone());
        let mut claims = Claims { container: container.to_owned(), name: chosen, endpoints: Vec::new() };
        for (network, request) in wanted {
            let claimed = wish(container, &claims.name, &network, request)
                .and_then(|wish| Ok(wait_by(end, cluster.claim(wish))??));
            match claimed {
                Ok(endpoint) => claims.endpoints.push(endpoint),
                Err(error) => {
                    self.unclaim(&claims);
                    return Err(error);
                }
            }
        }
        Ok(claims)
    }

    fn claim_some_name(&self, container: &str, end: Instant) -> Result<String, ControlError> {
        let cluster = self.sharing("of all nodes")?;
        for attempt in 0..NAMES {
            let name = id::generated_name(container, attempt);
            if self.books.lock().check_name(&name).is_err() {
                continue;
            }
            match wait_by(end, cluster.claim_name(&name, container))? {
                Ok(()) => return Ok(name),
                Err(ClusterError::NameInUse { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ControlError::Conflict("no name is free: give one with --name".into()))
    }

    /// Claims one more endpoint for a container that is there, if the network is one of all nodes.
    pub(in super::super) async fn claim_one(
        &self,
        record: &Container,
        network_id: &str,
        request: &EndpointRequest,
    ) -> Result<Claims, ControlError> {
        let shared = {
            let books = self.books.lock();
            books.is_shared(network_id) && record.endpoint_on(network_id).is_none()
        };
        if !shared {
            return Ok(Claims::default());
        }
        let cluster = self.sharing(&request.network)?;
        let endpoint = cluster.claim(wish(&record.id, &record.name, network_id, request)?).await?;
        // The name was the container's before, or goes with its last endpoint.
        Ok(Claims { container: record.id.clone(), name: String::new(), endpoints: vec![endpoint] })
    }

    /// Gives back what was claimed and did not become a container's.
    pub(in super::super) fn unclaim(&self, claims: &Claims) {
        for endpoint in &claims.endpoints {
            self.release_endpoint(&endpoint.id);
        }
        if !claims.name.is_empty() {
            self.release_name(&claims.name, &claims.container);
        }
        self.wait_for_store();
    }

    /// Tells the store that an endpoint is no more.
    pub(in super::super) fn release_endpoint(&self, endpoint: &str) {
        let Some(cluster) = self.cluster().cloned() else { return };
        let endpoint = endpoint.to_owned();
        self.tell_store(async move { cluster.release(&endpoint).await });
    }

    /// Tells the store that a container's name is free.
    pub(in super::super) fn release_name(&self, name: &str, container: &str) {
        let Some(cluster) = self.cluster().cloned() else { return };
        let (name, container) = (name.to_owned(), container.to_owned());
        self.tell_store(async move { cluster.release_name(&name, &container).await });
    }

    /// Frees the name of a container of which nothing is in the store any more.
    pub(in super::super) fn let_go_of_name(&self, record: &Container) {
        if !self.books.lock().is_in_store(record) {
            self.release_name(&record.name, &record.id);
        }
    }

    /// Gives a container of the store another name there; the books follow.
    pub(in super::super) fn rename_in_store(
        &self,
        id: &str,
        old: &str,
        new: &str,
    ) -> Result<bool, ControlError> {
        let in_store = {
            let books = self.books.lock();
            books.live(id).is_ok_and(|live| books.is_in_store(&live.record))
        };
        match self.cluster() {
            Some(cluster) if in_store => wait(cluster.rename(id, old, new)).map(|()| true),
            _ => Ok(false),
        }
    }

    /// What a container was given of the store is its own at this moment.
    pub(in super::super) fn refuse_doubtful(&self, record: &Container) -> Result<(), ControlError> {
        let shared: Vec<_> = {
            let books = self.books.lock();
            record.endpoints.iter().filter(|e| books.is_shared(&e.network_id)).cloned().collect()
        };
        for endpoint in shared {
            let cluster = self.sharing(&endpoint.network)?;
            if !cluster.owns(&endpoint.id) {
                let why =
                    cluster.status().trouble.map_or_else(|| "another node has it".into(), |(why, _)| why);
                return Err(ControlError::Failed(format!(
                    "its address on network {} may not be its own any more: {why}",
                    endpoint.network
                )));
            }
        }
        Ok(())
    }
}
