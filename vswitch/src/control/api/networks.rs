//! Docker's calls about networks.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde::{Deserialize, Deserializer};
use serde_json::json;

use super::{Answer, App, Body_, Params, filters};
use crate::control::daemon::{Daemon, NetworkView};
use crate::control::error::ControlError;
use crate::control::net::request::NetworkCreateRequest;
use crate::control::net::selection::{ListFilter, PruneFilter};
use crate::control::net::wire::{NetworkCreateResponse, NetworkResource, resource};
use crate::control::request::EndpointRequest;
use crate::control::wire;

pub(super) fn routes() -> axum::Router<Arc<Daemon>> {
    axum::Router::new()
        .route("/networks", get(list))
        .route("/networks/create", post(create))
        .route("/networks/prune", post(prune))
        .route("/networks/{id}", get(inspect).delete(remove))
        .route("/networks/{id}/connect", post(connect))
        .route("/networks/{id}/disconnect", post(disconnect))
}

#[derive(Deserialize)]
struct FilterParams {
    filters: Option<String>,
}

async fn list(State(daemon): App, Params(p): Params<FilterParams>) -> Answer {
    let filter = ListFilter::new(filters(p.filters.as_deref(), &[])?)?;
    let shown = daemon.networks();
    let shown: Vec<NetworkResource> = shown
        .iter()
        .filter(|view| filter.accepts(&view.record, !view.members.is_empty()))
        .map(|view| resource(&view.record, BTreeMap::new()))
        .collect();
    Ok(Json(shown).into_response())
}

fn whole(view: &NetworkView) -> NetworkResource {
    let members = view.members.iter().map(|m| (m.container.clone(), wire::member(m)));
    resource(&view.record, members.collect())
}

async fn inspect(State(daemon): App, Path(id): Path<String>) -> Answer {
    Ok(Json(whole(&daemon.network(&id)?)).into_response())
}

async fn create(State(daemon): App, body: Bytes) -> Answer {
    let request = NetworkCreateRequest::parse(&body)?;
    let made = NetworkCreateResponse { id: daemon.create_network(request)?, warning: String::new() };
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

async fn remove(State(daemon): App, Path(id): Path<String>) -> Answer {
    daemon.remove_network(&id)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn prune(State(daemon): App, Params(p): Params<FilterParams>) -> Answer {
    let zone = jiff::tz::TimeZone::system();
    let filter =
        PruneFilter::new(filters(p.filters.as_deref(), &[])?, crate::control::daemon::now(), &zone)?;
    let removed = daemon.prune_networks(&filter)?;
    // Docker writes null for none.
    let removed = if removed.is_empty() { serde_json::Value::Null } else { json!(removed) };
    Ok(Json(json!({"NetworksDeleted": removed})).into_response())
}

/// Go takes `null` for what is not there.
fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(d: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(d).map(Option::unwrap_or_default)
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Connect {
    #[serde(deserialize_with = "nullable")]
    container: String,
    #[serde(deserialize_with = "nullable")]
    endpoint_config: EndpointConfig,
}

/// The part of Docker's `EndpointSettings` that a user can set.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct EndpointConfig {
    #[serde(rename = "IPAMConfig", deserialize_with = "nullable")]
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

async fn connect(State(daemon): App, Path(id): Path<String>, Body_(c): Body_<Connect>) -> Answer {
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
    // A client that goes away in the middle must not leave it half done.
    let connected = tokio::spawn(async move { daemon.connect(&id, &container, request).await });
    connected.await.map_err(|e| ControlError::Failed(e.to_string()))??;
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

async fn disconnect(State(daemon): App, Path(id): Path<String>, Body_(d): Body_<Disconnect>) -> Answer {
    let done = tokio::spawn(async move { daemon.disconnect(&id, &d.container, d.force).await });
    done.await.map_err(|e| ControlError::Failed(e.to_string()))??;
    Ok(StatusCode::OK.into_response())
}
