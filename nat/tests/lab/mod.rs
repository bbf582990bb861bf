//! An engine with one container behind a TAP, in namespaces of this machine. Needs root.
//!
//!     container --TAP-- engine in the namespace `router` --veth-- `world`
//!
//! What goes over the TAP can be lost and delayed.
#![allow(dead_code, reason = "every program that includes this uses a part of it")]

mod impair;
mod net;
pub mod stream;
mod tap;
mod user;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsFd, OwnedFd},
    sync::mpsc::{Receiver, Sender, channel},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use nat::{
    Engine, Inside, InsideId, SendError,
    config::{Config, InsideConfig},
};
use packet::{Frame, MacAddr};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use self::impair::Impaired;
#[allow(unused_imports, reason = "every program that includes this uses a part of it")]
pub use self::{impair::Impairment, net::Netns, tap::Tap, user::ran_as_user};

pub const GATEWAY_MAC: MacAddr = MacAddr([2, 0x42, 10, 0, 2, 1]);
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 1);
pub const GATEWAY6: Ipv6Addr = Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, 1);
pub const CONTAINER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
pub const CONTAINER6: Ipv6Addr = Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, 2);
pub const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub const WORLD: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
pub const WORLD6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

/// Frames taken from the TAP before the batch is over.
const BATCH: usize = 64;
/// Longer than anything takes that is waited for.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks at what tells nobody of its changes.
const PAUSE: Duration = Duration::from_millis(10);

/// The container behind its TAP.
struct Port {
    tap: Tap,
    impaired: Impaired,
}

impl Inside for Port {
    fn send(&mut self, _: InsideId, frame: &mut Frame) -> Result<(), SendError> {
        let Self { tap, impaired } = self;
        impaired.pass_in(frame, |frame| {
            tap.write(frame).map_err(|errno| match errno {
                rustix::io::Errno::IO | rustix::io::Errno::BADFD => SendError::Down,
                _ => SendError::Full,
            })
        })
    }
}

/// True when it is done; otherwise it is tried again whenever the engine has done something.
type Job = Box<dyn FnMut(&mut Engine, InsideId, &mut Port) -> bool + Send>;

/// Namespaces, and an engine on a thread of its own.
pub struct Lab {
    pub container: Netns,
    pub router: Netns,
    pub world: Netns,
    jobs: Sender<Job>,
    wake: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

impl Lab {
    pub fn new(mtu: u16, config: Config, impairment: Impairment) -> Self {
        Self::with(mtu, config, impairment, |_| {})
    }

    /// `change` may change what is set of the container.
    pub fn with(
        mtu: u16,
        config: Config,
        impairment: Impairment,
        change: impl FnOnce(&mut InsideConfig),
    ) -> Self {
        let (container, router, world) = net::build();
        let tap = Tap::open(&container.path(), "eth0").expect("a TAP");
        net::configure_container(&container, mtu);
        let mut inside = InsideConfig::new(GATEWAY_MAC);
        inside.addresses = vec![CONTAINER.into(), CONTAINER6.into()];
        inside.mac = Some(MacAddr::from_ipv4(CONTAINER));
        inside.gateway_v4 = Some(GATEWAY);
        inside.gateway_v6 = Some(GATEWAY6);
        inside.subnets = ["10.0.2.0/24", "fd00:2::/64"].map(|net| net.parse().expect("a subnet")).to_vec();
        inside.mtu = mtu;
        change(&mut inside);

        let (jobs, inbox) = channel();
        let wake = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).expect("an eventfd");
        let mut config = config;
        config.tcp.peek_from_start |= crate::PEEK_FROM_START;
        let waker = wake.try_clone().expect("an eventfd");
        let path = router.path();
        let thread = std::thread::spawn(move || {
            net::enter(&path);
            let mut engine = Engine::new(config).expect("an engine");
            let id = engine.add_inside(inside);
            let port = Port { tap, impaired: Impaired::new(impairment) };
            run(&mut engine, id, port, &inbox, &waker);
        });
        Self { container, router, world, jobs, wake, thread: Some(thread) }
    }

    /// Does something with the engine on its thread.
    pub fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Engine, InsideId) -> T + Send + 'static,
    ) -> T {
        let mut question = Some(question);
        self.until("the engine's answer", move |engine, id| question.take().map(|ask| ask(engine, id)))
    }

    /// Waits until the engine is so; looks whenever it has done something. Panics after a long time.
    pub fn until<T: Send + 'static>(
        &self,
        what: &str,
        mut check: impl FnMut(&mut Engine, InsideId) -> Option<T> + Send + 'static,
    ) -> T {
        let (answer, answers) = channel();
        self.run(move |engine, id, _| check(engine, id).map(|value| answer.send(value)).is_some());
        answers.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("never: {what}"))
    }

    /// Ends all flows of the container.
    pub fn close_flows(&self) {
        self.run(|engine, id, port| {
            engine.close_flows(id, port);
            true
        });
    }

    fn run(&self, job: impl FnMut(&mut Engine, InsideId, &mut Port) -> bool + Send + 'static) {
        self.jobs.send(Box::new(job)).expect("the engine's thread");
        rustix::io::write(&self.wake, &1u64.to_ne_bytes()).expect("an eventfd");
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let (closed, _) = channel();
        self.jobs = closed;
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What a worker of the switch does, for one container.
fn run(engine: &mut Engine, id: InsideId, mut port: Port, inbox: &Receiver<Job>, wake: &OwnedFd) {
    let mut frame = Frame::new();
    let mut waiting: Vec<Job> = Vec::new();
    loop {
        let timeout = port.impaired.timeout();
        let (tap_ready, engine_ready, woken) = {
            let mut fds = [
                PollFd::new(&port.tap, PollFlags::IN),
                PollFd::from_borrowed_fd(engine.fd(), PollFlags::IN),
                PollFd::new(wake, PollFlags::IN),
            ];
            let _ = poll(&mut fds, timeout.as_ref());
            let ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
            (ready(&fds[0]), ready(&fds[1]), ready(&fds[2]))
        };
        if woken {
            let _ = rustix::io::read(wake, &mut [0; 8]);
            loop {
                match inbox.try_recv() {
                    Ok(job) => waiting.push(job),
                    Err(std::sync::mpsc::TryRecvError::Empty) => break,
                    Err(std::sync::mpsc::TryRecvError::Disconnected) => return,
                }
            }
        }
        if tap_ready {
            for _ in 0..BATCH {
                if !port.tap.read(&mut frame) {
                    break;
                }
                if port.impaired.pass_out(&frame) {
                    engine.from_inside(id, &mut frame, &mut port);
                }
            }
            engine.flush(&mut port);
        }
        if engine_ready {
            engine.turn(&mut port);
        }
        deliver(engine, id, &mut port, &mut frame);
        waiting.retain_mut(|job| !job(engine, id, &mut port));
    }
}

/// Lets go on what was delayed long enough.
fn deliver(engine: &mut Engine, id: InsideId, port: &mut Port, frame: &mut Frame) {
    while port.impaired.next_to_container(frame) {
        let _ = port.tap.write(frame);
    }
    let mut any = false;
    while port.impaired.next_from_container(frame) {
        engine.from_inside(id, frame, port);
        any = true;
    }
    if any {
        engine.flush(port);
    }
}

/// Waits until something is so that nobody tells of; panics after a long time. For what the engine
/// knows there is [`Lab::until`].
pub fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = check() {
            return value;
        }
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(PAUSE);
    }
}

/// The address of the world in the IP version of `v6`.
pub fn world(v6: bool) -> IpAddr {
    if v6 { WORLD6.into() } else { WORLD.into() }
}

/// So that the descriptors of a lab can be used where a file is expected.
pub fn duplicate(fd: impl AsFd) -> OwnedFd {
    fd.as_fd().try_clone_to_owned().expect("a descriptor")
}
