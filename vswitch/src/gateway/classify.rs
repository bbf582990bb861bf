//! What a frame that the bridge sends to the gateway is to it. Runs on the worker's fast path for
//! everything that goes beyond, so it looks at no more than it must.

use std::net::{Ipv4Addr, Ipv6Addr};

use packet::wire::{ArpPacket, EthernetFrame, Headers, Ipv4Packet, Ipv6Packet, arp, ethertype, ipproto};

use super::config::State;
use super::dhcp;
use super::dns::PORT as DNS_PORT;

/// What becomes of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Class {
    /// Others' business, flooded.
    Ignored,
    /// It has a VLAN tag; the gateway lives on the untagged network.
    Tagged,
    /// It is not what it says.
    Malformed,
    /// Nobody forwards what comes from or goes to such an address.
    Martian,
    /// For somewhere else.
    Beyond,
    /// To be answered.
    Local,
    /// A DNS query over UDP.
    DnsUdp,
    /// A segment of a DNS conversation over TCP.
    DnsTcp,
}

pub(super) fn classify(state: &State, frame: &[u8]) -> Class {
    let Ok(ethernet) = EthernetFrame::new_checked(frame) else { return Class::Malformed };
    let to = ethernet.destination();
    let direct = to == state.mac();
    if !direct && !to.is_multicast() {
        return Class::Ignored;
    }
    match ethernet.ethertype() {
        ethertype::IPV4 => match Ipv4Packet::new_checked(ethernet.payload()) {
            Ok(packet) => ipv4(state, frame, &packet, direct),
            Err(_) => malformed(direct),
        },
        ethertype::IPV6 => match Ipv6Packet::new_checked(ethernet.payload()) {
            _ if state.link_local.is_none() => Class::Ignored,
            Ok(packet) => ipv6(state, frame, &packet, direct),
            Err(_) => malformed(direct),
        },
        ethertype::ARP => match ArpPacket::new_checked(ethernet.payload()) {
            Ok(arp) if concerns(state, &arp) => Class::Local,
            Ok(_) => Class::Ignored,
            Err(_) => malformed(direct),
        },
        tag if ethertype::is_vlan(tag) => Class::Tagged,
        _ => Class::Ignored,
    }
}

fn malformed(direct: bool) -> Class {
    if direct { Class::Malformed } else { Class::Ignored }
}

fn concerns(state: &State, arp: &ArpPacket<&[u8]>) -> bool {
    state.owns4(arp.sender_ip()) || arp.operation() == arp::REQUEST && state.owns4(arp.target_ip())
}

fn ipv4(state: &State, frame: &[u8], packet: &Ipv4Packet<&[u8]>, direct: bool) -> Class {
    let to = packet.destination();
    if direct && !state.owns4(to) && !state.is_broadcast(to) {
        return if may_travel4(to) && may_travel4(packet.source()) { Class::Beyond } else { Class::Martian };
    }
    if direct && state.owns4(to) {
        return local(state, frame, packet.protocol());
    }
    // Of what is for everybody only DHCP wants an answer.
    let port = Headers::parse(frame).and_then(|h| h.ip?.ports(frame)).map(|(_, port)| port);
    let dhcp = packet.protocol() == ipproto::UDP && port == Some(dhcp::SERVER_PORT);
    if dhcp && state.is_broadcast(to) && state.config.dhcp.is_some() { Class::Local } else { Class::Ignored }
}

fn ipv6(state: &State, frame: &[u8], packet: &Ipv6Packet<&[u8]>, direct: bool) -> Class {
    let to = packet.destination();
    if to.is_multicast() {
        let icmp =
            || Headers::parse(frame).and_then(|h| h.ip).is_some_and(|ip| ip.protocol == ipproto::ICMPV6);
        return if state.listens(to) && icmp() { Class::Local } else { Class::Ignored };
    }
    if !direct {
        return Class::Ignored;
    }
    if !state.owns6(to) {
        return if may_travel6(to) && may_travel6(packet.source()) { Class::Beyond } else { Class::Martian };
    }
    match Headers::parse(frame).and_then(|h| h.ip) {
        Some(ip) => local(state, frame, ip.protocol),
        None => Class::Malformed,
    }
}

/// A packet to one of the gateway's own addresses.
fn local(state: &State, frame: &[u8], protocol: u8) -> Class {
    if !matches!(protocol, ipproto::UDP | ipproto::TCP) {
        return Class::Local;
    }
    let ip = Headers::parse(frame).and_then(|h| h.ip).filter(|ip| !ip.fragment && !ip.routed);
    match ip.and_then(|ip| ip.ports(frame)) {
        Some((_, DNS_PORT)) if state.config.dns.is_none() => Class::Local,
        Some((_, DNS_PORT)) if protocol == ipproto::UDP => Class::DnsUdp,
        Some((_, DNS_PORT)) => Class::DnsTcp,
        // What a container says to somebody who has no address but the gateway's: a client of a
        // published port that came over the host's loopback.
        Some((_, port)) if hears_gateway(state) && port != dhcp::SERVER_PORT => Class::Beyond,
        _ => Class::Local,
    }
}

fn hears_gateway(state: &State) -> bool {
    state.config.beyond.as_ref().is_some_and(|beyond| beyond.hears_gateway())
}

/// Addresses a router may pass on (RFC 1812, section 5.3.7): one host's, of no special meaning.
/// 169.254/16 is let through, for that is where clouds keep their services.
fn may_travel4(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    !matches!(first, 0 | 127 | 224..)
}

/// [`may_travel4`] for IPv6 (RFC 4291, section 2.5).
fn may_travel6(address: Ipv6Addr) -> bool {
    !address.is_multicast()
        && !address.is_unspecified()
        && !address.is_loopback()
        && !address.is_unicast_link_local()
        && address.to_ipv4_mapped().is_none()
}

#[cfg(test)]
#[path = "classify_tests.rs"]
mod tests;
