//! End-to-end tests of the `vswitch` command: what they are made of.
//!
//! The tests themselves are in `tests/e2e`. Each has a daemon of its own, on a socket and a data
//! directory of its own, so that they run beside each other; each is the same for root and for an
//! ordinary user. `tests/run.sh` runs them as both.

pub mod bins;
pub mod command;
pub mod daemon;
pub mod etcd;
pub mod http;
pub mod lab;
pub mod leak;
pub mod nameserver;
pub mod netns;
pub mod packet_socket;
pub mod random;
pub mod wait;

pub use command::{Background, Output, run, run_with_input, signal};
pub use daemon::{Container, Daemon};
pub use etcd::Cluster;
pub use lab::Lab;
pub use nameserver::Nameserver;
pub use netns::Netns;
pub use wait::{DEADLINE, eventually};

/// Whether the tests run as root.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
