//! Against etcd itself, where it is installed.

use std::path::Path;

use super::server::{Server, free_port};
use super::*;
use crate::control::kv::contract;

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
    let kv = Etcd::new(&address.parse().unwrap(), None, None).unwrap();
    kv.commit(&[], &put("/k", "1")).await.unwrap();
    // From now on it is the first to be asked.
    assert_eq!(kv.current.load(Relaxed) % 3, 2);
    let alone = Etcd::new(&format!("etcd://127.0.0.1:{silent_port}").parse().unwrap(), None, None).unwrap();
    let refused = tokio::time::timeout(PATIENCE * 2, alone.list("/")).await.unwrap();
    assert!(matches!(refused, Err(KvError::Unreachable(why)) if why.contains("no answer")));
    // Where none answers, the sentence names all of them.
    let ports = [silent_port, free_port(), silent_port];
    let nobody = format!("etcd://127.0.0.1:{},127.0.0.1:{},localhost:{}", ports[0], ports[1], ports[2]);
    let refused =
        Etcd::new(&nobody.parse().unwrap(), None, None).unwrap().list("/").await.unwrap_err().to_string();
    let all = [format!("127.0.0.1:{}: no answer within", ports[0]), format!("127.0.0.1:{}: ", ports[1])];
    for part in all.iter().chain(&[format!("localhost:{}: ", ports[2])]) {
        assert!(refused.contains(part), "{refused}");
    }
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
    assert!(
        matches!(&refused, KvError::Refused(why) if why.contains("it wants a user and a password")),
        "{refused}"
    );
    let refused = server.kv(with("wrong")).list("/").await.unwrap_err();
    assert!(
        matches!(&refused, KvError::Refused(why) if why.contains("the user \"root\" or the password is wrong")),
        "{refused}"
    );
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
    let kv = Etcd::new(&format!("etcd://127.0.0.1:{port}").parse().unwrap(), None, None).unwrap();
    assert!(matches!(kv.list("/").await, Err(KvError::Unreachable(why)) if why.contains("not etcd's way")));
    assert!(matches!(kv.list("/").await, Err(KvError::Malformed(_))));
    server.join().unwrap();
}

/// Files of an authority, a member and a client.
struct Papers {
    dir: tempfile::TempDir,
}

impl Papers {
    fn new() -> Self {
        let papers = Self { dir: tempfile::tempdir().unwrap() };
        let authority = |name: &str| {
            let key = rcgen::KeyPair::generate().unwrap();
            let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            papers.write(&format!("{name}.pem"), &params.self_signed(&key).unwrap().pem());
            rcgen::Issuer::new(params, key)
        };
        let trusted = authority("authority");
        authority("stranger");
        for (name, host) in [("member", "127.0.0.1"), ("client", "node1")] {
            let key = rcgen::KeyPair::generate().unwrap();
            let mut params = rcgen::CertificateParams::new(vec![host.into()]).unwrap();
            // The gateway in etcd is a client of etcd itself.
            params.extended_key_usages =
                vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth, rcgen::ExtendedKeyUsagePurpose::ClientAuth];
            papers.write(&format!("{name}.pem"), &params.signed_by(&key, &trusted).unwrap().pem());
            papers.write(&format!("{name}.key"), &key.serialize_pem());
        }
        papers
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn tls(&self, authority: &str, identity: bool) -> Tls {
        let (certificate, key) = (self.path("client.pem"), self.path("client.key"));
        let identity = identity.then_some((certificate.as_path(), key.as_path()));
        Tls::load(&self.path(authority), identity).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_behind_tls_keeps_its_promises_to_those_it_knows() {
    let papers = Papers::new();
    let file = |name: &str| papers.path(name).display().to_string();
    let words = [
        ["--cert-file".to_owned(), file("member.pem")],
        ["--key-file".to_owned(), file("member.key")],
        ["--trusted-ca-file".to_owned(), file("authority.pem")],
    ];
    let mut words = words.concat();
    words.push("--client-cert-auth".into());
    let Some(server) = Server::start_with(Some((words, papers.tls("authority.pem", true)))).await else {
        return;
    };
    contract::keeps_its_promises(&server.kv(None)).await;

    let port = server.client;
    let refused = async |url: &str, tls: Option<Tls>| {
        let kv = Etcd::new(&format!("{url}:{port}").parse().unwrap(), tls, None).unwrap();
        let Err(KvError::Unreachable(why)) = kv.list("/").await else { panic!("it answers {url}") };
        why
    };
    let stranger = refused("etcds://127.0.0.1", Some(papers.tls("stranger.pem", true))).await;
    assert!(stranger.contains("TLS fails") && stranger.contains("UnknownIssuer"), "{stranger}");
    let other_name = refused("etcds://localhost", Some(papers.tls("authority.pem", true))).await;
    assert!(other_name.contains("not valid for name"), "{other_name}");
    let nobody = refused("etcds://127.0.0.1", Some(papers.tls("authority.pem", false))).await;
    assert!(nobody.contains("127.0.0.1"), "{nobody}");
    let plain = refused("etcd://127.0.0.1", None).await;
    assert!(plain.contains("if it wants TLS"), "{plain}");
}

#[test]
fn files_that_do_not_do_are_named() {
    let papers = Papers::new();
    papers.write("empty.pem", "");
    let load = |ca: &str, certificate: &str, key: &str| {
        let (certificate, key) = (papers.path(certificate), papers.path(key));
        Tls::load(&papers.path(ca), Some((Path::new(&certificate), Path::new(&key)))).unwrap_err().to_string()
    };
    let missing = load("none.pem", "client.pem", "client.key");
    assert!(missing.contains("none.pem: No such file"), "{missing}");
    let empty = load("empty.pem", "client.pem", "client.key");
    assert!(empty.contains("empty.pem: there is no certificate in it"), "{empty}");
    let no_key = load("authority.pem", "client.pem", "client.pem");
    assert!(no_key.contains("client.pem: there is no private key in it"), "{no_key}");
    let other = load("authority.pem", "client.pem", "member.key");
    assert!(other.contains("do not go together"), "{other}");
}

#[test]
fn the_address_and_what_is_known_of_tls_go_together() {
    let papers = Papers::new();
    let with = |address: &str, tls| Etcd::new(&address.parse().unwrap(), tls, None).map(|_| ());
    let tls = || Some(papers.tls("authority.pem", false));
    assert!(matches!(with("etcds://127.0.0.1:1", None), Err(TlsError::Missing)));
    assert!(matches!(with("etcd://127.0.0.1:1", tls()), Err(TlsError::Unwanted)));
    assert!(with("etcds://127.0.0.1:1", tls()).is_ok() && with("etcd://127.0.0.1:1", None).is_ok());
}
