//! Who watches the frames go by.
//!
//! A worker copies what a session wants into a buffer from the session's own pool and goes on.
//! An empty pool means that the session cannot keep up: it loses the record and counts it; the
//! frame is not touched. Without a session all of this is one load a frame.

use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Relaxed, Release},
};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, Sender, TrySendError};
use crossbeam_queue::ArrayQueue;
use packet::filter::Filter;
use packet::{Frame, Offload};
use parking_lot::Mutex;

use super::counters::DropReason;
use super::port::Port;

/// Records a session holds between the worker that saw the frame and the writer.
const RECORDS: usize = 1024;

/// Which way a frame crossed a port, as the switch sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From the interface into the switch.
    Inbound,
    /// From the switch to the interface.
    Outbound,
}

/// What a session wants to see.
#[derive(Clone, Debug)]
pub enum Scope {
    /// Every port of every network.
    Any,
    /// Every port of these bridges, by [`super::bridge::Bridge::uid`].
    Bridges(Vec<u64>),
    /// These ports, by [`Port::uid`].
    Ports(Vec<u64>),
}

/// One frame at one port.
pub struct Record {
    /// Nanoseconds since 1970.
    pub time: u64,
    /// Where.
    pub port: Arc<Port>,
    /// Which way.
    pub direction: Direction,
    /// Why it went no further, if so.
    pub dropped: Option<DropReason>,
    /// Bytes the frame had.
    pub original_len: usize,
    /// What its virtio-net header said.
    pub offload: Offload,
    /// The first bytes of it, as many as the session asked for.
    pub data: Vec<u8>,
}

/// One running capture.
pub struct Session {
    scope: Scope,
    filter: Option<Filter>,
    snaplen: usize,
    pool: ArrayQueue<Vec<u8>>,
    records: Sender<Record>,
    seen: AtomicU64,
    lost: AtomicU64,
}

impl Session {
    /// Records that were lost because the reader was too slow.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// Records that matched, the lost ones included.
    pub fn seen(&self) -> u64 {
        self.seen.load(Relaxed)
    }

    /// Gives a record's buffer back to the workers.
    pub fn recycle(&self, record: Record) {
        let _ = self.pool.push(record.data);
    }

    fn wants(&self, bridge: u64, port: &Port, frame: &Frame) -> bool {
        let in_scope = match &self.scope {
            Scope::Any => true,
            Scope::Bridges(uids) => uids.contains(&bridge),
            Scope::Ports(uids) => uids.contains(&port.uid()),
        };
        in_scope && self.filter.as_ref().is_none_or(|f| f.matches(frame.bytes(), frame.len()))
    }

    fn take(&self, port: &Arc<Port>, direction: Direction, frame: &Frame, dropped: Option<DropReason>) {
        self.seen.fetch_add(1, Relaxed);
        let Some(mut data) = self.pool.pop() else {
            self.lost.fetch_add(1, Relaxed);
            return;
        };
        let bytes = frame.bytes();
        data.clear();
        data.extend_from_slice(&bytes[..bytes.len().min(self.snaplen)]);
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
        let record = Record {
            time,
            port: port.clone(),
            direction,
            dropped,
            original_len: bytes.len(),
            offload: frame.offload(),
            data,
        };
        if let Err(TrySendError::Full(record) | TrySendError::Disconnected(record)) =
            self.records.try_send(record)
        {
            self.lost.fetch_add(1, Relaxed);
            self.recycle(record);
        }
    }
}

/// All running captures of a switch.
#[derive(Default)]
pub struct CaptureHub {
    active: AtomicBool,
    sessions: ArcSwap<Vec<Arc<Session>>>,
    change: Mutex<()>,
}

impl CaptureHub {
    /// Starts a capture of the first `snaplen` bytes of every frame in `scope` that `filter`
    /// matches. It runs until [`CaptureHub::stop`].
    pub fn start(
        &self,
        scope: Scope,
        filter: Option<Filter>,
        snaplen: usize,
    ) -> (Arc<Session>, Receiver<Record>) {
        let (records, reader) = crossbeam_channel::bounded(RECORDS);
        let pool = ArrayQueue::new(RECORDS);
        for _ in 0..RECORDS {
            let _ = pool.push(Vec::new());
        }
        let session = Arc::new(Session {
            scope,
            filter,
            snaplen,
            pool,
            records,
            seen: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        });
        self.replace(|all| all.push(session.clone()));
        (session, reader)
    }

    /// Ends a capture.
    pub fn stop(&self, session: &Arc<Session>) {
        self.replace(|all| all.retain(|s| !Arc::ptr_eq(s, session)));
    }

    fn replace(&self, change: impl FnOnce(&mut Vec<Arc<Session>>)) {
        let _changing = self.change.lock();
        let mut all = Vec::clone(&self.sessions.load());
        change(&mut all);
        let active = !all.is_empty();
        self.sessions.store(Arc::new(all));
        self.active.store(active, Release);
    }

    pub(super) fn is_active(&self) -> bool {
        self.active.load(Relaxed)
    }

    #[cold]
    pub(super) fn record(
        &self,
        bridge: u64,
        port: &Arc<Port>,
        direction: Direction,
        frame: &Frame,
        dropped: Option<DropReason>,
    ) {
        for session in self.sessions.load().iter() {
            if session.wants(bridge, port, frame) {
                session.take(port, direction, frame, dropped);
            }
        }
    }
}
