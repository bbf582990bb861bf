//! Frames to a container, written from scratch.

use std::net::IpAddr;

use packet::{
    Checksum, Frame, Gso, GsoKind, MacAddr, Offload,
    checksum::Sum,
    wire::{EthernetFrame, Ipv4Packet, Ipv6Packet, TcpPacket, ethernet, ethertype, ipproto, ipv4, ipv6, tcp},
};

use crate::tcp::Header;

/// Hops that a packet of ours may take.
const HOPS: u8 = 64;
/// Most bytes in an IP packet.
const MAX_PACKET: usize = 65_535;
/// Where the checksum lies in a TCP header.
const TCP_CHECKSUM: u16 = 16;

/// The Ethernet header of frames to a container.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Link {
    pub(crate) gateway: MacAddr,
    pub(crate) container: MacAddr,
}

/// Whom a packet is from and for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Route {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
}

/// Bytes of the headers of a segment without options, from the Ethernet header on.
pub(crate) const fn headers_len(v6: bool) -> usize {
    ip_offset() + (if v6 { ipv6::HEADER_LEN } else { ipv4::HEADER_LEN }) + tcp::HEADER_LEN
}

const fn ip_offset() -> usize {
    ethernet::HEADER_LEN
}

/// Most data in one frame: as many whole segments of `mss` bytes as an IP packet can carry.
pub(crate) const fn most_data(v6: bool, mss: u16) -> usize {
    let room = MAX_PACKET - (headers_len(v6) - ip_offset());
    let mss = if mss == 0 { 1 } else { mss as usize };
    if room < mss { room } else { room / mss * mss }
}

/// Makes `frame` a TCP segment with `len` bytes of data, which already lie in
/// [`Frame::plain_area`] behind as many bytes as the headers have. Data of more than `mss` bytes
/// make it a super-frame. Its checksum is partial. `None` if it does not fit.
pub(crate) fn tcp_segment(
    frame: &mut Frame,
    link: Link,
    route: Route,
    ports: (u16, u16),
    header: &Header,
    len: usize,
    mss: u16,
) -> Option<()> {
    let v6 = route.source.is_ipv6();
    let (options, options_len) = header.options();
    let segment = header.header_len() + len;
    let l4 = ip_offset() + if v6 { ipv6::HEADER_LEN } else { ipv4::HEADER_LEN };
    let total = l4 + segment;
    let area = frame.plain_area().get_mut(..total)?;
    let transport = network(area, link, route, ipproto::TCP)?;

    let mut tcp = TcpPacket::new_written(&mut *transport).ok()?;
    tcp.set_source_port(ports.0);
    tcp.set_destination_port(ports.1);
    tcp.set_sequence(header.seq.0);
    tcp.set_acknowledgment(header.ack.0);
    tcp.set_header_len(header.header_len() as u8);
    tcp.set_flags(header.flags);
    tcp.set_window(header.window);
    tcp.options_mut().get_mut(..options_len)?.copy_from_slice(options.get(..options_len)?);
    tcp.set_checksum(pseudo(route, ipproto::TCP, segment)?.fold());

    frame.commit_plain(total).ok()?;
    let kind = if v6 { GsoKind::Tcp6 } else { GsoKind::Tcp4 };
    let hdr_len = (l4 + header.header_len()) as u16;
    frame.set_offload(Offload {
        checksum: Checksum::Partial { start: l4 as u16, offset: TCP_CHECKSUM },
        gso: (len > mss.into()).then_some(Gso { kind, ecn: false, size: mss, hdr_len }),
    });
    Some(())
}

/// Writes the Ethernet and IP headers of a packet that fills `area`; returns what it carries.
pub(crate) fn network(area: &mut [u8], link: Link, route: Route, protocol: u8) -> Option<&mut [u8]> {
    let mut ethernet = EthernetFrame::new_checked(&mut *area).ok()?;
    ethernet.set_destination(link.container);
    ethernet.set_source(link.gateway);
    ethernet.set_ethertype(if route.source.is_ipv6() { ethertype::IPV6 } else { ethertype::IPV4 });
    let packet = area.get_mut(ip_offset()..)?;
    match (route.source, route.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut ip = Ipv4Packet::new_written(&mut *packet).ok()?;
            ip.set_fragment_word(ipv4::DONT_FRAGMENT);
            ip.set_ttl(HOPS);
            ip.set_protocol(protocol);
            ip.set_source(source);
            ip.set_destination(destination);
            ip.fill_checksum();
            packet.get_mut(ipv4::HEADER_LEN..)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut ip = Ipv6Packet::new_written(&mut *packet).ok()?;
            ip.set_next_header(protocol);
            ip.set_hop_limit(HOPS);
            ip.set_source(source);
            ip.set_destination(destination);
            packet.get_mut(ipv6::HEADER_LEN..)
        }
        _ => None,
    }
}

fn pseudo(route: Route, protocol: u8, len: usize) -> Option<Sum> {
    match (route.source, route.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            Some(Sum::pseudo_ipv4(source, destination, protocol, len))
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            Some(Sum::pseudo_ipv6(source, destination, protocol, len))
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "build_tests.rs"]
mod tests;
