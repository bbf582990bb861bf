//! `exec`: becomes a command in a container's namespaces.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::Value;
use vswitch::sandbox::ns;
use vswitch::sandbox::spec::Target;

use crate::args::Exec;
use crate::client::{Client, quote};
use crate::error::{Failure, Outcome};

const OWN_FAILURE: i32 = 125;

/// Runs a command in a running container; returns only if it cannot.
///
/// # Errors
/// With docker exec's statuses.
pub fn run(client: Client, args: &Exec) -> Outcome {
    let own = |f: Failure| f.with_code(OWN_FAILURE);
    let path = format!("/containers/{}/json", quote(&args.name));
    let seen = client.get(&path).map_err(|f| f.with_code(1))?;
    if seen["State"]["Running"] != Value::Bool(true) {
        return Err(Failure::new(format!("Container {} is not running", args.name)));
    }
    match target(&seen)? {
        Target::Pid(pid) => {
            let gone = || Failure::new(format!("Container {} is not running", args.name));
            let held =
                Pid::from_raw(pid).and_then(|p| pidfd_open(p, PidfdFlags::empty()).ok()).ok_or_else(gone)?;
            // With the process held its number is not given again; is it still the container's?
            if target(&client.get(&path).map_err(own)?)? != Target::Pid(pid) {
                return Err(gone());
            }
            let flags = foreign(pid).map_err(own)?;
            if !flags.is_empty() {
                setns(held, flags).map_err(|e| own(cannot(&args.name, e)))?;
            }
        }
        netns @ Target::Netns(_) => {
            let enter = || {
                let fd = ns::open(&netns)?;
                ns::enter_owner(&fd)?;
                ns::enter(&fd)
            };
            enter().map_err(|e| own(Failure::new(e.to_string())))?;
        }
    }
    drop(client);
    let Some((program, arguments)) = args.command.split_first() else {
        return Err(own(Failure::new("no command was given")));
    };
    let error = Command::new(program).args(arguments).exec();
    let (message, code) = vswitch::sandbox::init::exec_failure(program, &error);
    Err(Failure::new(message).with_code(code))
}

fn cannot(name: &str, e: Errno) -> Failure {
    Failure::new(format!("the namespaces of {name} cannot be entered: {e}"))
}

/// The container's own process, or what was attached.
fn target(seen: &Value) -> Result<Target, Failure> {
    let nonsense = || Failure::new("the daemon's answer makes no sense");
    let attached = &seen["Vswitch"]["Attached"];
    if !attached.is_null() {
        return serde_json::from_value(attached.clone()).map_err(|_| nonsense());
    }
    let pid = seen["State"]["Pid"].as_i64().and_then(|p| i32::try_from(p).ok()).filter(|p| *p > 0);
    pid.map(Target::Pid).ok_or_else(nonsense)
}

/// The namespaces of a process that are not already ours.
fn foreign(pid: i32) -> Result<CloneFlags, Failure> {
    let kinds = [
        ("user", CloneFlags::CLONE_NEWUSER),
        ("mnt", CloneFlags::CLONE_NEWNS),
        ("uts", CloneFlags::CLONE_NEWUTS),
        ("ipc", CloneFlags::CLONE_NEWIPC),
        ("net", CloneFlags::CLONE_NEWNET),
    ];
    let id = |of: &str, kind: &str| {
        let path = PathBuf::from(format!("/proc/{of}/ns/{kind}"));
        fs::metadata(&path)
            .map(|m| (m.dev(), m.ino()))
            .map_err(|e| Failure::new(format!("{}: {e}", path.display())))
    };
    let mut flags = CloneFlags::empty();
    for (kind, flag) in kinds {
        if id("self", kind)? != id(&pid.to_string(), kind)? {
            flags |= flag;
        }
    }
    Ok(flags)
}
