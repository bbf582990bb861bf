//! `ps`.

use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::args::{Ps, filters};
use crate::client::{Client, quote};
use crate::error::Outcome;
use crate::format::{self, Column, Listing, Output, ports, units};
use crate::{stdout, time};

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

/// Characters of a command in a table.
const COMMAND: usize = 20;

fn age(created: i64) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from_secs(u64::try_from(created).unwrap_or(0)))
}

/// Where nothing is left out all names, else the container's own: those with a slash within are links'.
fn names(container: &Value, whole: bool) -> String {
    let mut names = container["Names"].as_array().into_iter().flatten().filter_map(|name| {
        let name = name.as_str()?;
        Some(name.strip_prefix('/').unwrap_or(name))
    });
    if whole {
        return names.collect::<Vec<_>>().join(",");
    }
    names.find(|name| !name.contains('/')).unwrap_or_default().to_owned()
}

/// A container of `GET /containers/json` under the names that templates know.
fn row(container: &Value, whole: bool) -> Value {
    let text = |key: &str| container[key].as_str().unwrap_or_default();
    let (id, command) = (text("Id"), text("Command"));
    let command = if whole || command.chars().count() <= COMMAND {
        command.to_owned()
    } else {
        command.chars().take(COMMAND - 1).chain(['…']).collect()
    };
    let networks = container["NetworkSettings"]["Networks"].as_object();
    let networks: Vec<&str> = networks.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    let created = container["Created"].as_i64().unwrap_or(0);
    json!({
        "Command": format!("\"{command}\""),
        "CreatedAt": time::plain_seconds(created),
        "ID": if whole { id } else { id.get(..12).unwrap_or(id) },
        "Image": text("Image"),
        "Labels": format::labels(&container["Labels"]),
        "Mounts": "",
        "Names": names(container, whole),
        "Networks": networks.join(","),
        "Ports": ports::summary(&container["Ports"]),
        "RunningFor": units::ago(age(created)),
        "Size": "0B",
        "State": text("State"),
        "Status": text("Status"),
    })
}

/// How many of the last containers are wanted, ended ones too; all that fit otherwise.
fn last(args: &Ps) -> Option<usize> {
    let last = args.last.or(args.latest.then_some(1))?;
    usize::try_from(last).ok().filter(|last| *last > 0)
}

fn path(args: &Ps) -> String {
    let last = last(args);
    let mut path = format!("/containers/json?all={}", u8::from(args.all || last.is_some()));
    if let Some(last) = last {
        let _ = write!(path, "&limit={last}");
    }
    if let Some(filters) = filters(&args.filter) {
        path.push_str("&filters=");
        path.push_str(&quote(&filters));
    }
    path
}

/// Lists containers.
///
/// # Errors
/// When the format makes no sense.
pub fn ps(client: &Client, args: &Ps) -> Outcome {
    let output = Output::new(args.format.as_deref(), args.quiet)?;
    let list = client.get(&path(args))?;
    let rows: Vec<Value> = list
        .as_array()
        .into_iter()
        .flatten()
        .take(last(args).unwrap_or(usize::MAX))
        .map(|container| row(container, args.no_trunc))
        .collect();
    stdout::put(&output.print(&rows, &PS)?)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Args, Command};

    fn container() -> Value {
        json!({
            "Id": "c".repeat(64),
            "Names": ["/web/db", "/store"],
            "Image": "",
            "Command": "mysqld --verbose --port 3306",
            "Created": 1_763_714_760,
            "Ports": [
                {"IP": "0.0.0.0", "PrivatePort": 3306, "PublicPort": 3307, "Type": "tcp"},
                {"PrivatePort": 33060, "Type": "tcp"},
            ],
            "Labels": {"tier": "back", "a": ""},
            "State": "running",
            "Status": "Up 3 minutes",
            "NetworkSettings": {"Networks": {"bridge": {}, "my": {}}},
        })
    }

    fn asked(flags: &str) -> String {
        let words = ["vswitch", "ps"].into_iter().chain(flags.split_whitespace());
        match Args::try_parse_from(words).map(|args| args.command) {
            Ok(Command::Ps(args)) => path(&args),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_row_has_ports_and_networks() {
        let short = row(&container(), false);
        for (field, value) in [
            ("ID", "cccccccccccc"),
            ("Names", "store"),
            ("Command", "\"mysqld --verbose --…\""),
            ("Ports", "33060/tcp, 0.0.0.0:3307->3306/tcp"),
            ("Networks", "bridge,my"),
            ("Labels", "a=,tier=back"),
        ] {
            assert_eq!(short[field], value, "{field}");
        }
        let whole = row(&container(), true);
        assert_eq!(whole["ID"], "c".repeat(64));
        assert_eq!(whole["Names"], "web/db,store");
        assert_eq!(whole["Command"], "\"mysqld --verbose --port 3306\"");
    }

    #[test]
    fn a_container_without_a_network_has_a_row_too() {
        let bare = row(&json!({"Id": "d", "Names": null, "NetworkSettings": null}), false);
        assert_eq!((&bare["Networks"], &bare["Ports"], &bare["Names"]), (&json!(""), &json!(""), &json!("")));
    }

    #[test]
    fn what_is_listed_is_chosen_by_the_daemon() {
        assert_eq!(asked(""), "/containers/json?all=0");
        assert_eq!(asked("-a"), "/containers/json?all=1");
        assert_eq!(asked("-l"), "/containers/json?all=1&limit=1");
        assert_eq!(asked("-n 3"), "/containers/json?all=1&limit=3");
        assert_eq!(asked("-n -1"), "/containers/json?all=0");
        assert_eq!(
            asked("-f name=x -f status=exited"),
            format!(
                "/containers/json?all=0&filters={}",
                quote(r#"{"name":{"x":true},"status":{"exited":true}}"#)
            )
        );
        assert!(asked("-f name").contains("bad format of filter"));
    }
}
