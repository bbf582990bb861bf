//! pasta, as an ordinary user.

use std::path::Path;

use super::{Joined, Outside, PORTS, Way, lacks, user, version};
use crate::error::Result;
use crate::netns::Netns;
use crate::process::Process;

/// pasta of passt.
pub(crate) struct Pasta;

impl Way for Pasta {
    fn name(&self) -> &'static str {
        "pasta"
    }

    fn description(&self) -> String {
        format!("{}, as an ordinary user", version("pasta"))
    }

    fn lacks(&self) -> Option<String> {
        lacks("pasta")
    }

    fn join(&self, outside: &Outside, _directory: &Path, tag: &str) -> Result<(Netns, Box<dyn Joined>)> {
        let (inside, holder) = user::namespace(&format!("{tag}i"))?;
        let ports = format!("{}-{}", PORTS.start(), PORTS.end());
        let (mtu, id) = (outside.mtu.to_string(), holder.id().to_string());
        let words = [
            "pasta",
            "--foreground",
            "--quiet",
            "--config-net",
            "--ipv4-only",
            "--no-map-gw",
            "--ns-ifname",
            "eth0",
            "--mtu",
            &mtu,
            "--tcp-ports",
            &ports,
            "--udp-ports",
            &ports,
            "--tcp-ns",
            "none",
            "--udp-ns",
            "none",
            &id,
        ];
        let pasta = Process::spawn(user::as_user(words), outside.router.as_ref())?;
        Ok((inside, Box::new(Running { pasta, _holder: holder })))
    }
}

struct Running {
    pasta: Process,
    _holder: Process,
}

impl Joined for Running {
    fn processes(&self) -> Vec<u32> {
        vec![self.pasta.id()]
    }

    fn check(&mut self) -> Result<()> {
        self.pasta.check()
    }
}
