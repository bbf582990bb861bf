//! What the API shows: the one place where the model becomes JSON. Networks are in
//! [`super::net::wire`].

mod container;
mod flow;

use serde_json::{Value, json};

use super::cluster::{Standing, Status};
use super::daemon::{Daemon, NamedBridge, NetworkView};
use super::net::driver;
use crate::dataplane::{Bridge, Port, Switch};

pub use container::{far, inspect, member, state, summary};
pub use flow::{Owner, Owners, flow_event, flows, lost};

/// A port with its counters.
pub fn port(port: &Port) -> Value {
    let stats = port.counters().snapshot();
    json!({
        "Name": port.name(),
        "Container": port.owner(),
        "Interface": port.interface(),
        "Number": port.no(),
        "Local": port.is_trusted(),
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

/// A network's bridges.
pub fn bridges(view: &NetworkView) -> Vec<Value> {
    view.bridges.iter().map(|named| bridge(view, named)).collect()
}

/// A bridge with its ports and the state of its forwarding table.
fn bridge(view: &NetworkView, NamedBridge { name, bridge, subnet }: &NamedBridge) -> Value {
    let fdb = bridge.fdb();
    let ports: Vec<Value> = bridge.ports().iter().map(|p| port(p)).collect();
    let config = view.record.active().find(|config| Some(config.subnet) == *subnet);
    let gateway = config.and_then(|config| match config.gateway {
        Some(std::net::IpAddr::V4(address)) => Some(packet::MacAddr::from_ipv4(address)),
        _ => None,
    });
    let hex: String = gateway.unwrap_or(packet::MacAddr::ZERO).to_string().split(':').collect();
    json!({
        "Name": name,
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

/// A bridge's forwarding table, by port number and address.
pub fn fdb(view: &NetworkView, bridge: &Bridge) -> Vec<Value> {
    let ports = bridge.ports();
    let mut entries = bridge.fdb().entries(Switch::now());
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
            "Local": port.is_some_and(|p| p.is_trusted()),
            "Age": e.age,
        })
    });
    lines.collect()
}

/// How this node takes part in the networks of all nodes.
fn store(status: &Status) -> Value {
    let (trouble, since) = match &status.trouble {
        Some((why, since)) => (json!(why), json!(since.as_secs())),
        None => (Value::Null, Value::Null),
    };
    json!({
        "Node": status.node,
        "Vtep": status.vtep,
        "Joined": status.joined,
        "Sure": status.standing == Standing::Sure,
        "Trouble": trouble,
        "TroubleSeconds": since,
        "Revision": status.revision,
        "Nodes": status.nodes,
        "Networks": status.networks,
        "Endpoints": status.endpoints,
        "Unreadable": status.unreadable,
        "Resyncs": status.resyncs,
        "Sessions": status.sessions,
        "Lost": status.lost,
        "Repaired": status.repaired,
        "Reaped": status.reaped,
    })
}

/// `GET /info`.
pub fn info(daemon: &Daemon) -> Value {
    let all = daemon.views();
    let running = all.iter().filter(|v| v.record.is_running()).count();
    let networks = daemon.networks();
    let bridges = || networks.iter().flat_map(|n| &n.bridges);
    let drivers: Vec<&str> = driver::all().iter().map(|d| d.name()).collect();
    let own = json!({
        "Store": daemon.cluster().map(|cluster| store(&cluster.status())),
        "Workers": daemon.switch().workers(),
        "IoUring": daemon.switch().io_uring().to_string(),
        "Networks": networks.len(),
        "Ports": bridges().map(|named| named.bridge.ports().iter().count()).sum::<usize>(),
        "DataDir": daemon.data_dir().display().to_string(),
        "Pid": std::process::id(),
        "Names": daemon.resolver().stats(),
    });
    let swarm = json!({"NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": false,
        "Error": "", "RemoteManagers": null});
    json!({
        "ID": "",
        "Containers": all.len(),
        "ContainersRunning": running,
        "ContainersPaused": 0,
        "ContainersStopped": all.len() - running,
        "Images": 0,
        "Driver": "vswitch",
        "DriverStatus": [],
        "Plugins": {"Volume": [], "Network": drivers, "Authorization": null, "Log": []},
        "MemoryLimit": false,
        "SwapLimit": false,
        "IPv4Forwarding": true,
        "BridgeNfIptables": false,
        "BridgeNfIp6tables": false,
        "Debug": false,
        "NEventsListener": daemon.events().listeners(),
        "SystemTime": super::net::timestamp::rfc3339(super::daemon::now()),
        "LoggingDriver": "",
        "CgroupDriver": "none",
        "KernelVersion": kernel(),
        "OperatingSystem": "",
        "OSType": "linux",
        "Architecture": std::env::consts::ARCH,
        "NCPU": std::thread::available_parallelism().map_or(1, usize::from),
        "MemTotal": 0,
        "IndexServerAddress": "",
        "DockerRootDir": daemon.data_dir().display().to_string(),
        "Name": nix::unistd::gethostname().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
        "Labels": [],
        "ExperimentalBuild": false,
        "ServerVersion": env!("CARGO_PKG_VERSION"),
        "Swarm": swarm,
        "LiveRestoreEnabled": false,
        "SecurityOptions": [],
        "Warnings": null,
        "Vswitch": own,
    })
}

/// `GET /version`.
pub fn version() -> Value {
    let version = env!("CARGO_PKG_VERSION");
    let api = super::api::API_VERSION;
    json!({
        "Platform": {"Name": "vswitch"},
        "Components": [{
            "Name": "Engine",
            "Version": version,
            "Details": {
                "ApiVersion": api,
                "Arch": architecture(),
                "KernelVersion": kernel(),
                "MinAPIVersion": super::api::MIN_API_VERSION,
                "Os": "linux",
            },
        }],
        "Version": version,
        "ApiVersion": api,
        "MinAPIVersion": super::api::MIN_API_VERSION,
        "GitCommit": "",
        "GoVersion": "",
        "Os": "linux",
        "Arch": architecture(),
        "KernelVersion": kernel(),
        "BuildTime": "",
    })
}

/// Go's word for the processor.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn kernel() -> String {
    nix::sys::utsname::uname().map(|u| u.release().to_string_lossy().into_owned()).unwrap_or_default()
}
