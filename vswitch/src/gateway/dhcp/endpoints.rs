//! Who is who: what DHCP says to which station.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use packet::MacAddr;

use super::options::search_list;
use crate::dataplane::storm::Limit;
use crate::gateway::config::Endpoint;

/// DHCP messages a second that one station gets answered. Clients send one in some seconds.
const PER_SECOND: u32 = 10;

/// An endpoint, its values in the form they have on the wire.
#[derive(Default)]
pub(super) struct Entry {
    pub(super) address: Option<Ipv4Addr>,
    pub(super) hostname: Vec<u8>,
    pub(super) search: Vec<u8>,
    pub(super) limit: Limit,
}

/// Every endpoint of the network. Read by workers without a lock; a change replaces the whole.
#[derive(Default)]
pub(in super::super) struct Endpoints(ArcSwap<HashMap<MacAddr, Arc<Entry>>>);

impl Endpoints {
    /// Adds or replaces one.
    pub(in super::super) fn set(&self, mac: MacAddr, endpoint: &Endpoint) {
        let entry = Entry {
            address: endpoint.address,
            hostname: endpoint.hostname.clone().unwrap_or_default().into_bytes(),
            search: search_list(endpoint.search.iter().map(String::as_str)),
            limit: Limit::default(),
        };
        entry.limit.set(PER_SECOND);
        let entry = Arc::new(entry);
        self.0.rcu(|all| {
            let mut all = HashMap::clone(all);
            all.insert(mac, entry.clone());
            all
        });
    }

    /// Forgets one.
    pub(in super::super) fn remove(&self, mac: MacAddr) {
        self.0.rcu(|all| {
            let mut all = HashMap::clone(all);
            all.remove(&mac);
            all
        });
    }

    pub(super) fn find(&self, mac: MacAddr) -> Option<Arc<Entry>> {
        self.0.load().get(&mac).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_found_until_it_is_removed() {
        let endpoints = Endpoints::default();
        let (a, b) = (MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]));
        let endpoint = |n| Endpoint { address: Some(Ipv4Addr::new(10, 0, 0, n)), ..Endpoint::default() };
        endpoints.set(a, &endpoint(2));
        endpoints.set(b, &endpoint(3));
        endpoints.set(a, &endpoint(4));
        assert_eq!(endpoints.find(a).unwrap().address, Some(Ipv4Addr::new(10, 0, 0, 4)));
        endpoints.remove(a);
        assert!(endpoints.find(a).is_none() && endpoints.find(b).is_some());
    }
}
