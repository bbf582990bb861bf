//! Every input that a fuzz target ever kept is run again, with any compiler.

use std::{fs, path::Path};

use crate::engine::rfc::namespace::in_namespace;

fn replay(target: &str, body: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files = fs::read_dir(&directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    let mut count = 0;
    for file in files {
        let path = file.unwrap().path();
        println!("{}", path.display());
        body(&fs::read(&path).unwrap());
        count += 1;
    }
    assert!(count > 0, "{} is empty", directory.display());
}

#[test]
fn connections_hold_on_their_corpus() {
    replay("conn", super::conn);
}

#[test]
fn fragments_hold_on_their_corpus() {
    replay("fragments", super::fragments);
}

in_namespace! {
    fn the_engine_holds_on_its_corpus() {
        replay("engine", super::engine);
    }
}
