//! Buffers that are used again: no frame costs an allocation once as many were under way at once.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crossbeam_queue::ArrayQueue;

/// Bytes a buffer has from its first use on: a frame of the usual MTU.
const USUAL: usize = 2048;

/// Where buffers wait. Makes as many as are needed at once, no more.
pub(super) struct Pool {
    free: ArrayQueue<Vec<u8>>,
}

impl Pool {
    /// A pool that keeps up to `keep` buffers of usual size.
    pub(super) fn new(keep: usize) -> Arc<Self> {
        Arc::new(Self { free: ArrayQueue::new(keep.max(1)) })
    }

    /// An empty buffer.
    pub(super) fn take(self: &Arc<Self>) -> Buffer {
        Buffer { bytes: self.free.pop().unwrap_or_default(), pool: self.clone() }
    }

    /// A buffer with a copy of `bytes`.
    pub(super) fn copy(self: &Arc<Self>, bytes: &[u8]) -> Buffer {
        let mut buffer = self.take();
        buffer.reserve(bytes.len());
        buffer.bytes.extend_from_slice(bytes);
        buffer
    }

    /// A buffer of `len` zeroes.
    pub(super) fn zeroed(self: &Arc<Self>, len: usize) -> Buffer {
        let mut buffer = self.take();
        buffer.reserve(len);
        buffer.bytes.resize(len, 0);
        buffer
    }
}

/// Bytes that go back to their pool.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    pool: Arc<Pool>,
}

impl Buffer {
    fn reserve(&mut self, len: usize) {
        if self.bytes.capacity() < len.max(USUAL) {
            self.bytes.reserve_exact(len.max(USUAL));
        }
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // What a giant frame needed is not kept: a few of them would hold megabytes for ever.
        if (1..=USUAL).contains(&self.bytes.capacity()) {
            let mut bytes = std::mem::take(&mut self.bytes);
            bytes.clear();
            let _ = self.pool.free.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_and_a_giant_one_is_not() {
        let pool = Pool::new(4);
        drop(pool.copy(&[1; 60]));
        assert_eq!(pool.free.len(), 1);
        let again = pool.copy(&[2; 1500]);
        assert_eq!((pool.free.len(), again.bytes.capacity(), &again[..]), (0, USUAL, &[2; 1500][..]));
        drop(again);
        let mut giant = pool.copy(&vec![3; 60_000]);
        assert_eq!(giant.len(), 60_000);
        giant.truncate(1);
        drop(giant);
        assert_eq!(pool.free.len(), 0);
        assert_eq!(pool.zeroed(3)[..], [0; 3]);
    }
}
