use proptest::prelude::*;

use super::*;
use crate::{
    fuzzing::sample::{Sample, payload},
    wire::{Ipv4Packet, TcpPacket},
};

pub(crate) fn frame_of(sample: &Sample) -> Frame {
    let (bytes, offload) = sample.build().unwrap();
    let mut frame = Frame::new();
    frame.copy_from(&bytes, offload).unwrap();
    frame
}

fn cut(frame: &Frame) -> Result<Vec<Vec<u8>>, SegmentError> {
    let mut segments = Vec::new();
    let count = segment(frame, &mut Frame::new(), |s| segments.push(s.bytes().to_vec()))?;
    assert_eq!(count, segments.len());
    Ok(segments)
}

fn super_frame(len: usize, size: u16) -> Sample {
    Sample { gso: Some(size), payload: payload(len), ..Sample::default() }
}

#[test]
fn numbers_and_flags_of_segments_are_right() {
    use tcp::flags::{ACK, CWR, FIN, PSH};
    let sample = Sample {
        flags: ACK | PSH | FIN | CWR,
        sequence: u32::MAX - 99,
        id: u16::MAX,
        ..super_frame(250, 100)
    };
    let segments = cut(&frame_of(&sample)).unwrap();
    let read: Vec<_> = segments
        .iter()
        .map(|s| {
            let ip = Ipv4Packet::new_checked(&s[14..]).unwrap();
            assert!(ip.verify_checksum());
            let tcp = TcpPacket::new_checked(ip.payload()).unwrap();
            (ip.id(), tcp.sequence(), tcp.flags(), tcp.payload().len())
        })
        .collect();
    assert_eq!(
        read,
        [(u16::MAX, u32::MAX - 99, ACK | CWR, 100), (0, 0, ACK, 100), (1, 100, ACK | PSH | FIN, 50)]
    );
}

#[test]
fn a_size_beyond_the_payload_gives_one_segment() {
    let segments = cut(&frame_of(&super_frame(10, 1000))).unwrap();
    assert_eq!(segments.len(), 1);
    assert_eq!(segments[0].len(), 14 + 20 + 32 + 10);
}

#[test]
fn padding_behind_the_packet_is_no_payload() {
    let mut frame = frame_of(&super_frame(20, 10));
    frame.append(&[9; 30]).unwrap();
    assert_eq!(cut(&frame).unwrap().len(), 2);
}

#[test]
fn a_plain_frame_with_a_partial_checksum_is_completed() {
    let mut frame = frame_of(&super_frame(100, 1000));
    let offload = Offload { gso: None, ..frame.offload() };
    frame.set_offload(offload);
    let segments = cut(&frame).unwrap();
    assert_eq!(segments.len(), 1);
    assert_eq!(segments, [cut(&frame_of(&Sample { gso: None, ..super_frame(100, 1) })).unwrap().remove(0)]);
}

#[test]
fn contradictions_are_errors() {
    assert_eq!(cut(&frame_of(&super_frame(0, 100))), Err(SegmentError::NoPayload));
    assert_eq!(
        cut(&frame_of(&Sample { tcp: false, ..super_frame(129, 1) })),
        Err(SegmentError::TooMany { count: 129, max: 128 })
    );
    assert!(matches!(cut(&frame_of(&super_frame(9000, 1))), Err(SegmentError::TooMany { .. })));
    let broken = |at: usize, value: u8| {
        let mut frame = frame_of(&super_frame(100, 10));
        frame.bytes_mut()[at] = value;
        cut(&frame)
    };
    assert_eq!(broken(12, 0), Err(SegmentError::Headers), "not IP");
    assert_eq!(broken(16, 255), Err(SegmentError::Headers), "total length beyond the frame");
    assert_eq!(broken(14, 0x44), Err(SegmentError::Headers), "IP header shorter than 20 bytes");
    assert_eq!(broken(34 + 12, 0x40), Err(SegmentError::Headers), "TCP header shorter than 20 bytes");
    assert_eq!(broken(20, 0x20), Err(SegmentError::Fragment));
    assert_eq!(broken(23, 17), Err(SegmentError::Mismatch(GsoKind::Tcp4)));
    let mut frame = frame_of(&super_frame(100, 10));
    let gso = frame.offload().gso.map(|gso| Gso { kind: GsoKind::Tcp6, ..gso });
    frame.set_offload(Offload { gso, ..frame.offload() });
    assert_eq!(cut(&frame), Err(SegmentError::Mismatch(GsoKind::Tcp6)));
    let gso = gso.map(|gso| Gso { kind: GsoKind::Tcp4, size: 0, ..gso });
    frame.set_offload(Offload { gso, ..frame.offload() });
    assert_eq!(cut(&frame), Err(SegmentError::ZeroSize));
}

#[test]
fn a_wrong_hdr_len_changes_nothing() {
    let mut frame = frame_of(&super_frame(100, 10));
    let right = cut(&frame).unwrap();
    for hdr_len in [0, 1, 60_000] {
        let gso = frame.offload().gso.map(|gso| Gso { hdr_len, ..gso });
        frame.set_offload(Offload { gso, ..frame.offload() });
        assert_eq!(cut(&frame).unwrap(), right);
    }
}

#[test]
fn a_small_output_buffer_is_an_error() {
    let frame = frame_of(&super_frame(100, 10));
    let mut out = Frame::with_capacity(50);
    let emitted = segment(&frame, &mut out, |_| panic!("no segment fits"));
    assert!(matches!(emitted, Err(SegmentError::NoRoom { needed: 76, .. })));
    let mut segmenter = Segmenter::new(frame.bytes(), frame.offload().gso.unwrap()).unwrap();
    assert_eq!((segmenter.remaining(), segmenter.next_len()), (10, 76));
    let mut tunnel = [0u8; 200];
    assert_eq!(segmenter.next_into(&mut tunnel[..75]), Err(SegmentError::NoRoom { needed: 76, len: 75 }));
    assert_eq!(segmenter.next_into(&mut tunnel), Ok(Some(76)));
    assert_eq!(segmenter.remaining(), 9);
}

#[test]
fn a_segment_whose_udp_checksum_is_zero_has_ones() {
    // The last two bytes of payload take up what the rest sums to.
    let mut sample = Sample { tcp: false, ..super_frame(100, 50) };
    sample.payload[98..].fill(0);
    let rest = u16_at(&cut(&frame_of(&sample)).unwrap()[1], 40);
    sample.payload[98..].copy_from_slice(&rest.to_be_bytes());
    assert_eq!(u16_at(&cut(&frame_of(&sample)).unwrap()[1], 40), 0xffff);
}

#[test]
fn behind_a_routing_header_the_senders_sum_counts() {
    // The destination options of the sample become a routing header to another, final address.
    let sample = Sample { ipv6: true, extension: true, ..super_frame(20, 10) };
    let mut frame = frame_of(&sample);
    let delta = crate::checksum::Delta::NONE.replace_u16(3, 9);
    let bytes = frame.bytes_mut();
    bytes[14 + 6] = ipproto::ROUTING;
    bytes[54 + 3] = 1;
    let field = delta.apply_partial(u16_at(bytes, 62 + 16));
    put(bytes, 62 + 16, field.to_be_bytes());
    for mut s in cut(&frame).unwrap() {
        s[14 + 39] = 9;
        s[54 + 3] = 0;
        let h = Headers::parse(&s).unwrap();
        assert_eq!(crate::checksum::verify_transport(&s, h.l3, &h.ip.unwrap()), Some(true));
    }
}

pub(crate) fn any_super_frame() -> impl Strategy<Value = Sample> {
    let shape = (any::<[bool; 5]>(), 0usize..=2, any::<u32>(), any::<u16>(), any::<u8>());
    (shape, 40u16..1500, 1usize..40, any::<prop::sample::Index>()).prop_map(
        |((bits, tags, sequence, id, flags), size, full, last)| {
            let [ipv6, tcp, extension, timestamps, dont_fragment] = bits;
            let last = last.index(usize::from(size)) + 1;
            Sample {
                ipv6,
                tcp,
                tags,
                extension,
                timestamps,
                dont_fragment,
                sequence,
                id,
                flags: flags & !(tcp::flags::SYN | tcp::flags::RST | tcp::flags::URG),
                port: 40_000,
                gso: Some(size),
                payload: payload((usize::from(size) * full + last).min(60_000)),
            }
        },
    )
}

/// Every segment stands before a parser of somebody else's.
fn judge(sample: &Sample, segments: &[Vec<u8>]) {
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};
    let mut whole = Vec::<u8>::new();
    for bytes in segments {
        let sliced = SlicedPacket::from_ethernet(bytes).unwrap();
        assert_eq!(sliced.link_exts.len(), sample.tags);
        match sliced.net.unwrap() {
            NetSlice::Ipv4(ip) => {
                assert_eq!(ip.header().to_header().calc_header_checksum(), ip.header().header_checksum());
                assert_eq!(usize::from(ip.header().total_len()), bytes.len() - 14 - 4 * sample.tags);
                match sliced.transport.unwrap() {
                    TransportSlice::Tcp(tcp) => {
                        let right =
                            tcp.to_header().calc_checksum_ipv4(&ip.header().to_header(), tcp.payload());
                        assert_eq!(right.unwrap(), tcp.checksum());
                        whole.extend(tcp.payload());
                    }
                    TransportSlice::Udp(udp) => {
                        let right =
                            udp.to_header().calc_checksum_ipv4(&ip.header().to_header(), udp.payload());
                        assert_eq!(right.unwrap(), udp.checksum());
                        whole.extend(udp.payload());
                    }
                    other => panic!("{other:?}"),
                }
            }
            NetSlice::Ipv6(ip) => {
                assert_eq!(usize::from(ip.header().payload_length()), bytes.len() - 54 - 4 * sample.tags);
                match sliced.transport.unwrap() {
                    TransportSlice::Tcp(tcp) => {
                        let right =
                            tcp.to_header().calc_checksum_ipv6(&ip.header().to_header(), tcp.payload());
                        assert_eq!(right.unwrap(), tcp.checksum());
                        whole.extend(tcp.payload());
                    }
                    TransportSlice::Udp(udp) => {
                        let right =
                            udp.to_header().calc_checksum_ipv6(&ip.header().to_header(), udp.payload());
                        assert_eq!(right.unwrap(), udp.checksum());
                        whole.extend(udp.payload());
                    }
                    other => panic!("{other:?}"),
                }
            }
            NetSlice::Arp(_) => panic!("ARP"),
        }
    }
    assert!(whole == sample.payload);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_segment_verifies_under_etherparse(sample in any_super_frame()) {
        // Beyond 128 datagrams or 64 KiB there is no super-frame.
        let segments = cut(&frame_of(&sample)).unwrap();
        judge(&sample, &segments);
        let size = usize::from(sample.gso.unwrap());
        prop_assert_eq!(segments.len(), sample.payload.len().div_ceil(size));
        let first = segments[0].len();
        prop_assert!(segments.iter().rev().skip(1).all(|s| s.len() == first));
    }

    #[test]
    fn spoilt_super_frames_never_panic(
        sample in any_super_frame(), spoil in prop::collection::vec((0usize..100, any::<u8>()), 0..6), len in 0usize..200,
    ) {
        let sample = Sample { payload: sample.payload[..sample.payload.len().min(300)].to_vec(), ..sample };
        let (bytes, offload) = sample.build().unwrap();
        let mut input = offload.to_bytes().to_vec();
        input.extend(bytes);
        for (at, value) in spoil {
            if let Some(b) = input.get_mut(at) { *b = value; }
        }
        crate::fuzzing::vnet_segment(&input);
        crate::fuzzing::vnet_segment(&input[..len.min(input.len())]);
    }
}
