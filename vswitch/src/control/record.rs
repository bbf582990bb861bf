//! What is kept of a container.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use super::publish::{Binding, Wish};
use super::request::EndpointRequest;
use crate::sandbox::spec::Target;

/// How a container came to be.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// `run`: a command in namespaces of its own.
    Run {
        /// The program first.
        command: Vec<String>,
        /// Where its output goes when nobody is at the terminal.
        log: Option<PathBuf>,
    },
    /// `attach`: somebody else's namespace.
    Attach {
        /// Which.
        target: Target,
        /// Device and inode of the namespace, by which it is known again.
        netns: Option<(u64, u64)>,
    },
}

/// Where a container stands. Times are nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Reserved: its shim is being started.
    Created,
    /// Its interfaces are ports.
    Running {
        /// Since when.
        since: u64,
    },
    /// Its command has ended.
    Exited {
        /// Exit status, or 128 plus the signal's number.
        code: i32,
        /// When it began; 0 if it never did.
        since: u64,
        /// When it ended.
        at: u64,
    },
}

/// Which network a container sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The networks of its endpoints.
    Networks,
    /// The host's.
    Host,
    /// None but its own loopback.
    None,
    /// That of the container with this id.
    Container(String),
}

/// One attachment of a container to a network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Endpoint {
    /// 64 hexadecimal digits.
    pub id: String,
    /// The network's name.
    pub network: String,
    /// The network's id.
    pub network_id: String,
    /// What was asked for.
    pub wished: EndpointRequest,
    /// Interface name within the sandbox; empty on networks that switch nothing.
    pub interface: String,
    /// Ethernet address, as text.
    pub mac: String,
    /// IPv4 address with its subnet's prefix; released when the container ends.
    pub v4: Option<Ipv4Net>,
    /// IPv6 address with its subnet's prefix; released when the container ends.
    pub v6: Option<Ipv6Net>,
    /// The network's IPv4 gateway, if it has a way out.
    pub gateway4: Option<Ipv4Addr>,
    /// The network's IPv6 gateway, if it has a way out.
    pub gateway6: Option<Ipv6Addr>,
    /// Nobody asked for it: it is the way out of a container whose networks have none.
    #[serde(default)]
    pub gateway_only: bool,
}

impl Endpoint {
    /// Its addresses with their prefixes.
    pub fn networks(&self) -> impl Iterator<Item = IpNet> {
        self.v4.map(IpNet::from).into_iter().chain(self.v6.map(IpNet::from))
    }

    /// Its addresses.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.networks().map(|net| net.addr()).collect()
    }

    /// Where it sends what is for elsewhere.
    pub fn gateways(&self) -> Vec<IpAddr> {
        self.gateway4.map(IpAddr::from).into_iter().chain(self.gateway6.map(IpAddr::from)).collect()
    }
}

/// What a command's port is numbered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// IANA's number.
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }

    /// Docker's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A port the command serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ExposedPort {
    /// Number.
    pub port: u16,
    /// Of which protocol.
    pub protocol: Protocol,
}

impl std::fmt::Display for ExposedPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.port, self.protocol.as_str())
    }
}

/// What a line of the hosts file gives as a name's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum HostAddress {
    /// This one.
    Ip(IpAddr),
    /// The host's, as the container sees it: `host-gateway`.
    Gateway,
}

impl HostAddress {
    const GATEWAY: &str = "host-gateway";
}

impl std::fmt::Display for HostAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Gateway => f.write_str(Self::GATEWAY),
        }
    }
}

impl std::str::FromStr for HostAddress {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == Self::GATEWAY { Ok(Self::Gateway) } else { text.parse().map(Self::Ip) }
    }
}

impl TryFrom<String> for HostAddress {
    type Error = std::net::AddrParseError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<HostAddress> for String {
    fn from(address: HostAddress) -> Self {
        address.to_string()
    }
}

/// How a container resolves names.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Dns {
    /// Asked instead of the host's servers.
    pub servers: Vec<IpAddr>,
    /// Search domains instead of the host's.
    pub search: Vec<String>,
    /// Resolver options.
    pub options: Vec<String>,
    /// More lines of the hosts file, name and address.
    pub hosts: Vec<(String, HostAddress)>,
}

/// A container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Container {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name, without a slash.
    pub name: String,
    /// When it was made, in nanoseconds since 1970.
    pub created: u64,
    /// How it was made.
    pub origin: Origin,
    /// It goes when its command ends.
    pub auto_remove: bool,
    /// The name of its UTS namespace.
    pub hostname: String,
    /// The domain name of its UTS namespace.
    #[serde(default)]
    pub domainname: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Variables it was given, name and value.
    #[serde(default)]
    pub env: Vec<(String, String)>,
    /// Where it stands.
    pub status: Status,
    /// Which network it sees.
    pub mode: Mode,
    /// Its places on networks, in the order of interfaces.
    pub endpoints: Vec<Endpoint>,
    /// TAP queues of each interface.
    pub queues: usize,
    /// How it resolves names.
    #[serde(default)]
    pub dns: Dns,
    /// Ports its command serves.
    #[serde(default)]
    pub exposed: BTreeSet<ExposedPort>,
    /// Ports that are to be reached through the host.
    #[serde(default)]
    pub published: Vec<Wish>,
    /// And through which of the host's, while it runs.
    #[serde(default)]
    pub bindings: Vec<Binding>,
}

impl Container {
    /// Its interfaces are ports now.
    pub fn is_running(&self) -> bool {
        matches!(self.status, Status::Running { .. })
    }

    /// Somebody else's namespace.
    pub fn is_attached(&self) -> bool {
        matches!(self.origin, Origin::Attach { .. })
    }

    /// It has the sockets of a name service. Not an attached one: sockets would keep its namespace
    /// alive when everybody else has left it. It finds names at its gateways.
    pub fn has_name_service(&self) -> bool {
        self.mode == Mode::Networks && !self.is_attached()
    }

    /// Its command has ended; it holds nothing.
    pub fn has_ended(&self) -> bool {
        matches!(self.status, Status::Exited { .. })
    }

    /// Its place on a network, by the network's id.
    pub fn endpoint_on(&self, network_id: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|e| e.network_id == network_id)
    }

    /// Its endpoints that have an interface.
    pub fn interfaces(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.iter().filter(|e| !e.interface.is_empty())
    }

    /// The endpoint through which it sends what is for elsewhere: the first that has a way out.
    pub fn way_out(&self) -> Option<&Endpoint> {
        self.endpoints.iter().find(|e| e.gateway4.is_some() || e.gateway6.is_some())
    }

    /// The interface name with this beginning and the lowest number that no endpoint has.
    pub fn free_interface(&self, prefix: &str) -> String {
        let mut names = (0u32..).map(|n| format!("{prefix}{n}"));
        names.find(|name| self.endpoints.iter().all(|e| e.interface != *name)).unwrap_or_default()
    }
}
