//! Every input the fuzz target `dhcp` ever kept is run again, with any compiler.

use std::{fs, path::Path};

use vswitch::gateway::fuzzing::dhcp;

fn corpus() -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/dhcp");
    let files = fs::read_dir(&directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    let read = |file: fs::DirEntry| {
        let bytes = fs::read(file.path()).expect("a file that can be read");
        (file.file_name().to_string_lossy().into_owned(), bytes)
    };
    files.map(|file| read(file.expect("a directory that can be listed"))).collect()
}

#[test]
fn dhcp_holds_on_its_corpus() {
    let corpus = corpus();
    assert!(!corpus.is_empty());
    for (name, bytes) in corpus {
        println!("{name}");
        dhcp(&bytes);
    }
}

/// What real clients said is answered as it must be.
#[test]
fn recorded_clients_get_their_answers() {
    const KIND_AT: usize = 42 + 240 + 2;
    let kinds = [
        ("udhcpc-discover", Some(2)),
        ("udhcpc-request", Some(5)),
        ("dhclient-discover", Some(2)),
        ("dhclient-request", Some(5)),
        ("dhclient-reboot-elsewhere", Some(6)),
        ("renew", Some(5)),
        ("inform", Some(5)),
        ("overload", Some(5)),
        ("release", None),
        ("decline", None),
        ("other-server", None),
        ("cut-option", None),
    ];
    let corpus = corpus();
    for (name, kind) in kinds {
        let (_, bytes) = corpus.iter().find(|(n, _)| n == name).expect("a file of the corpus");
        assert_eq!(dhcp(bytes).map(|answer| answer[KIND_AT]), kind, "{name}");
    }
}
