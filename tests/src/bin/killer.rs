//! `killer N COMMAND...` becomes the command, and is killed with SIGKILL when it is about to write to a
//! disk for the Nth time: pwrite64(2) or fdatasync(2), of any thread. With N 0 it lives.
//!
//! A child traces it (ptrace(2)) and goes when it goes. strace can do nearly that, but counts the calls of
//! each thread for itself.
#![allow(unsafe_code)]

use std::error::Error;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpid};
use rustix::process::PTracer;

/// PTRACE_SYSCALL_INFO_ENTRY of linux/ptrace.h.
const ENTRY: u8 = 1;

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args_os().skip(1);
    let count = words.next().and_then(|n| n.to_str()?.parse().ok()).ok_or("killer N COMMAND...")?;
    let program = words.next().ok_or("killer N COMMAND...")?;
    let (mut allowed, mut allow) = std::io::pipe()?;
    let (mut traced, mut trace) = std::io::pipe()?;
    let own = getpid();
    // SAFETY: this process has a single thread.
    match unsafe { fork() }? {
        ForkResult::Child => {
            drop(allow);
            drop(traced);
            allowed.read_exact(&mut [0])?;
            // Only what is traced already runs on.
            ptrace::seize(own, Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACECLONE)?;
            ptrace::interrupt(own)?;
            waitpid(own, Some(WaitPidFlag::__WALL))?;
            ptrace::syscall(own, None)?;
            trace.write_all(&[0])?;
            drop(trace);
            follow(own, count)?;
        }
        ForkResult::Parent { child } => {
            drop(trace);
            let tracer = rustix::process::Pid::from_raw(child.as_raw()).ok_or("no child")?;
            // Where Yama has only a parent trace (EINVAL where there is no Yama).
            let _ = rustix::process::set_ptracer(PTracer::ProcessID(tracer));
            allow.write_all(&[0])?;
            traced.read_exact(&mut [0])?;
            return Err(Command::new(program).args(words).exec().into());
        }
    }
    Ok(())
}

/// Lets all threads go on from call to call until the last has ended.
fn follow(process: Pid, count: u64) -> Result<(), Box<dyn Error>> {
    let mut writes = 0;
    loop {
        let (thread, signal) = match waitpid(None, Some(WaitPidFlag::__WALL)) {
            Ok(WaitStatus::PtraceSyscall(thread)) => {
                if is_write(thread) {
                    writes += 1;
                    if writes == count {
                        kill(process, Signal::SIGKILL)?;
                    }
                }
                (thread, None)
            }
            Ok(WaitStatus::PtraceEvent(thread, ..)) => (thread, None),
            Ok(WaitStatus::Stopped(thread, signal)) => (thread, Some(signal)),
            Ok(_) => continue,
            Err(nix::errno::Errno::ECHILD) => return Ok(()),
            Err(e) => return Err(e.into()),
        };
        // One that has just been killed goes no further.
        let _ = ptrace::syscall(thread, signal);
    }
}

fn is_write(thread: Pid) -> bool {
    let Ok(info) = ptrace::syscall_info(thread) else { return false };
    if info.op != ENTRY {
        return false;
    }
    // SAFETY: at the entry of a call this is what the kernel has filled in.
    let number = unsafe { info.u.entry.nr };
    [libc::SYS_pwrite64, libc::SYS_fdatasync].into_iter().any(|call| u64::try_from(call) == Ok(number))
}
