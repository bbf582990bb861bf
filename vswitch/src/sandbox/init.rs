//! The first process of a container: it makes the namespaces, waits until the interfaces are
//! there, and becomes the command.

use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};

use super::channel::{Channel, ChannelError};
use super::etc;
use super::netlink::Netlink;
use super::ns;
use super::spec::{InitReply, InitSpec, NetworkNamespace};

/// docker run's codes for a command that is there and cannot run, and for one that is not there.
const CANNOT_RUN: i32 = 126;
const NOT_FOUND: i32 = 127;

/// The process's whole life until it becomes the command; returns only when it cannot.
///
/// # Errors
/// When nobody is there to talk to: the shim has died.
pub fn main(channel: &Channel) -> Result<i32, ChannelError> {
    let parent = nix::unistd::getppid();
    let (spec, _): (InitSpec, _) = channel.recv()?;
    if let Err(message) = prepare(&spec) {
        channel.send(&InitReply::Failed { message, code: 125 }, &[])?;
        return Ok(125);
    }
    // After the namespaces: entering a user namespace clears it (prctl(2)).
    if prctl::set_pdeathsig(Signal::SIGKILL).is_err() || nix::unistd::getppid() != parent {
        return Err(ChannelError::Closed);
    }
    channel.send(&InitReply::Ready, &[])?;
    let ((), _) = channel.recv()?;

    let (message, code) = become_command(&spec);
    channel.send(&InitReply::Failed { message, code }, &[])?;
    Ok(code)
}

fn prepare(spec: &InitSpec) -> Result<(), String> {
    ns::unshare_container(&spec.network).map_err(|e| e.to_string())?;
    etc::keep_mounts().map_err(|e| e.to_string())?;
    etc::mount_files(&spec.files).map_err(|e| e.to_string())?;
    nix::unistd::sethostname(&spec.hostname)
        .map_err(|e| format!("the host name \"{}\" cannot be set: {e}", spec.hostname))?;
    if let Some(domain) = &spec.domainname {
        rustix::system::setdomainname(domain.as_bytes())
            .map_err(|e| format!("the domain name \"{domain}\" cannot be set: {e}"))?;
    }
    if spec.network != NetworkNamespace::Own {
        return Ok(());
    }
    let mut netlink = Netlink::new().map_err(|e| e.to_string())?;
    netlink.index_of("lo").and_then(|lo| netlink.set_up(lo)).map_err(|e| e.to_string())
}

fn become_command(spec: &InitSpec) -> (String, i32) {
    let Some((program, arguments)) = spec.argv.split_first() else {
        return ("no command was given".into(), 125);
    };
    let mut command = Command::new(program);
    command.args(arguments);
    command.envs(spec.env.iter().map(|(name, value)| (name, value)));
    if let Some(path) = &spec.log {
        let log = OpenOptions::new().create(true).append(true).open(path);
        let pair = log.and_then(|log| Ok((log.try_clone()?, log)));
        match pair {
            Ok((out, err)) => {
                command.stdin(Stdio::null()).stdout(out).stderr(err);
            }
            Err(e) => return (format!("{} cannot be written: {e}", path.display()), 125),
        }
    }
    if let Err(e) = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None) {
        return (format!("signals cannot be unblocked: {e}"), 125);
    }
    let error = command.exec();
    exec_failure(program, &error)
}

/// What is said of a program that could not be started, and docker run's status for it.
pub fn exec_failure(program: &str, error: &std::io::Error) -> (String, i32) {
    match Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)) {
        Errno::ENOENT if program.contains('/') => {
            (format!("exec: \"{program}\": no such file or directory"), NOT_FOUND)
        }
        // A directory of PATH that may not be entered makes EACCES of every name.
        errno if errno == Errno::ENOENT || errno == Errno::EACCES && !is_in_path(program) => {
            (format!("exec: \"{program}\": executable file not found in $PATH"), NOT_FOUND)
        }
        Errno::EACCES => (format!("exec: \"{program}\": permission denied"), CANNOT_RUN),
        errno => (format!("exec: \"{program}\": {errno}"), CANNOT_RUN),
    }
}

fn is_in_path(program: &str) -> bool {
    program.contains('/')
        || std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}
