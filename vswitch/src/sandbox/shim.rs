//! The shim: one small process a container, which holds what must outlive the daemon.
//!
//! It is the parent of the command and has a copy of every TAP descriptor. When the daemon dies the
//! TAPs stay, their addresses and routes with them; the next daemon finds the shim by its socket
//! in the data directory and gets the descriptors again. When the shim dies its socket closes,
//! which is how the daemon learns that the container is gone.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Child;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

use super::channel::{Channel, ChannelError, spawn_self};
use super::spec::{
    DefaultRoute, Exit, HeldPort, HelperJob, HelperReply, HelperSpec, InitReply, PortSpec, Sandbox,
    ShimEvent, ShimReply, ShimRequest, ShimSpec, Target,
};
use super::{EXIT_FILE, listen};
use super::{helper, reaper};

/// docker run's code for a failure that is not the command's.
const OWN_FAILURE: i32 = 125;

/// Milliseconds the daemon has to hear of the end before the shim goes without it.
const FAREWELL: u16 = 5000;

/// A failure as whoever started the shim is to see it.
struct Failure {
    message: String,
    code: i32,
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self { message, code: OWN_FAILURE }
    }
}

struct Port {
    spec: PortSpec,
    offloads: Option<crate::sys::tun::TapOffloads>,
    queues: Vec<OwnedFd>,
}

struct Init {
    child: Child,
    /// Open until the command runs.
    channel: Option<Channel>,
    /// Where it lives.
    namespaces: Option<reaper::Namespaces>,
}

struct Shim {
    spec: ShimSpec,
    init: Option<Init>,
    ports: Vec<Port>,
    /// UDP and TCP socket of the name service.
    name_service: Vec<OwnedFd>,
    started: bool,
    exit: Option<Exit>,
    /// Whoever started the shim; its end aborts a sandbox that is not yet running.
    starter: Option<Channel>,
    daemon: Option<Channel>,
}

/// What the loop does next.
enum Next {
    Go,
    End(i32),
}

/// The shim's whole life; the value is its exit status.
///
/// # Errors
/// When whoever started it is gone before it said what to do.
pub fn main(starter: Channel) -> Result<i32, ChannelError> {
    // Before the first child, so that no end of one is missed, and before all else: what the terminal
    // sends is the command's.
    let signals = watch_signals().map_err(ChannelError::System)?;
    let (spec, _): (ShimSpec, _) = starter.recv()?;
    let _ = prctl::set_child_subreaper(true);
    if spec.detached {
        let _ = nix::unistd::setsid();
    }
    let mut shim = Shim {
        spec,
        init: None,
        ports: Vec::new(),
        name_service: Vec::new(),
        started: false,
        exit: None,
        starter: None,
        daemon: None,
    };
    let socket = match shim.set_up() {
        Ok(socket) => socket,
        Err(Failure { message, code }) => {
            shim.end();
            starter.send(&ShimReply::Failed { message, code }, &[])?;
            return Ok(code);
        }
    };
    // Only the command stays where the caller was.
    let _ = std::env::set_current_dir("/");
    starter.send(&ShimReply::Ready, &[])?;
    shim.starter = Some(starter);
    let code = shim.serve(&socket, &signals);
    shim.end();
    Ok(code)
}

fn watch_signals() -> Result<SignalFd, Errno> {
    let mut set = SigSet::all();
    // These are about the shim itself.
    for own in [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGILL, Signal::SIGFPE, Signal::SIGABRT] {
        set.remove(own);
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&set), None)?;
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

impl Shim {
    fn set_up(&mut self) -> Result<OwnedFd, Failure> {
        let socket = listen(&self.spec.dir).map_err(|e| {
            format!("{} cannot be used for the container's socket: {e}", self.spec.dir.display())
        })?;
        if let Sandbox::Run(spec) = &self.spec.sandbox {
            let (child, channel) = spawn_self("inner-init", |_| {})
                .map_err(|e| format!("the container's first process cannot be started: {e}"))?;
            self.init = Some(Init { child, channel: None, namespaces: None });
            let pid = self.pid();
            let lost = |e: ChannelError| format!("the container's first process died early: {e}");
            channel.send(spec, &[]).map_err(lost)?;
            match channel.recv().map_err(lost)? {
                (InitReply::Ready, _) => {}
                (InitReply::Failed { message, code }, _) => return Err(Failure { message, code }),
            }
            if let Some(init) = &mut self.init {
                init.channel = Some(channel);
                init.namespaces = reaper::Namespaces::of(pid).ok();
            }
        }
        let ports = std::mem::take(&mut self.spec.ports);
        if self.spec.name_service || !ports.is_empty() {
            self.add_ports(ports, self.spec.name_service)?;
        }
        Ok(socket)
    }

    fn pid(&self) -> i32 {
        self.init.as_ref().map_or(0, |init| init.child.id() as i32)
    }

    /// Has a helper do something in the sandbox.
    fn help(&self, job: HelperJob) -> Result<(HelperReply, Vec<OwnedFd>), Failure> {
        let place = match &self.spec.sandbox {
            Sandbox::Run(_) => Target::Pid(self.pid()).into(),
            Sandbox::Attach(place) => place.clone(),
        };
        let spec = HelperSpec { place, job };
        if let Some(done) = helper::in_thread(&spec) {
            return answer(done);
        }
        let (mut helper, channel) = spawn_self("inner-helper", |command| {
            command.stdin(std::process::Stdio::null());
        })
        .map_err(|e| format!("the helper cannot be started: {e}"))?;
        let talk = || -> Result<(HelperReply, Vec<OwnedFd>), ChannelError> {
            channel.send(&spec, &[])?;
            channel.recv()
        };
        let said = talk();
        drop(channel);
        let _ = helper.wait();
        answer(said.map_err(|e| format!("the helper died early: {e}"))?)
    }

    fn add_ports(&mut self, ports: Vec<PortSpec>, name_service: bool) -> Result<(), Failure> {
        let nonsense = || Failure::from("the helper says something unexpected".to_owned());
        let ours = matches!(self.spec.sandbox, Sandbox::Run(_));
        let (reply, fds) = self.help(HelperJob::SetUp { ports: ports.clone(), name_service, ours })?;
        let HelperReply::Ready(made) = reply else { return Err(nonsense()) };
        let queues: usize = made.iter().map(|port| port.queues).sum();
        if made.len() != ports.len() || fds.len() != queues + if name_service { 2 } else { 0 } {
            return Err(nonsense());
        }
        let mut fds = fds.into_iter();
        for (spec, made) in ports.into_iter().zip(made) {
            let queues = fds.by_ref().take(made.queues).collect();
            self.ports.push(Port { spec, offloads: made.offloads, queues });
        }
        if name_service {
            self.name_service = fds.collect();
        }
        Ok(())
    }

    fn serve(&mut self, socket: &OwnedFd, signals: &SignalFd) -> i32 {
        loop {
            let next = match self.wait(socket, signals) {
                Ok(ready) => self.react(socket, signals, ready),
                Err(_) => Next::End(OWN_FAILURE),
            };
            if let Next::End(code) = next {
                return code;
            }
        }
    }

    /// Which of socket, signals, daemon, starter, init have something to say.
    fn wait(&self, socket: &OwnedFd, signals: &SignalFd) -> Result<[bool; 5], Errno> {
        let init = self.init.as_ref().and_then(|init| init.channel.as_ref()).filter(|_| self.started);
        let sources = [
            Some(socket.as_fd()),
            Some(signals.as_fd()),
            self.daemon.as_ref().map(AsFd::as_fd),
            self.starter.as_ref().map(AsFd::as_fd),
            init.map(AsFd::as_fd),
        ];
        let mut fds: Vec<PollFd<'_>> =
            sources.iter().flatten().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => return Ok([false; 5]),
            other => other?,
        };
        let mut answers = fds.iter().map(|fd| fd.any().unwrap_or(true));
        Ok(sources.map(|source| source.is_some() && answers.next().unwrap_or(false)))
    }

    fn react(&mut self, socket: &OwnedFd, signals: &SignalFd, ready: [bool; 5]) -> Next {
        let [accept, signal, daemon, starter, init] = ready;
        if init {
            self.hear_init();
        }
        if signal && let Next::End(code) = self.hear_signals(signals) {
            return Next::End(code);
        }
        if daemon && let Next::End(code) = self.hear_daemon() {
            return Next::End(code);
        }
        if starter {
            self.starter = None;
            if !self.started {
                return Next::End(OWN_FAILURE);
            }
        }
        if accept && let Ok(connection) = super::accept(socket) {
            // A new daemon takes the place of the old one.
            self.daemon = Some(connection);
        }
        Next::Go
    }

    fn tell(&mut self, event: &ShimEvent) {
        if self.daemon.as_ref().is_some_and(|daemon| daemon.send(event, &[]).is_err()) {
            self.daemon = None;
        }
    }

    /// The command started (its end of the channel closed by exec), or could not.
    fn hear_init(&mut self) {
        let Some(init) = &mut self.init else { return };
        let Some(channel) = init.channel.take() else { return };
        match channel.recv() {
            Ok((InitReply::Failed { message, code }, _)) => {
                self.started = false;
                self.tell(&ShimEvent::Failed { message, code });
            }
            _ => self.tell(&ShimEvent::Started),
        }
    }

    fn hear_signals(&mut self, signals: &SignalFd) -> Next {
        while let Ok(Some(info)) = signals.read_signal() {
            let Ok(signal) = Signal::try_from(info.ssi_signo.cast_signed()) else { continue };
            if signal == Signal::SIGCHLD {
                if let Some(exit) = self.reap() {
                    return Next::End(self.farewell(exit));
                }
            } else if info.ssi_code <= 0 {
                // Sent by somebody. What the terminal sends (a code above 0) the command gets itself.
                self.signal(signal);
            }
        }
        Next::Go
    }

    fn signal(&self, signal: Signal) {
        if self.init.is_some() && self.exit.is_none() {
            let _ = kill(Pid::from_raw(self.pid()), signal);
        }
    }

    /// Buries the dead; the command's end if it was among them.
    fn reap(&mut self) -> Option<Exit> {
        loop {
            let code = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, code),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, 128 + signal as i32),
                Err(Errno::EINTR) => continue,
                Ok(WaitStatus::StillAlive) | Err(_) => return self.exit,
                Ok(_) => continue,
            };
            if code.0.as_raw() == self.pid() {
                self.exit = Some(Exit { code: code.1 });
            }
        }
    }

    /// The command has ended: tells the daemon, or leaves word for the next one.
    fn farewell(&mut self, exit: Exit) -> i32 {
        self.kill_rest();
        if self.init.as_ref().is_some_and(|init| init.channel.is_some()) {
            self.hear_init();
        }
        if self.started {
            // The directory goes with the container; without one nobody is interested.
            let _ = fs::write(self.spec.dir.join(EXIT_FILE), exit.code.to_string());
            self.tell(&ShimEvent::Exited(exit));
        }
        if let Some(daemon) = &self.daemon {
            // It closes its end when the books are done, so that the name is free when we return.
            // Nothing else is waited for: what it asks now is of no use any more.
            let mut fds = [PollFd::new(daemon.as_fd(), PollFlags::empty())];
            let _ = poll(&mut fds, FAREWELL);
        }
        exit.code
    }

    fn hear_daemon(&mut self) -> Next {
        let Some(daemon) = &self.daemon else { return Next::Go };
        let Ok((request, _)) = daemon.recv::<ShimRequest>() else {
            self.daemon = None;
            return Next::Go;
        };
        match request {
            ShimRequest::Hello => self.send_state(),
            ShimRequest::Start => self.start(),
            ShimRequest::Signal(number) => {
                if let Ok(signal) = Signal::try_from(number) {
                    self.signal(signal);
                }
            }
            ShimRequest::AddPort(spec) => match self.add_ports(vec![spec], false) {
                Ok(()) => self.send_last_port(),
                Err(failure) => self.tell_failure(failure),
            },
            ShimRequest::DropPort(endpoint) => {
                // The TAP goes with the last of its descriptors.
                self.ports.retain(|port| port.spec.endpoint != endpoint);
                self.tell(&ShimEvent::Done);
            }
            ShimRequest::DefaultRoute(route) => match self.default_route(route) {
                Ok(()) => self.tell(&ShimEvent::Done),
                Err(failure) => self.tell_failure(failure),
            },
            ShimRequest::Quit => return Next::End(0),
        }
        Next::Go
    }

    fn default_route(&self, route: DefaultRoute) -> Result<(), Failure> {
        self.help(HelperJob::DefaultRoute(route)).map(drop)
    }

    fn tell_failure(&mut self, Failure { message, code }: Failure) {
        self.tell(&ShimEvent::Failed { message, code });
    }

    fn start(&mut self) {
        if self.started {
            self.tell(&ShimEvent::Started);
            return;
        }
        self.started = true;
        if let Some(channel) = self.init.as_ref().and_then(|init| init.channel.as_ref()) {
            // Its answer, or its silence, comes through the loop.
            let _ = channel.send(&(), &[]);
        } else {
            self.tell(&ShimEvent::Started);
        }
    }

    fn send_state(&mut self) {
        let ports = self.ports.iter().map(held).collect();
        let queues = self.ports.iter().flat_map(|p| &p.queues);
        let fds: Vec<_> = queues.chain(&self.name_service).map(AsFd::as_fd).collect();
        let state = ShimEvent::State {
            id: self.spec.id.clone(),
            shim: std::process::id() as i32,
            pid: self.pid(),
            started: self.started,
            exit: self.exit,
            ports,
            name_service: !self.name_service.is_empty(),
        };
        if self.daemon.as_ref().is_some_and(|daemon| daemon.send(&state, &fds).is_err()) {
            self.daemon = None;
        }
    }

    fn send_last_port(&mut self) {
        let Some(port) = self.ports.last() else { return };
        let fds: Vec<_> = port.queues.iter().map(AsFd::as_fd).collect();
        if self.daemon.as_ref().is_some_and(|d| d.send(&ShimEvent::PortReady(held(port)), &fds).is_err()) {
            self.daemon = None;
        }
    }

    /// Nothing of the container is left when this returns, whatever state it was in.
    fn end(&mut self) {
        if self.init.is_some() && self.exit.is_none() {
            let _ = kill(Pid::from_raw(self.pid()), Signal::SIGKILL);
            let _ = waitid(Id::Pid(Pid::from_raw(self.pid())), WaitPidFlag::WEXITED);
            self.kill_rest();
        }
        let _ = fs::remove_file(self.spec.dir.join(super::SOCKET_FILE));
    }

    /// Ends what the command left behind, and what `exec` started beside it. Others may share its
    /// network namespace, but not the mounts.
    fn kill_rest(&self) {
        let Some(init) = &self.init else { return };
        if let Some(namespaces) = &init.namespaces {
            reaper::kill_all(namespaces);
        }
        reaper::kill_children();
    }
}

fn held(port: &Port) -> HeldPort {
    HeldPort { spec: port.spec.clone(), offloads: port.offloads, queues: port.queues.len() }
}

fn answer(said: (HelperReply, Vec<OwnedFd>)) -> Result<(HelperReply, Vec<OwnedFd>), Failure> {
    match said {
        (HelperReply::Failed(message), _) => Err(message.into()),
        done => Ok(done),
    }
}

/// A shim that waits to hear what it is for. It ends when this is dropped.
pub struct Waiting {
    child: Child,
    channel: Option<Channel>,
}

/// Starts a shim, as the caller's child; what it takes to start a process then passes while the
/// caller finds out what it is for. A detached one leaves the caller's terminal alone.
///
/// # Errors
/// A sentence, and the status `run` is to exit with.
pub fn begin(detached: bool) -> Result<Waiting, (String, i32)> {
    let (child, channel) = spawn_self("inner-shim", |command| {
        if detached {
            command.stdin(std::process::Stdio::null());
            command.stdout(std::process::Stdio::null());
            command.stderr(std::process::Stdio::null());
        }
    })
    .map_err(|e| unstarted(&e.to_string()))?;
    Ok(Waiting { child, channel: Some(channel) })
}

fn unstarted(error: &str) -> (String, i32) {
    (format!("the container's shim cannot be started: {error}"), OWN_FAILURE)
}

impl Waiting {
    /// Has it make the sandbox; it ends with the channel while the command has not begun. The
    /// child is the caller's to wait for.
    ///
    /// # Errors
    /// A sentence, and the status `run` is to exit with.
    pub fn set_up(mut self, spec: &ShimSpec) -> Result<(Child, Channel), (String, i32)> {
        let Some(channel) = self.channel.take() else { return Err(unstarted("it has ended")) };
        let talk = || {
            channel.send(spec, &[])?;
            channel.recv::<ShimReply>()
        };
        match talk() {
            Ok((ShimReply::Ready, _)) => Ok((self.child, channel)),
            Ok((ShimReply::Failed { message, code }, _)) => Err((message, code)),
            Err(e) => Err(unstarted(&e.to_string())),
        }
    }
}
