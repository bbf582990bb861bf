//! `inspect`.

use serde_json::Value;

use crate::args::{Inspect, Kind};
use crate::client::{Client, quote};
use crate::error::{Failure, Outcome};
use crate::{format, stdout};

/// Asks for every name. What was found, and the status of the last that was not; failures are printed a line each.
pub(super) fn look_up(names: &[String], look: impl Fn(&str) -> Result<Value, Failure>) -> (Vec<Value>, i32) {
    let (mut found, mut status) = (Vec::new(), 0);
    for name in names {
        match look(name) {
            Ok(item) => found.push(item),
            Err(failure) => {
                eprintln!("vswitch: {failure}");
                status = failure.code;
            }
        }
    }
    (found, status)
}

/// Prints all that is known of containers and networks.
///
/// # Errors
/// When the format makes no sense.
pub fn run(client: &Client, args: &Inspect) -> Outcome {
    let container = |name: &str| {
        let mut seen = client.get(&format!("/containers/{}/json", quote(name)))?;
        // What Docker has no words for: how the world knows its connections.
        let id = quote(seen["Id"].as_str().unwrap_or_default());
        let flows = match client.get(&format!("/vswitch/nat?container={id}")) {
            Ok(mut answer) => answer["Flows"].take(),
            // It has gone meanwhile.
            Err(failure) if failure.is_not_found() => Value::Array(Vec::new()),
            Err(failure) => return Err(failure),
        };
        if let Some(fields) = seen["Vswitch"].as_object_mut() {
            fields.insert("Flows".into(), flows);
        }
        Ok(seen)
    };
    let network = |name: &str| client.get(&format!("/networks/{}", quote(name)));
    let (found, status) = look_up(&args.names, |name| match args.kind {
        Some(Kind::Container) => container(name),
        Some(Kind::Network) => network(name),
        None => match container(name) {
            Err(failure) if failure.is_not_found() => match network(name) {
                Err(failure) if failure.is_not_found() => {
                    Err(Failure::new(format!("Error: No such object: {name}")))
                }
                other => other,
            },
            other => other,
        },
    });
    stdout::put(&format::inspect(&found, args.format.as_deref())?)?;
    Ok(status)
}
