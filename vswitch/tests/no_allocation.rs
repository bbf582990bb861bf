//! Nothing is allocated for a forwarded frame.
#![allow(clippy::unwrap_used)]

use std::alloc::System;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use nix::sys::eventfd::{EfdFlags, EventFd};
use packet::{Checksum, Frame, Gso, GsoKind, Offload};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use vswitch::dataplane::{
    BridgeConfig, DropReason, PortConfig, Receive, Received, Switch, SwitchConfig, Transmit,
};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Calls so far that took memory from the system.
fn allocations() -> u64 {
    let stats = ALLOCATOR.stats();
    (stats.allocations + stats.reallocations) as u64
}

const WARM_UP: u64 = 1_000;
const FRAMES: u64 = 100_000;

/// A queue that always has one more of the same few frames, until all were taken.
struct Source {
    ready: EventFd,
    frames: Vec<(Vec<u8>, Offload)>,
    left: u64,
    /// Allocations when the warm-up was over.
    after_warm_up: Arc<AtomicU64>,
}

impl Receive for Source {
    fn fd(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }

    fn recv(&mut self, frame: &mut Frame) -> Received {
        if self.left == FRAMES {
            self.after_warm_up.store(allocations(), SeqCst);
        }
        if self.left == 0 {
            let _ = self.ready.read();
            return Received::Empty;
        }
        self.left -= 1;
        let (bytes, offload) = &self.frames[self.left as usize % self.frames.len()];
        frame.copy_from(bytes, *offload).map_or_else(Received::Bad, |()| Received::Frame)
    }
}

/// A queue that never has anything.
struct Silent(EventFd);

impl Receive for Silent {
    fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    fn recv(&mut self, _: &mut Frame) -> Received {
        Received::Empty
    }
}

/// Takes everything by a descriptor, as a TAP does.
struct Wire(File);

impl Transmit for Wire {
    fn send(&self, _: usize, frame: &mut Frame, _: &mut Frame) -> Result<(), DropReason> {
        let bytes = frame.with_vnet().ok_or(DropReason::Malformed)?;
        nix::unistd::write(&self.0, bytes).map(drop).map_err(|_| DropReason::Refused)
    }

    fn descriptor(&self, _: usize, _: Offload) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }
}

/// Takes everything; after the last frame it says what was allocated meanwhile. `cut` has super-frames segmented, as a
/// plain TAP does.
struct Sink {
    taken: AtomicU64,
    cut: bool,
    last: u64,
    done: crossbeam_channel::Sender<u64>,
}

impl Transmit for Sink {
    fn send(&self, _: usize, frame: &mut Frame, scratch: &mut Frame) -> Result<(), DropReason> {
        if self.cut {
            packet::segment::segment(frame, scratch, |_| {}).map_err(|_| DropReason::Malformed)?;
        }
        if self.taken.fetch_add(1, SeqCst) + 1 == self.last {
            let _ = self.done.try_send(allocations());
        }
        Ok(())
    }
}

fn eventfd(value: u32) -> EventFd {
    EventFd::from_value_and_flags(value, EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC).unwrap()
}

/// A TCP frame of `payload` bytes from station 1 to station `to` (0: broadcast).
fn tcp(to: u8, payload: usize, offload: Offload) -> (Vec<u8>, Offload) {
    let total = 40 + payload;
    let mut frame = vec![0u8; 14 + total];
    frame[..6].copy_from_slice(&if to == 0 { [0xff; 6] } else { [2, 0, 0, 0, 0, to] });
    frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
    frame[12..14].copy_from_slice(&[8, 0]);
    frame[14] = 0x45;
    frame[16..18].copy_from_slice(&(total as u16).to_be_bytes());
    frame[22..24].copy_from_slice(&[64, 6]);
    frame[46] = 5 << 4;
    (frame, offload)
}

#[test]
fn a_forwarded_frame_costs_no_allocation() {
    let tso = Offload {
        checksum: Checksum::Partial { start: 34, offset: 16 },
        gso: Some(Gso { kind: GsoKind::Tcp4, ecn: false, size: 1460, hdr_len: 54 }),
    };
    let frames = vec![
        tcp(2, 1000, Offload::NONE),
        tcp(2, 60_000, tso),
        tcp(3, 0, Offload::NONE),
        tcp(0, 50, Offload::NONE),
    ];
    let after_warm_up = Arc::new(AtomicU64::new(0));
    let switch = Switch::new(&SwitchConfig::default(), &(Arc::new(|_| {}) as _)).unwrap();
    let bridge = switch.add_bridge(&BridgeConfig::default());
    let config =
        |owner: &str| PortConfig { owner: owner.into(), interface: "eth0".into(), mtu: 1500, trusted: false };
    let (done, end) = crossbeam_channel::bounded(1);
    // The first wait for a channel takes memory, which would be counted where this thread comes to it late.
    assert!(end.recv_timeout(Duration::from_millis(1)).is_err());

    // Every frame reaches the first sink or both: those for 2, unknown, are flooded.
    for cut in [false, true] {
        let sink = Sink { taken: AtomicU64::new(0), cut, last: WARM_UP + FRAMES, done: done.clone() };
        let silent: Box<dyn Receive> = Box::new(Silent(eventfd(0)));
        switch.add_port(&bridge, config("sink"), Box::new(sink), vec![silent]).unwrap();
    }
    let null = File::options().write(true).open("/dev/null").unwrap();
    let silent: Box<dyn Receive> = Box::new(Silent(eventfd(0)));
    let wire = switch.add_port(&bridge, config("wire"), Box::new(Wire(null)), vec![silent]).unwrap();
    let io_uring = switch.io_uring();
    let nowhere = Sink { taken: AtomicU64::new(0), cut: false, last: 0, done };
    let source =
        Source { ready: eventfd(1), frames, left: WARM_UP + FRAMES, after_warm_up: after_warm_up.clone() };
    let queue: Box<dyn Receive> = Box::new(source);
    switch.add_port(&bridge, config("source"), Box::new(nowhere), vec![queue]).unwrap();

    let allocations = end.recv().unwrap() - after_warm_up.load(SeqCst);
    assert_eq!(allocations, 0, "allocations while {FRAMES} frames were forwarded");
    // Where there are rings the frames went through them to the end.
    assert_eq!(switch.io_uring(), io_uring);
    let written = wire.counters().snapshot().tx_frames;
    assert!(written >= FRAMES, "{written} frames were written");
    let ports = bridge.ports();
    let sent: u64 = ports.iter().map(|p| p.counters().snapshot().tx_frames).sum();
    assert!(sent >= WARM_UP + FRAMES, "{sent} frames came through");
}
