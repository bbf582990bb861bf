//! Many writes in one system call (io_uring(7)).
//!
//! Nothing is in flight between two calls: when [`WriteRing::submit`] returns all writes are done, and the kernel looks
//! at no buffer and no descriptor any more. So a port may go, a descriptor be closed, a worker end at any time.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd};

use io_uring::{IoUring, Probe, opcode, types};
use nix::errno::Errno;
use nix::unistd::write;

/// Writes in one batch at most.
pub const WRITES: usize = 32;

/// Bytes of the longest message that a batch takes.
pub const LONGEST: usize = 2048;

/// Fewer are written one by one: a ring costs more than it saves then.
const FEW: usize = 4;

/// Times a kernel without memory is asked again.
const RETRIES: usize = 8;

/// Messages begin on a cache line each.
const ALIGN: usize = 64;

/// Why there is no ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RingError {
    /// `io_uring_setup(2)` was refused: by the kernel (ENOSYS), by `kernel.io_uring_disabled` or a filter of system
    /// calls (EPERM, EACCES, ENOSYS), or for want of locked memory on kernels before 5.12 (ENOMEM).
    #[error("the kernel refuses io_uring ({0})")]
    Refused(Errno),
    /// The kernel is older than 5.6.
    #[error("the kernel's io_uring has no plain writes")]
    NoWrite,
}

/// A batch of messages, and the ring that writes them.
pub struct WriteRing {
    /// `None` once the kernel has shown that it does not work for these descriptors.
    ring: Option<IoUring>,
    bytes: Box<[u8]>,
    /// Where the messages lie.
    messages: Vec<(usize, usize)>,
    /// The kernel may look at `bytes` for ever.
    leak: bool,
}

impl WriteRing {
    /// Makes a ring, if the kernel lets this process have one.
    ///
    /// # Errors
    /// [`RingError`].
    pub fn new() -> Result<Self, RingError> {
        let refused =
            |e: std::io::Error| RingError::Refused(Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO)));
        let ring = IoUring::new(const { WRITES as u32 }).map_err(refused)?;
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe).map_err(|_| RingError::NoWrite)?;
        if !probe.is_supported(opcode::Write::CODE) {
            return Err(RingError::NoWrite);
        }
        Ok(Self { ring: Some(ring), ..Self::without() })
    }

    /// A batch that is written message by message.
    fn without() -> Self {
        Self {
            ring: None,
            bytes: vec![0; WRITES * LONGEST].into_boxed_slice(),
            messages: Vec::with_capacity(WRITES),
            leak: false,
        }
    }

    /// The ring is of use; when not, [`WriteRing::submit`] still writes what was put in.
    pub fn works(&self) -> bool {
        self.ring.is_some()
    }

    /// Messages put in since the last [`WriteRing::submit`].
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Copies a message into the batch. False, and nothing is changed, if it is longer than [`LONGEST`] or the batch is
    /// full.
    pub fn put(&mut self, message: &[u8]) -> bool {
        if message.len() > LONGEST || self.messages.len() >= WRITES {
            return false;
        }
        let start = self.messages.last().map_or(0, |(_, end)| end.next_multiple_of(ALIGN));
        let end = start + message.len();
        let Some(room) = self.bytes.get_mut(start..end) else { return false };
        room.copy_from_slice(message);
        self.messages.push((start, end));
        true
    }

    /// Writes every message to the descriptor that `fd_of` has for its number, in order, as `write(2)` to a non-blocking
    /// descriptor would: nothing waits. Says of each how that ended. Afterwards the batch is empty.
    pub fn submit<'fd>(
        &mut self,
        fd_of: impl Fn(usize) -> Option<BorrowedFd<'fd>>,
        mut done: impl FnMut(usize, Result<usize, Errno>),
    ) {
        let mut results = [None; WRITES];
        if self.messages.len() >= FEW {
            self.enter(&fd_of, &mut results);
        }
        for (number, (start, end)) in self.messages.drain(..).enumerate() {
            let result = match results.get(number).copied().flatten() {
                Some(result) => result,
                None => fd_of(number)
                    .ok_or(Errno::EBADF)
                    .and_then(|fd| write(fd, self.bytes.get(start..end).unwrap_or_default())),
            };
            done(number, result);
        }
        if std::mem::take(&mut self.leak) {
            // It is empty from here on, so that nothing is put in any more.
            std::mem::forget(std::mem::take(&mut self.bytes));
        }
    }

    /// Writes through the ring; leaves `None` where that was not done.
    fn enter<'fd>(
        &mut self,
        fd_of: &impl Fn(usize) -> Option<BorrowedFd<'fd>>,
        results: &mut [Option<Result<usize, Errno>>; WRITES],
    ) {
        let Some(ring) = &mut self.ring else { return };
        for (number, &(start, end)) in self.messages.iter().enumerate() {
            let (Some(message), Some(fd)) = (self.bytes.get(start..end), fd_of(number)) else { break };
            let entry = opcode::Write::new(types::Fd(fd.as_raw_fd()), message.as_ptr(), message.len() as u32)
                // Else one that would have to wait would be carried out after this call.
                .rw_flags(libc::RWF_NOWAIT)
                .build()
                .user_data(number as u64);
            // SAFETY: the message lies in `bytes`, which is neither changed nor freed before the kernel has completed
            // the entry: below, all completions are awaited, and where that fails `bytes` is leaked.
            if unsafe { ring.submission().push(&entry) }.is_err() {
                break;
            }
        }
        let wanted = ring.submission().len();
        let (mut completed, mut tries, mut supported) = (0, 0, true);
        while completed < wanted {
            let entered = ring.submit_and_wait(wanted - completed);
            let before = completed;
            for entry in ring.completion() {
                completed += 1;
                let code = entry.result();
                let result = usize::try_from(code).map_err(|_| Errno::from_raw(code.saturating_neg()));
                if let Some(slot) = results.get_mut(entry.user_data() as usize) {
                    // The descriptor's driver knows no RWF_NOWAIT, as TAPs before Linux 6.4. Nothing was written.
                    if result == Err(Errno::EOPNOTSUPP) {
                        supported = false;
                    } else {
                        *slot = Some(result);
                    }
                }
            }
            let again = match entered {
                Ok(_) => true,
                Err(error) => matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY)),
            };
            if completed == before {
                tries += 1;
            }
            if !again || tries > RETRIES {
                break;
            }
        }
        if completed < wanted {
            // What the kernel has taken may still be carried out, now or never.
            let taken = wanted.saturating_sub(ring.submission().len());
            for result in results.iter_mut().take(taken).filter(|result| result.is_none()) {
                *result = Some(Err(Errno::ECANCELED));
            }
            self.leak = true;
        }
        if completed < wanted || !supported {
            self.ring = None;
        }
    }
}

#[cfg(test)]
#[path = "uring_tests.rs"]
mod tests;
