//! What one container may resolve.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::network::{Host, Hosts, NetworkNames};
use super::wire::{self, LowerName};

/// A network as one of its containers sees it: its names, and those only that container has.
#[derive(Clone, Debug)]
pub struct Attached {
    names: Arc<NetworkNames>,
    links: HashMap<Box<[u8]>, Box<[u8]>>,
}

impl Attached {
    /// A network with the container's links on it: alias, and the name it stands for there.
    pub fn new(names: Arc<NetworkNames>, links: &[(String, String)]) -> Self {
        let links = links
            .iter()
            .filter_map(|(alias, name)| Some((wire::to_key(alias)?, wire::to_key(name)?)))
            .collect();
        Self { names, links }
    }

    /// The network's names.
    pub fn names(&self) -> &Arc<NetworkNames> {
        &self.names
    }
}

impl From<Arc<NetworkNames>> for Attached {
    fn from(names: Arc<NetworkNames>) -> Self {
        Self::new(names, &[])
    }
}

/// What one container may resolve.
#[derive(Clone, Debug)]
pub struct View {
    /// Its networks, in the order in which they are asked.
    pub networks: Vec<Attached>,
    /// Its own servers (`--dns`); the host's where there are none.
    pub servers: Vec<IpAddr>,
    /// Whether names that are not known may be asked for outside.
    pub forward: bool,
    /// The user has set `ndots` to 1 or more: an unknown name of one label is then not asked for
    /// outside; the client asks again with its search domain.
    pub ndots_set: bool,
}

impl Default for View {
    /// No network, the host's servers.
    fn default() -> Self {
        Self { networks: Vec::new(), servers: Vec::new(), forward: true, ndots_set: false }
    }
}

impl View {
    /// Who a name belongs to. As in Docker 20.10: the whole name is tried first, then what is
    /// left of the last dot on the network that is right of it, and so on leftwards; of each, a
    /// link before a name, and networks in their order. A link's alias hides the same name on
    /// its network.
    pub(super) fn find(&self, name: &LowerName) -> Option<Hosts<'_>> {
        self.find_wire(name.as_bytes())
    }

    /// As [`find`](Self::find), of a name in small letters on the wire without the root.
    pub(super) fn find_wire(&self, name: &[u8]) -> Option<Hosts<'_>> {
        if name.is_empty() {
            return None;
        }
        if let Some(hosts) = find_on(self.networks.iter(), name) {
            return Some(hosts);
        }
        // Where the label begins that the network's name begins with, last first.
        let mut starts = [0u8; wire::MAX_NAME / 2];
        let mut count = 0;
        let mut at = 0;
        while let Some(&len) = name.get(at) {
            *starts.get_mut(count)? = at as u8;
            count += 1;
            at += usize::from(len) + 1;
        }
        for &start in starts.get(1..count)?.iter().rev() {
            let (host, network) = name.split_at_checked(start.into())?;
            let on = self.networks.iter().filter(|n| n.names.key() == Some(network));
            if let Some(hosts) = find_on(on, host) {
                return Some(hosts);
            }
        }
        None
    }

    /// Who has an address, on the first network that knows it.
    pub(super) fn host_at(&self, address: IpAddr) -> Option<Arc<Host>> {
        self.networks.iter().find_map(|n| n.names.host_at(address))
    }
}

fn find_on<'a>(networks: impl Iterator<Item = &'a Attached> + Clone, name: &[u8]) -> Option<Hosts<'a>> {
    let mut linked = networks.clone().filter_map(|n| n.names.hosts(n.links.get(name)?));
    if let Some(hosts) = linked.next() {
        return Some(hosts);
    }
    drop(linked);
    networks.filter(|n| !n.links.contains_key(name)).find_map(|n| n.names.hosts(name))
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
