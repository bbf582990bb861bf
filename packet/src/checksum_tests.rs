use proptest::prelude::*;

use super::*;
use crate::offload::Offload;

/// Word by word, as RFC 1071 writes it.
fn naive(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap()
}

#[test]
fn the_example_of_rfc_1071_sums_up() {
    assert_eq!(Sum::of(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]).fold(), 0xddf2);
    assert_eq!(Sum::of(&[]).checksum(), 0xffff);
    assert_eq!(Sum::of(&[0xab]).fold(), 0xab00);
}

#[test]
fn the_longest_packet_of_ones_does_not_overflow() {
    let ones = vec![0xff; 65_535];
    assert_eq!(Sum::of(&ones).fold(), naive(&ones));
    assert_eq!((Sum(u32::MAX) + Sum(u32::MAX)).fold(), 0xffff);
}

/// Ethernet, IPv4 and UDP from 10.0.0.1:1 to 10.0.0.2:2 with `payload`, its checksum partial.
fn partial_udp(payload: &[u8]) -> Frame {
    let len = 8 + payload.len();
    let mut bytes = vec![0u8; 34];
    bytes[12] = 8;
    let total = u16::try_from(20 + len).unwrap().to_be_bytes();
    bytes[14..34]
        .copy_from_slice(&[0x45, 0, total[0], total[1], 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    let pseudo = Sum::pseudo_ipv4([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), 17, len).fold();
    for word in [1, 2, u16::try_from(len).unwrap(), pseudo] {
        bytes.extend(word.to_be_bytes());
    }
    bytes.extend(payload);
    fill_ipv4(&mut bytes, 14);
    let mut frame = Frame::new();
    let offload = Offload { checksum: Checksum::Partial { start: 34, offset: 6 }, gso: None };
    frame.copy_from(&bytes, offload).unwrap();
    frame
}

fn verified(frame: &Frame) -> Option<bool> {
    verify_transport(frame.bytes(), 14, &Headers::parse(frame.bytes()).unwrap().ip.unwrap())
}

#[test]
fn a_partial_checksum_is_completed() {
    let mut frame = partial_udp(b"hello");
    assert_eq!(verified(&frame), Some(false));
    complete_partial(&mut frame).unwrap();
    assert_eq!(frame.offload(), Offload::NONE);
    assert_eq!(verified(&frame), Some(true));
}

#[test]
fn padding_does_not_count() {
    let mut frame = partial_udp(b"hello");
    frame.append(b"garbage").unwrap();
    complete_partial(&mut frame).unwrap();
    assert_eq!(verified(&frame), Some(true));
}

#[test]
fn a_datagram_counts_by_its_own_length() {
    // Two bytes of the packet lie behind the datagram (RFC 768 lets them).
    let mut frame = partial_udp(b"hello!");
    let bytes = frame.bytes_mut();
    put(bytes, 38, 12u16.to_be_bytes());
    put(bytes, 40, [0; 2]);
    let pseudo = Sum::pseudo_ipv4([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), 17, 12);
    let checksum = (pseudo + Sum::of(&bytes[34..46])).udp_checksum();
    put(bytes, 40, checksum.to_be_bytes());
    assert_eq!(verified(&frame), Some(true));
    put(frame.bytes_mut(), 38, 15u16.to_be_bytes());
    assert_eq!(verified(&frame), Some(false));
    put(frame.bytes_mut(), 40, [0; 2]);
    assert_eq!(verified(&frame), Some(true), "no checksum is no wrong one");
}

#[test]
fn a_field_behind_the_packet_is_summed_to_the_end_of_the_frame() {
    let mut frame = partial_udp(b"hi");
    frame.append(&[0, 0, 1, 2, 3, 4]).unwrap();
    complete_at(frame.bytes_mut(), 44, 0).unwrap();
    assert_eq!(Sum::of(&frame.bytes()[44..]).fold(), 0xffff);
}

#[test]
fn a_zero_udp_checksum_is_sent_as_ones() {
    let mut frame = partial_udp(&[0, 0]);
    // Make the payload what is missing for a sum of all ones.
    let rest = Sum::of(&frame.bytes()[34..]).checksum().to_be_bytes();
    frame.bytes_mut()[42..44].copy_from_slice(&rest);
    complete_partial(&mut frame).unwrap();
    assert_eq!(frame.bytes()[40..42], [0xff, 0xff]);
    assert_eq!(verified(&frame), Some(true));
}

#[test]
fn a_field_outside_is_refused() {
    let mut frame = partial_udp(b"x");
    let before = frame.bytes().to_vec();
    frame.set_offload(Offload { checksum: Checksum::Partial { start: 40, offset: 2 }, gso: None });
    assert_eq!(complete_partial(&mut frame), Err(ChecksumError::Outside { start: 40, offset: 2, len: 43 }));
    assert_eq!(frame.bytes(), before);
    assert!(complete_at(&mut [], u16::MAX, u16::MAX).is_err());
}

proptest! {
    #[test]
    fn wide_words_sum_as_single_ones(bytes in prop::collection::vec(any::<u8>(), 0..3000), skip in 0usize..9) {
        let bytes = bytes.get(skip..).unwrap_or(&[]);
        prop_assert_eq!(Sum::of(bytes).fold(), naive(bytes));
    }

    #[test]
    fn pieces_add_up(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..150) {
        let (a, b) = bytes.split_at((at * 2).min(bytes.len()));
        let (a, b) = if a.len() % 2 == 0 { (a, b) } else { (&[][..], &bytes[..]) };
        prop_assert_eq!((Sum::of(a) + Sum::of(b)).fold(), Sum::of(&bytes).fold());
    }

    #[test]
    fn an_updated_checksum_is_the_recomputed_one(
        mut bytes in prop::collection::vec(any::<u8>(), 40..100),
        new in any::<u128>(),
        width in prop::sample::select(vec![2usize, 4, 16]),
    ) {
        bytes[39] |= 1; // no real packet is all zero
        let before = Sum::of(&bytes).checksum();
        let (old, neu) = (bytes[..width].to_vec(), new.to_be_bytes()[16 - width..].to_vec());
        bytes[..width].copy_from_slice(&neu);
        let wide = |b: &[u8]| b.iter().fold(0u128, |v, b| v << 8 | u128::from(*b));
        let (old, neu) = (wide(&old), wide(&neu));
        let narrow16 = |v: u128| u16::try_from(v).unwrap();
        let narrow32 = |v: u128| u32::try_from(v).unwrap();
        let updated = match width {
            2 => update_u16(before, narrow16(old), narrow16(neu)),
            4 => update_u32(before, narrow32(old), narrow32(neu)),
            _ => update_u128(before, old, neu),
        };
        prop_assert_eq!(updated, Sum::of(&bytes).checksum());
    }

    #[test]
    fn a_partial_field_follows_an_address(from: u32, to: u32, other: u32, len in 8usize..65_000) {
        let other = other | 1;
        let pseudo = |ip: u32| Sum::pseudo_ipv4(ip.into(), other.into(), 6, len).fold();
        prop_assert_eq!(Delta::NONE.replace_u32(from, to).apply_partial(pseudo(from)), pseudo(to));
    }

    #[test]
    fn etherparse_computes_the_same(
        source: [u8; 4], destination: [u8; 4], ports: (u16, u16), payload in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let ip = etherparse::Ipv4Header::new(
            u16::try_from(payload.len() + 8).unwrap(), 64, etherparse::IpNumber::UDP, source, destination).unwrap();
        let udp = etherparse::UdpHeader::with_ipv4_checksum(ports.0, ports.1, &ip, &payload).unwrap();
        let mut bytes = udp.to_bytes();
        bytes[6..8].fill(0);
        let sum = Sum::pseudo_ipv4(source.into(), destination.into(), 17, 8 + payload.len())
            + Sum::of(&bytes) + Sum::of(&payload);
        prop_assert_eq!(sum.udp_checksum(), udp.checksum);
    }

    #[test]
    fn completing_never_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..120), start: u16, offset: u16) {
        let _ = complete_at(&mut bytes, start, offset);
        let _ = complete_at(&mut bytes, start % 128, offset % 128);
        if let Some(Headers { l3, ip: Some(ip), .. }) = Headers::parse(&bytes) {
            let _ = verify_transport(&bytes, l3, &ip);
        }
    }
}
