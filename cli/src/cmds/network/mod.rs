//! `network`.

mod create;

use std::io::BufRead;

use serde_json::{Map, Value, json};

use super::inspect::look_up;
use crate::args::{
    Network, NetworkCommand, NetworkConnect, NetworkDisconnect, NetworkInspect, NetworkLs, NetworkPrune,
    NetworkRm, filters,
};
use crate::client::{Client, quote};
use crate::error::{Failure, Outcome};
use crate::format::{self, Column, Listing, Output, natural};
use crate::{stdout, time};

const LS: Listing<'_> = Listing {
    id: "ID",
    columns: &[
        Column::new("ID", "NETWORK ID"),
        Column::new("Name", "NAME"),
        Column::new("Driver", "DRIVER"),
        Column::new("Scope", "SCOPE"),
    ],
    more: &[
        Column::new("IPv6", "IPV6"),
        Column::new("Internal", "INTERNAL"),
        Column::new("Labels", "LABELS"),
        Column::new("CreatedAt", "CREATED AT"),
    ],
};

/// What `prune` asks before it begins.
const WARNING: &str = "WARNING! This will remove all custom networks not used by at least one container.\n\
                       Are you sure you want to continue? [y/N] ";

/// Runs `network ...`.
///
/// # Errors
/// The daemon's own sentence.
pub fn run(client: &Client, args: Network) -> Outcome {
    match args.command {
        NetworkCommand::Create(a) => create::run(client, &a),
        NetworkCommand::Ls(a) => ls(client, &a),
        NetworkCommand::Inspect(a) => inspect(client, &a),
        NetworkCommand::Rm(a) => rm(client, &a),
        NetworkCommand::Prune(a) => prune(client, &a),
        NetworkCommand::Connect(a) => connect(client, &a),
        NetworkCommand::Disconnect(a) => disconnect(client, &a),
    }
}

fn row(network: &Value, whole: bool) -> Value {
    let text = |key: &str| network[key].as_str().unwrap_or_default();
    let truth = |key: &str| network[key].as_bool().unwrap_or(false).to_string();
    let id = text("Id");
    json!({
        "CreatedAt": time::plain_rfc3339(text("Created")),
        "Driver": text("Driver"),
        "ID": if whole { id } else { id.get(..12).unwrap_or(id) },
        "IPv6": truth("EnableIPv6"),
        "Internal": truth("Internal"),
        "Labels": format::labels(&network["Labels"]),
        "Name": text("Name"),
        "Scope": text("Scope"),
    })
}

fn ls(client: &Client, args: &NetworkLs) -> Outcome {
    let output = Output::new(args.format.as_deref(), args.quiet)?;
    let query = filters(&args.filter).map(|f| format!("?filters={}", quote(&f))).unwrap_or_default();
    let networks = client.get(&format!("/networks{query}"))?;
    let mut rows: Vec<Value> =
        networks.as_array().into_iter().flatten().map(|n| row(n, args.no_trunc)).collect();
    let name = |row: &Value| row["Name"].as_str().unwrap_or_default().to_owned();
    rows.sort_by(|a, b| natural(&name(a), &name(b)));
    stdout::put(&output.print(&rows, &LS)?)?;
    Ok(0)
}

fn inspect(client: &Client, args: &NetworkInspect) -> Outcome {
    let query = if args.verbose { "?verbose=true" } else { "" };
    let (found, status) =
        look_up(&args.networks, |name| client.get(&format!("/networks/{}{query}", quote(name))));
    stdout::put(&format::inspect(&found, args.format.as_deref())?)?;
    Ok(status)
}

fn rm(client: &Client, args: &NetworkRm) -> Outcome {
    let mut status = 0;
    for name in &args.networks {
        match client.delete(&format!("/networks/{}", quote(name))) {
            Ok(()) => {
                stdout::put(&format!("{name}\n"))?;
            }
            Err(failure) if args.force && failure.is_not_found() => {}
            Err(failure) => {
                eprintln!("vswitch: {failure}");
                status = failure.code;
            }
        }
    }
    Ok(status)
}

/// Whether the answer to a question is yes.
fn agrees(question: &str) -> Result<bool, Failure> {
    stdout::put(question)?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim_end().eq_ignore_ascii_case("y"))
}

fn prune(client: &Client, args: &NetworkPrune) -> Outcome {
    if !args.force && !agrees(WARNING)? {
        return Ok(0);
    }
    let query = filters(&args.filter).map(|f| format!("?filters={}", quote(&f))).unwrap_or_default();
    let report = client.post(&format!("/networks/prune{query}"), &())?;
    let removed: Vec<&str> =
        report["NetworksDeleted"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !removed.is_empty() {
        stdout::put(&format!("Deleted Networks:\n{}\n\n", removed.join("\n")))?;
    }
    Ok(0)
}

fn connect(client: &Client, args: &NetworkConnect) -> Outcome {
    client.post(&format!("/networks/{}/connect", quote(&args.network)), &connection(args)).map(|_| 0)
}

/// The body of `POST /networks/ID/connect`; what was not asked for is not in it.
fn connection(args: &NetworkConnect) -> Value {
    let mut ipam = Map::new();
    for (key, address) in [("IPv4Address", &args.ip), ("IPv6Address", &args.ip6)] {
        if let Some(address) = address {
            ipam.insert(key.into(), json!(address));
        }
    }
    if !args.link_local_ip.is_empty() {
        ipam.insert("LinkLocalIPs".into(), json!(args.link_local_ip));
    }
    let options: Map<String, Value> = args.driver_opt.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
    let mut endpoint = Map::new();
    for (key, value) in [
        ("IPAMConfig", Value::Object(ipam)),
        ("Links", json!(args.link)),
        ("Aliases", json!(args.alias)),
        ("DriverOpts", Value::Object(options)),
    ] {
        let empty =
            value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty);
        if !empty {
            endpoint.insert(key.into(), value);
        }
    }
    json!({"Container": args.container, "EndpointConfig": endpoint})
}

fn disconnect(client: &Client, args: &NetworkDisconnect) -> Outcome {
    let body = json!({"Container": args.container, "Force": args.force});
    client.post(&format!("/networks/{}/disconnect", quote(&args.network)), &body).map(|_| 0)
}
