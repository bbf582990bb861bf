//! The HTTP API: Docker's calls where Docker has them, the switch's own under /vswitch.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, Path, Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Extension, Json};
use nix::sys::signal::Signal;
use packet::{Filter, MacAddr};
use serde::Deserialize;
use serde_json::{Value, json};

use super::daemon::{CreateRequest, Daemon, Phase, ended};
use super::error::ControlError;
use super::record::Origin;
use super::{watch, wire};
use crate::dataplane::Port;
use crate::dataplane::Switch;
use crate::dataplane::capture::Scope;
use crate::dataplane::fdb::Station;

/// The Docker Engine API this is modelled on.
pub const API_VERSION: &str = "1.41";

type App = State<Arc<Daemon>>;
type Answer = Result<Response, ControlError>;

impl IntoResponse for ControlError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Invalid(_) | Self::NotStarted { .. } => StatusCode::BAD_REQUEST,
            Self::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let code = if let Self::NotStarted { code, .. } = &self { json!(code) } else { Value::Null };
        (status, Json(json!({"message": self.to_string(), "exitCode": code}))).into_response()
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
        .route("/_ping", get(async || "OK"))
        .route("/version", get(async || Json(wire::version())))
        .route("/info", get(info))
        .route("/containers/json", get(list))
        .route("/containers/{id}/json", get(inspect))
        .route("/containers/{id}/stop", post(stop))
        .route("/containers/{id}/kill", post(kill))
        .route("/containers/{id}/wait", post(wait))
        .route("/containers/{id}", delete(remove))
        .route("/vswitch/containers", post(create))
        .route("/vswitch/containers/{id}/start", post(start))
        .route("/vswitch/containers/{id}/detach", post(detach))
        .route("/vswitch/containers/{id}/logs", get(logs))
        .route("/vswitch/bridges", get(bridges))
        .route("/vswitch/bridges/{net}/fdb", get(fdb).post(fdb_add))
        .route("/vswitch/bridges/{net}/fdb/{mac}", delete(fdb_delete))
        .route("/vswitch/bridges/{net}/flush", post(flush))
        .route("/vswitch/bridges/{net}/ageing", post(ageing))
        .route("/vswitch/ports/{port}", get(port).post(set_port))
        .route("/vswitch/capture", get(capture))
        .fallback(async || ControlError::NotFound("page not found".into()))
        .with_state(daemon)
}

/// Takes a leading `/v1.41` off the path.
pub fn strip_version(mut request: Request) -> Request {
    let uri = request.uri();
    let rest = uri
        .path()
        .strip_prefix("/v1.")
        .and_then(|r| r.split_once('/'))
        .filter(|(minor, _)| !minor.is_empty() && minor.bytes().all(|b| b.is_ascii_digit()));
    if let Some((_, rest)) = rest {
        let query = uri.query().map(|q| format!("?{q}")).unwrap_or_default();
        if let Ok(new) = format!("/{rest}{query}").parse() {
            *request.uri_mut() = new;
        }
    }
    request
}

fn truthy(text: Option<&str>) -> bool {
    matches!(text, Some("1" | "true" | "True"))
}

async fn info(State(daemon): App) -> Json<Value> {
    Json(wire::info(&daemon))
}

#[derive(Deserialize)]
struct ListParams {
    all: Option<String>,
}

async fn list(State(daemon): App, Params(p): Params<ListParams>) -> Json<Value> {
    let all = truthy(p.all.as_deref());
    let views = daemon.views();
    Json(views.iter().filter(|v| all || v.record.is_running()).map(wire::summary).collect())
}

async fn inspect(State(daemon): App, Path(id): Path<String>) -> Answer {
    Ok(Json(wire::inspect(&daemon.view(&id)?)).into_response())
}

#[derive(Deserialize)]
struct StopParams {
    t: Option<i64>,
}

async fn stop(State(daemon): App, Path(id): Path<String>, Params(p): Params<StopParams>) -> Answer {
    // Docker's -1: for ever. A day is as good.
    let seconds = p.t.map_or(10, |t| u64::try_from(t).unwrap_or(86_400).min(86_400));
    if daemon.view(&id)?.record.is_attached() {
        daemon.detach(&id).await?;
    } else {
        daemon.stop(&id, Duration::from_secs(seconds)).await?;
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Deserialize)]
struct KillParams {
    signal: Option<String>,
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

async fn kill(State(daemon): App, Path(id): Path<String>, Params(p): Params<KillParams>) -> Answer {
    daemon.kill(&id, signal(p.signal.as_deref().unwrap_or("SIGKILL"))?)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Deserialize)]
struct WaitParams {
    condition: Option<String>,
}

async fn wait(State(daemon): App, Path(id): Path<String>, Params(p): Params<WaitParams>) -> Answer {
    let mut phase = daemon.phase(&id)?;
    let code = match p.condition.as_deref() {
        None | Some("" | "not-running" | "next-exit") => ended(&mut phase).await,
        Some("removed") => match phase.wait_for(|p| matches!(p, Phase::Removed(_))).await.as_deref() {
            Ok(Phase::Removed(code)) => *code,
            _ => 0,
        },
        Some(other) => return Err(ControlError::Invalid(format!("invalid condition: \"{other}\""))),
    };
    Ok(Json(json!({"StatusCode": code})).into_response())
}

#[derive(Deserialize)]
struct RemoveParams {
    force: Option<String>,
}

async fn remove(State(daemon): App, Path(id): Path<String>, Params(p): Params<RemoveParams>) -> Answer {
    daemon.remove(&id, truthy(p.force.as_deref())).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The process at the other end of a connection, as the kernel says (SO_PEERCRED).
#[derive(Clone, Copy, Debug)]
pub struct ClientPid(pub Option<i32>);

async fn create(
    State(daemon): App,
    Extension(ClientPid(client)): Extension<ClientPid>,
    Body_(request): Body_<CreateRequest>,
) -> Answer {
    Ok((StatusCode::CREATED, Json(daemon.create(request, client)?)).into_response())
}

async fn start(State(daemon): App, Path(id): Path<String>) -> Answer {
    // A client that goes away in the middle must not leave it half done.
    let started = tokio::spawn(async move { daemon.start(&id).await });
    started.await.map_err(|e| ControlError::Failed(e.to_string()))??;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn detach(State(daemon): App, Path(id): Path<String>) -> Answer {
    daemon.detach(&id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn logs(State(daemon): App, Path(id): Path<String>) -> Answer {
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

async fn bridges(State(daemon): App) -> Json<Value> {
    Json(daemon.networks().iter().map(wire::bridge).collect())
}

async fn fdb(State(daemon): App, Path(net): Path<String>) -> Answer {
    Ok(Json(wire::fdb(&daemon.network(&net)?)).into_response())
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

async fn fdb_add(State(daemon): App, Path(net): Path<String>, Body_(e): Body_<StaticEntry>) -> Answer {
    let network = daemon.network(&net)?;
    let station = Station { mac: mac(&e.mac)?, vlan: vlan(e.vlan)? };
    let (_, port) = find_port(&daemon, &e.port)?;
    if !network.bridge.ports().iter().any(|p| p.uid() == port.uid()) {
        return Err(ControlError::Invalid(format!("{} is not on network {net}", e.port)));
    }
    if !network.bridge.fdb().set_static(station, port.no(), Switch::now()) {
        return Err(ControlError::Conflict("the forwarding table is full".into()));
    }
    // Its number may soon be another's, and its stations were perhaps forgotten before this one.
    if port.is_gone() {
        network.bridge.fdb().remove(station);
        return Err(ControlError::NotFound(format!("no port {}: it has just gone", e.port)));
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Deserialize)]
struct VlanParams {
    vlan: Option<u16>,
}

async fn fdb_delete(
    State(daemon): App,
    Path((net, address)): Path<(String, String)>,
    Params(p): Params<VlanParams>,
) -> Answer {
    let station = Station { mac: mac(&address)?, vlan: vlan(p.vlan.unwrap_or(0))? };
    if !daemon.network(&net)?.bridge.fdb().remove(station) {
        return Err(ControlError::NotFound(format!("{address} is not in the table of {net}")));
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn flush(State(daemon): App, Path(net): Path<String>) -> Answer {
    let flushed = daemon.network(&net)?.bridge.fdb().flush();
    Ok(Json(json!({"Flushed": flushed})).into_response())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Ageing {
    seconds: u32,
}

async fn ageing(State(daemon): App, Path(net): Path<String>, Body_(a): Body_<Ageing>) -> Answer {
    daemon.set_ageing(&net, a.seconds)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A port by `CONTAINER:INTERFACE`, or by its container alone.
fn find_port(daemon: &Daemon, text: &str) -> Result<(u64, Arc<Port>), ControlError> {
    for network in daemon.networks() {
        if let Some(port) = network.bridge.ports().iter().find(|p| p.name() == text) {
            return Ok((network.bridge.uid(), port.clone()));
        }
    }
    if let Ok(view) = daemon.view(text)
        && let Some(port) = view.port
    {
        let bridge = daemon.network(&view.record.endpoint.network)?.bridge;
        return Ok((bridge.uid(), port));
    }
    Err(ControlError::NotFound(format!("no port {text}: `vswitch bridge show` lists those there are")))
}

async fn port(State(daemon): App, Path(name): Path<String>) -> Answer {
    Ok(Json(wire::port(&find_port(&daemon, &name)?.1)).into_response())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct PortSettings {
    hairpin: Option<bool>,
    up: Option<bool>,
    storm_broadcast: Option<u32>,
    storm_unknown_unicast: Option<u32>,
}

async fn set_port(State(daemon): App, Path(name): Path<String>, Body_(s): Body_<PortSettings>) -> Answer {
    let (_, port) = find_port(&daemon, &name)?;
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

#[derive(Deserialize)]
struct CaptureParams {
    on: Option<String>,
    filter: Option<String>,
    snaplen: Option<u32>,
    count: Option<u64>,
}

async fn capture(State(daemon): App, Params(p): Params<CaptureParams>) -> Answer {
    let scope = match p.on.as_deref() {
        None | Some("" | "any") => Scope::Any,
        Some(name) => match find_port(&daemon, name) {
            Ok((_, port)) => Scope::Ports(vec![port.uid()]),
            Err(_) => Scope::Bridge(
                daemon
                    .network(name)
                    .map_err(|_| {
                        ControlError::NotFound(format!("no container, port or network is named {name}"))
                    })?
                    .bridge
                    .uid(),
            ),
        },
    };
    let text = p.filter.unwrap_or_default();
    let filter = if text.trim().is_empty() {
        None
    } else {
        Some(Filter::compile(&text).map_err(|e| ControlError::Invalid(e.to_string()))?)
    };
    // As in tcpdump, 0 is everything.
    let snaplen = p.snaplen.filter(|n| *n > 0).unwrap_or(262_144);
    let hub = daemon.switch().capture();
    let (session, records) = hub.start(scope, filter, snaplen as usize);
    let body = watch::body(hub, session.clone(), records, p.count, text, snaplen);
    let body = body.inspect_err(|_| hub.stop(&session))?;
    Ok(([("content-type", "application/x-pcapng")], body).into_response())
}
