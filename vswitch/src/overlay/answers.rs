//! What the VXLAN port itself has to say to the containers: answers to ARP and neighbour discovery,
//! and that a packet was too big. They enter the bridge as frames of the port.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use crossbeam_queue::ArrayQueue;
use nix::sys::eventfd::{EfdFlags, EventFd};
use packet::{Frame, Offload};

use crate::dataplane::{Receive, Received};

/// Answers that wait for a worker. Whoever asks for more at once is not answered.
const DEPTH: usize = 256;

/// Where answers are put.
pub(super) struct Answers {
    queue: ArrayQueue<Vec<u8>>,
    /// Buffers of answers that were taken.
    spare: ArrayQueue<Vec<u8>>,
    filled: EventFd,
}

/// Where a worker takes them.
pub(super) struct AnswerQueue(Arc<Answers>);

impl Answers {
    pub(super) fn new() -> std::io::Result<(Arc<Self>, AnswerQueue)> {
        let filled = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?;
        let answers = Arc::new(Self { queue: ArrayQueue::new(DEPTH), spare: ArrayQueue::new(DEPTH), filled });
        Ok((answers.clone(), AnswerQueue(answers)))
    }

    /// Takes a copy of `frame`; `false` if there are too many already.
    pub(super) fn push(&self, frame: &Frame) -> bool {
        let mut bytes = self.spare.pop().unwrap_or_default();
        bytes.clear();
        bytes.extend_from_slice(frame.bytes());
        let pushed = self.queue.push(bytes).is_ok();
        let _ = self.filled.write(1);
        pushed
    }
}

impl Receive for AnswerQueue {
    fn fd(&self) -> BorrowedFd<'_> {
        self.0.filled.as_fd()
    }

    fn recv(&mut self, frame: &mut Frame) -> Received {
        let bytes = self.0.queue.pop().or_else(|| {
            // Clear the event, then look again: a push between the two is not lost.
            let _ = self.0.filled.read();
            let bytes = self.0.queue.pop();
            if bytes.is_some() {
                let _ = self.0.filled.write(1);
            }
            bytes
        });
        let Some(bytes) = bytes else { return Received::Empty };
        let result = frame.copy_from(&bytes, Offload::NONE);
        let _ = self.0.spare.push(bytes);
        result.map_or_else(Received::Bad, |()| Received::Frame)
    }
}
