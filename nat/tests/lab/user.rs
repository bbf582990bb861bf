//! A lab for an ordinary user: the same test once more, as root of namespaces of its own.

use std::process::Command;

/// False for root. For an ordinary user runs the calling test once more in a user, mount and
/// network namespace, asserts that it passes there, and returns true: nothing is left to be done.
pub fn ran_as_user() -> bool {
    if rustix::process::geteuid().is_root() {
        return false;
    }
    let own = std::env::current_exe().expect("the test's own program");
    let thread = std::thread::current();
    let test = thread.name().expect("a test's thread has its name");
    let status = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--mount", "--", "sh", "-c"])
        .arg("mount -t tmpfs tmpfs /run && exec \"$0\" --exact --nocapture --include-ignored \"$1\"")
        .arg(own)
        .arg(test)
        .status()
        .expect("unshare");
    assert!(status.success(), "{test} failed as root of a user namespace");
    true
}
