//! The server, whose every answer is checked against the file.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use futures_util::stream;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use serde_json::Value;
use tempfile::TempDir;
use vswitch::control::api::{Api, ClientPid, fuzzing};
use vswitch::control::daemon::Daemon;

use crate::document::{find, schemas};

/// A daemon whose containers have no processes.
pub struct Server {
    pub daemon: Arc<Daemon>,
    api: Api,
    /// Which operation gave which status.
    pub seen: Mutex<BTreeSet<(&'static str, u16)>>,
    _dir: TempDir,
}

impl Server {
    pub fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let daemon = fuzzing::daemon(dir.path()).expect("a daemon");
        let api = Api::new(daemon.clone(), Duration::from_millis(100));
        Self { daemon, api, seen: Mutex::default(), _dir: dir }
    }

    /// One request; its answer must be one that the file promises.
    pub async fn send(&self, method: &str, uri: &str, body: Body) -> (u16, Value) {
        let operation = find(method, uri);
        let request = Request::builder().method(method).uri(uri).header("content-type", "application/json");
        let request = request.body(body).unwrap_or_else(|e| panic!("{uri}: {e}"));
        let response = self.api.call(request, ClientPid(None)).await;
        let status = response.status().as_u16();
        let what = format!("{method} {uri}: {status}");
        let kind = response.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
        // A stream that goes on is left after its first piece.
        let endless = ["/vswitch/capture", "/vswitch/nat/events"].iter().any(|path| uri.starts_with(path));
        let bytes = if endless && status == 200 {
            Vec::new()
        } else {
            response.into_body().collect().await.expect("a body").to_bytes().to_vec()
        };
        let text = String::from_utf8_lossy(&bytes);
        let content =
            operation.answers.get(&status).unwrap_or_else(|| panic!("{what} is not described: {text}"));
        self.seen.lock().insert((operation.id, status));
        if content.is_empty() {
            assert_eq!((kind, text.as_ref()), (None, ""), "{what}");
            return (status, Value::Null);
        }
        let kind = kind.as_deref().unwrap_or("application/octet-stream");
        let kind = kind.split(';').next().unwrap_or_default();
        let schema = content.get(kind).unwrap_or_else(|| panic!("{what} gives {kind}: {text}"));
        if schema.is_null() {
            return (status, Value::Null);
        }
        let mut last = Value::Null;
        // Events are an object a line, all else is one.
        let by_line = ["events", "flowEvents"].contains(&operation.id);
        let lines: Vec<&str> = if by_line { text.lines().collect() } else { vec![text.as_ref()] };
        for line in lines {
            last = match kind {
                "application/json" => {
                    serde_json::from_str(line).unwrap_or_else(|e| panic!("{what}: {e}: {line}"))
                }
                _ => Value::String(line.to_owned()),
            };
            let wrong = schemas().check(schema, &last, true);
            assert!(wrong.is_empty(), "{what}: {wrong:#?}");
        }
        (status, last)
    }

    /// A request with JSON, which must be as the file says if the server takes it.
    pub async fn json(&self, method: &str, uri: &str, body: &Value) -> (u16, Value) {
        let (status, answer) = self.send(method, uri, Body::from(body.to_string())).await;
        let described = find(method, uri).body.as_ref().expect("an operation with a body");
        let wrong = schemas().check(schemas().follow(described.schema), body, true);
        assert!(status >= 300 || wrong.is_empty(), "{method} {uri} was taken: {wrong:#?}");
        (status, answer)
    }

    /// A request without a body, and its status.
    pub async fn expect(&self, status: u16, method: &str, uri: &str) -> Value {
        let (given, answer) = self.send(method, uri, Body::empty()).await;
        assert_eq!(given, status, "{method} {uri}: {answer}");
        answer
    }

    /// The same with JSON.
    pub async fn expect_json(&self, status: u16, uri: &str, body: &Value) -> Value {
        let (given, answer) = self.json("POST", uri, body).await;
        assert_eq!(given, status, "POST {uri} {body}: {answer}");
        answer
    }

    /// Reserves a container and starts it; its id.
    pub async fn container(&self, body: &Value) -> String {
        let reply = self.expect_json(201, "/vswitch/containers", body).await;
        fuzzing::stand_in(&serde_json::from_value(reply.clone()).expect("a reply")).expect("a stand-in");
        let id = reply["Id"].as_str().expect("an id").to_owned();
        self.expect(204, "POST", &format!("/vswitch/containers/{id}/start")).await;
        id
    }
}

/// A body that begins and never goes on.
pub fn endless_body() -> Body {
    let begun = stream::unfold(true, |first| async move {
        if !first {
            std::future::pending::<()>().await;
        }
        Some((Ok::<_, std::io::Error>("{"), false))
    });
    Body::from_stream(begun)
}
