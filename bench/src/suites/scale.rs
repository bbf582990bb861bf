//! Hundreds of namespaces on one switch: does the first still reach the last, and what does the switch use when nobody
//! talks? Only this switch is measured.
//!
//! Its figures are those of the daemon; "all processes" adds the helpers that it keeps for every namespace.

use std::time::{Duration, Instant};

use super::{End, Place, await_reachable};
use crate::error::{Error, Result};
use crate::netns::Netns;
use crate::options::Options;
use crate::peers::{Peer, Switch, await_eth0};
use crate::report::{Figure, Results};
use crate::usage;

const SUITE: &str = "scale";

/// The case before the rest of the namespaces is attached.
const FEW: &str = "2 ports";

/// Runs the suite.
pub(super) fn run(
    options: &Options,
    peers: &[Box<dyn Peer>],
    place: &mut Place,
    results: &mut Results,
) -> Result<()> {
    for round in 0..options.rounds() {
        results.background(super::machine_load()?);
        for peer in peers.iter().filter(|peer| peer.name().starts_with("vswitch")) {
            if let Err(error) = measure(&**peer, round, options, place, results) {
                results.failed(SUITE, "attach and watch", peer.name(), round, &error);
            }
            super::nothing_left(SUITE, round, results)?;
        }
    }
    Ok(())
}

fn measure(
    peer: &dyn Peer,
    round: u32,
    options: &Options,
    place: &mut Place,
    results: &mut Results,
) -> Result<()> {
    let (directory, tag) = place.next()?;
    let count = options.ports() as usize;
    let namespaces =
        (0..count).map(|index| Netns::create(&format!("{tag}n{index}"))).collect::<Result<Vec<_>>>()?;
    let mut switch = peer.start(&directory, &tag)?;
    let mut ends: Vec<End> = Vec::new();
    let mut attached = Duration::ZERO;
    for (index, netns) in namespaces.into_iter().enumerate() {
        let start = Instant::now();
        switch.attach(&netns)?;
        attached += start.elapsed();
        ends.push(End { eth0: await_eth0(&netns)?, netns });
        let ports = index + 1;
        if ports != 2 && ports != count {
            continue;
        }
        if let [first, .., last] = &ends[..] {
            await_reachable(&first.netns, last.eth0.address)?;
            await_reachable(&last.netns, first.eth0.address)?;
        }
        let case = if ports == 2 { FEW.to_owned() } else { format!("{count} ports") };
        let figures = watch(&mut *switch, options, attached, ports)?;
        results.measured(SUITE, &case, peer.name(), round, figures);
    }
    let mut addresses: Vec<_> = ends.iter().map(|end| end.eth0.address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.len() != count {
        return Err(Error::sentence(format!("{count} namespaces share {} addresses", addresses.len())));
    }
    let start = Instant::now();
    drop(switch);
    let stopped = vec![Figure::new("orderly stop", "s", start.elapsed().as_secs_f64())];
    results.measured(SUITE, &format!("{count} ports, stop"), peer.name(), round, stopped);
    Ok(())
}

/// Watches an idle switch.
fn watch(
    switch: &mut dyn Switch,
    options: &Options,
    attached: Duration,
    ports: usize,
) -> Result<Vec<Figure>> {
    let processes = switch.processes();
    let seconds = f64::from(options.idle());
    let before = usage::cpu(&processes)?;
    std::thread::sleep(Duration::from_secs_f64(seconds));
    let used = usage::cpu(&processes)?.since(before);
    switch.check()?;
    let memory = usage::memory(&processes)?;
    let all = usage::memory_of_others()?;
    #[allow(clippy::cast_precision_loss)]
    Ok(vec![
        Figure::new("resident", "MiB", memory.rss_mib),
        Figure::new("proportional", "MiB", memory.pss_mib),
        Figure::new("idle CPU", "% of one", used.switch / seconds * 100.0),
        Figure::new("idle CPU of all processes", "% of one", used.run / seconds * 100.0),
        Figure::new("proportional of all processes", "MiB", all.pss_mib),
        Figure::new("attach mean", "ms", attached.as_secs_f64() * 1e3 / ports as f64),
    ])
}
