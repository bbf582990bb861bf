//! What is kept in the store, and under which keys: JSON that a person can read with `etcdctl`.
//!
//! Nothing that is read there is trusted: whoever has a shell can write anything. A value that is not
//! what its key promises is an error with a sentence; it is counted, and left as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use packet::MacAddr;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use vxlan::Vni;

use crate::control::id;
use crate::control::net::NetworkRecord;
use crate::control::net::driver::MAX_OVERLAY_SUBNETS;
use crate::control::net::subnets::overlap;

/// The layout's version: the value of the key `version`.
pub const SCHEMA: u32 = 1;

/// Bytes of the longest value that is looked at.
const MAX_VALUE: usize = 256 << 10;

/// Most aliases of an endpoint.
const MAX_ALIASES: usize = 1024;

/// A network of all nodes: the value of `networks/ID`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedNetwork {
    /// What is true of it on every node.
    #[serde(flatten)]
    pub record: NetworkRecord,
    /// The VXLAN network identifier of each of its IPv4 subnets.
    pub vnis: BTreeMap<IpNet, u32>,
}

impl SharedNetwork {
    /// 64 hexadecimal digits.
    pub fn id(&self) -> &str {
        &self.record.id
    }

    /// Its subnets and their numbers.
    pub fn vnis(&self) -> impl Iterator<Item = (IpNet, Vni)> {
        self.vnis.iter().filter_map(|(subnet, vni)| Some((*subnet, Vni::try_from(*vni).ok()?)))
    }

    /// The number of the subnet an address lies in.
    pub fn vni_of(&self, address: IpAddr) -> Option<Vni> {
        self.vnis().find(|(subnet, _)| subnet.contains(&address)).map(|(_, vni)| vni)
    }
}

/// An endpoint of any node: the value of `endpoints/NETWORK/IPV4`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedEndpoint {
    /// 64 hexadecimal digits.
    pub id: String,
    /// The network's id.
    pub network: String,
    /// Its address, with the subnet's prefix.
    pub ipv4: Ipv4Net,
    /// Its address, with the subnet's prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<Ipv6Net>,
    /// Its Ethernet address, in small letters.
    pub mac: String,
    /// The container's id.
    pub container: String,
    /// The container's name.
    pub name: String,
    /// Further names on this network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// The node it is on.
    pub node: String,
    /// That node's tunnel endpoint.
    pub vtep: IpAddr,
}

impl SharedEndpoint {
    /// The further keys that are claimed with it, one an address.
    pub(super) fn seconds(&self) -> Vec<Second> {
        let mac = self.mac.parse().ok().map(Second::Mac);
        mac.into_iter().chain(self.ipv6.map(|net| Second::V6(net.addr()))).collect()
    }

    /// What is written can be read again, by this node and by all others.
    pub(super) fn check(&self) -> Result<(), String> {
        let key = Key::Endpoint(self.network.clone(), self.ipv4.addr());
        decode(&key, &encode(self)).map(|_| ())
    }

    pub(super) fn second(&self) -> SecondClaim {
        SecondClaim { endpoint: self.id.clone(), ipv4: self.ipv4.addr(), node: self.node.clone() }
    }
}

/// A node that is there: the value of `nodes/NAME`, which goes with the node's lease, and of
/// `members/NAME`, which stays until all the node held has been given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// What it is known again by after a restart.
    pub id: String,
    /// Another one with every start.
    pub run: String,
    /// Its tunnel endpoint.
    pub vtep: IpAddr,
    /// When it joined, in seconds since 1970. For people: nothing depends on anybody's clock.
    pub joined: u64,
}

/// The value of `addresses/NETWORK/ADDRESS`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecondClaim {
    /// The endpoint's id.
    pub endpoint: String,
    /// Under which the endpoint itself is found.
    pub ipv4: Ipv4Addr,
    /// The endpoint's node.
    pub node: String,
}

/// The value of `containers/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameClaim {
    /// The container's id.
    pub container: String,
    /// The node it is on.
    pub node: String,
}

/// The value of `vteps/ADDRESS`, under the node's lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VtepClaim {
    /// The node.
    pub node: String,
}

/// The value of `version`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// [`SCHEMA`] of whoever wrote the store's content.
    pub schema: u32,
}

/// The value of `epoch`, put again with every network that is made: by its revision two makers of
/// networks notice each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epoch {
    /// The network made last.
    pub network: String,
}

/// An address of an endpoint beside the one by which it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Second {
    /// An Ethernet address.
    Mac(MacAddr),
    /// An IPv6 address.
    V6(Ipv6Addr),
}

impl fmt::Display for Second {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac(mac) => mac.fmt(f),
            Self::V6(address) => address.fmt(f),
        }
    }
}

/// A key without the prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// The layout's version.
    Version,
    /// What makers of networks compare.
    Epoch,
    /// A network, by id.
    Network(String),
    /// An endpoint, by its network's id and its address.
    Endpoint(String, Ipv4Addr),
    /// A further address of an endpoint.
    Second(String, Second),
    /// A container's name.
    Container(String),
    /// A node that is there.
    Node(String),
    /// A node that is, or was, there.
    Member(String),
    /// A tunnel endpoint in use.
    Vtep(IpAddr),
    /// One that this version does not know.
    Unknown(String),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version => f.write_str("version"),
            Self::Epoch => f.write_str("epoch"),
            Self::Network(id) => write!(f, "networks/{id}"),
            Self::Endpoint(network, address) => write!(f, "endpoints/{network}/{address}"),
            Self::Second(network, address) => write!(f, "addresses/{network}/{address}"),
            Self::Container(name) => write!(f, "containers/{name}"),
            Self::Node(name) => write!(f, "nodes/{name}"),
            Self::Member(name) => write!(f, "members/{name}"),
            Self::Vtep(address) => write!(f, "vteps/{address}"),
            Self::Unknown(rest) => f.write_str(rest),
        }
    }
}

impl Key {
    /// Reads what follows the prefix. Each object has one spelling: any other is unknown.
    pub fn parse(text: &str) -> Self {
        let known = Self::known(text).filter(|key| key.to_string() == text);
        known.unwrap_or_else(|| Self::Unknown(text.into()))
    }

    fn known(text: &str) -> Option<Self> {
        let Some((kind, rest)) = text.split_once('/') else {
            return match text {
                "version" => Some(Self::Version),
                "epoch" => Some(Self::Epoch),
                _ => None,
            };
        };
        let in_network = || rest.split_once('/').filter(|(network, _)| !network.is_empty());
        let name = || (!rest.is_empty() && !rest.contains('/')).then(|| rest.to_owned());
        Some(match kind {
            "networks" => Self::Network(name()?),
            "endpoints" => {
                let (network, address) = in_network()?;
                Self::Endpoint(network.into(), address.parse().ok()?)
            }
            "addresses" => {
                let (network, address) = in_network()?;
                let second = address.parse().map(Second::Mac);
                Self::Second(network.into(), second.or_else(|_| address.parse().map(Second::V6)).ok()?)
            }
            "containers" => Self::Container(name()?),
            "nodes" => Self::Node(name()?),
            "members" => Self::Member(name()?),
            "vteps" => Self::Vtep(rest.parse().ok()?),
            _ => return None,
        })
    }
}

/// A value, by the kind of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Of [`Key::Version`].
    Version(Version),
    /// Of [`Key::Epoch`].
    Epoch,
    /// Of [`Key::Network`].
    Network(std::sync::Arc<SharedNetwork>),
    /// Of [`Key::Endpoint`].
    Endpoint(std::sync::Arc<SharedEndpoint>),
    /// Of [`Key::Second`].
    Second(SecondClaim),
    /// Of [`Key::Container`].
    Container(NameClaim),
    /// Of [`Key::Node`] and [`Key::Member`].
    Node(std::sync::Arc<Node>),
    /// Of [`Key::Vtep`].
    Vtep(VtepClaim),
}

impl Value {
    /// Who must be alive for this to stay.
    pub(super) fn node(&self) -> Option<&str> {
        match self {
            Self::Endpoint(endpoint) => Some(&endpoint.node),
            Self::Second(second) => Some(&second.node),
            Self::Container(name) => Some(&name.node),
            _ => None,
        }
    }
}

/// JSON of a value.
pub(super) fn encode(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("it is not what this version writes: {error}"))
}

fn check(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

/// Reads a value.
///
/// # Errors
/// Why it is none, in a sentence that does not repeat it.
pub fn decode(key: &Key, bytes: &[u8]) -> Result<Value, String> {
    check(bytes.len() <= MAX_VALUE, "it is too long")?;
    Ok(match key {
        Key::Version => Value::Version(json(bytes)?),
        // Only its revision matters.
        Key::Epoch => Value::Epoch,
        Key::Network(id) => Value::Network(network(id, json(bytes)?)?.into()),
        Key::Endpoint(net, address) => Value::Endpoint(endpoint(net, *address, json(bytes)?)?.into()),
        Key::Second(..) => {
            let second: SecondClaim = json(bytes)?;
            check(is_node_name(&second.node), "its node has no valid name")?;
            Value::Second(second)
        }
        Key::Container(name) => {
            let claim: NameClaim = json(bytes)?;
            check(id::is_valid_name(name), "this is no name of a container")?;
            check(is_node_name(&claim.node), "its node has no valid name")?;
            Value::Container(claim)
        }
        Key::Node(name) | Key::Member(name) => {
            let node: Node = json(bytes)?;
            check(node.name == *name, "it speaks of another node than its key")?;
            check(is_node_name(name), "this is no name of a node")?;
            check(is_vtep(node.vtep), "its tunnel endpoint is no address of a host")?;
            Value::Node(node.into())
        }
        Key::Vtep(_) => Value::Vtep(json(bytes)?),
        Key::Unknown(_) => return Err("this version knows no such key".into()),
    })
}

fn network(id: &str, network: SharedNetwork) -> Result<SharedNetwork, String> {
    let record = &network.record;
    check(record.id == id, "it speaks of another network than its key")?;
    check(is_id(id), "its id is not 64 hexadecimal digits")?;
    check(crate::control::net::create::is_valid_name(&record.name), "its name is none of a network")?;
    check(record.is_overlay(), "it is no overlay network")?;
    let v4: Vec<IpNet> =
        record.active().map(|c| c.subnet).filter(|net| matches!(net, IpNet::V4(_))).collect();
    check(!v4.is_empty(), "it has no IPv4 subnet")?;
    check(v4.len() <= MAX_OVERLAY_SUBNETS, "it has too many subnets")?;
    let v6 = record.active().count() - v4.len();
    check(v6 == 0 || v6 == v4.len(), "not each of its IPv4 subnets has an IPv6 subnet")?;
    for config in record.active() {
        check(config.subnet == config.subnet.trunc(), "a subnet has bits of a host")?;
        config.pool().map_err(|error| format!("its addresses contradict each other: {error}"))?;
    }
    let all: Vec<IpNet> = record.active().map(|config| config.subnet).collect();
    let apart = |(at, a): (usize, &IpNet)| all.iter().skip(at + 1).all(|b| !overlap(*a, *b));
    check(all.iter().enumerate().all(apart), "two of its subnets overlap")?;
    check(network.vnis.keys().eq(sorted(&v4).iter()), "not each of its IPv4 subnets has a VNI")?;
    check(network.vnis().count() == network.vnis.len(), "a VNI is out of range")?;
    let different: BTreeSet<u32> = network.vnis.values().copied().collect();
    check(different.len() == network.vnis.len(), "two of its subnets have one VNI")?;
    Ok(network)
}

fn sorted(nets: &[IpNet]) -> Vec<IpNet> {
    let mut nets = nets.to_vec();
    nets.sort_unstable();
    nets.dedup();
    nets
}

fn endpoint(network: &str, address: Ipv4Addr, endpoint: SharedEndpoint) -> Result<SharedEndpoint, String> {
    check(endpoint.network == network, "it speaks of another network than its key")?;
    check(endpoint.ipv4.addr() == address, "it speaks of another address than its key")?;
    check(is_id(&endpoint.id), "its id is not 64 hexadecimal digits")?;
    let mac: MacAddr = endpoint.mac.parse().map_err(|_| "its Ethernet address is none".to_owned())?;
    check(mac.to_string() == endpoint.mac, "its Ethernet address is not written as 02:42:0a:00:00:02")?;
    check(!mac.is_multicast() && mac != MacAddr::ZERO, "its Ethernet address is none of a station")?;
    check(is_node_name(&endpoint.node), "its node has no valid name")?;
    check(is_vtep(endpoint.vtep), "its tunnel endpoint is no address of a host")?;
    check(endpoint.aliases.len() <= MAX_ALIASES, "it has too many aliases")?;
    Ok(endpoint)
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// As host names and container names: letters, digits, `_`, `.` and `-`, at most 253 characters.
pub fn is_node_name(name: &str) -> bool {
    (1..=253).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

fn is_vtep(address: IpAddr) -> bool {
    let no_host = match address {
        IpAddr::V4(v4) => v4.is_broadcast(),
        IpAddr::V6(v6) => v6.to_ipv4_mapped().is_some(),
    };
    !no_host && !address.is_unspecified() && !address.is_multicast()
}

/// The text of keys.
#[derive(Clone, Debug)]
pub struct Keys {
    prefix: String,
}

impl Keys {
    /// All keys are below `prefix`, which is written with or without slashes at its ends.
    pub fn new(prefix: &str) -> Self {
        let inner = prefix.trim_matches('/');
        Self { prefix: if inner.is_empty() { "/".into() } else { format!("/{inner}/") } }
    }

    /// What all keys begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A key as it is in the store.
    pub fn text(&self, key: &Key) -> String {
        format!("{}{key}", self.prefix)
    }

    /// What the endpoints of a network begin with.
    pub fn endpoints_of(&self, network: &str) -> String {
        format!("{}endpoints/{network}/", self.prefix)
    }

    /// What all networks begin with.
    pub fn networks(&self) -> String {
        format!("{}networks/", self.prefix)
    }

    /// Reads a key of the store; `None` of one that is elsewhere.
    pub fn read(&self, text: &str) -> Option<Key> {
        text.strip_prefix(&self.prefix).map(Key::parse)
    }
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
