//! `ps`, `inspect`, `stop`, `kill`, `rm`, `wait`, `logs`.

use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::args::{Inspect, Kill, Logs, Names, Ps, Rm, Stop};
use crate::client::{Client, quote};
use crate::error::{Failure, Outcome};
use crate::format::{self, Column, Listing, Output, units};

const PS: Listing<'_> = Listing {
    id: "ID",
    columns: &[
        Column::new("ID", "CONTAINER ID"),
        Column::new("Image", "IMAGE"),
        Column::new("Command", "COMMAND"),
        Column::new("RunningFor", "CREATED"),
        Column::new("Status", "STATUS"),
        Column::new("Ports", "PORTS"),
        Column::new("Names", "NAMES"),
    ],
    more: &[
        Column::new("CreatedAt", "CREATED AT"),
        Column::new("State", "STATE"),
        Column::new("Labels", "LABELS"),
        Column::new("Networks", "NETWORKS"),
        Column::new("Mounts", "MOUNTS"),
        Column::new("Size", "SIZE"),
    ],
};

/// Does the same for every name; goes on after a failure, and fails in the end.
fn each(names: &Names, mut act: impl FnMut(&str) -> Result<String, Failure>) -> i32 {
    let mut status = 0;
    for name in &names.names {
        match act(name) {
            Ok(line) => println!("{line}"),
            Err(failure) => {
                eprintln!("vswitch: {failure}");
                status = failure.code;
            }
        }
    }
    status
}

/// Ends containers.
///
/// # Errors
/// Never; failures are printed a line each.
pub fn stop(client: &Client, args: &Stop) -> Outcome {
    Ok(each(&args.which, |name| {
        client.post(&format!("/containers/{}/stop?t={}", quote(name), args.time), &())?;
        Ok(name.to_owned())
    }))
}

/// Signals containers.
///
/// # Errors
/// Never; failures are printed a line each.
pub fn kill(client: &Client, args: &Kill) -> Outcome {
    Ok(each(&args.which, |name| {
        client.post(&format!("/containers/{}/kill?signal={}", quote(name), quote(&args.signal)), &())?;
        Ok(name.to_owned())
    }))
}

/// Removes containers.
///
/// # Errors
/// Never; failures are printed a line each.
pub fn rm(client: &Client, args: &Rm) -> Outcome {
    Ok(each(&args.which, |name| {
        client.delete(&format!("/containers/{}?force={}", quote(name), u8::from(args.force)))?;
        Ok(name.to_owned())
    }))
}

/// Waits for containers and prints their statuses.
///
/// # Errors
/// Never; failures are printed a line each.
pub fn wait(client: &Client, args: &Names) -> Outcome {
    Ok(each(args, |name| {
        let reply = client.post(&format!("/containers/{}/wait", quote(name)), &())?;
        Ok(reply["StatusCode"].to_string())
    }))
}

/// Prints a container's log.
///
/// # Errors
/// When it has none.
pub fn logs(client: &Client, args: &Logs) -> Outcome {
    let mut stream = client.stream(&format!("/vswitch/containers/{}/logs", quote(&args.name)))?;
    let mut out = std::io::stdout().lock();
    while let Some(piece) = stream.piece()? {
        out.write_all(&piece)?;
    }
    out.flush()?;
    Ok(0)
}

fn age(created: &Value) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from_secs(created.as_u64().unwrap_or(0)))
}

fn row(c: &Value, whole: bool) -> Value {
    let text = |key: &str| c[key].as_str().unwrap_or_default().to_owned();
    let id = text("Id");
    let command = text("Command");
    let short: String = if whole || command.chars().count() <= 20 {
        command
    } else {
        command.chars().take(19).chain(['…']).collect()
    };
    let names: Vec<&str> = c["Names"]
        .as_array()
        .map(|all| all.iter().filter_map(Value::as_str).map(|n| n.trim_start_matches('/')).collect())
        .unwrap_or_default();
    let networks: Vec<&str> = c["NetworkSettings"]["Networks"]
        .as_object()
        .map(|all| all.keys().map(String::as_str).collect())
        .unwrap_or_default();
    let labels: Vec<String> = c["Labels"]
        .as_object()
        .map(|all| all.iter().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect())
        .unwrap_or_default();
    json!({
        "ID": if whole { id.as_str() } else { id.get(..12).unwrap_or(&id) },
        "Image": text("Image"),
        "Command": format!("\"{short}\""),
        "CreatedAt": vswitch::control::wire::rfc3339(c["Created"].as_u64().unwrap_or(0)),
        "RunningFor": units::ago(age(&c["Created"])),
        "Ports": "",
        "State": text("State"),
        "Status": text("Status"),
        "Size": "0B",
        "Names": names.join(","),
        "Labels": labels.join(","),
        "Mounts": "",
        "Networks": networks.join(","),
    })
}

/// Lists containers.
///
/// # Errors
/// When the format makes no sense.
pub fn ps(client: &Client, args: &Ps) -> Outcome {
    let output = Output::new(args.format.as_deref(), args.quiet)?;
    let list = client.get(&format!("/containers/json?all={}", u8::from(args.all)))?;
    let rows: Vec<Value> =
        list.as_array().map(|all| all.iter().map(|c| row(c, args.no_trunc)).collect()).unwrap_or_default();
    print!("{}", output.print(&rows, &PS)?);
    Ok(0)
}

/// Prints all that is known of containers.
///
/// # Errors
/// When the format makes no sense.
pub fn inspect(client: &Client, args: &Inspect) -> Outcome {
    let mut found = Vec::new();
    let mut status = 0;
    for name in &args.which.names {
        match client.get(&format!("/containers/{}/json", quote(name))) {
            Ok(container) => found.push(container),
            Err(failure) => {
                eprintln!("vswitch: {failure}");
                status = failure.code;
            }
        }
    }
    print!("{}", format::inspect(&found, args.format.as_deref())?);
    Ok(status)
}
