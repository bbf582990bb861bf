//! Datagrams that wait for the end of a worker's batch, those that go the same way side by side
//! so that one `UDP_SEGMENT` message takes them.

use std::sync::Arc;

use packet::{Checksum, Frame, Segmenter, checksum::complete_at, frame::MIN_FRAME};

use crate::{
    drop_reason::SendError,
    header::{HEADER_LEN, Vni},
    path::Path,
};

/// Bytes there is room for.
const ARENA: usize = 256 << 10;
/// Bytes from which on a full message does not wait for the end: while they are in the processor's
/// cache the kernel copies them at little cost.
const ENOUGH: usize = 60 << 10;
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
    /// One message can take a datagram of `bytes` more, which lies right behind it.
    fn takes(&self, bytes: usize) -> bool {
        self.to - self.from == usize::from(self.segment) * usize::from(self.count)
            && bytes <= usize::from(self.segment)
            && self.count < MAX_SEGMENTS
            && self.to - self.from + bytes <= MAX_BYTES
    }

    /// The run with one more datagram, which lies right behind it, if one message can take both.
    fn join(&self, next: Run) -> Option<Run> {
        let fits = self.to == next.from && self.takes(next.to - next.from);
        fits.then(|| Run { to: next.to, count: self.count + 1, ..*self })
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

impl Targets<'_> {
    fn socket(&self, path: &Path) -> Option<u8> {
        self.sockets[usize::from(!path.vtep().is_ipv4())]
    }
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
        let mut pending = self.reopen(targets);
        let mut result = Ok(());
        if let Some(gso) = frame.offload().gso {
            match Segmenter::new(frame.bytes(), gso) {
                Ok(mut segments) => {
                    while result.is_ok() && segments.remaining() > 0 {
                        let len = segments.next_len();
                        let fill = |inner: &mut [u8]| segments.next_into(inner).is_ok();
                        result = self.datagram(vni, len, &mut pending, targets, &mut flush, fill);
                    }
                }
                Err(_) => result = Err(SendError::Malformed),
            }
        } else {
            let fill = |inner: &mut [u8]| {
                inner.copy_from_slice(frame.bytes());
                let Checksum::Partial { start, offset } = frame.offload().checksum else { return true };
                complete_at(inner, start, offset).is_ok()
            };
            result = self.datagram(vni, frame.len(), &mut pending, targets, &mut flush, fill);
        }
        if let Some(run) = pending {
            self.post(run, targets, &mut flush);
        }
        result
    }

    /// Takes the last message out again if datagrams for the same target may join it, so that those
    /// of several frames fill it.
    fn reopen(&mut self, targets: &Targets<'_>) -> Option<Run> {
        let [path] = targets.paths else { return None };
        let reopened = self.messages.pop_if(|last| {
            Arc::ptr_eq(&last.path, path)
                && targets.socket(path) == Some(last.socket)
                && targets.longest <= path.room()
        })?;
        let Message { from, to, segment, count, .. } = reopened;
        Some(Run { from, to, segment, count })
    }

    /// Writes a datagram with an inner frame of `len` bytes, which `fill` makes, and joins it to
    /// `pending`, or posts that.
    fn datagram(
        &mut self,
        vni: Vni,
        len: usize,
        pending: &mut Option<Run>,
        targets: &Targets<'_>,
        flush: &mut impl FnMut(&mut Self),
        fill: impl FnOnce(&mut [u8]) -> bool,
    ) -> Result<(), SendError> {
        let needed = HEADER_LEN + len;
        let full = pending.is_some_and(|run| !run.takes(needed));
        if self.lacks_room(needed) || full && self.used >= ENOUGH {
            if let Some(run) = pending.take() {
                self.post(run, targets, flush);
            }
            flush(self);
            self.clear();
        }
        let from = self.used;
        let out = self.arena.get_mut(from..from + needed).ok_or(SendError::Malformed)?;
        let (header, inner) = out.split_at_mut_checked(HEADER_LEN).ok_or(SendError::Malformed)?;
        header.copy_from_slice(&vni.to_header());
        if !fill(inner) {
            return Err(SendError::Malformed);
        }
        let segment = u16::try_from(needed).map_err(|_| SendError::Malformed)?;
        self.used = from + needed;
        let run = Run { from, to: self.used, segment, count: 1 };
        *pending = match pending.take() {
            None => Some(run),
            Some(before) => before.join(run).or_else(|| {
                self.post(before, targets, flush);
                Some(run)
            }),
        };
        Ok(())
    }

    fn lacks_room(&self, bytes: usize) -> bool {
        self.used + bytes > self.arena.len()
    }

    /// Notes `run` for each target.
    fn post(&mut self, run: Run, targets: &Targets<'_>, flush: &mut impl FnMut(&mut Self)) {
        for path in targets.paths {
            let Some(socket) = targets.socket(path) else {
                path.drops().add(SendError::NoSocket, run.count.into());
                continue;
            };
            if targets.longest > path.room() {
                path.drops().add(SendError::TooBig, run.count.into());
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
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
