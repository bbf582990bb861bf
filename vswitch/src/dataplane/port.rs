//! A port: where frames enter and leave a network.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use packet::{Frame, FrameError, MacAddr, Offload};
use parking_lot::RwLock;

use super::bridge::Bridge;
use super::counters::{DropReason, PortCounters};
use super::fdb::PortNo;
use super::storm::StormControl;

/// The way out of a port. Any worker may call it at any time.
pub trait Transmit: Send + Sync {
    /// Sends one frame, whole or cut as the other side needs it. The frame's bytes are the same
    /// afterwards, but for one that was meant for this port alone; `scratch` is the worker's second
    /// buffer.
    ///
    /// # Errors
    /// The reason why the frame was dropped. Nothing here waits.
    fn send(&self, worker: usize, frame: &mut Frame, scratch: &mut Frame) -> Result<(), DropReason>;

    /// Where sending a frame with this metadata is no more than one `write(2)` of it, its virtio-net header in front, to a
    /// non-blocking descriptor: which one. A worker may then write many frames in one system call.
    fn descriptor(&self, _worker: usize, _offload: Offload) -> Option<BorrowedFd<'_>> {
        None
    }

    /// The name the interface has at this moment in its namespace.
    fn interface(&self) -> Option<String> {
        None
    }

    /// Frames are gathered, and leave when [`Transmit::flush`] says so.
    fn gathers(&self) -> bool {
        false
    }

    /// Sends what `worker` has given since the last time. Called at the end of each batch in which
    /// a frame went to a port that [gathers](Transmit::gathers).
    fn flush(&self, _worker: usize) {}

    /// The stations behind the port are on other hosts, and it knows by itself which.
    fn uplink(&self) -> Option<&dyn Uplink> {
        None
    }
}

/// A port to other hosts. Its stations are no entries of the forwarding table, which so has those of
/// this host only: a frame from outside that claims to be of one of them is dropped.
pub trait Uplink: Send + Sync {
    /// The station is known to be behind this port.
    fn reaches(&self, destination: MacAddr) -> bool;
}

/// Where a [`Trunk`] hands its frames: the network, the port of it, the frame.
pub type Deliver<'a> = dyn FnMut(&Arc<Bridge>, &Arc<Port>, &mut Frame) + 'a;

/// A way in that many ports share: one socket for the tunnels of several networks.
pub trait Trunk: Send {
    /// Readable when [`Trunk::drain`] has something to do.
    fn fd(&self) -> BorrowedFd<'_>;

    /// Hands over the frames of one batch with the port each has come in on, without waiting.
    /// After the call it holds none.
    fn drain(&mut self, deliver: &mut Deliver<'_>);
}

/// The way in: one queue of a port, owned by one worker.
pub trait Receive: Send {
    /// Readable when [`Receive::recv`] has something to say.
    fn fd(&self) -> BorrowedFd<'_>;

    /// Replaces the content of `frame` by the next frame, without waiting.
    fn recv(&mut self, frame: &mut Frame) -> Received;
}

/// What a queue had to give.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Received {
    /// A frame is in the buffer.
    Frame,
    /// Nothing now.
    Empty,
    /// Something that is no frame.
    Bad(FrameError),
    /// There will never be anything again: the namespace was deleted.
    Gone,
    /// This queue has ended, and the port goes on without it.
    Ended,
}

/// What can be set of a port.
#[derive(Clone, Debug)]
pub struct PortConfig {
    /// Who the port belongs to, as people say it: the container's name.
    pub owner: String,
    /// Interface name inside, until the kernel says otherwise.
    pub interface: String,
    /// Longest IP packet in bytes that goes out of the port in one wire frame.
    pub mtu: u32,
    /// It is the switch's own: no policy stands between it and the stations.
    pub trusted: bool,
}

/// One port of one network.
pub struct Port {
    uid: u64,
    no: PortNo,
    owner: RwLock<String>,
    interface: String,
    transmit: Box<dyn Transmit>,
    gathers: bool,
    is_uplink: bool,
    counters: PortCounters,
    mtu: AtomicU32,
    admin_up: AtomicBool,
    link_up: AtomicBool,
    gone: AtomicBool,
    hairpin: AtomicBool,
    trusted: bool,
    storm: StormControl,
}

impl Port {
    pub(super) fn new(
        uid: u64,
        no: PortNo,
        config: PortConfig,
        transmit: Box<dyn Transmit>,
        workers: usize,
    ) -> Self {
        Self {
            uid,
            no,
            owner: RwLock::new(config.owner),
            interface: config.interface,
            gathers: transmit.gathers(),
            is_uplink: transmit.uplink().is_some(),
            transmit,
            counters: PortCounters::new(workers),
            mtu: AtomicU32::new(config.mtu),
            admin_up: AtomicBool::new(true),
            link_up: AtomicBool::new(true),
            gone: AtomicBool::new(false),
            hairpin: AtomicBool::new(false),
            trusted: config.trusted,
            storm: StormControl::default(),
        }
    }

    /// A number no other port of this switch has or had.
    pub fn uid(&self) -> u64 {
        self.uid
    }

    /// The number within the network, as `bridge fdb` shows it; given again after removal.
    pub fn no(&self) -> PortNo {
        self.no
    }

    /// `OWNER:INTERFACE`, following a rename of either.
    pub fn name(&self) -> String {
        let interface = self.transmit.interface();
        format!("{}:{}", self.owner.read(), interface.as_deref().unwrap_or(&self.interface))
    }

    /// The container's name.
    pub fn owner(&self) -> String {
        self.owner.read().clone()
    }

    /// Follows a rename of the container.
    pub fn set_owner(&self, owner: &str) {
        owner.clone_into(&mut self.owner.write());
    }

    /// The interface's present name.
    pub fn interface(&self) -> String {
        self.transmit.interface().unwrap_or_else(|| self.interface.clone())
    }

    /// Frames, bytes and drops.
    pub fn counters(&self) -> &PortCounters {
        &self.counters
    }

    /// Longest IP packet in bytes.
    pub fn mtu(&self) -> u32 {
        self.mtu.load(Relaxed)
    }

    /// Sets [`Port::mtu`].
    pub fn set_mtu(&self, mtu: u32) {
        self.mtu.store(mtu, Relaxed);
    }

    /// Frames pass: the port was not set down and its interface takes frames.
    pub fn is_up(&self) -> bool {
        self.admin_up.load(Relaxed) && self.link_up.load(Relaxed) && !self.is_gone()
    }

    /// Sets the port up or down by hand.
    pub fn set_admin_up(&self, up: bool) {
        self.admin_up.store(up, Relaxed);
    }

    /// The port was not set down by hand.
    pub fn admin_up(&self) -> bool {
        self.admin_up.load(Relaxed)
    }

    /// The namespace behind the port no longer exists.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Relaxed)
    }

    pub(super) fn set_gone(&self) {
        self.gone.store(true, Relaxed);
    }

    /// Frames may go back out of the port they came in on.
    pub fn hairpin(&self) -> bool {
        self.hairpin.load(Relaxed)
    }

    /// Sets [`Port::hairpin`].
    pub fn set_hairpin(&self, on: bool) {
        self.hairpin.store(on, Relaxed);
    }

    /// The switch's own port.
    pub fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// Limits for what this port makes everybody receive.
    pub fn storm(&self) -> &StormControl {
        &self.storm
    }

    /// The port leads to other hosts.
    pub fn is_uplink(&self) -> bool {
        self.is_uplink
    }

    pub(super) fn reaches(&self, destination: MacAddr) -> bool {
        self.transmit.uplink().is_some_and(|uplink| uplink.reaches(destination))
    }

    pub(super) fn gathers(&self) -> bool {
        self.gathers
    }

    pub(crate) fn flush(&self, worker: usize) {
        self.transmit.flush(worker);
    }

    pub(super) fn note_received(&self, worker: usize, bytes: usize) {
        // An interface that sends is up, whatever the last write said.
        if !self.link_up.load(Relaxed) {
            self.link_up.store(true, Relaxed);
        }
        self.counters.received(worker, bytes);
    }

    /// Sends, and keeps the books.
    pub(super) fn transmit(
        &self,
        worker: usize,
        frame: &mut Frame,
        scratch: &mut Frame,
    ) -> Result<(), DropReason> {
        let result = self.check(frame).and_then(|()| self.transmit.send(worker, frame, scratch));
        self.settle(worker, frame.len(), result);
        result
    }

    /// A frame may leave, as far as the port can tell before it is written; if not, that is counted.
    pub(super) fn admits(&self, worker: usize, frame: &Frame) -> bool {
        self.check(frame).map_err(|reason| self.counters.tx_dropped(worker, reason)).is_ok()
    }

    /// [`Transmit::descriptor`].
    pub(super) fn descriptor(&self, worker: usize, offload: Offload) -> Option<BorrowedFd<'_>> {
        self.transmit.descriptor(worker, offload)
    }

    /// Keeps the books of a frame of `len` bytes that was written, or was not.
    pub(super) fn settle(&self, worker: usize, len: usize, result: Result<(), DropReason>) {
        match result {
            Ok(()) => {
                if !self.link_up.load(Relaxed) {
                    self.link_up.store(true, Relaxed);
                }
                self.counters.sent(worker, len);
            }
            Err(reason) => {
                // A TAP says that it is down only when written to; poll keeps silent.
                if reason == DropReason::LinkDown {
                    self.link_up.store(false, Relaxed);
                }
                self.counters.tx_dropped(worker, reason);
            }
        }
    }

    fn check(&self, frame: &Frame) -> Result<(), DropReason> {
        if self.is_gone() {
            return Err(DropReason::Gone);
        }
        if !self.admin_up.load(Relaxed) {
            return Err(DropReason::AdminDown);
        }
        let longest = super::wire::longest_packet(frame).ok_or(DropReason::Malformed)?;
        if longest > self.mtu.load(Relaxed) as usize { Err(DropReason::TooBig) } else { Ok(()) }
    }
}
