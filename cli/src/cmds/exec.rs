//! `exec`: becomes a command in a container's namespaces.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::Value;
use vswitch::sandbox::spec::{EtcFiles, Place, Target};
use vswitch::sandbox::{etc, ns, ns::NsError};

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
    let gone = || Failure::new(format!("Container {} is not running", args.name));
    let files = own_files(&seen);
    let target = target(&seen)?;
    if let Target::Pid(pid) = target {
        let held =
            Pid::from_raw(pid).and_then(|p| pidfd_open(p, PidfdFlags::empty()).ok()).ok_or_else(gone)?;
        // With the process held its number is not given again; is it still the container's?
        let again = client.get(&path).map_err(own)?;
        if self::target(&again)? != Target::Pid(pid) || !is_known(&target, &again) {
            return Err(gone());
        }
        enter(&args.name, &held, foreign(pid).map_err(own)?, files).map_err(own)?;
    } else {
        let inode = serde_json::from_value(seen["Vswitch"]["Netns"].clone()).unwrap_or(None);
        let failed = |e: &dyn std::fmt::Display| own(Failure::new(e.to_string()));
        let netns = match ns::open(&Place { target, inode }) {
            Err(NsError::Another(_)) => return Err(gone()),
            opened => opened.map_err(|e| failed(&e))?,
        };
        ns::enter_owner(&netns).map_err(|e| failed(&e))?;
        if let Some(files) = files {
            etc::own_mounts().and_then(|()| etc::mount_files(&files)).map_err(|e| failed(&e))?;
        }
        ns::enter(&netns).map_err(|e| failed(&e))?;
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

/// Enters namespaces of a process, and puts the switch's own files there.
fn enter(
    name: &str,
    held: &OwnedFd,
    mut foreign: CloneFlags,
    files: Option<EtcFiles>,
) -> Result<(), Failure> {
    let set = |flags: CloneFlags| {
        if flags.is_empty() { Ok(()) } else { setns(held, flags).map_err(|e| cannot(name, e)) }
    };
    let refused = |e: etc::EtcError| Failure::new(e.to_string());
    let Some(files) = files else { return set(foreign) };
    if !ns::is_admin() {
        // There the caller may mount.
        set(foreign & CloneFlags::CLONE_NEWUSER)?;
        foreign.remove(CloneFlags::CLONE_NEWUSER);
    }
    etc::own_mounts().map_err(refused)?;
    if !foreign.contains(CloneFlags::CLONE_NEWNS) {
        etc::mount_files(&files).map_err(refused)?;
        return set(foreign);
    }
    let carried = etc::Carried::new(&files).map_err(refused)?;
    set(foreign)?;
    etc::own_mounts().and_then(|()| carried.put_down()).map_err(refused)
}

/// The files under /etc that an attached namespace has of the switch: who attached it has other
/// ones. A command of the switch's own has them mounted already.
fn own_files(seen: &Value) -> Option<EtcFiles> {
    if seen["Vswitch"]["Attached"].is_null() {
        return None;
    }
    let path = |key: &str| seen[key].as_str().filter(|path| !path.is_empty()).map(PathBuf::from);
    Some(EtcFiles { hosts: path("HostsPath"), resolv_conf: path("ResolvConfPath"), hostname: None })
}

/// Whether a namespace is the one that was attached: a process id or a path may be another's by now.
fn is_known(target: &Target, seen: &Value) -> bool {
    let known = &seen["Vswitch"]["Netns"];
    if known.is_null() {
        return true;
    }
    let path = match target {
        Target::Pid(pid) => PathBuf::from(format!("/proc/{pid}/ns/net")),
        Target::Netns(path) => path.clone(),
    };
    fs::metadata(path).is_ok_and(|m| known[0] == m.dev() && known[1] == m.ino())
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
