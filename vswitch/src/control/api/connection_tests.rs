//! Clients that take their time, say too much, or go away. Time stands still here until everybody waits.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::control::api::MAX_BODY;
use crate::control::net::request::NetworkCreateRequest;

const LIMITS: Limits = Limits {
    connections: 8,
    head: Duration::from_mins(1),
    body: Duration::from_mins(1),
    stall: Duration::from_mins(1),
};

struct Server {
    daemon: Arc<Daemon>,
    dir: TempDir,
}

impl Server {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let daemon = crate::control::api::fuzzing::daemon(dir.path()).unwrap();
        let listener = UnixListener::bind(dir.path().join("socket")).unwrap();
        tokio::spawn(serve(listener, daemon.clone(), LIMITS));
        Self { daemon, dir }
    }

    fn socket(&self) -> impl AsRef<Path> {
        self.dir.path().join("socket")
    }

    async fn client(&self) -> Client {
        Client { stream: UnixStream::connect(self.socket()).await.unwrap(), read: Vec::new() }
    }

    /// One request in full, one answer.
    async fn ask(&self, request: impl AsRef<[u8]>) -> Response {
        let mut client = self.client().await;
        client.write(request).await;
        client.response().await.expect("an answer")
    }
}

struct Client {
    stream: UnixStream,
    read: Vec<u8>,
}

#[derive(Debug)]
struct Response {
    status: u16,
    head: String,
    body: String,
}

impl Response {
    fn message(&self) -> String {
        let body: Value = serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"));
        body["message"].as_str().unwrap_or_else(|| panic!("{self:?}")).to_owned()
    }
}

impl Client {
    async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    async fn more(&mut self) -> bool {
        self.stream.read_buf(&mut self.read).await.unwrap_or(0) > 0
    }

    /// The next answer, unless the server closes first.
    async fn response(&mut self) -> Option<Response> {
        let end = loop {
            if let Some(at) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.more().await {
                return None;
            }
        };
        let head = String::from_utf8(self.read[..end].to_vec()).unwrap().to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |text| text.parse().unwrap());
        while self.read.len() < end + length {
            assert!(self.more().await, "cut off: {head}");
        }
        let body = String::from_utf8(self.read[end..end + length].to_vec()).unwrap();
        self.read.drain(..end + length);
        let status = head.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap();
        Some(Response { status, head, body })
    }

    /// Waits until the server has closed; what it said before that is passed over.
    async fn closed(&mut self) {
        while self.more().await {}
    }
}

fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

const PING: &str = "GET /_ping HTTP/1.1\r\nhost: x\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn a_head_that_never_ends_is_not_waited_for() {
    let server = Server::start();
    for beginning in ["", "G", "GET /_ping HTTP/1.1\r\nhost"] {
        let began = tokio::time::Instant::now();
        let mut client = server.client().await;
        client.write(beginning).await;
        client.closed().await;
        assert_eq!(began.elapsed().as_secs(), 60, "{beginning:?}");
    }
    // Not either when it comes drop by drop.
    let mut client = server.client().await;
    let began = tokio::time::Instant::now();
    for byte in PING.bytes() {
        tokio::time::sleep(Duration::from_secs(5)).await;
        if client.stream.write_all(&[byte]).await.is_err() {
            break;
        }
    }
    client.closed().await;
    assert!(began.elapsed().as_secs() <= 65);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_idle_between_requests_is_closed_too() {
    let server = Server::start();
    let mut client = server.client().await;
    client.write(PING).await;
    assert_eq!(client.response().await.unwrap().body, "OK");
    tokio::time::sleep(Duration::from_secs(50)).await;
    client.write(PING).await;
    assert_eq!(client.response().await.unwrap().body, "OK");
    client.closed().await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_not_waited_for() {
    let server = Server::start();
    let mut client = server.client().await;
    client.write(post("/networks/create", "{\"Name\": \"web\"}").trim_end_matches('}')).await;
    let answer = client.response().await.unwrap();
    assert_eq!((answer.status, answer.message().as_str()), (408, "the request body did not come in time"));
    client.closed().await;
    assert!(server.daemon.network("web").is_err());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_too_large_is_refused() {
    let server = Server::start();
    let sentence = "the request body is too large: 2097152 bytes are the most it may have";
    for path in ["/networks/create", "/networks/bridge/connect", "/vswitch/containers"] {
        for size in [MAX_BODY + 1, 3 * MAX_BODY, 5 * MAX_BODY] {
            let mut client = server.client().await;
            let (mut reader, mut writer) = client.stream.into_split();
            let body = post(path, &" ".repeat(size));
            // The server may stop listening in the middle.
            let writing = tokio::spawn(async move {
                let _ = writer.write_all(body.as_bytes()).await;
                writer
            });
            let mut read = Vec::new();
            while !read.ends_with(b"}") && reader.read_buf(&mut read).await.is_ok_and(|n| n > 0) {}
            client = Client { stream: reader.reunite(writing.await.unwrap()).unwrap(), read };
            let answer = client.response().await.unwrap();
            assert_eq!((answer.status, answer.message().as_str()), (413, sentence), "{path} {size}");
        }
    }
    // One that asks first is told before it sends anything.
    let head = format!(
        "{}expect: 100-continue\r\n\r\n",
        post("/networks/create", &" ".repeat(MAX_BODY + 1)).split_once("\r\n\r\n").unwrap().0.to_owned()
            + "\r\n"
    );
    assert_eq!(server.ask(head).await.status, 413);
    // Without a length, chunk by chunk.
    let mut client = server.client().await;
    client.write("POST /networks/create HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n").await;
    for _ in 0..=MAX_BODY / 0x8000 {
        client.write(format!("8000\r\n{}\r\n", " ".repeat(0x8000))).await;
    }
    client.write("0\r\n\r\n").await;
    assert_eq!(client.response().await.unwrap().status, 413);
    // The largest there may be is only not what it should be.
    let answer = server.ask(post("/networks/create", &" ".repeat(MAX_BODY))).await;
    assert_eq!((answer.status, answer.message().as_str()), (400, "got EOF while reading request body"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_reads_is_given_up() {
    let server = Server::start();
    let mut client = server.client().await;
    let info = "GET /info HTTP/1.1\r\nhost: x\r\n\r\n".repeat(100);
    // More than both buffers hold, so that writing stops too; it fails when the server gives up.
    while client.stream.write_all(info.as_bytes()).await.is_ok() {}
}

#[tokio::test(start_paused = true)]
async fn who_listens_for_events_may_be_silent_for_hours() {
    let server = Server::start();
    let mut client = server.client().await;
    client.write("GET /events HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(client.response().await.unwrap().status, 200);
    tokio::time::sleep(Duration::from_hours(10)).await;
    server.daemon.create_network(NetworkCreateRequest { name: "web".into(), ..Default::default() }).unwrap();
    while !client.read.windows(7).any(|seven| seven == b"\"create") {
        assert!(client.more().await);
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_goes_away_is_not_waited_for() {
    let server = Server::start();
    let mut client = server.client().await;
    client.write("GET /events HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(client.response().await.unwrap().status, 200);
    assert_eq!(server.daemon.events().listeners(), 1);
    drop(client);
    while server.daemon.events().listeners() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_said_all_and_closed_that_half_is_answered() {
    let server = Server::start();
    let mut client = server.client().await;
    client.write(PING.repeat(3)).await;
    client.stream.shutdown().await.unwrap();
    for _ in 0..3 {
        assert_eq!(client.response().await.unwrap().body, "OK");
    }
    assert!(client.response().await.is_none());
    // A listener with one half is a listener, and without both is none.
    let mut client = server.client().await;
    client.write("GET /events HTTP/1.1\r\nhost: x\r\n\r\n").await;
    client.stream.shutdown().await.unwrap();
    assert_eq!(client.response().await.unwrap().status, 200);
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert_eq!(server.daemon.events().listeners(), 1);
    drop(client);
    while server.daemon.events().listeners() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Half a request, and then nothing ever.
    let mut client = server.client().await;
    client.write("GET /_pi").await;
    client.stream.shutdown().await.unwrap();
    client.closed().await;
}

#[tokio::test(start_paused = true)]
async fn requests_that_come_all_at_once_are_answered_in_their_order() {
    let server = Server::start();
    let mut client = server.client().await;
    let all: Vec<String> =
        (0..300).map(|n| format!("GET /networks/n{n} HTTP/1.1\r\nhost: x\r\n\r\n")).collect();
    client.write(all.concat()).await;
    for n in 0..300 {
        assert_eq!(client.response().await.unwrap().message(), format!("network n{n} not found"));
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_nothing_makes_room_for_who_asks() {
    let server = Server::start();
    let mut listener = server.client().await;
    listener.write("GET /events HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(listener.response().await.unwrap().status, 200);
    let began = tokio::time::Instant::now();
    for asks in [true, false] {
        let mut idle = Vec::new();
        for _ in 0..5 * LIMITS.connections {
            let mut client = server.client().await;
            if asks {
                client.write(PING).await;
                assert_eq!(client.response().await.unwrap().body, "OK");
            } else {
                client.write("GET /_pi").await;
            }
            idle.push(client);
        }
        assert_eq!(server.ask(PING).await.body, "OK");
        idle[0].closed().await;
        let last = idle.last_mut().unwrap();
        last.write(if asks { PING } else { "ng HTTP/1.1\r\nhost: x\r\n\r\n" }).await;
        assert_eq!(last.response().await.unwrap().body, "OK");
    }
    // Who waits for an answer has not been closed, and nobody has waited.
    assert_eq!(server.daemon.events().listeners(), 1);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_place_that_is_given_back_is_the_next_ones() {
    let server = Server::start();
    let mut listeners = Vec::new();
    for _ in 0..LIMITS.connections {
        let mut client = server.client().await;
        client.write("GET /events HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert_eq!(client.response().await.unwrap().status, 200);
        listeners.push(client);
    }
    let mut waiting = server.client().await;
    waiting.write(PING).await;
    assert!(tokio::time::timeout(Duration::from_hours(1), waiting.response()).await.is_err());
    listeners.pop();
    assert_eq!(waiting.response().await.unwrap().body, "OK");
}

#[tokio::test(start_paused = true)]
async fn heads_that_are_too_large_are_refused() {
    let server = Server::start();
    let many = (0..1000).fold(String::new(), |text, n| text + &format!("x-{n}: y\r\n"));
    let long = format!("x: {}\r\n", "y".repeat(100_000));
    for headers in [many, long] {
        let mut client = server.client().await;
        let _ = client
            .stream
            .write_all(format!("GET /_ping HTTP/1.1\r\nhost: x\r\n{headers}\r\n").as_bytes())
            .await;
        assert_eq!(client.response().await.unwrap().status, 431);
    }
    let mut client = server.client().await;
    let _ = client
        .stream
        .write_all(format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "y".repeat(100_000)).as_bytes())
        .await;
    assert!([414, 431].contains(&client.response().await.unwrap().status));
    // A list of many names is no flood.
    let names: Vec<String> = (0..500).map(|n| format!("%22{n:064}%22")).collect();
    let filters = format!("%7B%22id%22:%5B{}%5D%7D", names.join(","));
    let answer = server.ask(format!("GET /networks?filters={filters} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "[]"));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_http_is_refused() {
    let server = Server::start();
    for rubbish in [
        "\r\n\r\nhello\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /\u{1} HTTP/1.1\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        "POST / HTTP/1.1\r\ntransfer-encoding: chunked, x\r\n\r\n",
    ] {
        let mut client = server.client().await;
        client.write(rubbish).await;
        // Either in so many words or by closing.
        if let Some(answer) = client.response().await {
            assert_eq!(answer.status, 400, "{rubbish:?}: {answer:?}");
        }
        client.closed().await;
    }
    assert_eq!(server.ask(PING).await.body, "OK");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_not_found_in_dockers_words() {
    let server = Server::start();
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/nowhere"),
        ("GET", "/v1.41/images/json"),
        ("POST", "/v1.41"),
        ("PUT", "/networks"),
        ("PATCH", "/networks/create"),
        ("DELETE", "/_ping"),
        ("FOO", "/info"),
        ("OPTIONS", "*"),
        ("GET", "/networks/"),
        ("GET", "/networks/a/b/c"),
        ("GET", "//info"),
        ("TRACE", "/info"),
        ("GET", "/info/"),
        ("GET", "/INFO"),
    ] {
        let answer = server.ask(format!("{method} {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
        assert_eq!((answer.status, answer.message().as_str()), (404, "page not found"), "{method} {path}");
        assert!(answer.head.contains("content-type: application/json"), "{answer:?}");
        assert!(answer.head.contains("\r\napi-version: 1.41\r\n"), "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_must_say_what_it_is_and_be_it() {
    let server = Server::start();
    let plain = |kind: &str, body: &str| {
        format!(
            "POST /networks/create HTTP/1.1\r\nhost: x\r\n{kind}content-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let json = "content-type: Application/JSON; charset=utf-8\r\n";
    for (request, sentence) in [
        (plain("", "{}"), "Content-Type specified () must be 'application/json'"),
        (
            plain("content-type: text/plain\r\n", "{}"),
            "Content-Type specified (text/plain) must be 'application/json'",
        ),
        (plain("", ""), "got EOF while reading request body"),
        (plain(json, " \n"), "got EOF while reading request body"),
        (plain(json, "{\"Name\": \"b d\"}"), "invalid name: b d"),
    ] {
        let answer = server.ask(request).await;
        assert_eq!((answer.status, answer.message().as_str()), (400, sentence));
    }
    let deep = "[".repeat(100_000);
    for body in [
        "{",
        "null",
        "[]",
        "3",
        "\"x\"",
        "{\"Name\": 3}",
        "{\"Name\": \"x\"} x",
        "{\"IPAM\": []}",
        "{\"Labels\": [1]}",
        deep.as_str(),
        "{\"Name\": \"\\ud800\"}",
        "{\"Name\": \"x\", \"EnableIPv6\": \"yes\"}",
    ] {
        for path in [
            "/networks/create",
            "/networks/bridge/connect",
            "/networks/bridge/disconnect",
            "/vswitch/containers",
            "/vswitch/bridges/bridge/fdb",
            "/vswitch/bridges/bridge/ageing",
        ] {
            let answer = server.ask(post(path, body)).await;
            // Two of the calls take less notice of names that are not theirs, as Docker's.
            let not_found = answer.status == 404 && path.ends_with("connect");
            assert!(answer.status == 400 || not_found, "{path} {body}: {answer:?}");
            assert!(!answer.message().is_empty());
        }
    }
    assert_eq!(server.daemon.networks().len(), 3);
    assert_eq!(server.daemon.views().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn paths_and_queries_are_checked() {
    let server = Server::start();
    for (path, status) in [
        ("/containers/%ff/json", 400),
        ("/containers/%00/json", 404),
        ("/containers/%2e%2e%2fx/json", 404),
        ("/networks/a%2fb", 404),
        ("/containers/json?limit=many", 400),
        ("/containers/json?limit=99999999999999999999", 400),
        ("/containers/json?limit=-1", 200),
        ("/containers/json?filters=%7B", 400),
        ("/containers/json?filters=%zz", 400),
        ("/containers/json?all=1&all=0&all", 200),
        ("/containers/json?filters=%7B%22since%22:%5B%22nobody%22%5D%7D", 404),
        ("/networks?filters=%7B%22x%22:%5B%22y%22%5D%7D", 400),
        ("/networks?&&=&x=y", 200),
        ("/events?since=yesterday", 400),
        ("/events?until=1&since=0", 200),
        ("/vswitch/capture?snaplen=-1", 400),
        ("/vswitch/capture?filter=tcp%20port%20nowhere%20and", 400),
        ("/vswitch/capture?on=nobody", 404),
        ("/vswitch/ports/", 404),
    ] {
        let answer = server.ask(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        assert!(status == 200 || !answer.message().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn head_is_get_without_the_body() {
    let server = Server::start();
    let mut client = server.client().await;
    client.write("HEAD /_ping HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    client.closed().await;
    let said = String::from_utf8(client.read).unwrap().to_ascii_lowercase();
    assert!(said.starts_with("http/1.1 200 ok\r\n") && said.ends_with("\r\n\r\n"), "{said}");
    assert!(said.contains("content-length: 2\r\n") && said.contains("ostype: linux\r\n"), "{said}");
}
