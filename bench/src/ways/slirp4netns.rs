//! slirp4netns, as an ordinary user.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Joined, Outside, PORTS, Way, lacks, user, version};
use crate::error::{Doing as _, Error, Result};
use crate::netns::Netns;
use crate::process::{Process, wait_for};

const START: Duration = Duration::from_secs(15);

/// slirp4netns.
pub(crate) struct Slirp4netns;

impl Way for Slirp4netns {
    fn name(&self) -> &'static str {
        "slirp4netns"
    }

    fn description(&self) -> String {
        format!("{}, as an ordinary user", version("slirp4netns"))
    }

    fn lacks(&self) -> Option<String> {
        lacks("slirp4netns")
    }

    fn join(&self, outside: &Outside, directory: &Path, tag: &str) -> Result<(Netns, Box<dyn Joined>)> {
        let (inside, holder) = user::namespace(&format!("{tag}i"))?;
        // The directories above are root's alone: what another user is to find lies elsewhere.
        let directory = tempfile::Builder::new()
            .prefix("slirp-")
            .tempdir_in("/run")
            .doing(|| format!("make a directory for {}", directory.display()))?;
        user::hand_over(directory.path())?;
        let socket = directory.path().join("api");
        let mtu = format!("--mtu={}", outside.mtu);
        let api = format!("--api-socket={}", socket.display());
        let id = holder.id().to_string();
        let words = ["slirp4netns", "--configure", "--disable-host-loopback", &mtu, &api, &id, "eth0"];
        let mut slirp = Process::spawn(user::as_user(words), outside.router.as_ref())?;
        wait_for("slirp4netns to answer", START, || {
            slirp.check()?;
            Ok(UnixStream::connect(&socket).is_ok().then_some(()))
        })?;
        for port in PORTS {
            for protocol in ["tcp", "udp"] {
                publish(&socket, protocol, port)?;
            }
        }
        Ok((inside, Box::new(Running { slirp, _holder: holder, _directory: directory })))
    }
}

fn publish(socket: &Path, protocol: &str, port: u16) -> Result<()> {
    let request = json!({"execute": "add_hostfwd", "arguments": {
        "proto": protocol, "host_addr": "0.0.0.0", "host_port": port, "guest_addr": "10.0.2.100", "guest_port": port}});
    let mut answer = String::new();
    let mut ask = || {
        let mut stream = UnixStream::connect(socket)?;
        stream.write_all(request.to_string().as_bytes())?;
        stream.shutdown(Shutdown::Write)?;
        stream.read_to_string(&mut answer)
    };
    ask().doing(|| "ask slirp4netns to publish a port".to_owned())?;
    let value: Value = serde_json::from_str(&answer).unwrap_or_default();
    if value["return"].is_object() {
        return Ok(());
    }
    Err(Error::sentence(format!("slirp4netns does not publish port {port}: {}", answer.trim())))
}

struct Running {
    slirp: Process,
    _holder: Process,
    _directory: tempfile::TempDir,
}

impl Joined for Running {
    fn processes(&self) -> Vec<u32> {
        vec![self.slirp.id()]
    }

    fn check(&mut self) -> Result<()> {
        self.slirp.check()
    }
}
