//! Every input the fuzz targets ever kept is run again, with any compiler.

use std::{fs, path::Path};

/// Runs `target` on each file of its corpus.
fn replay(name: &str, target: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let files = fs::read_dir(&directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    let mut count = 0;
    for file in files {
        let path = file.expect("a directory that can be listed").path();
        println!("{}", path.display());
        target(&fs::read(&path).expect("a file that can be read"));
        count += 1;
    }
    assert!(count > 0, "{} is empty", directory.display());
}

#[test]
fn views_hold_on_their_corpus() {
    replay("views", packet::fuzzing::views);
}

#[test]
fn segmentation_holds_on_its_corpus() {
    replay("vnet_segment", packet::fuzzing::vnet_segment);
}

#[test]
fn coalescing_holds_on_its_corpus() {
    replay("coalesce", packet::fuzzing::coalesce);
}

#[test]
fn captures_hold_on_their_corpus() {
    replay("pcapng", packet::fuzzing::pcapng);
}

#[test]
fn filters_hold_on_their_corpus() {
    replay("filter", packet::fuzzing::filter);
}

#[test]
fn descriptions_hold_on_their_corpus() {
    replay("describe", packet::fuzzing::describe);
}
