//! The gateway as a port: both halves of it, and the control side's handle.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use arc_swap::ArcSwap;
use packet::{Checksum, Frame, MacAddr, Offload, segment};
use parking_lot::Mutex;
use tokio::task::AbortHandle;

use super::answer::{Limits, Responder, Scene};
use super::classify::{Class, classify};
use super::config::{Endpoint, GatewayConfig, State};
use super::dhcp::Endpoints;
use super::dns::{self, Dns};
use super::pool::{Buffer, Pool};
use super::queue::{ANSWERS, Next, QUESTIONS, Queue};
use super::stats::{Counters, GatewayStats};
use super::{arp, host, ndp};
use crate::dataplane::port::{Receive, Received, Transmit};
use crate::dataplane::{DropReason, worker::coarse_ms};

/// Frames without an answer that are worked off before other ports have their turn.
const UNANSWERED: usize = 64;

/// What all parts of a gateway have in common.
pub(super) struct Shared {
    pub(super) state: ArcSwap<State>,
    pub(super) endpoints: Endpoints,
    pub(super) stats: Counters,
    pub(super) limits: Limits,
    pub(super) pool: Arc<Pool>,
    pub(super) dns: Dns,
    queue: Queue,
    /// The machine itself, where it has a side here.
    host: Option<Box<dyn Transmit>>,
}

impl Shared {
    /// Has a frame sent; false, and counted, when too many wait already.
    pub(super) fn send(&self, frame: Buffer) -> bool {
        let sent = self.queue.send(frame);
        if !sent {
            self.stats.queue_full.add();
        }
        sent
    }

    fn announce(
        &self,
        from: MacAddr,
        who: MacAddr,
        addresses: impl IntoIterator<Item = IpAddr>,
        router: bool,
    ) {
        // The host is behind the port that they leave from, so no bridge carries them there.
        let mut host =
            self.host.as_ref().filter(|_| who != from).map(|host| (host, Frame::new(), Frame::new()));
        for address in addresses {
            let mut frame = self.pool.zeroed(arp::FRAME_LEN.max(ndp::FRAME_LEN));
            let len = match address {
                IpAddr::V4(address) => arp::announcement(&mut frame, from, (who, address)),
                IpAddr::V6(address) => ndp::announcement(&mut frame, from, (who, address), router),
            };
            if let Some(len) = len {
                frame.truncate(len);
                if let Some((host, copy, scratch)) = &mut host
                    && copy.copy_from(&frame, Offload::default()).is_ok()
                {
                    // One that is down or full asks again by itself.
                    let _ = host.send(0, copy, scratch);
                }
                if self.send(frame) {
                    self.stats.announcements.add();
                }
            }
        }
    }

    /// Tells everybody where the gateway itself is.
    fn announce_self(&self, state: &State) {
        self.announce(state.mac(), state.mac(), state.addresses(), state.config.router);
    }
}

/// Makes a gateway. The two halves are added to a bridge as any port's are; what the handle is
/// told holds from then on. Once added, the gateway announces its addresses.
///
/// # Errors
/// When the system has no descriptor left for the event.
pub fn gateway_port(config: GatewayConfig) -> std::io::Result<(Gateway, GatewayTransmit, GatewayReceive)> {
    make(config, None)
}

/// The same, with the machine itself behind it: `host` takes what is sent to the gateway's addresses
/// and is not for the gateway (everything but ARP, IPv6 neighbour and router discovery, DHCP, and DNS
/// on port 53), as it came, super-frames whole. What the host sends is one more queue of the port; it
/// is to have the gateway's MAC.
///
/// # Errors
/// As [`gateway_port`].
pub fn gateway_port_with_host(
    config: GatewayConfig,
    host: Box<dyn Transmit>,
) -> std::io::Result<(Gateway, GatewayTransmit, GatewayReceive)> {
    make(config, Some(host))
}

fn make(
    config: GatewayConfig,
    host: Option<Box<dyn Transmit>>,
) -> std::io::Result<(Gateway, GatewayTransmit, GatewayReceive)> {
    let shared = Arc::new(Shared {
        state: ArcSwap::from_pointee(State::new(config)),
        endpoints: Endpoints::default(),
        stats: Counters::default(),
        limits: Limits::default(),
        pool: Pool::new(QUESTIONS + ANSWERS),
        dns: Dns::new(RandomState::new().hash_one(0) as u32),
        queue: Queue::new()?,
        host,
    });
    let gateway = Gateway { shared: shared.clone(), task: Mutex::new(None) };
    gateway.serve_dns();
    shared.announce_self(&shared.state.load());
    let receive = GatewayReceive { shared: shared.clone(), responder: Responder::default() };
    Ok((gateway, GatewayTransmit(shared), receive))
}

/// The control side's end of a gateway. Dropping it ends DNS; the rest goes with the port.
pub struct Gateway {
    shared: Arc<Shared>,
    task: Mutex<Option<AbortHandle>>,
}

impl Gateway {
    /// Replaces the configuration as a whole. Announces the gateway's addresses where its MAC or
    /// one of them changed.
    pub fn configure(&self, config: GatewayConfig) {
        let new = Arc::new(State::new(config));
        let old = self.shared.state.swap(new.clone());
        if new.mac() != old.mac() || !new.addresses().eq(old.addresses()) {
            self.shared.announce_self(&new);
        }
        self.serve_dns();
    }

    /// Tells of an endpoint, or of a change to it: DHCP gives it its address from now on.
    pub fn set_endpoint(&self, mac: MacAddr, endpoint: &Endpoint) {
        self.shared.endpoints.set(mac, endpoint);
    }

    /// Forgets an endpoint.
    pub fn remove_endpoint(&self, mac: MacAddr) {
        self.shared.endpoints.remove(mac);
    }

    /// Tells every neighbour at once that `mac` has these addresses, as after it was attached or
    /// moved: ARP announcements (RFC 5227, section 2.3) and unsolicited neighbour advertisements
    /// (RFC 4861, section 7.2.6). The frames come from the gateway's own station, so that no bridge
    /// learns the endpoint in the wrong place. The endpoint receives them too, so an IPv6 address of
    /// its own must not be tentative any more: a duplicate would be seen in them (RFC 4862).
    pub fn announce(&self, addresses: &[IpAddr], mac: MacAddr) {
        let from = self.shared.state.load().mac();
        self.shared.announce(from, mac, addresses.iter().copied(), false);
    }

    /// Sends a router advertisement to everybody. Hosts forget the gateway as default router half
    /// an hour after the last one, so call it every ten minutes where they listen to them.
    pub fn advertise(&self) {
        let state = self.shared.state.load();
        let mut frame = self.shared.pool.zeroed(ndp::MAX_ADVERTISEMENT);
        if let Some(len) = ndp::router_advertisement(&mut frame, &state, None) {
            frame.truncate(len);
            if self.shared.send(frame) {
                self.shared.stats.router_advertisements.add();
            }
        }
    }

    /// Sends a frame out of the gateway's port, from any thread and without waiting. Its Ethernet
    /// source is to be the gateway's, for bridges learn it; its checksums are to be complete. False,
    /// and counted, when too many frames wait already or it is too short to be one.
    pub fn inject(&self, frame: &[u8]) -> bool {
        frame.len() >= packet::frame::MIN_FRAME && self.shared.send(self.shared.pool.copy(frame))
    }

    /// The counters at this moment.
    pub fn stats(&self) -> GatewayStats {
        self.shared.stats.snapshot()
    }

    #[cfg(test)]
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Starts the task for DNS where it is wanted and does not run.
    fn serve_dns(&self) {
        let state = self.shared.state.load();
        let Some(dns) = &state.config.dns else { return };
        let mut task = self.task.lock();
        if task.as_ref().is_none_or(AbortHandle::is_finished) {
            *task = Some(dns.runtime.spawn(dns::serve(self.shared.clone())).abort_handle());
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }
}

/// What a bridge sends to the gateway.
pub struct GatewayTransmit(Arc<Shared>);

impl Transmit for GatewayTransmit {
    fn send(&self, worker: usize, frame: &mut Frame, scratch: &mut Frame) -> Result<(), DropReason> {
        let shared = &self.0;
        let state = shared.state.load();
        let class = classify(&state, frame.bytes());
        if let Some(to) = &shared.host
            && host::takes(&state, if class == Class::Beyond { Class::Local } else { class }, frame.bytes())
            // With the machine behind it what is for its own addresses is for elsewhere only in flows
            // that the machine knows nothing of.
            && !(class == Class::Beyond && state.config.beyond.as_ref().is_some_and(|b| b.claims(frame)))
        {
            // The port is up even where the host has set its side down.
            return to.send(worker, frame, scratch).map_err(|reason| match reason {
                DropReason::LinkDown | DropReason::Gone => DropReason::Refused,
                other => other,
            });
        }
        match class {
            Class::Beyond => {
                let beyond = state.config.beyond.as_ref();
                let forwarded =
                    beyond.map_or(Err(DropReason::NoRoute), |b| b.forward(worker, frame, scratch));
                if let Err(DropReason::NoRoute | DropReason::NoNeighbour | DropReason::HopLimit) = forwarded {
                    self.refuse(frame, scratch);
                }
                forwarded
            }
            Class::Local => each(frame, scratch, |wire| self.ask(wire)),
            Class::DnsUdp => each(frame, scratch, |wire| dns::take_udp(shared, &state, wire)),
            Class::DnsTcp => each(frame, scratch, |wire| dns::take_tcp(shared, &state, wire)),
            Class::Ignored => {
                shared.stats.ignored.add();
                Ok(())
            }
            Class::Tagged => {
                shared.stats.tagged.add();
                Ok(())
            }
            Class::Malformed => Err(DropReason::Malformed),
            Class::Martian => Err(DropReason::NoRoute),
        }
    }

    fn interface(&self) -> Option<String> {
        self.0.host.as_ref()?.interface()
    }

    fn gathers(&self) -> bool {
        true
    }

    fn flush(&self, worker: usize) {
        if let Some(beyond) = &self.0.state.load().config.beyond {
            beyond.flush(worker);
        }
    }
}

impl GatewayTransmit {
    fn ask(&self, wire: &[u8]) -> Result<(), DropReason> {
        if self.0.queue.ask(self.0.pool.copy(wire)) { Ok(()) } else { Err(DropReason::QueueFull) }
    }

    /// Has an ICMP error sent about a frame that cannot go on, unless there are too many.
    fn refuse(&self, frame: &Frame, scratch: &mut Frame) {
        if !self.0.limits.no_route.allow(coarse_ms()) {
            self.0.stats.errors_limited.add();
            return;
        }
        let mut first = true;
        let _ = each(frame, scratch, |wire| if std::mem::take(&mut first) { self.ask(wire) } else { Ok(()) });
    }
}

/// Calls `take` with every wire frame that `frame` is: its segments if it is a super-frame, all
/// checksums complete.
fn each(
    frame: &Frame,
    scratch: &mut Frame,
    mut take: impl FnMut(&[u8]) -> Result<(), DropReason>,
) -> Result<(), DropReason> {
    let offload = frame.offload();
    if offload.gso.is_none() && !matches!(offload.checksum, Checksum::Partial { .. }) {
        return take(frame.bytes());
    }
    let mut result = Ok(());
    segment(frame, scratch, |wire| result = result.and(take(wire.bytes())))
        .map_err(|_| DropReason::Malformed)?;
    result
}

/// What the gateway sends to its bridge: answers, made when a worker asks for them, and what was
/// left to be sent.
pub struct GatewayReceive {
    shared: Arc<Shared>,
    responder: Responder,
}

impl Receive for GatewayReceive {
    fn fd(&self) -> BorrowedFd<'_> {
        self.shared.queue.fd()
    }

    fn recv(&mut self, frame: &mut Frame) -> Received {
        for _ in 0..UNANSWERED {
            let len = match self.shared.queue.next() {
                None => return Received::Empty,
                Some(Next::Send(ready)) => copy(&ready, frame.plain_area()),
                Some(Next::Answer(question)) => {
                    let state = self.shared.state.load();
                    let scene = Scene {
                        state: &state,
                        endpoints: &self.shared.endpoints,
                        stats: &self.shared.stats,
                        limits: &self.shared.limits,
                        now_ms: coarse_ms(),
                    };
                    self.responder.answer(&scene, &question, frame.plain_area())
                }
            };
            if let Some(len) = len {
                return frame.commit_plain(len).map_or_else(Received::Bad, |()| Received::Frame);
            }
        }
        // More may wait: the event is still readable then.
        Received::Empty
    }
}

fn copy(from: &[u8], to: &mut [u8]) -> Option<usize> {
    to.get_mut(..from.len())?.copy_from_slice(from);
    Some(from.len())
}
