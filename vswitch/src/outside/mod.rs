//! The way out of networks: address translation on the workers' own threads.
//!
//! Each worker has an engine of its own, for the containers whose ports it reads. A frame that a
//! container sends to its gateway for somewhere else is handed to the engine by the worker that
//! carries it; the engine's sockets are in the same epoll as the worker's ports. An engine lives in
//! its thread's local storage: nobody else can reach it, so there is nothing to lock.

mod apart;
mod limits;
mod own_address;
mod shard;
mod watch;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use nat::config::{Config, InsideConfig};
use nat::counters::Counters;
use nat::engine::{Engine, FlowInfo, InsideId, NewEngineError, Sides};
use nat::flow::FlowKey;
use packet::Frame;

use crate::dataplane::port::{Deliver, Trunk};
use crate::dataplane::switch::TrunkId;
use crate::dataplane::{Bridge, DropReason, Port, Switch};
use crate::gateway::Beyond;
pub use apart::{Apart, Subnets};
pub use limits::limits;
pub use own_address::own_address;
use shard::{SHARD, Shard, Way};
pub use watch::{News, Next, Watch, What};

/// Why there is no way out.
#[derive(Debug, thiserror::Error)]
pub enum OutsideError {
    /// The kernel lacks what an engine needs.
    #[error(transparent)]
    Engine(#[from] NewEngineError),
    /// A worker cannot watch its engine.
    #[error("a worker cannot watch its sockets: {0}")]
    Watch(String),
    /// The workers have ended.
    #[error("the switch is stopping")]
    Stopping,
}

/// A container as its engine knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inside {
    worker: usize,
    id: InsideId,
    port: u64,
}

/// A flow, and whose it is.
#[derive(Clone, Debug)]
pub struct Flow {
    /// [`Port::uid`] of the container's port.
    pub port: u64,
    /// The flow.
    pub info: FlowInfo,
}

/// The engines of a switch.
pub struct Outside {
    trunks: Vec<TrunkId>,
}

/// What a worker watches for its engine.
struct Sockets(OwnedFd);

impl Trunk for Sockets {
    fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    fn drain(&mut self, _deliver: &mut Deliver<'_>) {
        SHARD.with_borrow_mut(|shard| {
            if let Some(shard) = shard {
                shard.engine.turn(&mut shard.ways);
                shard.pass_on();
            }
        });
    }
}

/// Hands the frames of one worker to that worker's engine.
struct Handover;

impl Beyond for Handover {
    fn forward(&self, _worker: usize, frame: &mut Frame, _scratch: &mut Frame) -> Result<(), DropReason> {
        SHARD.with_borrow_mut(|shard| {
            let Shard { engine, ways, .. } = shard.as_mut().ok_or(DropReason::NoRoute)?;
            let inside = ways.current().ok_or(DropReason::NoRoute)?;
            engine.from_inside(inside, frame, ways);
            Ok(())
        })
    }

    fn claims(&self, frame: &Frame) -> bool {
        SHARD.with_borrow(|shard| {
            let Some(Shard { engine, ways, .. }) = shard else { return false };
            ways.current().is_some_and(|inside| engine.claims(inside, frame))
        })
    }

    fn flush(&self, _worker: usize) {
        SHARD.with_borrow_mut(|shard| {
            if let Some(shard) = shard {
                shard.engine.flush(&mut shard.ways);
                shard.pass_on();
            }
        });
    }
}

impl Outside {
    /// Gives every worker an engine.
    ///
    /// # Errors
    /// [`OutsideError`]; no worker has one then.
    pub fn new(switch: &Switch, config: &Config) -> Result<Self, OutsideError> {
        let mut outside = Self { trunks: Vec::new() };
        for worker in 0..switch.workers() {
            let sockets = Self::start(switch, worker, config.clone());
            let trunk = sockets.and_then(|sockets| {
                let watched = switch.add_trunk_on(worker, Box::new(Sockets(sockets)));
                watched.map_err(|e| OutsideError::Watch(e.to_string()))
            });
            match trunk {
                Ok(trunk) => outside.trunks.push(trunk),
                Err(error) => {
                    outside.stop(switch);
                    return Err(error);
                }
            }
        }
        Ok(outside)
    }

    fn start(switch: &Switch, worker: usize, config: Config) -> Result<OwnedFd, OutsideError> {
        let capture = switch.capture().clone();
        let start = move || -> Result<OwnedFd, NewEngineError> {
            let engine = Engine::new(config)?;
            let sockets = engine.fd().try_clone_to_owned()?;
            SHARD.set(Some(Shard::new(engine, worker, capture)));
            Ok(sockets)
        };
        Ok(switch.run_on(worker, start).ok_or(OutsideError::Stopping)??)
    }

    /// Takes the engines away again, with all flows.
    pub fn stop(&mut self, switch: &Switch) {
        for trunk in self.trunks.drain(..) {
            switch.remove_trunk(trunk);
        }
        for worker in 0..switch.workers() {
            switch.run_on(worker, || SHARD.set(None));
        }
    }

    /// Where gateways send what is for elsewhere.
    pub fn beyond() -> Arc<dyn Beyond> {
        Arc::new(Handover)
    }

    /// Lets a container out.
    pub fn add(
        switch: &Switch,
        bridge: &Arc<Bridge>,
        port: &Arc<Port>,
        config: InsideConfig,
    ) -> Option<Inside> {
        let worker = switch.home_of(port)?;
        let way = Way { bridge: bridge.clone(), port: port.clone() };
        let uid = port.uid();
        let id = switch.run_on(worker, move || {
            SHARD.with_borrow_mut(|shard| {
                let Shard { engine, ways, .. } = shard.as_mut()?;
                let id = engine.add_inside(config);
                ways.add(id, way);
                Some(id)
            })
        })??;
        Some(Inside { worker, id, port: uid })
    }

    /// Ends a container's flows and forgets it, unless another has taken its place.
    pub fn remove(switch: &Switch, inside: Inside) {
        switch.run_on(inside.worker, move || {
            SHARD.with_borrow_mut(|shard| {
                if let Some(shard) = shard
                    && shard.ways.port(inside.id) == Some(inside.port)
                {
                    shard.engine.remove_inside(inside.id);
                    // While it is known whose flows they were.
                    shard.pass_on();
                    shard.ways.remove(inside.id, inside.port);
                }
            });
        });
    }

    /// Does something with the engine of a container's worker. `None` when the container is no longer
    /// there: its number may be another's by now.
    pub fn with_engine<T: Send + 'static>(
        switch: &Switch,
        inside: Inside,
        act: impl FnOnce(&mut Engine, InsideId) -> T + Send + 'static,
    ) -> Option<T> {
        switch.run_on(inside.worker, move || {
            SHARD.with_borrow_mut(|shard| {
                let shard = shard.as_mut()?;
                let there = shard.ways.port(inside.id) == Some(inside.port);
                let done = there.then(|| act(&mut shard.engine, inside.id));
                shard.pass_on();
                done
            })
        })?
    }

    /// Every flow there is, in no order.
    pub fn flows(switch: &Switch) -> Vec<Flow> {
        let of = |worker| {
            switch.run_on(worker, || {
                SHARD.with_borrow(|shard| shard.as_ref().map(Shard::flows).unwrap_or_default())
            })
        };
        (0..switch.workers()).filter_map(of).flatten().collect()
    }

    /// How the world knows the flow that packets from a container's port with this key belong to.
    pub fn sides(switch: &Switch, port: &Port, key: FlowKey) -> Option<Sides> {
        let (worker, uid) = (switch.home_of(port)?, port.uid());
        switch.run_on(worker, move || {
            SHARD.with_borrow(|shard| {
                let Shard { engine, ways, .. } = shard.as_ref()?;
                engine.sides(ways.inside(uid)?, &key)
            })
        })?
    }

    /// Every flow there is, and from then on what becomes of flows.
    pub fn watch(switch: &Switch) -> Watch {
        let (mut watch, watcher) = Watch::new();
        for worker in 0..switch.workers() {
            let watcher = watcher.clone();
            let begin = || {
                SHARD.with_borrow_mut(|shard| {
                    let Some(shard) = shard else { return Vec::new() };
                    shard.watchers.add(&mut shard.engine, watcher);
                    shard.flows()
                })
            };
            watch.are_live(switch.run_on(worker, begin).unwrap_or_default());
        }
        watch
    }

    /// What each worker's engine has counted.
    pub fn counters(switch: &Switch) -> Vec<Counters> {
        let of = |worker| {
            switch.run_on(worker, || {
                SHARD.with_borrow(|shard| shard.as_ref().map(|shard| shard.engine.counters().clone()))
            })?
        };
        (0..switch.workers()).filter_map(of).collect()
    }
}
