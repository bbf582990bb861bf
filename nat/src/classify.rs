//! What a frame is to NAT: a packet of a flow, a fragment, or nothing that can be translated.

use std::net::IpAddr;

use packet::wire::{
    Headers, Icmpv4Packet, Icmpv6Packet, IpHeaders, IpVersion, Ipv4Packet, Ipv6Packet, TcpPacket, UdpPacket,
    ethertype, icmpv4, icmpv6, ipproto, ipv6,
};

use crate::flow::{Endpoint, FlowKey, Transport};

/// The loose source route option of IPv4 (RFC 791, section 3.1).
const LOOSE_SOURCE_ROUTE: u8 = 131;
/// The strict source route option of IPv4 (RFC 791, section 3.1).
const STRICT_SOURCE_ROUTE: u8 = 137;

/// What a frame is to NAT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// A whole packet of a flow.
    Flow(FlowKey),
    /// A part of a packet, which only the first one can tell the flow of.
    Fragment(Fragment),
    /// Something else, and what.
    Other(Untranslatable),
}

/// A part of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fragment {
    /// What all fragments of the packet share.
    pub key: FragmentKey,
    /// Where it lies in the packet, in bytes.
    pub offset: usize,
    /// More fragments follow this one.
    pub more: bool,
    /// The flow, where this is the first fragment and its transport header is whole.
    pub flow: Option<FlowKey>,
}

/// What all fragments of one packet share (RFC 791, section 3.2; RFC 8200, section 4.5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FragmentKey {
    /// Who sent the packet.
    pub source: IpAddr,
    /// Whom it is for.
    pub destination: IpAddr,
    /// The protocol of IPv4; `None` for IPv6, whose fragments may name different ones.
    pub protocol: Option<u8>,
    /// The identification, 16 bits of it for IPv4.
    pub id: u32,
}

/// Why a frame belongs to no flow that could be translated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, thiserror::Error)]
pub enum Untranslatable {
    /// The type in the Ethernet header, behind VLAN tags, is not that of IP.
    #[error("type {0:#06x} is not IP")]
    NotIp(u16),
    /// A header is cut short or contradicts itself.
    #[error("a header is cut short or contradicts itself")]
    Malformed,
    /// The address in the header is not the final destination, which the checksum may cover: a
    /// source route option of IPv4, or an IPv6 routing header with addresses left.
    #[error("packet with a source route")]
    SourceRouted,
    /// An ICMP or ICMPv6 error, about a packet that it quotes.
    #[error("ICMP error")]
    IcmpError,
    /// An ICMP or ICMPv6 message of this type: neither an echo nor an error.
    #[error("ICMP message of type {0}")]
    IcmpMessage(u8),
    /// An IP protocol of this number, without ports. Also an IPv6 authentication header (51), which
    /// protects the addresses that would be changed.
    #[error("IP protocol {0}")]
    Protocol(u8),
}

/// Tells what `frame` is, from its headers alone: checksums are not looked at. Allocates nothing.
#[inline]
pub fn classify(frame: &[u8]) -> Class {
    match try_classify(frame) {
        Ok(class) => class,
        Err(why) => Class::Other(why),
    }
}

#[inline]
fn try_classify(frame: &[u8]) -> Result<Class, Untranslatable> {
    let (l3, ip) = find_packet(frame)?;
    let addresses = addresses(frame, l3, ip.version).ok_or(Untranslatable::Malformed)?;
    let flow = find_transport(frame, l3, &ip).and_then(|transport| key(frame, &ip, transport, addresses));
    if !ip.fragment {
        return flow.map(Class::Flow);
    }
    let mut fragment = fragment(frame, l3, &ip, addresses).ok_or(Untranslatable::Malformed)?;
    fragment.flow = flow.ok();
    Ok(Class::Fragment(fragment))
}

/// Where the IP packet of `frame` begins, and its headers.
#[inline]
pub(crate) fn find_packet(frame: &[u8]) -> Result<(usize, IpHeaders), Untranslatable> {
    let Headers { l3, ip, ethertype, .. } = Headers::parse(frame).ok_or(Untranslatable::Malformed)?;
    let ip = match ip {
        Some(ip) => ip,
        None if matches!(ethertype, ethertype::IPV4 | ethertype::IPV6) => {
            return Err(Untranslatable::Malformed);
        }
        None => return Err(Untranslatable::NotIp(ethertype)),
    };
    if ip.routed || (ip.version == IpVersion::V4 && has_source_route(frame, l3)) {
        return Err(Untranslatable::SourceRouted);
    }
    Ok((l3, ip))
}

/// What the packet at `l3` carries, if its transport header is whole and can be translated.
#[inline]
pub(crate) fn find_transport(frame: &[u8], l3: usize, ip: &IpHeaders) -> Result<Transport, Untranslatable> {
    if ip.version == IpVersion::V6 && ip.l4 > l3 + ipv6::HEADER_LEN && is_authenticated(frame, l3) {
        return Err(Untranslatable::Protocol(ipproto::AUTHENTICATION));
    }
    let message = || frame.get(ip.l4..ip.end).filter(|_| ip.payload.is_some());
    match (ip.protocol, ip.version) {
        (ipproto::TCP, _) => ip.payload.map(|_| Transport::Tcp).ok_or(Untranslatable::Malformed),
        (ipproto::UDP, _) => ip.payload.map(|_| Transport::Udp).ok_or(Untranslatable::Malformed),
        (ipproto::ICMP, IpVersion::V4) => {
            let icmp = message().and_then(|b| Icmpv4Packet::new_checked(b).ok());
            let icmp = icmp.ok_or(Untranslatable::Malformed)?;
            match icmp.kind() {
                icmpv4::kind::ECHO_REQUEST => Ok(Transport::EchoRequest),
                icmpv4::kind::ECHO_REPLY => Ok(Transport::EchoReply),
                _ if icmp.is_error() => Err(Untranslatable::IcmpError),
                kind => Err(Untranslatable::IcmpMessage(kind)),
            }
        }
        (ipproto::ICMPV6, IpVersion::V6) => {
            let icmp = message().and_then(|b| Icmpv6Packet::new_checked(b).ok());
            let icmp = icmp.ok_or(Untranslatable::Malformed)?;
            match icmp.kind() {
                icmpv6::kind::ECHO_REQUEST => Ok(Transport::EchoRequest),
                icmpv6::kind::ECHO_REPLY => Ok(Transport::EchoReply),
                _ if icmp.is_error() => Err(Untranslatable::IcmpError),
                kind => Err(Untranslatable::IcmpMessage(kind)),
            }
        }
        (other, _) => Err(Untranslatable::Protocol(other)),
    }
}

fn key(
    frame: &[u8],
    ip: &IpHeaders,
    transport: Transport,
    (source, destination): (IpAddr, IpAddr),
) -> Result<FlowKey, Untranslatable> {
    let bytes = frame.get(ip.l4..ip.end).ok_or(Untranslatable::Malformed)?;
    let ports = match transport {
        Transport::Tcp => TcpPacket::new_checked(bytes).map(|t| (t.source_port(), t.destination_port())),
        Transport::Udp => UdpPacket::new_truncated(bytes).map(|u| (u.source_port(), u.destination_port())),
        // The identifier is in the same place in both versions.
        Transport::EchoRequest => Icmpv4Packet::new_checked(bytes).map(|i| (i.ident(), 0)),
        Transport::EchoReply => Icmpv4Packet::new_checked(bytes).map(|i| (0, i.ident())),
    };
    let (source_port, destination_port) = ports.map_err(|_| Untranslatable::Malformed)?;
    Ok(FlowKey {
        transport,
        source: Endpoint { ip: source, port: source_port },
        destination: Endpoint { ip: destination, port: destination_port },
    })
}

#[inline]
fn addresses(frame: &[u8], l3: usize, version: IpVersion) -> Option<(IpAddr, IpAddr)> {
    let packet = frame.get(l3..)?;
    match version {
        IpVersion::V4 => {
            let ip = Ipv4Packet::new_truncated(packet).ok()?;
            Some((ip.source().into(), ip.destination().into()))
        }
        IpVersion::V6 => {
            let ip = Ipv6Packet::new_truncated(packet).ok()?;
            Some((ip.source().into(), ip.destination().into()))
        }
    }
}

fn fragment(
    frame: &[u8],
    l3: usize,
    ip: &IpHeaders,
    (source, destination): (IpAddr, IpAddr),
) -> Option<Fragment> {
    let packet = frame.get(l3..)?;
    let (protocol, id, offset, more) = match ip.version {
        IpVersion::V4 => {
            let packet = Ipv4Packet::new_truncated(packet).ok()?;
            let id = u32::from(packet.id());
            (Some(packet.protocol()), id, packet.fragment_offset(), packet.more_fragments())
        }
        IpVersion::V6 => {
            let packet = Ipv6Packet::new_checked(packet).ok()?;
            packet.extensions().find_map(|extension| {
                // A header that says neither is that of a whole packet (RFC 6946).
                let word = extension.fragment_word().filter(|word| word & 0xfff9 != 0)?;
                let id = u32::from_be_bytes(*extension.bytes.get(4..)?.first_chunk()?);
                Some((None, id, usize::from(word & 0xfff8), word & 1 != 0))
            })?
        }
    };
    let key = FragmentKey { source, destination, protocol, id };
    Some(Fragment { key, offset, more, flow: None })
}

fn has_source_route(frame: &[u8], l3: usize) -> bool {
    let packet = frame.get(l3..).and_then(|b| Ipv4Packet::new_truncated(b).ok());
    packet.is_some_and(|packet| {
        packet.options().any(|option| matches!(option.kind, LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE))
    })
}

fn is_authenticated(frame: &[u8], l3: usize) -> bool {
    let packet = frame.get(l3..).and_then(|b| Ipv6Packet::new_checked(b).ok());
    packet.is_some_and(|packet| packet.extensions().any(|e| e.kind == ipproto::AUTHENTICATION))
}

#[cfg(test)]
#[path = "classify_tests.rs"]
mod tests;
