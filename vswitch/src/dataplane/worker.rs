//! Workers: threads that carry each frame from the read to the write.

use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::time::{ClockId, clock_gettime};
use packet::{Frame, FrameError};

use super::bridge::{Bridge, Context};
use super::capture::CaptureHub;
use super::counters::DropReason;
use super::outbox::{Outbox, RingCount};
use super::port::{Port, Receive, Received, Trunk};
use crate::sys::uring::WriteRing;

/// Frames taken from one queue before the others have their turn.
const BATCH: usize = 64;
const EVENTS: usize = 64;
/// Bytes in a turn from which on more is to be expected: a request or an answer alone has fewer.
const BULK: usize = 16 * 1024;
/// Ports that gather and get frames in one batch; more cost an allocation once.
const GATHERING: usize = 64;
const WAKE: u64 = u64::MAX;

/// What happened in the dataplane that the control side must know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PortEvent {
    /// The namespace behind a port was deleted.
    Gone {
        /// [`Bridge::uid`].
        bridge: u64,
        /// [`Port::uid`].
        port: u64,
    },
}

/// Called by a worker with what happened; must not block.
pub type EventSink = Arc<dyn Fn(PortEvent) + Send + Sync>;

pub(super) enum Command {
    Add {
        bridge: Arc<Bridge>,
        port: Arc<Port>,
        queue: Box<dyn Receive>,
        done: Sender<Result<(), Errno>>,
    },
    AddTrunk {
        uid: u64,
        trunk: Box<dyn Trunk>,
        done: Sender<Result<(), Errno>>,
    },
    /// Of a port or a trunk.
    Remove {
        uid: u64,
        done: Sender<()>,
    },
    /// Something to do on the worker's own thread.
    Run(Box<dyn FnOnce() + Send>),
    Stop,
}

thread_local! {
    static CURRENT_PORT: Cell<u64> = const { Cell::new(0) };
}

/// The [`Port::uid`] of the port from which the calling worker has its present batch of frames.
/// What a frame says of its origin may be forged, this is not.
pub fn current_port() -> u64 {
    CURRENT_PORT.get()
}

/// The control side's end of one worker.
pub(super) struct Handle {
    commands: Sender<Command>,
    wake: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

impl Handle {
    /// Starts worker number `id`.
    pub(super) fn spawn(
        id: usize,
        busy_poll: Duration,
        ring: Option<WriteRing>,
        rings: RingCount,
        capture: Arc<CaptureHub>,
        events: EventSink,
    ) -> std::io::Result<Self> {
        let (commands, inbox) = crossbeam_channel::unbounded();
        let wake = Arc::new(EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?);
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&*wake, EpollEvent::new(EpollFlags::EPOLLIN, WAKE))?;
        let worker = Worker {
            epoll,
            inbox,
            wake: wake.clone(),
            busy_poll,
            events,
            queues: Vec::new(),
            frame: Frame::new(),
            carried: 0,
            ctx: Context {
                worker: id,
                now_ms: 0,
                now: 0,
                scratch: Frame::new(),
                capture,
                outbox: Outbox::new(ring, rings),
                unflushed: Vec::with_capacity(GATHERING),
            },
        };
        let thread = std::thread::Builder::new().name(format!("worker-{id}")).spawn(move || worker.run())?;
        Ok(Self { commands, wake, thread: Some(thread) })
    }

    pub(super) fn send(&self, command: Command) {
        // Both fail only when the worker has ended, and then nobody waits for an answer: the
        // command's own channel closes with it.
        if self.commands.send(command).is_ok() {
            let _ = self.wake.write(1);
        }
    }

    pub(super) fn join(&mut self) {
        self.send(Command::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

enum Queue {
    Port { bridge: Arc<Bridge>, port: Arc<Port>, rx: Box<dyn Receive> },
    Trunk { uid: u64, rx: Box<dyn Trunk> },
}

impl Queue {
    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Port { rx, .. } => rx.fd(),
            Self::Trunk { rx, .. } => rx.fd(),
        }
    }

    fn uid(&self) -> u64 {
        match self {
            Self::Port { port, .. } => port.uid(),
            Self::Trunk { uid, .. } => *uid,
        }
    }
}

struct Worker {
    epoll: Epoll,
    inbox: Receiver<Command>,
    wake: Arc<EventFd>,
    busy_poll: Duration,
    events: EventSink,
    queues: Vec<Option<Queue>>,
    frame: Frame,
    ctx: Context,
    /// Bytes that the last turn carried.
    carried: usize,
}

impl Worker {
    fn run(mut self) {
        let mut events = [EpollEvent::empty(); EVENTS];
        loop {
            let n = self.wait(&mut events);
            self.carried = 0;
            self.ctx.now_ms = coarse_ms();
            self.ctx.now = coarse_seconds();
            for event in &events[..n] {
                if event.data() == WAKE {
                    if !self.obey() {
                        return;
                    }
                } else {
                    let slot = event.data() as usize;
                    // No frame may end the switch. Should a defect panic, that one batch is lost.
                    if catch_unwind(AssertUnwindSafe(|| self.drain(slot))).is_err() {
                        self.frame.clear();
                        self.ctx.scratch.clear();
                    }
                    self.ctx.flush();
                }
            }
        }
    }

    /// Waits for events: a while by asking again and again if that was wished for, then asleep.
    fn wait(&self, events: &mut [EpollEvent]) -> usize {
        if !self.busy_poll.is_zero() {
            let until = Instant::now() + self.busy_poll;
            while Instant::now() < until {
                match self.epoll.wait(events, EpollTimeout::ZERO) {
                    Ok(0) | Err(_) => std::hint::spin_loop(),
                    Ok(n) => return n,
                }
            }
        }
        // Whoever shares this processor may have the next frames ready: one turn for it is cheaper
        // than going to sleep and being woken for each.
        if self.carried >= BULK {
            std::thread::yield_now();
            if let Ok(n @ 1..) = self.epoll.wait(events, EpollTimeout::ZERO) {
                return n;
            }
        }
        // EINTR is the only error there is with arguments of our own.
        self.epoll.wait(events, EpollTimeout::NONE).unwrap_or(0)
    }

    fn drain(&mut self, slot: usize) {
        let (bridge, port, rx) = match self.queues.get_mut(slot) {
            Some(Some(Queue::Port { bridge, port, rx })) => (bridge, port, rx),
            Some(Some(Queue::Trunk { rx, .. })) => {
                let (ctx, carried) = (&mut self.ctx, &mut self.carried);
                rx.drain(&mut |bridge, port, frame| {
                    // Between this batch and the one before the port may have been removed.
                    if !port.is_gone() {
                        CURRENT_PORT.set(port.uid());
                        *carried = carried.saturating_add(frame.len());
                        ctx.outbox.note_frame();
                        bridge.ingress(ctx, &bridge.port_guard(), port, frame);
                    }
                });
                return;
            }
            _ => return,
        };
        CURRENT_PORT.set(port.uid());
        let ports = bridge.port_guard();
        for _ in 0..BATCH {
            match rx.recv(&mut self.frame) {
                Received::Frame => {
                    self.carried = self.carried.saturating_add(self.frame.len());
                    self.ctx.outbox.note_frame();
                    bridge.ingress(&mut self.ctx, &ports, port, &mut self.frame);
                }
                Received::Empty => return,
                Received::Bad(error) => {
                    let reason = match error {
                        FrameError::Truncated(_) => DropReason::Truncated,
                        FrameError::Oversized(_) => DropReason::Oversized,
                        FrameError::Offload(_) => DropReason::BadOffload,
                    };
                    port.counters().rx_dropped(self.ctx.worker, reason);
                }
                Received::Ended => {
                    drop(ports);
                    self.forget(slot);
                    return;
                }
                Received::Gone => {
                    let (bridge, port) = (bridge.uid(), port.clone());
                    drop(ports);
                    self.forget(slot);
                    if !port.is_gone() {
                        port.set_gone();
                        (self.events)(PortEvent::Gone { bridge, port: port.uid() });
                    }
                    return;
                }
            }
        }
    }

    /// False when told to stop.
    fn obey(&mut self) -> bool {
        let _ = self.wake.read();
        while let Ok(command) = self.inbox.try_recv() {
            match command {
                Command::Add { bridge, port, queue, done } => {
                    let _ = done.send(self.add(Queue::Port { bridge, port, rx: queue }));
                }
                Command::AddTrunk { uid, trunk, done } => {
                    let _ = done.send(self.add(Queue::Trunk { uid, rx: trunk }));
                }
                Command::Remove { uid, done } => {
                    for slot in 0..self.queues.len() {
                        if self.queues[slot].as_ref().is_some_and(|queue| queue.uid() == uid) {
                            self.forget(slot);
                        }
                    }
                    let _ = done.send(());
                }
                Command::Run(act) => act(),
                Command::Stop => return false,
            }
        }
        true
    }

    fn add(&mut self, queue: Queue) -> Result<(), Errno> {
        let slot = self.queues.iter().position(Option::is_none).unwrap_or(self.queues.len());
        self.epoll.add(queue.fd(), EpollEvent::new(EpollFlags::EPOLLIN, slot as u64))?;
        if slot == self.queues.len() {
            self.queues.push(Some(queue));
        } else {
            self.queues[slot] = Some(queue);
        }
        Ok(())
    }

    fn forget(&mut self, slot: usize) {
        if let Some(queue) = self.queues.get_mut(slot).and_then(Option::take) {
            // By hand: the descriptor's other copies would keep the registration alive.
            let _ = self.epoll.delete(queue.fd().as_fd());
        }
    }
}

fn coarse() -> (u64, u64) {
    clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE)
        .map_or((0, 0), |t| (t.tv_sec().unsigned_abs(), t.tv_nsec().unsigned_abs()))
}

/// Milliseconds on the workers' clock; wraps.
pub(crate) fn coarse_ms() -> u32 {
    let (s, ns) = coarse();
    (s * 1000 + ns / 1_000_000) as u32
}

/// The clock of the forwarding tables, in seconds.
pub(super) fn coarse_seconds() -> u32 {
    coarse().0 as u32
}
