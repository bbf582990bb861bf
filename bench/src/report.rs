//! What was measured, and how it is shown.

use std::fmt::{self, Write as _};

use serde::Serialize;

use crate::error::Error;
use crate::machine::Machine;
use crate::options::Options;
use crate::stats::{Spread, ratios};

/// The peer that a suite's ratios are to, where it was measured.
pub(crate) fn base(suite: &str) -> &'static str {
    match suite {
        _ if suite.starts_with("nat-") => "direct",
        _ if suite.starts_with("vxlan-") => "kernel-vxlan",
        _ => "bridge",
    }
}

/// One figure of one measurement.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Figure {
    /// What it is.
    pub(crate) name: &'static str,
    /// Its unit.
    pub(crate) unit: &'static str,
    /// Its value in that unit.
    pub(crate) value: f64,
}

impl Figure {
    /// A figure with its name and unit.
    pub(crate) fn new(name: &'static str, unit: &'static str, value: f64) -> Self {
        Self { name, unit, value }
    }
}

/// What one peer reached in one case in one round.
#[derive(Debug, Serialize)]
struct Measurement {
    suite: String,
    case: String,
    peer: String,
    round: u32,
    figures: Vec<Figure>,
}

/// A measurement that did not come about.
#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    suite: String,
    case: String,
    peer: String,
    round: u32,
    why: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { suite, case, peer, round, why } = self;
        write!(formatter, "{suite}: {case}: round {}: {peer}: {why}", round + 1)
    }
}

/// A peer and a sentence about it.
#[derive(Debug, Serialize)]
struct Remark {
    peer: String,
    text: String,
}

/// All that a run has shown.
#[derive(Debug, Serialize)]
pub(crate) struct Results {
    machine: Machine,
    rounds: u32,
    seconds: u32,
    peers: Vec<Remark>,
    missing: Vec<Remark>,
    /// Which part of the machine others kept busy at the start of each round, 0 to 1.
    background: Vec<f64>,
    measurements: Vec<Measurement>,
    failures: Vec<Failure>,
    #[serde(skip)]
    quiet: bool,
}

/// The figures of one peer in one case.
pub(crate) struct Row<'a> {
    /// The peer's name.
    pub(crate) peer: &'a str,
    /// Name, unit and spread over the rounds of every figure.
    pub(crate) figures: Vec<(&'static str, &'static str, Spread)>,
    /// Ratios of the first figure to the base's, round by round.
    pub(crate) ratio: Option<Spread>,
}

impl Results {
    /// Of a run that has not begun.
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            machine: Machine::describe(),
            rounds: options.rounds(),
            seconds: options.seconds(),
            peers: Vec::new(),
            missing: Vec::new(),
            background: Vec::new(),
            measurements: Vec::new(),
            failures: Vec::new(),
            quiet: false,
        }
    }

    /// Notes a peer that takes part.
    pub(crate) fn with(&mut self, peer: &str, text: String) {
        self.peers.push(Remark { peer: peer.to_owned(), text });
    }

    /// Notes a peer that cannot take part, and why.
    pub(crate) fn without(&mut self, peer: &str, text: String) {
        self.missing.push(Remark { peer: peer.to_owned(), text });
    }

    /// Notes which part of the machine others keep busy.
    pub(crate) fn background(&mut self, part: f64) {
        self.background.push(part);
    }

    /// Notes a measurement, and says so on standard error as the run goes on.
    pub(crate) fn measured(&mut self, suite: &str, case: &str, peer: &str, round: u32, figures: Vec<Figure>) {
        if !self.quiet {
            let list: Vec<String> = figures
                .iter()
                .map(|figure| format!("{} {} {}", figure.name, number(figure.value), figure.unit))
                .collect();
            eprintln!("{suite}: {case}: round {}: {peer}: {}", round + 1, list.join(", "));
        }
        let (suite, case, peer) = (suite.to_owned(), case.to_owned(), peer.to_owned());
        self.measurements.push(Measurement { suite, case, peer, round, figures });
    }

    /// Notes a measurement that did not come about, and says so on standard error.
    pub(crate) fn failed(&mut self, suite: &str, case: &str, peer: &str, round: u32, error: &Error) {
        let (suite, case, peer) = (suite.to_owned(), case.to_owned(), peer.to_owned());
        let failure = Failure { suite, case, peer, round, why: error.to_string() };
        if !self.quiet {
            eprintln!("{failure}");
        }
        self.failures.push(failure);
    }

    /// The measurements that did not come about.
    pub(crate) fn failures(&self) -> &[Failure] {
        &self.failures
    }

    /// The suites that were measured, in order.
    pub(crate) fn suites(&self) -> Vec<&str> {
        distinct(self.measurements.iter().map(|measurement| measurement.suite.as_str()))
    }

    /// The builds of this switch that were measured.
    pub(crate) fn switches(&self) -> Vec<String> {
        let peers = distinct(self.measurements.iter().map(|measurement| measurement.peer.as_str()));
        peers.into_iter().filter(|peer| peer.starts_with("vswitch")).map(str::to_owned).collect()
    }

    /// The cases of a suite that were measured, in order.
    pub(crate) fn cases(&self, suite: &str) -> Vec<&str> {
        let of_suite = self.measurements.iter().filter(|measurement| measurement.suite == suite);
        distinct(of_suite.map(|measurement| measurement.case.as_str()))
    }

    /// `(round, value)` of one figure.
    fn values(&self, suite: &str, case: &str, peer: &str, figure: &str) -> Vec<(usize, f64)> {
        self.measurements
            .iter()
            .filter(|one| one.suite == suite && one.case == case && one.peer == peer)
            .filter_map(|one| {
                let found = one.figures.iter().find(|candidate| candidate.name == figure)?;
                Some((usize::try_from(one.round).ok()?, found.value))
            })
            .collect()
    }

    /// The rows of one case, a peer each.
    pub(crate) fn rows(&self, suite: &str, case: &str) -> Vec<Row<'_>> {
        let of_case: Vec<&Measurement> =
            self.measurements.iter().filter(|one| one.suite == suite && one.case == case).collect();
        let row = |peer: &'_ str| {
            let first = of_case.iter().find(|one| one.peer == peer)?;
            let figures = first.figures.iter().filter_map(|figure| {
                let values: Vec<f64> =
                    self.values(suite, case, peer, figure.name).into_iter().map(|(_, value)| value).collect();
                Some((figure.name, figure.unit, Spread::of(&values)?))
            });
            let name = first.figures.first()?.name;
            let ratio = self.ratio((suite, case, name), peer, base(suite));
            Some(Row { peer: first.peer.as_str(), figures: figures.collect(), ratio })
        };
        distinct(of_case.iter().map(|one| one.peer.as_str())).into_iter().filter_map(row).collect()
    }

    /// The ratios of one peer's figure (suite, case, name) to another's, round by round.
    pub(crate) fn ratio(
        &self,
        (suite, case, name): (&str, &str, &str),
        of: &str,
        to: &str,
    ) -> Option<Spread> {
        Spread::of(&ratios(&self.values(suite, case, of, name), &self.values(suite, case, to, name)))
    }

    /// The ratios of a peer's figure (suite, name) in one case to that in another, round by round.
    pub(crate) fn ratio_of_cases(
        &self,
        (suite, name): (&str, &str),
        peer: &str,
        of: &str,
        to: &str,
    ) -> Option<Spread> {
        Spread::of(&ratios(&self.values(suite, of, peer, name), &self.values(suite, to, peer, name)))
    }

    /// The spread of one peer's figure (suite, case, name).
    pub(crate) fn spread(&self, (suite, case, name): (&str, &str, &str), peer: &str) -> Option<Spread> {
        let values: Vec<f64> =
            self.values(suite, case, peer, name).into_iter().map(|(_, value)| value).collect();
        Spread::of(&values)
    }

    /// Everything as JSON.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// The machine, in one sentence, and how busy others kept it.
    pub(crate) fn circumstances(&self) -> String {
        let mut text = format!(
            "{}. {} round{} of {} s a measurement",
            self.machine.sentence(),
            self.rounds,
            if self.rounds == 1 { "" } else { "s" },
            self.seconds
        );
        if let Some(load) = Spread::of(&self.background) {
            let percent = |part: f64| number(part * 100.0);
            let (median, max) = (percent(load.median), percent(load.max));
            let _ = write!(text, "; others kept {median} % (at most {max} %) of the processors busy");
        }
        text + "."
    }

    /// The peers that took part, and those that could not, a line each.
    pub(crate) fn participants(&self) -> Vec<String> {
        let present = self.peers.iter().map(|remark| format!("{}: {}", remark.peer, remark.text));
        let absent =
            self.missing.iter().map(|remark| format!("{}: not measured, {}", remark.peer, remark.text));
        present.chain(absent).collect()
    }

    /// The header and rows of a suite's table, as text.
    pub(crate) fn cells(&self, suite: &str) -> Vec<Vec<String>> {
        let cases = self.cases(suite);
        let mut names: Vec<(&str, &str)> = Vec::new();
        for case in &cases {
            for (name, unit, _) in self.rows(suite, case).iter().flat_map(|row| row.figures.clone()) {
                if !names.contains(&(name, unit)) {
                    names.push((name, unit));
                }
            }
        }
        let Some(((first, first_unit), others)) = names.split_first() else { return Vec::new() };
        let mut header = vec![
            suite.to_owned(),
            "peer".into(),
            format!("{first}, {first_unit}"),
            "min..max".into(),
            format!("to {}", base(suite)),
            "min..max".into(),
        ];
        header.extend(others.iter().map(|(name, unit)| format!("{name}, {unit}")));
        let mut table = vec![header];
        for case in cases {
            for row in self.rows(suite, case) {
                let get = |name: &str| {
                    row.figures.iter().find(|(other, ..)| *other == name).map(|(.., spread)| *spread)
                };
                let mut cells = vec![case.to_owned(), row.peer.to_owned()];
                cells.extend(both(get(first)));
                cells.extend(both(row.ratio));
                cells.extend(
                    others
                        .iter()
                        .map(|(name, _)| get(name).map_or("-".into(), |spread| number(spread.median))),
                );
                table.push(cells);
            }
        }
        table
    }

    /// The whole of it for a terminal.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        for suite in self.suites() {
            text += "\n";
            text += &aligned(&self.cells(suite));
        }
        text += "\nMedians over the rounds; ratios are taken within a round.\n";
        let _ = writeln!(text, "{}", self.circumstances());
        for line in self.participants() {
            let _ = writeln!(text, "{line}");
        }
        for failure in &self.failures {
            let _ = writeln!(text, "FAILED {failure}");
        }
        let goals = crate::goals::all(self);
        if !goals.is_empty() {
            text += "\n";
            for goal in goals {
                let _ = writeln!(text, "{goal}");
            }
        }
        text
    }
}

/// Median and range of a spread, a cell each.
fn both(spread: Option<Spread>) -> [String; 2] {
    spread.map_or(["-".into(), "-".into()], |Spread { median, min, max }| {
        [number(median), format!("{}..{}", number(min), number(max))]
    })
}

/// A number with about three digits that mean something.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || size == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        size if size >= 0.01 => format!("{value:.3}"),
        _ => format!("{value:.4}"),
    }
}

/// The distinct among `names`, in the order of first appearance.
fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}

/// Rows of cells as lines with columns below each other; the first two columns are words, the others numbers.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ =
                if column < 2 { write!(line, "{cell:<width$}  ") } else { write!(line, "{cell:>width$}  ") };
        }
        text += line.trim_end();
        text += "\n";
    }
    text
}

#[cfg(test)]
#[allow(clippy::float_cmp)]
pub(crate) mod tests {
    use super::*;

    /// Results with these throughputs (Gb/s), a round each, in the case "cubic, 1 stream".
    pub(crate) fn sample(peers: &[(&str, &[f64])]) -> Results {
        let machine = Machine {
            day: "2026-01-02".into(),
            processor: "A processor".into(),
            processors: 2,
            is_virtual: true,
            memory_mib: 4000,
            kernel: "6.1".into(),
            congestion_control: "cubic".into(),
            born_with_cubic: true,
            iperf3: "iperf 3.12".into(),
        };
        let mut results = Results {
            machine,
            rounds: 3,
            seconds: 2,
            peers: Vec::new(),
            missing: Vec::new(),
            background: vec![0.25],
            measurements: Vec::new(),
            failures: Vec::new(),
            quiet: true,
        };
        for (peer, values) in peers {
            for (round, value) in (0..).zip(*values) {
                let figures =
                    vec![Figure::new("throughput", "Gb/s", *value), Figure::new("resident", "MiB", 7.0)];
                results.measured("tcp", "cubic, 1 stream", peer, round, figures);
            }
        }
        results
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let results = sample(&[("bridge", &[10.0, 20.0, 40.0]), ("vswitch", &[9.0, 22.0, 20.0])]);
        let rows = results.rows("tcp", "cubic, 1 stream");
        assert_eq!(rows[1].peer, "vswitch");
        assert_eq!(rows[1].ratio, Some(Spread { median: 0.9, min: 0.5, max: 1.1 }));
        assert_eq!(rows[1].figures[0].2.median, 20.0);
    }

    #[test]
    fn the_table_names_case_peer_unit_and_ratio() {
        let mut results = sample(&[("bridge", &[10.0]), ("vswitch", &[9.0])]);
        results.failed("tcp", "cubic, 1 stream", "ovs", 0, &Error::sentence("it fell over"));
        let table = results.table();
        let line =
            |start: &str| table.lines().find(|line| line.starts_with(start)).unwrap_or_default().to_owned();
        assert_eq!(
            line("cubic, 1 stream  vswitch").split_whitespace().skip(3).collect::<Vec<_>>(),
            ["vswitch", "9.00", "9.00..9.00", "0.90", "0.90..0.90", "7.00"]
        );
        assert!(line("tcp").contains("throughput, Gb/s"), "{table}");
        assert!(table.contains("FAILED tcp: cubic, 1 stream: round 1: ovs: it fell over"), "{table}");
        assert!(table.contains("others kept 25.0 %"), "{table}");
    }

    #[test]
    fn a_peer_without_base_has_no_ratio() {
        let results = sample(&[("vswitch", &[9.0])]);
        assert!(results.rows("tcp", "cubic, 1 stream")[0].ratio.is_none());
        assert!(results.table().contains(" - "));
    }

    #[test]
    fn numbers_keep_about_three_digits() {
        assert_eq!(
            [1234.5, 99.96, 1.234, 0.0123, 0.0, 0.000_49].map(number),
            ["1234", "100.0", "1.23", "0.012", "0", "0.0005"]
        );
    }

    #[test]
    fn json_holds_every_measurement() {
        let value: serde_json::Value =
            serde_json::from_str(&sample(&[("bridge", &[10.0, 11.0])]).json()).unwrap_or_default();
        assert_eq!(value["measurements"][1]["figures"][0]["value"], 11.0);
        assert_eq!(value["machine"]["processors"], 2);
    }
}
