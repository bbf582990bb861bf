use proptest::prelude::*;

use super::*;
use crate::samples::{Sample, any_key, any_sample, key};

fn v6(last: u16) -> IpAddr {
    std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last).into()
}

/// The default sample as bytes: Ethernet to 14, IPv4 to 34, UDP to 42.
fn datagram() -> Vec<u8> {
    Sample::default().build().bytes().to_vec()
}

fn other(frame: &[u8]) -> Untranslatable {
    match classify(frame) {
        Class::Other(why) => why,
        class => panic!("{class:?}"),
    }
}

#[test]
fn frames_that_are_no_ip_are_named() {
    assert_eq!(other(&[0; 13]), Untranslatable::Malformed);
    let mut arp = vec![0; 42];
    arp[12..14].copy_from_slice(&[8, 6]);
    assert_eq!(other(&arp), Untranslatable::NotIp(0x0806));
    let mut cut = datagram();
    cut.truncate(41);
    assert_eq!(other(&cut), Untranslatable::Malformed);
}

#[test]
fn other_protocols_and_messages_are_named() {
    let mut sctp = datagram();
    sctp[23] = 132;
    assert_eq!(other(&sctp), Untranslatable::Protocol(132));
    for (kind, expected) in [
        (3, Untranslatable::IcmpError),
        (11, Untranslatable::IcmpError),
        (13, Untranslatable::IcmpMessage(13)),
    ] {
        let mut icmp = datagram();
        icmp[23] = 1;
        icmp[34] = kind;
        assert_eq!(other(&icmp), expected);
    }
    let flow = key(Transport::EchoRequest, (v6(1), 9), (v6(2), 0));
    let echo = Sample { key: flow, payload: vec![0; 32], ..Sample::default() }.build();
    for (kind, expected) in [
        (1, Untranslatable::IcmpError),
        (2, Untranslatable::IcmpError),
        (135, Untranslatable::IcmpMessage(135)),
    ] {
        let mut icmp = echo.bytes().to_vec();
        icmp[54] = kind;
        assert_eq!(other(&icmp), expected);
    }
    // ICMP of one version over the other is none.
    let mut icmp = echo.bytes().to_vec();
    icmp[20] = 1;
    assert_eq!(other(&icmp), Untranslatable::Protocol(1));
}

#[test]
fn transport_headers_cut_short_are_malformed() {
    let mut short = datagram();
    short[17] = 27;
    assert_eq!(other(&short), Untranslatable::Malformed);
    let mut tcp = datagram();
    tcp[23] = 6;
    assert_eq!(other(&tcp), Untranslatable::Malformed);
}

#[test]
fn the_destination_of_a_source_route_is_not_final() {
    let mut routed = Sample { options: true, ..Sample::default() }.build().bytes().to_vec();
    assert!(matches!(classify(&routed), Class::Flow(_)));
    routed[34..40].copy_from_slice(&[131, 3, 4, 0, 0, 0]);
    assert_eq!(other(&routed), Untranslatable::SourceRouted);

    let flow = key(Transport::Udp, (v6(1), 7), (v6(2), 53));
    let mut routed = Sample { key: flow, options: true, ..Sample::default() }.build().bytes().to_vec();
    routed[20] = 43;
    routed[57] = 0;
    assert!(matches!(classify(&routed), Class::Flow(_)), "no address is left");
    routed[57] = 1;
    assert_eq!(other(&routed), Untranslatable::SourceRouted);
}

#[test]
fn authenticated_packets_cannot_be_changed() {
    let flow = key(Transport::Udp, (v6(1), 7), (v6(2), 53));
    let mut bytes = Sample { key: flow, options: true, ..Sample::default() }.build().bytes().to_vec();
    bytes[20] = 51;
    assert!(matches!(classify(&bytes), Class::Other(Untranslatable::Protocol(51))));
}

#[test]
fn fragments_of_ipv4_share_a_key() {
    let mut first = datagram();
    first[20] = 0x20;
    let Class::Fragment(one) = classify(&first) else { panic!("no fragment") };
    assert_eq!((one.offset, one.more, one.key.id, one.key.protocol), (0, true, 77, Some(17)));
    assert_eq!(one.flow, Some(Sample::default().key));
    first[20..22].copy_from_slice(&[0, 3]);
    let Class::Fragment(last) = classify(&first) else { panic!("no fragment") };
    assert_eq!((last.offset, last.more, last.flow), (24, false, None));
    assert_eq!(last.key, one.key);
}

#[test]
fn fragments_of_ipv6_share_a_key() {
    let flow = key(Transport::Udp, (v6(1), 7), (v6(2), 53));
    let mut bytes = Sample { key: flow, options: true, ..Sample::default() }.build().bytes().to_vec();
    bytes[20] = 44;
    bytes[54..62].copy_from_slice(&[17, 0, 0, 1, 0xde, 0xad, 0xbe, 0xef]);
    let Class::Fragment(one) = classify(&bytes) else { panic!("no fragment") };
    assert_eq!((one.offset, one.more, one.key.id, one.key.protocol), (0, true, 0xdead_beef, None));
    assert_eq!(one.flow, Some(flow));
    // A fragment behind the first may name another header.
    bytes[54..58].copy_from_slice(&[60, 0, 0, 16]);
    let Class::Fragment(last) = classify(&bytes) else { panic!("no fragment") };
    assert_eq!((last.offset, last.more, last.flow), (16, false, None));
    assert_eq!(last.key, one.key);
    // RFC 6946: neither offset nor more fragments is a whole packet.
    bytes[54..58].copy_from_slice(&[17, 0, 0, 0]);
    assert_eq!(classify(&bytes), Class::Flow(flow));
}

fn any_class() -> impl Strategy<Value = Sample> {
    any::<bool>().prop_flat_map(any_sample)
}

proptest! {
    #[test]
    fn a_frame_has_the_key_it_was_made_with(sample in any_class()) {
        prop_assert_eq!(classify(sample.build().bytes()), Class::Flow(sample.key));
    }

    #[test]
    fn the_answer_has_the_reversed_key(flow in any::<bool>().prop_flat_map(any_key)) {
        let answer = Sample { key: flow.reversed(), ..Sample::default() };
        let Class::Flow(back) = classify(answer.build().bytes()) else { panic!("no flow") };
        prop_assert_eq!(back.reversed(), flow);
    }

    #[test]
    fn damaged_frames_are_read_without_a_panic(
        sample in any_class(),
        damage in prop::collection::vec((0..80usize, any::<u8>()), 0..6),
        cut in 0..300usize,
    ) {
        let mut bytes = sample.build().bytes().to_vec();
        for (at, value) in damage {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        bytes.truncate(cut);
        if let Class::Flow(key) = classify(&bytes) {
            prop_assert_eq!(key.source.ip.is_ipv4(), key.destination.ip.is_ipv4());
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..120), v6: bool) {
        let mut bytes = bytes;
        classify(&bytes);
        if bytes.len() > 14 {
            let start: [u8; 3] = if v6 { [0x86, 0xdd, 0x60] } else { [8, 0, 0x45] };
            bytes[12..15].copy_from_slice(&start);
        }
        classify(&bytes);
    }
}
