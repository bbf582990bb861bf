//! Writes a run into the documentation: tables, plots, single measurements and the machine's description.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::error::{Doing as _, Result};
use crate::plot::svg;
use crate::report::Results;

/// Writes `README.md`, `results.json` and a plot for every suite into `directory`.
pub(crate) fn write(results: &Results, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).doing(|| format!("make {}", directory.display()))?;
    let write = |name: &str, text: String| {
        let file = directory.join(name);
        fs::write(&file, text).doing(|| format!("write {}", file.display()))
    };
    for suite in results.suites() {
        write(&format!("{suite}.svg"), svg(results, suite))?;
    }
    write("results.json", results.json())?;
    write("README.md", page(results))
}

/// The page that shows all of it.
fn page(results: &Results) -> String {
    let mut text = String::from(
        "# Benchmarks\n\n\
         Written by `cargo run --release -p bench -- --publish`, as root. This switch and every peer installed on the \
         machine, started anew each round and measured in turn within it. A figure is the median over the rounds, with the \
         smallest and the largest; a ratio is to the kernel's bridge in the same round, or in the suites of the outside to \
         the path without translation. Figures of different machines, \
         or of different runs, do not compare; ratios do, roughly. TCP figures name their congestion control. Switch CPU is that of the switch's processes, none for \
         one in the kernel; total CPU adds the two ends; machine CPU is all there is, other work on the machine \
         included. Resident counts shared pages whole, proportional divides them among those who share them.\n\n",
    );
    let _ = writeln!(text, "Machine: {}\n", results.circumstances());
    for line in results.participants() {
        let _ = writeln!(text, "- {line}");
    }
    for suite in results.suites() {
        let _ = writeln!(text, "\n## {suite}\n\n![{suite}]({suite}.svg)\n");
        for (index, row) in results.cells(suite).iter().enumerate() {
            let _ = writeln!(text, "| {} |", row.join(" | "));
            if index == 0 {
                let numbers = vec!["---:"; row.len().saturating_sub(2)].join(" | ");
                let _ = writeln!(text, "| --- | --- | {numbers} |");
            }
        }
    }
    let goals = crate::goals::all(results);
    if !goals.is_empty() {
        text += "\n## Goals\n\n";
        for goal in goals {
            let _ = writeln!(text, "- {goal}");
        }
    }
    if !results.failures().is_empty() {
        text += "\n## Failures\n\n";
        for failure in results.failures() {
            let _ = writeln!(text, "- {failure}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::sample;

    #[test]
    fn a_published_run_has_a_page_a_plot_and_the_measurements() -> Result<()> {
        let directory = tempfile::tempdir().doing(|| "make a directory".to_owned())?;
        write(&sample(&[("bridge", &[10.0]), ("vswitch", &[9.0])]), directory.path())?;
        let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap_or_default();
        assert!(read("tcp.svg").starts_with("<svg"));
        assert!(read("results.json").contains("\"bridge\""));
        let page = read("README.md");
        assert!(page.contains("| cubic, 1 stream | vswitch | 9.00 |"), "{page}");
        assert!(page.contains("Machine: 2026-01-02: 2 x A processor (virtual)"), "{page}");
        assert!(page.contains("## Goals"));
        Ok(())
    }
}
