//! `port`.

use crate::args::Port;
use crate::client::{Client, quote};
use crate::error::{Failure, Outcome};
use crate::format::{escape, ports};
use crate::stdout;

/// Prints where a container's ports are published.
///
/// # Errors
/// When the one asked for is not.
pub fn run(client: &Client, args: &Port) -> Outcome {
    let container = client.get(&format!("/containers/{}/json", quote(&args.name)))?;
    let all = &container["NetworkSettings"]["Ports"];
    let lines = match &args.port {
        None => ports::mappings(all),
        Some(port) => {
            let hosts = ports::published(all, port);
            if hosts.is_empty() {
                let (port, name) = (ports::whole(port), &args.name);
                return Err(Failure::new(format!("Error: No public port '{port}' published for {name}")));
            }
            hosts
        }
    };
    for line in lines {
        stdout::put(&format!("{}\n", escape(&line)))?;
    }
    Ok(0)
}
