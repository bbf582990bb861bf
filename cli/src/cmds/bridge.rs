//! `bridge`: what brctl shows of a bridge.

use serde_json::{Value, json};

use crate::args::{Bridge, BridgeCommand, Format};
use crate::client::{Client, quote};
use crate::error::Outcome;
use crate::format::{Column, Listing, Output};

/// Runs `bridge ...`.
///
/// # Errors
/// The daemon's own sentence.
pub fn run(client: &Client, args: Bridge) -> Outcome {
    match args.command {
        BridgeCommand::Show { format } => return show(client, &format),
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

fn set(client: &Client, port: &str, settings: &Value) -> Result<(), crate::error::Failure> {
    client.post(&format!("/vswitch/ports/{}", quote(port)), settings).map(drop)
}

fn show(client: &Client, format: &Format) -> Outcome {
    let bridges = client.get("/vswitch/bridges")?;
    let bridges = bridges.as_array().map(Vec::as_slice).unwrap_or_default();
    if format.format.is_some() {
        let listing = Listing { id: "Name", columns: &[Column::new("Name", "NAME")], more: &[] };
        print!("{}", Output::new(format.format.as_deref(), false)?.print(bridges, &listing)?);
        return Ok(0);
    }
    // brctl's own columns and tabs.
    println!("bridge name\tbridge id\t\tSTP enabled\tinterfaces");
    for bridge in bridges {
        let text = |key: &str| crate::format::escape(bridge[key].as_str().unwrap_or_default()).into_owned();
        let ports: Vec<String> = bridge["Ports"]
            .as_array()
            .map(|all| {
                all.iter()
                    .filter_map(|p| p["Name"].as_str())
                    .map(|name| crate::format::escape(name).into_owned())
                    .collect()
            })
            .unwrap_or_default();
        let first = ports.first().map(String::as_str).unwrap_or_default();
        println!("{}\t\t{}\tno\t\t{first}", text("Name"), text("BridgeID"));
        for port in ports.iter().skip(1) {
            println!("\t\t\t\t\t\t\t{port}");
        }
    }
    Ok(0)
}

fn fdb(client: &Client, network: Option<&str>, format: &Format) -> Outcome {
    let names: Vec<String> = match network {
        Some(name) => vec![name.to_owned()],
        None => client
            .get("/vswitch/bridges")?
            .as_array()
            .map(|all| all.iter().filter_map(|b| b["Network"].as_str()).map(str::to_owned).collect())
            .unwrap_or_default(),
    };
    let mut entries = Vec::new();
    for name in names {
        if let Value::Array(part) = client.get(&format!("/vswitch/bridges/{}/fdb", quote(&name)))? {
            entries.extend(part);
        }
    }
    if format.format.is_some() {
        let listing = Listing { id: "Mac", columns: &[Column::new("Mac", "MAC ADDR")], more: &[] };
        print!("{}", Output::new(format.format.as_deref(), false)?.print(&entries, &listing)?);
        return Ok(0);
    }
    // As `brctl showmacs`; the name of the port and the VLAN behind it are what it lacks.
    println!("port no\tmac addr\t\tis local?\tageing timer");
    for e in &entries {
        let vlan = match e["Vlan"].as_u64() {
            Some(0) | None => String::new(),
            Some(id) => format!("\tvlan {id}"),
        };
        let age = e["Age"].as_f64().unwrap_or(0.0);
        let local = if e["Static"] == Value::Bool(true) { "yes" } else { "no" };
        println!(
            "{:3}\t{}\t{local}\t\t{age:7.2}{vlan}",
            e["Port"].as_u64().unwrap_or(0),
            e["Mac"].as_str().unwrap_or_default(),
        );
    }
    Ok(0)
}
