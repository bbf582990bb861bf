//! `stats`.

use serde_json::{Value, json};

use crate::args::Stats;
use crate::client::{Client, quote};
use crate::error::{Failure, Outcome};
use crate::format::{Column, Listing, Output, escape, units};
use crate::stdout;

const STATS: Listing<'_> = Listing {
    id: "Name",
    columns: &[
        Column::new("Name", "PORT"),
        Column::new("State", "STATE"),
        Column::new("RxFrames", "RX FRAMES"),
        Column::new("Rx", "RX BYTES"),
        Column::new("TxFrames", "TX FRAMES"),
        Column::new("Tx", "TX BYTES"),
        Column::new("Drops", "DROPS"),
    ],
    more: &[
        Column::new("Network", "NETWORK"),
        Column::new("RxBytes", "RX BYTES"),
        Column::new("TxBytes", "TX BYTES"),
        Column::new("RxDrops", "RX DROPS"),
        Column::new("TxDrops", "TX DROPS"),
        Column::new("Mtu", "MTU"),
        Column::new("Hairpin", "HAIRPIN"),
    ],
};

fn drops(port: &Value) -> String {
    let each = |key: &str, way: &str| {
        let reasons = port[key].as_object().cloned().unwrap_or_default();
        reasons.into_iter().map(move |(reason, n)| format!("{way} {reason} {n}")).collect::<Vec<_>>()
    };
    let all: Vec<String> = each("RxDrops", "rx").into_iter().chain(each("TxDrops", "tx")).collect();
    all.join(", ")
}

fn row(port: &Value) -> Value {
    let mut row = port.clone();
    let bytes = |key: &str| units::human_size(port[key].as_u64().unwrap_or(0));
    let state = match (port["Up"].as_bool(), port["AdminUp"].as_bool()) {
        (Some(true), _) => "up",
        (_, Some(false)) => "admin down",
        _ => "down",
    };
    row["State"] = json!(state);
    row["Rx"] = json!(bytes("RxBytes"));
    row["Tx"] = json!(bytes("TxBytes"));
    row["Drops"] = json!(drops(port));
    row
}

/// Whether a port is the one named, or of the container named.
fn is_of(port: &Value, name: &str) -> bool {
    port["Name"] == name || (port["Container"] == name && port["Local"] != true)
}

/// The ports of all networks, or those that are meant by `name`.
fn ports(client: &Client, bridges: &[Value], name: Option<&str>) -> Result<Vec<Value>, Failure> {
    let all: Vec<Value> = bridges
        .iter()
        .flat_map(|bridge| {
            bridge["Ports"].as_array().into_iter().flatten().map(|port| {
                let mut port = port.clone();
                port["Network"] = bridge["Network"].clone();
                port
            })
        })
        .collect();
    let Some(name) = name else { return Ok(all) };
    let of = |name: &str| all.iter().filter(|port| is_of(port, name)).cloned().collect::<Vec<_>>();
    let mut found = of(name);
    if found.is_empty()
        // Perhaps an id, or the beginning of one.
        && let Ok(container) = client.get(&format!("/containers/{}/json", quote(name)))
    {
        found = of(container["Name"].as_str().unwrap_or_default().trim_start_matches('/'));
    }
    if found.is_empty() {
        found.push(client.get(&format!("/vswitch/ports/{}", quote(name)))?);
    }
    Ok(found)
}

/// The state of a network's forwarding table, in a line.
fn table(bridge: &Value) -> String {
    let f = &bridge["Fdb"];
    format!(
        "\nnetwork {}: {} of {} stations known, {} refused (fdb_full), {} moved, {} evicted; ageing {} s\n",
        escape(bridge["Network"].as_str().unwrap_or_default()),
        f["Entries"],
        f["Limit"],
        f["Full"],
        f["Moves"],
        f["Evicted"],
        bridge["Ageing"]
    )
}

/// What address translation has dropped or refused, in a line; empty if that is nothing.
fn translation(nat: &Value) -> String {
    let counters = nat["Counters"].as_object().into_iter().flatten();
    let drops = counters.filter(|(name, _)| *name != "flows_opened");
    let drops: Vec<String> = drops.map(|(name, count)| format!("{} {count}", escape(name))).collect();
    if drops.is_empty() {
        String::new()
    } else {
        format!("\naddress translation, drops: {}\n", drops.join(", "))
    }
}

/// Prints counters.
///
/// # Errors
/// The daemon's own sentence.
pub fn run(client: &Client, args: &Stats) -> Outcome {
    let output = Output::new(args.format.format.as_deref(), false)?;
    let bridges = client.get("/vswitch/bridges")?;
    let bridges = bridges.as_array().map(Vec::as_slice).unwrap_or_default();
    let ports: Vec<Value> = ports(client, bridges, args.name.as_deref())?.iter().map(row).collect();
    let mut text = output.print(&ports, &STATS)?;
    if matches!(output, Output::Table) && args.name.is_none() {
        text.extend(bridges.iter().map(table));
        text.push_str(&translation(&client.get("/vswitch/nat")?));
    }
    stdout::put(&text)?;
    Ok(0)
}
