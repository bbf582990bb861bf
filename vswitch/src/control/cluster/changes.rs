//! What the daemon is told of changes.
//!
//! Changes are not queued: what is kept is which keys changed since the daemon asked last, and how they
//! were then. A daemon that is slow sees fewer steps, and costs no more memory than the picture.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::picture::{Changed, Picture};
use super::schema::{Key, Node, SharedEndpoint, SharedNetwork, Value};

/// Whether this node may regard its claims as its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody can have given them to somebody else.
    Sure,
    /// The store was not reached for so long that others may regard this node as dead, or it was
    /// never reached.
    Doubtful,
}

/// An endpoint that this node held and does not hold any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostEndpoint {
    /// It.
    pub endpoint: Arc<SharedEndpoint>,
    /// Why, in a sentence.
    pub why: String,
}

/// A change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A network is there.
    NetworkCame(Arc<SharedNetwork>),
    /// A network is not what it was.
    NetworkChanged {
        /// What it was.
        old: Arc<SharedNetwork>,
        /// What it is.
        new: Arc<SharedNetwork>,
    },
    /// A network was removed.
    NetworkWent(Arc<SharedNetwork>),
    /// An endpoint is there, on whichever node.
    EndpointCame(Arc<SharedEndpoint>),
    /// An endpoint has other names, or its node another address.
    EndpointChanged {
        /// What it was.
        old: Arc<SharedEndpoint>,
        /// What it is.
        new: Arc<SharedEndpoint>,
    },
    /// An endpoint was given back, by its node or for a dead one.
    EndpointWent(Arc<SharedEndpoint>),
    /// A node is there.
    NodeCame(Arc<Node>),
    /// A node is there again, perhaps elsewhere.
    NodeChanged {
        /// What it was.
        old: Arc<Node>,
        /// What it is.
        new: Arc<Node>,
    },
    /// A node has left, or does not reach the store. Its endpoints are still its own.
    NodeWent(Arc<Node>),
    /// An endpoint of this node is not its own any more: it must not be used.
    Lost(LostEndpoint),
    /// A container's name is not this node's any more.
    LostName {
        /// The name.
        name: String,
        /// The container of this node that had it.
        container: String,
        /// The node that has it now.
        owner: String,
    },
    /// Another standing.
    Standing(Standing),
}

/// What has changed since the daemon asked last.
#[derive(Debug, Default)]
pub(super) struct Changes {
    before: BTreeMap<Key, Option<Value>>,
    /// What befell claims of this node; each at most once, so never more than it made.
    own: Vec<Event>,
    standing: Option<Standing>,
}

impl Changes {
    pub(super) fn note(&mut self, changed: Vec<Changed>) {
        for Changed { key, before } in changed {
            if matches!(key, Key::Network(_) | Key::Endpoint(..) | Key::Node(_)) {
                self.before.entry(key).or_insert(before);
            }
        }
    }

    pub(super) fn own(&mut self, event: Event) {
        self.own.push(event);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.before.is_empty() && self.own.is_empty()
    }

    /// All of them. What others have to be told of first comes first: an endpoint goes before its
    /// network, and before somebody else has its address.
    pub(super) fn take(&mut self, picture: &Picture, standing: Standing) -> Vec<Event> {
        let mut went = Vec::new();
        let (mut networks_went, mut networks, mut nodes, mut came) = (vec![], vec![], vec![], vec![]);
        for (key, before) in std::mem::take(&mut self.before) {
            let now = picture.get(&key).and_then(|item| item.shown()).cloned();
            if before == now {
                continue;
            }
            match (before, now) {
                (None, Some(Value::Network(new))) => networks.push(Event::NetworkCame(new)),
                (Some(Value::Network(old)), Some(Value::Network(new))) => {
                    networks.push(Event::NetworkChanged { old, new });
                }
                (Some(Value::Network(old)), _) => networks_went.push(Event::NetworkWent(old)),
                (None, Some(Value::Endpoint(new))) => came.push(Event::EndpointCame(new)),
                (Some(Value::Endpoint(old)), Some(Value::Endpoint(new))) if old.id == new.id => {
                    came.push(Event::EndpointChanged { old, new });
                }
                (Some(Value::Endpoint(old)), Some(Value::Endpoint(new))) => {
                    went.push(Event::EndpointWent(old));
                    came.push(Event::EndpointCame(new));
                }
                (Some(Value::Endpoint(old)), _) => went.push(Event::EndpointWent(old)),
                (None, Some(Value::Node(new))) => nodes.push(Event::NodeCame(new)),
                (Some(Value::Node(old)), Some(Value::Node(new))) => {
                    nodes.push(Event::NodeChanged { old, new });
                }
                (Some(Value::Node(old)), _) => nodes.push(Event::NodeWent(old)),
                _ => {}
            }
        }
        went.append(&mut networks_went);
        went.append(&mut networks);
        went.append(&mut nodes);
        went.append(&mut came);
        went.append(&mut self.own);
        let known = self.standing.unwrap_or(Standing::Doubtful);
        if known != standing {
            self.standing = Some(standing);
            went.push(Event::Standing(standing));
        }
        went
    }
}
