//! `run`, `attach` and what is done with containers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use vswitch::control::request::EndpointRequest;

use super::{Filter, filter, label, link, server, variable};
use crate::endpoint;

/// What `run` and `attach` have in common.
#[derive(Debug, Default, clap::Args)]
pub struct NetworkFlags {
    /// Network to join, and what is wished for there: NETWORK, host, none, container:NAME,
    /// NETWORK:ip=A,ip6=A,mac=M,alias=N or name=NETWORK,ip=A,... [default: bridge]
    #[arg(long, alias = "net", value_name = "NETWORK", value_parser = endpoint::parse)]
    pub network: Vec<EndpointRequest>,
    /// IPv4 address on the first network
    #[arg(long, value_name = "ADDRESS")]
    pub ip: Option<Ipv4Addr>,
    /// IPv6 address on the first network
    #[arg(long, value_name = "ADDRESS")]
    pub ip6: Option<Ipv6Addr>,
    /// MAC address on the first network
    #[arg(long, value_name = "MAC")]
    pub mac_address: Option<String>,
    /// Another name on the first network
    #[arg(long, alias = "net-alias", value_name = "NAME")]
    pub network_alias: Vec<String>,
    /// Container that this one finds by a name of its own
    #[arg(long, value_name = "NAME[:ALIAS]", value_parser = link)]
    pub link: Vec<String>,
    /// Port to publish on the host
    #[arg(short, long, value_name = "[IP:][HOST:]PORT[/PROTO]")]
    pub publish: Vec<String>,
    /// Publish all exposed ports
    #[arg(short = 'P', long)]
    pub publish_all: bool,
    /// Port to expose
    #[arg(long, value_name = "PORT[/PROTO]")]
    pub expose: Vec<String>,
    /// Name server to ask instead of the host's
    #[arg(long, value_name = "ADDRESS", value_parser = server)]
    pub dns: Vec<IpAddr>,
    /// Domain in which short names are looked for
    #[arg(long, value_name = "DOMAIN")]
    pub dns_search: Vec<String>,
    /// Option of the resolver
    #[arg(long, alias = "dns-opt", value_name = "OPTION")]
    pub dns_option: Vec<String>,
    /// One more line of the hosts file; IP may be the word host-gateway
    #[arg(long, value_name = "NAME:IP")]
    pub add_host: Vec<String>,
    /// TAP queues of each interface, for several workers
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=16))]
    pub queues: Option<u16>,
    /// Label, KEY=VALUE
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = label)]
    pub label: Vec<(String, String)>,
}

/// `run`.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub struct Run {
    /// Name of the container
    #[arg(long)]
    pub name: Option<String>,
    /// What it is on.
    #[command(flatten)]
    pub network: NetworkFlags,
    /// Host name inside [default: the short id]
    #[arg(short = 'h', long)]
    pub hostname: Option<String>,
    /// What follows the host name in its full form
    #[arg(long, value_name = "DOMAIN")]
    pub domainname: Option<String>,
    /// Variable of the command; without a value it takes the caller's
    #[arg(short, long, value_name = "KEY[=VALUE]", value_parser = variable)]
    pub env: Vec<String>,
    /// Run in the background and print the id
    #[arg(short, long)]
    pub detach: bool,
    /// Remove the container when its command ends, as always in the foreground
    #[arg(long)]
    pub rm: bool,
    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    pub help: Option<bool>,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// `attach`.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("target").required(true).args(["pid", "netns"])))]
pub struct Attach {
    /// The network namespace of this process
    #[arg(long)]
    pub pid: Option<i32>,
    /// The network namespace at this path, or of this name under /run/netns
    #[arg(long, value_name = "PATH")]
    pub netns: Option<PathBuf>,
    /// Name of the container
    #[arg(long)]
    pub name: String,
    /// What it is on.
    #[command(flatten)]
    pub network: NetworkFlags,
}

/// `detach`.
#[derive(Debug, clap::Args)]
pub struct Detach {
    /// The container
    pub name: String,
}

/// `exec`.
#[derive(Debug, clap::Args)]
pub struct Exec {
    /// The container
    pub name: String,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// Containers by name.
#[derive(Debug, clap::Args)]
pub struct Names {
    /// The containers
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
}

/// `stop`.
#[derive(Debug, clap::Args)]
pub struct Stop {
    /// Seconds to wait before the command is killed
    #[arg(short, long, default_value_t = 10, allow_negative_numbers = true)]
    pub time: i64,
    /// Which.
    #[command(flatten)]
    pub which: Names,
}

/// `kill`.
#[derive(Debug, clap::Args)]
pub struct Kill {
    /// The signal, by name or number
    #[arg(short, long, default_value = "KILL")]
    pub signal: String,
    /// Which.
    #[command(flatten)]
    pub which: Names,
}

/// `rm`.
#[derive(Debug, clap::Args)]
pub struct Rm {
    /// Running ones too
    #[arg(short, long)]
    pub force: bool,
    /// Which.
    #[command(flatten)]
    pub which: Names,
}

/// `logs`.
#[derive(Debug, clap::Args)]
pub struct Logs {
    /// The container
    pub name: String,
}

/// `ps`.
#[derive(Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools)] // a flag each
pub struct Ps {
    /// Ended ones too
    #[arg(short, long)]
    pub all: bool,
    /// Only those that fit: name, id, label, network, status, ...
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = filter)]
    pub filter: Vec<Filter>,
    /// The last N made, ended ones too
    #[arg(short = 'n', long, value_name = "N", allow_negative_numbers = true)]
    pub last: Option<i64>,
    /// The last one made, even if it has ended
    #[arg(short, long)]
    pub latest: bool,
    /// Ids only
    #[arg(short, long)]
    pub quiet: bool,
    /// Whole ids
    #[arg(long)]
    pub no_trunc: bool,
    /// `json`, or a Go template
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
}

/// `inspect`.
#[derive(Debug, clap::Args)]
pub struct Inspect {
    /// `json`, or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Look at things of this kind only
    #[arg(long = "type", value_name = "KIND")]
    pub kind: Option<Kind>,
    /// Containers and networks
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
}

/// What `inspect` can look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// A container.
    Container,
    /// A network.
    Network,
}

/// `rename`.
#[derive(Debug, clap::Args)]
pub struct Rename {
    /// The container
    #[arg(value_name = "NAME")]
    pub old: String,
    /// Its name from now on
    #[arg(value_name = "NEW_NAME")]
    pub new: String,
}

/// `port`.
#[derive(Debug, clap::Args)]
pub struct Port {
    /// The container
    pub name: String,
    /// Only this port of it
    #[arg(value_name = "PORT[/PROTO]")]
    pub port: Option<String>,
}

/// `events`.
#[derive(Debug, clap::Args)]
pub struct Events {
    /// From then on: a time, seconds since 1970, or how long ago
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Until then
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Only those that fit: type, event, container, network, label, ...
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = filter)]
    pub filter: Vec<Filter>,
    /// `json`, or a Go template
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
}
