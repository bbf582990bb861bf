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
];

/// A bound on one of this switch's own figures: suite, case, figure, the most wanted.
const BOUNDS: &[(&str, &str, &str, f64)] = &[
    ("pps", "8,000 addresses", "CPU to 2 addresses", 1.1),
    ("scale", "2 ports", "resident", 20.0),
    ("scale", "2 ports", "idle CPU", 0.1),
    ("scale", "500 ports", "idle CPU", 0.1),
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
    fn other_peers_have_no_goals() {
        assert!(all(&sample(&[("bridge", &[10.0]), ("relay", &[1.0])])).is_empty());
    }
}
