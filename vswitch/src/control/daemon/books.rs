//! The books themselves: containers and networks as they stand, and what each holds.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::watch;

use super::directory::Directory;
use super::views::NamedBridge;
use super::{Phase, Plugged, fabric};
use crate::control::cluster::{SharedEndpoint, SharedNetwork};
use crate::control::error::ControlError;
use crate::control::net::{NetworkRecord, Pool};
use crate::control::record::{Container, Endpoint};
use crate::control::shim_link::ShimLink;

#[derive(Default)]
pub(super) struct Books {
    pub(super) containers: HashMap<String, Live>,
    /// Containers' ids by name.
    pub(super) names: BTreeMap<String, String>,
    /// By id.
    pub(super) networks: HashMap<String, Network>,
    /// Networks' ids by name.
    pub(super) network_names: BTreeMap<String, String>,
}

pub(super) struct Live {
    pub(super) record: Container,
    pub(super) phase: watch::Sender<Phase>,
    pub(super) pid: i32,
    pub(super) shim: i32,
    pub(super) link: Option<Arc<ShimLink>>,
    pub(super) ports: Vec<Plugged>,
    pub(super) directory: Option<Directory>,
    /// Its addresses are its own. Whoever takes this is who gives them back.
    pub(super) holds_addresses: bool,
    /// Addresses of its record that another had before it, by network: not for it to give back.
    pub(super) others: Vec<(String, IpAddr)>,
    /// Somebody starts it.
    pub(super) starting: bool,
    /// Held by whoever asks its shim for something: one at a time.
    pub(super) turn: Arc<tokio::sync::Mutex<()>>,
}

/// An endpoint's addresses, to be given back by whoever took them out of the books.
pub(super) struct Lent {
    /// The endpoint's id.
    pub(super) endpoint: String,
    pub(super) network_id: String,
    pub(super) addresses: Vec<IpAddr>,
}

/// What a container held, to be given back likewise.
pub(super) struct Holdings {
    pub(super) ports: Vec<Plugged>,
    pub(super) link: Option<Arc<ShimLink>>,
    pub(super) directory: Option<Directory>,
    pub(super) lent: Vec<Lent>,
}

impl Live {
    pub(super) fn new(record: Container, phase: Phase, holds_addresses: bool) -> Self {
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
    pub(super) fn lent(&self, endpoint: &Endpoint) -> Lent {
        let network_id = endpoint.network_id.clone();
        let own =
            |a: &IpAddr| !self.others.iter().any(|(network, other)| *network == network_id && other == a);
        let addresses = endpoint.addresses().into_iter().filter(own).collect();
        Lent { endpoint: endpoint.id.clone(), addresses, network_id }
    }

    /// Its record while its networks may know of it: once its holdings are taken they are told, or
    /// have been, that it is gone.
    pub(super) fn present(&self) -> Option<&Container> {
        Some(&self.record).filter(|record| record.is_running() && self.link.is_some())
    }

    pub(super) fn take_holdings(&mut self) -> Holdings {
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
pub(super) struct Network {
    pub(super) record: NetworkRecord,
    /// The addresses of each of its subnets.
    pub(super) pools: Vec<Pool>,
    /// Its switching, where it has any.
    pub(super) fabric: Option<fabric::Fabric>,
    /// What the store says of it, if it is one of all nodes.
    pub(super) shared: Option<Arc<SharedNetwork>>,
    /// Its endpoints on other nodes.
    pub(super) far: BTreeMap<String, Arc<SharedEndpoint>>,
}

impl Network {
    /// The bridges of its segments, in their order.
    pub(super) fn bridges(&self) -> Vec<NamedBridge> {
        let segments = self.fabric.iter().flat_map(fabric::Fabric::segments).enumerate();
        let named = segments.map(|(number, segment)| NamedBridge {
            name: self.record.bridge_name_of(number),
            bridge: segment.bridge.clone(),
            subnet: segment.subnet(),
        });
        named.collect()
    }

    pub(super) fn release(&mut self, addresses: &[IpAddr]) {
        for address in addresses {
            for pool in &mut self.pools {
                pool.release(*address);
            }
        }
    }
}

pub(super) fn no_such(text: &str) -> ControlError {
    ControlError::NotFound(format!("No such container: {text}"))
}

pub(super) fn no_network(text: &str) -> ControlError {
    ControlError::NotFound(format!("network {text} not found"))
}

impl Books {
    /// The id that a name, an id or an unambiguous beginning of one stands for.
    pub(super) fn resolve(&self, text: &str) -> Result<String, ControlError> {
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

    pub(super) fn live(&self, id: &str) -> Result<&Live, ControlError> {
        self.containers.get(id).ok_or_else(|| no_such(id))
    }

    pub(super) fn live_mut(&mut self, id: &str) -> Result<&mut Live, ControlError> {
        self.containers.get_mut(id).ok_or_else(|| no_such(id))
    }

    /// The id of the network that a name, an id, the beginning of one, or a bridge's name stands for.
    pub(super) fn resolve_network(&self, text: &str) -> Result<String, ControlError> {
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

    pub(super) fn network(&self, id: &str) -> Result<&Network, ControlError> {
        self.networks.get(id).ok_or_else(|| no_network(id))
    }

    pub(super) fn network_mut(&mut self, id: &str) -> Result<&mut Network, ControlError> {
        self.networks.get_mut(id).ok_or_else(|| no_network(id))
    }
}
