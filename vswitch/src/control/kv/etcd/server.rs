//! An etcd of a test's own, where it is installed.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use super::{Credentials, Etcd, Tls};
use crate::control::kv::{Kv, KvError};

/// A member on free ports of this machine. It ends with this value.
pub(crate) struct Server {
    child: Option<Child>,
    dir: tempfile::TempDir,
    pub(super) client: u16,
    peer: u16,
    /// How its clients are told of TLS, if they are.
    tls: Option<(Vec<String>, Tls)>,
}

pub(super) fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

impl Server {
    /// Starts one and waits until it answers; `None` where there is no etcd.
    pub(crate) async fn start() -> Option<Self> {
        Self::start_with(None).await
    }

    /// The same behind TLS: what etcd is told of it, and what its clients are.
    pub(super) async fn start_with(tls: Option<(Vec<String>, Tls)>) -> Option<Self> {
        let installed = std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join("etcd").is_file()));
        if !installed {
            eprintln!("skipped: etcd is not installed");
            return None;
        }
        let (dir, client, peer) = (tempfile::tempdir().unwrap(), free_port(), free_port());
        let mut server = Self { child: None, dir, client, peer, tls };
        server.start_again().await;
        Some(server)
    }

    pub(super) async fn start_again(&mut self) {
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let mut etcd = Command::new("etcd");
        etcd.arg("--data-dir").arg(self.dir.path().join("data"));
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let clients = format!("{scheme}://127.0.0.1:{}", self.client);
        etcd.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
        etcd.args(self.tls.iter().flat_map(|(words, _)| words));
        etcd.args(["--listen-peer-urls", &url(self.peer), "--initial-advertise-peer-urls", &url(self.peer)]);
        etcd.args(["--initial-cluster", &format!("default={}", url(self.peer)), "--log-level", "error"]);
        etcd.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(etcd.spawn().unwrap());
        let end = Instant::now() + Duration::from_mins(1);
        let kv = self.kv(None);
        while let Err(error) = kv.list("/").await {
            if matches!(error, KvError::Refused(_)) {
                return;
            }
            assert!(Instant::now() < end, "{error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) fn kv(&self, credentials: Option<Credentials>) -> Etcd {
        let scheme = if self.tls.is_some() { "etcds" } else { "etcd" };
        let address = format!("{scheme}://127.0.0.1:{}", self.client).parse().unwrap();
        Etcd::new(&address, self.tls.as_ref().map(|(_, tls)| tls.clone()), credentials).unwrap()
    }

    pub(super) fn etcdctl(&self, words: &[&str]) -> String {
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").arg("--endpoints").arg(format!("127.0.0.1:{}", self.client));
        let output = command.args(words).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
