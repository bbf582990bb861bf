//! The HTTP API: Docker's calls where Docker has them, the switch's own under /vswitch.

mod containers;
mod events;
mod networks;
mod switch;
mod system;

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::daemon::Daemon;
use super::error::ControlError;
use super::net::filters::Filters;

pub use containers::ClientPid;

/// The Docker Engine API this is modelled on.
pub const API_VERSION: &str = "1.41";

/// The newest and the oldest minor version that is answered.
const MINORS: std::ops::RangeInclusive<u32> = 12..=41;

/// Bytes of the largest request body.
const MAX_BODY: usize = 2 << 20;

type App = State<Arc<Daemon>>;
type Answer = Result<Response, ControlError>;

impl IntoResponse for ControlError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Invalid(_) | Self::NotStarted { .. } => StatusCode::BAD_REQUEST,
            Self::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let body = match &self {
            Self::NotStarted { message, code } => json!({"message": message, "exitCode": code}),
            other => json!({"message": other.to_string()}),
        };
        (status, Json(body)).into_response()
    }
}

impl From<JsonRejection> for ControlError {
    fn from(e: JsonRejection) -> Self {
        Self::Invalid(e.body_text())
    }
}

impl From<QueryRejection> for ControlError {
    fn from(e: QueryRejection) -> Self {
        Self::Invalid(e.body_text())
    }
}

/// A JSON body whose refusal is a [`ControlError`].
#[derive(FromRequest)]
#[from_request(via(Json), rejection(ControlError))]
struct Body_<T>(T);

/// A query string whose refusal is a [`ControlError`].
#[derive(axum::extract::FromRequestParts)]
#[from_request(via(Query), rejection(ControlError))]
struct Params<T>(T);

/// All routes. A leading /v1.NN is Docker's API version and is taken off before they are matched.
pub fn router(daemon: Arc<Daemon>) -> axum::Router {
    axum::Router::new()
        .merge(system::routes())
        .merge(containers::routes())
        .merge(networks::routes())
        .merge(events::routes())
        .merge(switch::routes())
        .fallback(async || ControlError::NotFound("page not found".into()))
        .method_not_allowed_fallback(async || ControlError::NotFound("page not found".into()))
        .layer(axum::extract::DefaultBodyLimit::max(MAX_BODY))
        .layer(axum::middleware::map_response(system::headers))
        .with_state(daemon)
}

/// Takes a leading `/v1.41` off the path.
///
/// # Errors
/// With Docker's sentence where the client is too new or too old.
pub fn strip_version(mut request: Request) -> Result<Request, ControlError> {
    let uri = request.uri();
    let rest = uri
        .path()
        .strip_prefix("/v1.")
        .and_then(|r| r.split_once('/'))
        .filter(|(minor, _)| !minor.is_empty() && minor.bytes().all(|b| b.is_ascii_digit()));
    let Some((minor, rest)) = rest else { return Ok(request) };
    match minor.parse::<u32>() {
        Ok(n) if MINORS.contains(&n) => {}
        Ok(n) if n < *MINORS.start() => {
            return Err(ControlError::Invalid(format!(
                "client version 1.{n} is too old. Minimum supported API version is 1.{}, please upgrade your \
                 client to a newer version",
                MINORS.start()
            )));
        }
        _ => {
            return Err(ControlError::Invalid(format!(
                "client version 1.{minor} is too new. Maximum supported API version is {API_VERSION}"
            )));
        }
    }
    let query = uri.query().map(|q| format!("?{q}")).unwrap_or_default();
    if let Ok(new) = format!("/{rest}{query}").parse() {
        *request.uri_mut() = new;
    }
    Ok(request)
}

fn truthy(text: Option<&str>) -> bool {
    matches!(text, Some("1" | "true" | "True" | "TRUE" | "t" | "T"))
}

/// The `filters` of a query.
fn filters(text: Option<&str>, accepted: &[&str]) -> Result<Filters, ControlError> {
    let filters = Filters::parse(text.unwrap_or_default())?;
    if !accepted.is_empty() {
        filters.validate(accepted)?;
    }
    Ok(filters)
}
