//! `network`.

use clap::Subcommand;

use super::{Filter, driver_opt, filter, label, link, pair};

/// `network`.
#[derive(Debug, clap::Args)]
pub struct Network {
    /// What to do.
    #[command(subcommand)]
    pub command: NetworkCommand,
}

/// What `network` does.
#[derive(Debug, Subcommand)]
pub enum NetworkCommand {
    /// Make a network and print its id
    Create(NetworkCreate),
    /// List networks
    #[command(visible_alias = "list")]
    Ls(NetworkLs),
    /// Show all that is known of networks
    Inspect(NetworkInspect),
    /// Remove networks
    #[command(visible_alias = "remove")]
    Rm(NetworkRm),
    /// Remove all networks without containers
    Prune(NetworkPrune),
    /// Put a container on a network
    Connect(NetworkConnect),
    /// Take a container off a network
    Disconnect(NetworkDisconnect),
}

/// `network create`.
#[derive(Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools)] // a flag each
pub struct NetworkCreate {
    /// Driver of the network
    #[arg(short, long, value_name = "DRIVER", default_value = "bridge")]
    pub driver: String,
    /// Option for the driver, KEY=VALUE
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = any_pair)]
    pub opt: Vec<(String, String)>,
    /// Label, KEY=VALUE
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    pub label: Vec<(String, String)>,
    /// Nothing outside of the network is reached, and it from nowhere
    #[arg(long)]
    pub internal: bool,
    /// Give IPv6 addresses too
    #[arg(long)]
    pub ipv6: bool,
    /// Let containers be attached by hand
    #[arg(long)]
    pub attachable: bool,
    /// The routing mesh of a swarm
    #[arg(long)]
    pub ingress: bool,
    /// How far the network reaches: local, global
    #[arg(long, value_name = "SCOPE", default_value = "", hide_default_value = true)]
    pub scope: String,
    /// Only a configuration, for others to be made from
    #[arg(long)]
    pub config_only: bool,
    /// The network whose configuration is taken
    #[arg(long, value_name = "NETWORK")]
    pub config_from: Option<String>,
    /// How addresses are given.
    #[command(flatten)]
    pub ipam: Ipam,
    /// Name of the network
    #[arg(value_name = "NETWORK")]
    pub name: String,
}

/// The part of `network create` that says how addresses are given.
#[derive(Debug, clap::Args)]
pub struct Ipam {
    /// Driver that gives addresses
    #[arg(long, value_name = "DRIVER", default_value = "default")]
    pub ipam_driver: String,
    /// Option for that driver, KEY=VALUE
    #[arg(long, value_name = "KEY=VALUE", value_parser = any_pair)]
    pub ipam_opt: Vec<(String, String)>,
    /// Subnet of the network, ADDRESS/BITS
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub subnet: Vec<String>,
    /// Part of a subnet from which containers get their addresses
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub ip_range: Vec<String>,
    /// Gateway of a subnet
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub gateway: Vec<String>,
    /// Address that no container is to get, NAME=ADDRESS
    #[arg(long, value_name = "NAME=ADDRESS", value_parser = any_pair)]
    pub aux_address: Vec<(String, String)>,
}

/// `network ls`.
#[derive(Debug, clap::Args)]
pub struct NetworkLs {
    /// Only those that fit: driver, id, label, name, scope, type, dangling
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = filter)]
    pub filter: Vec<Filter>,
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

/// `network inspect`.
#[derive(Debug, clap::Args)]
pub struct NetworkInspect {
    /// `json`, or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// More, for diagnosis
    #[arg(short, long)]
    pub verbose: bool,
    /// The networks
    #[arg(required = true, value_name = "NETWORK")]
    pub networks: Vec<String>,
}

/// `network rm`.
#[derive(Debug, clap::Args)]
pub struct NetworkRm {
    /// A network that is not there is no failure
    #[arg(short, long)]
    pub force: bool,
    /// The networks
    #[arg(required = true, value_name = "NETWORK")]
    pub networks: Vec<String>,
}

/// `network prune`.
#[derive(Debug, clap::Args)]
pub struct NetworkPrune {
    /// Ask no question
    #[arg(short, long)]
    pub force: bool,
    /// Only those that fit: label, label!, until
    #[arg(long, value_name = "KEY=VALUE", value_parser = filter)]
    pub filter: Vec<Filter>,
}

/// `network connect`.
#[derive(Debug, clap::Args)]
pub struct NetworkConnect {
    /// IPv4 address of the container there
    #[arg(long, value_name = "ADDRESS")]
    pub ip: Option<String>,
    /// IPv6 address of the container there
    #[arg(long, value_name = "ADDRESS")]
    pub ip6: Option<String>,
    /// Link-local address of the container there
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub link_local_ip: Vec<String>,
    /// Another name of the container there
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub alias: Vec<String>,
    /// Container that this one finds there by a name of its own
    #[arg(long, value_name = "NAME[:ALIAS]", value_parser = link)]
    pub link: Vec<String>,
    /// Option for the network's driver, KEY=VALUE
    #[arg(long, value_name = "KEY=VALUE", value_delimiter = ',', value_parser = driver_opt)]
    pub driver_opt: Vec<(String, String)>,
    /// The network
    pub network: String,
    /// The container
    pub container: String,
}

/// `network disconnect`.
#[derive(Debug, clap::Args)]
pub struct NetworkDisconnect {
    /// Also a container that is gone
    #[arg(short, long)]
    pub force: bool,
    /// The network
    pub network: String,
    /// The container
    pub container: String,
}

#[allow(clippy::unnecessary_wraps)] // clap's signature
fn any_pair(word: &str) -> Result<(String, String), std::convert::Infallible> {
    Ok(pair(word))
}
