//! What the processes around a sandbox tell each other.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use packet::MacAddr;
use serde::{Deserialize, Serialize};

use crate::sys::tun::TapOffloads;

/// One interface to make in a sandbox.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PortSpec {
    /// Which endpoint it is, for whoever gets the descriptors.
    pub endpoint: String,
    /// Its name in the sandbox.
    pub interface: String,
    /// Its address, as text.
    #[serde(with = "mac_text")]
    pub mac: MacAddr,
    /// Longest IP packet, in bytes.
    pub mtu: u32,
    /// Addresses with the length of their subnet's prefix.
    pub addresses: Vec<IpNet>,
    /// Default routes go there.
    pub gateways: Vec<IpAddr>,
    /// Further subnets of the network, and the neighbour that routes to each.
    #[serde(default)]
    pub routes: Vec<(IpNet, IpAddr)>,
    /// TAP queues.
    pub queues: usize,
}

mod mac_text {
    use packet::MacAddr;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
    pub(super) fn serialize<S: Serializer>(mac: &MacAddr, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(mac)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<MacAddr, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

/// Which namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// That of a process.
    Pid(i32),
    /// The one behind a path, as `ip netns` and container engines keep them.
    Netns(PathBuf),
}

/// A namespace as it was first seen. Numbers of processes and paths are used again for others; the
/// inode of a namespace tells (namespaces(7)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Where it is.
    pub target: Target,
    /// Device and inode, where they were seen.
    pub inode: Option<(u64, u64)>,
}

impl From<Target> for Place {
    /// Whichever namespace is there.
    fn from(target: Target) -> Self {
        Self { target, inode: None }
    }
}

/// To a helper: do this there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HelperSpec {
    /// Where.
    pub place: Place,
    /// What.
    pub job: HelperJob,
}

/// What a helper does in somebody's namespace.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HelperJob {
    /// Make interfaces and sockets.
    SetUp {
        /// The interfaces.
        ports: Vec<PortSpec>,
        /// Bind the sockets of the name service, where its containers expect it.
        name_service: bool,
        /// The namespace ends with processes that are ours, so that a descriptor may keep it alive.
        ours: bool,
    },
    /// Send what has no other route through this interface.
    DefaultRoute(DefaultRoute),
}

/// A way out of a sandbox.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DefaultRoute {
    /// The interface's name in the sandbox.
    pub interface: String,
    /// Who takes the packets, of either IP version.
    pub gateways: Vec<IpAddr>,
}

/// From a helper.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HelperReply {
    /// The interfaces are up; their TAPs' queues come along as descriptors, in order, then the
    /// name service's sockets, UDP and TCP.
    Ready(Vec<MadePort>),
    /// It is done.
    Done,
    /// It could not be done; nothing is left of it.
    Failed(String),
}

/// An interface a helper made.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct MadePort {
    /// What the kernel granted.
    pub offloads: Option<TapOffloads>,
    /// How many of the message's descriptors are its queues.
    pub queues: usize,
}

/// The network namespace a command is to run in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkNamespace {
    /// One of its own.
    #[default]
    Own,
    /// That of whoever starts it.
    Host,
    /// That of another container.
    Join(Place),
}

/// Files of a container that take the place of the host's.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct EtcFiles {
    /// Instead of /etc/hosts.
    pub hosts: Option<PathBuf>,
    /// Instead of /etc/resolv.conf.
    pub resolv_conf: Option<PathBuf>,
    /// Instead of /etc/hostname.
    pub hostname: Option<PathBuf>,
}

/// To the first process of a sandbox.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InitSpec {
    /// What to run, the program first.
    pub argv: Vec<String>,
    /// The UTS namespace's name.
    pub hostname: String,
    /// The UTS namespace's NIS domain name.
    #[serde(default)]
    pub domainname: Option<String>,
    /// The command writes to this file instead of the caller's terminal.
    pub log: Option<PathBuf>,
    /// Variables set on top of the caller's environment.
    #[serde(default)]
    pub env: Vec<(String, String)>,
    /// Which network it sees.
    #[serde(default)]
    pub network: NetworkNamespace,
    /// What it finds under /etc.
    #[serde(default)]
    pub files: EtcFiles,
}

/// From the first process of a sandbox.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InitReply {
    /// The namespaces are there; send anything to start the command.
    Ready,
    /// They could not be made, or the command could not be started.
    Failed {
        /// A sentence.
        message: String,
        /// What the process exits with.
        code: i32,
    },
}

/// What a shim is to hold.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sandbox {
    /// A command in namespaces of its own.
    Run(InitSpec),
    /// Namespaces that somebody else made.
    Attach(Place),
}

/// To a shim, from whoever started it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ShimSpec {
    /// The container's id.
    pub id: String,
    /// Where its socket is to be.
    pub dir: PathBuf,
    /// What it holds.
    pub sandbox: Sandbox,
    /// The interfaces to begin with.
    pub ports: Vec<PortSpec>,
    /// It has the sockets of a name service.
    pub name_service: bool,
    /// Leave the caller's session and terminal.
    pub detached: bool,
}

/// From a shim, to whoever started it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShimReply {
    /// Everything is there, the command has not started yet.
    Ready,
    /// It did not work out; nothing is left.
    Failed {
        /// A sentence.
        message: String,
        /// What `run` exits with.
        code: i32,
    },
}

/// From the daemon to a shim.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShimRequest {
    /// Tell me all you hold: answered by [`ShimEvent::State`].
    Hello,
    /// Start the command: answered by `Started` or `Failed`.
    Start,
    /// Send the command a signal, by number.
    Signal(i32),
    /// Make one more interface: answered by `PortReady` or `Failed`.
    AddPort(PortSpec),
    /// Let go of an endpoint's interface: answered by `Done`.
    DropPort(String),
    /// Set the default route: answered by `Done` or `Failed`.
    DefaultRoute(DefaultRoute),
    /// Let go of everything and end.
    Quit,
}

/// An interface a shim holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HeldPort {
    /// As it was asked for.
    pub spec: PortSpec,
    /// What the kernel granted.
    pub offloads: Option<TapOffloads>,
    /// How many of the message's descriptors are its queues.
    pub queues: usize,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit status, or 128 plus the signal's number.
    pub code: i32,
}

/// From a shim to the daemon.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShimEvent {
    /// All it holds; the queues of all ports come along as descriptors, in order, then the name
    /// service's UDP and TCP socket.
    State {
        /// The container's id.
        id: String,
        /// The shim itself.
        shim: i32,
        /// The first process, 0 for attached namespaces.
        pid: i32,
        /// The command runs.
        started: bool,
        /// The command has ended.
        exit: Option<Exit>,
        /// The interfaces.
        ports: Vec<HeldPort>,
        /// Two sockets come along too.
        #[serde(default)]
        name_service: bool,
    },
    /// The command runs.
    Started,
    /// One more interface; its queues come along.
    PortReady(HeldPort),
    /// What was asked for is done.
    Done,
    /// What was asked for did not work out.
    Failed {
        /// A sentence.
        message: String,
        /// What `run` exits with.
        code: i32,
    },
    /// The command has ended.
    Exited(Exit),
}
