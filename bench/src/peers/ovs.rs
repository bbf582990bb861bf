//! Open vSwitch with its userspace datapath, with a database and daemons of its own: an installed one is not touched.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{MTU, Peer, Switch, address};
use crate::error::Result;
use crate::netns::{Netns, batch};
use crate::process::{Process, command, installed, output, wait_for};

const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// Open vSwitch's userspace datapath.
pub(crate) struct OpenVswitch;

impl Peer for OpenVswitch {
    fn name(&self) -> &'static str {
        "ovs"
    }

    fn description(&self) -> String {
        format!(
            "Open vSwitch {}, userspace datapath (datapath_type=netdev), internal ports",
            Daemons::version()
        )
    }

    fn lacks(&self) -> Option<String> {
        Daemons::lack()
    }

    fn start(&self, directory: &Path, tag: &str) -> Result<Box<dyn Switch>> {
        let mut daemons = Daemons::start(None, directory)?;
        let bridge = format!("{tag}-ov");
        // ovs-vsctl waits until the daemon has made the bridge.
        daemons.vsctl(&["add-br", &bridge, "--", "set", "bridge", &bridge, "datapath_type=netdev"])?;
        daemons.check()?;
        Ok(Box::new(Running { daemons, bridge, ports: 0 }))
    }
}

const START: Duration = Duration::from_secs(15);

/// A command of Open vSwitch that keeps all its files in `directory`.
fn own(directory: &Path, program: &str, arguments: &[&std::ffi::OsStr]) -> std::process::Command {
    let mut own = command(program, arguments);
    for variable in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"] {
        own.env(variable, directory);
    }
    own
}

/// Open vSwitch's database and daemon. Dropping them ends them.
pub(crate) struct Daemons {
    daemon: Process,
    server: Process,
    directory: PathBuf,
    remote: String,
}

impl Daemons {
    /// Its version.
    pub(crate) fn version() -> String {
        let version = output(command("ovs-vswitchd", ["--version"]), None).unwrap_or_default();
        version.lines().next().unwrap_or_default().replace("ovs-vswitchd (Open vSwitch) ", "")
    }

    /// What it lacks to run on this machine.
    pub(crate) fn lack() -> Option<String> {
        let missing = ["ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl"]
            .into_iter()
            .find(|name| !installed(name));
        match missing {
            Some(name) => Some(format!("`{name}` is not installed (package openvswitch-switch)")),
            None => (!Path::new(SCHEMA).exists()).then(|| format!("there is no {SCHEMA}")),
        }
    }

    /// Starts it in `netns`, or here, with all its files in `directory`.
    pub(crate) fn start(netns: Option<&Netns>, directory: &Path) -> Result<Self> {
        let file = |name: &str| directory.join(name);
        let database = file("conf.db");
        let socket = file("db.sock");
        output(own(directory, "ovsdb-tool", &["create".as_ref(), database.as_ref(), SCHEMA.as_ref()]), None)?;
        let listen = format!("--remote=punix:{}", socket.display());
        let server = own(directory, "ovsdb-server", &[database.as_ref(), listen.as_ref()]);
        let mut server = Process::spawn(server, netns)?;
        wait_for("ovsdb-server to listen", START, || {
            server.check()?;
            Ok(socket.exists().then_some(()))
        })?;
        let remote = format!("unix:{}", socket.display());
        let daemon = Process::spawn(own(directory, "ovs-vswitchd", &[remote.as_ref()]), netns)?;
        Ok(Self { daemon, server, directory: directory.to_owned(), remote })
    }

    /// Runs `ovs-vsctl`, which waits until the daemon has done what it says.
    pub(crate) fn vsctl(&self, arguments: &[&str]) -> Result<()> {
        let mut all = vec!["--timeout=15".to_owned(), format!("--db={}", self.remote)];
        all.extend(arguments.iter().map(|&argument| argument.to_owned()));
        let all: Vec<&std::ffi::OsStr> = all.iter().map(AsRef::as_ref).collect();
        output(own(&self.directory, "ovs-vsctl", &all), None).map(drop)
    }

    /// The ids of its processes.
    pub(crate) fn processes(&self) -> Vec<u32> {
        vec![self.daemon.id(), self.server.id()]
    }

    /// Fails when one of its processes has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.server.check()?;
        self.daemon.check()
    }
}

struct Running {
    daemons: Daemons,
    bridge: String,
    ports: usize,
}

impl Switch for Running {
    fn attach(&mut self, netns: &Netns) -> Result<()> {
        let port = format!("{}{}", self.bridge, self.ports);
        let address = address(self.ports);
        self.ports += 1;
        self.daemons.vsctl(&[
            "add-port",
            &self.bridge,
            &port,
            "--",
            "set",
            "interface",
            &port,
            "type=internal",
        ])?;
        batch(None, &format!("link set {port} netns {} name eth0\n", netns.name()))?;
        netns.ip(&format!("addr add {address}/16 dev eth0\nlink set eth0 mtu {MTU} up\n"))
    }

    fn processes(&self) -> Vec<u32> {
        self.daemons.processes()
    }

    fn check(&mut self) -> Result<()> {
        self.daemons.check()
    }

    fn learned(&self) -> Result<Option<usize>> {
        let Daemons { daemon, directory, .. } = &self.daemons;
        let socket = directory.join(format!("ovs-vswitchd.{}.ctl", daemon.id()));
        let socket = socket.to_str().unwrap_or_default();
        let arguments: [&std::ffi::OsStr; 4] =
            ["-t".as_ref(), socket.as_ref(), "fdb/show".as_ref(), self.bridge.as_ref()];
        let table = output(own(directory, "ovs-appctl", &arguments), None)?;
        Ok(Some(table.lines().count().saturating_sub(1)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Takes its TAPs along while the daemon is there to do so; the daemons end right after, by their ids.
        let _ = self.daemons.vsctl(&["--if-exists", "del-br", &self.bridge]);
    }
}
