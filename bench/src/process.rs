//! Child processes: started inside a namespace, stopped by id, never outliving this process.
#![allow(unsafe_code)]

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use crate::error::{Doing, Error, Result};
use crate::netns::Netns;

/// How long a process may take to end after SIGTERM before it gets SIGKILL: long, because a switch with hundreds of
/// namespaces has much to put in order.
const GRACE: Duration = Duration::from_mins(1);

/// Prepares `command` to run in `netns` (or where this process runs) and to be killed when this process ends.
pub(crate) fn confine(command: &mut Command, netns: Option<&Netns>) -> Result<()> {
    let netns = match netns {
        Some(netns) => {
            Some(netns.file().try_clone().doing(|| format!("duplicate the descriptor of {netns}"))?)
        }
        None => None,
    };
    let prepare = move || {
        SigSet::all().thread_unblock()?;
        set_pdeathsig(Signal::SIGKILL)?;
        if let Some(netns) = &netns {
            setns(netns.as_fd(), CloneFlags::CLONE_NEWNET)?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure only makes system calls (rt_sigprocmask, prctl, setns) on values it
    // owns; it neither allocates nor takes locks.
    unsafe { command.pre_exec(prepare) };
    Ok(())
}

/// A command with its arguments.
pub(crate) fn command<I, S>(program: &str, arguments: I) -> Command
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs a command to its end in `netns` (or here) and gives back what it wrote to standard output.
pub(crate) fn output(mut command: Command, netns: Option<&Netns>) -> Result<String> {
    confine(&mut command, netns)?;
    command.stdin(Stdio::null());
    let line = line_of(&command);
    let output = command.output().doing(|| format!("run `{line}`"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let said = if stderr.trim().is_empty() { text } else { stderr };
    Err(Error::Command { command: line, status: output.status.to_string(), said: last_lines(&said) })
}

fn line_of(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// The last lines of a program's output, on one line.
fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(4)..].join(" / ")
}

/// A process in the background. Dropping it stops it, by its id, and waits until it is gone.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    line: String,
    output: File,
}

impl Process {
    /// Starts `command` in `netns` (or here); standard output and error are kept for error messages.
    pub(crate) fn spawn(mut command: Command, netns: Option<&Netns>) -> Result<Self> {
        let output = tempfile::tempfile().doing(|| "make a temporary file".to_owned())?;
        command.stdout(output.try_clone().doing(|| "duplicate a descriptor".to_owned())?);
        Self::spawn_with(command, netns, output)
    }

    /// As [`Process::spawn`], but standard output stays as the command has it.
    pub(crate) fn spawn_with_output(command: Command, netns: Option<&Netns>) -> Result<Self> {
        Self::spawn_with(command, netns, tempfile::tempfile().doing(|| "make a temporary file".to_owned())?)
    }

    fn spawn_with(mut command: Command, netns: Option<&Netns>, output: File) -> Result<Self> {
        confine(&mut command, netns)?;
        let line = line_of(&command);
        command.stderr(output.try_clone().doing(|| "duplicate a descriptor".to_owned())?);
        let child = command.spawn().doing(|| format!("start `{line}`"))?;
        Ok(Self { child, line, output })
    }

    /// The other end of the process's standard input, if that is a pipe; it is closed when what is given back is dropped.
    pub(crate) fn console(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// The process's id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What the process has written so far.
    fn written(&mut self) -> String {
        let mut text = Vec::new();
        // A file that cannot be read back only costs the error message its detail.
        let _ = self.output.seek(SeekFrom::Start(0)).and_then(|_| self.output.read_to_end(&mut text));
        String::from_utf8_lossy(&text).into_owned()
    }

    fn failed(&mut self, status: ExitStatus) -> Error {
        let said = last_lines(&self.written());
        Error::Command { command: self.line.clone(), status: status.to_string(), said }
    }

    /// Fails when the process has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait().doing(|| format!("wait for `{}`", self.line))? {
            None => Ok(()),
            Some(status) => Err(self.failed(status)),
        }
    }

    /// Waits for the process to end by itself and gives back what it wrote; after `limit` it is stopped.
    pub(crate) fn finish(mut self, limit: Duration) -> Result<String> {
        let deadline = Instant::now() + limit;
        let status = loop {
            match self.child.try_wait().doing(|| format!("wait for `{}`", self.line))? {
                Some(status) => break status,
                None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(10)),
                None => {
                    let what = format!("`{}` to end", self.line);
                    return Err(Error::Timeout { what, seconds: limit.as_secs() });
                }
            }
        };
        if status.success() { Ok(self.written()) } else { Err(self.failed(status)) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let Ok(id) = i32::try_from(self.child.id()) else { return };
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        // Failures mean that the process has just ended; the wait below settles it.
        let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
        let deadline = Instant::now() + GRACE;
        while Instant::now() < deadline {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Polls for a condition that no event announces, until `limit` has passed.
pub(crate) fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            return Err(Error::Timeout { what: what.to_owned(), seconds: limit.as_secs() });
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Whether a program is on the search path.
pub(crate) fn installed(program: &str) -> bool {
    find(program).is_some()
}

/// Where a program is on the search path, the system directories included.
pub(crate) fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin"].map(std::path::PathBuf::from);
    std::env::split_paths(&path)
        .chain(system)
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}
