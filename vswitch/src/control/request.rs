//! What the command asks of the daemon, and what it is told.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::sandbox::spec::{PortSpec, Sandbox, Target};

/// A container to be.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub struct CreateRequest {
    /// Wished for; one is made up otherwise.
    pub name: Option<String>,
    /// What to run; empty to attach.
    pub command: Vec<String>,
    /// What to attach.
    pub attach: Option<Target>,
    /// Its output goes to a file.
    pub detached: bool,
    /// It goes when its command ends.
    pub auto_remove: bool,
    /// Wished for; the short id otherwise.
    pub hostname: Option<String>,
    /// Wished for; none otherwise.
    pub domainname: Option<String>,
    /// TAP queues of each interface.
    pub queues: Option<usize>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Variables, `KEY=VALUE`, or `KEY` for an empty one.
    pub env: Vec<String>,
    /// Networks in the order of interfaces; none is the default one.
    pub networks: Vec<EndpointRequest>,
    /// Ports to publish, as `-p` takes them.
    pub publish: Vec<String>,
    /// Publish every exposed port.
    pub publish_all: bool,
    /// Ports the command serves: `PORT[-PORT][/PROTOCOL]`.
    pub expose: Vec<String>,
    /// Name servers to ask instead of the host's.
    pub dns: Vec<IpAddr>,
    /// Search domains instead of the host's.
    pub dns_search: Vec<String>,
    /// Resolver options.
    pub dns_options: Vec<String>,
    /// More lines of the hosts file: `NAME:ADDRESS`.
    pub extra_hosts: Vec<String>,
}

/// A place on a network, as wished for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub struct EndpointRequest {
    /// Name or id of a network, `default`, `host`, `none`, or `container:NAME`.
    pub network: String,
    /// IPv4 address; the lowest free one otherwise.
    pub ip: Option<Ipv4Addr>,
    /// IPv6 address; made from the MAC address otherwise.
    pub ip6: Option<Ipv6Addr>,
    /// MAC address; made from the IPv4 address otherwise.
    pub mac_address: Option<String>,
    /// More names on this network.
    pub aliases: Vec<String>,
    /// Names of other containers for this one: `NAME[:ALIAS]`.
    pub links: Vec<String>,
    /// Options of the network's driver.
    pub driver_opts: BTreeMap<String, String>,
}

/// What was reserved for a container: all that its shim is to be told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateReply {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its directory, where the shim is to listen.
    pub dir: PathBuf,
    /// What the shim is to hold.
    pub sandbox: Sandbox,
    /// The interfaces to make.
    pub ports: Vec<PortSpec>,
    /// It is to have the sockets of a name service.
    pub name_service: bool,
    /// What whoever asked should know.
    pub warnings: Vec<String>,
}
