//! Open vSwitch's userspace datapath as a host, with a database and daemons of its own.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use super::net::{Netns, Running, eventually, run};

const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// A running Open vSwitch. Its daemons end with this value.
pub struct OpenVswitch {
    directory: tempfile::TempDir,
    host: String,
    _daemons: [Running; 2],
}

impl OpenVswitch {
    /// Starts it in `host`; `None` where it is not installed.
    pub fn start(host: &Netns) -> Option<Self> {
        if !Path::new(SCHEMA).exists() {
            eprintln!("skipped: Open vSwitch is not installed");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        run(&mut own(directory.path(), host.name(), &["ovsdb-tool", "create", &at("conf.db"), SCHEMA]));
        let daemon = |words: &[&str]| {
            let mut command = own(directory.path(), host.name(), words);
            Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
        };
        let listen = format!("--remote=punix:{}", at("db.sock"));
        let server = daemon(&["ovsdb-server", &at("conf.db"), &listen]);
        eventually("ovsdb-server listens", || Path::new(&at("db.sock")).exists().then_some(()));
        let switch = daemon(&["ovs-vswitchd", &format!("unix:{}", at("db.sock"))]);
        Some(Self { directory, host: host.name().to_owned(), _daemons: [server, switch] })
    }

    /// `ovs-vsctl` with these words. It waits until the daemon has done what it says.
    pub fn vsctl(&self, words: &str) {
        let db = format!("--db=unix:{}", self.directory.path().join("db.sock").display());
        let mut all = vec!["ovs-vsctl", "--timeout=15", &db];
        all.extend(words.split_whitespace());
        run(&mut own(self.directory.path(), &self.host, &all));
    }
}

/// A command of Open vSwitch that keeps all its files in `directory`.
fn own(directory: &Path, host: &str, words: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", host]).args(words);
    for variable in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"] {
        command.env(variable, directory);
    }
    command
}
