//! The way in from other hosts: one socket for all networks.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use packet::{Frame, MacAddr};
use vxlan::Sink;

use super::OverlayReceiver;
use crate::dataplane::{Bridge, Deliver, Port, Switch, Trunk};

/// Where the frames of a VNI enter the switch.
pub(super) struct Attachment {
    pub(super) bridge: Arc<Bridge>,
    pub(super) port: Arc<Port>,
}

pub(super) struct VxlanTrunk(OverlayReceiver);

impl VxlanTrunk {
    pub(super) fn new(receiver: OverlayReceiver) -> Self {
        Self(receiver)
    }
}

impl Trunk for VxlanTrunk {
    fn fd(&self) -> BorrowedFd<'_> {
        self.0.fd()
    }

    fn drain(&mut self, deliver: &mut Deliver<'_>) {
        let now = Switch::now();
        self.0.receive(now, &mut ToBridge { now, deliver });
    }
}

struct ToBridge<'a, 'd> {
    now: u32,
    deliver: &'a mut Deliver<'d>,
}

impl Sink<Attachment> for ToBridge<'_, '_> {
    fn admits(&mut self, to: &Attachment, source: MacAddr) -> bool {
        !to.bridge.is_local(source, 0, to.port.no(), self.now)
    }

    fn deliver(&mut self, to: &Attachment, frame: &mut Frame) {
        (self.deliver)(&to.bridge, &to.port, frame);
    }
}
