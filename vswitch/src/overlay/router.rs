//! Between the segments of a network that has several: each is a subnet with a bridge and a VNI of its own
//! (RFC 7348, section 4), and what is for another is routed on the host that it comes from.
//!
//! A packet that is sent to a segment's gateway is rewritten for its destination there, and leaves by the
//! bridge of the destination's segment: to a port of this host, or under that segment's VNI to another.
//! The other host only bridges it (asymmetric integrated routing and bridging, RFC 9135, section 4.2). So a
//! frame is of the VNI of its destination's subnet, always, and no host routes what comes from another.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use arc_swap::{ArcSwap, ArcSwapOption};
use ipnet::IpNet;
use packet::wire::{EthernetFrame, Ipv4Packet, Ipv6Packet, ethernet, ethertype};
use packet::{Frame, MacAddr, checksum};
use parking_lot::Mutex;
use vxlan::{Network, too_big};

use super::OverlayNetwork;
use crate::dataplane::capture::CaptureHub;
use crate::dataplane::worker::current_port;
use crate::dataplane::{Bridge, DropReason, Port, Switch};
use crate::gateway::{Beyond, Fault};

/// The router of a network on this host. It has no port: it stands behind the gateways of all segments.
pub struct Router {
    mac: MacAddr,
    capture: Arc<CaptureHub>,
    segments: Vec<Segment>,
    /// The stations of this host, by address.
    stations: ArcSwap<HashMap<IpAddr, MacAddr>>,
    change: Mutex<()>,
}

/// What is on one side of it.
struct Segment {
    /// The gateway's addresses, each with its subnet's prefix.
    gateways: Vec<IpNet>,
    way: ArcSwapOption<Way>,
}

/// Where the segment is.
struct Way {
    bridge: Arc<Bridge>,
    network: Arc<Network>,
}

impl Segment {
    fn has(&self, address: IpAddr) -> bool {
        self.gateways.iter().any(|net| net.contains(&address))
    }
}

impl Router {
    /// One between segments whose gateways have these addresses, with their subnets' prefixes. Nothing is
    /// routed before the segments are [set](Router::set_segment).
    ///
    /// `mac` is the source of all frames that it sends: an address of this host's alone, for other hosts
    /// drop what comes from outside with the addresses of their gateways.
    pub fn new(switch: &Switch, mac: MacAddr, segments: impl IntoIterator<Item = Vec<IpNet>>) -> Arc<Self> {
        let segment = |gateways| Segment { gateways, way: ArcSwapOption::empty() };
        Arc::new(Self {
            mac,
            capture: switch.capture().clone(),
            segments: segments.into_iter().map(segment).collect(),
            stations: ArcSwap::default(),
            change: Mutex::new(()),
        })
    }

    /// Its Ethernet address.
    pub fn mac(&self) -> MacAddr {
        self.mac
    }

    /// What the gateway of a segment, by number from 0, is to have beyond it.
    pub fn beyond(self: &Arc<Self>, segment: usize) -> Arc<dyn Beyond> {
        Arc::new(Side { router: self.clone(), segment })
    }

    /// Says where a segment is, by number. The senders of what is too long for the way there are told by the router alone.
    pub fn set_segment(&self, segment: usize, bridge: &Arc<Bridge>, overlay: &OverlayNetwork) {
        if let Some(segment) = self.segments.get(segment) {
            overlay.router.store(self.mac.to_u64(), Relaxed);
            let way = Way { bridge: bridge.clone(), network: overlay.network.clone() };
            segment.way.store(Some(Arc::new(way)));
        }
    }

    /// Forgets where the segments are: nothing is routed any more.
    pub fn close(&self) {
        for segment in &self.segments {
            segment.way.store(None);
        }
    }

    /// A station of this host has these addresses, or is about to: what comes for it before it has a port is
    /// dropped without a word to whoever sent it, unless another host has the address.
    pub fn set_station(&self, mac: MacAddr, addresses: &[IpAddr]) {
        self.change(|stations| stations.extend(addresses.iter().map(|address| (*address, mac))));
    }

    /// A station of this host has these addresses no more.
    pub fn remove_station(&self, mac: MacAddr, addresses: &[IpAddr]) {
        self.change(|stations| {
            stations.retain(|address, owner| *owner != mac || !addresses.contains(address));
        });
    }

    /// The station of this host that has an address.
    pub fn station(&self, address: IpAddr) -> Option<MacAddr> {
        self.stations.load().get(&address).copied()
    }

    fn change(&self, act: impl FnOnce(&mut HashMap<IpAddr, MacAddr>)) {
        let _changing = self.change.lock();
        let mut stations = HashMap::clone(&self.stations.load());
        act(&mut stations);
        self.stations.store(Arc::new(stations));
    }

    fn to(&self, destination: IpAddr) -> Option<&Segment> {
        self.segments.iter().find(|segment| segment.has(destination))
    }
}

/// The router as one segment sees it.
struct Side {
    router: Arc<Router>,
    segment: usize,
}

/// What routing looks at.
struct Packet {
    source: IpAddr,
    destination: IpAddr,
    hops: u8,
}

fn read(frame: &[u8]) -> Option<Packet> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    match ethernet.ethertype() {
        ethertype::IPV4 => {
            let ip = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
            Some(Packet { source: ip.source().into(), destination: ip.destination().into(), hops: ip.ttl() })
        }
        ethertype::IPV6 => {
            let ip = Ipv6Packet::new_checked(ethernet.payload()).ok()?;
            Some(Packet {
                source: ip.source().into(),
                destination: ip.destination().into(),
                hops: ip.hop_limit(),
            })
        }
        _ => None,
    }
}

/// Makes a frame that was read before one of the next hop's; its former Ethernet addresses.
fn readdress(frame: &mut Frame, to: MacAddr, from: MacAddr) -> Option<(MacAddr, MacAddr)> {
    let mut ethernet = EthernetFrame::new_checked(frame.bytes_mut()).ok()?;
    let before = (ethernet.destination(), ethernet.source());
    ethernet.set_destination(to);
    ethernet.set_source(from);
    Some(before)
}

/// One hop less: RFC 1812, section 5.3.1, and RFC 1624 for the checksum; RFC 8200, section 3.
fn count_hop(frame: &mut Frame) -> Option<()> {
    let (link, packet) = frame.bytes_mut().split_at_mut_checked(ethernet::HEADER_LEN)?;
    if EthernetFrame::new_checked(&*link).ok()?.ethertype() == ethertype::IPV6 {
        let mut ip = Ipv6Packet::new_truncated(packet).ok()?;
        ip.set_hop_limit(ip.hop_limit().checked_sub(1)?);
        return Some(());
    }
    let mut ip = Ipv4Packet::new_truncated(packet).ok()?;
    let (hops, protocol) = (ip.ttl(), ip.protocol());
    let fewer = hops.checked_sub(1)?;
    let word = |hops| u16::from_be_bytes([hops, protocol]);
    let sum = checksum::update_u16(ip.checksum(), word(hops), word(fewer));
    ip.set_ttl(fewer);
    ip.set_checksum(sum);
    Some(())
}

impl Side {
    /// The port that has the frames of this batch leads to other hosts.
    fn is_from_outside(&self) -> bool {
        let way = self.router.segments.get(self.segment).map(|segment| segment.way.load());
        let uplink = way.and_then(|way| way.as_ref()?.bridge.with_uplink(Port::uid));
        uplink == Some(current_port())
    }

    /// Tells who sent a packet how long it may be, where the underlay carries no longer ones.
    #[cold]
    fn tell_too_big(&self, worker: usize, room: usize, frame: &mut Frame, scratch: &mut Frame) {
        let mtu = u32::try_from(room.saturating_sub(ethernet::HEADER_LEN)).unwrap_or(u32::MAX);
        let Some(own) = self.router.segments.get(self.segment) else { return };
        let way = own.way.load();
        let (Some(way), true) = (way.as_ref(), too_big::answer(frame, mtu, scratch)) else { return };
        let back = EthernetFrame::new_checked(scratch.bytes()).map(|ethernet| ethernet.destination());
        let port = back.ok().and_then(|mac| way.bridge.port_of(mac, Switch::now()));
        if let Some(port) = port {
            let _ = way.bridge.emit(worker, &self.router.capture, &port, scratch, frame);
        }
    }
}

impl Beyond for Side {
    fn forward(&self, worker: usize, frame: &mut Frame, scratch: &mut Frame) -> Result<(), DropReason> {
        let router = &*self.router;
        let packet = read(frame.bytes()).ok_or(DropReason::Malformed)?;
        let own = router.segments.get(self.segment).ok_or(DropReason::NoRoute)?;
        // What comes from another host was routed there, and nobody speaks for another subnet (RFC 2827). Who is
        // told of it might be somebody else.
        if !own.has(packet.source) || self.is_from_outside() {
            return Err(DropReason::Isolated);
        }
        let to = router.to(packet.destination).ok_or(DropReason::NoRoute)?;
        if packet.hops <= 1 {
            return Err(DropReason::HopLimit);
        }
        let way = to.way.load();
        let way = way.as_ref().ok_or(DropReason::NoRoute)?;
        let here = router.stations.load().get(&packet.destination).copied();
        let at = |mac| Some((mac, way.bridge.port_of(mac, Switch::now())?));
        let next = here.and_then(at).or_else(|| way.network.neighbour(packet.destination).and_then(at));
        let Some((mac, port)) = next else {
            // A station of this host without a port is about to have one: whoever sends may try again.
            return Err(if here.is_some() { DropReason::NotYet } else { DropReason::NoNeighbour });
        };
        // A station that claims the gateway's own address: the packet would come back to here.
        if port.is_trusted() {
            return Err(DropReason::NoNeighbour);
        }
        let before = readdress(frame, mac, router.mac).ok_or(DropReason::Malformed)?;
        count_hop(frame).ok_or(DropReason::Malformed)?;
        let sent = way.bridge.emit(worker, &router.capture, &port, frame, scratch);
        if sent == Err(DropReason::TooBig) && port.is_uplink() {
            readdress(frame, before.0, before.1);
            let room = way.network.targets(mac, 0, |paths| paths.first().map_or(0, |path| path.room()));
            self.tell_too_big(worker, room, frame, scratch);
        }
        // What the port did not take is counted there, and nowhere else.
        Ok(())
    }

    fn addresses(&self) -> Vec<IpAddr> {
        let others = self.router.segments.iter().enumerate().filter(|(number, _)| *number != self.segment);
        others.flat_map(|(_, segment)| segment.gateways.iter().map(IpNet::addr)).collect()
    }

    fn fault(&self, destination: IpAddr, hops: u8) -> Option<Fault> {
        Some(match self.router.to(destination) {
            None => Fault::NoRoute,
            Some(_) if hops <= 1 => Fault::HopLimit,
            Some(_) => Fault::NoNeighbour,
        })
    }

    fn hears_gateway(&self) -> bool {
        false
    }

    fn flush(&self, worker: usize) {
        for segment in &self.router.segments {
            let way = segment.way.load();
            // They all send through the same sockets, and one says so for all.
            if way.as_ref().and_then(|way| way.bridge.with_uplink(|port| port.flush(worker))).is_some() {
                return;
            }
        }
    }
}

#[cfg(test)]
#[path = "router_tests.rs"]
mod tests;
