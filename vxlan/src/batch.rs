//! Datagrams that wait for the end of a worker's batch, those that go the same way side by side
//! so that one `UDP_SEGMENT` message takes them.

use std::sync::Arc;

use packet::{Checksum, Frame, Segmenter, checksum::complete_at, frame::MIN_FRAME};

use crate::{
    drop_reason::SendError,
    header::{HEADER_LEN, Vni},
    path::Path,
};

/// Bytes held before they are sent without waiting for the end: some super-frames, few enough
/// to stay in the processor's cache.
const ARENA: usize = 256 << 10;
/// Messages held. Replication to many peers fills this first.
const MESSAGES: usize = 512;
/// Datagrams of one message: what every kernel with `UDP_SEGMENT` takes (`UDP_MAX_SEGMENTS`).
const MAX_SEGMENTS: u16 = 64;
/// Bytes of one message: the longest UDP payload over IPv4.
const MAX_BYTES: usize = 65_507;

/// One or more datagrams for one peer.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) path: Arc<Path>,
    /// Which sending socket.
    pub(crate) socket: u8,
    from: usize,
    to: usize,
    /// Bytes of every datagram but the last.
    pub(crate) segment: u16,
    pub(crate) count: u16,
}

/// Datagrams of one frame, side by side.
#[derive(Clone, Copy, Debug)]
struct Run {
    from: usize,
    to: usize,
    segment: u16,
    count: u16,
}

impl Run {
    /// The run with `next`, which lies right behind it, if one message can take both.
    fn join(&self, next: Run) -> Option<Run> {
        let full = self.to - self.from == usize::from(self.segment) * usize::from(self.count);
        let fits = self.to == next.from
            && full
            && next.segment <= self.segment
            && (next.count == 1 || next.segment == self.segment)
            && self.count + next.count <= MAX_SEGMENTS
            && next.to - self.from <= MAX_BYTES;
        fits.then(|| Run { to: next.to, count: self.count + next.count, ..*self })
    }
}

/// What one worker has to send.
#[derive(Debug)]
pub(crate) struct Batch {
    arena: Box<[u8]>,
    used: usize,
    messages: Vec<Message>,
    /// Which sockets occur, a bit each.
    sockets: u64,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            arena: vec![0; ARENA].into_boxed_slice(),
            used: 0,
            messages: Vec::with_capacity(MESSAGES),
            sockets: 0,
        }
    }
}

/// Where the datagrams of a frame go.
pub(crate) struct Targets<'a> {
    /// Each gets a copy.
    pub(crate) paths: &'a [Arc<Path>],
    /// The socket for each IP version, v4 first; `None` where there is none.
    pub(crate) sockets: [Option<u8>; 2],
    /// Bytes of the longest inner frame.
    pub(crate) longest: usize,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The sockets that have something to send, a bit each.
    pub(crate) fn sockets(&self) -> u64 {
        self.sockets
    }

    /// What is to be sent by `socket`, in order.
    pub(crate) fn of_socket(&self, socket: u8) -> impl Iterator<Item = &Message> {
        self.messages.iter().filter(move |message| message.socket == socket)
    }

    /// The payload of a message's datagrams.
    pub(crate) fn bytes(&self, message: &Message) -> &[u8] {
        self.arena.get(message.from..message.to).unwrap_or_default()
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.used = 0;
        self.messages.clear();
        self.sockets = 0;
    }

    /// Adds `frame`, cut and with complete checksums, for every target whose path has room for it.
    /// `flush` empties the batch when it is full.
    ///
    /// # Errors
    /// [`SendError::Malformed`]. Nothing was added then, or of a super-frame the segments before
    /// one that could not be made, which does not happen once its headers have been read.
    pub(crate) fn add(
        &mut self,
        vni: Vni,
        frame: &Frame,
        targets: &Targets<'_>,
        mut flush: impl FnMut(&mut Self),
    ) -> Result<(), SendError> {
        if frame.len() < MIN_FRAME {
            return Err(SendError::Malformed);
        }
        let header = vni.to_header();
        let Some(gso) = frame.offload().gso else {
            let needed = HEADER_LEN + frame.len();
            self.make_room(needed, &mut flush);
            let run = self.write(needed, |out| {
                let (front, inner) = out.split_at_mut_checked(HEADER_LEN)?;
                front.copy_from_slice(&header);
                inner.copy_from_slice(frame.bytes());
                if let Checksum::Partial { start, offset } = frame.offload().checksum {
                    complete_at(inner, start, offset).ok()?;
                }
                Some(needed)
            });
            self.post(run.ok_or(SendError::Malformed)?, targets, &mut flush);
            return Ok(());
        };
        let mut segments = Segmenter::new(frame.bytes(), gso).map_err(|_| SendError::Malformed)?;
        let mut pending: Option<Run> = None;
        while segments.remaining() > 0 {
            let needed = HEADER_LEN + segments.next_len();
            if self.lacks_room(needed) {
                if let Some(run) = pending.take() {
                    self.post(run, targets, &mut flush);
                }
                self.make_room(needed, &mut flush);
            }
            let run = self.write(needed, |out| {
                let (front, inner) = out.split_at_mut_checked(HEADER_LEN)?;
                front.copy_from_slice(&header);
                segments.next_into(inner).ok().flatten().map(|len| HEADER_LEN + len)
            });
            let run = run.ok_or(SendError::Malformed)?;
            pending = match pending {
                None => Some(run),
                Some(before) => before.join(run).or_else(|| {
                    self.post(before, targets, &mut flush);
                    Some(run)
                }),
            };
        }
        if let Some(run) = pending {
            self.post(run, targets, &mut flush);
        }
        Ok(())
    }

    fn lacks_room(&self, bytes: usize) -> bool {
        self.used + bytes > self.arena.len()
    }

    fn make_room(&mut self, bytes: usize, flush: &mut impl FnMut(&mut Self)) {
        if self.lacks_room(bytes) {
            flush(self);
            self.clear();
        }
    }

    /// One datagram of up to `room` bytes; `fill` says how many it took.
    fn write(&mut self, room: usize, fill: impl FnOnce(&mut [u8]) -> Option<usize>) -> Option<Run> {
        let from = self.used;
        let len = fill(self.arena.get_mut(from..from + room)?)?;
        self.used = from + len;
        Some(Run { from, to: self.used, segment: u16::try_from(len).ok()?, count: 1 })
    }

    /// Notes `run` for each target.
    fn post(&mut self, run: Run, targets: &Targets<'_>, flush: &mut impl FnMut(&mut Self)) {
        for path in targets.paths {
            let Some(socket) = targets.sockets[usize::from(!path.vtep().is_ipv4())] else {
                path.drops().add(SendError::NoSocket, run.count.into());
                continue;
            };
            if targets.longest > path.room() {
                path.drops().add(SendError::TooBig, run.count.into());
                continue;
            }
            if let [only] = targets.paths
                && self.extend_last(only, socket, run)
            {
                continue;
            }
            if self.messages.len() >= MESSAGES {
                // The bytes stay where they are: what is posted next may be these again.
                flush(self);
                self.messages.clear();
                self.sockets = 0;
            }
            let Run { from, to, segment, count } = run;
            self.messages.push(Message { path: path.clone(), socket, from, to, segment, count });
            self.sockets |= 1 << socket;
        }
    }

    /// Frames of one size for one peer, and whatever is shorter at their end, go as one message.
    fn extend_last(&mut self, path: &Arc<Path>, socket: u8, run: Run) -> bool {
        let Some(last) = self.messages.last_mut() else { return false };
        if last.socket != socket || !Arc::ptr_eq(&last.path, path) {
            return false;
        }
        let before = Run { from: last.from, to: last.to, segment: last.segment, count: last.count };
        let Some(Run { to, count, .. }) = before.join(run) else { return false };
        last.to = to;
        last.count = count;
        true
    }
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
