//! VDE2: `vde_switch`, and a `vde_plug2tap` for every namespace.

use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Stdio};
use std::time::Duration;

use super::{MTU, Peer, Switch, address};
use crate::error::{Error, Result};
use crate::netns::Netns;
use crate::process::{Process, command, installed, output, wait_for};

/// VDE2.
pub(crate) struct Vde;

const START: Duration = Duration::from_secs(10);

impl Peer for Vde {
    fn name(&self) -> &'static str {
        "vde"
    }

    fn description(&self) -> String {
        let version = output(command("vde_switch", ["--version"]), None).unwrap_or_default();
        let version =
            version.lines().find_map(|line| line.strip_prefix("VDE ")).unwrap_or("2").trim().to_owned();
        format!("VDE {version}: vde_switch and a vde_plug2tap for every namespace")
    }

    fn lacks(&self) -> Option<String> {
        ["vde_switch", "vde_plug2tap"]
            .into_iter()
            .find(|name| !installed(name))
            .map(|name| format!("`{name}` is not installed (package vde2)"))
    }

    fn start(&self, directory: &Path, _tag: &str) -> Result<Box<dyn Switch>> {
        let socket = directory.join("vde");
        let mut switch = command("vde_switch", ["--numports", "1024", "--hashsize", "16384", "--sock"]);
        // It ends when its console does, so the console is a pipe that is held open.
        switch.arg(&socket).stdin(Stdio::piped());
        let mut switch = Process::spawn(switch, None)?;
        let console = switch.console();
        wait_for("vde_switch to listen", START, || {
            switch.check()?;
            Ok(socket.join("ctl").exists().then_some(()))
        })?;
        Ok(Box::new(Running { plugs: Vec::new(), switch, _console: console, socket }))
    }
}

struct Running {
    plugs: Vec<Process>,
    switch: Process,
    _console: Option<ChildStdin>,
    socket: PathBuf,
}

impl Switch for Running {
    fn attach(&mut self, netns: &Netns) -> Result<()> {
        let mut plug = command("vde_plug2tap", ["--sock"]);
        plug.arg(&self.socket).arg("eth0");
        let mut plug = Process::spawn(plug, Some(netns))?;
        let ready =
            format!("addr add {}/16 dev eth0\nlink set eth0 mtu {MTU} up\n", address(self.plugs.len()));
        wait_for("vde_plug2tap to make its TAP", START, || {
            plug.check()?;
            match netns.ip(&ready) {
                Err(Error::Command { said, .. }) if said.contains("Cannot find device") => Ok(None),
                other => other.map(Some),
            }
        })?;
        self.plugs.push(plug);
        Ok(())
    }

    fn processes(&self) -> Vec<u32> {
        self.plugs.iter().chain([&self.switch]).map(Process::id).collect()
    }

    fn check(&mut self) -> Result<()> {
        self.plugs.iter_mut().chain([&mut self.switch]).try_for_each(Process::check)
    }
}
