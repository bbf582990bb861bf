//! What is kept of a network.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};
use vxlan::Vni;

use super::driver::{self, Driver, Scope};
use super::error::{NetError, PoolError};
use super::options;
use super::overlay_options::{self, ByHand};
use super::pool::Pool;
use crate::control::id;

/// The networks that are there from the start.
pub const PREDEFINED: [&str; 3] = ["bridge", "host", "none"];

/// Names that no user's network may have: [`PREDEFINED`], and `default`, which stands for one of them.
pub fn is_predefined_name(name: &str) -> bool {
    name == "default" || PREDEFINED.contains(&name)
}

/// A network.
// Docker's fields.
#[allow(clippy::struct_excessive_bools)]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkRecord {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When it was made, in nanoseconds since 1970.
    pub created: u64,
    /// A name in the registry of [`driver`].
    pub driver: String,
    /// Endpoints have IPv6 addresses too.
    pub enable_ipv6: bool,
    /// Nothing outside its subnets is reached.
    pub internal: bool,
    /// Kept and shown only: it means something to a swarm.
    pub attachable: bool,
    /// Kept and shown only: it means something to a swarm.
    pub ingress: bool,
    /// Not a network but the configuration of others: no endpoint can be on it.
    #[serde(default)]
    pub config_only: bool,
    /// Name of the configuration-only network it was made from; empty if there was none.
    #[serde(default)]
    pub config_from: String,
    /// Its addresses.
    pub ipam: Ipam,
    /// The driver's options, as they were given.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Seconds after which the forwarding table forgets a silent station.
    pub ageing: u32,
}

/// How a network's addresses are managed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipam {
    /// `default`.
    pub driver: String,
    /// Kept and shown only; Docker tells none at all from an empty set.
    pub options: Option<BTreeMap<String, String>>,
    /// IPv4 before IPv6.
    pub config: Vec<IpamConfig>,
}

impl Ipam {
    /// The manager of addresses there is.
    pub const DEFAULT: &str = "default";
}

/// One subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpamConfig {
    /// The subnet; no host bit is set.
    pub subnet: IpNet,
    /// Where addresses nobody asked for by value come from; the whole subnet otherwise.
    pub ip_range: Option<IpNet>,
    /// The switch's own address. Every subnet of a network that is not configuration-only has one.
    pub gateway: Option<IpAddr>,
    /// Reserved addresses and what for.
    pub aux: BTreeMap<String, IpAddr>,
}

impl IpamConfig {
    /// The free addresses of this subnet: the gateway and the auxiliary ones are taken.
    ///
    /// # Errors
    /// [`PoolError`] where those contradict the subnet or each other.
    pub fn pool(&self) -> Result<Pool, PoolError> {
        let mut pool = Pool::new(self.subnet, self.ip_range);
        for address in self.gateway.iter().chain(self.aux.values()) {
            pool.claim(*address)?;
        }
        Ok(pool)
    }

    /// Where containers send what is not in the subnet: the auxiliary address `DefaultGatewayIPv4` or
    /// `DefaultGatewayIPv6` where there is one, else the gateway.
    pub fn default_gateway(&self) -> Option<IpAddr> {
        let key = if self.is_v4() { "DefaultGatewayIPv4" } else { "DefaultGatewayIPv6" };
        self.aux.get(key).copied().or(self.gateway)
    }

    /// An IPv4 subnet.
    pub fn is_v4(&self) -> bool {
        matches!(self.subnet, IpNet::V4(_))
    }
}

impl NetworkRecord {
    fn predefined(name: &str, driver: &str, id: String, created: u64) -> Self {
        Self {
            id,
            name: name.into(),
            created,
            driver: driver.into(),
            enable_ipv6: false,
            internal: false,
            attachable: false,
            ingress: false,
            config_only: false,
            config_from: String::new(),
            ipam: Ipam { driver: Ipam::DEFAULT.into(), options: None, config: Vec::new() },
            options: BTreeMap::new(),
            labels: BTreeMap::new(),
            ageing: crate::dataplane::fdb::DEFAULT_AGEING,
        }
    }

    /// `bridge`, where containers are that name no network: 172.17.0.0/16.
    pub fn default_bridge(id: String, created: u64) -> Self {
        let mut record = Self::predefined("bridge", "bridge", id, created);
        record.ipam.config.push(IpamConfig {
            subnet: Ipv4Net::new_assert(Ipv4Addr::new(172, 17, 0, 0), 16).into(),
            ip_range: None,
            gateway: Some(Ipv4Addr::new(172, 17, 0, 1).into()),
            aux: BTreeMap::new(),
        });
        record.options = [
            (options::DEFAULT_BRIDGE, "true"),
            (options::ENABLE_ICC, "true"),
            (options::ENABLE_MASQUERADE, "true"),
            (options::HOST_BINDING, "0.0.0.0"),
            (options::BRIDGE_NAME, "docker0"),
            (options::MTU, "1500"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        record
    }

    /// `host`, the host's own interfaces.
    pub fn host(id: String, created: u64) -> Self {
        Self::predefined("host", "host", id, created)
    }

    /// `none`, nothing but `lo`.
    pub fn none(id: String, created: u64) -> Self {
        Self::predefined("none", "null", id, created)
    }

    /// It is there from the start and cannot be removed.
    pub fn is_predefined(&self) -> bool {
        is_predefined_name(&self.name)
    }

    /// The default bridge, on which names do not resolve and no address can be asked for.
    pub fn is_default_bridge(&self) -> bool {
        self.name == "bridge"
    }

    /// Its driver; `None` for a record of a later version.
    pub fn driver(&self) -> Option<&'static dyn Driver> {
        driver::find(&self.driver)
    }

    /// It has subnets and a bridge.
    pub fn has_addresses(&self) -> bool {
        !self.config_only && self.driver().is_some_and(Driver::has_addresses)
    }

    /// How far it reaches.
    pub fn scope(&self) -> Scope {
        if self.config_only { Scope::Local } else { self.driver().map_or(Scope::Local, Driver::scope) }
    }

    /// Containers reach the outside through its gateway.
    pub fn has_way_out(&self) -> bool {
        !self.internal && !self.config_only && self.driver().is_some_and(Driver::has_way_out)
    }

    /// It spans hosts.
    pub fn is_overlay(&self) -> bool {
        !self.config_only && self.driver == driver::Overlay.name()
    }

    /// The numbers that were asked for, of its first segments, if it spans hosts.
    pub fn vnis(&self) -> Vec<Vni> {
        let mut vnis = if self.is_overlay() {
            overlay_options::vnis(&self.options).unwrap_or_default()
        } else {
            Vec::new()
        };
        // More than there are subnets for are nobody's.
        let subnets = self.active().filter(|config| config.is_v4()).count();
        vnis.truncate(subnets.max(1));
        vnis
    }

    /// What was given by hand, if it spans hosts without a store.
    pub fn by_hand(&self) -> Option<ByHand> {
        overlay_options::by_hand(&self.options).ok().flatten().filter(|_| self.is_overlay())
    }

    fn option<T>(&self, key: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        self.options.get(key).and_then(|value| parse(value))
    }

    /// Longest IP packet in bytes.
    pub fn mtu(&self) -> u32 {
        self.option(options::MTU, |v| options::parse_mtu(v).ok().flatten())
            .unwrap_or_else(|| self.default_mtu())
    }

    fn default_mtu(&self) -> u32 {
        // The outer header of IPv6 is longer.
        let over_ipv6 = self.by_hand().is_some_and(|hand| hand.peers.iter().any(IpAddr::is_ipv6));
        let longer = if over_ipv6 { vxlan::OVERHEAD_IPV6 - vxlan::OVERHEAD_IPV4 } else { 0 };
        self.driver().map_or(1500, Driver::default_mtu) - longer
    }

    /// Its containers reach each other.
    pub fn icc(&self) -> bool {
        self.is_overlay() || self.option(options::ENABLE_ICC, options::parse_bool).unwrap_or(true)
    }

    /// What its containers send out has an address of the host.
    pub fn masquerade(&self) -> bool {
        self.option(options::ENABLE_MASQUERADE, options::parse_bool).unwrap_or(true)
    }

    /// Its gateway's address leads to the host's loopback; `None` where that is left to the daemon.
    pub fn map_host_loopback(&self) -> Option<bool> {
        self.option(options::MAP_HOST_LOOPBACK, options::parse_bool)
    }

    /// Its containers may send from any address.
    pub fn any_source(&self) -> bool {
        self.option(options::ANY_SOURCE, options::parse_bool).unwrap_or(false)
    }

    /// The host's interface of this bridge has no IPv4 address.
    pub fn inhibit_ipv4(&self) -> bool {
        self.option(options::INHIBIT_IPV4, options::parse_bool).unwrap_or(false)
    }

    /// The host's address for published ports that name none; 0.0.0.0 is all of them.
    pub fn host_binding(&self) -> IpAddr {
        self.option(options::HOST_BINDING, |v| v.parse().ok()).unwrap_or(Ipv4Addr::UNSPECIFIED.into())
    }

    /// The address of the host that masqueraded packets get; the kernel's choice otherwise.
    pub fn outbound_address(&self) -> Option<IpAddr> {
        self.option(options::HOST_IPV4, |v| v.parse().ok())
    }

    /// Name of its bridge: as asked for, else `br-` and the short id; `docker0` for the default bridge.
    pub fn bridge_name(&self) -> String {
        match self.options.get(options::BRIDGE_NAME) {
            Some(name) if !name.is_empty() => name.clone(),
            _ if self.is_default_bridge() => "docker0".into(),
            _ => format!("br-{}", id::short(&self.id)),
        }
    }

    /// The name of the bridge of a segment, by its number: [`NetworkRecord::bridge_name`], and for the second and later
    /// ones that and the number.
    pub fn bridge_name_of(&self, segment: usize) -> String {
        if segment == 0 { self.bridge_name() } else { format!("{}.{segment}", self.bridge_name()) }
    }

    /// What its interface is called in a container, before the number.
    pub fn interface_prefix(&self) -> &str {
        match self.options.get(options::INTERFACE_PREFIX) {
            Some(prefix) if !prefix.is_empty() => prefix,
            _ => "eth",
        }
    }

    /// The subnets of each part of it in which stations are neighbours. A network of one host is one such part.
    /// One that spans hosts has one for each IPv4 subnet, with a VNI of its own (RFC 7348, section 4: a VXLAN
    /// segment), and the n-th IPv6 subnet is on the n-th.
    pub fn segments(&self) -> Vec<Vec<&IpamConfig>> {
        let (v4, v6): (Vec<_>, Vec<_>) = self.active().partition(|config| config.is_v4());
        if !self.is_overlay() || v4.len() < 2 {
            return vec![v4.into_iter().chain(v6).collect()];
        }
        let mut v6 = v6.into_iter();
        v4.into_iter().map(|config| std::iter::once(config).chain(v6.next()).collect()).collect()
    }

    /// What a station with these addresses reaches through its segment's gateway: the subnets of the others.
    pub fn routes_of(&self, addresses: &[IpAddr]) -> Vec<(IpNet, IpAddr)> {
        let segments = self.segments();
        let is_own = |config: &&IpamConfig| addresses.iter().any(|address| config.subnet.contains(address));
        let (own, others): (Vec<_>, Vec<_>) =
            segments.into_iter().partition(|configs| configs.iter().any(is_own));
        let gateway =
            |v4| own.iter().flatten().find(|config| config.is_v4() == v4 && is_own(config))?.gateway;
        let routes = others.iter().flatten();
        routes.filter_map(|config| Some((config.subnet, gateway(config.is_v4())?))).collect()
    }

    /// The subnet of a segment in which an address is.
    pub fn config_of(&self, address: IpAddr) -> Option<&IpamConfig> {
        self.active().find(|config| config.subnet.contains(&address))
    }

    /// Its first IPv4 subnet.
    pub fn v4(&self) -> Option<&IpamConfig> {
        self.active().find(|c| c.is_v4())
    }

    /// Its first IPv6 subnet, if IPv6 is enabled.
    pub fn v6(&self) -> Option<&IpamConfig> {
        self.active().find(|c| !c.is_v4())
    }

    /// Why an endpoint does not get an address: the one it asked for, or any.
    pub fn refused(&self, version: u8, wanted: Option<IpAddr>, error: PoolError) -> NetError {
        match (error, wanted) {
            (PoolError::Outside, Some(address)) => NetError::AddressOutside(address),
            (PoolError::Taken, _) => NetError::AddressTaken,
            (PoolError::Exhausted | PoolError::Outside, _) => {
                NetError::NoAddress { version, name: self.name.clone(), id: self.id.clone() }
            }
        }
    }

    /// The subnets that are in use: none of a configuration-only network, and no IPv6 one that was
    /// given without IPv6 being enabled, which Docker keeps and shows but does not use.
    pub fn active(&self) -> impl Iterator<Item = &IpamConfig> {
        let all = if self.has_addresses() { self.ipam.config.as_slice() } else { &[] };
        all.iter().filter(|c| self.enable_ipv6 || c.is_v4())
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
