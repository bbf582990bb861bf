//! Every numbered requirement that a NAT has to meet has a test named after it. What is not met is in
//! docs/nat.md.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{fs, path::Path};

/// The requirements by document. RFC 7857 has no short numbers: what it adds to RFC 5382 has its name.
const REQUIREMENTS: &[(&str, &[u32])] = &[
    ("rfc4787", &[1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]),
    ("rfc5382", &[1, 2, 4, 5, 7, 8, 9, 10]),
    ("rfc5508", &[1, 2, 3, 4, 5, 6, 7]),
    ("rfc6888", &[4, 5, 8, 11]),
];

/// The names of all tests in the files below `path`.
fn tests_below(path: &Path, into: &mut Vec<String>) {
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_below(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).unwrap();
            let lines: Vec<&str> = source.lines().map(str::trim).collect();
            for (at, line) in lines.iter().enumerate() {
                let Some(name) = line.strip_prefix("fn rfc") else { continue };
                // A test by its attribute, or one of the macros that make tests.
                let before = lines[..at].iter().rev().take_while(|line| !line.is_empty() && **line != "}");
                assert!(
                    before.into_iter().any(|line| *line == "#[test]"
                        || line.starts_with("in_namespace!")
                        || line.starts_with("proptest!")),
                    "fn rfc{name} is no test"
                );
                into.push(format!("rfc{}", name.split('(').next().unwrap()));
            }
        }
    }
}

#[test]
fn every_requirement_has_a_test_named_after_it() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = Vec::new();
    for folder in ["src", "tests"] {
        tests_below(&here.join(folder), &mut tests);
    }
    let mut missing = Vec::new();
    for (document, numbers) in REQUIREMENTS {
        for number in *numbers {
            let name = format!("{document}_req{number}");
            // Behind the number: the letter of a part, or what the test says.
            let named = |test: &String| {
                test.strip_prefix(&name).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
            };
            if !tests.iter().any(named) {
                missing.push(name);
            }
        }
    }
    assert!(missing.is_empty(), "without a test: {missing:?}");
    assert!(tests.iter().any(|test| test.starts_with("rfc7857_")));
}
