//! What a sender is told whose packet the underlay cannot carry: "fragmentation needed" (RFC 1191)
//! or "packet too big" (RFC 8201). A switch has no address to say it from, so it comes from the
//! packet's destination, as a kernel VXLAN device under a bridge has it.

use packet::{
    Frame, Offload,
    segment::Segmenter,
    wire::{
        EthernetFrame, Headers, Icmpv4Packet, Icmpv6Packet, IpHeaders, IpVersion, Ipv4Packet, Ipv6Packet,
        ethertype, icmpv4, icmpv6, ipproto, ipv4, ipv6,
    },
};

use crate::neighbour::{write_ethernet, write_ipv6};

/// The longest ICMP error in bytes, IP header included (RFC 1812, section 4.3.2.3).
const MAX_V4: usize = 576;
/// The longest ICMPv6 error (RFC 4443, section 2.4).
const MAX_V6: usize = 1280;
/// Bytes of the longest answer, Ethernet header with two tags included.
pub const MAX_ANSWER: usize = MAX_V6 + 22;

/// Writes to `out` the message that tells the sender of `frame` to send no inner packets of more
/// than `mtu` bytes. `false`, and `out` is of no use, where there is nobody to tell or it must not
/// be told: no IP, IPv4 that may be fragmented, an ICMP error, a fragment other than the first, or
/// addresses that are not those of one host (RFC 1122, section 3.2.2; RFC 4443, section 2.4).
pub fn answer(frame: &Frame, mtu: u32, out: &mut Frame) -> bool {
    build(frame, mtu, out).is_some()
}

fn build(frame: &Frame, mtu: u32, out: &mut Frame) -> Option<()> {
    // Of a super-frame the first segment is quoted, as a router would have seen it.
    if let Some(gso) = frame.offload().gso {
        let len = Segmenter::new(frame.bytes(), gso).ok()?.next_into(out.plain_area()).ok()??;
        out.commit_plain(len).ok()?;
    } else {
        out.copy_from(frame.bytes(), Offload::NONE).ok()?;
    }
    let Headers { l3, ip, .. } = Headers::parse(out.bytes())?;
    let ip = ip?;
    let ethernet = EthernetFrame::new_checked(out.bytes()).ok()?;
    let (to, from) = (ethernet.source(), ethernet.destination());
    if to.is_multicast() || from.is_multicast() {
        return None;
    }
    let (icmp, kind) = match ip.version {
        IpVersion::V4 => (ipv4::HEADER_LEN + icmpv4::HEADER_LEN, ethertype::IPV4),
        IpVersion::V6 => (ipv6::HEADER_LEN + icmpv6::HEADER_LEN, ethertype::IPV6),
    };
    // VLAN tags, which are the same in the frame and its segments.
    let tags = frame.bytes().get(12..l3 - 2)?;
    // The quoted packet stays where it is; the headers of the answer go in front of it.
    out.truncate(ip.end);
    out.trim_front(l3);
    let ip = parse_at_front(out.bytes(), ip.version)?;
    let answer = match ip.version {
        IpVersion::V4 => {
            out.truncate(MAX_V4 - icmp);
            write_v4(out, &ip, mtu)
        }
        IpVersion::V6 => {
            out.truncate(MAX_V6 - icmp);
            write_v6(out, &ip, mtu)
        }
    };
    answer?;
    let header = out.prepend(l3)?;
    write_ethernet(header, to, from, kind)?;
    if !tags.is_empty() {
        header.get_mut(12..12 + tags.len())?.copy_from_slice(tags);
        *header.get_mut(l3 - 2..l3)?.first_chunk_mut()? = kind.to_be_bytes();
    }
    out.set_offload(Offload::NONE);
    Some(())
}

fn parse_at_front(packet: &[u8], version: IpVersion) -> Option<IpHeaders> {
    match version {
        IpVersion::V4 => IpHeaders::parse_v4(packet, 0),
        IpVersion::V6 => IpHeaders::parse_v6(packet, 0),
    }
}

fn write_v4(out: &mut Frame, ip: &IpHeaders, mtu: u32) -> Option<()> {
    // The quote may be cut short by now.
    let packet = Ipv4Packet::new_truncated(out.bytes()).ok()?;
    let (source, destination) = (packet.source(), packet.destination());
    let one = |a: std::net::Ipv4Addr| !a.is_unspecified() && !a.is_multicast() && !a.is_broadcast();
    if !packet.dont_fragment() || packet.fragment_offset() != 0 || !one(source) || !one(destination) {
        return None;
    }
    if ip.protocol == ipproto::ICMP {
        let message = Icmpv4Packet::new_checked(out.bytes().get(ip.l4..)?).ok()?;
        if message.is_error() {
            return None;
        }
    }
    let message = out.prepend(icmpv4::HEADER_LEN)?;
    message.get_mut(..icmpv4::HEADER_LEN)?.fill(0);
    let mut message = Icmpv4Packet::new_checked(message).ok()?;
    message.set_kind(icmpv4::kind::UNREACHABLE);
    message.set_code(icmpv4::unreachable::FRAGMENTATION_NEEDED);
    message.set_mtu(u16::try_from(mtu).unwrap_or(u16::MAX));
    message.fill_checksum();
    let packet = out.prepend(ipv4::HEADER_LEN)?;
    let [a, b] = u16::try_from(packet.len()).ok()?.to_be_bytes();
    let header = packet.first_chunk_mut::<{ ipv4::HEADER_LEN }>()?;
    // 0xc0: precedence internetwork control, as RFC 1812, section 4.3.2.5, has it for errors.
    *header = [0x45, 0xc0, a, b, 0, 0, 0, 0, 64, ipproto::ICMP, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    header[12..16].copy_from_slice(&destination.octets());
    header[16..20].copy_from_slice(&source.octets());
    packet::checksum::fill_ipv4(packet, 0);
    Some(())
}

fn write_v6(out: &mut Frame, ip: &IpHeaders, mtu: u32) -> Option<()> {
    let packet = Ipv6Packet::new_truncated(out.bytes()).ok()?;
    let (source, destination) = (packet.source(), packet.destination());
    if source.is_unspecified()
        || source.is_multicast()
        || destination.is_multicast()
        || ip.payload.is_none() && ip.fragment
    {
        return None;
    }
    if ip.protocol == ipproto::ICMPV6 {
        let message = Icmpv6Packet::new_checked(out.bytes().get(ip.l4..)?).ok()?;
        if message.is_error() {
            return None;
        }
    }
    let message = out.prepend(icmpv6::HEADER_LEN)?;
    message.get_mut(..icmpv6::HEADER_LEN)?.fill(0);
    let len = message.len();
    let mut message = Icmpv6Packet::new_checked(message).ok()?;
    message.set_kind(icmpv6::kind::PACKET_TOO_BIG);
    message.set_mtu(mtu);
    message.fill_checksum(destination, source);
    let packet = out.prepend(ipv6::HEADER_LEN)?;
    write_ipv6(packet.get_mut(..ipv6::HEADER_LEN)?, destination, source, len)
}

#[cfg(test)]
#[path = "too_big_tests.rs"]
mod tests;
