//! `nat`.

use serde_json::{Value, json};

use crate::args::{Nat, NatCommand};
use crate::client::{Client, quote};
use crate::error::Outcome;
use crate::format::{Column, Listing, Output, units};
use crate::stdout;

const FLOWS: Listing<'_> = Listing {
    id: "Inside",
    columns: &[
        Column::new("Container", "CONTAINER"),
        Column::new("Protocol", "PROTO"),
        Column::new("Inside", "INSIDE"),
        Column::new("Outside", "OUTSIDE"),
        Column::new("Remote", "REMOTE"),
        Column::new("State", "STATE"),
        Column::new("Age", "AGE"),
        Column::new("Idle", "IDLE"),
        Column::new("Out", "OUT"),
        Column::new("In", "IN"),
    ],
    more: &[
        Column::new("ContainerID", "CONTAINER ID"),
        Column::new("Direction", "DIRECTION"),
        Column::new("BytesOut", "BYTES OUT"),
        Column::new("BytesIn", "BYTES IN"),
        Column::new("PacketsOut", "PACKETS OUT"),
        Column::new("PacketsIn", "PACKETS IN"),
    ],
};

fn row(flow: &Value) -> Value {
    let mut row = flow.clone();
    let moved = |way: &str| {
        let count = |what: &str| flow[format!("{what}{way}")].as_u64().unwrap_or(0);
        format!("{} / {}", units::human_size(count("Bytes")), count("Packets"))
    };
    let seconds = |key: &str| format!("{} s", flow[key].as_u64().unwrap_or(0));
    row["Out"] = json!(moved("Out"));
    row["In"] = json!(moved("In"));
    row["Age"] = json!(seconds("Age"));
    row["Idle"] = json!(seconds("Idle"));
    row
}

/// Prints the live flows.
///
/// # Errors
/// The daemon's own sentence.
pub fn run(client: &Client, args: &Nat) -> Outcome {
    let NatCommand::Ls { container, format } = &args.command;
    let output = Output::new(format.format.as_deref(), false)?;
    let of = container.as_deref().map(|name| format!("?container={}", quote(name))).unwrap_or_default();
    let answer = client.get(&format!("/vswitch/nat{of}"))?;
    let rows: Vec<Value> = answer["Flows"].as_array().into_iter().flatten().map(row).collect();
    stdout::put(&output.print(&rows, &FLOWS)?)?;
    Ok(0)
}
