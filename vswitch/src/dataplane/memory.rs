//! A port without a kernel behind it: two queues in memory. For tests, and for parts of the
//! switch that are ports themselves.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use crossbeam_queue::ArrayQueue;
use nix::sys::eventfd::{EfdFlags, EventFd};
use packet::{Frame, Offload};

use super::counters::DropReason;
use super::port::{Receive, Received, Transmit};

struct Stored {
    bytes: Vec<u8>,
    offload: Offload,
    vnet: Option<Vec<u8>>,
}

struct Queue {
    frames: ArrayQueue<Stored>,
    filled: EventFd,
}

impl Queue {
    fn new(depth: usize) -> std::io::Result<Arc<Self>> {
        let filled = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?;
        Ok(Arc::new(Self { frames: ArrayQueue::new(depth.max(1)), filled }))
    }

    fn push(&self, frame: Stored) -> bool {
        let pushed = self.frames.push(frame).is_ok();
        let _ = self.filled.write(1);
        pushed
    }

    fn pop(&self) -> Option<Stored> {
        if let Some(frame) = self.frames.pop() {
            return Some(frame);
        }
        // Clear the event, then look again: a push between the two is not lost.
        let _ = self.filled.read();
        let frame = self.frames.pop();
        if frame.is_some() {
            let _ = self.filled.write(1);
        }
        frame
    }
}

/// The far end: what would be the container.
pub struct MemoryHost {
    to_switch: Arc<Queue>,
    from_switch: Arc<Queue>,
}

/// The switch's way out.
pub struct MemoryTransmit(Arc<Queue>);

/// The switch's way in.
pub struct MemoryReceive(Arc<Queue>);

/// A port in memory whose queues hold `depth` frames each way.
///
/// # Errors
/// When the system has no descriptor left for the events.
pub fn memory_port(depth: usize) -> std::io::Result<(MemoryHost, MemoryTransmit, MemoryReceive)> {
    let (to_switch, from_switch) = (Queue::new(depth)?, Queue::new(depth)?);
    Ok((
        MemoryHost { to_switch: to_switch.clone(), from_switch: from_switch.clone() },
        MemoryTransmit(from_switch),
        MemoryReceive(to_switch),
    ))
}

impl MemoryHost {
    /// Gives a frame to the switch; false when its queue is full.
    pub fn send(&self, bytes: &[u8], offload: Offload) -> bool {
        self.to_switch.push(Stored { bytes: bytes.to_vec(), offload, vnet: None })
    }

    /// Gives the switch bytes as a TAP would: a virtio-net header of any content, then a frame.
    pub fn send_raw(&self, bytes: &[u8]) -> bool {
        self.to_switch.push(Stored { bytes: Vec::new(), offload: Offload::NONE, vnet: Some(bytes.to_vec()) })
    }

    /// The next frame from the switch, if there is one.
    pub fn try_recv(&self) -> Option<(Vec<u8>, Offload)> {
        self.from_switch.pop().map(|f| (f.bytes, f.offload))
    }

    /// The next frame from the switch, waiting up to `timeout_ms`.
    pub fn recv(&self, timeout_ms: u16) -> Option<(Vec<u8>, Offload)> {
        use nix::poll::{PollFd, PollFlags, poll};
        loop {
            if let Some(frame) = self.try_recv() {
                return Some(frame);
            }
            let mut fds = [PollFd::new(self.from_switch.filled.as_fd(), PollFlags::POLLIN)];
            if poll(&mut fds, timeout_ms).unwrap_or(0) == 0 {
                return None;
            }
        }
    }
}

impl Transmit for MemoryTransmit {
    fn send(&self, _worker: usize, frame: &mut Frame, _scratch: &mut Frame) -> Result<(), DropReason> {
        let stored = Stored { bytes: frame.bytes().to_vec(), offload: frame.offload(), vnet: None };
        if self.0.push(stored) { Ok(()) } else { Err(DropReason::QueueFull) }
    }
}

impl Receive for MemoryReceive {
    fn fd(&self) -> BorrowedFd<'_> {
        self.0.filled.as_fd()
    }

    fn recv(&mut self, frame: &mut Frame) -> Received {
        let Some(stored) = self.0.pop() else { return Received::Empty };
        let result = if let Some(raw) = stored.vnet {
            let area = frame.vnet_area();
            let n = raw.len().min(area.len());
            area[..n].copy_from_slice(&raw[..n]);
            frame.commit_vnet(n)
        } else if stored.bytes.len() < packet::frame::MIN_FRAME {
            frame.clear();
            Err(packet::FrameError::Truncated(stored.bytes.len()))
        } else {
            frame.copy_from(&stored.bytes, stored.offload)
        };
        match result {
            Ok(()) => Received::Frame,
            Err(error) => Received::Bad(error),
        }
    }
}
