//! The time it takes to attach a namespace: the commands that a person would type, from the first to the last.
//!
//! Making the namespace itself is not part of it. Each command waits for the one before, and at the end eth0 is up with
//! an address; that it is indeed is checked outside the time.

use std::time::Instant;

use super::Place;
use crate::error::Result;
use crate::netns::Netns;
use crate::options::Options;
use crate::peers::{Peer, await_eth0};
use crate::report::{Figure, Results};
use crate::stats::percentile;

const SUITE: &str = "attach";

/// Runs the suite.
pub(super) fn run(
    options: &Options,
    peers: &[Box<dyn Peer>],
    place: &mut Place,
    results: &mut Results,
) -> Result<()> {
    let count = options.attachments();
    let case = format!("{count} namespaces, one after the other");
    for round in 0..options.rounds() {
        results.background(super::machine_load()?);
        for peer in peers {
            if peer.limit().is_some_and(|limit| limit < count as usize) {
                continue;
            }
            match measure(&**peer, count, place) {
                Ok(figures) => results.measured(SUITE, &case, peer.name(), round, figures),
                Err(error) => results.failed(SUITE, &case, peer.name(), round, &error),
            }
            super::nothing_left(SUITE, round, results)?;
        }
    }
    Ok(())
}

fn measure(peer: &dyn Peer, count: u32, place: &mut Place) -> Result<Vec<Figure>> {
    let (directory, tag) = place.next()?;
    let namespaces =
        (0..count).map(|index| Netns::create(&format!("{tag}n{index}"))).collect::<Result<Vec<_>>>()?;
    let mut switch = peer.start(&directory, &tag)?;
    let mut times = Vec::new();
    for netns in &namespaces {
        let start = Instant::now();
        switch.attach(netns)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        await_eth0(netns)?;
    }
    switch.check()?;
    drop(switch);
    times.sort_by(f64::total_cmp);
    Ok(vec![
        Figure::new("attach p50", "ms", percentile(&times, 50.0)),
        Figure::new("attach p99", "ms", percentile(&times, 99.0)),
    ])
}
