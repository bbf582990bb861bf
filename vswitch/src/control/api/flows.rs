//! Translated flows: what there are, and what becomes of them.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::IntoResponse;
use serde_json::Value;

use super::input::Params;
use super::routes::Routes;
use super::{Answer, App};
use crate::control::daemon::{Daemon, off_the_runtime};
use crate::control::wire::{self, Owners};
use crate::outside::{Next, Outside, Watch};

pub(super) fn routes() -> Routes {
    Routes::default().get("/vswitch/nat", flows).get("/vswitch/nat/events", events)
}

fn container(daemon: &Daemon, p: &Params) -> Result<Option<String>, crate::control::error::ControlError> {
    p.text("container").map(|name| daemon.resolve(name)).transpose()
}

async fn flows(State(daemon): App, p: Params) -> Answer {
    let of = container(&daemon, &p)?;
    Ok(Json(wire::flows(&daemon, of.as_deref())).into_response())
}

/// A stream of events, and whose flows it is about.
struct Feed {
    daemon: Arc<Daemon>,
    watch: Watch,
    owners: Owners,
    of: Option<String>,
}

impl Feed {
    async fn next(&mut self) -> Option<Value> {
        loop {
            let news = match self.watch.next().await? {
                Next::Lost(count) => return Some(wire::lost(count)),
                Next::News(news) => news,
            };
            // Nobody's is what was a container's that went before it was asked for.
            let Some(owner) = self.owners.of(&self.daemon, news.flow.port) else { continue };
            if self.of.as_ref().is_none_or(|wanted| *wanted == owner.id) {
                return Some(wire::flow_event(owner, &news));
            }
        }
    }
}

async fn events(State(daemon): App, p: Params) -> Answer {
    let of = container(&daemon, &p)?;
    let owners = Owners::new(&daemon);
    let watch = off_the_runtime(|| Outside::watch(daemon.switch()));
    let feed = Feed { daemon, watch, owners, of };
    let stream = futures_util::stream::unfold(feed, async |mut feed| {
        let mut line = serde_json::to_vec(&feed.next().await?).ok()?;
        line.push(b'\n');
        Some((Ok::<_, Infallible>(Bytes::from(line)), feed))
    });
    Ok(([("content-type", "application/json")], Body::from_stream(stream)).into_response())
}
