//! The HTTP API: Docker's calls where Docker has them, the switch's own under /vswitch.
//! docs/openapi.yaml describes it, and a test holds the two against each other.

pub mod connection;
mod containers;
mod events;
mod flows;
#[doc(hidden)]
pub mod fuzzing;
mod idle;
mod input;
mod networks;
mod routes;
mod switch;
mod system;
mod version;

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tower_service::Service as _;

use super::daemon::Daemon;
use super::error::ControlError;
use input::Intake;
use routes::Routes;

pub use connection::Limits;
pub use containers::ClientPid;
pub use input::MAX_BODY;
pub use routes::Route;
pub use version::{API_VERSION, MIN_API_VERSION};

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
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
        };
        let body = match &self {
            Self::NotStarted { message, code } => json!({"message": message, "exitCode": code}),
            other => json!({"message": other.to_string()}),
        };
        (status, axum::Json(body)).into_response()
    }
}

fn all() -> Routes {
    system::routes()
        .merge(containers::routes())
        .merge(networks::routes())
        .merge(events::routes())
        .merge(switch::routes())
        .merge(flows::routes())
}

/// Every method and path that is served, each once.
pub fn routes() -> Vec<Route> {
    all().into_parts().0
}

/// The API of one daemon: requests in, responses out.
#[derive(Clone)]
pub struct Api {
    router: axum::Router,
    intake: Intake,
}

impl Api {
    /// `patience` is what a client has to send a request's body.
    pub fn new(daemon: Arc<Daemon>, patience: Duration) -> Self {
        let not_there = async || ControlError::NotFound("page not found".into());
        let router = all().into_parts().1;
        let router = router.fallback(not_there).method_not_allowed_fallback(not_there).with_state(daemon);
        Self { router, intake: Intake::new(patience) }
    }

    /// Answers a request of the process `client`.
    pub async fn call(&self, request: Request, client: ClientPid) -> Response {
        let answered: Result<Response, Infallible> = match version::strip(request) {
            Ok(mut request) => {
                request.extensions_mut().insert(client);
                request.extensions_mut().insert(self.intake.clone());
                self.router.clone().call(request).await
            }
            Err(refusal) => Ok(refusal.into_response()),
        };
        let Ok(response) = answered;
        system::headers(response)
    }
}

/// Carries on though the client goes away in the middle: nothing must be left half done.
async fn to_the_end<T: Send + 'static>(
    act: impl Future<Output = Result<T, ControlError>> + Send + 'static,
) -> Result<T, ControlError> {
    tokio::spawn(act).await.unwrap_or_else(|e| Err(ControlError::Failed(e.to_string())))
}
