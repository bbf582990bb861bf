//! Ending what a command leaves behind: every process of its network namespace.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Looks after which a namespace that still fills up is left alone.
const LOOKS: usize = 100;

/// A network namespace, told apart by device and inode while a process is in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NetnsId(u64, u64);

impl NetnsId {
    /// That of a process.
    ///
    /// # Errors
    /// When there is no such process, or it is somebody else's.
    pub fn of(pid: i32) -> io::Result<Self> {
        Self::behind(Path::new(&format!("/proc/{pid}")))
    }

    fn behind(process: &Path) -> io::Result<Self> {
        fs::metadata(process.join("ns/net")).map(|m| Self(m.dev(), m.ino()))
    }
}

/// Kills every process of a network namespace other than the caller's own. One that appears
/// between two looks is found by the next.
pub fn kill_all(netns: NetnsId) {
    if NetnsId::behind(Path::new("/proc/self")).is_ok_and(|own| own == netns) {
        return;
    }
    for _ in 0..LOOKS {
        if !look(netns) {
            return;
        }
    }
}

/// True if there was a live one.
fn look(netns: NetnsId) -> bool {
    let inside = |process: &Path| NetnsId::behind(process).is_ok_and(|id| id == netns);
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
