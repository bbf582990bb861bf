//! Ending what a command leaves behind: every process of its network namespace.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Looks after which a namespace that still fills up is left alone.
const LOOKS: usize = 100;

/// A network namespace, told apart by device and inode. It is held open, so that no other can be
/// given the same inode while somebody still looks for its processes.
#[derive(Debug)]
pub struct NetnsId {
    id: (u64, u64),
    _held: fs::File,
}

impl NetnsId {
    /// That of a process.
    ///
    /// # Errors
    /// When there is no such process, or it is somebody else's.
    pub fn of(pid: i32) -> io::Result<Self> {
        let held = fs::File::open(format!("/proc/{pid}/ns/net"))?;
        let m = held.metadata()?;
        Ok(Self { id: (m.dev(), m.ino()), _held: held })
    }
}

fn id_of(process: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(process.join("ns/net")).map(|m| (m.dev(), m.ino()))
}

/// Kills every process of a network namespace other than the caller's own. One that appears
/// between two looks is found by the next.
pub fn kill_all(netns: &NetnsId) {
    if id_of(Path::new("/proc/self")).is_ok_and(|own| own == netns.id) {
        return;
    }
    for _ in 0..LOOKS {
        if !look(netns.id) {
            return;
        }
    }
}

/// Kills every child of the caller, and buries it. The children's children become the caller's own
/// when it is a subreaper (prctl(2)), and are found then.
pub fn kill_children() {
    use rustix::process::{WaitOptions, kill_process, wait};
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let parent_of = |process: &Path| -> Option<i32> {
        let stat = fs::read_to_string(process.join("stat")).ok()?;
        // The name is in parentheses and may have any of its own.
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    loop {
        let Ok(all) = fs::read_dir("/proc") else { return };
        for entry in all.flatten() {
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
            // A child's number is not given again before it is buried.
            if let Some(pid) = pid
                && parent_of(&entry.path()) == Some(own)
            {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        match wait(WaitOptions::empty()) {
            // Its children are the caller's now: they are found by the next look.
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

/// True if there was a live one.
fn look(netns: (u64, u64)) -> bool {
    let inside = |process: &Path| id_of(process).is_ok_and(|id| id == netns);
    let mut found = false;
    let Ok(all) = fs::read_dir("/proc") else { return false };
    for entry in all.flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(pid) = pid.and_then(Pid::from_raw) else { continue };
        if !inside(&entry.path()) {
            continue;
        }
        // Look again with the process held, so that its number cannot have been given to another.
        if let Ok(held) = pidfd_open(pid, PidfdFlags::empty())
            && inside(&entry.path())
            && pidfd_send_signal(&held, Signal::KILL).is_ok()
        {
            found = true;
        }
    }
    found
}
