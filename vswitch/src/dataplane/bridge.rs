//! One network's switching: learn, forward, flood, filter.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};

use arc_swap::{ArcSwap, ArcSwapOption};
use packet::Frame;
use packet::offload::VNET_HEADER_LEN;

use super::capture::{CaptureHub, Direction};
use super::counters::DropReason;
use super::fdb::{Fdb, Learned, PortNo, Station};
use super::outbox::Outbox;
use super::policy::Policy;
use super::port::Port;
use super::wire::{self, Addresses};
use crate::sys::uring::LONGEST;

/// What a worker brings along to every frame.
pub(super) struct Context {
    /// The worker's number: which shard of the counters is its own.
    pub(super) worker: usize,
    /// Milliseconds on a coarse clock that only goes forward; wraps.
    pub(super) now_ms: u32,
    /// The same clock in seconds, for the forwarding table.
    pub(super) now: u32,
    /// A second buffer, for ports that need frames cut or rewritten.
    pub(super) scratch: Frame,
    /// Who is watching.
    pub(super) capture: Arc<CaptureHub>,
    /// Small frames that leave together.
    pub(super) outbox: Outbox,
    /// Ports that have got a frame in this batch and gather them.
    pub(super) unflushed: Vec<Arc<Port>>,
}

impl Context {
    /// The end of a batch: what was gathered leaves.
    pub(super) fn flush(&mut self) {
        self.outbox.end_batch(self.worker);
        for port in self.unflushed.drain(..) {
            port.flush(self.worker);
        }
    }
}

/// The ports of a network at one moment. Replaced as a whole, never changed.
#[derive(Default)]
pub struct PortSet {
    by_no: Vec<Option<Arc<Port>>>,
    all: Vec<Arc<Port>>,
    uplink: Option<Arc<Port>>,
}

impl PortSet {
    fn get(&self, no: PortNo) -> Option<&Arc<Port>> {
        self.by_no.get(usize::from(no))?.as_ref()
    }

    /// Every port, in the order of numbers.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Port>> {
        self.all.iter()
    }

    /// The port to other hosts, if it knows that the station is there.
    fn uplink(&self, destination: packet::MacAddr) -> Option<&Arc<Port>> {
        self.uplink.as_ref().filter(|port| port.reaches(destination))
    }

    fn from_ports(mut all: Vec<Arc<Port>>) -> Self {
        all.sort_by_key(|p| p.no());
        let slots = all.last().map_or(0, |p| usize::from(p.no()) + 1);
        let mut by_no = vec![None; slots];
        for port in &all {
            by_no[usize::from(port.no())] = Some(port.clone());
        }
        let uplink = all.iter().find(|port| port.is_uplink()).cloned();
        Self { by_no, all, uplink }
    }

    pub(super) fn with(&self, port: Arc<Port>) -> Self {
        let mut all = self.all.clone();
        all.push(port);
        Self::from_ports(all)
    }

    pub(super) fn without(&self, uid: u64) -> Self {
        Self::from_ports(self.all.iter().filter(|p| p.uid() != uid).cloned().collect())
    }

    /// The lowest number that no port has; numbers start at 1, as the kernel's bridge ports.
    pub(super) fn free_no(&self) -> Option<PortNo> {
        let mut no = 1;
        for port in &self.all {
            match port.no() {
                taken if taken == no => no += 1,
                _ => break,
            }
        }
        (usize::from(no) < super::fdb::MAX_PORTS).then_some(no)
    }
}

enum Decision<'a> {
    Drop(DropReason),
    Forward(&'a Arc<Port>),
    Flood,
}

/// One network: its ports and its forwarding table. Nothing crosses from one to another.
pub struct Bridge {
    uid: u64,
    fdb: Fdb,
    ports: ArcSwap<PortSet>,
    policy: ArcSwapOption<Policy>,
    /// There is a policy: a look that costs nothing where there is none.
    restricted: AtomicBool,
}

impl Bridge {
    pub(super) fn new(uid: u64, fdb: Fdb) -> Self {
        Self {
            uid,
            fdb,
            ports: ArcSwap::default(),
            policy: ArcSwapOption::empty(),
            restricted: AtomicBool::new(false),
        }
    }

    /// A number no other network of this switch has or had.
    pub fn uid(&self) -> u64 {
        self.uid
    }

    /// The forwarding table.
    pub fn fdb(&self) -> &Fdb {
        &self.fdb
    }

    /// The ports at this moment.
    pub fn ports(&self) -> Arc<PortSet> {
        self.ports.load_full()
    }

    /// Keeps the stations apart, but for what the policy allows; `None` lets everything pass.
    pub fn set_policy(&self, policy: Option<Policy>) {
        let restricted = policy.is_some();
        self.policy.store(policy.map(Arc::new));
        self.restricted.store(restricted, Release);
    }

    pub(super) fn port_guard(&self) -> arc_swap::Guard<Arc<PortSet>> {
        self.ports.load()
    }

    pub(super) fn set_ports(&self, ports: PortSet) {
        self.ports.store(Arc::new(ports));
    }

    /// Carries one frame from the port it came in on to where it goes.
    pub(super) fn ingress(&self, ctx: &mut Context, ports: &PortSet, from: &Arc<Port>, frame: &mut Frame) {
        from.note_received(ctx.worker, frame.len());
        let decision = self.decide(ctx, ports, from, frame);
        if ctx.capture.is_active() {
            let dropped = if let Decision::Drop(reason) = decision { Some(reason) } else { None };
            ctx.capture.record(self.uid, from, Direction::Inbound, frame, dropped);
        }
        match decision {
            Decision::Drop(reason) => from.counters().rx_dropped(ctx.worker, reason),
            Decision::Forward(to) => self.egress(ctx, from, to, frame),
            Decision::Flood => {
                let mut copies = 0;
                // What came from other hosts has been sent to all of them by its sender.
                let wanted = |to: &&Arc<Port>| {
                    (to.uid() != from.uid() || from.hairpin()) && !(to.is_uplink() && from.is_uplink())
                };
                for to in ports.iter().filter(wanted) {
                    self.egress(ctx, from, to, frame);
                    copies += 1;
                }
                if copies == 0 {
                    from.counters().rx_dropped(ctx.worker, DropReason::NoPort);
                }
            }
        }
    }

    fn decide<'a>(&self, ctx: &Context, ports: &'a PortSet, from: &Arc<Port>, frame: &Frame) -> Decision<'a> {
        if !from.admin_up() {
            return Decision::Drop(DropReason::AdminDown);
        }
        let Some(Addresses { destination, source, vlan }) = wire::addresses(frame.bytes()) else {
            return Decision::Drop(DropReason::Truncated);
        };
        if source.is_multicast() || source == packet::MacAddr::ZERO {
            return Decision::Drop(DropReason::BadSource);
        }
        if destination.is_link_local() {
            return Decision::Drop(DropReason::ReservedGroup);
        }
        if from.is_uplink() {
            if self.is_local(source, vlan, from.no(), ctx.now) {
                return Decision::Drop(DropReason::LocalSource);
            }
        } else {
            // A full table forwards all the same: it only has to flood the answer.
            let _: Learned = self.fdb.learn(Station { mac: source, vlan }, from.no(), ctx.now);
        }

        if destination.is_multicast() {
            return if from.storm().broadcast.allow(ctx.now_ms) {
                Decision::Flood
            } else {
                Decision::Drop(DropReason::StormBroadcast)
            };
        }
        let known = self.fdb.lookup(Station { mac: destination, vlan }, ctx.now).and_then(|no| ports.get(no));
        match known {
            Some(to) if to.uid() == from.uid() && !from.hairpin() => Decision::Drop(DropReason::SamePort),
            Some(to) => Decision::Forward(to),
            None if !from.is_uplink()
                && let Some(uplink) = ports.uplink(destination) =>
            {
                Decision::Forward(uplink)
            }
            None if from.storm().unknown_unicast.allow(ctx.now_ms) => Decision::Flood,
            None => Decision::Drop(DropReason::StormUnknown),
        }
    }

    /// The table has the station, in this VLAN or untagged, behind another port than `outside`: it is of
    /// this host.
    pub fn is_local(&self, mac: packet::MacAddr, vlan: u16, outside: PortNo, now: u32) -> bool {
        let known = |vlan| self.fdb.lookup(Station { mac, vlan }, now).is_some_and(|port| port != outside);
        known(vlan) || vlan != 0 && known(0)
    }

    /// The network's policy lets the frame pass. Between an untrusted port and a trusted one
    /// everything does.
    fn permits(&self, from: &Port, to: &Port, frame: &Frame) -> bool {
        if !self.restricted.load(Acquire) {
            return true;
        }
        match &*self.policy.load() {
            Some(policy) if !from.is_trusted() && !to.is_trusted() => policy.allows(frame.bytes()),
            _ => true,
        }
    }

    fn egress(&self, ctx: &mut Context, from: &Arc<Port>, to: &Arc<Port>, frame: &mut Frame) {
        if !self.permits(from, to, frame) {
            to.counters().tx_dropped(ctx.worker, DropReason::Isolated);
            if ctx.capture.is_active() {
                ctx.capture.record(self.uid, to, Direction::Outbound, frame, Some(DropReason::Isolated));
            }
            return;
        }
        if to.gathers() && !ctx.unflushed.iter().any(|port| Arc::ptr_eq(port, to)) {
            ctx.unflushed.push(to.clone());
        }
        if !ctx.outbox.is_open() || ctx.capture.is_active() || !Self::defer(ctx, to, frame) {
            // What waits for this port goes first.
            ctx.outbox.flush(ctx.worker);
            let _ = self.emit(ctx.worker, &ctx.capture, to, frame, &mut ctx.scratch);
        }
    }

    /// Has a frame leave with others of its batch; false if it is to leave at once.
    fn defer(ctx: &mut Context, to: &Arc<Port>, frame: &mut Frame) -> bool {
        let (len, offload) = (frame.len(), frame.offload());
        if len + VNET_HEADER_LEN > LONGEST || to.descriptor(ctx.worker, offload).is_none() {
            return false;
        }
        if !to.admits(ctx.worker, frame) {
            return true;
        }
        frame.with_vnet().is_some_and(|bytes| ctx.outbox.put(ctx.worker, to, bytes, len, offload))
    }

    /// The port behind which a station is, of this host or, where that is known, of another.
    pub fn port_of(&self, station: packet::MacAddr, now: u32) -> Option<Arc<Port>> {
        let ports = self.ports.load();
        let here = self.fdb.lookup(Station { mac: station, vlan: 0 }, now).and_then(|no| ports.get(no));
        here.or_else(|| ports.uplink(station)).cloned()
    }

    /// The port to other hosts, whomever it reaches.
    pub(crate) fn with_uplink<T>(&self, act: impl FnOnce(&Port) -> T) -> Option<T> {
        self.ports.load().uplink.as_deref().map(act)
    }

    /// Sends a frame out of a port of this network, past the forwarding table, and shows it to
    /// captures.
    ///
    /// # Errors
    /// The reason why it was dropped; it is counted.
    pub fn emit(
        &self,
        worker: usize,
        capture: &CaptureHub,
        to: &Arc<Port>,
        frame: &mut Frame,
        scratch: &mut Frame,
    ) -> Result<(), DropReason> {
        if !capture.is_active() {
            return to.transmit(worker, frame, scratch);
        }
        // Before the write, which may run the receiver's stack up to its answer. What then fails
        // after all is recorded once more, with the reason.
        let expected = to.is_up();
        if expected {
            capture.record(self.uid, to, Direction::Outbound, frame, None);
        }
        let result = to.transmit(worker, frame, scratch);
        if !expected || result.is_err() {
            capture.record(self.uid, to, Direction::Outbound, frame, result.err());
        }
        result
    }
}
