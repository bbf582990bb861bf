//! Every input the fuzz target `store` ever kept is run again, with any compiler.

use std::{fs, path::Path};

use vswitch::control::cluster::fuzzing::store;

fn input(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/store").join(name);
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn a_node_holds_on_its_corpus() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/store");
    let files = fs::read_dir(&directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    let mut count = 0;
    for file in files {
        let path = file.expect("a directory that can be listed").path();
        println!("{}", path.display());
        store(&fs::read(&path).expect("a file that can be read"));
        count += 1;
    }
    assert!(count > 20, "{count} in {}", directory.display());
}

/// Whether the node still has its endpoint in the end, and how many keys it leaves that nobody can read.
#[test]
fn what_somebody_does_with_a_shell_comes_to_what_it_must() {
    let ends = [
        ("another-node", (true, 0)),
        ("dead-node", (true, 0)),
        ("dead-node-spoiled", (true, 0)),
        ("own-endpoint-spoiled", (true, 0)),
        ("own-endpoint-deleted", (true, 0)),
        ("own-endpoint-of-another", (false, 0)),
        ("own-mac-of-another", (false, 0)),
        ("own-name-of-another", (true, 0)),
        ("network-spoiled", (true, 1)),
        ("address-and-key-differ", (true, 4)),
        ("deep", (true, 1)),
        ("many-aliases", (true, 1)),
        ("empty", (true, 1)),
    ];
    for (name, end) in ends {
        assert_eq!(store(&input(name)), end, "{name}");
    }
}
