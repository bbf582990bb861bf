//! Why the cluster does not do what it was asked for.

use std::net::{IpAddr, Ipv4Addr};

use crate::control::kv::KvError;
use crate::control::net::{Class, NetError};

/// A refusal, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// The store is silent, refuses, or makes no sense.
    #[error(transparent)]
    Store(#[from] KvError),
    /// This node does not take part, at least not yet.
    #[error("this node has not joined the cluster: {0}")]
    NotJoined(String),
    /// Another node has the name.
    #[error(
        "another node with the name {name:?} is in the cluster, at {vtep}: give this one a name of its own"
    )]
    NodeInUse {
        /// The name.
        name: String,
        /// The other one's tunnel endpoint.
        vtep: IpAddr,
    },
    /// Another node has the address.
    #[error("the address {address} is that of the node {node:?}: let this one advertise its own")]
    VtepInUse {
        /// The address.
        address: IpAddr,
        /// Who has it.
        node: String,
    },
    /// The same node was started again elsewhere.
    #[error("the node {0:?} was started a second time, from a copy of its data directory: stop one of them")]
    Displaced(String),
    /// Somebody later than this wrote the store's content.
    #[error(
        "the store's content has the layout {found}, and this version knows {} only: use a later version of this program",
        super::schema::SCHEMA
    )]
    NewerSchema {
        /// What is there.
        found: u32,
    },
    /// Not what this program put there.
    #[error("{0}")]
    NotOurs(String),
    /// A network that cannot be as asked for, or an address.
    #[error(transparent)]
    Network(#[from] NetError),
    /// There is no such network.
    #[error("network {0} not found")]
    NoNetwork(String),
    /// Somebody is on it.
    #[error("error while removing network: network {name} id {id} has active endpoints")]
    HasEndpoints {
        /// The network.
        name: String,
        /// The network.
        id: String,
    },
    /// A container of this or another node has the name.
    #[error(
        "Conflict. The container name \"/{name}\" is already in use by container \"{container}\". You have to \
         remove (or rename) that container to be able to reuse that name."
    )]
    NameInUse {
        /// The name.
        name: String,
        /// The container's id.
        container: String,
        /// The node it is on.
        node: String,
    },
    /// The Ethernet address or the IPv6 address is another endpoint's.
    #[error("address {address} is already in use on this network, by the endpoint {ipv4} of node {node:?}")]
    SecondInUse {
        /// The address.
        address: String,
        /// The endpoint that has it.
        ipv4: Ipv4Addr,
        /// Its node.
        node: String,
    },
    /// What was asked for is nothing that all nodes can read.
    #[error("this cannot be in the store: {0}")]
    Unfit(String),
    /// What stands there cannot be read, and so nobody can have it.
    #[error("the store's key {key:?} cannot be read, so it is taken: {why}")]
    Unreadable {
        /// The key.
        key: String,
        /// Why.
        why: String,
    },
    /// Others were faster all the time.
    #[error("the cluster is too busy: other nodes were faster for {0} s")]
    Contended(u64),
    /// Nobody here holds it.
    #[error("no endpoint {0} is held by this node")]
    NotHeld(String),
    /// It takes part no longer.
    #[error("this node has left the cluster")]
    Left,
}

impl ClusterError {
    /// Waiting may help: this node has not joined at this moment, or the store has just been silent.
    pub(super) fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Store(KvError::Unreachable(_))
                | Self::NotJoined(_)
                | Self::NodeInUse { .. }
                | Self::VtepInUse { .. }
        )
    }

    /// The kind of refusal; `None` of what is nobody's fault.
    pub fn class(&self) -> Option<Class> {
        match self {
            Self::Network(error) => Some(error.class()),
            Self::NoNetwork(_) | Self::NotHeld(_) => Some(Class::NotFound),
            Self::HasEndpoints { .. } => Some(Class::Forbidden),
            Self::Unfit(_) => Some(Class::Invalid),
            Self::NameInUse { .. } | Self::SecondInUse { .. } | Self::Unreadable { .. } => {
                Some(Class::Conflict)
            }
            _ => None,
        }
    }
}
