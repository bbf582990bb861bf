//! Docker's calls about containers, and the switch's own by which they are made.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::{Extension, Json};
use nix::sys::signal::Signal;
use serde_json::json;

use super::input::{self, Id, Params};
use super::routes::Routes;
use super::{Answer, App, to_the_end};
use crate::control::daemon::{ContainerView, Phase, ended};
use crate::control::error::ControlError;
use crate::control::net::filters::Filters;
use crate::control::record::{Origin, Status};
use crate::control::request::CreateRequest;
use crate::control::wire;

pub(super) fn routes() -> Routes {
    Routes::default()
        .get("/containers/json", list)
        .get("/containers/{id}/json", inspect)
        .post("/containers/{id}/stop", stop)
        .post("/containers/{id}/kill", kill)
        .post("/containers/{id}/wait", wait)
        .post("/containers/{id}/rename", rename)
        .delete("/containers/{id}", remove)
        .post("/vswitch/containers", create)
        .post("/vswitch/containers/{id}/start", start)
        .post("/vswitch/containers/{id}/detach", detach)
        .get("/vswitch/containers/{id}/logs", logs)
}

/// The filters of `GET /containers/json`.
const FILTERS: [&str; 16] = [
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
    "annotation",
];

async fn list(State(daemon): App, p: Params) -> Answer {
    let filters = p.filters(&FILTERS)?;
    let limit = p.number::<i64>("limit")?.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
    let all = p.flag("all") || limit.is_some() || filters.contains("status") || filters.contains("exited");
    for status in filters.values("status") {
        let known = ["created", "restarting", "running", "removing", "paused", "exited", "dead"];
        if !known.contains(&status) {
            return Err(ControlError::Invalid(format!("invalid filter 'status={status}'")));
        }
    }
    let networks: Vec<String> = filters
        .values("network")
        .map(|n| daemon.network(n).map_or_else(|_| n.to_owned(), |v| v.record.id))
        .collect();
    let (name, id) = (filters.matcher("name"), filters.matcher("id"));
    // Where another container stands in the list, which is from the newest to the oldest.
    let mut views = daemon.views();
    let cut = |key: &str| -> Result<Option<u64>, ControlError> {
        let single = filters.values(key).next();
        single.map(|text| daemon.view(text).map(|view| view.record.created)).transpose()
    };
    let (before, since) = (cut("before")?, cut("since")?);
    views.retain(|view| {
        let record = &view.record;
        (all || record.is_running())
            && name.matches(&record.name)
            && (id.matches(&record.id))
            && filters.labels("label", &record.labels)
            && by_state(view, &filters)
            && (networks.is_empty() || record.endpoints.iter().any(|e| networks.contains(&e.network_id)))
            && (!filters.contains("expose")
                || record.exposed.iter().any(|port| {
                    filters.exact("expose", &port.to_string())
                        || filters.exact("expose", &port.port.to_string())
                }))
            && before.is_none_or(|at| record.created < at)
            && since.is_none_or(|at| record.created > at)
            && !["ancestor", "volume", "publish", "health"].iter().any(|key| filters.contains(key))
            && filters.exact("is-task", "false")
    });
    views.truncate(limit.unwrap_or(usize::MAX));
    Ok(Json(views.iter().map(wire::summary).collect::<Vec<_>>()).into_response())
}

fn by_state(view: &ContainerView, filters: &Filters) -> bool {
    let exited = match view.record.status {
        Status::Exited { code, .. } => filters.exact("exited", &code.to_string()),
        _ => !filters.contains("exited"),
    };
    exited && filters.exact("status", wire::state(view.record.status))
}

async fn inspect(State(daemon): App, Id(id): Id<String>) -> Answer {
    Ok(Json(wire::inspect(&daemon.view(&id)?)).into_response())
}

async fn rename(State(daemon): App, Id(id): Id<String>, p: Params) -> Answer {
    daemon.rename(&id, p.text("name").unwrap_or_default())?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn stop(State(daemon): App, Id(id): Id<String>, p: Params) -> Answer {
    // Docker's -1: for ever. A day is as good.
    let first = signal(p.text("signal").unwrap_or("SIGTERM"))?;
    let seconds = p.number::<i64>("t")?.map_or(10, |t| u64::try_from(t).unwrap_or(86_400).min(86_400));
    to_the_end(async move {
        if daemon.view(&id)?.record.is_attached() {
            daemon.detach(&id).await
        } else {
            daemon.stop(&id, first, Duration::from_secs(seconds)).await
        }
    })
    .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn signal(text: &str) -> Result<Signal, ControlError> {
    let invalid = || ControlError::Invalid(format!("Invalid signal: {text}"));
    if let Ok(number) = text.parse::<i32>() {
        return Signal::try_from(number).map_err(|_| invalid());
    }
    let upper = text.to_ascii_uppercase();
    let name = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
    name.parse().map_err(|_| invalid())
}

async fn kill(State(daemon): App, Id(id): Id<String>, p: Params) -> Answer {
    daemon.kill(&id, signal(p.text("signal").unwrap_or("SIGKILL"))?)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn wait(State(daemon): App, Id(id): Id<String>, p: Params) -> Answer {
    let mut phase = daemon.phase(&id)?;
    let code = match p.text("condition") {
        None | Some("not-running" | "next-exit") => ended(&mut phase).await,
        Some("removed") => match phase.wait_for(|p| matches!(p, Phase::Removed(_))).await.as_deref() {
            Ok(Phase::Removed(code)) => *code,
            _ => 0,
        },
        Some(other) => return Err(ControlError::Invalid(format!("invalid condition: \"{other}\""))),
    };
    Ok(Json(json!({"StatusCode": code})).into_response())
}

async fn remove(State(daemon): App, Id(id): Id<String>, p: Params) -> Answer {
    let force = p.flag("force");
    to_the_end(async move { daemon.remove(&id, force).await }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The process at the other end of a connection, as the kernel says (SO_PEERCRED).
#[derive(Clone, Copy, Debug)]
pub struct ClientPid(pub Option<i32>);

async fn create(
    State(daemon): App,
    Extension(ClientPid(client)): Extension<ClientPid>,
    input::Json(request): input::Json<CreateRequest>,
) -> Answer {
    Ok((StatusCode::CREATED, Json(daemon.create(request, client)?)).into_response())
}

async fn start(State(daemon): App, Id(id): Id<String>) -> Answer {
    to_the_end(async move { daemon.start(&id).await }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn detach(State(daemon): App, Id(id): Id<String>) -> Answer {
    to_the_end(async move { daemon.detach(&id).await }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn logs(State(daemon): App, Id(id): Id<String>) -> Answer {
    let view = daemon.view(&id)?;
    let Origin::Run { log: Some(path), .. } = view.record.origin else {
        return Err(ControlError::Conflict(format!(
            "{} has no log: only `run -d` writes one",
            view.record.name
        )));
    };
    let file = match tokio::task::spawn_blocking(move || std::fs::File::open(path)).await {
        Ok(Ok(file)) => file,
        Ok(Err(e)) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Body::empty().into_response()),
        Ok(Err(e)) => return Err(e.into()),
        Err(e) => return Err(ControlError::Failed(e.to_string())),
    };
    // What is there now, piece by piece: a log may be larger than memory.
    let stream = futures_util::stream::unfold(file, |mut file| async move {
        tokio::task::spawn_blocking(move || {
            use std::io::Read;
            let mut piece = vec![0; 64 * 1024];
            match file.read(&mut piece) {
                Ok(0) => None,
                Ok(n) => {
                    piece.truncate(n);
                    Some((Ok(axum::body::Bytes::from(piece)), file))
                }
                Err(e) => Some((Err(e), file)),
            }
        })
        .await
        .ok()
        .flatten()
    });
    Ok(Body::from_stream(stream).into_response())
}
