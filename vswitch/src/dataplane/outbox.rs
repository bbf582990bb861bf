//! Small frames of one batch that leave together: one system call for many writes.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use packet::Offload;

use super::port::Port;
use super::tap::drop_reason;
use crate::sys::uring::{WRITES, WriteRing};

/// Frames of a batch that leave at once: a batch that is not larger is an exchange, not a stream.
const AT_ONCE: usize = 2;

/// How many workers write through rings.
pub(super) type RingCount = Arc<AtomicUsize>;

struct Entry {
    /// Which of the ports.
    port: usize,
    /// Bytes of the frame.
    len: usize,
    offload: Offload,
}

/// A worker's frames that are on their way out. It holds none between two batches.
pub(super) struct Outbox {
    ring: Option<WriteRing>,
    count: RingCount,
    /// Frames that came in this batch.
    seen: usize,
    entries: Vec<Entry>,
    ports: Vec<Arc<Port>>,
}

impl Outbox {
    /// One that takes frames if there is a ring.
    pub(super) fn new(ring: Option<WriteRing>, count: RingCount) -> Self {
        if ring.is_some() {
            count.fetch_add(1, Relaxed);
        }
        Self { ring, count, seen: 0, entries: Vec::with_capacity(WRITES), ports: Vec::with_capacity(WRITES) }
    }

    /// One more frame of this batch has come in.
    pub(super) fn note_frame(&mut self) {
        self.seen = self.seen.saturating_add(1);
    }

    /// Frames of up to [`LONGEST`](crate::sys::uring::LONGEST) bytes are taken.
    pub(super) fn is_open(&self) -> bool {
        self.seen > AT_ONCE && self.ring.is_some()
    }

    /// Takes a frame that the port has let pass: `len` bytes, with its header `bytes`. False if it must be sent in another way,
    /// after what is here.
    pub(super) fn put(
        &mut self,
        worker: usize,
        to: &Arc<Port>,
        bytes: &[u8],
        len: usize,
        offload: Offload,
    ) -> bool {
        if self.entries.len() == WRITES {
            self.flush(worker);
        }
        let Some(ring) = &mut self.ring else { return false };
        if !ring.put(bytes) {
            return false;
        }
        if !self.ports.last().is_some_and(|last| Arc::ptr_eq(last, to)) {
            self.ports.push(to.clone());
        }
        self.entries.push(Entry { port: self.ports.len() - 1, len, offload });
        true
    }

    /// Sends all of them; each port keeps its books.
    pub(super) fn flush(&mut self, worker: usize) {
        let Some(ring) = self.ring.as_mut().filter(|_| !self.entries.is_empty()) else { return };
        let (entries, ports) = (&self.entries, &self.ports);
        let of = |number: usize| entries.get(number).and_then(|entry| Some((ports.get(entry.port)?, entry)));
        let descriptor = |number: usize| -> Option<BorrowedFd<'_>> {
            let (port, entry) = of(number)?;
            port.descriptor(worker, entry.offload)
        };
        ring.submit(descriptor, |number, result| {
            if let Some((port, entry)) = of(number) {
                port.settle(worker, entry.len, result.map(drop).map_err(drop_reason));
            }
        });
        if !ring.works() {
            tracing::info!(
                "worker {worker}: io_uring does not work with these interfaces, writing one by one"
            );
            self.ring = None;
            self.count.fetch_sub(1, Relaxed);
        }
        self.entries.clear();
        self.ports.clear();
    }

    /// The end of a batch.
    pub(super) fn end_batch(&mut self, worker: usize) {
        self.flush(worker);
        self.seen = 0;
    }
}
