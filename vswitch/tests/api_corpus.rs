//! Every input the fuzz target `api` ever kept is run again, with any compiler.

use std::{fs, path::Path};

#[test]
fn the_api_holds_on_its_corpus() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/api");
    let files = fs::read_dir(&directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    let mut count = 0;
    for file in files {
        let path = file.expect("a directory that can be listed").path();
        println!("{}", path.display());
        vswitch::control::api::fuzzing::api(&fs::read(&path).expect("a file that can be read"));
        count += 1;
    }
    assert!(count > 0, "{} is empty", directory.display());
}
