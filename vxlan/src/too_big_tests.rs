use etherparse::{Icmpv4Type, Icmpv6Type, NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use packet::fuzzing::sample::{Sample, payload};
use proptest::prelude::*;

use super::*;

fn tell(bytes: &[u8], offload: Offload) -> Option<Vec<u8>> {
    let (mut frame, mut out) = (Frame::new(), Frame::new());
    frame.copy_from(bytes, offload).unwrap();
    answer(&frame, 1300, &mut out).then(|| out.bytes().to_vec())
}

fn told(sample: &Sample) -> Option<Vec<u8>> {
    let (bytes, offload) = sample.build().unwrap();
    tell(&bytes, offload)
}

fn big(ipv6: bool) -> Sample {
    Sample { ipv6, gso: Some(1390), payload: payload(5000), ..Sample::default() }
}

#[test]
fn the_sender_of_an_ipv4_packet_is_told_the_mtu() {
    let reply = told(&big(false)).unwrap();
    assert_eq!(reply[..12], [2, 0x42, 0xac, 0x11, 0, 2, 2, 0x42, 0xac, 0x11, 0, 3]);
    let sliced = SlicedPacket::from_ethernet(&reply).unwrap();
    let Some(NetSlice::Ipv4(ip)) = sliced.net else { panic!("no IPv4") };
    assert_eq!(ip.header().total_len(), 576);
    assert_eq!(ip.header().header_checksum(), ip.header().to_header().calc_header_checksum());
    assert_eq!((ip.header().source(), ip.header().destination()), ([172, 17, 0, 3], [172, 17, 0, 2]));
    let Some(TransportSlice::Icmpv4(message)) = sliced.transport else { panic!("no ICMP") };
    let Icmpv4Type::DestinationUnreachable(etherparse::icmpv4::DestUnreachableHeader::FragmentationNeeded {
        next_hop_mtu,
    }) = message.icmp_type()
    else {
        panic!("{:?}", message.icmp_type())
    };
    assert_eq!(next_hop_mtu, 1300);
    let header = message.header();
    assert_eq!(header.icmp_type.calc_checksum(message.payload()), header.checksum);
    // The first segment is quoted, not the super-frame.
    let quoted = etherparse::LaxSlicedPacket::from_ip(message.payload()).unwrap();
    let Some(etherparse::LaxNetSlice::Ipv4(quote)) = quoted.net else { panic!("no quote") };
    assert_eq!(usize::from(quote.header().total_len()), 20 + 32 + 1390);
}

#[test]
fn the_sender_of_an_ipv6_packet_is_told_the_mtu() {
    let reply = told(&big(true)).unwrap();
    let sliced = SlicedPacket::from_ethernet(&reply).unwrap();
    let Some(NetSlice::Ipv6(ip)) = sliced.net else { panic!("no IPv6") };
    assert_eq!(ip.header().payload_length(), 1240);
    let Some(TransportSlice::Icmpv6(message)) = sliced.transport else { panic!("no ICMPv6") };
    assert_eq!(message.icmp_type(), Icmpv6Type::PacketTooBig { mtu: 1300 });
    assert!(message.is_checksum_valid(ip.header().source(), ip.header().destination()));
}

#[test]
fn vlan_tags_are_kept() {
    for (tags, ipv6) in [(1, false), (2, true)] {
        let sample = Sample { tags, ..big(ipv6) };
        let (reply, asked) = (told(&sample).unwrap(), sample.build().unwrap().0);
        assert!(reply.len() <= MAX_ANSWER);
        assert_eq!(reply[12..14 + 4 * tags], asked[12..14 + 4 * tags]);
        assert!(SlicedPacket::from_ethernet(&reply).unwrap().transport.is_some());
    }
}

#[test]
fn who_must_not_be_told_is_not() {
    let whole = Sample { gso: None, ..big(false) };
    assert!(told(&whole).is_some());
    assert!(told(&Sample { dont_fragment: false, ..whole.clone() }).is_none());
    let (bytes, _) = whole.build().unwrap();
    let changed = |at: usize, to: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[at..at + to.len()].copy_from_slice(to);
        packet::checksum::fill_ipv4(&mut bytes, 14);
        tell(&bytes, Offload::NONE)
    };
    assert!(changed(0, &[0xff; 6]).is_none(), "an Ethernet broadcast");
    assert!(changed(30, &[224, 0, 0, 1]).is_none(), "a multicast");
    assert!(changed(26, &[0; 4]).is_none(), "nobody to tell");
    assert!(changed(20, &[0x40, 1]).is_none(), "a later fragment");
    assert!(changed(12, &[8, 6]).is_none(), "no IP");
    // An error about an error is the beginning of a storm.
    let error = Icmpv4Type::TimeExceeded(etherparse::icmpv4::TimeExceededCode::TtlExceededInTransit);
    for (kind, expected) in
        [(error, false), (Icmpv4Type::EchoRequest(etherparse::IcmpEchoHeader { id: 1, seq: 1 }), true)]
    {
        let mut bytes = Vec::new();
        let mut header =
            etherparse::Ipv4Header::new(1008, 64, 1.into(), [10, 0, 0, 1], [10, 0, 0, 2]).unwrap();
        header.dont_fragment = true;
        PacketBuilder::ethernet2([2; 6], [4; 6])
            .ip(etherparse::IpHeaders::Ipv4(header, etherparse::Ipv4Extensions::default()))
            .icmpv4(kind)
            .write(&mut bytes, &[7; 1000])
            .unwrap();
        assert_eq!(tell(&bytes, Offload::NONE).is_some(), expected);
    }
}

proptest! {
    #[test]
    fn any_frame_is_answered_or_not(mut bytes in prop::collection::vec(any::<u8>(), 14..2000), ipv6 in any::<bool>()) {
        bytes[12..14].copy_from_slice(if ipv6 { &[0x86, 0xdd] } else { &[8, 0] });
        let _ = tell(&bytes, Offload::NONE);
    }

    #[test]
    fn every_answer_is_whole(
        ipv6 in any::<bool>(), tcp in any::<bool>(), tags in 0..3usize, len in 1..4000usize,
        at in 12..120usize, by in any::<u8>(),
    ) {
        let (mut bytes, offload) = Sample { ipv6, tcp, tags, payload: payload(len), ..Sample::default() }.build().unwrap();
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= by;
        }
        if let Some(reply) = tell(&bytes, offload) {
            prop_assert!(reply.len() <= MAX_ANSWER);
            let Some(Headers { l3, ip: Some(ip), .. }) = Headers::parse(&reply) else { panic!("no answer") };
            prop_assert_eq!(ip.end, reply.len());
            prop_assert_eq!(packet::checksum::verify_transport(&reply, l3, &ip), Some(true));
        }
    }
}
