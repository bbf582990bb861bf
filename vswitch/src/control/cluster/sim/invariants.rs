//! What must hold of the store with every transaction.

use std::collections::BTreeSet;

use futures_util::FutureExt;
use ipnet::IpNet;

use super::world::World;
use crate::control::cluster::schema::{Key, SharedEndpoint, SharedNetwork, Value, decode};
use crate::control::kv::Kv;
use crate::control::net::IpamConfig;
use crate::control::net::subnets::overlap;

impl World {
    /// Nobody puts over what is another's.
    pub(super) fn is_put(&self, by: &str, key: &str, value: &[u8]) {
        let Some(key) = self.keys.read(key) else { return };
        let value = match decode(&key, value) {
            Ok(value) => value,
            Err(why) => return self.violation(format!("{by} writes {key}, which nobody can read: {why}")),
        };
        let mut mirror = self.mirror.lock();
        if let Value::Endpoint(endpoint) = &value
            && let Some(Value::Network(network)) = mirror.get(&Key::Network(endpoint.network.clone()))
        {
            self.is_in(endpoint, network);
            let is_new = !mirror.contains_key(&key);
            let first =
                network.record.v4().is_some_and(|first| first.subnet.contains(&IpNet::V4(endpoint.ipv4)));
            self.counts.lock().further += u64::from(is_new && !first);
        }
        let before = mirror.get(&key).and_then(Value::node);
        if let Some(before) = before.filter(|before| Some(*before) != value.node()) {
            self.violation(format!("{by} takes {key}, which is {before}'s"));
        }
        mirror.insert(key, value);
    }

    /// An endpoint has addresses of one segment of its network, and none that is the gateway's.
    fn is_in(&self, endpoint: &SharedEndpoint, network: &SharedNetwork) {
        let fits = |config: &IpamConfig, net: IpNet| {
            config.subnet == net.trunc() && config.gateway != Some(net.addr())
        };
        let segments = network.record.segments();
        let in_one = segments.iter().any(|segment| {
            let has = |net: IpNet| segment.iter().any(|config| fits(config, net));
            let six = endpoint.ipv6.map(IpNet::V6);
            let dual = segment.iter().any(|config| !config.is_v4());
            has(IpNet::V4(endpoint.ipv4)) && dual == six.is_some() && six.is_none_or(has)
        });
        if !in_one || network.vni_of(endpoint.ipv4.addr().into()).is_none() {
            self.violation(format!(
                "{} and {:?} are no addresses of {:?}",
                endpoint.ipv4, endpoint.ipv6, network.vnis
            ));
        }
    }

    /// Nobody removes what is another's while the other is there.
    pub(super) fn is_deleted(&self, by: &str, key: &str) {
        let Some(key) = self.keys.read(key) else { return };
        let before = self.mirror.lock().remove(&key);
        let Some(of) = before.as_ref().and_then(Value::node).filter(|of| *of != by) else { return };
        let node = self.keys.text(&Key::Node(of.to_owned()));
        let there = self.store.list(&node).now_or_never().and_then(Result::ok);
        if there.is_some_and(|there| there.entries.iter().any(|entry| entry.key == node)) {
            self.violation(format!("{by} removes {key} of {of}, which is there"));
        }
    }

    /// No two networks have a name, an address or a number in common, and nobody is on one that is
    /// not there.
    pub(super) fn check_networks(&self) {
        let mirror = self.mirror.lock();
        let networks: Vec<&SharedNetwork> = mirror
            .values()
            .filter_map(|value| match value {
                Value::Network(network) => Some(network.as_ref()),
                _ => None,
            })
            .collect();
        for (at, a) in networks.iter().enumerate() {
            let numbers: BTreeSet<u32> = a.vnis.values().copied().collect();
            let segments = a.record.segments().len();
            if numbers.len() != segments || a.vnis.len() != segments {
                self.violation(format!("{segments} segments have the numbers {:?}", a.vnis));
            }
            for b in &networks[at + 1..] {
                let subnets = a.vnis.keys().any(|x| b.vnis.keys().any(|y| overlap(*x, *y)));
                let vnis = a.vnis.values().any(|x| b.vnis.values().any(|y| x == y));
                if a.record.name == b.record.name || subnets || vnis {
                    self.violation(format!("two networks collide: {:?} and {:?}", a.vnis, b.vnis));
                }
            }
        }
        for key in mirror.keys() {
            if let Key::Endpoint(network, address) = key
                && !mirror.contains_key(&Key::Network(network.clone()))
            {
                self.violation(format!("{address} is on a network that is not there"));
            }
        }
    }
}
