//! The way out of a bridge to other hosts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use packet::wire::EthernetFrame;
use packet::{Frame, MacAddr};
use vxlan::{Network, SendError, Sender, neighbour, too_big};

use super::answers::Answers;
use crate::dataplane::{DropReason, Switch, Transmit, Uplink};

/// A network's VXLAN port.
pub(super) struct VxlanTransmit {
    sender: Arc<Sender>,
    network: Arc<Network>,
    answers: Arc<Answers>,
    /// The router's Ethernet address as a number; 0, which is nobody's, where there is none.
    router: Arc<AtomicU64>,
}

impl VxlanTransmit {
    pub(super) fn new(
        sender: Arc<Sender>,
        network: Arc<Network>,
        answers: Arc<Answers>,
        router: Arc<AtomicU64>,
    ) -> Self {
        Self { sender, network, answers, router }
    }

    /// The second, where it matters: pushed stations do not age.
    fn now(&self) -> u32 {
        if self.network.learning() { Switch::now() } else { 0 }
    }

    fn answer(&self, answer: &Frame) -> DropReason {
        if self.answers.push(answer) { DropReason::Answered } else { DropReason::QueueFull }
    }

    /// Tells the frame's sender how big its packets may be. Of a routed one the router tells it, in the
    /// sender's own segment.
    #[cold]
    fn tell_too_big(&self, frame: &Frame, room: usize, scratch: &mut Frame) {
        let source = EthernetFrame::new_checked(frame.bytes()).map(|ethernet| ethernet.source());
        if source.is_ok_and(|source| self.router.load(Relaxed) == source.to_u64()) {
            return;
        }
        let link = packet::wire::parse(frame.bytes()).map_or(0, |headers| headers.l3);
        let mtu = u32::try_from(room.saturating_sub(link)).unwrap_or(u32::MAX);
        if too_big::answer(frame, mtu, scratch) {
            self.answers.push(scratch);
        }
    }
}

impl Transmit for VxlanTransmit {
    fn send(&self, worker: usize, frame: &mut Frame, scratch: &mut Frame) -> Result<(), DropReason> {
        let destination =
            frame.bytes().first_chunk().map(|mac| MacAddr(*mac)).ok_or(DropReason::Truncated)?;
        if destination.is_multicast() && neighbour::answer(&self.network, frame, scratch) {
            return Err(self.answer(scratch));
        }
        let mut room = 0;
        let sent = self.network.targets(destination, self.now(), |paths| {
            room = paths.first().map_or(0, |path| path.room());
            self.sender.send(worker, self.network.vni(), frame, paths)
        });
        sent.map_err(|error| match error {
            SendError::TooBig => {
                self.tell_too_big(frame, room, scratch);
                DropReason::TooBig
            }
            SendError::Malformed => DropReason::Malformed,
            SendError::NoPeer => DropReason::NoPeer,
            SendError::QueueFull => DropReason::QueueFull,
            SendError::NoSocket | SendError::Unreachable | SendError::Refused => DropReason::Refused,
        })
    }

    fn gathers(&self) -> bool {
        true
    }

    fn flush(&self, worker: usize) {
        self.sender.flush(worker);
    }

    fn uplink(&self) -> Option<&dyn Uplink> {
        Some(self)
    }
}

impl Uplink for VxlanTransmit {
    fn reaches(&self, destination: MacAddr) -> bool {
        self.network.reaches(destination, self.now())
    }
}
