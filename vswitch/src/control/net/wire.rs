//! A network as the API shows it: Docker's `NetworkResource`, field by field in Docker's order.
//!
//! Where Docker 20.10 does two things, this does one: the gateway of a subnet is always listed, also
//! where none was asked for. Docker lists it then only after its daemon was started again.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use packet::MacAddr;
use serde::{Deserialize, Serialize};

use super::record::{IpamConfig, NetworkRecord};
use super::timestamp;

/// A network, of `GET /networks` and `GET /networks/ID`.
// Docker's fields.
#[allow(clippy::struct_excessive_bools)]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NetworkResource {
    /// Its name.
    pub name: String,
    /// 64 hexadecimal digits.
    pub id: String,
    /// RFC 3339.
    pub created: String,
    /// `local` or `global`.
    pub scope: String,
    /// Its driver.
    pub driver: String,
    /// Endpoints have IPv6 addresses too.
    #[serde(rename = "EnableIPv6")]
    pub enable_ipv6: bool,
    /// Its addresses.
    #[serde(rename = "IPAM")]
    pub ipam: IpamResource,
    /// Nothing outside its subnets is reached.
    pub internal: bool,
    /// Kept for a swarm.
    pub attachable: bool,
    /// Kept for a swarm.
    pub ingress: bool,
    /// What it was made from.
    pub config_from: ConfigReference,
    /// It is the configuration of others.
    pub config_only: bool,
    /// Its endpoints, by container id; empty in lists.
    pub containers: BTreeMap<String, EndpointResource>,
    /// The driver's options.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// `IPAM` of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct IpamResource {
    /// `default`.
    pub driver: String,
    /// `null` where a request had none, else an object.
    pub options: Option<BTreeMap<String, String>>,
    /// Its subnets.
    pub config: Vec<IpamConfigResource>,
}

/// One subnet. What there is not is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct IpamConfigResource {
    /// CIDR.
    pub subnet: String,
    /// CIDR.
    #[serde(rename = "IPRange", default, skip_serializing_if = "String::is_empty")]
    pub ip_range: String,
    /// An address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub gateway: String,
    /// Addresses by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub auxiliary_addresses: BTreeMap<String, String>,
}

/// A configuration-only network, by name; empty if there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ConfigReference {
    /// Its name.
    pub network: String,
}

/// An endpoint of a network. Addresses are with their prefix, and empty where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EndpointResource {
    /// The container's name.
    pub name: String,
    /// 64 hexadecimal digits.
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    /// Six bytes.
    pub mac_address: String,
    /// `172.17.0.2/16`.
    #[serde(rename = "IPv4Address")]
    pub ipv4_address: String,
    /// `2001:db8::2/64`.
    #[serde(rename = "IPv6Address")]
    pub ipv6_address: String,
}

impl EndpointResource {
    /// An endpoint of a network; its addresses get the prefixes of the network's subnets.
    pub fn new(
        network: &NetworkRecord,
        name: &str,
        endpoint_id: &str,
        mac: MacAddr,
        v4: Option<Ipv4Addr>,
        v6: Option<Ipv6Addr>,
    ) -> Self {
        let with_prefix = |address: Option<IpAddr>| {
            let config = address.and_then(|address| Some((address, network.config_of(address)?)));
            config.map_or_else(String::new, |(address, config)| {
                format!("{address}/{}", config.subnet.prefix_len())
            })
        };
        Self {
            name: name.into(),
            endpoint_id: endpoint_id.into(),
            mac_address: mac.to_string(),
            ipv4_address: with_prefix(v4.map(IpAddr::V4)),
            ipv6_address: with_prefix(v6.map(IpAddr::V6)),
        }
    }
}

fn config(config: &IpamConfig) -> IpamConfigResource {
    IpamConfigResource {
        subnet: config.subnet.to_string(),
        ip_range: config.ip_range.map(|r| r.to_string()).unwrap_or_default(),
        gateway: config.gateway.map(|g| g.to_string()).unwrap_or_default(),
        auxiliary_addresses: config.aux.iter().map(|(k, v)| (k.clone(), v.to_string())).collect(),
    }
}

/// A network as Docker shows it. Containers are by id; a list shows none.
pub fn resource(record: &NetworkRecord, containers: BTreeMap<String, EndpointResource>) -> NetworkResource {
    NetworkResource {
        name: record.name.clone(),
        id: record.id.clone(),
        created: timestamp::rfc3339(record.created),
        scope: record.scope().as_str().into(),
        driver: record.driver.clone(),
        enable_ipv6: record.enable_ipv6,
        ipam: IpamResource {
            driver: record.ipam.driver.clone(),
            options: record.ipam.options.clone(),
            config: record.ipam.config.iter().map(config).collect(),
        },
        internal: record.internal,
        attachable: record.attachable,
        ingress: record.ingress,
        config_from: ConfigReference { network: record.config_from.clone() },
        config_only: record.config_only,
        containers,
        options: record.options.clone(),
        labels: record.labels.clone(),
    }
}

/// The answer to `POST /networks/create`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NetworkCreateResponse {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Empty: a network whose name exists is refused.
    pub warning: String,
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
