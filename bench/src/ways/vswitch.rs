//! This switch: its daemon in the router's namespace, the inside attached to a network of the MTU that is measured.

use std::path::Path;

use super::{Joined, Outside, PORTS, Way};
use crate::error::Result;
use crate::netns::Netns;
use crate::peers::{Peer as _, Switch as _, VswitchPeer, VswitchRunning};

/// This switch, perhaps in another build or with other arguments.
pub(crate) struct Ours(pub(super) VswitchPeer);

impl Way for Ours {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn description(&self) -> String {
        self.0.description()
    }

    fn lacks(&self) -> Option<String> {
        self.0.lacks()
    }

    fn join(&self, outside: &Outside, directory: &Path, tag: &str) -> Result<(Netns, Box<dyn Joined>)> {
        let inside = Netns::create(&format!("{tag}i"))?;
        let daemon = self.0.start_in(outside.router.as_ref(), directory, tag, &[])?;
        let mtu = format!("com.docker.network.driver.mtu={}", outside.mtu);
        daemon.ask(&["network", "create", "--opt", &mtu, "measured"])?;
        let ports = format!("{}-{}", PORTS.start(), PORTS.end());
        let (tcp, udp) = (format!("{ports}:{ports}"), format!("{ports}:{ports}/udp"));
        let path = inside.path().to_string_lossy().into_owned();
        daemon.ask(&[
            "attach",
            "--netns",
            &path,
            "--name",
            tag,
            "--network",
            "measured",
            "--publish",
            &tcp,
            "--publish",
            &udp,
        ])?;
        Ok((inside, Box::new(Running(daemon))))
    }
}

struct Running(VswitchRunning);

impl Joined for Running {
    fn processes(&self) -> Vec<u32> {
        self.0.processes()
    }

    fn check(&mut self) -> Result<()> {
        self.0.check()
    }
}
