//! Nodes, a store that is not to be relied upon, and the invariants that hold nevertheless. Every
//! run follows from its seed: tokio's clock stands still but for the next timer, there is one thread
//! to a run, and nothing that is awaited is chosen by chance.
//!
//! What happens: requests are slow, are lost, are carried out twice or long after they were given up;
//! watches lag, end, or fall silent; the store goes down, forgets its history, and has values that somebody
//! has spoiled; nodes are cut off, die at any step and start again; their clocks go at different speeds, stand still
//! while the machine is suspended, and jump when it is not any more.
//!
//! What must hold: with every transaction and at all other times, a node that regards an address as its
//! own is the one the store says has it, so no two ever do; nobody puts over what is another's, or removes it
//! while the other is there; no two networks collide, and nobody
//! is on one that is not there; no VNI is given twice, and an endpoint has addresses of one segment of its
//! network. Once it is quiet, each node's peer table and its networks are what the store says, and the store
//! says what the nodes hold. With four of eight seeds networks may have several subnets, and IPv6.
//!
//! `cargo test -p vswitch --lib cluster::sim` runs a hundred seeds (an eighth of a second each without
//! optimisation). `VSWITCH_SIM_SEEDS=N` runs as many as are asked for, and a death at every step, from `VSWITCH_SIM_FROM` on, `VSWITCH_SIM_SEED=N` a single one, which then tells its story.

mod node;
mod scenario;
mod world;

use std::ops::Range;

use scenario::{Report, Scenario};
use world::Defect;

/// Seeds that are run unless told otherwise.
const SEEDS: u64 = 100;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Runs seeds on as many threads as there are processors, until some are not as they must be, which
/// are given.
fn run(seeds: Range<u64>, scenario: Scenario) -> Vec<(u64, Report)> {
    let next = std::sync::atomic::AtomicU64::new(seeds.start);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let failures = parking_lot::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if seed >= seeds.end || !failures.lock().is_empty() {
                        return;
                    }
                    let report = scenario::run(seed, scenario);
                    if !report.violations.is_empty() {
                        failures.lock().push((seed, report));
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner();
    failures.sort_by_key(|(seed, _)| *seed);
    failures
}

#[test]
fn whatever_happens_one_owns_an_address_and_all_agree_once_it_is_quiet() {
    if let Some(seed) = number("VSWITCH_SIM_SEED") {
        let report = scenario::run(seed, Scenario { verbose: true, ..Scenario::default() });
        eprintln!("{report:#?}");
        assert!(report.violations.is_empty(), "seed {seed}");
        return;
    }
    let from = number("VSWITCH_SIM_FROM").unwrap_or(0);
    let seeds = from..from + number("VSWITCH_SIM_SEEDS").unwrap_or(SEEDS);
    let failures = run(seeds, Scenario::default());
    assert!(failures.is_empty(), "run again with VSWITCH_SIM_SEED: {failures:#?}");
}

/// No noise but one death: at the first step of a node's dealings with the store, at the second, and
/// so on.
#[test]
fn a_node_may_die_at_every_step() {
    let steps = scenario::run(1, Scenario::death_at(u32::MAX)).steps;
    assert!(steps > 100, "{steps} steps are no life");
    // All of them with the first of these, some of them otherwise.
    let stride = if number("VSWITCH_SIM_SEEDS").is_some() { 1 } else { 4 };
    for step in (0..steps).step_by(stride) {
        let report = scenario::run(1, Scenario::death_at(u32::try_from(step).unwrap()));
        assert!(report.violations.is_empty(), "a death at step {step}: {report:#?}");
        assert!(report.counts.deaths > 0, "nobody died at step {step}: {report:#?}");
    }
}

#[test]
fn a_run_follows_from_its_seed() {
    for seed in [1, 78, 4712, 4715] {
        let (a, b) = (scenario::run(seed, Scenario::default()), scenario::run(seed, Scenario::default()));
        assert_eq!(a, b);
        assert_ne!(a.trace, scenario::run(seed + 1, Scenario::default()).trace);
    }
}

/// A simulation in which little happens shows little.
#[test]
fn much_happens_in_the_runs() {
    let reports: Vec<Report> = (0..40).map(|seed| scenario::run(seed, Scenario::default())).collect();
    let total = |what: fn(&Report) -> u64| reports.iter().map(what).sum::<u64>();
    let totals = [
        ("transactions", total(|r| r.counts.commits), 1000),
        ("claims", total(|r| r.counts.claimed), 200),
        ("releases", total(|r| r.counts.released), 100),
        ("networks", total(|r| r.counts.networks), 30),
        ("networks of several subnets", total(|r| r.counts.wide), 5),
        ("claims in another subnet than the first", total(|r| r.counts.further), 20),
        ("deaths", total(|r| r.counts.deaths), 20),
        ("sessions that followed another", total(|r| r.counts.rejoined), 20),
        ("keys of the dead given back", total(|r| r.counts.reaped), 20),
        ("claims lost to others", total(|r| r.counts.lost), 1),
        ("keys spoiled", total(|r| r.counts.spoiled), 20),
        ("keys put again", total(|r| r.counts.repaired), 1),
        ("machines suspended", total(|r| r.counts.suspended), 20),
    ];
    for (what, count, least) in totals {
        assert!(count >= least, "{what}: {count} of {totals:?}");
    }
}

/// The simulation is worth something: what breaks a rule is seen.
fn finds(defect: Defect, complaint: &str) {
    let failures = run(0..400, Scenario { defect: Some(defect), ..Scenario::default() });
    let said: Vec<&String> = failures.iter().flat_map(|(_, report)| &report.violations).collect();
    assert!(said.iter().any(|said| said.contains(complaint)), "{defect:?} was not found: {said:?}");
}

#[test]
fn addresses_given_twice_are_found() {
    finds(Defect::ClaimsTakenAddresses, "takes endpoints/");
}

#[test]
fn names_given_twice_are_found() {
    finds(Defect::ClaimsTakenNames, "takes containers/");
}

#[test]
fn networks_made_at_once_are_found() {
    finds(Defect::ForgetsTheEpoch, "two networks collide");
}

#[test]
fn claims_taken_from_the_living_are_found() {
    finds(Defect::ReapsTheLiving, "which is there");
}

#[test]
fn claims_taken_too_early_are_found() {
    finds(Defect::HasNoGrace, "believes to own");
}

#[test]
fn networks_removed_under_somebody_are_found() {
    finds(Defect::RemovesUsedNetworks, "on a network that is not there");
}

#[test]
fn claims_on_networks_that_are_gone_are_found() {
    finds(Defect::ClaimsOnNoNetwork, "on a network that is not there");
}

#[test]
fn changes_that_are_not_told_are_found() {
    finds(Defect::LosesChanges, "does not know what the store says");
}
