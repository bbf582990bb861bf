//! Body of the fuzz target `api`, so that tests run it too, and what other tests of the API stand on.
//! Not part of the public interface.

mod stage;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::{Api, ClientPid};
use crate::control::daemon::Daemon;

pub use stage::{daemon, stand_in};

/// What a request may take. Some wait for what never comes: they are given up, as by a client that
/// goes away.
const PATIENCE: Duration = Duration::from_millis(20);

/// Requests of one input.
const MOST: usize = 16;

/// A directory that goes when it is no longer used.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> std::io::Result<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        // In memory if possible: every change is synced.
        let memory = PathBuf::from("/dev/shm");
        let base = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let name = format!("vswitch-api-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = base.join(name);
        std::fs::create_dir(&dir)?;
        Ok(Self(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Requests with a zero byte between them, each `METHOD PATH`, a line end, and the body. What a path
/// cannot have is escaped. A daemon of
/// their own answers them, whose containers have no processes.
///
/// # Panics
/// When an answer is none that the API gives, or when something is left of what was removed again.
pub fn api(bytes: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let scratch = Scratch::new().expect("a directory");
    runtime.block_on(async {
        let daemon = daemon(&scratch.0).expect("a daemon");
        let stage = Stage { api: Api::new(daemon.clone(), PATIENCE), daemon };
        for request in bytes.split(|b| *b == 0).take(MOST) {
            stage.play(request).await;
        }
        stage.show_all().await;
        stage.clear(&scratch.0).await;
    });
    // Connections of the stand-ins, and what listens to them.
    runtime.shutdown_timeout(Duration::from_secs(1));
}

/// What cannot be in a path or query as it is: filters would be hard to read.
fn escape(path: &[u8]) -> String {
    path.iter().fold(String::new(), |text, b| match b {
        b'!' | b'$'..=b';' | b'=' | b'?'..=b'Z' | b'_' | b'a'..=b'z' | b'~' => {
            text + &char::from(*b).to_string()
        }
        other => text + &format!("%{other:02X}"),
    })
}

struct Stage {
    api: Api,
    daemon: Arc<Daemon>,
}

impl Stage {
    async fn play(&self, request: &[u8]) {
        let end = request.iter().position(|b| *b == b'\n').unwrap_or(request.len());
        let (line, body) = request.split_at(end);
        let mut words = line.splitn(2, |b| *b == b' ');
        let (Some(method), Some(path)) = (words.next(), words.next()) else { return };
        let body = body.strip_prefix(b"\n").unwrap_or(body).to_vec();
        let request =
            Request::builder().method(method).uri(escape(path)).header("content-type", "application/json");
        // What is no method or no path is refused by hyper before it comes here.
        let Ok(request) = request.body(Body::from(body)) else { return };
        if let Some((status, answer)) = self.ask(request).await
            && status == StatusCode::CREATED
            && let Ok(reply) = serde_json::from_slice(&answer)
        {
            stand_in(&reply).expect("a stand-in for a shim");
        }
    }

    /// Status and body, unless it takes too long.
    async fn ask(&self, request: Request) -> Option<(StatusCode, Vec<u8>)> {
        let what = format!("{} {}", request.method(), request.uri());
        let head = request.method() == "HEAD";
        let response = tokio::time::timeout(PATIENCE, self.api.call(request, ClientPid(None))).await.ok()?;
        let (parts, mut body) = response.into_parts();
        let mut answer = Vec::new();
        while let Ok(Some(frame)) = tokio::time::timeout(PATIENCE, body.frame()).await {
            let data = frame.expect("a body without errors").into_data();
            answer.extend_from_slice(&data.unwrap_or_default());
        }
        let text = String::from_utf8_lossy(&answer);
        let json = serde_json::from_slice::<Value>(&answer);
        match parts.status.as_u16() {
            _ if head => {}
            200 | 201 => {}
            204 => assert!(answer.is_empty(), "{what}: {text}"),
            status @ (400 | 403 | 404 | 408 | 409 | 413 | 500) => {
                let message = json.as_ref().ok().and_then(|json| json["message"].as_str());
                let message = message.unwrap_or_else(|| panic!("{what}: {status} {text}"));
                assert!(!message.is_empty(), "{what}: {status} {text}");
                // Nothing of a request is the daemon's failure, but that nobody has a shim for it.
                assert!(status != 500 || message.contains("shim"), "{what}: {text}");
            }
            status => panic!("{what}: {status} {text}"),
        }
        Some((parts.status, answer))
    }

    async fn get(&self, path: &str) -> Value {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let (status, answer) = self.ask(request).await.unwrap_or_else(|| panic!("{path} takes too long"));
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&answer));
        serde_json::from_slice(&answer).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    /// Whatever was made can be shown.
    async fn show_all(&self) {
        let mut ids = Vec::new();
        for (list, id) in [("/containers/json?all=1", "/containers"), ("/networks", "/networks")] {
            for object in self.get(list).await.as_array().expect("a list") {
                ids.push(format!("{id}/{}", object["Id"].as_str().expect("an id")));
            }
        }
        for id in ids {
            let inspect = if id.starts_with("/containers") { format!("{id}/json") } else { id };
            self.get(&inspect).await;
        }
        for bridge in self.get("/vswitch/bridges").await.as_array().expect("a list") {
            self.get(&format!("/vswitch/bridges/{}/fdb", bridge["NetworkID"].as_str().expect("an id"))).await;
        }
        self.get("/info").await;
    }

    /// Whatever was made can be removed, and then nothing is left.
    async fn clear(&self, dir: &Path) {
        for view in self.daemon.views() {
            // A request that was given up may be about to remove it.
            let _ = self.daemon.remove(&view.record.id, true).await;
        }
        for view in self.daemon.networks().iter().filter(|view| !view.record.is_predefined()) {
            // First those that others are made from.
            let _ = self.daemon.remove_network(&view.record.id);
        }
        for view in self.daemon.networks().iter().filter(|view| !view.record.is_predefined()) {
            self.daemon.remove_network(&view.record.id).unwrap_or_else(|e| panic!("{e}"));
        }
        assert_eq!(self.daemon.views().len(), 0);
        assert_eq!(self.get("/networks").await.as_array().map(Vec::len), Some(3));
        let left = std::fs::read_dir(dir.join("containers")).expect("a directory").count();
        assert_eq!(left, 0, "directories of containers that are gone");
        let first = serde_json::from_value(json!({"Command": ["true"]})).expect("a request");
        let first = self.daemon.create(first, None).expect("a container");
        let address = first.ports.first().and_then(|port| port.addresses.first()).map(ToString::to_string);
        assert_eq!(address.as_deref(), Some("172.17.0.2/16"), "an address that nobody gave back");
    }
}
