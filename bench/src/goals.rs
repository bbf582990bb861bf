//! What this switch is meant to reach against its peers, and whether it did.

use std::fmt;

use crate::report::{Results, number};
use crate::stats::Spread;

/// One goal and what was reached.
#[derive(Debug)]
pub(crate) struct Goal {
    what: String,
    reached: Spread,
    wanted: f64,
    at_least: bool,
}

impl Goal {
    /// Whether the median reaches the goal.
    pub(crate) fn met(&self) -> bool {
        if self.at_least { self.reached.median >= self.wanted } else { self.reached.median <= self.wanted }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spread { median, min, max } = self.reached;
        let bound = if self.at_least { "at least" } else { "at most" };
        let verdict = if self.met() { "met" } else { "MISSED" };
        let (median, min, max, wanted) = (number(median), number(min), number(max), number(self.wanted));
        write!(formatter, "{}: {median} ({min}..{max}), wanted {bound} {wanted}: {verdict}", self.what)
    }
}

/// A comparison with a peer: suite, case, figure, the peer, the ratio wanted, and whether that is the least or the most.
type Comparison = (&'static str, &'static str, &'static str, &'static str, f64, bool);

const COMPARISONS: &[Comparison] = &[
    ("tcp", "cubic, 1 stream", "throughput", "bridge", 0.8, true),
    ("tcp", "cubic, 4 streams", "throughput", "bridge", 0.7, true),
    ("tcp", "bbr, 1 stream", "throughput", "bridge", 1.0, true),
    ("tcp", "bbr, 4 streams", "throughput", "bridge", 0.9, true),
    ("tcp", "cubic, 1 stream", "throughput", "relay", 0.95, true),
    ("tcp", "cubic, 4 streams", "throughput", "relay", 0.95, true),
    ("tcp", "bbr, 1 stream", "throughput", "relay", 0.95, true),
    ("tcp", "bbr, 4 streams", "throughput", "relay", 0.95, true),
    ("tcp", "cubic, 1 stream", "throughput", "ovs", 10.0, true),
    ("tcp", "bbr, 1 stream", "throughput", "ovs", 10.0, true),
    ("tcp", "cubic, 1 stream", "throughput", "vde", 20.0, true),
    ("tcp", "bbr, 1 stream", "throughput", "vde", 20.0, true),
    ("pps", "2 addresses", "without loss", "ovs", 1.5, true),
    ("rtt", "cubic, 64 bytes there and back", "round trip p50", "relay", 1.2, false),
    ("rtt", "cubic, 64 bytes there and back", "round trip p50", "ovs", 1.0, false),
    ("rtt", "cubic, 64 bytes there and back", "round trip p50", "vde", 1.0, false),
    ("nat-tcp", "out, MTU 1500, cubic, 1 stream", "throughput", "direct", 0.8, true),
    ("nat-tcp", "out, MTU 1500, cubic, 4 streams", "throughput", "direct", 0.7, true),
    ("nat-tcp", "in, MTU 1500, cubic, 1 stream", "throughput", "direct", 0.45, true),
    ("nat-tcp", "in, MTU 1500, cubic, 4 streams", "throughput", "direct", 0.55, true),
    ("nat-tcp", "out, MTU 1500, cubic, 1 stream", "throughput", "pasta", 8.0, true),
    ("nat-tcp", "out, MTU 1500, cubic, 1 stream", "throughput", "slirp4netns", 8.0, true),
    ("nat-tcp", "out, MTU 1500, cubic, 4 streams", "throughput", "pasta", 8.0, true),
    ("nat-tcp", "out, MTU 1500, cubic, 4 streams", "throughput", "slirp4netns", 8.0, true),
    ("nat-tcp", "in, MTU 1500, cubic, 1 stream", "throughput", "pasta", 8.0, true),
    ("nat-tcp", "in, MTU 1500, cubic, 1 stream", "throughput", "slirp4netns", 8.0, true),
    ("nat-tcp", "in, MTU 1500, cubic, 4 streams", "throughput", "pasta", 8.0, true),
    ("nat-tcp", "in, MTU 1500, cubic, 4 streams", "throughput", "slirp4netns", 8.0, true),
    ("nat-connections", "out, 4 clients", "connections", "pasta", 1.0, true),
    ("nat-connections", "in, 4 clients", "connections", "pasta", 1.0, true),
];

/// The same, but to the best that the peer reached in any round.
const BESTS: &[Comparison] = &[
    ("nat-tcp", "out, MTU 65520, cubic, 1 stream", "throughput", "pasta", 1.2, true),
    ("nat-tcp", "out, MTU 65520, cubic, 4 streams", "throughput", "pasta", 1.2, true),
    ("nat-tcp", "in, MTU 65520, cubic, 1 stream", "throughput", "pasta", 1.2, true),
    ("nat-tcp", "in, MTU 65520, cubic, 4 streams", "throughput", "pasta", 1.2, true),
];

/// A figure whose worst round is to be near the median: suite, case, figure, the least ratio wanted.
const STEADY: &[(&str, &str, &str, f64)] = &[
    ("nat-tcp", "out, MTU 1500, cubic, 1 stream", "throughput", 0.7),
    ("nat-tcp", "out, MTU 1500, cubic, 4 streams", "throughput", 0.7),
    ("nat-tcp", "in, MTU 1500, cubic, 1 stream", "throughput", 0.7),
    ("nat-tcp", "in, MTU 1500, cubic, 4 streams", "throughput", 0.7),
];

/// One of this switch's own cases beside another: suite, case, the other, figure, the least ratio wanted.
const CASES: &[(&str, &str, &str, &str, f64)] = &[
    (
        "nat-loss",
        "in, every 5,000th frame lost, cubic, 1 stream",
        "in, lossless, cubic, 1 stream",
        "throughput",
        0.5,
    ),
    (
        "nat-loss",
        "in, every 5,000th frame lost, cubic, 4 streams",
        "in, lossless, cubic, 4 streams",
        "throughput",
        0.5,
    ),
];

/// A bound on one of this switch's own figures: suite, case, figure, the most wanted.
const BOUNDS: &[(&str, &str, &str, f64)] = &[
    ("pps", "8,000 addresses", "CPU to 2 addresses", 1.1),
    ("scale", "2 ports", "resident", 20.0),
    ("scale", "2 ports", "idle CPU", 0.1),
    ("scale", "500 ports", "idle CPU", 0.1),
    ("nat-flows", "10,000 flows", "CPU a packet to 10 flows", 1.2),
    ("nat-flows", "10,000 flows", "memory a flow", 2.0),
    ("control", "500 namespaces, made, attached and found by name", "attach p50", 30.0),
    ("control", "network ls, 200 networks, 500 containers", "p50", 50.0),
    ("control", "network inspect lab, 200 networks, 500 containers", "p50", 50.0),
];

/// The goals that these results say something about, for every build of this switch among them.
pub(crate) fn all(results: &Results) -> Vec<Goal> {
    let mut goals = Vec::new();
    for switch in results.switches() {
        for &(suite, case, figure, peer, wanted, at_least) in COMPARISONS {
            if let Some(reached) = results.ratio((suite, case, figure), &switch, peer) {
                let what = format!("{switch} to {peer}, {suite}, {case}, {figure}");
                goals.push(Goal { what, reached, wanted, at_least });
            }
        }
        for &(suite, case, figure, peer, wanted, at_least) in BESTS {
            let best = results.spread((suite, case, figure), peer).map(|spread| spread.max);
            if let (Some(own), Some(best)) = (results.spread((suite, case, figure), &switch), best) {
                let what = format!("{switch} to the best of {peer}, {suite}, {case}, {figure}");
                goals.push(Goal { what, reached: own.over(best), wanted, at_least });
            }
        }
        for &(suite, case, figure, wanted) in STEADY {
            if let Some(own) = results.spread((suite, case, figure), &switch) {
                let what = format!("{switch}, worst round to median, {suite}, {case}, {figure}");
                let worst = own.min / own.median;
                let reached = Spread { median: worst, min: worst, max: worst };
                goals.push(Goal { what, reached, wanted, at_least: true });
            }
        }
        for &(suite, case, other, figure, wanted) in CASES {
            if let Some(reached) = results.ratio_of_cases((suite, figure), &switch, case, other) {
                let what = format!("{switch}, {suite}, {case} to {other}, {figure}");
                goals.push(Goal { what, reached, wanted, at_least: true });
            }
        }
        for &(suite, case, figure, wanted) in BOUNDS {
            if let Some(reached) = results.spread((suite, case, figure), &switch) {
                let what = format!("{switch}, {suite}, {case}, {figure}");
                goals.push(Goal { what, reached, wanted, at_least: false });
            }
        }
    }
    goals
}

#[cfg(test)]
#[allow(clippy::float_cmp)]
mod tests {
    use super::*;
    use crate::report::tests::sample;

    #[test]
    fn a_goal_is_met_by_the_median_of_the_ratios() {
        let results = sample(&[("bridge", &[10.0, 10.0, 10.0]), ("vswitch", &[7.0, 8.5, 9.0])]);
        let goals = all(&results);
        assert_eq!(goals.len(), 1);
        assert!(goals[0].met());
        assert_eq!(
            goals[0].to_string(),
            "vswitch to bridge, tcp, cubic, 1 stream, throughput: 0.85 (0.70..0.90), wanted at least 0.80: met"
        );
    }

    #[test]
    fn a_goal_may_be_about_the_worst_round_and_the_best_of_a_peer() {
        let mut results = sample(&[]);
        let mut add = |suite, case, peer, round, value| {
            let figures = vec![crate::report::Figure::new("throughput", "Gb/s", value)];
            results.measured(suite, case, peer, round, figures);
        };
        for (round, (own, pasta)) in (0..).zip([(6.0, 1.0), (10.0, 5.0), (12.0, 0.1)]) {
            add("nat-tcp", "out, MTU 65520, cubic, 1 stream", "vswitch", round, own);
            add("nat-tcp", "out, MTU 65520, cubic, 1 stream", "pasta", round, pasta);
            add("nat-tcp", "in, MTU 1500, cubic, 1 stream", "vswitch", round, own);
            add("nat-loss", "in, every 5,000th frame lost, cubic, 1 stream", "vswitch", round, own);
            add("nat-loss", "in, lossless, cubic, 1 stream", "vswitch", round, 2.0 * own);
        }
        let met: Vec<_> = all(&results).iter().map(|goal| (goal.reached.median, goal.met())).collect();
        assert_eq!(met, [(2.0, true), (0.6, false), (0.5, true)]);
    }

    #[test]
    fn other_peers_have_no_goals() {
        assert!(all(&sample(&[("bridge", &[10.0]), ("relay", &[1.0])])).is_empty());
    }
}
