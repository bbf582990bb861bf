//! Open vSwitch with its userspace datapath as a host of an overlay network. It has a database and
//! daemons of its own in the host's namespace; an installed one is not touched.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;
use tests::{Background, Daemon, Netns, eventually, run};

use crate::overlay::{hosts, network, sleeper};

/// Where its package has the database's schema, and what it is called beside the programs otherwise.
const SCHEMA: (&str, &str) = ("/usr/share/openvswitch", "vswitch.ovsschema");
/// The host's end of the network.
const ADDRESS: &str = "10.0.0.200";

/// Open vSwitch on a host, in place of its kernel: `outer` has the wire, `inner` the tunnel.
struct OpenVswitch {
    host: Arc<Netns>,
    directory: TempDir,
    _daemons: [Background; 2],
}

impl OpenVswitch {
    fn start(host: &Arc<Netns>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let own = |program: &str, arguments: &[&str]| command(host, directory.path(), program, arguments);
        let file = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        let (database, socket) = (file("conf.db"), file("db.sock"));
        run(&mut own("ovsdb-tool", &["create", &database, &schema()])).ok();
        let listen = format!("--remote=punix:{socket}");
        let server = Background::start(&mut own("ovsdb-server", &[&database, &listen]));
        eventually("ovsdb-server to listen", || Path::new(&socket).exists().then_some(()));
        let switch = Background::start(&mut own("ovs-vswitchd", &[&format!("unix:{socket}")]));
        Self { host: host.clone(), directory, _daemons: [server, switch] }
    }

    /// Waits until it is done.
    fn set(&self, words: &str) {
        let remote = format!("--db=unix:{}", self.directory.path().join("db.sock").display());
        let words: Vec<&str> =
            ["--timeout=30", &remote].into_iter().chain(words.split_whitespace()).collect();
        run(&mut command(&self.host, self.directory.path(), "ovs-vsctl", &words)).ok();
    }
}

/// A command of Open vSwitch that keeps all its files in `directory`.
fn command(host: &Netns, directory: &Path, program: &str, arguments: &[&str]) -> Command {
    let mut own = host.command(program, arguments);
    for variable in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"] {
        own.env(variable, directory);
    }
    own
}

/// The schema of the installed database.
fn schema() -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::iter::once(SCHEMA.0.into())
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(SCHEMA.1))
        .find(|file| file.exists());
    let found = found.expect("Open vSwitch is missing: package openvswitch-switch, or tests/run.sh as root");
    found.to_str().unwrap().to_owned()
}

#[test]
fn open_vswitchs_userspace_datapath_is_a_peer() {
    let Some([one, two]) = hosts() else { return };
    // A program at the other end of a veth pair gets checksums that a card would still have filled in.
    for host in [&one, &two] {
        host.run("ethtool", &["-K", "wire", "tx", "off"]).ok();
    }
    let daemon = Daemon::start_in(&one, &[]);
    network(&daemon, "192.0.2.2", "10.0.0.0/25");

    let ovs = OpenVswitch::start(&two);
    // The tunnel's own packets go through the switch too: the wire and the host's address are its.
    ovs.set("add-br outer -- set bridge outer datapath_type=netdev -- add-port outer wire");
    two.run("ip", &["addr", "flush", "dev", "wire"]).ok();
    two.run("ip", &["addr", "add", "192.0.2.2/24", "dev", "outer"]).ok();
    two.run("ip", &["link", "set", "outer", "up"]).ok();
    ovs.set(
        "add-br inner -- set bridge inner datapath_type=netdev -- add-port inner tunnel -- set interface tunnel \
         type=vxlan options:remote_ip=192.0.2.1 options:key=42",
    );
    two.run("ip", &["addr", "add", &format!("{ADDRESS}/24"), "dev", "inner"]).ok();
    two.run("ip", &["link", "set", "inner", "mtu", "1450", "up"]).ok();

    let u1 = sleeper(&daemon, "u1");
    // Its first packets are lost while it asks who has the other host's address.
    eventually("the tunnel", || {
        let pinged = two.run("ping", &["-c", "1", "-W", "1", &u1]);
        (pinged.status == 0).then_some(())
    });
    two.run("ping", &["-c", "2", "-i", "0.2", "-W", "10", &u1]).ok();
    daemon.ping("u1", ADDRESS);
    for way in [&[][..], &["-R"]] {
        let mut server = Background::start(&mut two.command("iperf3", &["-s", "-1", "--forceflush"]));
        server.line(|line| line.contains("Server listening"));
        let words = ["iperf3", "-c", ADDRESS, "-n", "4M", "-J"];
        let sent = daemon.exec("u1", &[&words[..], way].concat()).ok();
        assert!(sent.contains("\"sum_received\""), "{sent}");
        server.end();
    }
}
