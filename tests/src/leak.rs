//! What is left over: processes, mounts, descriptors.

use std::fs;
use std::path::Path;

/// The variable by which everything a test has started is known, however far it has gone.
pub const MARK: &str = "VSWITCH_TEST_MARK";

/// A process that carries a mark.
#[derive(Clone, Debug)]
pub struct Marked {
    /// Its number.
    pub pid: i32,
    /// Its command line.
    pub command: String,
}

fn pids() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|e| e.file_name().to_str()?.parse().ok())
}

fn command_line(pid: i32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ").trim().to_owned()
}

/// Every living process that was started with `mark` in its environment, or by one that was.
pub fn processes_marked(mark: &str) -> Vec<Marked> {
    let wanted = format!("{MARK}={mark}");
    let carries = |pid: &i32| {
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|all| all.split(|b| *b == 0).any(|one| one == wanted.as_bytes()))
    };
    pids().filter(carries).map(|pid| Marked { pid, command: command_line(pid) }).collect()
}

/// Every living process whose network namespace has this inode.
pub fn processes_in_netns(inode: u64) -> Vec<Marked> {
    let inside = |pid: &i32| netns_inode(*pid) == Some(inode);
    pids().filter(inside).map(|pid| Marked { pid, command: command_line(pid) }).collect()
}

/// The inode of a process's network namespace.
pub fn netns_inode(pid: i32) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(format!("/proc/{pid}/ns/net")).ok().map(|m| m.ino())
}

/// The mounts of this mount namespace at or below a directory.
pub fn mounts_below(dir: &Path) -> Vec<String> {
    let all = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let dir = dir.to_string_lossy();
    all.lines().filter(|line| line.contains(dir.as_ref())).map(str::to_owned).collect()
}

/// How many descriptors a process has open.
pub fn descriptors(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().count()
}

/// The memory a process has, in KiB.
///
/// # Panics
/// When there is no such process.
pub fn resident_kib(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or_else(|| panic!("process {pid} has no resident memory"))
}

/// Every path below a directory.
pub fn paths_below(dir: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let mut todo = vec![dir.to_path_buf()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            all.push(entry.path().to_string_lossy().into_owned());
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                todo.push(entry.path());
            }
        }
    }
    all.sort();
    all
}
