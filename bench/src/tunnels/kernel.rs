//! The kernel's VXLAN device, which is the namespace's own interface: nothing else is in between.

use std::fmt::Write as _;
use std::path::Path;

use super::{HOSTS, INNER, Tunnel, VNI, hosts, peers_of};
use crate::error::Result;
use crate::netns::Netns;
use crate::peers::{Peer, Switch, address};
use crate::process::installed;

/// The kernel's VXLAN.
pub(super) struct Kernel;

impl Peer for Kernel {
    fn name(&self) -> &'static str {
        "kernel-vxlan"
    }

    fn description(&self) -> String {
        "the kernel's VXLAN device as the namespace's interface, learning".to_owned()
    }

    fn lacks(&self) -> Option<String> {
        (!installed("bridge")).then(|| "`bridge` of iproute2 is not installed".to_owned())
    }

    fn mtu(&self) -> u64 {
        INNER
    }

    fn start(&self, directory: &Path, tag: &str) -> Result<Box<dyn Switch>> {
        self.start_with(1, directory, tag)
    }
}

impl Tunnel for Kernel {
    fn start_with(&self, peers: u32, _directory: &Path, tag: &str) -> Result<Box<dyn Switch>> {
        Ok(Box::new(Running { hosts: hosts(tag)?, peers, ports: 0 }))
    }
}

struct Running {
    hosts: [Netns; 2],
    peers: u32,
    ports: usize,
}

impl Switch for Running {
    fn attach(&mut self, netns: &Netns) -> Result<()> {
        let (index, address) = (self.ports % 2, address(self.ports));
        self.ports += 1;
        let (host, local) = (&self.hosts[index], HOSTS[index]);
        host.ip(&format!("link add vx0 type vxlan id {VNI} dstport 4789 local {local} dev wire\n"))?;
        let mut entries = String::new();
        for peer in peers_of(index, self.peers) {
            let _ = writeln!(entries, "fdb append 00:00:00:00:00:00 dev vx0 dst {peer}");
        }
        host.bridge(&entries)?;
        host.ip(&format!("link set vx0 netns {} name eth0\n", netns.name()))?;
        netns.ip(&format!("addr add {address}/16 dev eth0\nlink set eth0 mtu {INNER} up\n"))
    }

    fn processes(&self) -> Vec<u32> {
        Vec::new()
    }

    fn check(&mut self) -> Result<()> {
        Ok(())
    }
}
