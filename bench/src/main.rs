//! Side-by-side benchmarks: this switch and every peer installed, in turn, round after round, on one machine.
//!
//! `cargo run --release -p bench -- --help` says what can be asked for.

mod cage;
mod congestion;
mod error;
mod goals;
mod machine;
mod netns;
mod options;
mod peers;
mod plot;
mod process;
mod publish;
mod report;
mod stats;
mod suites;
mod sys;
mod tunnels;
mod usage;
mod ways;

use std::process::ExitCode;

use clap::Parser as _;

use crate::error::{Doing as _, Error, Result};
use crate::options::Options;
use crate::report::Results;

fn main() -> ExitCode {
    let done = match std::env::args_os().nth(1).and_then(|first| first.into_string().ok()).as_deref() {
        Some(peers::relay::ARGUMENT) => peers::relay::child().map(|()| ExitCode::SUCCESS),
        Some(tunnels::relay::ARGUMENT) => tunnels::relay::child().map(|()| ExitCode::SUCCESS),
        Some(ways::link::ARGUMENT) => ways::link::child().map(|()| ExitCode::SUCCESS),
        Some(suites::nat::flows::ARGUMENT) => suites::nat::flows::child().map(|()| ExitCode::SUCCESS),
        Some(cage::FIRST_PROCESS) => cage::first_process(),
        _ => {
            let options = Options::parse();
            if options.own_congestion {
                congestion::keep();
            }
            if options.inside.is_some() {
                inside(&options)
            } else {
                let _permission = (!options.own_congestion).then(congestion::Permission::ask);
                cage::run_inside()
            }
        }
    };
    done.unwrap_or_else(|error| {
        eprintln!("bench: {error}");
        ExitCode::FAILURE
    })
}

/// The benchmark proper, inside its cage.
fn inside(options: &Options) -> Result<ExitCode> {
    let mut results = Results::new(options);
    // The cage has a network namespace of its own too, and what runs in no other makes its sockets there.
    congestion::set_default()?;
    let mut able = |name: &str, description: String, lacks: Option<String>| {
        if let Some(why) = lacks {
            eprintln!("bench: without {name}: {why}");
            results.without(name, why);
            return false;
        }
        results.with(name, description);
        true
    };
    let suites = options.suites();
    let (mut peers, mut ways) = (peers::all(options)?, ways::all(options)?);
    let mut tunnels = tunnels::all(options)?;
    peers.retain(|peer| {
        suites.iter().any(|suite| !suite.is_outside() && !suite.is_vxlan())
            && able(peer.name(), peer.description(), peer.lacks())
    });
    ways.retain(|way| {
        let known = peers.iter().any(|peer| peer.name() == way.name());
        suites.iter().any(|suite| suite.is_outside())
            && (known || able(way.name(), way.description(), way.lacks()))
    });
    tunnels.retain(|tunnel| {
        let is_known = |name: &str| name == tunnel.name();
        let known =
            peers.iter().any(|peer| is_known(peer.name())) || ways.iter().any(|way| is_known(way.name()));
        suites.iter().any(|suite| suite.is_vxlan())
            && (known || able(tunnel.name(), tunnel.description(), tunnel.lacks()))
    });
    if peers.is_empty() && ways.is_empty() && tunnels.is_empty() {
        return Err(Error::sentence("none of the peers asked for can run on this machine"));
    }
    suites::run(options, &peers, &ways, &tunnels, &mut results)?;
    print!("{}", results.table());
    if let Some(file) = &options.json {
        std::fs::write(file, results.json()).doing(|| format!("write {}", file.display()))?;
    }
    if let Some(directory) = &options.publish {
        publish::write(&results, directory)?;
    }
    Ok(if results.failures().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
