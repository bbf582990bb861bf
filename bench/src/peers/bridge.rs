//! The kernel's bridge, with a veth pair for every namespace.

use std::path::Path;

use super::{MTU, Peer, Switch, address};
use crate::error::Result;
use crate::netns::{Netns, batch};
use crate::process::{command, installed, output};

/// The kernel's bridge.
pub(crate) struct Bridge;

impl Peer for Bridge {
    fn name(&self) -> &'static str {
        "bridge"
    }

    fn description(&self) -> String {
        "the kernel's bridge, a veth pair for every namespace".to_owned()
    }

    fn lacks(&self) -> Option<String> {
        (!installed("ip")).then(|| "`ip` of iproute2 is not installed".to_owned())
    }

    fn start(&self, _directory: &Path, tag: &str) -> Result<Box<dyn Switch>> {
        let name = format!("{tag}-br");
        batch(None, &format!("link add {name} type bridge\nlink set {name} up\n"))?;
        Ok(Box::new(Running { name, ports: 0 }))
    }
}

struct Running {
    name: String,
    ports: usize,
}

impl Switch for Running {
    fn attach(&mut self, netns: &Netns) -> Result<()> {
        let (bridge, inside, address) = (&self.name, netns.name(), address(self.ports));
        let port = format!("{bridge}-{}", self.ports);
        self.ports += 1;
        batch(
            None,
            &format!(
                "link add {port} mtu {MTU} type veth peer name eth0 mtu {MTU} netns {inside}\n\
                 link set {port} master {bridge} up\n"
            ),
        )?;
        netns.ip(&format!("addr add {address}/16 dev eth0\nlink set eth0 up\n"))
    }

    fn processes(&self) -> Vec<u32> {
        Vec::new()
    }

    fn check(&mut self) -> Result<()> {
        Ok(())
    }

    fn learned(&self) -> Result<Option<usize>> {
        let table = output(command("bridge", ["fdb", "show", "br", &self.name, "dynamic"]), None)?;
        Ok(Some(table.lines().count()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The veth pairs go with their namespaces; all of it goes with the benchmark's own namespace at the latest.
        let _ = output(command("ip", ["link", "del", &self.name]), None);
    }
}
