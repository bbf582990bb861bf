//! Starting a daemon where none listens.

use std::fs::{DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::fcntl::{Flock, FlockArg};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};
use vswitch::control::paths;
use vswitch::sandbox::channel::{Channel, spawn_self};

use crate::error::Failure;

/// Seconds after which a daemon that was started this way ends without containers.
const IDLE_EXIT: &str = "60";

/// Seconds that a daemon without containers takes to end, at most.
const ENDING: i64 = 3;

/// What a daemon tells whoever started it.
#[derive(Debug, Serialize, Deserialize)]
pub enum Readiness {
    /// It listens.
    Ready,
    /// It could not start; a sentence.
    Failed(String),
}

fn listens(socket: &Path) -> Result<bool, Failure> {
    match UnixStream::connect(socket) {
        Ok(_) => Ok(true),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => Ok(false),
        Err(e) => Err(Failure::new(format!("the daemon at {} cannot be used: {e}", socket.display()))),
    }
}

/// Makes sure that a daemon listens on `socket`.
///
/// # Errors
/// Why there is none and cannot be one.
pub fn ensure(socket: &Path) -> Result<(), Failure> {
    if listens(socket)? {
        return Ok(());
    }
    let data_dir = std::env::var_os("VSWITCH_DATA_DIR").map(PathBuf::from);
    let data_dir = paths::data_dir(data_dir.as_deref())?;
    let failed = |path: &Path, e: std::io::Error| Failure::new(format!("{}: {e}", path.display()));
    DirBuilder::new().recursive(true).mode(0o700).create(&data_dir).map_err(|e| failed(&data_dir, e))?;
    // Of several that find no daemon, one starts it and the others wait here.
    let path = data_dir.join("start.lock");
    let file =
        File::options().create(true).truncate(false).write(true).open(&path).map_err(|e| failed(&path, e))?;
    let _starting = Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, e)| Failure::new(format!("{}: {e}", path.display())))?;
    if listens(socket)? {
        return Ok(());
    }
    outlast(&data_dir);
    start(socket, &data_dir)
}

/// Waits for a daemon that no longer listens and has not quite ended: it holds the data directory to its last moment.
/// One that listens elsewhere does not end, so not for long.
fn outlast(data_dir: &Path) {
    let path = data_dir.join("lock");
    let Ok(file) = File::open(&path) else { return };
    if Flock::lock(file, FlockArg::LockSharedNonblock).is_ok() {
        return;
    }
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let pid = text.trim().parse().ok().and_then(Pid::from_raw);
    let Some(Ok(daemon)) = pid.map(|pid| pidfd_open(pid, PidfdFlags::empty())) else { return };
    let end = Timespec { tv_sec: ENDING, tv_nsec: 0 };
    // What does not work out the start will say.
    let _ = poll(&mut [PollFd::new(&daemon, PollFlags::IN)], Some(&end));
}

fn start(socket: &Path, data_dir: &Path) -> Result<(), Failure> {
    let log_path = data_dir.join("daemon.log");
    let log = File::options()
        .create(true)
        .append(true)
        .open(&log_path)
        .map_err(|e| Failure::new(format!("{}: {e}", log_path.display())))?;
    let (mut child, channel) = spawn_self("inner-daemon", |command| {
        command.arg("-H").arg(format!("unix://{}", socket.display()));
        command.args(["daemon", "--idle-exit", IDLE_EXIT, "--data-dir"]).arg(data_dir);
        command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    })?;
    match channel.recv() {
        Ok((Readiness::Ready, _)) => Ok(()),
        Ok((Readiness::Failed(message), _)) => {
            let _ = child.wait();
            Err(Failure::new(message))
        }
        Err(e) => {
            let _ = child.wait();
            Err(Failure::new(format!("the daemon died while starting ({e}); see {}", log_path.display())))
        }
    }
}

/// Tells whoever started this daemon how it went.
pub fn report(channel: Option<&Channel>, readiness: &Readiness) {
    if let Some(channel) = channel {
        // Nobody may be there any more; then nobody is interested.
        let _ = channel.send(readiness, &[]);
    }
}
