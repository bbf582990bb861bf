//! The command line, word for word.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

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
    /// Show all that is known of containers
    Inspect(Inspect),
    /// Look at a network's switching, as brctl does
    Bridge(Bridge),
    /// Watch frames go by
    Capture(Capture),
    /// Show what ports have counted
    Stats(Stats),
    /// Show the daemon's state
    Info(Format),
    /// Show the versions of command and daemon
    Version(Format),
    /// Print a completion script for a shell
    Completion(Completion),
    /// Start a switch, three containers and some traffic, and show what happened
    Demo,
}

/// `daemon`.
#[derive(Debug, clap::Args)]
pub struct Daemon {
    /// Where it keeps its data [default: ~/.local/share/vswitch, as root /var/lib/vswitch]
    #[arg(long, env = "VSWITCH_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Threads that carry frames [default: one a processor, at most 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub workers: Option<u16>,
    /// Microseconds a worker polls before it sleeps: less delay, more processor time
    #[arg(long, value_name = "USEC", default_value_t = 0)]
    pub busy_poll: u32,
    /// End after this many seconds without containers
    #[arg(long, value_name = "SECONDS")]
    pub idle_exit: Option<u64>,
    /// Leave containers running at an orderly end, for the next daemon
    #[arg(long)]
    pub live_restore: bool,
}

/// What `run` and `attach` have in common.
#[derive(Debug, clap::Args)]
pub struct NetworkFlags {
    /// Network to join
    #[arg(long, value_name = "NETWORK", default_value = "bridge")]
    pub network: Vec<String>,
    /// MAC address of the interface
    #[arg(long, value_name = "MAC")]
    pub mac_address: Option<String>,
    /// TAP queues of the interface, for several workers
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=16))]
    pub queues: Option<u16>,
    /// Label, KEY=VALUE
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub label: Vec<String>,
}

/// `run`.
#[derive(Debug, clap::Args)]
pub struct Run {
    /// Name of the container
    #[arg(long)]
    pub name: Option<String>,
    /// What it is on.
    #[command(flatten)]
    pub network: NetworkFlags,
    /// Host name inside [default: the short id]
    #[arg(long)]
    pub hostname: Option<String>,
    /// Run in the background and print the id
    #[arg(short, long)]
    pub detach: bool,
    /// Remove the container when its command ends, as always in the foreground
    #[arg(long)]
    pub rm: bool,
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

/// `--format`.
#[derive(Debug, clap::Args)]
pub struct Format {
    /// `json`, or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    pub format: Option<String>,
}

/// `ps`.
#[derive(Debug, clap::Args)]
pub struct Ps {
    /// Ended ones too
    #[arg(short, long)]
    pub all: bool,
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
    /// Which.
    #[command(flatten)]
    pub which: Names,
}

/// `bridge`.
#[derive(Debug, clap::Args)]
pub struct Bridge {
    /// What to do.
    #[command(subcommand)]
    pub command: BridgeCommand,
}

/// What `bridge` does.
#[derive(Debug, Subcommand)]
pub enum BridgeCommand {
    /// List bridges and their ports
    Show {
        /// How.
        #[command(flatten)]
        format: Format,
    },
    /// Print a network's forwarding table
    Fdb {
        /// The network [default: all]
        network: Option<String>,
        /// How.
        #[command(flatten)]
        format: Format,
    },
    /// Forget what a network has learned
    Flush {
        /// The network
        network: String,
    },
    /// Set how long a silent station is remembered
    Setageing {
        /// The network
        network: String,
        /// Seconds
        seconds: u32,
    },
    /// Let a port's frames go back out of it, or not
    Hairpin {
        /// The port, as `bridge show` names it, or its container
        port: String,
        /// Whether
        #[arg(action = clap::ArgAction::Set, value_parser = on_off())]
        state: bool,
    },
    /// Pin a station to a port, or take it out of the table
    Static {
        /// The network
        network: String,
        /// The station's address
        mac: String,
        /// The port, or `none`
        port: String,
        /// The VLAN in which it is heard
        #[arg(long, default_value_t = 0)]
        vlan: u16,
    },
    /// Limit the frames a second with which a port makes everybody busy; 0 lifts the limit
    Storm {
        /// The port
        port: String,
        /// Broadcast and multicast
        #[arg(long, value_name = "FRAMES")]
        broadcast: Option<u32>,
        /// For addresses the table does not know
        #[arg(long, value_name = "FRAMES")]
        unknown_unicast: Option<u32>,
    },
    /// Set a port up or down
    Port {
        /// The port
        port: String,
        /// `up` or `down`
        #[arg(action = clap::ArgAction::Set, value_parser = up_down())]
        state: bool,
    },
}

fn on_off() -> impl clap::builder::TypedValueParser<Value = bool> {
    use clap::builder::TypedValueParser;
    clap::builder::PossibleValuesParser::new(["on", "off"]).map(|text| text == "on")
}

fn up_down() -> impl clap::builder::TypedValueParser<Value = bool> {
    use clap::builder::TypedValueParser;
    clap::builder::PossibleValuesParser::new(["up", "down"]).map(|text| text == "up")
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
