//! The workers' side: what of a frame is left for the task.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use packet::MacAddr;
use packet::checksum::verify_transport;
use packet::wire::{EthernetFrame, Headers, IpHeaders, IpVersion, Ipv4Packet, Ipv6Packet, UdpPacket};

use super::{Arrival, Head};
use crate::dataplane::DropReason;
use crate::gateway::answer::L3;
use crate::gateway::config::State;
use crate::gateway::port::Shared;

/// Bytes of the header of a DNS message: what is shorter is none.
pub(super) const MIN_MESSAGE: usize = 12;

/// Takes a query over UDP.
pub(in super::super) fn take_udp(
    shared: &Arc<Shared>,
    state: &State,
    frame: &[u8],
) -> Result<(), DropReason> {
    let Some((head, ip)) = admit(shared, state, frame) else { return Ok(()) };
    let udp = frame.get(ip.l4..ip.end).and_then(|d| UdpPacket::new_checked(d).ok());
    let Some(udp) = udp.filter(|udp| udp.payload().len() >= MIN_MESSAGE) else {
        shared.stats.malformed.add();
        return Ok(());
    };
    let arrival = Arrival { head, bytes: shared.pool.copy(udp.payload()) };
    if shared.dns.queries.push(arrival).is_err() {
        shared.stats.dns_overload.add();
        return Err(DropReason::QueueFull);
    }
    shared.dns.wake.notify_one();
    Ok(())
}

/// Takes a segment of a connection.
pub(in super::super) fn take_tcp(
    shared: &Arc<Shared>,
    state: &State,
    frame: &[u8],
) -> Result<(), DropReason> {
    let Some((head, ip)) = admit(shared, state, frame) else { return Ok(()) };
    let Some(packet) = frame.get(L3..ip.end) else { return Ok(()) };
    let arrival = Arrival { head, bytes: shared.pool.copy(packet) };
    if shared.dns.segments.push(arrival).is_err() {
        return Err(DropReason::QueueFull);
    }
    shared.dns.wake.notify_one();
    Ok(())
}

/// Who asks whom, if the packet's checksums are right and its source can be answered; what is
/// refused is counted.
fn admit(shared: &Shared, state: &State, frame: &[u8]) -> Option<(Head, IpHeaders)> {
    let stats = &shared.stats;
    let mac = EthernetFrame::new_checked(frame).ok()?.source();
    let ip = Headers::parse(frame)?.ip?;
    let (source, server, peer, header) = match ip.version {
        IpVersion::V4 => {
            let packet = Ipv4Packet::new_checked(frame.get(L3..)?).ok()?;
            let peer = state.is_peer4(packet.source());
            (packet.source().into(), packet.destination().into(), peer, packet.verify_checksum())
        }
        IpVersion::V6 => {
            let packet = Ipv6Packet::new_checked(frame.get(L3..)?).ok()?;
            let peer = state.is_peer6(packet.source());
            (IpAddr::from(packet.source()), IpAddr::from(packet.destination()), peer, true)
        }
    };
    let (source_port, server_port) = ip.ports(frame)?;
    if !peer || source_port == 0 || mac.is_multicast() || mac == MacAddr::ZERO || mac == state.mac() {
        stats.bad_source.add();
        return None;
    }
    if !header || verify_transport(frame, L3, &ip) != Some(true) {
        stats.bad_checksum.add();
        return None;
    }
    let head = Head {
        mac,
        source: SocketAddr::new(source, source_port),
        server: SocketAddr::new(server, server_port),
    };
    Some((head, ip))
}
