//! Containers, in the form of Docker's `ContainerJSON` and of its lists.

use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::port;
use crate::control::cluster::SharedEndpoint;
use crate::control::daemon::{ContainerView, Member, now};
use crate::control::id;
use crate::control::net::timestamp::rfc3339;
use crate::control::net::wire::EndpointResource;
use crate::control::record::{Container, Endpoint, ExposedPort, Mode, Origin, Status};
use crate::control::units;

fn since(nanoseconds: u64) -> Duration {
    Duration::from_nanos(now().saturating_sub(nanoseconds))
}

/// Docker's word for where a container stands.
pub fn state(status: Status) -> &'static str {
    match status {
        Status::Created => "created",
        Status::Running { .. } => "running",
        Status::Exited { .. } => "exited",
    }
}

fn command(container: &Container) -> &[String] {
    match &container.origin {
        Origin::Run { command, .. } => command,
        Origin::Attach { .. } => &[],
    }
}

fn network_mode(c: &Container) -> String {
    match &c.mode {
        Mode::Container(other) => format!("container:{other}"),
        Mode::Host => "host".into(),
        Mode::None => "none".into(),
        Mode::Networks => c.endpoints.first().map_or_else(|| "default".into(), |e| e.wished.network.clone()),
    }
}

/// A container on a network, as the network lists it.
pub fn member(member: &Member) -> EndpointResource {
    let e = &member.endpoint;
    EndpointResource {
        name: if e.gateway_only {
            format!("gateway_{}", id::short(&member.container))
        } else {
            member.name.clone()
        },
        endpoint_id: e.id.clone(),
        mac_address: e.mac.clone(),
        ipv4_address: e.v4.map(|net| net.to_string()).unwrap_or_default(),
        ipv6_address: e.v6.map(|net| net.to_string()).unwrap_or_default(),
    }
}

/// An endpoint of another node, as its network shows it.
pub fn far(endpoint: &SharedEndpoint) -> EndpointResource {
    EndpointResource {
        name: endpoint.name.clone(),
        endpoint_id: endpoint.id.clone(),
        mac_address: endpoint.mac.clone(),
        ipv4_address: endpoint.ipv4.to_string(),
        ipv6_address: endpoint.ipv6.map(|net| net.to_string()).unwrap_or_default(),
    }
}

/// One line of `GET /containers/json`.
pub fn summary(view: &ContainerView) -> Value {
    let c = &view.record;
    let status = match c.status {
        Status::Created => "Created".to_owned(),
        Status::Running { since: at } => units::up(since(at)),
        Status::Exited { code, at, .. } => units::exited(code, since(at)),
    };
    let ports = if c.is_running() { port_list(c) } else { Vec::new() };
    json!({
        "Id": c.id,
        "Names": [format!("/{}", c.name)],
        "Image": "",
        "ImageID": "",
        "Command": command(c).join(" "),
        "Created": c.created / 1_000_000_000,
        "Ports": ports,
        "Labels": c.labels,
        "State": state(c.status),
        "Status": status,
        "HostConfig": {"NetworkMode": network_mode(c)},
        "NetworkSettings": {"Networks": networks(c)},
        "Mounts": [],
    })
}

/// Ports of the host first, then those that only other containers reach.
fn port_list(c: &Container) -> Vec<Value> {
    let open = c.bindings.iter().map(|b| {
        json!({
            "IP": b.address,
            "PrivatePort": b.port.port,
            "PublicPort": b.host,
            "Type": b.port.protocol.as_str(),
        })
    });
    let bound = |port: &&ExposedPort| c.bindings.iter().any(|b| b.port == **port);
    let closed = c.exposed.iter().filter(|port| !bound(port));
    let closed = closed.map(|port| json!({"PrivatePort": port.port, "Type": port.protocol.as_str()}));
    open.chain(closed).collect()
}

/// Docker's `PortMap`: the host's ports by the container's.
fn port_map(c: &Container) -> Map<String, Value> {
    let of = |port: &ExposedPort| {
        let bound = c.bindings.iter().filter(|b| b.port == *port);
        let bound: Vec<Value> =
            bound.map(|b| json!({"HostIp": b.address, "HostPort": b.host.to_string()})).collect();
        if bound.is_empty() { Value::Null } else { json!(bound) }
    };
    c.exposed.iter().map(|port| (port.to_string(), of(port))).collect()
}

/// What was asked for, in the same form.
fn port_wishes(c: &Container) -> Map<String, Value> {
    let mut all = Map::new();
    for wish in &c.published {
        let host = match wish.host {
            None => String::new(),
            Some((first, last)) if first == last => first.to_string(),
            Some((first, last)) => format!("{first}-{last}"),
        };
        let address = wish.address.map(|a| a.to_string()).unwrap_or_default();
        let list = all.entry(wish.port.to_string()).or_insert_with(|| json!([]));
        if let Some(list) = list.as_array_mut() {
            list.push(json!({"HostIp": address, "HostPort": host}));
        }
    }
    all
}

fn networks(c: &Container) -> Map<String, Value> {
    let mut sorted: Vec<&Endpoint> = c.endpoints.iter().filter(|e| !e.gateway_only).collect();
    sorted.sort_by(|a, b| a.network.cmp(&b.network));
    sorted.into_iter().map(|e| (e.network.clone(), endpoint(c, e))).collect()
}

/// Docker's `EndpointSettings`.
fn endpoint(c: &Container, e: &Endpoint) -> Value {
    let up = c.is_running();
    let text = |s: Option<String>| if up { s.unwrap_or_default() } else { String::new() };
    let list = |words: Vec<String>| if words.is_empty() { Value::Null } else { json!(words) };
    let wished = &e.wished;
    let mut ipam = Map::new();
    if let Some(ip) = wished.ip {
        ipam.insert("IPv4Address".into(), json!(ip));
    }
    if let Some(ip) = wished.ip6 {
        ipam.insert("IPv6Address".into(), json!(ip));
    }
    // On networks with names the short id is one.
    let mut aliases = wished.aliases.clone();
    if !e.interface.is_empty() && e.network != "bridge" {
        aliases.push(id::short(&c.id).to_owned());
    }
    json!({
        "IPAMConfig": if ipam.is_empty() { Value::Null } else { Value::Object(ipam) },
        "Links": list(wished.links.clone()),
        "Aliases": list(aliases),
        "NetworkID": e.network_id,
        "EndpointID": text(Some(e.id.clone())),
        "Gateway": text(e.gateway4.map(|a| a.to_string())),
        "IPAddress": text(e.v4.map(|net| net.addr().to_string())),
        "IPPrefixLen": e.v4.filter(|_| up).map_or(0, |net| net.prefix_len()),
        "IPv6Gateway": text(e.gateway6.map(|a| a.to_string())),
        "GlobalIPv6Address": text(e.v6.map(|net| net.addr().to_string())),
        "GlobalIPv6PrefixLen": e.v6.filter(|_| up).map_or(0, |net| net.prefix_len()),
        "MacAddress": text(Some(e.mac.clone())),
        "DriverOpts": if wished.driver_opts.is_empty() { Value::Null } else { json!(wished.driver_opts) },
    })
}

/// `GET /containers/ID/json`.
pub fn inspect(view: &ContainerView) -> Value {
    let c = &view.record;
    let argv = command(c);
    let (path, args) = argv.split_first().map_or(("", &[][..]), |(p, a)| (p.as_str(), a));
    let (code, started, finished) = match c.status {
        Status::Created => (0, 0, 0),
        Status::Running { since } => (0, since, 0),
        Status::Exited { code, since, at } => (code, since, at),
    };
    let log = match &c.origin {
        Origin::Run { log: Some(log), .. } => log.display().to_string(),
        _ => String::new(),
    };
    let file = |name: &str| Some(view.dir.join(name)).filter(|p| p.exists());
    let file = |name: &str| file(name).map(|p| p.display().to_string()).unwrap_or_default();
    let attached = match &c.origin {
        Origin::Attach { target, .. } => json!(target),
        Origin::Run { .. } => Value::Null,
    };
    let netns = match &c.origin {
        Origin::Attach { netns: Some((device, inode)), .. } => json!([device, inode]),
        _ => Value::Null,
    };
    let env: Vec<String> = c.env.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let exposed: Map<String, Value> = c.exposed.iter().map(|p| (p.to_string(), json!({}))).collect();
    let ports: Vec<Value> = view.ports.iter().map(|p| port(&p.port)).collect();
    json!({
        "Id": c.id,
        "Created": rfc3339(c.created),
        "Path": path,
        "Args": args,
        "State": {
            "Status": state(c.status),
            "Running": c.is_running(),
            "Paused": false,
            "Restarting": false,
            "OOMKilled": false,
            "Dead": false,
            "Pid": view.pid,
            "ExitCode": code,
            "Error": "",
            "StartedAt": rfc3339(started),
            "FinishedAt": rfc3339(finished),
        },
        "Image": "",
        "ResolvConfPath": file("resolv.conf"),
        "HostnamePath": file("hostname"),
        "HostsPath": file("hosts"),
        "LogPath": log,
        "Name": format!("/{}", c.name),
        "RestartCount": 0,
        "Driver": "vswitch",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": null,
        "HostConfig": {
            "NetworkMode": network_mode(c),
            "PortBindings": port_wishes(c),
            "AutoRemove": c.auto_remove,
            "Dns": c.dns.servers,
            "DnsOptions": c.dns.options,
            "DnsSearch": c.dns.search,
            "ExtraHosts": c.dns.hosts.iter().map(|(n, a)| format!("{n}:{a}")).collect::<Vec<_>>(),
            "Links": null,
            "PublishAllPorts": false,
        },
        "GraphDriver": {"Data": null, "Name": ""},
        "Mounts": [],
        "Config": {
            "Hostname": c.hostname,
            "Domainname": c.domainname.clone().unwrap_or_default(),
            "User": "",
            "ExposedPorts": exposed,
            "Env": env,
            "Cmd": argv,
            "Image": "",
            "Labels": c.labels,
        },
        "NetworkSettings": settings(view),
        "Vswitch": {
            "Attached": attached,
            "Netns": netns,
            "ShimPid": view.shim,
            "Ports": ports,
        },
    })
}

/// Docker's `NetworkSettings`: what is true of the default network is at its top as well.
fn settings(view: &ContainerView) -> Value {
    let c = &view.record;
    let top = c.endpoints.iter().find(|e| e.network == "bridge").map(|e| endpoint(c, e));
    let top = |key: &str, none: Value| top.as_ref().map_or(none, |e| e[key].clone());
    let shares = matches!(c.mode, Mode::Container(_));
    let ports = if c.is_running() { port_map(c) } else { Map::new() };
    let key =
        if view.netns == Path::new("") || shares { String::new() } else { view.netns.display().to_string() };
    json!({
        "Bridge": "",
        "SandboxID": if shares { "" } else { c.id.as_str() },
        "HairpinMode": false,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "Ports": ports,
        "SandboxKey": key,
        "SecondaryIPAddresses": null,
        "SecondaryIPv6Addresses": null,
        "EndpointID": top("EndpointID", json!("")),
        "Gateway": top("Gateway", json!("")),
        "GlobalIPv6Address": top("GlobalIPv6Address", json!("")),
        "GlobalIPv6PrefixLen": top("GlobalIPv6PrefixLen", json!(0)),
        "IPAddress": top("IPAddress", json!("")),
        "IPPrefixLen": top("IPPrefixLen", json!(0)),
        "IPv6Gateway": top("IPv6Gateway", json!("")),
        "MacAddress": top("MacAddress", json!("")),
        "Networks": networks(c),
    })
}
