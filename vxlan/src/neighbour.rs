//! Answers to ARP requests and neighbour solicitations, so that none crosses for a known address
//! (as RFC 9161 describes it for EVPN).

use std::net::{IpAddr, Ipv6Addr};

use packet::{
    Checksum, Frame, MacAddr, Offload,
    wire::{
        ArpPacket, EthernetFrame, Headers, Icmpv6Packet, Ipv6Packet, arp, ethernet, ethertype, icmpv6,
        ipproto, ipv6,
    },
};

use crate::network::Network;

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Bytes of a neighbour advertisement with the option for the Ethernet address.
const ADVERTISEMENT_LEN: usize = icmpv6::NEIGHBOR_LEN + 8;

/// Writes to `out` what the station asked for by `frame` would answer, if `network` knows that
/// station; `false` if it does not, or `frame` is no such question. Only untagged frames to
/// many are answered: a question to one station is its own to answer.
pub fn answer(network: &Network, frame: &Frame, out: &mut Frame) -> bool {
    let bytes = frame.bytes();
    let Ok(ethernet) = EthernetFrame::new_checked(bytes) else { return false };
    if !ethernet.destination().is_multicast() || ethernet.source().is_multicast() {
        return false;
    }
    match ethernet.ethertype() {
        ethertype::ARP => answer_arp(network, bytes, out),
        ethertype::IPV6 => answer_solicitation(network, frame, out),
        _ => None,
    }
    .is_some()
}

fn answer_arp(network: &Network, bytes: &[u8], out: &mut Frame) -> Option<()> {
    let request = ArpPacket::new_checked(bytes.get(ethernet::HEADER_LEN..)?).ok()?;
    let ethernet = EthernetFrame::new_checked(bytes).ok()?;
    let asker = request.sender_mac();
    if request.operation() != arp::REQUEST || asker != ethernet.source() || request.is_gratuitous() {
        return None;
    }
    let wanted = network.neighbour(IpAddr::V4(request.target_ip()))?;
    if wanted == asker {
        return None;
    }
    let mut reply = [0; ethernet::HEADER_LEN + arp::PACKET_LEN];
    write_ethernet(&mut reply, asker, wanted, ethertype::ARP)?;
    let mut packet = ArpPacket::new_written(reply.get_mut(ethernet::HEADER_LEN..)?).ok()?;
    packet.set_operation(arp::REPLY);
    packet.set_sender(wanted, request.target_ip());
    packet.set_target(asker, request.sender_ip());
    out.copy_from(&reply, Offload::NONE).ok()
}

fn answer_solicitation(network: &Network, frame: &Frame, out: &mut Frame) -> Option<()> {
    let bytes = frame.bytes();
    let Headers { l3: ethernet::HEADER_LEN, ip: Some(ip), .. } = Headers::parse(bytes)? else { return None };
    if ip.protocol != ipproto::ICMPV6 || ip.fragment {
        return None;
    }
    let packet = Ipv6Packet::new_checked(bytes.get(ethernet::HEADER_LEN..)?).ok()?;
    let message = Icmpv6Packet::new_checked(bytes.get(ip.l4..ip.end)?).ok()?;
    let (source, destination) = (packet.source(), packet.destination());
    // RFC 4861, section 7.1.1: what makes a solicitation valid.
    let whole = matches!(frame.offload().checksum, Checksum::Partial { .. })
        || message.verify_checksum(source, destination);
    if message.kind() != icmpv6::kind::NEIGHBOR_SOLICITATION
        || message.code() != 0
        || packet.hop_limit() != 255
        || !whole
    {
        return None;
    }
    let target = message.target()?;
    let asker = EthernetFrame::new_checked(bytes).ok()?.source();
    let wanted = network.neighbour(IpAddr::V6(target))?;
    if wanted == asker || target.is_multicast() {
        return None;
    }
    // Somebody who asks whether he may take the address has none to be answered at (RFC 4862).
    let probe = source.is_unspecified();
    let (to, to_mac) = if probe { (ALL_NODES, MacAddr([0x33, 0x33, 0, 0, 0, 1])) } else { (source, asker) };
    let mut reply = [0; ethernet::HEADER_LEN + ipv6::HEADER_LEN + ADVERTISEMENT_LEN];
    write_ethernet(&mut reply, to_mac, wanted, ethertype::IPV6)?;
    let (header, body) = reply.get_mut(ethernet::HEADER_LEN..)?.split_at_mut_checked(ipv6::HEADER_LEN)?;
    write_ipv6(header, target, to, body.len())?;
    let mut message = Icmpv6Packet::new_checked(body).ok()?;
    message.set_kind(icmpv6::kind::NEIGHBOR_ADVERTISEMENT);
    let solicited = if probe { 0 } else { icmpv6::neighbor_flags::SOLICITED };
    message.set_neighbor_flags(solicited | icmpv6::neighbor_flags::OVERRIDE);
    message.set_target(target);
    let option = message.payload_mut().get_mut(icmpv6::NEIGHBOR_LEN - icmpv6::HEADER_LEN..)?;
    let [kind, words, mac @ ..] = option else { return None };
    (*kind, *words) = (icmpv6::option::TARGET_LINK_LAYER, 1);
    mac.copy_from_slice(&wanted.0);
    message.fill_checksum(target, to);
    out.copy_from(&reply, Offload::NONE).ok()
}

pub(crate) fn write_ethernet(frame: &mut [u8], to: MacAddr, from: MacAddr, ethertype: u16) -> Option<()> {
    let (addresses, rest) = frame.split_at_mut_checked(12)?;
    let (destination, source) = addresses.split_at_mut_checked(6)?;
    destination.copy_from_slice(&to.0);
    source.copy_from_slice(&from.0);
    *rest.first_chunk_mut()? = ethertype.to_be_bytes();
    Some(())
}

/// An IPv6 header for `payload` bytes of ICMPv6, with the hop limit neighbour discovery demands.
pub(crate) fn write_ipv6(header: &mut [u8], from: Ipv6Addr, to: Ipv6Addr, payload: usize) -> Option<()> {
    let [a, b] = u16::try_from(payload).ok()?.to_be_bytes();
    *header.first_chunk_mut()? = [0x60, 0, 0, 0, a, b, ipproto::ICMPV6, 255];
    header.get_mut(8..24)?.copy_from_slice(&from.octets());
    header.get_mut(24..40)?.copy_from_slice(&to.octets());
    Some(())
}

#[cfg(test)]
#[path = "neighbour_tests.rs"]
mod tests;
