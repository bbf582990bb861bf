//! TAP ports: the kernel's end of a container's interface.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::unistd::{read, write};
use packet::segment::segment;
use packet::{Frame, FrameError, Offload};

use super::counters::DropReason;
use super::port::{Receive, Received, Transmit};
use crate::sys::tun::{self, TapOffloads};

/// An attached TAP: its queues' descriptors and what the kernel behind them takes.
struct Tap {
    queues: Vec<OwnedFd>,
    offloads: Option<TapOffloads>,
}

impl Tap {
    /// The queue that a worker writes to.
    fn queue(&self, worker: usize) -> Option<&OwnedFd> {
        self.queues.get(worker.checked_rem(self.queues.len())?)
    }
}

/// The way out of a TAP port.
pub struct TapTransmit(Arc<Tap>);

/// The way in, one a queue.
pub struct TapReceive {
    tap: Arc<Tap>,
    queue: usize,
}

/// Both ways of a TAP that someone opened: `queues` as they came from
/// [`create_tap`](tun::create_tap), `offloads` what it was granted.
///
/// # Errors
/// EINVAL without a queue; what the kernel says when a descriptor cannot be made non-blocking.
pub fn tap_port(
    queues: Vec<OwnedFd>,
    offloads: Option<TapOffloads>,
) -> Result<(TapTransmit, Vec<TapReceive>), Errno> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    if queues.is_empty() {
        return Err(Errno::EINVAL);
    }
    for fd in &queues {
        let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
        fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    }
    let count = queues.len();
    let tap = Arc::new(Tap { queues, offloads });
    let receivers = (0..count).map(|queue| TapReceive { tap: tap.clone(), queue }).collect();
    Ok((TapTransmit(tap), receivers))
}

/// Why a write was refused.
pub(super) fn drop_reason(errno: Errno) -> DropReason {
    match errno {
        Errno::EAGAIN | Errno::ENOBUFS | Errno::ENOMEM => DropReason::QueueFull,
        Errno::EIO => DropReason::LinkDown,
        Errno::EBADFD | Errno::EBADF => DropReason::Gone,
        _ => DropReason::Refused,
    }
}

impl Transmit for TapTransmit {
    fn send(&self, worker: usize, frame: &mut Frame, scratch: &mut Frame) -> Result<(), DropReason> {
        let Some(queue) = self.0.queue(worker) else { return Err(DropReason::Gone) };
        match self.0.offloads {
            Some(offloads) if offloads.accept(frame.offload()) => {
                let bytes = frame.with_vnet().ok_or(DropReason::Malformed)?;
                write(queue, bytes).map(drop).map_err(drop_reason)
            }
            offloads => finish(frame, scratch, |wire| {
                let bytes = if offloads.is_some() { wire.with_vnet() } else { Some(wire.bytes()) };
                write(queue, bytes.ok_or(DropReason::Malformed)?).map(drop).map_err(drop_reason)
            }),
        }
    }

    fn descriptor(&self, worker: usize, offload: Offload) -> Option<BorrowedFd<'_>> {
        self.0.offloads.filter(|offloads| offloads.accept(offload))?;
        self.0.queue(worker).map(AsFd::as_fd)
    }

    fn interface(&self) -> Option<String> {
        self.0.queues.first().and_then(|fd| tun::interface_name(fd.as_fd()).ok())
    }
}

/// Does in software what the other side cannot: checksums, and cutting a super-frame.
fn finish(
    frame: &Frame,
    scratch: &mut Frame,
    mut send: impl FnMut(&mut Frame) -> Result<(), DropReason>,
) -> Result<(), DropReason> {
    let mut result = Ok(());
    segment(frame, scratch, |wire| {
        // The first refusal speaks for the rest: they would meet the same.
        if result.is_ok() {
            result = send(wire);
        }
    })
    .map_err(|_| DropReason::Malformed)?;
    result
}

impl Receive for TapReceive {
    fn fd(&self) -> BorrowedFd<'_> {
        self.tap.queues[self.queue].as_fd()
    }

    fn recv(&mut self, frame: &mut Frame) -> Received {
        let vnet = self.tap.offloads.is_some();
        let area = if vnet { frame.vnet_area() } else { frame.plain_area() };
        match read(self.fd(), area) {
            Ok(n) => {
                let accepted = if vnet { frame.commit_vnet(n) } else { frame.commit_plain(n) };
                accepted.map_or_else(Received::Bad, |()| Received::Frame)
            }
            // The device was unregistered with its namespace (EBADFD), or is just being (EFAULT).
            Err(Errno::EBADFD | Errno::EFAULT | Errno::EBADF) => Received::Gone,
            Err(Errno::ENOMEM | Errno::ENOBUFS) => Received::Bad(FrameError::Oversized(0)),
            // EAGAIN and EINTR, and EIO while the interface is down.
            Err(_) => Received::Empty,
        }
    }
}
