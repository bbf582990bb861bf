//! From a request to a network, or to the reason why there can be none.
//!
//! The order is Docker's: names, subnet, gateway, auxiliary addresses, options. Nothing is changed
//! here: the caller keeps the record, or does not.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};
use vxlan::Vni;

use super::driver::{self, Driver, Scope};
use super::error::{NetError, PoolError};
use super::pool::Pool;
use super::record::{Ipam, IpamConfig, NetworkRecord, is_predefined_name};
use super::request::{IpamConfigRequest, IpamRequest, NetworkCreateRequest};
use super::{overlay_options, subnets};

/// Smallest MTU of IPv6 in bytes (RFC 8200, section 5).
const MIN_MTU_IPV6: u32 = 1280;

/// What a new network must fit into.
#[derive(Clone, Copy, Debug, Default)]
pub struct Surroundings<'a> {
    /// The networks there are.
    pub networks: &'a [&'a NetworkRecord],
    /// Destinations of the host's routes, and its name servers: no subnet is chosen that overlaps them.
    pub host_routes: &'a [IpNet],
    /// The pool chosen last; the search for a free one goes on behind it. See [`subnets::choose`].
    pub last_pool: Option<Ipv4Net>,
}

/// The network a request asks for, with subnet and gateway. The id is 64 hexadecimal digits, the
/// time in nanoseconds since 1970.
///
/// # Errors
/// [`NetError`].
pub fn create(
    request: NetworkCreateRequest,
    id: String,
    created: u64,
    around: &Surroundings<'_>,
) -> Result<NetworkRecord, NetError> {
    let name = &request.name;
    if is_predefined_name(name) {
        return Err(NetError::Predefined(name.clone()));
    }
    if around.networks.iter().any(|n| n.name == *name) {
        return Err(NetError::NameTaken(name.clone()));
    }
    let ipam = request.ipam.clone().unwrap_or_default();
    let subnets = ipam.config.iter().map(|c| parse_subnet(&c.subnet)).collect::<Result<Vec<_>, _>>()?;
    if !is_valid_name(name) {
        return Err(NetError::Name(name.clone()));
    }
    check_configuration(&request, &ipam)?;

    let from = request.config_from.as_ref().map(|c| c.network.clone()).unwrap_or_default();
    let driver = if request.config_only { &driver::Null } else { find_driver(&request)? };
    let mut record = NetworkRecord {
        id,
        name: request.name,
        created,
        driver: driver.name().into(),
        enable_ipv6: request.enable_ipv6,
        internal: request.internal,
        attachable: request.attachable,
        ingress: request.ingress,
        config_only: request.config_only,
        config_from: from,
        ipam: Ipam { driver: manager(&ipam), options: ipam.options, config: Vec::new() },
        options: request.options,
        labels: request.labels,
        ageing: crate::dataplane::fdb::DEFAULT_AGEING,
    };
    let space = address_space(record.scope());
    for (config, subnet) in ipam.config.iter().zip(subnets) {
        record.ipam.config.push(parse_config(config, subnet, space, &record.name)?);
    }
    if record.config_only {
        // Whoever is made from it allocates; here it is only seen that this can be done.
        record.ipam.config.clone().iter_mut().try_for_each(reserve)?;
    } else {
        apply_configuration(&mut record, around)?;
        allocate(&mut record, driver, around)?;
        check_driver(&record, driver, around)?;
    }
    // IPv4 is listed first; the order is otherwise that of the request.
    record.ipam.config.sort_by_key(|c| !c.is_v4());
    Ok(record)
}

/// `[a-zA-Z0-9][a-zA-Z0-9_.-]*`, at most 255 bytes. A container's name has two characters at least; a
/// network's may have one, as in Docker, which takes any text that is not empty.
pub fn is_valid_name(name: &str) -> bool {
    name.len() <= 255
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

/// What a configuration-only network, and one made from it, may not say.
fn check_configuration(request: &NetworkCreateRequest, ipam: &IpamRequest) -> Result<(), NetError> {
    let from = request.config_from.as_ref().is_some_and(|c| !c.network.is_empty());
    if request.config_only {
        if request.ingress || request.internal || request.attachable || !request.scope.is_empty() {
            return Err(NetError::ConfigOnlyFields);
        }
        if from {
            return Err(NetError::ConfigOnlyFrom);
        }
    }
    if from {
        let own_addresses = manager(ipam) != Ipam::DEFAULT
            || !ipam.config.is_empty()
            || ipam.options.as_ref().is_some_and(|o| !o.is_empty());
        if own_addresses || request.enable_ipv6 || !request.labels.is_empty() {
            return Err(NetError::ConfigFromFields);
        }
        if !request.options.is_empty() {
            return Err(NetError::ConfigFromOptions);
        }
    }
    Ok(())
}

fn find_driver(request: &NetworkCreateRequest) -> Result<&'static dyn Driver, NetError> {
    let name = if request.driver.is_empty() { driver::DEFAULT } else { &request.driver };
    let driver = driver::find(name).ok_or_else(|| NetError::NoDriver(name.into()))?;
    let scope = driver.scope();
    match request.scope.as_str() {
        "" => {}
        same if same == scope.as_str() => {}
        "swarm" => return Err(NetError::ScopeSwarm),
        "local" => return Err(NetError::ScopeDowngrade(driver.name())),
        other => return Err(NetError::Scope(other.into())),
    }
    if request.ingress && scope != Scope::Global {
        return Err(NetError::Ingress);
    }
    if driver.is_predefined() {
        return Err(NetError::OnlyOne(driver.name()));
    }
    Ok(driver)
}

fn manager(ipam: &IpamRequest) -> String {
    if ipam.driver.is_empty() { Ipam::DEFAULT.into() } else { ipam.driver.clone() }
}

/// Docker's word for where subnets must not overlap.
fn address_space(scope: Scope) -> &'static str {
    match scope {
        Scope::Local => "LocalDefault",
        Scope::Global => "GlobalDefault",
    }
}

/// CIDR of either version. An IPv4 subnet in the clothes of IPv6 is none.
fn parse_cidr(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().filter(|net| match net {
        IpNet::V4(_) => true,
        IpNet::V6(net) => net.addr().to_ipv4_mapped().is_none(),
    })
}

fn parse_subnet(text: &str) -> Result<IpNet, NetError> {
    let subnet = parse_cidr(text).ok_or_else(|| NetError::Subnet(text.into()))?.trunc();
    let not_hosts = ["127.0.0.0/8", "224.0.0.0/4", "::1/128", "ff00::/8"];
    let everything = subnet.prefix_len() == 0 && matches!(subnet, IpNet::V4(_));
    if !everything && not_hosts.iter().filter_map(|n| n.parse().ok()).any(|n| subnets::overlap(n, subnet)) {
        return Err(NetError::SubnetOfNoHosts(subnet));
    }
    Ok(subnet)
}

/// An address as Go reads it: what is mapped into IPv6 is IPv4.
fn parse_address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|a| a.to_canonical())
}

fn parse_config(
    config: &IpamConfigRequest,
    subnet: IpNet,
    space: &'static str,
    network: &str,
) -> Result<IpamConfig, NetError> {
    let gateway = match config.gateway.as_str() {
        "" => None,
        text => Some(parse_address(text).ok_or_else(|| NetError::Gateway(text.into()))?),
    };
    let ip_range = match config.ip_range.as_str() {
        "" => None,
        text => Some(parse_range(text, subnet, space)?),
    };
    let mut aux = BTreeMap::new();
    for (key, value) in config.aux_address.iter().chain(&config.auxiliary_addresses) {
        let address = parse_address(value).ok_or_else(|| NetError::Aux {
            key: key.clone(),
            value: value.clone(),
            network: network.into(),
        })?;
        aux.insert(key.clone(), address);
    }
    Ok(IpamConfig { subnet, ip_range, gateway, aux })
}

fn parse_range(text: &str, subnet: IpNet, space: &'static str) -> Result<IpNet, NetError> {
    let range =
        parse_cidr(text).ok_or_else(|| NetError::IpRange { space, subnet, range: text.into() })?.trunc();
    if subnet.contains(&range) {
        Ok(range)
    } else if range.contains(&subnet) {
        Err(NetError::IpRangeBigger { range, subnet })
    } else {
        Err(NetError::IpRangeOutside { range, subnet })
    }
}

/// Gives the gateway an address if it has none, and sees that it and the auxiliary ones can be had.
fn reserve(config: &mut IpamConfig) -> Result<(), NetError> {
    let mut pool = Pool::new(config.subnet, config.ip_range);
    let refused = |error: PoolError| NetError::GatewayAddress {
        given: config.gateway.map(|g| g.to_string()).unwrap_or_default(),
        error,
    };
    let gateway = match config.gateway {
        Some(wanted) => pool.claim(wanted).map(|()| wanted),
        None => pool.allocate(),
    };
    config.gateway = Some(gateway.map_err(refused)?);
    for (key, address) in &config.aux {
        pool.claim(*address).map_err(|error| {
            let (key, address, subnet) = (key.clone(), *address, config.subnet);
            match error {
                PoolError::Outside => NetError::AuxOutside { key, address, subnet },
                error => NetError::AuxAddress { key, address, error },
            }
        })?;
    }
    Ok(())
}

/// Takes what a configuration-only network says.
fn apply_configuration(record: &mut NetworkRecord, around: &Surroundings<'_>) -> Result<(), NetError> {
    if record.config_from.is_empty() {
        return Ok(());
    }
    let wanted = &record.config_from;
    let from = around
        .networks
        .iter()
        .find(|n| n.config_only && (n.name == *wanted || n.id == *wanted))
        .ok_or_else(|| NetError::NoConfig(wanted.clone()))?;
    record.enable_ipv6 = from.enable_ipv6;
    record.labels.clone_from(&from.labels);
    record.options.clone_from(&from.options);
    record.ipam = from.ipam.clone();
    Ok(())
}

/// Gives every subnet in use its place and its gateway.
fn allocate(
    record: &mut NetworkRecord,
    driver: &dyn Driver,
    around: &Surroundings<'_>,
) -> Result<(), NetError> {
    if !driver.has_addresses() {
        return Ok(());
    }
    match record.ipam.driver.as_str() {
        Ipam::DEFAULT => {}
        // Docker's own second one, which has no addresses.
        "null" => return Err(NetError::EmptyPool),
        other => return Err(NetError::NoDriver(other.into())),
    }
    let v4 = record.ipam.config.iter().filter(|c| c.is_v4()).count();
    let v6 = record.ipam.config.len() - v4;
    if v4.max(v6) > driver.max_subnets() {
        return Err(match driver.max_subnets() {
            1 => NetError::MultipleSubnets(driver.name()),
            most => NetError::TooManySubnets(most),
        });
    }
    if v4 > 1 && record.by_hand().is_some() {
        return Err(NetError::SubnetsByHand);
    }
    if record.enable_ipv6 && v6 > 0 && v6 != v4.max(1) {
        return Err(NetError::UnpairedSubnets);
    }
    let same_space = around.networks.iter().filter(|n| n.scope() == driver.scope());
    let mut taken: Vec<IpNet> = same_space.flat_map(|n| n.active()).map(|c| c.subnet).collect();
    let everywhere = around.networks.iter().flat_map(|n| n.active()).map(|c| c.subnet);

    if v4 == 0 {
        let existing: Vec<IpNet> = everywhere.collect();
        let subnet = subnets::choose(driver.scope(), &existing, around.host_routes, around.last_pool)?;
        record.ipam.config.push(IpamConfig {
            subnet: subnet.into(),
            ip_range: None,
            gateway: None,
            aux: BTreeMap::new(),
        });
    }
    if record.enable_ipv6 && v6 == 0 {
        return Err(NetError::NoPool(6));
    }
    for config in &mut record.ipam.config {
        if !config.is_v4() && !record.enable_ipv6 {
            reserve(&mut config.clone())?;
            continue;
        }
        if taken.iter().any(|t| subnets::overlap(*t, config.subnet)) {
            return Err(NetError::PoolOverlap);
        }
        if config.is_v4() && config.subnet.prefix_len() == 0 {
            return Err(NetError::EmptyPool);
        }
        reserve(config)?;
        taken.push(config.subnet);
    }
    Ok(())
}

/// Options, and the name of the bridge.
fn check_driver(
    record: &NetworkRecord,
    driver: &dyn Driver,
    around: &Surroundings<'_>,
) -> Result<(), NetError> {
    driver.check_options(&record.options)?;
    check_vni(record, around)?;
    if record.enable_ipv6 && record.mtu() < MIN_MTU_IPV6 {
        return Err(NetError::MtuForIpv6(record.mtu()));
    }
    let bridge = record.bridge_name();
    match around.networks.iter().find(|n| n.has_addresses() && n.bridge_name() == bridge) {
        Some(other) => Err(NetError::BridgeName { id: record.id.clone(), bridge, other: other.id.clone() }),
        None => Ok(()),
    }
}

/// A number is one network's on this host.
fn check_vni(record: &NetworkRecord, around: &Surroundings<'_>) -> Result<(), NetError> {
    let vnis = record.vnis();
    let subnets = record.active().filter(|config| config.is_v4()).count();
    if record.options.contains_key(overlay_options::VNIS) && record.is_overlay() && vnis.len() < subnets {
        return Err(NetError::TooFewVnis(vnis.len()));
    }
    let taken = |vni: &Vni| around.networks.iter().find(|n| n.vnis().contains(vni));
    match vnis.iter().find_map(|vni| Some((*vni, taken(vni)?))) {
        Some((vni, other)) => Err(NetError::VniInUse(vni, other.name.clone())),
        None => Ok(()),
    }
}

#[cfg(test)]
#[path = "create_tests.rs"]
mod tests;
