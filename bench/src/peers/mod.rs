//! The switches that are measured. Each is one implementation of [`Peer`].

mod bridge;
mod ovs;
pub(crate) mod relay;
mod vde;
mod vswitch;

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::netns::{Eth0, Netns};
use crate::options::Options;
use crate::process::wait_for;
use crate::sys::Offloads;

pub(crate) use vswitch::{Command as VswitchCommand, Running as VswitchRunning, Vswitch as VswitchPeer};

/// The MTU of every interface, in bytes.
pub(crate) const MTU: u64 = 1500;

/// How long a switch may take to bring a namespace's eth0 up.
const UP: Duration = Duration::from_secs(15);

/// A switch that can be measured.
pub(crate) trait Peer {
    /// Its name in tables and on the command line.
    fn name(&self) -> &str;

    /// What it is, for the description of a published run: version and way of use.
    fn description(&self) -> String;

    /// What it lacks to run on this machine, as a sentence; `None` when it can run.
    fn lacks(&self) -> Option<String>;

    /// How many namespaces it can join; `None` for as many as one likes.
    fn limit(&self) -> Option<usize> {
        None
    }

    /// Starts it, with nothing attached. `directory` is empty and its own; `tag` is unique and at most 6 letters long.
    fn start(&self, directory: &Path, tag: &str) -> Result<Box<dyn Switch>>;
}

/// A running switch. Dropping it stops it and leaves nothing.
pub(crate) trait Switch {
    /// Does what a person does to join `netns` to the switch: afterwards it has an eth0, up, with an address and an MTU
    /// of 1500. The relay does so only once the second namespace has joined.
    fn attach(&mut self, netns: &Netns) -> Result<()>;

    /// The ids of its processes; none when it is in the kernel.
    fn processes(&self) -> Vec<u32>;

    /// Fails when one of its processes has ended.
    fn check(&mut self) -> Result<()>;

    /// Runs a command of it, where there are commands.
    fn ask(&self, _arguments: &[&str]) -> Result<String> {
        Err(Error::sentence("it has no commands"))
    }

    /// How many addresses it has learned, where it can tell.
    fn learned(&self) -> Result<Option<usize>> {
        Ok(None)
    }
}

/// The peers that the options ask for, this switch and its variants last.
pub(crate) fn all(options: &Options) -> Result<Vec<Box<dyn Peer>>> {
    let command = VswitchCommand::from_options(options);
    let mut known: Vec<Box<dyn Peer>> = vec![
        Box::new(bridge::Bridge),
        Box::new(relay::Relay::new("relay", Offloads::All)),
        Box::new(relay::Relay::new("plain-relay", Offloads::None)),
        Box::new(ovs::OpenVswitch),
        Box::new(vde::Vde),
        Box::new(vswitch::Vswitch::new("vswitch", command.clone())),
    ];
    let default = ["bridge", "relay", "ovs", "vde", "vswitch"].map(str::to_owned);
    let wanted = if options.peers.is_empty() { default.to_vec() } else { options.peers.clone() };
    for name in &wanted {
        if !known.iter().any(|peer| peer.name() == name) && !crate::ways::NAMES.contains(&name.as_str()) {
            let mut names: Vec<&str> = known.iter().map(|peer| peer.name()).collect();
            names.extend(crate::ways::NAMES.iter().filter(|name| **name != "vswitch"));
            return Err(Error::sentence(format!(
                "there is no peer `{name}`; there are {}",
                names.join(", ")
            )));
        }
    }
    known.retain(|peer| wanted.iter().any(|name| name == peer.name()));
    for variant in &options.variants {
        known.push(Box::new(vswitch::Vswitch::variant(variant, &command)?));
    }
    Ok(known)
}

/// The address that a peer which gives none itself sets in its namespace number `index`, counted from 0.
fn address(index: usize) -> Ipv4Addr {
    let host = u16::try_from(index + 1).unwrap_or(u16::MAX).to_be_bytes();
    Ipv4Addr::new(10, 99, host[0], host[1])
}

/// Waits until eth0 in `netns` is up with an address, and says what it is.
pub(crate) fn await_eth0(netns: &Netns) -> Result<Eth0> {
    await_eth0_of(netns, MTU)
}

/// The same where the MTU is another.
pub(crate) fn await_eth0_of(netns: &Netns, mtu: u64) -> Result<Eth0> {
    let eth0 = wait_for(&format!("eth0 in {netns} to be up with an address"), UP, || netns.eth0())?;
    if eth0.mtu == mtu {
        return Ok(eth0);
    }
    Err(Error::sentence(format!("eth0 in {netns} has an MTU of {} where {mtu} was to be measured", eth0.mtu)))
}
