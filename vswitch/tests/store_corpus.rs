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

/// How many of its two endpoints the node still has in the end, and how many keys it leaves that nobody can read.
#[test]
fn what_somebody_does_with_a_shell_comes_to_what_it_must() {
    let ends = [
        ("another-node", (2, 0)),
        ("dead-node", (2, 0)),
        ("dead-node-spoiled", (2, 0)),
        ("own-endpoint-spoiled", (2, 0)),
        ("own-endpoint-deleted", (2, 0)),
        ("own-endpoint-of-another", (1, 0)),
        ("own-mac-of-another", (1, 0)),
        ("own-name-of-another", (2, 0)),
        ("network-spoiled", (2, 1)),
        ("address-and-key-differ", (2, 4)),
        ("deep", (2, 1)),
        ("many-aliases", (2, 1)),
        ("empty", (2, 1)),
        ("wide-one-vni", (2, 1)),
        ("wide-vni-missing", (2, 1)),
        ("wide-subnets-overlap", (2, 1)),
        ("wide-subnet-twice", (2, 1)),
        ("wide-unpaired", (2, 1)),
        ("wide-too-many", (2, 1)),
        ("wide-as-many-as-can-be", (2, 0)),
        ("wide-other-vnis", (2, 0)),
        ("wide-vnis-of-another", (2, 0)),
        ("wide-own-subnet-gone", (2, 0)),
        ("wide-own-endpoint-deleted", (2, 0)),
        ("wide-own-endpoint-of-another", (1, 0)),
        ("wide-own-ipv6-of-another", (1, 0)),
        ("wide-endpoint-in-no-subnet", (2, 0)),
    ];
    for (name, end) in ends {
        assert_eq!(store(&input(name)), end, "{name}");
    }
}
