//! ICMP errors with a quote of the packet that caused them (RFC 1812, section 4.3.2; RFC 4443).

use std::net::{Ipv4Addr, Ipv6Addr};

use packet::wire::{
    Icmpv4Packet, Icmpv6Packet, IpHeaders, Ipv4Packet, Ipv6Packet, icmpv4, icmpv6, ipproto, ipv4, ipv6,
};

use super::build::{self, Header4, Header6, Link, get, put};

/// Bytes of the longest error over IPv4 (RFC 1812, section 4.3.2.3).
const MAX_V4: usize = 576;
/// Bytes of the longest error over IPv6: the least MTU (RFC 4443, section 2.4).
const MAX_V6: usize = 1280;

/// What is wrong with a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// There is no way to its destination.
    NoRoute,
    /// There is a way to its destination's subnet, and nobody there has the address.
    NoNeighbour,
    /// It may make no further hop.
    HopLimit,
    /// Nobody listens on its port.
    Port,
    /// Its protocol is not spoken.
    Protocol,
}

/// Whether the IPv4 packet in `frame` may be answered with an error at all: it is no error itself,
/// no fragment but the first, and not for a group (RFC 1122, section 3.2.2). Who it comes from is
/// the caller's to check.
pub(super) fn may_answer4(frame: &[u8], ip: &IpHeaders, packet: &Ipv4Packet<&[u8]>) -> bool {
    // Of types that nobody knows it is not known either whether they are errors.
    let is_no_error = || {
        matches!(get(frame, ip.l4), Some([icmpv4::kind::ECHO_REPLY | icmpv4::kind::ECHO_REQUEST | 13..=18]))
    };
    let to = packet.destination();
    packet.fragment_offset() == 0
        && !to.is_multicast()
        && !to.is_broadcast()
        && (ip.protocol != ipproto::ICMP || is_no_error())
}

/// [`may_answer4`] for IPv6 (RFC 4443, section 2.4).
pub(super) fn may_answer6(frame: &[u8], ip: &IpHeaders, packet: &Ipv6Packet<&[u8]>) -> bool {
    let is_no_error = || match get(frame, ip.l4) {
        Some([kind]) => kind >= icmpv6::kind::ECHO_REQUEST && kind != icmpv6::kind::REDIRECT,
        None => false,
    };
    let is_later = |word: u16| word & 0xfff8 != 0;
    !packet.destination().is_multicast()
        && !packet.extensions().any(|e| e.fragment_word().is_some_and(is_later))
        && (ip.protocol != ipproto::ICMPV6 || is_no_error())
}

/// The error about `packet`, which begins with its IPv4 header, from the gateway's `source`.
pub(super) fn error4(
    out: &mut [u8],
    link: Link,
    source: Ipv4Addr,
    packet: &[u8],
    fault: Fault,
) -> Option<usize> {
    let quoted = Ipv4Packet::new_checked(packet).ok()?;
    let len = quoted.total_len().min(MAX_V4 - ipv4::HEADER_LEN - icmpv4::HEADER_LEN);
    let header = Header4 { tos: 0xc0, ..Header4::whole(source, quoted.source(), ipproto::ICMP) };
    let body = build::ipv4(out, link, &header, icmpv4::HEADER_LEN + len)?;
    body.get_mut(icmpv4::HEADER_LEN..)?.copy_from_slice(packet.get(..len)?);
    let (kind, code) = match fault {
        Fault::NoRoute => (icmpv4::kind::UNREACHABLE, icmpv4::unreachable::NETWORK),
        Fault::NoNeighbour => (icmpv4::kind::UNREACHABLE, icmpv4::unreachable::HOST),
        Fault::HopLimit => (icmpv4::kind::TIME_EXCEEDED, 0),
        Fault::Port => (icmpv4::kind::UNREACHABLE, icmpv4::unreachable::PORT),
        Fault::Protocol => (icmpv4::kind::UNREACHABLE, icmpv4::unreachable::PROTOCOL),
    };
    put(body, 0, [kind, code, 0, 0, 0, 0, 0, 0]);
    Icmpv4Packet::new_checked(body).ok()?.fill_checksum();
    Some(build::V4 + icmpv4::HEADER_LEN + len)
}

/// [`error4`] for IPv6. A protocol that is not spoken is a parameter problem there; behind
/// extension headers it is not told, for the error would have to point at it.
pub(super) fn error6(
    out: &mut [u8],
    link: Link,
    source: Ipv6Addr,
    packet: &[u8],
    fault: Fault,
) -> Option<usize> {
    const UNKNOWN_NEXT_HEADER: u8 = 1;
    const NEXT_HEADER_AT: u8 = 6;
    let quoted = Ipv6Packet::new_checked(packet).ok()?;
    let len = quoted.total_len().min(MAX_V6 - ipv6::HEADER_LEN - icmpv6::HEADER_LEN);
    let destination = quoted.source();
    let header = Header6 { source, destination, next: ipproto::ICMPV6, class: 0, hops: build::TTL };
    let (kind, code, pointer) = match fault {
        Fault::NoRoute => (icmpv6::kind::UNREACHABLE, icmpv6::unreachable::NO_ROUTE, 0),
        Fault::NoNeighbour => (icmpv6::kind::UNREACHABLE, icmpv6::unreachable::ADDRESS, 0),
        Fault::HopLimit => (icmpv6::kind::TIME_EXCEEDED, 0, 0),
        Fault::Port => (icmpv6::kind::UNREACHABLE, icmpv6::unreachable::PORT, 0),
        Fault::Protocol if quoted.extensions().next().is_some() => return None,
        Fault::Protocol => (icmpv6::kind::PARAMETER_PROBLEM, UNKNOWN_NEXT_HEADER, NEXT_HEADER_AT),
    };
    let body = build::ipv6(out, link, &header, icmpv6::HEADER_LEN + len)?;
    body.get_mut(icmpv6::HEADER_LEN..)?.copy_from_slice(packet.get(..len)?);
    put(body, 0, [kind, code, 0, 0, 0, 0, 0, pointer]);
    Icmpv6Packet::new_checked(body).ok()?.fill_checksum(source, destination);
    Some(build::V6 + icmpv6::HEADER_LEN + len)
}

#[cfg(test)]
#[path = "icmp_error_tests.rs"]
mod tests;
