//! Ending what a command leaves behind, and nothing of what others have in its network namespace.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Looks after which a namespace that still fills up is left alone.
const LOOKS: usize = 100;

/// The network and mount namespaces of a container's first process, told apart by device and inode.
/// They are held open, so that no others can be given the same inodes while somebody still looks for
/// their processes. Other containers and `nsenter --net` may share the network namespace; the mount
/// namespace is only the command's.
#[derive(Debug)]
pub struct Namespaces {
    id: Ids,
    _held: [fs::File; 2],
}

/// Of the network and the mount namespace.
type Ids = [(u64, u64); 2];

impl Namespaces {
    /// Those of a process.
    ///
    /// # Errors
    /// When there is no such process, or it is somebody else's.
    pub fn of(pid: i32) -> io::Result<Self> {
        let open = |kind: &str| fs::File::open(format!("/proc/{pid}/ns/{kind}"));
        let held = [open("net")?, open("mnt")?];
        let id = |file: &fs::File| file.metadata().map(|m| (m.dev(), m.ino()));
        Ok(Self { id: [id(&held[0])?, id(&held[1])?], _held: held })
    }
}

fn ids_of(process: &Path) -> io::Result<Ids> {
    let id = |kind: &str| fs::metadata(process.join("ns").join(kind)).map(|m| (m.dev(), m.ino()));
    Ok([id("net")?, id("mnt")?])
}

/// Kills every process that is in both of the namespaces, unless one of them is the caller's own. A
/// process that appears between two looks is found by the next.
pub fn kill_all(namespaces: &Namespaces) {
    let [net, mnt] = namespaces.id;
    if !ids_of(Path::new("/proc/self")).is_ok_and(|own| own[0] != net && own[1] != mnt) {
        return;
    }
    for _ in 0..LOOKS {
        if !look(namespaces.id) {
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
fn look(namespaces: Ids) -> bool {
    let inside = |process: &Path| ids_of(process).is_ok_and(|ids| ids == namespaces);
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
