//! `_ping`, `version`, `info`.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use serde_json::Value;

use super::routes::Routes;
use super::{API_VERSION, App};
use crate::control::wire;

pub(super) fn routes() -> Routes {
    Routes::default().get("/_ping", ping).get("/version", async || Json(wire::version())).get("/info", info)
}

async fn ping() -> ([(header::HeaderName, &'static str); 2], &'static str) {
    ([(header::CACHE_CONTROL, "no-cache, no-store, must-revalidate"), (header::PRAGMA, "no-cache")], "OK")
}

async fn info(State(daemon): App) -> Json<Value> {
    Json(wire::info(&daemon))
}

/// What every answer says of the server: clients settle on an API version by it.
pub(super) fn headers(mut response: Response) -> Response {
    let all = response.headers_mut();
    all.insert("api-version", HeaderValue::from_static(API_VERSION));
    all.insert("docker-experimental", HeaderValue::from_static("false"));
    all.insert("ostype", HeaderValue::from_static("linux"));
    all.insert(header::SERVER, HeaderValue::from_static(concat!("vswitch/", env!("CARGO_PKG_VERSION"))));
    response
}
