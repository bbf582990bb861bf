//! The filter matches exactly the frames that tcpdump's does.

#![allow(clippy::unwrap_used, reason = "a test that fails to unwrap has failed")]

mod frames;
mod grammar;
mod oracle;

use std::sync::LazyLock;

use frames::Captured;
use oracle::Oracle;
use packet::Filter;
use proptest::prelude::*;

static FRAMES: LazyLock<Vec<Captured>> = LazyLock::new(frames::corpus);
static ORACLE: LazyLock<Oracle> = LazyLock::new(|| Oracle::new(&FRAMES));

fn matching(expression: &str) -> Result<Vec<usize>, packet::FilterError> {
    let filter = Filter::compile(expression)?;
    let matches = |frame: &Captured| filter.matches(&frame.data, frame.wire_len);
    Ok(FRAMES.iter().enumerate().filter(|(_, frame)| matches(frame)).map(|(number, _)| number).collect())
}

/// Asserts that both match the same frames, or both refuse; says how many were matched.
fn compare(expression: &str) -> Result<Option<usize>, String> {
    match (matching(expression), ORACLE.matching(expression)) {
        (Ok(ours), Ok(theirs)) if ours == theirs => Ok(Some(ours.len())),
        (Ok(ours), Ok(theirs)) => {
            let only = |these: &[usize], those: &[usize]| {
                these.iter().copied().filter(|number| !those.contains(number)).collect::<Vec<_>>()
            };
            let frames = |numbers: Vec<usize>| {
                let shown = numbers.iter().take(2).map(|&number| &FRAMES[number].data);
                shown
                    .map(|data| format!("{:02x?}", &data[..data.len().min(120)]))
                    .collect::<Vec<_>>()
                    .join("\n")
            };
            Err(format!(
                "{expression}\nonly here:\n{}\nonly tcpdump:\n{}",
                frames(only(&ours, &theirs)),
                frames(only(&theirs, &ours))
            ))
        }
        (Err(_), Err(_)) => Ok(None),
        (Err(ours), Ok(_)) => Err(format!("{expression}\nrefused here: {ours}")),
        (Ok(_), Err(theirs)) => Err(format!("{expression}\nrefused by tcpdump: {theirs}")),
    }
}

/// Every expression of the file, one a line; lines of comments start with #.
fn listed(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[test]
fn listed_expressions_match_what_tcpdump_matches() {
    let mut wrong = Vec::new();
    for expression in listed(include_str!("accepted.txt")) {
        match compare(expression) {
            Ok(Some(_)) => {}
            Ok(None) => wrong.push(format!("{expression}\nrefused by both: {:?}", matching(expression))),
            Err(difference) => wrong.push(difference),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn the_corpus_decides_most_listed_expressions() {
    let all = listed(include_str!("accepted.txt")).count();
    let decided = listed(include_str!("accepted.txt"))
        .filter(|expression| matching(expression).is_ok_and(|matched| !matched.is_empty()))
        .count();
    assert!(decided * 10 >= all * 9, "only {decided} of {all} expressions match any frame");
}

#[test]
fn expressions_that_tcpdump_refuses_are_refused() {
    let accepted: Vec<_> = listed(include_str!("refused.txt"))
        .filter(|expression| matching(expression).is_ok() || ORACLE.matching(expression).is_ok())
        .collect();
    assert!(accepted.is_empty(), "{accepted:#?}");
}

#[test]
fn the_optimizer_of_libpcap_changes_nothing_on_whole_frames() {
    // On cut frames it may: it drops loads whose values it does not need.
    let whole =
        |numbers: Vec<usize>| -> Vec<usize> { numbers.into_iter().filter(|&number| number < 450).collect() };
    // Only the optimizer makes one offset of the two constants.
    let negative = ["ip[-2:2] = 0x0800", "not ip6[-2:2] = 0x86dd", "arp[-14:4] = 0xffffffff"];
    for expression in listed(include_str!("accepted.txt")).chain(negative) {
        // Optimized to nothing, libpcap refuses it.
        let Ok(theirs) = ORACLE.matching_optimized(expression) else { continue };
        assert_eq!(whole(matching(expression).unwrap()), whole(theirs), "{expression}");
    }
}

/// Every case is a run of tcpdump; `PROPTEST_CASES` asks for more of them.
fn config() -> ProptestConfig {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_some() {
        config
    } else {
        ProptestConfig { cases: 400, ..config }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn generated_expressions_match_what_tcpdump_matches(expression in grammar::expression()) {
        if let Err(difference) = compare(&expression) {
            return Err(TestCaseError::fail(difference));
        }
    }
}
