//! One readable line for a frame, for people who watch a capture.

mod icmp;
#[cfg(test)]
mod tests;
mod transport;

use std::fmt::{self, Write as _};
use std::net::Ipv4Addr;

use etherparse::err::packet::SliceError;
use etherparse::{
    ArpHardwareId, ArpOperation, ArpPacketSlice, EtherType, IpNumber, Ipv6ExtensionsSlice,
    Ipv6FragmentHeaderSlice, LaxIpPayloadSlice, LaxLinkExtSlice, LaxNetSlice, LaxSlicedPacket, LinkSlice,
};

use crate::frame::MIN_FRAME;
use crate::{MacAddr, Offload};

/// A line that says what `frame` is, much as `tcpdump -e -n` does, without a line end:
/// `02:42:ac:11:00:02 > 02:42:ac:11:00:03, IPv4 172.17.0.2.5201 > 172.17.0.3.40000: TCP [P.],
/// seq 1:65161, ack 5, win 502, length 65160 (45 x 1448)`.
///
/// Lengths are bytes of payload as the headers say, also where the frame was cut. What follows a
/// super-frame in parentheses is the number of its segments and the payload of each.
pub fn describe(frame: &[u8], offload: Offload) -> String {
    let mut line = String::with_capacity(160);
    // Writing to a String does not fail.
    let _ = write_frame(&mut line, frame, offload);
    line
}

fn write_frame(out: &mut String, frame: &[u8], offload: Offload) -> fmt::Result {
    let Ok(packet) = LaxSlicedPacket::from_ethernet(frame) else {
        return write!(out, "cut after {} of {MIN_FRAME} bytes of the Ethernet header", frame.len());
    };
    let Some(LinkSlice::Ethernet2(ethernet)) = &packet.link else { return Ok(()) };
    write!(out, "{} > {}, ", MacAddr(ethernet.source()), MacAddr(ethernet.destination()))?;
    let (mut kind, mut rest) = (ethernet.ether_type(), ethernet.payload_slice());
    for extension in &packet.link_exts {
        // What is below MACsec is usually encrypted; its ethertype is name enough.
        let LaxLinkExtSlice::Vlan(vlan) = extension else { break };
        let service = if kind == EtherType::VLAN_TAGGED_FRAME { "" } else { "service " };
        write!(out, "{service}vlan {}, ", vlan.vlan_identifier().value())?;
        if vlan.priority_code_point().value() != 0 {
            write!(out, "priority {}, ", vlan.priority_code_point().value())?;
        }
        (kind, rest) = (vlan.ether_type(), vlan.payload_slice());
    }
    let payload = match &packet.net {
        Some(LaxNetSlice::Arp(arp)) => {
            write_arp(out, arp)?;
            None
        }
        Some(net) => write_ip(out, net, &packet)?,
        None => {
            write_other(out, kind, rest)?;
            None
        }
    };
    if let Some(gso) = offload.gso {
        match payload {
            Some(length) => write!(out, " ({} x {})", length.div_ceil(gso.size.into()).max(1), gso.size)?,
            None => write!(out, " (segments of {})", gso.size)?,
        }
    }
    match &packet.stop_err {
        Some((SliceError::Len(_), layer)) => write!(out, " [cut in {layer}]"),
        Some((error, _)) => write!(out, " [malformed: {error}]"),
        None => Ok(()),
    }
}

fn write_arp(out: &mut String, arp: &ArpPacketSlice<'_>) -> fmt::Result {
    let (Ok(sender), Ok(target), Ok(hardware)) = (
        <[u8; 4]>::try_from(arp.sender_protocol_addr()),
        <[u8; 4]>::try_from(arp.target_protocol_addr()),
        <[u8; 6]>::try_from(arp.sender_hw_addr()),
    ) else {
        return write!(
            out,
            "ARP operation {} for hardware {} and protocol {:#06x}",
            arp.operation().0,
            arp.hw_addr_type().0,
            arp.proto_addr_type().0
        );
    };
    let (sender, target) = (Ipv4Addr::from(sender), Ipv4Addr::from(target));
    match arp.operation() {
        ArpOperation::REQUEST => write!(out, "ARP, who-has {target} tell {sender}")?,
        ArpOperation::REPLY => write!(out, "ARP, {sender} is-at {}", MacAddr(hardware))?,
        operation => write!(out, "ARP, operation {} from {sender} to {target}", operation.0)?,
    }
    match arp.hw_addr_type() {
        ArpHardwareId::ETHERNET => Ok(()),
        other => write!(out, " (hardware {})", other.0),
    }
}

/// Addresses, ports and what IP carries; gives the bytes of transport payload if they are known.
fn write_ip(
    out: &mut String,
    net: &LaxNetSlice<'_>,
    packet: &LaxSlicedPacket<'_>,
) -> Result<Option<usize>, fmt::Error> {
    let ports = packet.transport.as_ref().and_then(transport::ports);
    match net {
        LaxNetSlice::Ipv4(ip) => {
            let (header, payload) = (ip.header(), ip.payload());
            let (source, destination) = (header.source_addr(), header.destination_addr());
            write_ends(out, "IPv4", source.into(), destination.into(), ports)?;
            let authentication = ip.extensions().auth.map_or(0, |auth| auth.slice().len());
            let captured = header.slice().len() + authentication + payload.payload.len();
            let missing = missing(payload, header.total_len().into(), captured);
            if payload.fragmented {
                let fragment = Fragment {
                    id: header.identification().into(),
                    offset: usize::from(header.fragments_offset().value()) * 8,
                    more: header.more_fragments(),
                };
                return fragment.write(out, payload, missing);
            }
            transport::write(out, packet.transport.as_ref(), payload, missing)
        }
        LaxNetSlice::Ipv6(ip) => {
            let (header, payload) = (ip.header(), ip.payload());
            let (source, destination) = (header.source_addr(), header.destination_addr());
            write_ends(out, "IPv6", source.into(), destination.into(), ports)?;
            let captured = ip.extensions().slice().len() + payload.payload.len();
            let missing = missing(payload, header.payload_length().into(), captured);
            for (number, header) in extensions(ip.extensions()) {
                match (number, Ipv6FragmentHeaderSlice::from_slice(header)) {
                    (IpNumber::IPV6_FRAGMENTATION_HEADER, Ok(header)) if payload.fragmented => {
                        let fragment = Fragment {
                            id: header.identification(),
                            offset: usize::from(header.fragment_offset().value()) * 8,
                            more: header.more_fragments(),
                        };
                        return fragment.write(out, payload, missing);
                    }
                    (IpNumber::IPV6_HEADER_HOP_BY_HOP, _) => out.push_str("hop-by-hop, "),
                    (IpNumber::IPV6_ROUTE_HEADER, _) => out.push_str("routing, "),
                    (IpNumber::IPV6_DESTINATION_OPTIONS, _) => out.push_str("destination options, "),
                    (IpNumber::IPV6_FRAGMENTATION_HEADER, _) => out.push_str("atomic fragment, "),
                    _ => out.push_str("AH, "),
                }
            }
            transport::write(out, packet.transport.as_ref(), payload, missing)
        }
        LaxNetSlice::Arp(_) => Ok(None),
    }
}

/// The extension headers of a packet, each with its protocol number.
///
/// Not by etherparse's own iterator: up to 0.21 it reads past the end of a chain that was cut.
fn extensions<'a>(headers: &Ipv6ExtensionsSlice<'a>) -> impl Iterator<Item = (IpNumber, &'a [u8])> + use<'a> {
    let (mut number, mut rest) = (headers.first_header().unwrap_or_default(), headers.slice());
    std::iter::from_fn(move || {
        let [next, length, ..] = *rest else { return None };
        let length = usize::from(length);
        let (header, after) = rest.split_at_checked(match number {
            IpNumber::IPV6_FRAGMENTATION_HEADER => 8,
            IpNumber::AUTHENTICATION_HEADER => (length + 2) * 4,
            _ => (length + 1) * 8,
        })?;
        rest = after;
        Some((std::mem::replace(&mut number, IpNumber(next)), header))
    })
}

/// Bytes of the packet that were not captured, by its length field.
fn missing(payload: &LaxIpPayloadSlice<'_>, declared: usize, captured: usize) -> usize {
    if payload.incomplete { declared.saturating_sub(captured) } else { 0 }
}

/// `A.port > B.port: `, the form of tcpdump.
fn write_ends(
    out: &mut String,
    version: &str,
    source: std::net::IpAddr,
    destination: std::net::IpAddr,
    ports: Option<(u16, u16)>,
) -> fmt::Result {
    match ports {
        Some((from, to)) => write!(out, "{version} {source}.{from} > {destination}.{to}: "),
        None => write!(out, "{version} {source} > {destination}: "),
    }
}

/// One part of a packet, of either IP version.
struct Fragment {
    id: u32,
    /// Bytes before it in the packet.
    offset: usize,
    more: bool,
}

impl Fragment {
    fn write(
        &self,
        out: &mut String,
        payload: &LaxIpPayloadSlice<'_>,
        missing: usize,
    ) -> Result<Option<usize>, fmt::Error> {
        write!(
            out,
            "{} fragment, id {}, offset {}, length {}{}",
            transport::name(payload.ip_number),
            self.id,
            self.offset,
            payload.payload.len() + missing,
            if self.more { ", more follow" } else { ", the last" }
        )?;
        Ok(None)
    }
}

/// What is neither ARP nor IP: an ethertype, or a length and IEEE 802.2.
fn write_other(out: &mut String, kind: EtherType, payload: &[u8]) -> fmt::Result {
    let name = match kind.0 {
        0..=1500 => {
            return match payload {
                [0x42, 0x42, ..] => write!(out, "802.3 STP, length {}", payload.len()),
                [destination, source, ..] => write!(
                    out,
                    "802.3 LLC, dsap {destination:#04x}, ssap {source:#04x}, length {}",
                    payload.len()
                ),
                _ => write!(out, "802.3, length {}", payload.len()),
            };
        }
        0x0800 => "IPv4",
        0x0806 => "ARP",
        0x86dd => "IPv6",
        0x8035 => "RARP",
        0x8100 | 0x88a8 | 0x9100 => "VLAN",
        0x8847 | 0x8848 => "MPLS",
        0x8863 | 0x8864 => "PPPoE",
        0x888e => "EAPOL",
        0x88cc => "LLDP",
        0x88e5 => "MACsec",
        0x88f7 => "PTP",
        _ => "unknown",
    };
    write!(out, "ethertype {name} ({:#06x}), length {}", kind.0, payload.len())
}
