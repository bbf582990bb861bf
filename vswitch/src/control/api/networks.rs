//! Docker's calls about networks.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::json;

use super::input::{self, Id, Params, RawJson};
use super::routes::Routes;
use super::{Answer, App, to_the_end};
use crate::control::daemon::NetworkView;
use crate::control::error::ControlError;
use crate::control::json::{nullable, object_or_default};
use crate::control::net::request::NetworkCreateRequest;
use crate::control::net::selection::{ListFilter, PruneFilter};
use crate::control::net::wire::{NetworkCreateResponse, NetworkResource, resource};
use crate::control::request::EndpointRequest;
use crate::control::wire;

pub(super) fn routes() -> Routes {
    Routes::default()
        .get("/networks", list)
        .post("/networks/create", create)
        .post("/networks/prune", prune)
        .get("/networks/{id}", inspect)
        .delete("/networks/{id}", remove)
        .post("/networks/{id}/connect", connect)
        .post("/networks/{id}/disconnect", disconnect)
}

async fn list(State(daemon): App, p: Params) -> Answer {
    let filter = ListFilter::new(p.any_filters()?)?;
    let shown = daemon.networks();
    let shown: Vec<NetworkResource> = shown
        .iter()
        .filter(|view| filter.accepts(&view.record, !view.members.is_empty() || !view.far.is_empty()))
        .map(|view| resource(&view.record, BTreeMap::new()))
        .collect();
    Ok(Json(shown).into_response())
}

fn whole(view: &NetworkView) -> NetworkResource {
    let members = view.members.iter().map(|m| (m.container.clone(), wire::member(m)));
    let far = view.far.iter().map(|e| (format!("ep-{}", e.id), wire::far(e)));
    resource(&view.record, members.chain(far).collect())
}

async fn inspect(State(daemon): App, Id(id): Id<String>) -> Answer {
    Ok(Json(whole(&daemon.network(&id)?)).into_response())
}

async fn create(State(daemon): App, RawJson(body): RawJson) -> Answer {
    let request = NetworkCreateRequest::parse(&body)?;
    let made = NetworkCreateResponse { id: daemon.create_network(request)?, warning: String::new() };
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

async fn remove(State(daemon): App, Id(id): Id<String>) -> Answer {
    daemon.remove_network(&id)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn prune(State(daemon): App, p: Params) -> Answer {
    let zone = jiff::tz::TimeZone::system();
    let filter = PruneFilter::new(p.any_filters()?, crate::control::daemon::now(), &zone)?;
    let removed = daemon.prune_networks(&filter)?;
    // Docker writes null for none.
    let removed = if removed.is_empty() { serde_json::Value::Null } else { json!(removed) };
    Ok(Json(json!({"NetworksDeleted": removed})).into_response())
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Connect {
    #[serde(deserialize_with = "nullable")]
    container: String,
    #[serde(deserialize_with = "object_or_default")]
    endpoint_config: EndpointConfig,
}

/// The part of Docker's `EndpointSettings` that a user can set.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct EndpointConfig {
    #[serde(rename = "IPAMConfig", deserialize_with = "object_or_default")]
    ipam: IpamConfig,
    #[serde(deserialize_with = "nullable")]
    links: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    aliases: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    driver_opts: BTreeMap<String, String>,
    #[serde(deserialize_with = "nullable")]
    mac_address: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct IpamConfig {
    #[serde(rename = "IPv4Address", deserialize_with = "nullable")]
    v4: String,
    #[serde(rename = "IPv6Address", deserialize_with = "nullable")]
    v6: String,
}

async fn connect(State(daemon): App, Id(id): Id<String>, input::Json(c): input::Json<Connect>) -> Answer {
    let Connect { container, endpoint_config: e } = c;
    let v4 = optional(&e.ipam.v4, |text| text.parse::<Ipv4Addr>().ok(), "IPv4")?;
    let v6 = optional(&e.ipam.v6, |text| text.parse::<Ipv6Addr>().ok(), "IPv6")?;
    let request = EndpointRequest {
        network: id.clone(),
        ip: v4,
        ip6: v6,
        mac_address: Some(e.mac_address).filter(|mac| !mac.is_empty()),
        aliases: e.aliases,
        links: e.links,
        driver_opts: e.driver_opts,
    };
    to_the_end(async move { daemon.connect(&id, &container, request).await }).await?;
    Ok(StatusCode::OK.into_response())
}

fn optional<T>(text: &str, parse: impl Fn(&str) -> Option<T>, what: &str) -> Result<Option<T>, ControlError> {
    if text.is_empty() {
        return Ok(None);
    }
    parse(text).map(Some).ok_or_else(|| ControlError::Invalid(format!("invalid {what} address: {text}")))
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Disconnect {
    #[serde(deserialize_with = "nullable")]
    container: String,
    #[serde(deserialize_with = "nullable")]
    force: bool,
}

async fn disconnect(
    State(daemon): App,
    Id(id): Id<String>,
    input::Json(d): input::Json<Disconnect>,
) -> Answer {
    to_the_end(async move { daemon.disconnect(&id, &d.container, d.force).await }).await?;
    Ok(StatusCode::OK.into_response())
}
