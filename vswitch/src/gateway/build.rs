//! Frames around packets: the Ethernet and IP headers of what the gateway sends.

use std::net::{Ipv4Addr, Ipv6Addr};

use packet::MacAddr;
use packet::wire::{EthernetFrame, Ipv4Packet, Ipv6Packet, ethernet, ethertype, ipv4, ipv6};

/// Hops the gateway gives its packets.
pub(super) const TTL: u8 = 64;
/// Bytes in front of an IPv4 payload.
pub(super) const V4: usize = ethernet::HEADER_LEN + ipv4::HEADER_LEN;
/// Bytes in front of an IPv6 payload.
pub(super) const V6: usize = ethernet::HEADER_LEN + ipv6::HEADER_LEN;

/// From which station to which a frame goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Link {
    pub(super) to: MacAddr,
    pub(super) from: MacAddr,
}

/// The fields of an IPv4 header that differ from packet to packet.
#[derive(Clone, Copy)]
pub(super) struct Header4 {
    pub(super) source: Ipv4Addr,
    pub(super) destination: Ipv4Addr,
    pub(super) protocol: u8,
    pub(super) tos: u8,
    pub(super) id: u16,
    /// Flags and offset, see [`ipv4`].
    pub(super) fragment: u16,
}

impl Header4 {
    /// A whole packet that nobody fragments: its identification means nothing (RFC 6864).
    pub(super) fn whole(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8) -> Self {
        Self { source, destination, protocol, tos: 0, id: 0, fragment: ipv4::DONT_FRAGMENT }
    }
}

/// The fields of an IPv6 header that differ from packet to packet.
#[derive(Clone, Copy)]
pub(super) struct Header6 {
    pub(super) source: Ipv6Addr,
    pub(super) destination: Ipv6Addr,
    pub(super) next: u8,
    pub(super) class: u8,
    pub(super) hops: u8,
}

/// Writes an Ethernet header and returns what is behind it. `None` without enough room.
pub(super) fn ethernet(out: &mut [u8], link: Link, ethertype: u16) -> Option<&mut [u8]> {
    let mut frame = EthernetFrame::new_checked(out).ok()?;
    frame.set_destination(link.to);
    frame.set_source(link.from);
    frame.set_ethertype(ethertype);
    frame.into_inner().get_mut(ethernet::HEADER_LEN..)
}

/// Writes Ethernet and IPv4 headers around `len` bytes of payload, which it returns to be filled.
pub(super) fn ipv4<'a>(out: &'a mut [u8], link: Link, header: &Header4, len: usize) -> Option<&'a mut [u8]> {
    let packet = ethernet(out, link, ethertype::IPV4)?.get_mut(..ipv4::HEADER_LEN.checked_add(len)?)?;
    u16::try_from(packet.len()).ok()?;
    let mut packet = Ipv4Packet::new_written(packet).ok()?;
    packet.set_tos(header.tos);
    packet.set_id(header.id);
    packet.set_fragment_word(header.fragment);
    packet.set_ttl(TTL);
    packet.set_protocol(header.protocol);
    packet.set_source(header.source);
    packet.set_destination(header.destination);
    packet.fill_checksum();
    packet.into_inner().get_mut(ipv4::HEADER_LEN..)
}

/// [`ipv4()`] for IPv6.
pub(super) fn ipv6<'a>(out: &'a mut [u8], link: Link, header: &Header6, len: usize) -> Option<&'a mut [u8]> {
    u16::try_from(len).ok()?;
    let packet = ethernet(out, link, ethertype::IPV6)?.get_mut(..ipv6::HEADER_LEN.checked_add(len)?)?;
    let mut packet = Ipv6Packet::new_written(packet).ok()?;
    packet.set_traffic_class(header.class);
    packet.set_next_header(header.next);
    packet.set_hop_limit(header.hops);
    packet.set_source(header.source);
    packet.set_destination(header.destination);
    packet.into_inner().get_mut(ipv6::HEADER_LEN..)
}

/// Writes big-endian or other fixed bytes at an offset; outside it does nothing.
pub(super) fn put<const N: usize>(out: &mut [u8], at: usize, value: [u8; N]) {
    if let Some(field) = out.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *field = value;
    }
}

/// Reads fixed bytes at an offset.
pub(super) fn get<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied()
}

#[cfg(test)]
mod tests {
    use etherparse::{NetSlice, SlicedPacket};

    use super::*;

    const LINK: Link = Link { to: MacAddr([2, 0, 0, 0, 0, 2]), from: MacAddr([2, 0, 0, 0, 0, 1]) };

    #[test]
    fn headers_read_as_they_were_written() {
        let mut out = [0xaa; 100];
        let header = Header4 {
            tos: 0x2e,
            id: 7,
            ..Header4::whole(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2), 99)
        };
        ipv4(&mut out, LINK, &header, 5).unwrap().fill(1);
        let packet = SlicedPacket::from_ethernet(&out).unwrap();
        let Some(NetSlice::Ipv4(ip)) = packet.net else { panic!("{packet:?}") };
        let h = ip.header().to_header();
        assert_eq!(
            (h.total_len, h.time_to_live, h.protocol.0, h.dscp.value(), h.ecn.value()),
            (25, 64, 99, 11, 2)
        );
        assert_eq!((h.source, h.destination, h.identification), ([10, 0, 0, 1], [10, 0, 0, 2], 7));
        assert!(h.dont_fragment && h.header_checksum == h.calc_header_checksum());
        assert_eq!(ip.payload().payload, [1; 5]);

        let mut out = [0xaa; 100];
        let (source, destination) = ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap());
        let header = Header6 { source, destination, next: 99, class: 0x2e, hops: 255 };
        ipv6(&mut out, LINK, &header, 5).unwrap().fill(2);
        let packet = SlicedPacket::from_ethernet(&out).unwrap();
        let Some(NetSlice::Ipv6(ip)) = packet.net else { panic!("{packet:?}") };
        let h = ip.header().to_header();
        assert_eq!((h.payload_length, h.hop_limit, h.next_header.0, h.traffic_class), (5, 255, 99, 0x2e));
        assert_eq!((h.source_addr(), h.destination_addr()), (source, destination));
    }

    #[test]
    fn too_little_room_is_no_frame() {
        let header = Header4::whole(Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST, 1);
        assert!(ipv4(&mut [0; 38], LINK, &header, 5).is_none());
        assert!(ipv4(&mut [0; 13], LINK, &header, 0).is_none());
        assert!(ipv4(&mut vec![0; 70_000], LINK, &header, 65_516).is_none());
        let v6 = Ipv6Addr::LOCALHOST;
        let header = Header6 { source: v6, destination: v6, next: 0, class: 0, hops: 1 };
        assert!(ipv6(&mut [0; 58], LINK, &header, 5).is_none());
        assert!(ipv6(&mut vec![0; 70_000], LINK, &header, 65_536).is_none());
    }
}
