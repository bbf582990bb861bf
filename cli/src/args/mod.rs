//! The command line, word for word.

mod bridge;
mod container;
mod network;
mod word;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub use bridge::*;
pub use container::*;
pub use network::*;
pub use word::*;

/// A container network in one unprivileged process.
#[derive(Debug, Parser)]
#[command(name = "vswitch", version, propagate_version = true, max_term_width = 100)]
pub struct Args {
    /// The daemon's socket [default: $XDG_RUNTIME_DIR/vswitch.sock, as root /run/vswitch.sock]
    #[arg(short = 'H', long, global = true, env = "VSWITCH_HOST", value_name = "unix://PATH")]
    pub host: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the switch itself
    Daemon(Daemon),
    /// Run a command in namespaces of its own, on a network
    Run(Run),
    /// Put an existing network namespace on a network
    Attach(Attach),
    /// Take an attached namespace off its network
    Detach(Detach),
    /// Run a command in a running container
    Exec(Exec),
    /// End containers
    Stop(Stop),
    /// Send containers a signal
    Kill(Kill),
    /// Remove containers
    Rm(Rm),
    /// Wait until containers end, then print their exit status
    Wait(Names),
    /// Print what a detached container wrote
    Logs(Logs),
    /// List containers
    Ps(Ps),
    /// Show all that is known of containers and networks
    Inspect(Inspect),
    /// Give a container another name
    Rename(Rename),
    /// List a container's published ports
    Port(Port),
    /// Watch what happens to containers and networks
    Events(Events),
    /// Make networks, look at them, and put containers on them
    Network(Network),
    /// Look at a network's switching, as brctl does
    Bridge(Bridge),
    /// Watch frames go by
    Capture(Capture),
    /// Show what ports have counted
    Stats(Stats),
    /// Look at address translation
    Nat(Nat),
    /// Show the daemon's state
    Info(Format),
    /// Show the versions of command and daemon
    Version(Format),
    /// Print a completion script for a shell
    Completion(Completion),
    /// Start a switch, three containers and some traffic, and show what happened
    Demo,
}

/// Values of `daemon --io-uring`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum IoUring {
    /// Where the kernel lets them.
    Auto,
    /// Never.
    Off,
}

/// `daemon`.
#[derive(Debug, clap::Args)]
pub struct Daemon {
    /// Where it keeps its data [default: ~/.local/share/vswitch, as root /var/lib/vswitch]
    #[arg(long, env = "VSWITCH_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Threads that carry frames [default: one for two processors, at most 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub workers: Option<u16>,
    /// Microseconds a worker polls before it sleeps: less delay, more processor time
    #[arg(long, value_name = "USEC", default_value_t = 0)]
    pub busy_poll: u32,
    /// Whether workers write small frames through io_uring: auto where the kernel lets them, or off
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = IoUring::Auto)]
    pub io_uring: IoUring,
    /// End after this many seconds without containers
    #[arg(long, value_name = "SECONDS")]
    pub idle_exit: Option<u64>,
    /// Leave containers running at an orderly end, for the next daemon
    #[arg(long)]
    pub live_restore: bool,
    /// Give the host an interface on every network, with the gateway's addresses (as root)
    #[arg(long)]
    pub host_interface: bool,
    /// Let containers reach the host's loopback at their gateway's address
    #[arg(long)]
    pub map_host_loopback: bool,
    /// Congestion control of connections to the outside, such as cubic or bbr [default: the host's]
    #[arg(long, value_name = "NAME")]
    pub tcp_congestion: Option<String>,
    /// etcd cluster that keeps the overlay networks of all nodes: etcd://HOST:PORT[,HOST:PORT...], etcds:// behind TLS
    #[arg(long, env = "VSWITCH_STORE", value_name = "URL")]
    pub store: Option<vswitch::control::kv::StoreAddress>,
    /// What all keys in the store are below
    #[arg(long, value_name = "PREFIX", default_value = vswitch::control::cluster::DEFAULT_PREFIX, requires = "store")]
    pub store_prefix: String,
    /// User of the store
    #[arg(long, value_name = "NAME", requires = "store", requires = "store_password_file")]
    pub store_user: Option<String>,
    /// File with the user's password in its first line
    #[arg(long, value_name = "FILE", requires = "store_user")]
    pub store_password_file: Option<PathBuf>,
    /// Authorities that sign the certificates of a store behind TLS, a PEM file
    #[arg(long, value_name = "FILE", requires = "store")]
    pub store_ca: Option<PathBuf>,
    /// This node's certificate for the store, a PEM file
    #[arg(long, value_name = "FILE", requires = "store_key", requires = "store_ca")]
    pub store_cert: Option<PathBuf>,
    /// The key that goes with it, a PEM file
    #[arg(long, value_name = "FILE", requires = "store_cert")]
    pub store_key: Option<PathBuf>,
    /// Name of this node, another one on each [default: the host's]
    #[arg(long, value_name = "NAME", requires = "store", value_parser = node_name)]
    pub node: Option<String>,
    /// Address of this host that other hosts know it by [default: as the routing table chooses]
    #[arg(long, value_name = "IP")]
    pub advertise: Option<std::net::IpAddr>,
    /// UDP port of the overlay networks, the same on all hosts
    #[arg(long, value_name = "PORT", default_value_t = 4789, value_parser = clap::value_parser!(u16).range(1..))]
    pub vxlan_port: u16,
}

fn node_name(text: &str) -> Result<String, String> {
    if vswitch::control::cluster::schema::is_node_name(text) {
        Ok(text.to_owned())
    } else {
        Err("a node's name has letters, digits, dots, dashes and underscores".into())
    }
}

/// `--format`.
#[derive(Debug, clap::Args)]
pub struct Format {
    /// `json`, or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    pub format: Option<String>,
}

/// `capture`.
#[derive(Debug, clap::Args)]
pub struct Capture {
    /// Container, port or network to watch
    #[arg(short, long, value_name = "NAME|NET|any", default_value = "any")]
    pub interface: String,
    /// Write pcapng to this file, or `-`
    #[arg(short, long, value_name = "FILE")]
    pub write: Option<PathBuf>,
    /// End after this many packets
    #[arg(short, long)]
    pub count: Option<u64>,
    /// Bytes of each frame to keep; 0 keeps all
    #[arg(short, long, default_value_t = 0)]
    pub snaplen: u32,
    /// What to watch, in pcap-filter syntax
    #[arg(trailing_var_arg = true)]
    pub filter: Vec<String>,
}

/// `nat`.
#[derive(Debug, clap::Args)]
pub struct Nat {
    /// What to do.
    #[command(subcommand)]
    pub command: NatCommand,
}

/// What `nat` does.
#[derive(Debug, clap::Subcommand)]
pub enum NatCommand {
    /// List the live flows
    Ls {
        /// Of this container alone
        #[arg(long, value_name = "NAME")]
        container: Option<String>,
        /// Go on with what becomes of flows, a line for each change
        #[arg(short, long)]
        watch: bool,
        /// How.
        #[command(flatten)]
        format: Format,
    },
}

/// `stats`.
#[derive(Debug, clap::Args)]
pub struct Stats {
    /// Container or port [default: all]
    pub name: Option<String>,
    /// How.
    #[command(flatten)]
    pub format: Format,
}

/// `completion`.
#[derive(Debug, clap::Args)]
pub struct Completion {
    /// The shell
    pub shell: clap_complete::Shell,
}
