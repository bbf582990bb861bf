//! `stats`.

use serde_json::{Value, json};

use crate::args::Stats;
use crate::client::{Client, quote};
use crate::error::Outcome;
use crate::format::{Column, Listing, Output, units};

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

/// Prints counters.
///
/// # Errors
/// The daemon's own sentence.
pub fn run(client: &Client, args: &Stats) -> Outcome {
    let output = Output::new(args.format.format.as_deref(), false)?;
    let mut tables = String::new();
    let ports: Vec<Value> = if let Some(name) = &args.name {
        vec![row(&client.get(&format!("/vswitch/ports/{}", quote(name)))?)]
    } else {
        let bridges = client.get("/vswitch/bridges")?;
        let bridges = bridges.as_array().cloned().unwrap_or_default();
        for b in &bridges {
            use std::fmt::Write;
            let f = &b["Fdb"];
            let _ = writeln!(
                tables,
                "\nnetwork {}: {} of {} stations known, {} refused (fdb_full), {} moved, {} evicted; ageing {} s",
                b["Network"].as_str().unwrap_or_default(),
                f["Entries"],
                f["Limit"],
                f["Full"],
                f["Moves"],
                f["Evicted"],
                b["Ageing"]
            );
        }
        bridges
            .iter()
            .flat_map(|b| {
                let ports = b["Ports"].as_array().cloned().unwrap_or_default();
                ports.into_iter().map(|p| {
                    let mut row = row(&p);
                    row["Network"] = b["Network"].clone();
                    row
                })
            })
            .collect()
    };
    print!("{}", output.print(&ports, &STATS)?);
    if matches!(output, Output::Table) {
        print!("{tables}");
    }
    Ok(0)
}
