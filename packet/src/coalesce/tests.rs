use proptest::prelude::*;

use super::*;
use crate::{
    fuzzing::sample::{Sample, payload},
    offload::GsoKind,
    segment::{
        segment,
        tests::{any_super_frame, frame_of},
    },
    wire::tcp::flags::{ACK, CWR, ECE, FIN, PSH, SYN, URG},
};

type Out = Vec<(Vec<u8>, Offload)>;

/// Pushes `frames`, flushes, and tells what came out.
fn run(coalescer: &mut Coalescer, frames: impl IntoIterator<Item = Frame>) -> Out {
    let mut out = Out::new();
    for mut frame in frames {
        coalescer.push(&mut frame, |f| out.push((f.bytes().to_vec(), f.offload())));
    }
    coalescer.flush(|f| out.push((f.bytes().to_vec(), f.offload())));
    assert!(coalescer.is_empty());
    out
}

/// The segment sizes of what came out, 0 for frames nothing was joined to.
fn sizes(frames: impl IntoIterator<Item = Frame>) -> Vec<(usize, u16)> {
    run(&mut Coalescer::new(4), frames)
        .iter()
        .map(|(bytes, offload)| {
            let ip = Headers::parse(bytes).unwrap().ip.unwrap();
            (ip.end - ip.payload.unwrap(), offload.gso.map_or(0, |gso| gso.size))
        })
        .collect()
}

/// The `i`th segment of 100 bytes.
fn nth(i: u16) -> Sample {
    Sample { sequence: 1000 + 100 * u32::from(i), id: i, payload: payload(100), ..Sample::default() }
}

fn datagram(i: u16, len: usize) -> Sample {
    Sample { tcp: false, id: i, payload: payload(len), ..Sample::default() }
}

/// The sample with the byte at `at` changed, and its checksums right for all anyone can tell.
fn changed(sample: &Sample, at: usize) -> Frame {
    let mut frame = frame_of(sample);
    frame.bytes_mut()[at] ^= 1;
    if !sample.ipv6 {
        checksum::fill_ipv4(frame.bytes_mut(), 14);
    }
    frame.set_offload(Offload { checksum: Checksum::Verified, gso: None });
    frame
}

#[test]
fn consecutive_segments_become_one() {
    let out = run(&mut Coalescer::new(1), (0..4).map(|i| frame_of(&nth(i))));
    assert_eq!(out.len(), 1);
    let (bytes, offload) = &out[0];
    let gso = offload.gso.unwrap();
    assert_eq!((gso.kind, gso.size, usize::from(gso.hdr_len)), (GsoKind::Tcp4, 100, bytes.len() - 400));
    assert_eq!(offload.checksum, Checksum::Partial { start: 34, offset: 16 });
    // A kernel drops a super-frame whose IPv4 header is wrong.
    assert!(checksum::Sum::of(&bytes[14..34]).is_valid());
    assert_eq!(u16_at(bytes, 16), 452);
}

#[test]
fn a_lone_frame_stays_as_it_came_but_verified() {
    let frame = frame_of(&nth(0));
    let bytes = frame.bytes().to_vec();
    let verified = Offload { checksum: Checksum::Verified, gso: None };
    assert_eq!(run(&mut Coalescer::new(1), [frame]), [(bytes, verified)]);
}

#[test]
fn a_shorter_segment_is_the_last() {
    let short = Sample { payload: payload(60), ..nth(1) };
    let after = Sample { sequence: 1160, id: 2, ..nth(2) };
    assert_eq!(sizes([nth(0), short, after].map(|s| frame_of(&s))), [(160, 100), (100, 0)]);
}

#[test]
fn a_longer_segment_begins_anew() {
    let long = Sample { payload: payload(101), ..nth(1) };
    assert_eq!(sizes([nth(0), long].map(|s| frame_of(&s))), [(100, 0), (101, 0)]);
}

#[test]
fn a_push_or_end_is_the_last() {
    for flag in [PSH, FIN] {
        let last = Sample { flags: ACK | flag, ..nth(1) };
        assert_eq!(sizes([nth(0), last, nth(2)].map(|s| frame_of(&s))), [(200, 100), (100, 0)]);
    }
}

#[test]
fn flags_of_consequence_are_never_joined() {
    for flag in [SYN, URG, tcp::flags::RST, ECE] {
        let odd = Sample { flags: ACK | flag, ..nth(1) };
        assert_eq!(sizes([nth(0), odd, nth(2)].map(|s| frame_of(&s))), [(100, 0); 3]);
    }
}

#[test]
fn cwr_stands_on_the_first_segment_only() {
    let first = Sample { flags: ACK | CWR, ..nth(0) };
    let out = run(&mut Coalescer::new(1), [first.clone(), nth(1)].map(|s| frame_of(&s)));
    assert_eq!(out.len(), 1);
    assert!(out[0].1.gso.unwrap().ecn);
    let second = Sample { flags: ACK | CWR, ..nth(1) };
    assert_eq!(sizes([first, second, nth(2)].map(|s| frame_of(&s))), [(100, 0), (200, 100)]);
}

#[test]
fn a_gap_is_not_bridged() {
    assert_eq!(sizes([nth(0), nth(2), nth(1)].map(|s| frame_of(&s))), [(100, 0); 3]);
}

#[test]
fn an_acknowledgment_keeps_its_place() {
    let ack = Sample { payload: vec![], ..nth(1) };
    assert_eq!(sizes([nth(0), ack, nth(1)].map(|s| frame_of(&s))), [(100, 0), (0, 0), (100, 0)]);
}

#[test]
fn ids_count_up_or_stand_still_under_df() {
    let fixed = |i: u16, df| Sample { id: 9, dont_fragment: df, ..nth(i) };
    assert_eq!(sizes([0, 1, 2].map(|i| frame_of(&fixed(i, true)))), [(300, 100)]);
    assert_eq!(sizes([0, 1, 2].map(|i| frame_of(&fixed(i, false)))), [(100, 0); 3]);
    let counting = |i: u16| Sample { dont_fragment: false, id: u16::MAX.wrapping_add(i), ..nth(i) };
    assert_eq!(sizes([0, 1, 2].map(|i| frame_of(&counting(i)))), [(300, 100)]);
    let mixed = [nth(0), nth(1), Sample { id: 1, ..nth(2) }];
    assert_eq!(sizes(mixed.map(|s| frame_of(&s))), [(200, 100), (100, 0)]);
}

#[test]
fn headers_that_differ_are_not_joined() {
    // TTL, type of service, acknowledgment, window, time stamp, urgent pointer, reserved bits.
    for at in [22, 15, 34 + 11, 34 + 15, 34 + 31, 34 + 19, 34 + 12] {
        let out = sizes([frame_of(&nth(0)), changed(&nth(1), at)]);
        assert_eq!(out, [(100, 0); 2], "byte {at}");
    }
    // Flow label, traffic class, hop limit, extension header, transport behind it.
    for at in [14 + 3, 14 + 1, 14 + 7, 54 + 7, 62 + 11] {
        let v6 = |i| Sample { ipv6: true, extension: true, ..nth(i) };
        let out = sizes([frame_of(&v6(0)), changed(&v6(1), at)]);
        assert_eq!(out, [(100, 0); 2], "byte {at}");
    }
}

#[test]
fn unfit_frames_keep_their_place() {
    let mut padded = frame_of(&nth(1));
    padded.append(&[0]).unwrap();
    let whole = frame_of(&Sample { gso: Some(50), ..nth(1) });
    let mut elsewhere = frame_of(&nth(1));
    let partial = Checksum::Partial { start: 30, offset: 16 };
    elsewhere.set_offload(Offload { checksum: partial, gso: None });
    let mut truncated = frame_of(&nth(1));
    truncated.bytes_mut()[16] = 255;
    for unfit in [padded, whole, elsewhere, truncated] {
        let (bytes, offload) = (unfit.bytes().to_vec(), unfit.offload());
        let out = run(&mut Coalescer::new(2), [frame_of(&nth(0)), unfit, frame_of(&nth(1))]);
        assert_eq!((out.len(), &out[1]), (3, &(bytes, offload)));
    }
}

#[test]
fn a_partial_checksum_need_not_be_verified() {
    let frames = [0, 1].map(|i| {
        let mut frame = frame_of(&Sample { gso: Some(1), ..nth(i) });
        frame.set_offload(Offload { gso: None, ..frame.offload() });
        frame
    });
    assert_eq!(sizes(frames), [(200, 100)]);
}

#[test]
fn ipv4_options_are_not_joined() {
    // The sample's TCP header moved back by four bytes of No Operation.
    let frames = [0, 1].map(|i| {
        let mut bytes = frame_of(&nth(i)).bytes().to_vec();
        bytes.splice(34..34, [1; 4]);
        bytes[14] = 0x46;
        bytes[17] += 4;
        checksum::fill_ipv4(&mut bytes, 14);
        let mut frame = Frame::new();
        frame.copy_from(&bytes, Offload { checksum: Checksum::Verified, gso: None }).unwrap();
        frame
    });
    assert_eq!(sizes(frames), [(100, 0); 2]);
}

#[test]
fn packets_on_a_source_route_are_not_joined() {
    let routed = |i| {
        let mut frame = frame_of(&Sample { ipv6: true, extension: true, ..nth(i) });
        frame.bytes_mut()[14 + 6] = ipproto::ROUTING;
        frame.bytes_mut()[54 + 3] = 1;
        frame.set_offload(Offload { checksum: Checksum::Verified, gso: None });
        frame
    };
    assert_eq!(sizes([routed(0), routed(1)]), [(100, 0); 2]);
}

#[test]
fn a_datagram_shorter_than_its_packet_is_not_joined() {
    let frames = [0, 1].map(|i| {
        let mut frame = frame_of(&datagram(i, 50));
        frame.bytes_mut()[39] -= 1;
        frame.set_offload(Offload { checksum: Checksum::Verified, gso: None });
        frame
    });
    assert_eq!(sizes(frames), [(50, 0); 2]);
}

#[test]
fn wrong_checksums_pass_untouched() {
    for at in [24, 70] {
        let mut second = frame_of(&nth(1));
        second.bytes_mut()[at] ^= 1;
        let bytes = second.bytes().to_vec();
        let out = run(&mut Coalescer::new(1), [frame_of(&nth(0)), second, frame_of(&nth(2))]);
        assert_eq!(out.len(), 3);
        assert_eq!(out[1], (bytes, Offload::NONE));
    }
}

#[test]
fn other_stations_are_other_flows() {
    let mut station = frame_of(&nth(1));
    station.bytes_mut()[0] ^= 4;
    let tagged = frame_of(&Sample { tags: 1, ..nth(1) });
    let address = changed(&nth(1), 29);
    let others = [station, tagged, address];
    let bytes: Vec<_> = others.iter().map(|f| f.bytes().to_vec()).collect();
    let [station, tagged, address] = others;
    let out = run(&mut Coalescer::new(4), [frame_of(&nth(0)), station, tagged, address, frame_of(&nth(1))]);
    let held: Vec<_> = out.iter().skip(1).map(|(bytes, _)| bytes.clone()).collect();
    assert!(out[0].1.gso.is_some());
    assert_eq!(held, bytes);
}

#[test]
fn a_packet_never_exceeds_its_length_field() {
    for (ipv6, headers) in [(false, 52), (true, 72)] {
        let n = |i: u16, len| Sample {
            ipv6,
            sequence: 1000 * u32::from(i),
            id: i,
            payload: payload(len),
            ..Sample::default()
        };
        let room = MAX_PACKET - headers - 65_000;
        for (len, out) in
            [(room, vec![(65_000 + room, 1000)]), (room + 1, vec![(65_000, 1000), (room + 1, 0)])]
        {
            let frames = (0..65).map(|i| n(i, 1000)).chain([n(65, len)]);
            assert_eq!(sizes(frames.map(|s| frame_of(&s))), out);
        }
    }
}

#[test]
fn the_oldest_flow_makes_room() {
    let flow = |port: u16, i: u16| frame_of(&Sample { port, ..nth(i) });
    let mut out = Vec::new();
    let mut coalescer = Coalescer::new(2);
    for mut frame in [flow(1, 0), flow(2, 0), flow(1, 1), flow(3, 0)] {
        coalescer.push(&mut frame, |f| out.push(f.len()));
    }
    assert_eq!((out.len(), coalescer.len()), (1, 2));
    assert_eq!(out[0], 14 + 20 + 32 + 200);
}

#[test]
fn a_fragment_overtakes_nothing() {
    let mut fragment = frame_of(&nth(1));
    fragment.bytes_mut()[20..22].copy_from_slice(&[0x20, 0]);
    let bytes = fragment.bytes().to_vec();
    let out = run(&mut Coalescer::new(2), [frame_of(&nth(0)), fragment]);
    assert_eq!(out[1].0, bytes);
}

#[test]
fn equal_datagrams_become_one() {
    let frames =
        || [datagram(0, 50), datagram(1, 50), datagram(2, 20), datagram(3, 50)].map(|s| frame_of(&s));
    assert_eq!(sizes(frames()), [(120, 50), (50, 0)]);
    assert_eq!(run(&mut Coalescer::new(1).with_udp(false), frames()).len(), 4);
    assert_eq!(sizes([datagram(0, 50), datagram(1, 51)].map(|s| frame_of(&s))), [(50, 0), (51, 0)]);
    let many = sizes((0..70).map(|i| frame_of(&datagram(i, 20))));
    assert_eq!(many, [(64 * 20, 20), (6 * 20, 20)]);
}

#[test]
fn datagrams_without_checksum_are_left_alone() {
    let frames = [0, 1].map(|i| {
        let mut frame = frame_of(&datagram(i, 50));
        frame.bytes_mut()[40..42].fill(0);
        frame
    });
    assert_eq!(sizes(frames), [(50, 0); 2]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn cut_and_joined_is_the_original(mut sample in any_super_frame()) {
        let most = usize::from(sample.gso.unwrap()) * MAX_UDP_DATAGRAMS;
        sample.payload.truncate(most);
        // Cut into one, there is nothing to join.
        prop_assume!(sample.payload.len() > usize::from(sample.gso.unwrap()));
        let whole = frame_of(&sample);
        let mut segments = Vec::new();
        segment(&whole, &mut Frame::new(), |s| {
            let mut copy = Frame::new();
            // Nobody vouches for what comes off a wire.
            copy.copy_from(s.bytes(), Offload::NONE).unwrap();
            segments.push(copy);
        }).unwrap();
        let out = run(&mut Coalescer::new(1), segments);
        prop_assert_eq!(out.len(), 1);
        prop_assert_eq!(out[0].1, whole.offload());
        prop_assert!(out[0].0 == whole.bytes());
    }

    #[test]
    fn flows_keep_their_order(
        frames in prop::collection::vec((0u16..5, 0u16..8, any::<bool>(), 0usize..4, any::<u8>()), 1..60),
    ) {
        let mut input = Vec::new();
        for (port, i, tcp, len, control) in frames {
            let flags = if control & 0x30 == 0 { ACK | PSH } else { ACK };
            let sample = Sample { port, tcp, flags, payload: payload(len * 50), ..nth(i) };
            let (bytes, _) = sample.build().unwrap();
            input.push(control & 3);
            input.extend(u16::try_from(bytes.len()).unwrap().to_be_bytes());
            input.extend(bytes);
        }
        crate::fuzzing::coalesce(&input);
    }
}
