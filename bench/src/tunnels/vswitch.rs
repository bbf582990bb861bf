//! This switch: a daemon on each host, and a network of driver overlay whose peers are given by hand.

use std::path::Path;

use super::{HOSTS, INNER, Tunnel, VNI, hosts, peers_of};
use crate::error::{Doing as _, Result};
use crate::netns::Netns;
use crate::peers::{Peer, Switch, VswitchPeer, VswitchRunning};

const NETWORK: &str = "measured";
/// The part of the subnet from which each host gives addresses.
const RANGES: [&str; 2] = ["10.99.0.0/17", "10.99.128.0/17"];

/// This switch, perhaps in another build or with other arguments.
pub(super) struct Ours(pub(super) VswitchPeer);

impl Peer for Ours {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn description(&self) -> String {
        self.0.description()
    }

    fn lacks(&self) -> Option<String> {
        self.0.lacks()
    }

    fn mtu(&self) -> u64 {
        INNER
    }

    fn start(&self, directory: &Path, tag: &str) -> Result<Box<dyn Switch>> {
        self.start_with(1, directory, tag)
    }
}

impl Tunnel for Ours {
    fn start_with(&self, peers: u32, directory: &Path, tag: &str) -> Result<Box<dyn Switch>> {
        let [one, two] = hosts(tag)?;
        let end = |host: Netns, index: usize| -> Result<End> {
            let directory = directory.join(format!("host{index}"));
            std::fs::create_dir(&directory).doing(|| format!("make {}", directory.display()))?;
            let advertise = HOSTS[index].to_string();
            let daemon = self.0.start_in(Some(&host), &directory, tag, &["--advertise", &advertise])?;
            let peers: Vec<String> = peers_of(index, peers).map(|peer| peer.to_string()).collect();
            let (vni, peers) = (format!("vni={VNI}"), format!("peers={}", peers.join(",")));
            let create =
                ["network", "create", "--driver", "overlay", "--internal", "--subnet", "10.99.0.0/16"];
            let options = ["--ip-range", RANGES[index], "--opt", &vni, "--opt", &peers, NETWORK];
            daemon.ask(&[&create[..], &options].concat())?;
            Ok(End { daemon, _host: host })
        };
        Ok(Box::new(Running { ends: [end(one, 0)?, end(two, 1)?], ports: 0 }))
    }
}

/// One host. Its daemon ends before it goes.
struct End {
    daemon: VswitchRunning,
    _host: Netns,
}

struct Running {
    ends: [End; 2],
    ports: usize,
}

impl Switch for Running {
    fn attach(&mut self, netns: &Netns) -> Result<()> {
        let (end, name) = (&self.ends[self.ports % 2], format!("c{}", self.ports));
        self.ports += 1;
        let path = netns.path().to_string_lossy();
        end.daemon.ask(&["attach", "--netns", &path, "--name", &name, "--network", NETWORK]).map(drop)
    }

    fn processes(&self) -> Vec<u32> {
        self.ends.iter().flat_map(|end| end.daemon.processes()).collect()
    }

    fn check(&mut self) -> Result<()> {
        self.ends.iter_mut().try_for_each(|end| end.daemon.check())
    }
}
