//! Nodes, a store that is not to be relied upon, and the invariants that hold nevertheless. Every
//! run follows from its seed: tokio's clock stands still but for the next timer, and there is one thread.
//!
//! `VSWITCH_SIM_SEEDS=N` runs more seeds, `VSWITCH_SIM_SEED=N` one of them, which then says more.

mod node;
mod scenario;
mod steps;
mod world;

use scenario::{Report, Scenario};
use world::Defect;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Runs seeds on as many threads as there are processors; the seeds whose runs were not as they must be.
fn run(seeds: std::ops::Range<u64>, scenario: Scenario) -> Vec<(u64, Report)> {
    let next = std::sync::atomic::AtomicU64::new(seeds.start);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let failures = parking_lot::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if seed >= seeds.end || failures.lock().len() >= 3 {
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
        assert!(report.violations.is_empty(), "seed {seed}: {report:#?}");
        return;
    }
    let seeds = number("VSWITCH_SIM_SEEDS").unwrap_or(2000);
    let failures = run(0..seeds, Scenario::default());
    assert!(failures.is_empty(), "run again with VSWITCH_SIM_SEED: {failures:#?}");
}

#[test]
fn a_run_follows_from_its_seed() {
    for seed in [1, 77, 4711] {
        let (a, b) = (scenario::run(seed, Scenario::default()), scenario::run(seed, Scenario::default()));
        assert_eq!(a, b);
        assert_ne!(a.trace, scenario::run(seed + 1, Scenario::default()).trace);
        // Something does happen in it.
        assert!(a.commits > 50 && a.claimed > 5, "{a:?}");
    }
}

/// The simulation is worth something: what breaks a rule is seen.
fn finds(defect: Defect) {
    let seeds = 0..400;
    let failures = run(seeds, Scenario { defect: Some(defect), ..Scenario::default() });
    assert!(!failures.is_empty(), "{defect:?} was not found");
}

#[test]
fn addresses_given_twice_are_found() {
    finds(Defect::ClaimsTakenAddresses);
}

#[test]
fn names_given_twice_are_found() {
    finds(Defect::ClaimsTakenNames);
}

#[test]
fn networks_made_at_once_are_found() {
    finds(Defect::ForgetsTheEpoch);
}

#[test]
fn claims_taken_from_the_living_are_found() {
    finds(Defect::ReapsTheLiving);
}

#[test]
fn claims_taken_too_early_are_found() {
    finds(Defect::HasNoGrace);
}

#[test]
fn networks_removed_under_somebody_are_found() {
    finds(Defect::RemovesUsedNetworks);
}

#[test]
fn claims_on_networks_that_are_gone_are_found() {
    finds(Defect::ClaimsOnNoNetwork);
}

#[test]
fn changes_that_are_not_told_are_found() {
    finds(Defect::LosesChanges);
}
