//! What the API shows: the one place where the model becomes JSON.

use std::time::Duration;

use serde_json::{Value, json};

use super::daemon::{ContainerView, Daemon, NetworkView, now};
use super::id;
use super::record::{Container, Origin, Status};
use super::units;
use crate::dataplane::{Port, Switch};

/// Seconds since 1970 as RFC 3339 in UTC.
pub fn rfc3339(seconds: u64) -> String {
    if seconds == 0 {
        return "0001-01-01T00:00:00Z".into();
    }
    // Days to a civil date, in the proleptic Gregorian calendar with years that begin in March.
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (h, m, s) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}Z")
}

fn since(seconds: u64) -> Duration {
    Duration::from_secs(now().saturating_sub(seconds))
}

fn state(status: Status) -> &'static str {
    match status {
        Status::Created => "created",
        Status::Running { .. } => "running",
        Status::Exited { .. } => "exited",
    }
}

fn command(container: &Container) -> Vec<String> {
    match &container.origin {
        Origin::Run { command, .. } => command.clone(),
        Origin::Attach(_) => Vec::new(),
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
    json!({
        "Id": c.id,
        "Names": [format!("/{}", c.name)],
        "Image": "",
        "ImageID": "",
        "Command": command(c).join(" "),
        "Created": c.created,
        "Ports": [],
        "Labels": c.labels,
        "State": state(c.status),
        "Status": status,
        "HostConfig": {"NetworkMode": "default"},
        "NetworkSettings": {"Networks": {(c.endpoint.network.as_str()): endpoint(c)}},
        "Mounts": [],
    })
}

fn endpoint(c: &Container) -> Value {
    let e = &c.endpoint;
    let up = c.is_running();
    let text = |s: String| if up { s } else { String::new() };
    json!({
        "IPAMConfig": null,
        "Links": null,
        "Aliases": null,
        "NetworkID": e.network_id,
        "EndpointID": text(e.id.clone()),
        "Gateway": text(e.gateway.to_string()),
        "IPAddress": text(e.address.to_string()),
        "IPPrefixLen": if up { e.prefix } else { 0 },
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "MacAddress": text(e.mac.clone()),
        "DriverOpts": null,
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
    let log = if let Origin::Run { log: Some(log), .. } = &c.origin {
        log.display().to_string()
    } else {
        String::new()
    };
    let attached = if let Origin::Attach(target) = &c.origin { json!(target) } else { Value::Null };
    let ep = endpoint(c);
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
        "LogPath": log,
        "Name": format!("/{}", c.name),
        "RestartCount": 0,
        "Driver": "vswitch",
        "Platform": "linux",
        "HostConfig": {"NetworkMode": "default", "AutoRemove": c.auto_remove},
        "Config": {"Hostname": c.hostname, "Cmd": argv, "Labels": c.labels},
        "NetworkSettings": {
            "Bridge": "",
            "SandboxID": c.id,
            "HairpinMode": false,
            "LinkLocalIPv6Address": "",
            "LinkLocalIPv6PrefixLen": 0,
            "Ports": {},
            "SandboxKey": if view.pid > 0 { format!("/proc/{}/ns/net", view.pid) } else { String::new() },
            "SecondaryIPAddresses": null,
            "SecondaryIPv6Addresses": null,
            "EndpointID": ep["EndpointID"],
            "Gateway": ep["Gateway"],
            "GlobalIPv6Address": "",
            "GlobalIPv6PrefixLen": 0,
            "IPAddress": ep["IPAddress"],
            "IPPrefixLen": ep["IPPrefixLen"],
            "IPv6Gateway": "",
            "MacAddress": ep["MacAddress"],
            "Networks": {(c.endpoint.network.as_str()): ep},
        },
        "Vswitch": {
            "Attached": attached,
            "ShimPid": view.shim,
            "Port": view.port.as_deref().map(port),
        },
    })
}

/// A port with its counters.
pub fn port(port: &Port) -> Value {
    let stats = port.counters().snapshot();
    json!({
        "Name": port.name(),
        "Container": port.owner(),
        "Interface": port.interface(),
        "Number": port.no(),
        "Up": port.is_up(),
        "AdminUp": port.admin_up(),
        "Hairpin": port.hairpin(),
        "Mtu": port.mtu(),
        "StormBroadcast": port.storm().broadcast.get(),
        "StormUnknownUnicast": port.storm().unknown_unicast.get(),
        "RxFrames": stats.rx_frames,
        "RxBytes": stats.rx_bytes,
        "TxFrames": stats.tx_frames,
        "TxBytes": stats.tx_bytes,
        "RxDrops": stats.rx_drops,
        "TxDrops": stats.tx_drops,
    })
}

/// A network's bridge with its ports and the state of its forwarding table.
pub fn bridge(view: &NetworkView) -> Value {
    let fdb = view.bridge.fdb();
    let ports: Vec<Value> = view.bridge.ports().iter().map(|p| port(p)).collect();
    let gateway = packet::MacAddr::from_ipv4(view.record.gateway);
    let hex: String = gateway.to_string().split(':').collect();
    json!({
        "Name": view.record.bridge_name,
        "Network": view.record.name,
        "NetworkID": view.record.id,
        "BridgeID": format!("8000.{hex}"),
        "Stp": false,
        "Ageing": fdb.ageing(),
        "Ports": ports,
        "Fdb": {
            "Entries": fdb.len(),
            "Limit": fdb.limit(),
            "Full": fdb.full_count(),
            "Moves": fdb.move_count(),
            "Evicted": fdb.evicted_count(),
        },
    })
}

/// A network's forwarding table, by port number and address.
pub fn fdb(view: &NetworkView) -> Value {
    let ports = view.bridge.ports();
    let mut entries = view.bridge.fdb().entries(Switch::now());
    entries.sort_by_key(|e| (e.port, e.station.mac, e.station.vlan));
    let lines = entries.iter().map(|e| {
        let port = ports.iter().find(|p| p.no() == e.port);
        json!({
            "Network": view.record.name,
            "Port": e.port,
            "PortName": port.map(|p| p.name()),
            "Mac": e.station.mac.to_string(),
            "Vlan": e.station.vlan,
            "Static": e.is_static,
            "Age": e.age,
        })
    });
    Value::Array(lines.collect())
}

/// `GET /info`.
pub fn info(daemon: &Daemon) -> Value {
    let all = daemon.views();
    let running = all.iter().filter(|v| v.record.is_running()).count();
    json!({
        "ID": "",
        "Containers": all.len(),
        "ContainersRunning": running,
        "ContainersPaused": 0,
        "ContainersStopped": all.len() - running,
        "Images": 0,
        "Driver": "vswitch",
        "ServerVersion": env!("CARGO_PKG_VERSION"),
        "OperatingSystem": "",
        "OSType": "linux",
        "Architecture": std::env::consts::ARCH,
        "KernelVersion": kernel(),
        "NCPU": std::thread::available_parallelism().map_or(1, usize::from),
        "DockerRootDir": daemon.data_dir().display().to_string(),
        "Name": nix::unistd::gethostname().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
        "Plugins": {"Network": ["bridge"]},
        "Vswitch": {
            "Workers": daemon.switch().workers(),
            "Networks": daemon.networks().len(),
            "Ports": daemon.networks().iter().map(|n| n.bridge.ports().iter().count()).sum::<usize>(),
            "DataDir": daemon.data_dir().display().to_string(),
            "Pid": std::process::id(),
        },
    })
}

/// `GET /version`.
pub fn version() -> Value {
    json!({
        "Version": env!("CARGO_PKG_VERSION"),
        "ApiVersion": super::api::API_VERSION,
        "MinAPIVersion": "1.12",
        "Os": "linux",
        "Arch": std::env::consts::ARCH,
        "KernelVersion": kernel(),
    })
}

fn kernel() -> String {
    nix::sys::utsname::uname().map(|u| u.release().to_string_lossy().into_owned()).unwrap_or_default()
}

/// The short id, for messages.
pub fn short(view: &ContainerView) -> &str {
    id::short(&view.record.id)
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn times_are_written_as_docker_writes_them() {
        assert_eq!(rfc3339(0), "0001-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_767_225_599), "2025-12-31T23:59:59Z");
        assert_eq!(rfc3339(1_772_323_200), "2026-03-01T00:00:00Z");
    }
}
