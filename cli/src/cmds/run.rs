//! `run`.

use std::collections::BTreeMap;
use std::process::Child;

use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use vswitch::control::daemon::{CreateReply, CreateRequest};
use vswitch::sandbox::shim;
use vswitch::sandbox::spec::{InitSpec, Sandbox, ShimSpec};

use crate::args::{NetworkFlags, Run};
use crate::client::Client;
use crate::error::{Failure, Outcome};
use crate::start;

/// docker run's status for a failure that is not the command's.
const OWN_FAILURE: i32 = 125;

/// Turns `KEY=VALUE` words into labels.
pub(super) fn labels(words: &[String]) -> BTreeMap<String, String> {
    words
        .iter()
        .map(|word| word.split_once('=').unwrap_or((word, "")))
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect()
}

/// The networks there are so far.
pub(super) fn check_network(flags: &NetworkFlags) -> Result<(), Failure> {
    match flags.network.iter().find(|n| !matches!(n.as_str(), "bridge" | "default")) {
        Some(other) => Err(Failure::new(format!("network {other} not found"))),
        None => Ok(()),
    }
}

/// Reserves what a container needs.
pub(super) fn create(client: &Client, request: &CreateRequest) -> Result<CreateReply, Failure> {
    let reply = client.post("/vswitch/containers", request)?;
    serde_json::from_value(reply)
        .map_err(|e| Failure::new(format!("the daemon's answer makes no sense: {e}")))
}

/// Starts a reserved container's shim and has the daemon take it over; gives the reservation back
/// if that fails.
pub(super) fn launch(client: &Client, spec: &ShimSpec) -> Result<Child, Failure> {
    let cancel = || {
        let _ = client.delete(&format!("/containers/{}?force=1", spec.id));
    };
    let (mut child, channel) = shim::spawn(spec).map_err(|(message, code)| {
        cancel();
        Failure::new(message).with_code(code)
    })?;
    if let Err(failure) = client.post(&format!("/vswitch/containers/{}/start", spec.id), &()) {
        // The shim ends with its starter while the command has not begun.
        drop(channel);
        if failure.no_answer && !spec.detached {
            // The daemon died. If the command has begun it goes on, for the next daemon to find.
            eprintln!("vswitch: {failure}");
            return Ok(child);
        }
        if failure.no_answer {
            return Err(failure);
        }
        let _ = child.wait();
        cancel();
        return Err(failure);
    }
    Ok(child)
}

/// Runs a command on a network.
///
/// # Errors
/// With docker run's statuses.
pub fn run(client: &Client, args: Run) -> Outcome {
    let own = |f: Failure| if f.code == 1 { f.with_code(OWN_FAILURE) } else { f };
    check_network(&args.network).map_err(own)?;
    start::ensure(client.socket()).map_err(own)?;
    let detach = args.detach;
    let reply = create(
        client,
        &CreateRequest {
            name: args.name,
            command: args.command.clone(),
            attach: None,
            detached: detach,
            auto_remove: args.rm || !detach,
            hostname: args.hostname,
            mac_address: args.network.mac_address,
            queues: args.network.queues.map(usize::from),
            labels: labels(&args.network.label),
        },
    )
    .map_err(own)?;
    let signals = if detach { None } else { Some(hold_signals()?) };
    let spec = ShimSpec {
        id: reply.id.clone(),
        dir: reply.dir,
        sandbox: Sandbox::Run(InitSpec { argv: args.command, hostname: reply.hostname, log: reply.log }),
        ports: reply.ports,
        detached: detach,
    };
    let mut child = launch(client, &spec).map_err(own)?;
    let Some(signals) = signals else {
        println!("{}", reply.id);
        return Ok(0);
    };
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.code().unwrap_or(137));
        }
        if let Ok(Some(info)) = signals.read_signal()
            && let Ok(signal) = Signal::try_from(info.ssi_signo.cast_signed())
            && signal != Signal::SIGCHLD
            // What the terminal sends (a code above 0) the command gets by itself.
            && info.ssi_code <= 0
        {
            let _ = kill(Pid::from_raw(child.id() as i32), signal);
        }
    }
}

/// From now on signals are read, not suffered: they are the command's.
fn hold_signals() -> Result<SignalFd, Failure> {
    let mut set = SigSet::empty();
    for signal in [
        Signal::SIGCHLD,
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGTERM,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGWINCH,
        Signal::SIGCONT,
        Signal::SIGALRM,
    ] {
        set.add(signal);
    }
    let failed = |e: nix::errno::Errno| Failure::new(format!("signals cannot be held: {e}"));
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None).map_err(failed)?;
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC).map_err(failed)
}
