//! The way out of containers on overlays only: a local bridge network, as Docker has it.

use std::sync::Arc;

use super::{Books, ControlError, Daemon};
use crate::control::net::options;
use crate::control::net::request::NetworkCreateRequest;
use crate::control::record::{Container, Endpoint, Mode};
use crate::control::request::EndpointRequest;

/// The network's name, and its bridge's.
pub(in super::super) const GATEWAY_BRIDGE: &str = "docker_gwbridge";

fn request() -> NetworkCreateRequest {
    let options = [
        (options::BRIDGE_NAME, GATEWAY_BRIDGE),
        (options::ENABLE_ICC, "false"),
        (options::ENABLE_MASQUERADE, "true"),
    ];
    NetworkCreateRequest {
        name: GATEWAY_BRIDGE.into(),
        driver: "bridge".into(),
        options: options.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        ..NetworkCreateRequest::default()
    }
}

impl Daemon {
    /// Makes the network when it is needed first.
    pub(in super::super) fn make_gateway_bridge(
        &self,
        networks: &[EndpointRequest],
    ) -> Result<(), ControlError> {
        let needed = {
            let books = self.books.lock();
            let on = |request: &EndpointRequest| {
                let id = books.resolve_network(&request.network).ok()?;
                Some(books.networks.get(&id)?.is_open_overlay())
            };
            networks.iter().filter_map(on).any(|open| open)
                && !books.network_names.contains_key(GATEWAY_BRIDGE)
        };
        if !needed {
            return Ok(());
        }
        match self.create_network(request()) {
            // Another container was faster.
            Err(ControlError::Conflict(_)) if self.network(GATEWAY_BRIDGE).is_ok() => Ok(()),
            made => made.map(drop),
        }
    }

    /// Gives a container the way out that it needs, and takes one away that it does not need any more.
    pub(in super::super) async fn settle_way_out(
        self: &Arc<Self>,
        container: &str,
    ) -> Result<(), ControlError> {
        let (id, needs, idle) = {
            let books = self.books.lock();
            let id = books.resolve(container)?;
            let record = &books.live(&id)?.record;
            let idle = record.endpoints.iter().find(|e| e.gateway_only).filter(|_| !books.on_overlay(record));
            (id.clone(), books.needs_gateway(record), idle.map(|e| e.network_id.clone()))
        };
        if needs {
            let request = gateway_endpoint();
            self.make_gateway_bridge_now()?;
            self.connect_one(GATEWAY_BRIDGE, &id, request, true).await?;
        } else if let Some(network) = idle {
            self.disconnect_one(&network, &id, false).await?;
        }
        Ok(())
    }

    fn make_gateway_bridge_now(&self) -> Result<(), ControlError> {
        if self.network(GATEWAY_BRIDGE).is_ok() {
            return Ok(());
        }
        match self.create_network(request()) {
            Err(ControlError::Conflict(_)) if self.network(GATEWAY_BRIDGE).is_ok() => Ok(()),
            made => made.map(drop),
        }
    }
}

fn gateway_endpoint() -> EndpointRequest {
    EndpointRequest { network: GATEWAY_BRIDGE.into(), ..EndpointRequest::default() }
}

impl super::super::Network {
    /// Its containers are to reach the outside, and not through itself.
    fn is_open_overlay(&self) -> bool {
        self.record.is_overlay() && !self.record.internal
    }
}

impl Books {
    fn on_overlay(&self, record: &Container) -> bool {
        let open = |e: &Endpoint| {
            self.networks.get(&e.network_id).is_some_and(super::super::Network::is_open_overlay)
        };
        record.endpoints.iter().any(open)
    }

    fn needs_gateway(&self, record: &Container) -> bool {
        record.mode == Mode::Networks && record.way_out().is_none() && self.on_overlay(record)
    }

    /// The endpoint that is a new container's way out, where its networks have none.
    pub(in super::super) fn reserve_way_out(&mut self, record: &mut Container) -> Result<(), ControlError> {
        if self.needs_gateway(record) {
            let endpoint = self.reserve(record, &gateway_endpoint(), None)?;
            record.endpoints.push(Endpoint { gateway_only: true, ..endpoint });
        }
        Ok(())
    }
}
