//! The switch: workers, networks and their ports, as the control side handles them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crossbeam_channel::Sender;
use nix::errno::Errno;
use parking_lot::Mutex;

use super::bridge::Bridge;
use super::capture::CaptureHub;
use super::fdb::{self, Fdb};
use super::outbox::RingCount;
use super::port::{Port, PortConfig, Receive, Transmit, Trunk};
use super::worker::{Command, EventSink, Handle, coarse_seconds};
use crate::sys::uring::{RingError, WriteRing};

/// How the workers run.
#[derive(Clone, Debug)]
pub struct SwitchConfig {
    /// Threads that carry frames.
    pub workers: usize,
    /// How long a worker asks again and again before it sleeps; zero sleeps at once.
    pub busy_poll: Duration,
    /// Workers write small frames through an io_uring where the kernel lets them.
    pub io_uring: bool,
}

impl Default for SwitchConfig {
    fn default() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        // The programs whose frames they carry need the other half.
        Self { workers: (cpus / 2).clamp(1, 4), busy_poll: Duration::ZERO, io_uring: true }
    }
}

/// What can be set of a network's switching.
#[derive(Clone, Debug)]
pub struct BridgeConfig {
    /// The most stations the forwarding table takes.
    pub fdb_limit: usize,
    /// Seconds after which a silent station is forgotten.
    pub ageing: u32,
}

impl Default for BridgeConfig {
    fn default() -> Self {
        Self { fdb_limit: fdb::DEFAULT_LIMIT, ageing: fdb::DEFAULT_AGEING }
    }
}

/// Why a port could not be added.
#[derive(Debug, thiserror::Error)]
pub enum AddPortError {
    /// Every number is taken.
    #[error("the network has {} ports, the most there can be", fdb::MAX_PORTS - 1)]
    Full,
    /// epoll refused the queue.
    #[error("the port's descriptor cannot be watched: {0}")]
    Watch(Errno),
    /// The switch is being shut down.
    #[error("the switch is stopping")]
    Stopping,
}

/// Whether workers write through io_uring.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IoUring {
    /// They do, small frames of larger batches.
    #[error("in use")]
    InUse,
    /// They are not to ([`SwitchConfig::io_uring`]).
    #[error("off")]
    Off,
    /// They were to, and the kernel did not let them.
    #[error("not in use: {0}")]
    Refused(RingError),
    /// Some do. The others have no ring, or have found that it does not work.
    #[error("in use by {with} of {workers} workers{}", .why.map(|why| format!(": {why}")).unwrap_or_default())]
    Partly {
        /// How many.
        with: usize,
        /// Of how many.
        workers: usize,
        /// What the kernel said to those that never had one.
        why: Option<RingError>,
    },
    /// The workers have found that the driver of the interfaces cannot be written to in this way, and go on without.
    #[error("not in use: TAP interfaces know it from Linux 6.4 on")]
    Unsupported,
}

/// A trunk that was added, to remove it by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TrunkId(u64);

struct State {
    workers: Vec<Handle>,
    /// Queues each worker has: the next one goes to who has fewest.
    load: Vec<usize>,
    /// Which workers serve a port or a trunk, by its uid.
    placement: HashMap<u64, Vec<usize>>,
}

/// The dataplane. Dropping it stops the workers.
pub struct Switch {
    state: Mutex<State>,
    workers: usize,
    next_uid: AtomicU64,
    capture: Arc<CaptureHub>,
    wants_rings: bool,
    rings: RingCount,
    ring_error: Option<RingError>,
}

impl Switch {
    /// Starts the workers. `events` is called from them.
    ///
    /// # Errors
    /// When the system refuses threads or descriptors.
    pub fn new(config: &SwitchConfig, events: &EventSink) -> std::io::Result<Self> {
        let count = config.workers.clamp(1, 64);
        let capture = Arc::new(CaptureHub::default());
        let (rings, mut ring_error) = (RingCount::default(), None);
        let mut ring = || -> Option<WriteRing> {
            // What was refused once is refused again.
            if !config.io_uring || ring_error.is_some() {
                return None;
            }
            WriteRing::new().map_err(|error| ring_error = Some(error)).ok()
        };
        let workers = (0..count)
            .map(|id| {
                Handle::spawn(id, config.busy_poll, ring(), rings.clone(), capture.clone(), events.clone())
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            state: Mutex::new(State { workers, load: vec![0; count], placement: HashMap::new() }),
            workers: count,
            next_uid: AtomicU64::new(1),
            capture,
            wants_rings: config.io_uring,
            rings,
            ring_error,
        })
    }

    /// Worker threads.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// Whether the workers write through rings at this moment.
    pub fn io_uring(&self) -> IoUring {
        let (with, workers) = (self.rings.load(Relaxed), self.workers);
        match self.ring_error {
            _ if !self.wants_rings => IoUring::Off,
            _ if with >= workers => IoUring::InUse,
            why if with > 0 => IoUring::Partly { with, workers, why },
            Some(error) => IoUring::Refused(error),
            None => IoUring::Unsupported,
        }
    }

    /// The captures.
    pub fn capture(&self) -> &Arc<CaptureHub> {
        &self.capture
    }

    /// The present second on the forwarding tables' clock.
    pub fn now() -> u32 {
        coarse_seconds()
    }

    fn uid(&self) -> u64 {
        self.next_uid.fetch_add(1, Relaxed)
    }

    /// A new network without ports.
    pub fn add_bridge(&self, config: &BridgeConfig) -> Arc<Bridge> {
        Arc::new(Bridge::new(self.uid(), Fdb::new(config.fdb_limit, config.ageing)))
    }

    /// Adds a port; frames pass when this returns.
    ///
    /// # Errors
    /// [`AddPortError`]; the network is as before then.
    pub fn add_port(
        &self,
        bridge: &Arc<Bridge>,
        config: PortConfig,
        transmit: Box<dyn Transmit>,
        queues: Vec<Box<dyn Receive>>,
    ) -> Result<Arc<Port>, AddPortError> {
        let mut state = self.state.lock();
        let ports = bridge.ports();
        let no = ports.free_no().ok_or(AddPortError::Full)?;
        let port = Arc::new(Port::new(self.uid(), no, config, transmit, self.workers));
        bridge.set_ports(ports.with(port.clone()));
        for queue in queues {
            let (bridge, port) = (bridge.clone(), port.clone());
            let add = |done| Command::Add { bridge: bridge.clone(), port: port.clone(), queue, done };
            if let Err(error) = state.place(port.uid(), add) {
                state.remove(&bridge, &port);
                return Err(error);
            }
        }
        Ok(port)
    }

    /// Removes a port. When this returns no worker has it any more, its stations are forgotten
    /// and its number is free.
    pub fn remove_port(&self, bridge: &Arc<Bridge>, port: &Arc<Port>) {
        self.state.lock().remove(bridge, port);
    }

    /// Has a worker read a way in that several ports share.
    ///
    /// # Errors
    /// [`AddPortError::Watch`] or [`AddPortError::Stopping`].
    pub fn add_trunk(&self, trunk: Box<dyn Trunk>) -> Result<TrunkId, AddPortError> {
        let uid = self.uid();
        self.state.lock().place(uid, |done| Command::AddTrunk { uid, trunk, done })?;
        Ok(TrunkId(uid))
    }

    /// The same, with a certain worker.
    ///
    /// # Errors
    /// [`AddPortError::Watch`] or [`AddPortError::Stopping`].
    pub fn add_trunk_on(&self, worker: usize, trunk: Box<dyn Trunk>) -> Result<TrunkId, AddPortError> {
        let uid = self.uid();
        let mut state = self.state.lock();
        let (done, answer) = crossbeam_channel::bounded(1);
        let handle = state.workers.get(worker).ok_or(AddPortError::Stopping)?;
        handle.send(Command::AddTrunk { uid, trunk, done });
        answer.recv().map_err(|_| AddPortError::Stopping)?.map_err(AddPortError::Watch)?;
        if let Some(load) = state.load.get_mut(worker) {
            *load += 1;
        }
        state.placement.entry(uid).or_default().push(worker);
        Ok(TrunkId(uid))
    }

    /// Does something on a worker's own thread, between two batches, and waits for it. `None` when
    /// there is no such worker any more.
    pub fn run_on<T: Send + 'static>(
        &self,
        worker: usize,
        act: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (done, answer) = crossbeam_channel::bounded(1);
        let run = Box::new(move || {
            let _ = done.send(act());
        });
        self.state.lock().workers.get(worker)?.send(Command::Run(run));
        answer.recv().ok()
    }

    /// The worker that reads a port's first queue.
    pub fn home_of(&self, port: &Port) -> Option<usize> {
        self.state.lock().placement.get(&port.uid())?.first().copied()
    }

    /// Stops reading a trunk. When this returns no worker has it any more.
    pub fn remove_trunk(&self, TrunkId(uid): TrunkId) {
        self.state.lock().withdraw(uid);
    }
}

impl State {
    /// Gives a queue of `uid` to the worker that has its others, or else to the one that has fewest.
    fn place(
        &mut self,
        uid: u64,
        command: impl FnOnce(Sender<Result<(), Errno>>) -> Command,
    ) -> Result<(), AddPortError> {
        // All of a container's frames for elsewhere must come to the engine that has its flows.
        let home = self.placement.get(&uid).and_then(|workers| workers.first().copied());
        let fewest = || self.load.iter().enumerate().min_by_key(|(_, load)| **load).map(|(worker, _)| worker);
        let worker = home.or_else(fewest).ok_or(AddPortError::Stopping)?;
        let (done, answer) = crossbeam_channel::bounded(1);
        self.workers[worker].send(command(done));
        answer.recv().map_err(|_| AddPortError::Stopping)?.map_err(AddPortError::Watch)?;
        self.load[worker] += 1;
        self.placement.entry(uid).or_default().push(worker);
        Ok(())
    }

    fn remove(&mut self, bridge: &Arc<Bridge>, port: &Arc<Port>) {
        port.set_gone();
        bridge.set_ports(bridge.ports().without(port.uid()));
        self.withdraw(port.uid());
        bridge.fdb().flush_port(port.no());
    }

    fn withdraw(&mut self, uid: u64) {
        // Every worker answers, not only those that read the port: after that none can still be
        // in the middle of a batch with the old set of ports, so nothing learns its number again.
        let answers: Vec<_> = self
            .workers
            .iter()
            .map(|worker| {
                let (done, answer) = crossbeam_channel::bounded(1);
                worker.send(Command::Remove { uid, done });
                answer
            })
            .collect();
        for answer in answers {
            let _ = answer.recv();
        }
        for worker in self.placement.remove(&uid).unwrap_or_default() {
            self.load[worker] = self.load[worker].saturating_sub(1);
        }
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        for worker in &mut self.state.lock().workers {
            worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_how_many_workers_write_through_rings() {
        let config = SwitchConfig { workers: 2, io_uring: true, ..SwitchConfig::default() };
        let mut switch = Switch::new(&config, &(Arc::new(|_| {}) as EventSink)).unwrap();
        let said = |switch: &Switch, with| {
            switch.rings.store(with, Relaxed);
            switch.io_uring().to_string()
        };
        switch.ring_error = None;
        assert_eq!(said(&switch, 2), "in use");
        assert_eq!(said(&switch, 1), "in use by 1 of 2 workers");
        assert_eq!(said(&switch, 0), IoUring::Unsupported.to_string());
        let refused = RingError::Refused(Errno::ENOMEM);
        switch.ring_error = Some(refused);
        assert_eq!(said(&switch, 1), format!("in use by 1 of 2 workers: {refused}"));
        assert_eq!(switch.io_uring(), IoUring::Partly { with: 1, workers: 2, why: Some(refused) });
        assert_eq!(said(&switch, 0), IoUring::Refused(refused).to_string());
    }
}
