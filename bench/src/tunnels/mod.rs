//! VXLAN between two hosts, which are namespaces joined by a veth pair. Each way is one implementation of [`Tunnel`],
//! and a [`Peer`] like any other: what is attached first is on the first host, what comes next on the second.
//!
//! ```text
//! a -- [the tunnel's end] -- wire -- [the tunnel's end] -- b
//! ```

mod kernel;
mod ovs;
pub(crate) mod relay;
mod vswitch;

use std::net::Ipv4Addr;
use std::path::Path;

use crate::error::Result;
use crate::netns::Netns;
use crate::options::Options;
use crate::peers::{Peer, Switch, VswitchCommand, VswitchPeer};

/// The names of all tunnels, those of variants of the switch aside.
pub(crate) const NAMES: [&str; 4] = ["kernel-vxlan", "vxlan-relay", "ovs-vxlan", "vswitch"];

/// MTU of the wire in bytes.
const WIRE: u32 = 1500;
/// MTU of what is attached: what VXLAN over IPv4 leaves of it.
const INNER: u64 = WIRE as u64 - 50;
/// The network's number.
const VNI: u32 = 42;
/// Where the hosts are, on the wire.
const HOSTS: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)];
/// The first host that is not there: what is sent to it goes over the wire to nobody.
const ABSENT: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);

/// A tunnel that can be measured.
pub(crate) trait Tunnel: Peer {
    /// Starts it where each host has so many peers, of which one is there.
    fn start_with(&self, peers: u32, directory: &Path, tag: &str) -> Result<Box<dyn Switch>>;

    /// Whether it is measured with many peers and addresses too.
    fn grows(&self) -> bool {
        true
    }
}

/// The tunnels that the options ask for, this switch and its variants last.
pub(crate) fn all(options: &Options) -> Result<Vec<Box<dyn Tunnel>>> {
    let command = VswitchCommand::from_options(options);
    let mut known: Vec<Box<dyn Tunnel>> = vec![
        Box::new(kernel::Kernel),
        Box::new(relay::Relay),
        Box::new(ovs::OpenVswitch),
        Box::new(vswitch::Ours(VswitchPeer::new("vswitch", command.clone()))),
    ];
    if !options.peers.is_empty() {
        known.retain(|tunnel| options.peers.iter().any(|name| name == tunnel.name()));
    }
    for variant in &options.variants {
        known.push(Box::new(vswitch::Ours(VswitchPeer::variant(variant, &command)?)));
    }
    Ok(known)
}

/// Two hosts with a wire between them.
fn hosts(tag: &str) -> Result<[Netns; 2]> {
    let [one, two] = [Netns::create(&format!("{tag}x"))?, Netns::create(&format!("{tag}y"))?];
    one.ip(&format!("link add wire mtu {WIRE} type veth peer name wire mtu {WIRE} netns {}\n", two.name()))?;
    for (index, host) in [&one, &two].into_iter().enumerate() {
        let (own, other) = (HOSTS[index], HOSTS[1 - index]);
        host.ip(&format!(
            "addr add {own}/24 dev wire\nlink set wire up\nroute add 198.18.0.0/15 via {other}\n"
        ))?;
    }
    Ok([one, two])
}

/// The peers of a host: the other one, and those that are not there.
fn peers_of(index: usize, peers: u32) -> impl Iterator<Item = Ipv4Addr> {
    let absent = (0..peers.saturating_sub(1)).map(|n| Ipv4Addr::from(u32::from(ABSENT) + n));
    std::iter::once(HOSTS[1 - index % 2]).chain(absent)
}
