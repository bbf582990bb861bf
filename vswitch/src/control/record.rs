//! What is kept of a container.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

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
    Attach(Target),
}

/// Where a container stands. Times are seconds since 1970.
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

/// One attachment of a container to a network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Endpoint {
    /// 64 hexadecimal digits.
    pub id: String,
    /// The network's name.
    pub network: String,
    /// The network's id.
    pub network_id: String,
    /// The container's address there; released when the container ends.
    pub address: Ipv4Addr,
    /// Bits of the subnet's prefix.
    pub prefix: u8,
    /// The network's gateway.
    pub gateway: Ipv4Addr,
    /// Ethernet address, as text.
    pub mac: String,
    /// Interface name within the sandbox.
    pub interface: String,
}

/// A container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Container {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name, without a slash.
    pub name: String,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// How it was made.
    pub origin: Origin,
    /// It goes when its command ends.
    pub auto_remove: bool,
    /// The name of its UTS namespace.
    pub hostname: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Where it stands.
    pub status: Status,
    /// Its place on a network.
    pub endpoint: Endpoint,
}

impl Container {
    /// Its interfaces are ports now.
    pub fn is_running(&self) -> bool {
        matches!(self.status, Status::Running { .. })
    }

    /// Somebody else's namespace.
    pub fn is_attached(&self) -> bool {
        matches!(self.origin, Origin::Attach(_))
    }
}
