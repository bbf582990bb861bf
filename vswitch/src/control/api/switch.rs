//! The switch's own calls: bridges, forwarding tables, ports, captures.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use packet::{Filter, MacAddr};
use serde::Deserialize;
use serde_json::{Value, json};

use super::input::{self, Id, Params};
use super::routes::Routes;
use super::{Answer, App};
use crate::control::daemon::Daemon;
use crate::control::error::ControlError;
use crate::control::{watch, wire};
use crate::dataplane::capture::Scope;
use crate::dataplane::fdb::Station;
use crate::dataplane::{Bridge, Port, Switch};

pub(super) fn routes() -> Routes {
    Routes::default()
        .get("/vswitch/bridges", bridges)
        .get("/vswitch/bridges/{net}/fdb", fdb)
        .post("/vswitch/bridges/{net}/fdb", fdb_add)
        .delete("/vswitch/bridges/{net}/fdb/{mac}", fdb_delete)
        .post("/vswitch/bridges/{net}/flush", flush)
        .post("/vswitch/bridges/{net}/ageing", ageing)
        .get("/vswitch/ports/{port}", port)
        .post("/vswitch/ports/{port}", set_port)
        .get("/vswitch/capture", capture)
}

async fn bridges(State(daemon): App) -> Json<Value> {
    Json(daemon.networks().iter().flat_map(wire::bridges).collect())
}

async fn fdb(State(daemon): App, Id(net): Id<String>) -> Answer {
    let (view, bridges) = daemon.bridges(&net)?;
    let entries = bridges.iter().flat_map(|bridge| wire::fdb(&view, bridge));
    Ok(Json(entries.collect::<Value>()).into_response())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct StaticEntry {
    mac: String,
    port: String,
    #[serde(default)]
    vlan: u16,
}

fn mac(text: &str) -> Result<MacAddr, ControlError> {
    let mac: MacAddr = text.parse().map_err(|e| ControlError::Invalid(format!("{e}")))?;
    if mac.is_multicast() || mac == MacAddr::ZERO {
        return Err(ControlError::Invalid(format!("{mac} cannot be a station's address")));
    }
    Ok(mac)
}

fn vlan(vlan: u16) -> Result<u16, ControlError> {
    if vlan < 4095 { Ok(vlan) } else { Err(ControlError::Invalid(format!("{vlan} is no VLAN: 0 to 4094"))) }
}

async fn fdb_add(
    State(daemon): App,
    Id(net): Id<String>,
    input::Json(e): input::Json<StaticEntry>,
) -> Answer {
    let (_, bridges) = daemon.bridges(&net)?;
    let station = Station { mac: mac(&e.mac)?, vlan: vlan(e.vlan)? };
    let port = find_port(&daemon, &e.port)?;
    let on = |bridge: &&Arc<Bridge>| bridge.ports().iter().any(|p| p.uid() == port.uid());
    let Some(bridge) = bridges.iter().find(on) else {
        return Err(ControlError::Invalid(format!("{} is not on network {net}", e.port)));
    };
    if !bridge.fdb().set_static(station, port.no(), Switch::now()) {
        return Err(ControlError::Conflict("the forwarding table is full".into()));
    }
    // Its number may soon be another's, and its stations were perhaps forgotten before this one.
    if port.is_gone() {
        bridge.fdb().remove(station);
        return Err(ControlError::NotFound(format!("no port {}: it has just gone", e.port)));
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn fdb_delete(State(daemon): App, Id((net, address)): Id<(String, String)>, p: Params) -> Answer {
    let station = Station { mac: mac(&address)?, vlan: vlan(p.number("vlan")?.unwrap_or(0))? };
    let removed = daemon.bridges(&net)?.1.iter().filter(|bridge| bridge.fdb().remove(station)).count();
    if removed == 0 {
        return Err(ControlError::NotFound(format!("{address} is not in the table of {net}")));
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn flush(State(daemon): App, Id(net): Id<String>) -> Answer {
    let flushed: usize = daemon.bridges(&net)?.1.iter().map(|bridge| bridge.fdb().flush()).sum();
    Ok(Json(json!({"Flushed": flushed})).into_response())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Ageing {
    seconds: u32,
}

async fn ageing(State(daemon): App, Id(net): Id<String>, input::Json(a): input::Json<Ageing>) -> Answer {
    daemon.set_ageing(&net, a.seconds)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A port by `CONTAINER:INTERFACE`, or by its container alone.
fn find_port(daemon: &Daemon, text: &str) -> Result<Arc<Port>, ControlError> {
    for bridge in daemon.networks().into_iter().flat_map(|network| network.bridges) {
        let bridge = bridge.bridge;
        if let Some(port) = bridge.ports().iter().find(|p| p.name() == text) {
            return Ok(port.clone());
        }
    }
    let mut ports = daemon.view(text).map(|view| view.ports).unwrap_or_default();
    if ports.len() > 1 {
        let names: Vec<String> = ports.iter().map(|p| p.port.name()).collect();
        return Err(ControlError::Invalid(format!("{text} has several ports: {}", names.join(", "))));
    }
    ports.pop().map(|plugged| plugged.port).ok_or_else(|| {
        ControlError::NotFound(format!("no port {text}: `vswitch bridge show` lists those there are"))
    })
}

/// What a capture is of: everything, a network, a port, or all ports of a container.
fn scope(daemon: &Daemon, text: &str) -> Result<Scope, ControlError> {
    if matches!(text, "" | "any") {
        return Ok(Scope::Any);
    }
    if let Ok(port) = find_port(daemon, text) {
        return Ok(Scope::Ports(vec![port.uid()]));
    }
    let ports = daemon.view(text).map(|view| view.ports).unwrap_or_default();
    if !ports.is_empty() {
        return Ok(Scope::Ports(ports.iter().map(|p| p.port.uid()).collect()));
    }
    match daemon.bridges(text) {
        Ok((_, bridges)) => Ok(Scope::Bridges(bridges.iter().map(|bridge| bridge.uid()).collect())),
        Err(_) => Err(ControlError::NotFound(format!("no container, port or network is named {text}"))),
    }
}

async fn port(State(daemon): App, Id(name): Id<String>) -> Answer {
    Ok(Json(wire::port(&*find_port(&daemon, &name)?)).into_response())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct PortSettings {
    hairpin: Option<bool>,
    up: Option<bool>,
    storm_broadcast: Option<u32>,
    storm_unknown_unicast: Option<u32>,
}

async fn set_port(
    State(daemon): App,
    Id(name): Id<String>,
    input::Json(s): input::Json<PortSettings>,
) -> Answer {
    let port = find_port(&daemon, &name)?;
    if let Some(on) = s.hairpin {
        port.set_hairpin(on);
    }
    if let Some(up) = s.up {
        port.set_admin_up(up);
    }
    if let Some(limit) = s.storm_broadcast {
        port.storm().broadcast.set(limit);
    }
    if let Some(limit) = s.storm_unknown_unicast {
        port.storm().unknown_unicast.set(limit);
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn capture(State(daemon): App, p: Params) -> Answer {
    let scope = scope(&daemon, p.text("on").unwrap_or_default())?;
    let text = p.text("filter").unwrap_or_default().to_owned();
    let filter = if text.trim().is_empty() {
        None
    } else {
        Some(Filter::compile(&text).map_err(|e| ControlError::Invalid(e.to_string()))?)
    };
    // As in tcpdump, 0 is everything.
    let snaplen = p.number("snaplen")?.filter(|n| *n > 0).unwrap_or(262_144);
    let count = p.number("count")?;
    let hub = daemon.switch().capture();
    let (session, records) = hub.start(scope, filter, snaplen as usize);
    let body = watch::body(hub, session.clone(), records, count, text, snaplen, &daemon);
    let body = body.inspect_err(|_| hub.stop(&session))?;
    Ok(([("content-type", "application/x-pcapng")], body).into_response())
}
