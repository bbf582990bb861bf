//! `bridge`: what brctl shows of a bridge.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::{Value, json};

use crate::args::{Bridge, BridgeCommand, Format};
use crate::client::{Client, quote};
use crate::error::{Failure, Outcome};
use crate::format::{self, Column, Listing, Output};
use crate::stdout;

/// Runs `bridge ...`.
///
/// # Errors
/// The daemon's own sentence.
pub fn run(client: &Client, args: Bridge) -> Outcome {
    match args.command {
        BridgeCommand::Show { networks, format } => return show(client, &networks, &format),
        BridgeCommand::Fdb { network, format } => return fdb(client, network.as_deref(), &format),
        BridgeCommand::Flush { network } => {
            client.post(&format!("/vswitch/bridges/{}/flush", quote(&network)), &())?;
        }
        BridgeCommand::Setageing { network, seconds } => {
            client.post(
                &format!("/vswitch/bridges/{}/ageing", quote(&network)),
                &json!({"Seconds": seconds}),
            )?;
        }
        BridgeCommand::Hairpin { port, state } => set(client, &port, &json!({"Hairpin": state}))?,
        BridgeCommand::Port { port, state } => set(client, &port, &json!({"Up": state}))?,
        BridgeCommand::Storm { port, broadcast, unknown_unicast } => {
            let limits = json!({"StormBroadcast": broadcast, "StormUnknownUnicast": unknown_unicast});
            set(client, &port, &limits)?;
        }
        BridgeCommand::Static { network, mac, port, vlan } => {
            let path = format!("/vswitch/bridges/{}/fdb", quote(&network));
            if port == "none" {
                client.delete(&format!("{path}/{}?vlan={vlan}", quote(&mac)))?;
            } else {
                client.post(&path, &json!({"Mac": mac, "Port": port, "Vlan": vlan}))?;
            }
        }
    }
    Ok(0)
}

fn set(client: &Client, port: &str, settings: &Value) -> Result<(), Failure> {
    client.post(&format!("/vswitch/ports/{}", quote(port)), settings).map(drop)
}

/// A text, harmless for a terminal.
fn text<'a>(value: &'a Value, key: &str) -> Cow<'a, str> {
    format::escape(value[key].as_str().unwrap_or_default())
}

fn is_named(bridge: &Value, name: &str) -> bool {
    let id = bridge["NetworkID"].as_str().unwrap_or_default();
    bridge["Name"] == name || bridge["Network"] == name || (!name.is_empty() && id.starts_with(name))
}

fn show(client: &Client, networks: &[String], format: &Format) -> Outcome {
    let output = Output::new(format.format.as_deref(), false)?;
    let mut bridges = list(client)?;
    let mut status = 0;
    for name in networks.iter().filter(|name| !bridges.iter().any(|bridge| is_named(bridge, name))) {
        eprintln!("vswitch: bridge {name} does not exist!");
        status = 1;
    }
    bridges.retain(|bridge| networks.is_empty() || networks.iter().any(|name| is_named(bridge, name)));
    let text = if matches!(output, Output::Table) {
        table(&bridges)
    } else {
        let listing = Listing { id: "Name", columns: &[Column::new("Name", "NAME")], more: &[] };
        output.print(&bridges, &listing)?
    };
    stdout::put(&text)?;
    Ok(status)
}

/// All bridges, in the order of their names.
fn list(client: &Client) -> Result<Vec<Value>, Failure> {
    let Value::Array(mut bridges) = client.get("/vswitch/bridges")? else { return Ok(Vec::new()) };
    bridges.sort_by_cached_key(|bridge| bridge["Name"].as_str().unwrap_or_default().to_owned());
    Ok(bridges)
}

/// As `brctl show`.
fn table(bridges: &[Value]) -> String {
    let mut out = "bridge name\tbridge id\t\tSTP enabled\tinterfaces\n".to_owned();
    for bridge in bridges {
        // brctl does not list the bridge's own interface either.
        let ports = bridge["Ports"].as_array().into_iter().flatten().filter(|p| p["Local"] != true);
        let mut ports: Vec<Cow<'_, str>> = ports.map(|port| text(port, "Name")).collect();
        ports.sort_unstable();
        let stp = if bridge["Stp"] == Value::Bool(true) { "yes" } else { "no" };
        let (name, id) = (text(bridge, "Name"), text(bridge, "BridgeID"));
        let ports = ports.join("\n\t\t\t\t\t\t\t");
        let _ = writeln!(out, "{name}\t\t{id}\t{stp}\t\t{ports}");
    }
    out
}

fn fdb(client: &Client, network: Option<&str>, format: &Format) -> Outcome {
    let output = Output::new(format.format.as_deref(), false)?;
    let mut names: Vec<String> = network.map(str::to_owned).into_iter().collect();
    if network.is_none() {
        names.extend(list(client)?.iter().filter_map(|b| b["Network"].as_str()).map(str::to_owned));
        // A network may have several bridges.
        let mut seen = BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
    }
    let mut entries = Vec::new();
    for name in &names {
        match client.get(&format!("/vswitch/bridges/{}/fdb", quote(name))) {
            Ok(Value::Array(mut part)) => {
                part.sort_by_cached_key(|e| {
                    (e["Mac"].as_str().unwrap_or_default().to_owned(), e["Vlan"].as_u64())
                });
                entries.extend(part);
            }
            Ok(_) => {}
            // Removed since the networks were listed.
            Err(failure) if network.is_none() && failure.is_not_found() => {}
            Err(failure) => return Err(failure),
        }
    }
    let text = if matches!(output, Output::Table) {
        stations(&entries, names.len() > 1)
    } else {
        let listing = Listing { id: "Mac", columns: &[Column::new("Mac", "MAC ADDR")], more: &[] };
        output.print(&entries, &listing)?
    };
    stdout::put(&text)?;
    Ok(0)
}

/// As `brctl showmacs`, which is of one bridge and knows no VLANs: what it has no place for stands at the end.
fn stations(entries: &[Value], several: bool) -> String {
    let mut out = "port no\tmac addr\t\tis local?\tageing timer".to_owned();
    out.push_str(if several { "\tnetwork\n" } else { "\n" });
    for entry in entries {
        let local = if entry["Local"] == Value::Bool(true) { "yes" } else { "no" };
        // Cut off, not rounded.
        #[allow(clippy::cast_sign_loss)] // a float becomes 0 where it is negative
        let hundredths = entry["Age"].as_f64().map_or(0, |age| (age * 100.0 + 1e-6) as u64);
        let _ = write!(
            out,
            "{:3}\t{}\t{local}\t\t{:4}.{:02}",
            entry["Port"].as_u64().unwrap_or(0),
            text(entry, "Mac"),
            hundredths / 100,
            hundredths % 100,
        );
        if several {
            let _ = write!(out, "\t{}", text(entry, "Network"));
        }
        if let Some(vlan) = entry["Vlan"].as_u64().filter(|vlan| *vlan != 0) {
            let _ = write!(out, "\tvlan {vlan}");
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(port: u16, mac: &str, age: f64) -> Value {
        json!({"Network": "bridge", "Port": port, "Mac": mac, "Vlan": 0, "Static": false, "Age": age})
    }

    #[test]
    fn bridges_are_shown_as_brctl_shows_them() {
        let bridges = [
            json!({"Name": "br-0123456789ab", "BridgeID": "8000.000000000000", "Stp": true, "Ports": []}),
            json!({
                "Name": "docker0", "BridgeID": "8000.020000000001", "Stp": false,
                "Ports": [{"Name": "gateway:docker0", "Local": true}, {"Name": "v3:eth0"}, {"Name": "v1:eth0"}, {"Name": "v2:eth1"}],
            }),
        ];
        assert_eq!(
            table(&bridges),
            "bridge name\tbridge id\t\tSTP enabled\tinterfaces\n\
             br-0123456789ab\t\t8000.000000000000\tyes\t\t\n\
             docker0\t\t8000.020000000001\tno\t\tv1:eth0\n\
             \t\t\t\t\t\t\tv2:eth1\n\
             \t\t\t\t\t\t\tv3:eth0\n"
        );
    }

    #[test]
    fn stations_are_shown_as_brctl_shows_macs() {
        let mut gateway = entry(3, "02:00:00:00:00:01", 0.0);
        gateway["Local"] = json!(true);
        let mut pinned = entry(2, "02:00:00:00:00:05", 0.0);
        pinned["Static"] = json!(true);
        let entries =
            [gateway, pinned, entry(12, "02:00:00:00:00:0f", 1.999), entry(1, "02:00:00:00:00:10", 300.0)];
        assert_eq!(
            stations(&entries, false),
            "port no\tmac addr\t\tis local?\tageing timer\n  \
             3\t02:00:00:00:00:01\tyes\t\t   0.00\n  \
             2\t02:00:00:00:00:05\tno\t\t   0.00\n \
             12\t02:00:00:00:00:0f\tno\t\t   1.99\n  \
             1\t02:00:00:00:00:10\tno\t\t 300.00\n"
        );
    }

    #[test]
    fn several_networks_are_told_apart() {
        let mut tagged = entry(1, "02:00:00:00:00:01", 0.0);
        tagged["Vlan"] = json!(7);
        assert_eq!(
            stations(&[tagged], true).lines().collect::<Vec<_>>(),
            [
                "port no\tmac addr\t\tis local?\tageing timer\tnetwork",
                "  1\t02:00:00:00:00:01\tno\t\t   0.00\tbridge\tvlan 7",
            ]
        );
    }

    #[test]
    fn a_bridge_is_found_by_any_of_its_names() {
        let bridge = json!({"Name": "docker0", "Network": "bridge", "NetworkID": "b94d7c0f3a1d"});
        for name in ["docker0", "bridge", "b94d", "b94d7c0f3a1d"] {
            assert!(is_named(&bridge, name), "{name}");
        }
        for name in ["", "docker", "94d7", "b94d7c0f3a1d0"] {
            assert!(!is_named(&bridge, name), "{name}");
        }
    }
}
