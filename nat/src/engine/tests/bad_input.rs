use etherparse::{Icmpv4Type, NetSlice, SlicedPacket, TransportSlice};
use packet::{
    Checksum, Gso, GsoKind,
    wire::{EthernetFrame, Ipv4Packet, ethernet},
};

use super::*;
use crate::counters::Reason;

const SOMEWHERE: (IpAddr, u16) = (IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9)), 80);

/// `frame` after `change` of its IP header, whose checksum is right again.
fn changed(frame: &Frame, change: impl FnOnce(&mut Ipv4Packet<&mut [u8]>)) -> Vec<u8> {
    let mut bytes = frame.bytes().to_vec();
    let mut ip = Ipv4Packet::new_checked(&mut bytes[ethernet::HEADER_LEN..]).unwrap();
    change(&mut ip);
    ip.fill_checksum();
    bytes
}

#[test]
fn spoofed_sources_are_dropped_and_counted() {
    let mut bench = Bench::new();
    let frame = segment(1000, SOMEWHERE, &syn(1), b"");
    let bytes = changed(&frame, |ip| ip.set_source(Ipv4Addr::new(10, 0, 2, 3)));
    bench.take_bytes(&bytes);
    assert_eq!(bench.count(Reason::SpoofedSource), 1);
    bench.assert_silent();
}

#[test]
fn bad_checksums_are_dropped_and_counted() {
    let mut bench = Bench::new();
    let frame = segment(1000, SOMEWHERE, &syn(1), b"");
    for at in [24, 40] {
        let mut bytes = frame.bytes().to_vec();
        bytes[at] ^= 0x55;
        bench.take_bytes(&bytes);
    }
    assert_eq!(bench.count(Reason::BadChecksum), 2);
    assert_eq!(bench.engine.flows().count(), 0);
}

#[test]
fn what_is_not_translated_is_told_apart() {
    let mut bench = Bench::new();
    let frame = segment(1000, SOMEWHERE, &syn(1), b"");
    bench.take_bytes(&changed(&frame, |ip| ip.set_fragment_word(0x2000)));
    bench.take_bytes(&changed(&frame, |ip| ip.set_protocol(132)));
    bench.take_bytes(&changed(&frame, |ip| ip.set_destination(Ipv4Addr::LOCALHOST)));
    bench.take_bytes(&changed(&frame, |ip| ip.set_destination(Ipv4Addr::new(10, 0, 2, 77))));
    bench.take_bytes(&changed(&frame, |ip| ip.set_destination(Ipv4Addr::BROADCAST)));
    let mut arp = frame.bytes().to_vec();
    EthernetFrame::new_checked(&mut arp[..]).unwrap().set_ethertype(0x0806);
    bench.take_bytes(&arp);
    bench.take_bytes(&frame.bytes()[..40]);
    bench.assert_silent();
    for (reason, count) in [
        (Reason::Fragment, 1),
        (Reason::Protocol, 1),
        (Reason::ForbiddenDestination, 3),
        (Reason::NotIp, 1),
        (Reason::Malformed, 1),
    ] {
        assert_eq!(bench.count(reason), count, "{}", reason.name());
    }
}

#[test]
fn offload_metadata_that_contradict_the_frame_are_refused() {
    let mut bench = Bench::new();
    let mut frame = segment(1000, SOMEWHERE, &syn(1), b"data");
    frame.set_offload(Offload { checksum: Checksum::Partial { start: 34, offset: 6 }, gso: None });
    bench.take(&frame);
    let gso = Some(Gso { kind: GsoKind::Tcp6, ecn: false, size: 2, hdr_len: 54 });
    frame.set_offload(Offload { checksum: Checksum::Partial { start: 34, offset: 16 }, gso });
    bench.take(&frame);
    assert_eq!(bench.count(Reason::BadOffload), 2);
}

#[test]
fn rfc9293_a_segment_of_no_connection_is_answered_with_a_reset() {
    let mut bench = Bench::new();
    bench.take(&segment(1000, SOMEWHERE, &Header::plain(Seq(7), Seq(77), flags::ACK, 9), b"data"));
    let (reset, _) = bench.next_segment();
    assert_eq!((reset.seq, reset.flags), (Seq(77), flags::RST));
    // Nobody answers a reset, or bits that make no sense.
    for bits in [flags::RST, flags::RST | flags::ACK, 0, flags::SYN | flags::FIN, flags::FIN, 0xff] {
        bench.take(&segment(1000, SOMEWHERE, &Header::plain(Seq(7), Seq(77), bits, 9), b""));
    }
    bench.assert_silent();
    assert_eq!((bench.count(Reason::NoFlow), bench.count(Reason::BadFlags)), (3, 4));
}

#[test]
fn resets_for_segments_of_no_connection_are_bounded() {
    let mut config = Config::default();
    config.limits.errors_per_second = 10;
    let mut bench = Bench::with(config);
    for port in 1000..1100 {
        bench.take(&segment(port, SOMEWHERE, &Header::plain(Seq(7), Seq(77), flags::ACK, 9), b""));
    }
    assert!(bench.container.frames.len() <= 20, "ten in each of the seconds this took");
    assert!(bench.count(Reason::ErrorRate) >= 80);
}

#[test]
fn the_gateway_itself_refuses() {
    let mut bench = Bench::new();
    bench.engine.set_inside(bench.id, {
        let mut inside = InsideConfig::new(GATEWAY_MAC);
        inside.addresses = vec![CONTAINER.into()];
        inside.gateway_v4 = Some(GATEWAY);
        inside
    });
    bench.take(&segment(1000, (GATEWAY.into(), 80), &syn(41), b""));
    let (reset, _) = bench.next_segment();
    assert_eq!((reset.ack, reset.flags), (Seq(42), flags::RST | flags::ACK));
}

#[test]
fn the_last_hop_is_told_of() {
    let mut bench = Bench::new();
    let frame = segment(1000, SOMEWHERE, &syn(5), b"");
    let bytes = changed(&frame, |ip| ip.set_ttl(1));
    bench.take_bytes(&bytes);
    let error = bench.next();
    let sliced = SlicedPacket::from_ethernet(&error).unwrap();
    let Some(NetSlice::Ipv4(ip)) = sliced.net else { panic!("not IPv4") };
    assert_eq!(ip.header().source_addr(), GATEWAY);
    assert_eq!(ip.header().destination_addr(), CONTAINER);
    let Some(TransportSlice::Icmpv4(icmp)) = sliced.transport else { panic!("not ICMP") };
    assert!(matches!(icmp.icmp_type(), Icmpv4Type::TimeExceeded(_)));
    assert_eq!(icmp.checksum(), icmp.icmp_type().calc_checksum(icmp.payload()));
    assert_eq!(icmp.payload(), &bytes[ethernet::HEADER_LEN..]);
    assert_eq!(bench.count(Reason::HopsExhausted), 1);
}

#[test]
fn frames_of_nobody_are_counted() {
    let mut bench = Bench::new();
    bench.engine.remove_inside(bench.id);
    bench.take(&segment(1000, SOMEWHERE, &syn(1), b""));
    assert_eq!(bench.count(Reason::UnknownInside), 1);
}
