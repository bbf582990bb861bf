//! `GET /events`: a JSON object a line, past ones first.

use std::collections::VecDeque;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::IntoResponse;
use jiff::tz::TimeZone;
use tokio::sync::broadcast::error::RecvError;

use super::input::Params;
use super::routes::Routes;
use super::{Answer, App};
use crate::control::daemon::now;
use crate::control::error::ControlError;
use crate::control::events::Event;
use crate::control::net::filters::Filters;
use crate::control::net::timestamp;

/// The filters of events.
const FILTERS: [&str; 12] = [
    "type",
    "event",
    "container",
    "network",
    "label",
    "scope",
    "image",
    "volume",
    "daemon",
    "plugin",
    "node",
    "service",
];

pub(super) fn routes() -> Routes {
    Routes::default().get("/events", events)
}

fn moment(text: Option<&str>) -> Result<Option<u64>, ControlError> {
    let Some(text) = text else { return Ok(None) };
    let zone = TimeZone::system();
    timestamp::parse(text, now(), &zone)
        .map(Some)
        .ok_or_else(|| ControlError::Invalid(format!("failed to parse value as time or duration: {text:?}")))
}

fn wanted(event: &Event, filters: &Filters) -> bool {
    let of = |key: &str, kind: &str| {
        // Of a container is also what networks say of it.
        let about = match (kind, event.kind) {
            ("container", "network") => event.actor.attributes.get("container").map(String::as_str),
            (kind, of) if kind == of => Some(event.actor.id.as_str()),
            _ => None,
        };
        let name = if event.kind == kind { event.actor.attributes.get("name") } else { None };
        !filters.contains(key)
            || about.is_some_and(|id| filters.prefix(key, id))
            || name.is_some_and(|name| filters.exact(key, name))
    };
    let others = ["image", "volume", "daemon", "plugin", "node", "service"];
    filters.exact("type", event.kind)
        && (filters.exact("event", event.action))
        && filters.exact("scope", event.scope)
        && filters.labels("label", &event.actor.attributes)
        && of("container", "container")
        && of("network", "network")
        && !others.iter().any(|key| filters.contains(key))
}

async fn events(State(daemon): App, p: Params) -> Answer {
    let filters = p.filters(&FILTERS)?;
    let (since, until) = (moment(p.text("since"))?, moment(p.text("until"))?);
    let (kept, live) = daemon.events().listen();
    // Without either, only what happens from now on.
    let from = since.unwrap_or(if until.is_some() { 0 } else { u64::MAX });
    let within = move |event: &Event| until.is_none_or(|until| event.time_nano <= until);
    let past: VecDeque<Event> =
        kept.into_iter().filter(|e| e.time_nano >= from && within(e) && wanted(e, &filters)).collect();
    let over = async move {
        match until {
            Some(until) => tokio::time::sleep(Duration::from_nanos(until.saturating_sub(now()))).await,
            None => std::future::pending().await,
        }
    };
    let stream = futures_util::stream::unfold(
        (past, live, filters, Box::pin(over)),
        move |(mut past, mut live, filters, mut over)| async move {
            let event = loop {
                if let Some(event) = past.pop_front() {
                    break event;
                }
                tokio::select! {
                    event = live.recv() => match event {
                        Ok(event) if wanted(&event, &filters) => break event,
                        Ok(_) | Err(RecvError::Lagged(_)) => {}
                        Err(RecvError::Closed) => return None,
                    },
                    () = &mut over => return None,
                }
            };
            let mut line = serde_json::to_vec(&event).ok()?;
            line.push(b'\n');
            Some((Ok::<_, std::convert::Infallible>(Bytes::from(line)), (past, live, filters, over)))
        },
    );
    Ok(([("content-type", "application/json")], Body::from_stream(stream)).into_response())
}
