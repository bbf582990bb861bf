//! etcd, the store that hosts share, and a wire that joins hosts and store.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use tempfile::TempDir;

use crate::command::{Output, run};
use crate::netns::Netns;
use crate::wait::eventually;
use crate::{Daemon, is_root};

/// Where the members of the cluster are, on the underlay.
fn member_address(member: usize) -> String {
    format!("192.0.2.{}", 201 + member)
}

/// Hosts on one Ethernet, the underlay, and a cluster of etcd on it.
///
/// Each host is a network namespace; the underlay is another one, with a bridge of the kernel's in it.
pub struct Cluster {
    /// Host `n` has the address 192.0.2.`n + 1`.
    pub hosts: Vec<Arc<Netns>>,
    /// Where the hosts meet, and where etcd is.
    pub underlay: Arc<Netns>,
    members: Vec<Option<Child>>,
    dir: TempDir,
}

impl Cluster {
    /// So many hosts, and etcd with so many members, which answers. `None` where that cannot be had.
    ///
    /// # Panics
    /// When root cannot make them.
    pub fn start(hosts: usize, members: usize) -> Option<Self> {
        if !is_root() {
            eprintln!("skipped: only root joins network namespaces");
            return None;
        }
        let underlay = Arc::new(Netns::named());
        underlay.run("ip", &["link", "set", "lo", "up"]).ok();
        underlay.run("ip", &["link", "add", "br0", "type", "bridge"]).ok();
        underlay.run("ip", &["link", "set", "br0", "up"]).ok();
        for member in 0..members {
            let address = format!("{}/24", member_address(member));
            underlay.run("ip", &["addr", "add", &address, "dev", "br0"]).ok();
        }
        let host = |n: usize| {
            let host = Arc::new(Netns::named());
            let (path, port) = (host.path().to_str().unwrap_or_default().to_owned(), format!("port{n}"));
            let pair = ["link", "add", &port, "type", "veth", "peer", "name", "wire", "netns", &path];
            underlay.run("ip", &pair).ok();
            underlay.run("ip", &["link", "set", &port, "master", "br0", "up"]).ok();
            host.run("ip", &["addr", "add", &format!("192.0.2.{}/24", n + 1), "dev", "wire"]).ok();
            host.run("ip", &["link", "set", "lo", "up"]).ok();
            host.run("ip", &["link", "set", "wire", "up"]).ok();
            // A pair of veth leaves checksums to nobody: with this they are on the wire.
            host.run("ethtool", &["-K", "wire", "tx-checksum-ip-generic", "off"]).ok();
            host
        };
        let hosts = (0..hosts).map(host).collect();
        let dir = tempfile::Builder::new().prefix("vst-").tempdir().expect("a temporary directory");
        let mut cluster = Self { hosts, underlay, members: Vec::new(), dir };
        for member in 0..members {
            cluster.members.push(None);
            cluster.start_member(member, members);
        }
        cluster.until_it_answers();
        Some(cluster)
    }

    fn start_member(&mut self, member: usize, of: usize) {
        let url = |n: usize, port: u16| format!("http://{}:{port}", member_address(n));
        let all: Vec<String> = (0..of).map(|n| format!("m{n}={}", url(n, 2380))).collect();
        let data = self.dir.path().join(format!("m{member}"));
        let words = [
            ("--name", format!("m{member}")),
            ("--data-dir", data.display().to_string()),
            ("--listen-client-urls", url(member, 2379)),
            ("--advertise-client-urls", url(member, 2379)),
            ("--listen-peer-urls", url(member, 2380)),
            ("--initial-advertise-peer-urls", url(member, 2380)),
            ("--initial-cluster", all.join(",")),
            ("--log-level", "error".to_owned()),
        ];
        let words: Vec<String> =
            words.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        // It is not to outlive a test that does not get so far as to end it.
        let with = [&["--pdeathsig", "KILL", "--", "etcd"], words.as_slice()].concat();
        let mut command = self.underlay.command("setpriv", &with);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let place = self.members.get_mut(member).unwrap_or_else(|| panic!("there is no member {member}"));
        *place = Some(command.spawn().unwrap_or_else(|e| panic!("etcd cannot be started: {e}")));
    }

    /// Kills a member of etcd as nothing should be killed.
    pub fn kill_member(&mut self, member: usize) {
        if let Some(mut child) = self.members.get_mut(member).and_then(Option::take) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts a member again that was killed.
    pub fn start_member_again(&mut self, member: usize) {
        self.start_member(member, self.members.len());
    }

    /// Waits until etcd carries out what it is told.
    pub fn until_it_answers(&self) {
        eventually("etcd to answer", || (self.etcdctl(&["endpoint", "health"]).status == 0).then_some(()));
    }

    fn endpoints(&self) -> String {
        let all: Vec<String> =
            (0..self.members.len()).map(|n| format!("{}:2379", member_address(n))).collect();
        all.join(",")
    }

    /// The store, as a daemon is told of it.
    pub fn url(&self) -> String {
        format!("etcd://{}", self.endpoints())
    }

    /// Runs `etcdctl`.
    pub fn etcdctl(&self, words: &[&str]) -> Output {
        let endpoints = format!("--endpoints={}", self.endpoints());
        let mut command: Command = self.underlay.command("etcdctl", &[&[endpoints.as_str()], words].concat());
        command.env("ETCDCTL_API", "3");
        run(&mut command)
    }

    /// Every key below the prefix with its value.
    pub fn keys(&self) -> Vec<(String, String)> {
        let text = self.etcdctl(&["get", "--prefix", "/vswitch/"]).ok();
        let mut lines = text.lines();
        let mut all = Vec::new();
        while let (Some(key), Some(value)) = (lines.next(), lines.next()) {
            all.push((key.to_owned(), value.to_owned()));
        }
        all
    }

    /// Starts a daemon on a host, as node `nN`.
    pub fn node(&self, n: usize, more: &[&str]) -> Daemon {
        let (url, name) = (self.url(), format!("n{}", n + 1));
        let own = ["--store", &url, "--node", &name];
        Daemon::start_in(&self.hosts[n], &[&own, more].concat())
    }

    /// Cuts a host off from everybody, or joins it again.
    pub fn set_wire(&self, n: usize, up: bool) {
        let state = if up { "up" } else { "down" };
        self.underlay.run("ip", &["link", "set", &format!("port{n}"), state]).ok();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for member in 0..self.members.len() {
            self.kill_member(member);
        }
    }
}
