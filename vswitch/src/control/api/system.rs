//! `_ping`, `version`, `info`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use axum::routing::get;
use serde_json::Value;

use super::{API_VERSION, App};
use crate::control::daemon::Daemon;
use crate::control::wire;

pub(super) fn routes() -> axum::Router<Arc<Daemon>> {
    axum::Router::new()
        .route("/_ping", get(ping))
        .route("/version", get(async || Json(wire::version())))
        .route("/info", get(info))
}

async fn ping() -> ([(header::HeaderName, &'static str); 2], &'static str) {
    ([(header::CACHE_CONTROL, "no-cache, no-store, must-revalidate"), (header::PRAGMA, "no-cache")], "OK")
}

async fn info(State(daemon): App) -> Json<Value> {
    Json(wire::info(&daemon))
}

/// What every answer says of the server: clients settle on an API version by it.
pub(super) async fn headers(mut response: Response) -> Response {
    let all = response.headers_mut();
    all.insert("api-version", HeaderValue::from_static(API_VERSION));
    all.insert("docker-experimental", HeaderValue::from_static("false"));
    all.insert("ostype", HeaderValue::from_static("linux"));
    all.insert(header::SERVER, HeaderValue::from_static(concat!("vswitch/", env!("CARGO_PKG_VERSION"))));
    response
}
