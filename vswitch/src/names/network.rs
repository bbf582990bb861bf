//! The names of one network: what its endpoints are called and where they are.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::{MappedRwLockReadGuard, RwLock, RwLockReadGuard};

use super::wire;

/// A service an endpoint offers, found by SRV queries for `_name._protocol.endpoint` (RFC 2782).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Service {
    /// Name without the underscore, such as `http`.
    pub name: String,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// Port.
    pub port: u16,
}

/// An endpoint as answers need it.
#[derive(Debug)]
pub struct Host {
    /// `canonical.network.` on the wire, with the root; `None` where DNS cannot carry it.
    pub fqdn: Option<Box<[u8]>>,
    /// Its IPv4 addresses.
    pub v4: Vec<Ipv4Addr>,
    /// Its IPv6 addresses.
    pub v6: Vec<Ipv6Addr>,
    /// Its services: `_name._protocol` in small letters on the wire, and port.
    pub services: Vec<(Box<[u8]>, u16)>,
    names: Vec<Box<[u8]>>,
}

impl Host {
    fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.v4.iter().map(|&a| a.into()).chain(self.v6.iter().map(|&a| a.into()))
    }
}

/// Hosts that share a name, borrowed from their network.
pub type Hosts<'a> = MappedRwLockReadGuard<'a, [Arc<Host>]>;

#[derive(Debug, Default)]
struct Table {
    endpoints: HashMap<Box<str>, Arc<Host>>,
    names: HashMap<Box<[u8]>, Vec<Arc<Host>>>,
    addresses: HashMap<IpAddr, Vec<Arc<Host>>>,
}

impl Table {
    fn insert(&mut self, endpoint: &str, host: Host) {
        let host = Arc::new(host);
        for name in &host.names {
            self.names.entry(name.clone()).or_default().push(host.clone());
        }
        for address in host.addresses() {
            self.addresses.entry(address).or_default().push(host.clone());
        }
        self.endpoints.insert(endpoint.into(), host);
    }

    fn remove(&mut self, endpoint: &str) {
        let Some(host) = self.endpoints.remove(endpoint) else { return };
        for name in &host.names {
            forget(&mut self.names, &**name, &host);
        }
        for address in host.addresses() {
            forget(&mut self.addresses, &address, &host);
        }
    }
}

/// Takes one host from those under `key`.
fn forget<K, Q>(map: &mut HashMap<K, Vec<Arc<Host>>>, key: &Q, host: &Arc<Host>)
where
    K: std::hash::Hash + Eq + std::borrow::Borrow<Q>,
    Q: std::hash::Hash + Eq + ?Sized,
{
    if let Some(hosts) = map.get_mut(key) {
        hosts.retain(|h| !Arc::ptr_eq(h, host));
        if hosts.is_empty() {
            map.remove(key);
        }
    }
}

/// The names of one network.
///
/// A change is in effect when the call returns, and costs as much as the endpoint has names,
/// however many others there are. The lock is held for a few map operations, or for the time
/// it takes to write an answer; nobody waits or does I/O under it.
#[derive(Debug)]
pub struct NetworkNames {
    name: String,
    key: Option<Box<[u8]>>,
    table: RwLock<Table>,
}

impl NetworkNames {
    /// A network without endpoints. Its name is what may stand behind an endpoint's.
    pub fn new(network: &str) -> Arc<Self> {
        Arc::new(Self { name: network.into(), key: wire::to_key(network), table: RwLock::default() })
    }

    /// The network's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The network's name in small letters on the wire; `None` where DNS cannot carry it.
    pub(super) fn key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    /// Says what an endpoint is called and where it is, instead of what was said before.
    /// `canonical` is the name that its addresses resolve to, `names` are all it is found by,
    /// aliases and short id included. A name DNS cannot carry (a label of more than 63 bytes,
    /// more than 255 in all) cannot be asked for either, and is left out.
    pub fn set(&self, endpoint: &str, canonical: &str, names: &[String], addresses: &[IpAddr]) {
        self.set_with_services(endpoint, canonical, names, addresses, &[]);
    }

    /// As [`set`](Self::set), with the services the endpoint offers.
    pub fn set_with_services(
        &self,
        endpoint: &str,
        canonical: &str,
        names: &[String],
        addresses: &[IpAddr],
        services: &[Service],
    ) {
        let mut keys: Vec<Box<[u8]>> = names.iter().filter_map(|n| wire::to_key(n)).collect();
        keys.sort_unstable();
        keys.dedup();
        let mut v4 = Vec::new();
        let mut v6 = Vec::new();
        for &address in addresses {
            match address {
                IpAddr::V4(a) if !v4.contains(&a) => v4.push(a),
                IpAddr::V6(a) if !v6.contains(&a) => v6.push(a),
                _ => {}
            }
        }
        let services = services
            .iter()
            .filter_map(|s| Some((wire::to_key(&format!("_{}._{}", s.name, s.protocol))?, s.port)))
            .collect();
        let host = Host { fqdn: self.fqdn(canonical), v4, v6, services, names: keys };
        let mut table = self.table.write();
        table.remove(endpoint);
        table.insert(endpoint, host);
    }

    fn fqdn(&self, canonical: &str) -> Option<Box<[u8]>> {
        let mut fqdn = wire::to_wire(&format!("{canonical}.{}", self.name), 0)?;
        fqdn.push(0);
        Some(fqdn.into_boxed_slice())
    }

    /// Forgets an endpoint; one that is not known is no fault.
    pub fn remove(&self, endpoint: &str) {
        self.table.write().remove(endpoint);
    }

    /// How many endpoints there are.
    pub fn len(&self) -> usize {
        self.table.read().endpoints.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Who has this name, given in small letters on the wire. The network stays locked for
    /// writers while the answer lives.
    pub(super) fn hosts(&self, key: &[u8]) -> Option<Hosts<'_>> {
        RwLockReadGuard::try_map(self.table.read(), |t| t.names.get(key).map(Vec::as_slice)).ok()
    }

    /// Who has this address: the endpoint that said so first.
    pub(super) fn host_at(&self, address: IpAddr) -> Option<Arc<Host>> {
        self.table.read().addresses.get(&address)?.first().cloned()
    }
}

#[cfg(test)]
#[path = "network_tests.rs"]
mod tests;
