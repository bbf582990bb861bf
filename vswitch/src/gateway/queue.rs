//! Two bounded queues and one event: what came in for the gateway, and what goes out of it.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering::AcqRel};

use crossbeam_queue::ArrayQueue;
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::pool::Buffer;

/// Frames that wait for their answer.
pub(super) const QUESTIONS: usize = 256;
/// Frames that wait to be sent.
pub(super) const ANSWERS: usize = 512;

/// What the worker takes next.
pub(super) enum Next {
    /// A frame to be sent as it is.
    Send(Buffer),
    /// A frame to be answered.
    Answer(Buffer),
}

pub(super) struct Queue {
    questions: ArrayQueue<Buffer>,
    answers: ArrayQueue<Buffer>,
    event: EventFd,
    /// The event was written since the worker last found the queues empty.
    armed: AtomicBool,
}

impl Queue {
    pub(super) fn new() -> std::io::Result<Self> {
        let event = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?;
        let armed = AtomicBool::new(false);
        Ok(Self { questions: ArrayQueue::new(QUESTIONS), answers: ArrayQueue::new(ANSWERS), event, armed })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }

    /// Has a frame answered; false when the queue is full.
    pub(super) fn ask(&self, frame: Buffer) -> bool {
        let pushed = self.questions.push(frame).is_ok();
        self.arm();
        pushed
    }

    /// Has a frame sent; false when the queue is full.
    pub(super) fn send(&self, frame: Buffer) -> bool {
        let pushed = self.answers.push(frame).is_ok();
        self.arm();
        pushed
    }

    /// What to do next. Only one thread may call this.
    pub(super) fn next(&self) -> Option<Next> {
        if let Some(next) = self.take() {
            return Some(next);
        }
        let _ = self.event.read();
        // Whoever pushed and found the event armed did so before this, so its frame is seen below;
        // whoever pushes from now on writes the event.
        self.armed.swap(false, AcqRel);
        let next = self.take();
        if next.is_some() {
            self.arm();
        }
        next
    }

    fn take(&self) -> Option<Next> {
        self.answers.pop().map(Next::Send).or_else(|| self.questions.pop().map(Next::Answer))
    }

    fn arm(&self) {
        if !self.armed.swap(true, AcqRel) {
            let _ = self.event.write(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nix::poll::{PollFd, PollFlags, poll};

    use super::super::pool::Pool;
    use super::*;

    fn readable(queue: &Queue, timeout_ms: u16) -> bool {
        let mut fds = [PollFd::new(queue.fd(), PollFlags::POLLIN)];
        poll(&mut fds, timeout_ms).unwrap() == 1
    }

    #[test]
    fn the_event_is_readable_exactly_while_there_is_something() {
        let (queue, pool) = (Queue::new().unwrap(), Pool::new(4));
        assert!(!readable(&queue, 0) && queue.next().is_none());
        assert!(queue.ask(pool.copy(&[1])) && queue.send(pool.copy(&[2])));
        assert!(readable(&queue, 0));
        assert!(matches!(queue.next(), Some(Next::Send(frame)) if frame[..] == [2]));
        assert!(readable(&queue, 0));
        assert!(matches!(queue.next(), Some(Next::Answer(frame)) if frame[..] == [1]));
        assert!(queue.next().is_none() && !readable(&queue, 0));
    }

    #[test]
    fn a_full_queue_refuses() {
        let (queue, pool) = (Queue::new().unwrap(), Pool::new(4));
        assert_eq!((0..2 * QUESTIONS).filter(|_| queue.ask(pool.copy(&[0]))).count(), QUESTIONS);
        assert_eq!((0..2 * ANSWERS).filter(|_| queue.send(pool.copy(&[0]))).count(), ANSWERS);
    }

    #[test]
    fn no_frame_is_left_behind_a_silent_event() {
        const FRAMES: usize = 100_000;
        let (queue, pool) = (Arc::new(Queue::new().unwrap()), Pool::new(64));
        let writer = {
            let queue = queue.clone();
            std::thread::spawn(move || {
                let taken = (0..FRAMES).filter(|_| queue.ask(pool.copy(&[0]))).count();
                while !queue.ask(pool.copy(&[1])) {
                    std::thread::yield_now();
                }
                taken
            })
        };
        let mut taken = 0;
        loop {
            assert!(readable(&queue, 10_000), "the event is silent after {taken} frames");
            match queue.next() {
                Some(Next::Answer(frame)) if frame[..] == [1] => break,
                Some(_) => taken += 1,
                None => {}
            }
        }
        assert_eq!(taken, writer.join().unwrap());
    }
}
