//! Open vSwitch's userspace datapath and VXLAN on each host.

use std::path::Path;

use super::{HOSTS, INNER, Tunnel, VNI, hosts, peers_of};
use crate::error::{Doing as _, Result};
use crate::netns::Netns;
use crate::peers::{OvsDaemons, Peer, Switch, address};
use crate::process::{command, installed, output};

/// Open vSwitch's userspace VXLAN.
pub(super) struct OpenVswitch;

impl Peer for OpenVswitch {
    fn name(&self) -> &'static str {
        "ovs-vxlan"
    }

    fn description(&self) -> String {
        format!("Open vSwitch {}, userspace datapath and VXLAN, internal ports", OvsDaemons::version())
    }

    fn lacks(&self) -> Option<String> {
        let ethtool =
            || (!installed("ethtool")).then(|| "`ethtool` is not installed (package ethtool)".to_owned());
        OvsDaemons::lack().or_else(ethtool)
    }

    fn mtu(&self) -> u64 {
        INNER
    }

    fn start(&self, directory: &Path, tag: &str) -> Result<Box<dyn Switch>> {
        self.start_with(1, directory, tag)
    }
}

impl Tunnel for OpenVswitch {
    fn start_with(&self, peers: u32, directory: &Path, tag: &str) -> Result<Box<dyn Switch>> {
        let [one, two] = hosts(tag)?;
        let ends = [End::start(one, 0, peers, directory)?, End::start(two, 1, peers, directory)?];
        Ok(Box::new(Running { ends, ports: 0 }))
    }

    /// A peer is a port of its own there.
    fn grows(&self) -> bool {
        false
    }
}

/// One host. Its daemons end before it goes.
struct End {
    daemons: OvsDaemons,
    host: Netns,
}

impl End {
    fn start(host: Netns, index: usize, peers: u32, directory: &Path) -> Result<Self> {
        let directory = directory.join(format!("host{index}"));
        std::fs::create_dir(&directory).doing(|| format!("make {}", directory.display()))?;
        // It reads the wire with a packet socket, and so wants what would be on a wire.
        output(command("ethtool", ["-K", "wire", "tx", "off", "tso", "off", "gso", "off"]), Some(&host))?;
        let daemons = OvsDaemons::start(Some(&host), &directory)?;
        for bridge in ["br-wire", "br-in"] {
            daemons.vsctl(&["add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev"])?;
        }
        daemons.vsctl(&["add-port", "br-wire", "wire"])?;
        // The address is the bridge's from here on.
        host.ip(&format!(
            "addr flush dev wire\naddr add {}/24 dev br-wire\nlink set br-wire up\n",
            HOSTS[index]
        ))?;
        for (number, peer) in peers_of(index, peers).enumerate() {
            let (port, remote, key) =
                (format!("vx{number}"), format!("options:remote_ip={peer}"), format!("options:key={VNI}"));
            daemons.vsctl(&[
                "add-port",
                "br-in",
                &port,
                "--",
                "set",
                "interface",
                &port,
                "type=vxlan",
                &remote,
                &key,
            ])?;
        }
        Ok(Self { daemons, host })
    }
}

struct Running {
    ends: [End; 2],
    ports: usize,
}

impl Switch for Running {
    fn attach(&mut self, netns: &Netns) -> Result<()> {
        let (index, address) = (self.ports % 2, address(self.ports));
        let port = format!("c{}", self.ports);
        self.ports += 1;
        let End { daemons, host } = &self.ends[index];
        daemons.vsctl(&["add-port", "br-in", &port, "--", "set", "interface", &port, "type=internal"])?;
        host.ip(&format!("link set {port} netns {} name eth0\n", netns.name()))?;
        netns.ip(&format!("addr add {address}/16 dev eth0\nlink set eth0 mtu {INNER} up\n"))
    }

    fn processes(&self) -> Vec<u32> {
        self.ends.iter().flat_map(|end| end.daemons.processes()).collect()
    }

    fn check(&mut self) -> Result<()> {
        self.ends.iter_mut().try_for_each(|end| end.daemons.check())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Their TAPs go along while the daemons are there to see to it.
        for end in &self.ends {
            for bridge in ["br-in", "br-wire"] {
                let _ = end.daemons.vsctl(&["--if-exists", "del-br", bridge]);
            }
        }
    }
}
