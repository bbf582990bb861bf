use proptest::prelude::*;

use super::*;
use crate::mac::MacAddr;

/// An IPv6 TCP segment with one byte, `extensions` before it, `first` being the first next header.
fn ipv6_tcp(first: u8, extensions: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut tcp = vec![0u8; 20];
    TcpPacket::new_written(&mut tcp).unwrap().set_source_port(7);
    tcp.extend(payload);
    let mut ip = vec![0u8; 40];
    ip.extend(extensions);
    ip.extend(tcp);
    Ipv6Packet::new_written(&mut ip).unwrap().set_next_header(first);
    let mut frame = vec![0u8; 12];
    frame.extend(ethertype::IPV6.to_be_bytes());
    frame.extend(ip);
    frame
}

#[test]
fn headers_are_found_behind_two_tags() {
    let mut frame = vec![2u8; 12];
    frame.extend([0x88, 0xa8, 0x20, 0x05, 0x81, 0x00, 0x00, 0x07, 0x08, 0x00]);
    let mut ip = vec![0u8; 20 + 8 + 3];
    {
        let mut p = Ipv4Packet::new_written(&mut ip).unwrap();
        p.set_protocol(ipproto::UDP);
        p.fill_checksum();
        UdpPacket::new_written(p.payload_mut()).unwrap().set_destination_port(53);
    }
    frame.extend(&ip);
    frame.extend([9; 4]);
    let h = Headers::parse(&frame).unwrap();
    assert_eq!((h.ethertype, h.vlan, h.l3), (ethertype::IPV4, Some(0x2005), 22));
    let ip = h.ip.unwrap();
    assert_eq!((ip.l4, ip.payload, ip.end, ip.fragment), (42, Some(50), 53, false));
    assert_eq!(ip.ports(&frame), Some((0, 53)));
    let tag = VlanTag::new_checked(&frame[14..]).unwrap();
    assert_eq!((tag.vid(), tag.priority(), tag.drop_eligible()), (5, 1, false));
    assert_eq!(tag.ethertype(), ethertype::VLAN);
}

#[test]
fn a_third_tag_hides_the_packet() {
    let mut frame = vec![0u8; 12];
    for _ in 0..3 {
        frame.extend([0x81, 0, 0, 1]);
    }
    frame.extend([8, 0]);
    frame.extend([0x45; 60]);
    let h = Headers::parse(&frame).unwrap();
    assert_eq!((h.ethertype, h.l3, h.ip), (ethertype::VLAN, 22, None));
    assert_eq!(Headers::parse(&frame[..17]), None);
    assert_eq!(Headers::parse(&frame[..13]), None);
}

#[test]
fn extension_headers_are_walked() {
    let mut extensions = vec![ipproto::ROUTING, 0, 1, 4, 0, 0, 0, 0];
    extensions.extend([ipproto::TCP, 2, 2, 1]);
    extensions.extend([0; 20]);
    let frame = ipv6_tcp(ipproto::HOP_BY_HOP, &extensions, b"x");
    let ip = Headers::parse(&frame).unwrap().ip.unwrap();
    assert_eq!((ip.protocol, ip.l4, ip.payload), (ipproto::TCP, 54 + 32, Some(54 + 52)));
    assert!(ip.routed && !ip.fragment);
    let packet = Ipv6Packet::new_checked(&frame[14..]).unwrap();
    let kinds: Vec<_> = packet.extensions().map(|e| (e.kind, e.offset, e.bytes.len())).collect();
    assert_eq!(kinds, [(ipproto::HOP_BY_HOP, 0, 8), (ipproto::ROUTING, 8, 24)]);
    assert_eq!(packet.extensions().finish(), Some((ipproto::TCP, 32)));
}

#[test]
fn a_later_fragment_has_no_transport_header() {
    let fragment = |word: u16| {
        let [a, b] = word.to_be_bytes();
        let frame = ipv6_tcp(ipproto::FRAGMENT, &[ipproto::TCP, 0, a, b, 0, 0, 0, 1], b"x");
        Headers::parse(&frame).unwrap().ip.unwrap()
    };
    assert!(!fragment(0).fragment && fragment(0).payload.is_some());
    assert!(fragment(1).fragment && fragment(1).payload.is_some());
    assert!(fragment(8).fragment && fragment(8).payload.is_none());
}

#[test]
fn data_of_a_later_fragment_is_not_taken_for_headers() {
    // The fragment header says destination options follow, but at this offset data do.
    let frame = ipv6_tcp(ipproto::FRAGMENT, &[ipproto::DESTINATION, 0, 0, 8, 0, 0, 0, 1], &[0xff; 9]);
    let ip = Headers::parse(&frame).unwrap().ip.unwrap();
    assert_eq!((ip.protocol, ip.l4, ip.payload), (ipproto::DESTINATION, 62, None));
}

#[test]
fn endless_extension_headers_are_given_up() {
    let chain = |n: usize| {
        let mut extensions = [ipproto::DESTINATION, 0, 1, 4, 0, 0, 0, 0].repeat(n);
        let last = extensions.len() - 8;
        extensions[last] = ipproto::TCP;
        Headers::parse(&ipv6_tcp(ipproto::DESTINATION, &extensions, b"x")).unwrap().ip
    };
    assert!(chain(ipv6::MAX_EXTENSIONS).is_some());
    assert!(chain(ipv6::MAX_EXTENSIONS + 1).is_none());
}

#[test]
fn lengths_beyond_the_bytes_are_refused() {
    let mut ip = vec![0u8; 40];
    Ipv4Packet::new_written(&mut ip).unwrap();
    assert!(Ipv4Packet::new_checked(&ip[..39]).is_err());
    assert!(Ipv4Packet::new_truncated(&ip[..39]).is_ok());
    ip[0] = 0x44;
    assert_eq!(Ipv4Packet::new_checked(&ip[..]), Err(WireError::Length { protocol: "IPv4", length: 16 }));
    ip[0] = 0x65;
    assert_eq!(Ipv4Packet::new_checked(&ip[..]), Err(WireError::Version { protocol: "IPv4", version: 6 }));
    ip[0] = 0x45;
    ip[2..4].copy_from_slice(&[0, 19]);
    assert!(Ipv4Packet::new_checked(&ip[..]).is_err());
    assert!(UdpPacket::new_checked([0, 0, 0, 0, 0, 7, 0, 0]).is_err());
    assert!(UdpPacket::new_checked([0, 0, 0, 0, 0, 9, 0, 0]).is_err());
}

#[test]
fn a_transport_header_beyond_the_packet_is_not_found() {
    // The frame has the bytes, but as padding.
    let mut frame = ipv6_tcp(ipproto::TCP, &[], &[]);
    frame.extend([0; 8]);
    let found = |frame: &[u8]| Headers::parse(frame).unwrap().ip.unwrap().payload;
    assert_eq!(found(&frame), Some(74));
    frame[54 + 12] = 0x60;
    assert_eq!(found(&frame), None);
    frame[54 + 12] = 0x40;
    assert_eq!(found(&frame), None);
}

#[test]
fn tcp_options_are_read_up_to_the_first_bad_one() {
    let mut tcp = vec![0u8; 32];
    let mut packet = TcpPacket::new_written(&mut tcp).unwrap();
    packet.set_header_len(32);
    packet.options_mut().copy_from_slice(&[1, 2, 4, 0x05, 0xb4, 3, 3, 7, 8, 10, 0, 0]);
    let packet = TcpPacket::new_checked(&tcp).unwrap();
    assert_eq!(packet.mss(), Some(1460));
    let kinds: Vec<_> = packet.options().map(|o| o.kind).collect();
    assert_eq!(kinds, [tcp::option::NOP, tcp::option::MSS, tcp::option::WINDOW_SCALE]);
    for bad in [[5, 0], [5, 1], [5, 13]] {
        tcp[20..22].copy_from_slice(&bad);
        assert_eq!(TcpPacket::new_checked(&tcp).unwrap().options().count(), 0);
    }
}

#[test]
fn an_arp_request_is_written_and_read() {
    let mac: MacAddr = "02:42:ac:11:00:02".parse().unwrap();
    let mut bytes = [0u8; 28];
    let mut arp = ArpPacket::new_written(&mut bytes).unwrap();
    arp.set_operation(arp::REQUEST);
    arp.set_sender(mac, [172, 17, 0, 2].into());
    arp.set_target(MacAddr::ZERO, [172, 17, 0, 1].into());
    let arp = ArpPacket::new_checked(&bytes).unwrap();
    assert_eq!((arp.operation(), arp.sender_mac()), (arp::REQUEST, mac));
    assert_eq!(arp.target_ip().octets(), [172, 17, 0, 1]);
    assert!(!arp.is_gratuitous());
    bytes[1] = 6;
    assert_eq!(ArpPacket::new_checked(&bytes), Err(WireError::ForeignArp));
}

#[test]
fn a_neighbour_solicitation_is_read() {
    let (source, target) = ("fe80::1".parse().unwrap(), "fd00::2".parse().unwrap());
    let mut bytes = [0u8; 32];
    bytes[0] = icmpv6::kind::NEIGHBOR_SOLICITATION;
    bytes[24..].copy_from_slice(&[1, 1, 2, 0x42, 0, 0, 0, 9]);
    let mut packet = Icmpv6Packet::new_checked(&mut bytes[..]).unwrap();
    packet.set_target(target);
    packet.fill_checksum(source, target);
    let packet = Icmpv6Packet::new_checked(&bytes[..]).unwrap();
    assert!(packet.verify_checksum(source, target));
    assert_eq!(packet.target(), Some(target));
    let macs: Vec<_> = packet.ndp_options().filter_map(|o| o.mac()).collect();
    assert_eq!(macs, [MacAddr([2, 0x42, 0, 0, 0, 9])]);
    assert!(Icmpv6Packet::new_checked(&bytes[..23]).is_err());
    bytes[25] = 0;
    assert_eq!(Icmpv6Packet::new_checked(&bytes[..]).unwrap().ndp_options().count(), 0);
}

#[test]
fn an_icmp_error_tells_its_mtu() {
    let mut bytes = [0u8; 36];
    let mut packet = Icmpv4Packet::new_checked(&mut bytes[..]).unwrap();
    packet.set_kind(icmpv4::kind::UNREACHABLE);
    packet.set_code(icmpv4::unreachable::FRAGMENTATION_NEEDED);
    packet.set_mtu(1450);
    packet.fill_checksum();
    let packet = Icmpv4Packet::new_checked(&bytes[..]).unwrap();
    assert!(packet.is_error() && packet.verify_checksum());
    assert_eq!((packet.mtu(), packet.payload().len()), (1450, 28));
}

#[test]
fn fields_of_ipv6_do_not_run_into_each_other() {
    let mut bytes = [0u8; 40];
    let mut packet = Ipv6Packet::new_written(&mut bytes).unwrap();
    packet.set_flow_label(0xfff_ffff);
    packet.set_traffic_class(0xa5);
    assert_eq!((packet.version(), packet.traffic_class(), packet.flow_label()), (6, 0xa5, 0xf_ffff));
}

proptest! {
    /// Half of the bytes begin like a real frame, so that the inner layers are reached.
    #[test]
    fn no_bytes_make_a_view_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        like in 0u8..5,
        at in 0usize..40,
    ) {
        let start: &[u8] = match like {
            0 => &[8, 0, 0x45],
            1 => &[0x86, 0xdd, 0x60, 0, 0, 0, 0, 30, 44],
            2 => &[0x81, 0, 0, 1, 8, 0, 0x46, 0, 0, 60],
            3 => &[8, 6, 0, 1, 8, 0, 6, 4],
            _ => &[],
        };
        if bytes.len() > 12 + start.len() {
            bytes[12..12 + start.len()].copy_from_slice(start);
        }
        crate::fuzzing::views(&bytes);
        crate::fuzzing::views(bytes.get(at..).unwrap_or(&[]));
    }

    #[test]
    fn etherparse_finds_the_same_layers(
        ipv6: bool, tagged: bool, tcp: bool, payload in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        use etherparse::{PacketBuilder, SlicedPacket};
        let eth = PacketBuilder::ethernet2([1; 6], [2; 6]);
        let ip = match (tagged, ipv6) {
            (false, false) => eth.ipv4([1, 2, 3, 4], [5, 6, 7, 8], 9),
            (false, true) => eth.ipv6([1; 16], [2; 16], 9),
            (true, false) => eth.single_vlan(5.try_into().unwrap()).ipv4([1, 2, 3, 4], [5, 6, 7, 8], 9),
            (true, true) => eth.single_vlan(5.try_into().unwrap()).ipv6([1; 16], [2; 16], 9),
        };
        let mut frame = Vec::new();
        if tcp {
            ip.tcp(10, 20, 30, 40).write(&mut frame, &payload).unwrap();
        } else {
            ip.udp(10, 20).write(&mut frame, &payload).unwrap();
        }
        let sliced = SlicedPacket::from_ethernet(&frame).unwrap();
        let h = Headers::parse(&frame).unwrap();
        let ip = h.ip.unwrap();
        prop_assert_eq!(h.vlan.is_some(), !sliced.link_exts.is_empty());
        prop_assert_eq!(ip.version == IpVersion::V6, ipv6);
        prop_assert_eq!(&frame[ip.payload.unwrap()..ip.end], &payload[..]);
        prop_assert_eq!(ip.ports(&frame), Some((10, 20)));
        prop_assert_eq!(crate::checksum::verify_transport(&frame, h.l3, &ip), Some(true));
    }
}
