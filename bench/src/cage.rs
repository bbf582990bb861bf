//! The cage a benchmark runs in: process, mount and network namespaces of its own, with a /run of its own.
//!
//! The command starts itself once more as the first process of a process namespace, and that starts the benchmark
//! proper. When the first process ends, by itself, by Ctrl-C or by SIGKILL, the kernel ends every process the benchmark
//! has started; with the last of them the mount namespace goes, with that the named network namespaces, and with those
//! the interfaces. What is left to remove is one temporary directory, which the command does.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitStatus, wait};

use crate::error::{Doing, Error, Result};
use crate::process::confine;

/// The first argument with which this program is the first process of a cage.
pub(crate) const FIRST_PROCESS: &str = "first-process-of-a-cage";

/// Runs this very command inside a new cage; `INSIDE` of the arguments tells it so. Returns when it has ended.
pub(crate) fn run_inside() -> Result<ExitCode> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Error::sentence(
            "the benchmark makes network namespaces and kernel bridges and so must run as root; build it as yourself \
             with `cargo build --release -p cli -p bench` and start it with `sudo target/release/bench`",
        ));
    }
    let scratch = tempfile::Builder::new()
        .prefix("vswitch-bench-")
        .tempdir()
        .doing(|| "make a temporary directory".to_owned())?;
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGCHLD] {
        signals.add(signal);
    }
    signals.thread_block().doing(|| "block signals".to_owned())?;
    unshare(CloneFlags::CLONE_NEWPID).doing(|| "make a process namespace".to_owned())?;
    let own = std::env::current_exe().doing(|| "find the benchmark's own program file".to_owned())?;
    let mut inner = Command::new(own);
    inner.arg(FIRST_PROCESS).arg("--inside").arg(scratch.path()).args(std::env::args_os().skip(1));
    confine(&mut inner, None)?;
    let mut inner = inner.spawn().doing(|| "start the benchmark in a process namespace".to_owned())?;
    loop {
        match signals.wait().doing(|| "wait for a signal".to_owned())? {
            Signal::SIGCHLD => {
                if let Some(status) = inner.try_wait().doing(|| "wait for the benchmark".to_owned())? {
                    let code = status.code().and_then(|code| u8::try_from(code).ok());
                    return Ok(ExitCode::from(code.unwrap_or(1)));
                }
            }
            signal => {
                inner.kill().doing(|| "end the benchmark".to_owned())?;
                inner.wait().doing(|| "wait for the benchmark".to_owned())?;
                eprintln!("bench: ended by {signal}; everything it had set up is gone");
                return Ok(ExitCode::from(128u8.saturating_add(u8::try_from(signal as i32).unwrap_or(0))));
            }
        }
    }
}

/// What the first process does: makes the rest of the cage, starts the benchmark in it, waits for it and, as nobody else
/// can, for processes whose parents have ended before them.
pub(crate) fn first_process() -> Result<ExitCode> {
    close()?;
    let own = std::env::current_exe().doing(|| "find the benchmark's own program file".to_owned())?;
    let mut benchmark = Command::new(own);
    benchmark.args(std::env::args_os().skip(2));
    confine(&mut benchmark, None)?;
    let benchmark = benchmark.spawn().doing(|| "start the benchmark in its cage".to_owned())?;
    loop {
        let ended = wait().doing(|| "wait for the benchmark".to_owned())?;
        if ended.pid().is_none_or(|id| u32::try_from(id.as_raw()) != Ok(benchmark.id())) {
            continue;
        }
        return Ok(match ended {
            WaitStatus::Exited(_, code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
            _ => ExitCode::FAILURE,
        });
    }
}

/// Makes mount and network namespaces around this process, which [`run_inside`] has started.
fn close() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET)
        .doing(|| "make mount and network namespaces".to_owned())?;
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .doing(|| "make the mounts private".to_owned())?;
    mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), none).doing(|| "mount /proc".to_owned())?;
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), Some("mode=0755"))
        .doing(|| "mount a /run of its own".to_owned())?;
    fs::create_dir_all(Path::new("/run/netns")).doing(|| "make /run/netns".to_owned())?;
    crate::netns::batch(None, "link set lo up\n")
}
