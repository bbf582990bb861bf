//! One worker's part: its engine, and the ports of the containers it serves.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use nat::engine::FlowInfo;
use nat::{Engine, Inside, InsideId, SendError};
use packet::Frame;

use super::Flow;
use super::watch::Watchers;
use crate::dataplane::capture::CaptureHub;
use crate::dataplane::worker::current_port;
use crate::dataplane::{Bridge, DropReason, Port};

thread_local! {
    /// The calling worker's.
    pub(super) static SHARD: RefCell<Option<Shard>> = const { RefCell::new(None) };
}

/// Some worker has told it.
static TOLD: AtomicBool = AtomicBool::new(false);

pub(super) struct Shard {
    pub(super) engine: Engine,
    pub(super) ways: Ways,
    pub(super) watchers: Watchers,
}

impl Shard {
    pub(super) fn new(engine: Engine, worker: usize, capture: Arc<CaptureHub>) -> Self {
        let ways =
            Ways { worker, capture, by_inside: Vec::new(), by_port: HashMap::new(), scratch: Frame::new() };
        Self { engine, ways, watchers: Watchers::default() }
    }

    /// Every flow there is.
    pub(super) fn flows(&self) -> Vec<Flow> {
        self.engine.flows().filter_map(|info| self.ways.flow(info)).collect()
    }

    /// Passes on what the engine has to tell: to the log, once for all workers, and to those who watch.
    pub(super) fn pass_on(&mut self) {
        if let Some(notice) = self.engine.notice()
            && !TOLD.swap(true, Relaxed)
        {
            tracing::warn!("{notice}");
        }
        self.watchers.pass_on(&mut self.engine, &self.ways);
    }
}

/// The way to one container.
pub(super) struct Way {
    pub(super) bridge: Arc<Bridge>,
    pub(super) port: Arc<Port>,
}

/// The ways to the containers of one worker.
pub(super) struct Ways {
    worker: usize,
    capture: Arc<CaptureHub>,
    by_inside: Vec<Option<Way>>,
    by_port: HashMap<u64, InsideId>,
    scratch: Frame,
}

impl Ways {
    pub(super) fn add(&mut self, inside: InsideId, way: Way) {
        let at = inside.0 as usize;
        if self.by_inside.len() <= at {
            self.by_inside.resize_with(at + 1, || None);
        }
        self.by_port.insert(way.port.uid(), inside);
        if let Some(slot) = self.by_inside.get_mut(at) {
            *slot = Some(way);
        }
    }

    pub(super) fn remove(&mut self, inside: InsideId, port: u64) {
        self.by_port.remove(&port);
        if let Some(slot) = self.by_inside.get_mut(inside.0 as usize) {
            *slot = None;
        }
    }

    /// The container from which the worker has its present batch.
    pub(super) fn current(&self) -> Option<InsideId> {
        self.inside(current_port())
    }

    /// The container with a port.
    pub(super) fn inside(&self, port: u64) -> Option<InsideId> {
        self.by_port.get(&port).copied()
    }

    /// A flow, and whose it is.
    pub(super) fn flow(&self, info: FlowInfo) -> Option<Flow> {
        Some(Flow { port: self.port(info.inside)?, info })
    }

    /// The port of a container.
    pub(super) fn port(&self, inside: InsideId) -> Option<u64> {
        self.by_inside.get(inside.0 as usize)?.as_ref().map(|way| way.port.uid())
    }
}

impl Inside for Ways {
    fn send(&mut self, inside: InsideId, frame: &mut Frame) -> Result<(), SendError> {
        let Some(Some(way)) = self.by_inside.get(inside.0 as usize) else { return Err(SendError::Down) };
        match way.bridge.emit(self.worker, &self.capture, &way.port, frame, &mut self.scratch) {
            Ok(()) => Ok(()),
            Err(DropReason::QueueFull) => Err(SendError::Full),
            Err(_) => Err(SendError::Down),
        }
    }
}
