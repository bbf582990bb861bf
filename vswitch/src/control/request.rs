//! What `run` and `attach` ask of the daemon, and what they are given.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::json::objects;
use crate::sandbox::spec::{PortSpec, Sandbox, Target};

/// A container to be: the body of `POST /vswitch/containers`.
///
/// Words that are left as text are checked by the daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub struct CreateRequest {
    /// Wished for; one is made up otherwise.
    pub name: Option<String>,
    /// What to run, the program first; empty to attach.
    pub command: Vec<String>,
    /// What to attach.
    pub attach: Option<Target>,
    /// Its output goes to a file.
    pub detached: bool,
    /// It goes when its command ends.
    pub auto_remove: bool,
    /// Wished for; the short id otherwise.
    pub hostname: Option<String>,
    /// What follows the host name in its full form.
    pub domainname: Option<String>,
    /// TAP queues of each interface, 1 to 16.
    pub queues: Option<usize>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The command's variables: `KEY=VALUE`, or a `KEY` that is to be unset.
    pub env: Vec<String>,
    /// What it is on, the first interface first; empty for the default network.
    #[serde(deserialize_with = "objects")]
    pub networks: Vec<EndpointRequest>,
    /// Ports to publish: `[IP:][HOST[-HOST]]:PORT[-PORT][/PROTO]`.
    pub publish: Vec<String>,
    /// Publish every exposed port.
    pub publish_all: bool,
    /// Ports to expose: `PORT[-PORT][/PROTO]`.
    pub expose: Vec<String>,
    /// Name servers to ask instead of the host's.
    pub dns: Vec<IpAddr>,
    /// Domains in which short names are looked for.
    pub dns_search: Vec<String>,
    /// Options of the resolver, as in resolv.conf(5): `ndots:2`.
    pub dns_options: Vec<String>,
    /// More lines of the hosts file: `NAME:IP`.
    pub extra_hosts: Vec<String>,
}

/// One attachment to a network, as it is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub struct EndpointRequest {
    /// A network's name or id, or `default`, `host`, `none`, `container:NAME`.
    pub network: String,
    /// IPv4 address wished for; the lowest free one otherwise.
    pub ip: Option<Ipv4Addr>,
    /// IPv6 address wished for; made from the Ethernet address otherwise.
    pub ip6: Option<Ipv6Addr>,
    /// Ethernet address wished for; made from the IPv4 address otherwise.
    pub mac_address: Option<String>,
    /// More names by which it is found on this network.
    pub aliases: Vec<String>,
    /// Containers it finds under names of its own: `NAME[:ALIAS]`.
    pub links: Vec<String>,
    /// Options for the network's driver.
    pub driver_opts: BTreeMap<String, String>,
}

impl EndpointRequest {
    /// An attachment without wishes.
    pub fn to(network: impl Into<String>) -> Self {
        Self { network: network.into(), ..Self::default() }
    }
}

/// What was reserved for a container.
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
    #[serde(default)]
    pub name_service: bool,
    /// What the user should know, a sentence each.
    #[serde(default)]
    pub warnings: Vec<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_names_only_what_it_wants() {
        let request: CreateRequest = serde_json::from_value(json!({
            "Command": ["true"],
            "Networks": [{"Network": "my", "Ip": "10.1.0.9", "Ip6": "fd00::9", "Aliases": ["db"]}],
            "Dns": ["9.9.9.9", "2620:fe::fe"],
        }))
        .unwrap();
        let endpoint = EndpointRequest {
            ip: Some(Ipv4Addr::new(10, 1, 0, 9)),
            ip6: "fd00::9".parse().ok(),
            aliases: vec!["db".into()],
            ..EndpointRequest::to("my")
        };
        let expected = CreateRequest {
            command: vec!["true".into()],
            networks: vec![endpoint],
            dns: vec!["9.9.9.9".parse().unwrap(), "2620:fe::fe".parse().unwrap()],
            ..CreateRequest::default()
        };
        assert_eq!(request, expected);
    }

    #[test]
    fn a_word_nobody_knows_is_refused() {
        for unknown in [json!({"Nmae": "x"}), json!({"Networks": [{"Network": "my", "Address": "10.0.0.1"}]})]
        {
            assert!(serde_json::from_value::<CreateRequest>(unknown).is_err());
        }
    }
}
