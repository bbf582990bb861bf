//! A daemon without privileges, and containers without processes.

use std::error::Error;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::control::daemon::{Daemon, HostSide, TunnelConfig, Tunnels};
use crate::control::request::CreateReply;
use crate::control::store::Store;
use crate::dataplane::{Switch, SwitchConfig};
use crate::names::{self, Resolver};
use crate::sandbox::channel::{Channel, ChannelError};
use crate::sandbox::spec::{Exit, HeldPort, PortSpec, Sandbox, ShimEvent, ShimRequest};
use crate::sandbox::{accept, listen};

/// Milliseconds a stand-in waits for its daemon.
const PATIENCE: u16 = 10_000;

/// A daemon on an empty data directory, without a way to the outside. Inside a runtime.
///
/// # Errors
/// Everything the system refuses.
pub fn daemon(dir: &Path) -> Result<Arc<Daemon>, Box<dyn Error>> {
    std::fs::create_dir_all(dir.join("containers"))?;
    let events: crate::dataplane::worker::EventSink = Arc::new(|_| {});
    let switch = Switch::new(
        &SwitchConfig { workers: 1, busy_poll: Duration::ZERO, ..SwitchConfig::default() },
        &events,
    )?;
    let store = Store::open(&dir.join("db"))?;
    let resolver = Resolver::new(names::Config::default());
    let tunnels = Tunnels::new(TunnelConfig::default());
    Ok(Daemon::new(switch, store, dir.to_owned(), resolver, None, HostSide::default(), tunnels)?)
}

/// Stands in for a container's shim: it says that all it was asked for is done.
///
/// Its interfaces are descriptors that take nothing and give nothing. Any signal ends the command. The
/// program `not-there` is not there.
///
/// # Errors
/// What the system refuses.
pub fn stand_in(reply: &CreateReply) -> Result<(), Box<dyn Error>> {
    let listener = listen(&reply.dir)?;
    let (id, ports) = (reply.id.clone(), reply.ports.clone());
    let is_there =
        !matches!(&reply.sandbox, Sandbox::Run(spec) if spec.argv.first().is_some_and(|p| p == "not-there"));
    std::thread::Builder::new().name("stand-in".into()).spawn(move || {
        // Its reservation may end before anybody has called.
        let mut fds = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        if !poll(&mut fds, PollTimeout::from(PATIENCE)).is_ok_and(|ready| ready > 0) {
            return;
        }
        let _ = accept(&listener)
            .map_err(ChannelError::from)
            .and_then(|daemon| play(&daemon, &id, &ports, is_there));
    })?;
    Ok(())
}

fn play(daemon: &Channel, id: &str, ports: &[PortSpec], is_there: bool) -> Result<(), ChannelError> {
    loop {
        let (asked, _) = daemon.recv::<ShimRequest>()?;
        match asked {
            ShimRequest::Hello => {
                let queues = ports.iter().map(queues).collect::<Result<Vec<_>, _>>()?;
                let queues: Vec<_> = queues.iter().flatten().map(AsFd::as_fd).collect();
                let state = ShimEvent::State {
                    id: id.to_owned(),
                    shim: 0,
                    pid: 0,
                    started: false,
                    exit: None,
                    ports: ports.iter().cloned().map(held).collect(),
                    name_service: false,
                };
                daemon.send(&state, &queues)?;
            }
            ShimRequest::Start if !is_there => {
                let message = "exec: \"not-there\": executable file not found in $PATH".into();
                daemon.send(&ShimEvent::Failed { message, code: 127 }, &[])?;
            }
            ShimRequest::Start => daemon.send(&ShimEvent::Started, &[])?,
            ShimRequest::AddPort(spec) => {
                let queues = queues(&spec)?;
                let queues: Vec<_> = queues.iter().map(AsFd::as_fd).collect();
                daemon.send(&ShimEvent::PortReady(held(spec)), &queues)?;
            }
            ShimRequest::DropPort(_) | ShimRequest::DefaultRoute(_) => daemon.send(&ShimEvent::Done, &[])?,
            ShimRequest::Signal(number) => {
                daemon.send(&ShimEvent::Exited(Exit { code: 128 + number }), &[])?;
            }
            ShimRequest::Quit => return Ok(()),
        }
    }
}

fn held(spec: PortSpec) -> HeldPort {
    HeldPort { queues: spec.queues, spec, offloads: None }
}

fn queues(spec: &PortSpec) -> Result<Vec<OwnedFd>, ChannelError> {
    let one = || EventFd::from_flags(EfdFlags::EFD_CLOEXEC).map(OwnedFd::from).map_err(ChannelError::from);
    (0..spec.queues).map(|_| one()).collect()
}
