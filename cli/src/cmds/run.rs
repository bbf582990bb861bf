//! `run`.

use std::process::Child;

use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use vswitch::control::request::{CreateReply, CreateRequest};
use vswitch::sandbox::shim::{self, Waiting};
use vswitch::sandbox::spec::ShimSpec;

use crate::args::{NetworkFlags, Run};
use crate::client::Client;
use crate::error::{Cause, Failure, Outcome};
use crate::format::escape;
use crate::{endpoint, start};

/// docker run's status for a failure that is not the command's.
const OWN_FAILURE: i32 = 125;

/// How often a daemon is asked: one that is ending may still take a connection or two.
const ATTEMPTS: u32 = 4;

/// Reserves what a container needs, starting a daemon where none listens.
pub(super) fn create(client: &Client, request: &CreateRequest) -> Result<CreateReply, Failure> {
    let mut left = ATTEMPTS;
    let reply = loop {
        start::ensure(client.socket())?;
        left -= 1;
        match client.post("/vswitch/containers", request) {
            // It was about to end for want of containers. What it may have reserved is gone with it.
            Err(Failure { cause: Cause::NoDaemon | Cause::NoAnswer, .. }) if left > 0 => {}
            other => break other?,
        }
    };
    let reply: CreateReply = serde_json::from_value(reply)
        .map_err(|e| Failure::new(format!("the daemon's answer makes no sense: {e}")))?;
    for warning in &reply.warnings {
        eprintln!("WARNING: {}", escape(warning));
    }
    Ok(reply)
}

/// The part of a request that `run` and `attach` have in common.
pub(super) fn request(flags: NetworkFlags, hostname: Option<&str>) -> Result<CreateRequest, Failure> {
    Ok(CreateRequest {
        networks: endpoint::requests(&flags, hostname)?,
        queues: flags.queues.map(usize::from),
        labels: flags.label.into_iter().collect(),
        publish: flags.publish,
        publish_all: flags.publish_all,
        expose: flags.expose,
        dns: flags.dns,
        dns_search: flags.dns_search,
        dns_options: flags.dns_option,
        extra_hosts: flags.add_host,
        ..CreateRequest::default()
    })
}

/// Starts the process that is to hold a container.
pub(super) fn begin(detached: bool) -> Result<Waiting, Failure> {
    shim::begin(detached).map_err(|(message, code)| Failure::new(message).with_code(code))
}

/// Has the shim set a reserved container up and has the daemon take it over; gives the reservation back
/// if that fails.
pub(super) fn launch(client: &Client, shim: Waiting, spec: &ShimSpec) -> Result<Child, Failure> {
    let cancel = || {
        let _ = client.delete(&format!("/containers/{}?force=1", spec.id));
    };
    let (mut child, channel) = shim.set_up(spec).map_err(|(message, code)| {
        cancel();
        Failure::new(message).with_code(code)
    })?;
    if let Err(failure) = client.post(&format!("/vswitch/containers/{}/start", spec.id), &()) {
        // The shim ends with its starter while the command has not begun.
        drop(channel);
        let no_answer = failure.cause == Cause::NoAnswer;
        if no_answer && !spec.detached {
            // The daemon died. If the command has begun it goes on, for the next daemon to find.
            eprintln!("vswitch: {failure}");
            return Ok(child);
        }
        if no_answer {
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
    let detached = args.detach;
    let request = CreateRequest {
        name: args.name,
        command: args.command,
        detached,
        auto_remove: args.rm || !detached,
        env: args.env,
        domainname: args.domainname,
        ..request(args.network, args.hostname.as_deref()).map_err(own)?
    };
    let request = CreateRequest { hostname: args.hostname, ..request };
    let shim = begin(detached)?;
    let reply = create(client, &request).map_err(own)?;
    let signals = if detached { None } else { Some(hold_signals().map_err(own)?) };
    let CreateReply { id, dir, sandbox, ports, name_service, .. } = reply;
    let spec = ShimSpec { id: id.clone(), dir, sandbox, ports, name_service, detached };
    let mut child = launch(client, shim, &spec).map_err(own)?;
    let Some(signals) = signals else {
        println!("{id}");
        return Ok(0);
    };
    loop {
        if let Some(status) = child.try_wait().map_err(|e| own(e.into()))? {
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
