//! Where the programs under test are.

use std::path::PathBuf;

/// The path of one of the workspace's programs.
///
/// They lie beside the test program or one directory above it, as cargo builds them.
/// `VSWITCH_TEST_BIN_DIR` names another directory, for tests of an installed command.
pub fn path(name: &str) -> PathBuf {
    let mut dirs = Vec::new();
    if let Some(dir) = std::env::var_os("VSWITCH_TEST_BIN_DIR") {
        dirs.push(PathBuf::from(dir));
    } else if let Ok(own) = std::env::current_exe() {
        dirs.extend(own.ancestors().skip(1).take(2).map(PathBuf::from));
    }
    match dirs.iter().map(|dir| dir.join(name)).find(|path| path.is_file()) {
        Some(path) => path,
        None => panic!("there is no {name} in {dirs:?}: `cargo build -p cli -p tests` makes it"),
    }
}
