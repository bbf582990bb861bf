//! Against etcd itself, where it is installed.

use std::process::{Child, Command, Stdio};

use super::*;
use crate::control::kv::contract;

/// A member on free ports of this machine. It ends with this value.
struct Server {
    child: Option<Child>,
    dir: tempfile::TempDir,
    client: u16,
    peer: u16,
}

fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

impl Server {
    /// Starts one and waits until it answers; `None` where there is no etcd.
    async fn start() -> Option<Self> {
        let installed = std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join("etcd").is_file()));
        if !installed {
            eprintln!("skipped: etcd is not installed");
            return None;
        }
        let (dir, client, peer) = (tempfile::tempdir().unwrap(), free_port(), free_port());
        let mut server = Self { child: None, dir, client, peer };
        server.start_again().await;
        Some(server)
    }

    async fn start_again(&mut self) {
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let mut etcd = Command::new("etcd");
        etcd.arg("--data-dir").arg(self.dir.path().join("data"));
        etcd.args(["--listen-client-urls", &url(self.client), "--advertise-client-urls", &url(self.client)]);
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

    fn kv(&self, credentials: Option<Credentials>) -> Etcd {
        Etcd::new(&format!("etcd://127.0.0.1:{}", self.client).parse().unwrap(), credentials)
    }

    fn etcdctl(&self, words: &[&str]) -> String {
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").arg("--endpoints").arg(format!("127.0.0.1:{}", self.client));
        let output = command.args(words).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn kill(&mut self) {
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

fn put(key: &str, value: &str) -> [Change; 1] {
    [Change::Put { key: key.into(), value: value.into(), lease: None }]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_keeps_its_promises() {
    let Some(server) = Server::start().await else { return };
    let kv = server.kv(None);
    contract::keeps_its_promises(&kv).await;
    // What a person reads there is what was written, and the other way round.
    kv.commit(&[], &put("/c/a", "{\"name\":\"web\"}")).await.unwrap();
    assert_eq!(server.etcdctl(&["get", "/c/a"]), "/c/a\n{\"name\":\"web\"}\n");
    server.etcdctl(&["put", "/c/b", "by hand"]);
    let all = kv.list("/c/").await.unwrap();
    assert_eq!(all.entries[1].value, b"by hand");
    // A watch that begins where etcd has forgotten.
    server.etcdctl(&["compact", &all.revision.to_string()]);
    let mut watch = kv.watch("/c/", 1).await.unwrap();
    assert_eq!(watch.recv().await, Some(Err(KvError::Compacted(1))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etcd_that_dies_is_missed_in_time_and_found_again() {
    let Some(mut server) = Server::start().await else { return };
    let kv = server.kv(None);
    kv.commit(&[], &put("/k", "1")).await.unwrap();
    let mut watch = kv.watch("/", 0).await.unwrap();
    assert_eq!(watch.recv().await.unwrap().unwrap().len(), 1);
    server.kill();
    assert!(matches!(watch.recv().await, Some(Err(KvError::Unreachable(_)))));
    assert!(watch.recv().await.is_none());
    assert!(matches!(kv.commit(&[], &put("/k", "2")).await, Err(KvError::Unreachable(_))));
    server.start_again().await;
    assert_eq!(kv.list("/k").await.unwrap().entries[0].value, b"1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_does_not_answer_is_passed_over() {
    let Some(server) = Server::start().await else { return };
    // One that takes connections and says nothing, one that is not there.
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let address =
        format!("etcd://127.0.0.1:{silent_port},127.0.0.1:{},127.0.0.1:{}", free_port(), server.client);
    let kv = Etcd::new(&address.parse().unwrap(), None);
    kv.commit(&[], &put("/k", "1")).await.unwrap();
    // From now on it is the first to be asked.
    assert_eq!(kv.current.load(Relaxed) % 3, 2);
    let alone = Etcd::new(&format!("etcd://127.0.0.1:{silent_port}").parse().unwrap(), None);
    let refused = tokio::time::timeout(PATIENCE * 2, alone.list("/")).await.unwrap();
    assert!(matches!(refused, Err(KvError::Unreachable(why)) if why.contains("no answer")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_asked_for_and_a_lost_token_is_renewed() {
    let Some(server) = Server::start().await else { return };
    for words in
        [&["user", "add", "root:right"][..], &["user", "grant-role", "root", "root"], &["auth", "enable"]]
    {
        server.etcdctl(words);
    }
    let with = |password: &str| Some(Credentials { user: "root".into(), password: password.into() });
    let refused = server.kv(None).list("/").await.unwrap_err();
    assert!(matches!(&refused, KvError::Refused(why) if why.contains("user name is empty")), "{refused}");
    let refused = server.kv(with("wrong")).list("/").await.unwrap_err();
    assert!(matches!(&refused, KvError::Refused(why) if why.contains("authentication failed")), "{refused}");
    let kv = server.kv(with("right"));
    kv.commit(&[], &put("/k", "1")).await.unwrap();
    let _watch = kv.watch("/", 0).await.unwrap();
    *kv.token.lock() = Some("worthless.1".into());
    assert_eq!(kv.list("/k").await.unwrap().entries.len(), 1);
    assert!(!format!("{:?}", kv.credentials).contains("right"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_etcd_is_said_not_to_be() {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let answers = [
        "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
    ];
    let server = std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let kv = Etcd::new(&format!("etcd://127.0.0.1:{port}").parse().unwrap(), None);
    assert!(matches!(kv.list("/").await, Err(KvError::Unreachable(why)) if why.contains("not etcd's way")));
    assert!(matches!(kv.list("/").await, Err(KvError::Malformed(_))));
    server.join().unwrap();
}
