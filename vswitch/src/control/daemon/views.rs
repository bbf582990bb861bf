//! The books as others see them: containers, networks and who is on them at one moment.

use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;

use super::books::{Books, Live, Network};
use super::{Daemon, Plugged};
use crate::control::cluster::SharedEndpoint;
use crate::control::error::ControlError;
use crate::control::net::NetworkRecord;
use crate::control::record::{Container, Endpoint, Mode, Origin};
use crate::dataplane::Bridge;
use crate::sandbox::spec::Target;

/// A container and what is known of it only while it lives.
#[derive(Clone)]
pub struct ContainerView {
    /// What is kept.
    pub record: Container,
    /// Its first process, 0 if there is none.
    pub pid: i32,
    /// Its shim, 0 if there is none.
    pub shim: i32,
    /// Its ports.
    pub ports: Vec<Plugged>,
    /// The network namespace it sees, as a path; empty if there is none.
    pub netns: PathBuf,
    /// Where its files under /etc are.
    pub dir: PathBuf,
}

/// One container on a network, as the network shows it.
#[derive(Clone, Debug)]
pub struct Member {
    /// The container's id.
    pub container: String,
    /// Its name.
    pub name: String,
    /// Its endpoint.
    pub endpoint: Endpoint,
}

/// A bridge of a network.
#[derive(Clone)]
pub struct NamedBridge {
    /// Its name.
    pub name: String,
    /// It.
    pub bridge: Arc<Bridge>,
    /// The first subnet on it.
    pub subnet: Option<IpNet>,
}

/// A network at this moment.
#[derive(Clone)]
pub struct NetworkView {
    /// What is kept.
    pub record: NetworkRecord,
    /// Its switching, where it has any: one for each segment.
    pub bridges: Vec<NamedBridge>,
    /// Who is on it.
    pub members: Vec<Member>,
    /// Who is on it on other nodes.
    pub far: Vec<Arc<SharedEndpoint>>,
}

impl Books {
    fn members(&self, network_id: &str) -> Vec<Member> {
        let on_it = self.containers.values().filter(|live| live.record.is_running());
        let mut members: Vec<Member> = on_it
            .filter_map(|live| {
                let endpoint = match (&live.record.mode, live.record.endpoint_on(network_id)) {
                    (_, Some(endpoint)) => endpoint.clone(),
                    _ => return None,
                };
                Some(Member { container: live.record.id.clone(), name: live.record.name.clone(), endpoint })
            })
            .collect();
        members.sort_by(|a, b| a.container.cmp(&b.container));
        members
    }

    pub(super) fn network_view(&self, network: &Network) -> NetworkView {
        NetworkView {
            record: network.record.clone(),
            bridges: network.bridges(),
            members: self.members(&network.record.id),
            far: network.far.values().cloned().collect(),
        }
    }
}

impl Daemon {
    /// One container.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub fn view(&self, text: &str) -> Result<ContainerView, ControlError> {
        let books = self.books.lock();
        let id = books.resolve(text)?;
        Ok(self.container_view(&books, books.live(&id)?))
    }

    /// All containers, the newest first.
    pub fn views(&self) -> Vec<ContainerView> {
        let books = self.books.lock();
        let mut all: Vec<_> =
            books.containers.values().map(|live| self.container_view(&books, live)).collect();
        all.sort_by(|a, b| (b.record.created, &b.record.id).cmp(&(a.record.created, &a.record.id)));
        all
    }

    fn container_view(&self, books: &Books, live: &Live) -> ContainerView {
        let sees = match &live.record.mode {
            Mode::Container(other) => books.containers.get(other).unwrap_or(live),
            _ => live,
        };
        let netns = match &sees.record.origin {
            Origin::Attach { target: Target::Netns(path), .. } => path.clone(),
            Origin::Attach { target: Target::Pid(pid), .. } => format!("/proc/{pid}/ns/net").into(),
            Origin::Run { .. } if sees.pid > 0 => format!("/proc/{}/ns/net", sees.pid).into(),
            Origin::Run { .. } => PathBuf::new(),
        };
        ContainerView {
            record: live.record.clone(),
            pid: live.pid,
            shim: live.shim,
            ports: live.ports.clone(),
            netns: if live.record.is_running() { netns } else { PathBuf::new() },
            dir: self.dir(&sees.record.id),
        }
    }

    /// All networks, by name.
    pub fn networks(&self) -> Vec<NetworkView> {
        let books = self.books.lock();
        let mut all: Vec<&Network> = books.networks.values().collect();
        // A network of all nodes may have the name of one that this node had before.
        all.sort_by(|a, b| (&a.record.name, &a.record.id).cmp(&(&b.record.name, &b.record.id)));
        all.into_iter().map(|network| books.network_view(network)).collect()
    }

    /// One network, by name, id, beginning of an id, or its bridge's name.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] with Docker's sentence.
    pub fn network(&self, text: &str) -> Result<NetworkView, ControlError> {
        let books = self.books.lock();
        let id = books.resolve_network(text)?;
        Ok(books.network_view(books.network(&id)?))
    }

    /// The network with switching of its own that `text` names, and its bridges, or the one that `text` names;
    /// one at least.
    ///
    /// # Errors
    /// [`ControlError::NotFound`]; [`ControlError::Invalid`] for one without.
    pub fn bridges(&self, text: &str) -> Result<(NetworkView, Vec<Arc<Bridge>>), ControlError> {
        let view = self.network(text)?;
        let by_name = text != view.record.name && view.bridges.iter().any(|named| named.name == text);
        let wanted = view.bridges.iter().filter(|named| !by_name || named.name == text);
        let bridges: Vec<_> = wanted.map(|named| named.bridge.clone()).collect();
        if bridges.is_empty() {
            return Err(ControlError::Invalid(format!(
                "network {text} has no forwarding table: it switches nothing"
            )));
        }
        Ok((view, bridges))
    }
}
