use packet::{
    Gso, GsoKind, Offload,
    checksum::complete_partial,
    segment,
    wire::{Headers, UdpPacket},
};
use proptest::prelude::*;

use super::*;
use crate::{
    classify::{Class, classify},
    flow::FlowKey,
    samples::{Sample, any_key, any_sample, assert_valid},
};

fn copy(frame: &Frame) -> Frame {
    let mut copy = Frame::with_capacity(1000);
    copy.copy_from(frame.bytes(), frame.offload()).unwrap();
    copy
}

/// The segments of `frame`, or the frame itself, with all checksums complete.
fn on_the_wire(frame: &Frame) -> Vec<Vec<u8>> {
    let mut out = Frame::with_capacity(1000);
    let mut all = Vec::new();
    segment(frame, &mut out, |f| all.push(f.bytes().to_vec())).unwrap();
    all
}

/// A sample and new ends for it, of the same IP version.
fn any_case() -> impl Strategy<Value = (Sample, Rewrite)> {
    any::<bool>().prop_flat_map(|v6| {
        let ends = (any_key(v6), any::<bool>(), any::<bool>(), any::<bool>());
        (any_sample(v6), ends).prop_map(|(sample, (new, source, destination, forward))| {
            let source = source.then_some(new.source);
            let destination = destination.then_some(new.destination);
            (sample, Rewrite { source, destination, forward })
        })
    })
}

/// The key of a packet of `key` after `change`.
fn changed(key: FlowKey, change: &Rewrite) -> FlowKey {
    let mut key = key;
    key.source = change.source.unwrap_or(key.source);
    key.destination = change.destination.unwrap_or(key.destination);
    match key.transport {
        Transport::EchoRequest => key.destination.port = 0,
        Transport::EchoReply => key.source.port = 0,
        Transport::Tcp | Transport::Udp => {}
    }
    key
}

fn to(ip: impl Into<IpAddr>, port: u16) -> Rewrite {
    Rewrite { destination: Some(Endpoint::new(ip, port)), ..Rewrite::default() }
}

#[test]
fn the_last_hop_is_not_taken() {
    for hops in [0, 1] {
        let mut frame = Sample { hops, ..Sample::default() }.build();
        let change = Rewrite { forward: true, ..to([1, 2, 3, 4], 5) };
        let before = frame.bytes().to_vec();
        assert_eq!(rewrite(&mut frame, &change), Err(RewriteError::HopsExhausted));
        assert_eq!(frame.bytes(), before);
        assert_eq!(rewrite(&mut frame, &to([1, 2, 3, 4], 5)), Ok(()));
    }
}

#[test]
fn addresses_of_the_other_version_do_not_fit() {
    let mut frame = Sample::default().build();
    let change = to(std::net::Ipv6Addr::LOCALHOST, 5);
    assert_eq!(rewrite(&mut frame, &change), Err(RewriteError::AddressFamily));
}

#[test]
fn fragments_are_refused() {
    let mut frame = Sample::default().build();
    frame.bytes_mut()[20] = 0x20;
    assert_eq!(rewrite(&mut frame, &to([1, 2, 3, 4], 5)), Err(RewriteError::Fragment));
}

#[test]
fn a_partial_checksum_elsewhere_is_refused() {
    let mut frame = Sample::default().build();
    for (start, offset) in [(42, 6), (34, 16), (0, 0), (34, 8), (u16::MAX, u16::MAX)] {
        frame.set_offload(Offload { checksum: Checksum::Partial { start, offset }, gso: None });
        let refused = RewriteError::ForeignPartial { start, offset };
        assert_eq!(rewrite(&mut frame, &to([1, 2, 3, 4], 5)), Err(refused));
    }
}

#[test]
fn ports_do_not_count_in_a_partial_checksum() {
    let sample = Sample { partial: true, ..Sample::default() };
    let mut frame = sample.build();
    let field = frame.bytes()[40..42].to_vec();
    rewrite(&mut frame, &to([10, 0, 0, 2], 5353)).unwrap();
    assert_eq!(frame.bytes()[40..42], field);
    assert_eq!(frame.bytes()[36..38], 5353u16.to_be_bytes());
}

#[test]
fn a_datagram_without_checksum_gets_none() {
    for v6 in [false, true] {
        let ip: IpAddr =
            if v6 { std::net::Ipv6Addr::LOCALHOST.into() } else { std::net::Ipv4Addr::LOCALHOST.into() };
        let key = FlowKey {
            transport: Transport::Udp,
            source: Endpoint::new(ip, 1),
            destination: Endpoint::new(ip, 2),
        };
        let mut frame = Sample { key, no_checksum: true, ..Sample::default() }.build();
        rewrite(&mut frame, &to(ip, 3)).unwrap();
        let l4 = Headers::parse(frame.bytes()).unwrap().ip.unwrap().l4;
        let udp = UdpPacket::new_checked(&frame.bytes()[l4..]).unwrap();
        assert_eq!((udp.destination_port(), udp.checksum()), (3, 0));
    }
}

#[test]
fn a_udp_checksum_never_becomes_none() {
    // Every destination port once: one of them makes the sum all ones, the checksum 0.
    let mut frame = Sample::default().build();
    let mut ones = 0;
    for port in 0..=u16::MAX {
        rewrite(&mut frame, &to([10, 0, 0, 2], port)).unwrap();
        let checksum = u16::from_be_bytes([frame.bytes()[40], frame.bytes()[41]]);
        assert_ne!(checksum, 0);
        ones += u32::from(checksum == 0xffff);
    }
    assert!(ones > 0);
    assert_valid(frame.bytes());
}

#[test]
fn a_wrong_checksum_stays_wrong() {
    let mut frame = Sample::default().build();
    frame.bytes_mut()[45] ^= 1;
    let ip = Headers::parse(frame.bytes()).unwrap().ip.unwrap();
    rewrite(&mut frame, &to([1, 2, 3, 4], 5)).unwrap();
    assert_eq!(packet::checksum::verify_transport(frame.bytes(), 14, &ip), Some(false));
}

proptest! {
    #[test]
    fn what_is_asked_for_changes_and_checksums_stay_right((sample, change) in any_case()) {
        let mut frame = sample.build();
        let offload = frame.offload();
        rewrite(&mut frame, &change).unwrap();
        prop_assert_eq!(frame.offload(), offload);
        prop_assert_eq!(classify(frame.bytes()), Class::Flow(changed(sample.key, &change)));
        for packet in on_the_wire(&frame) {
            assert_valid(&packet);
        }
        if sample.gso.is_none() {
            complete_partial(&mut frame).unwrap();
            assert_valid(frame.bytes());
            // The same frame made anew with the new key.
            let key = changed(sample.key, &change);
            let hops = sample.hops - u8::from(change.forward);
            let no_checksum = sample.no_checksum;
            let anew = Sample { key, hops, no_checksum, partial: false, ..sample }.build();
            prop_assert_eq!(frame.bytes(), anew.bytes());
        }
    }

    #[test]
    fn it_does_not_matter_whether_a_super_frame_is_cut_before_or_after((sample, change) in any_case()) {
        let mut whole = sample.build();
        let mut segments = Vec::new();
        for bytes in on_the_wire(&whole) {
            let mut frame = Frame::with_capacity(1000);
            frame.copy_from(&bytes, Offload { checksum: Checksum::Verified, gso: None }).unwrap();
            rewrite(&mut frame, &change).unwrap();
            segments.push(frame.bytes().to_vec());
        }
        rewrite(&mut whole, &change).unwrap();
        prop_assert_eq!(on_the_wire(&whole), segments);
    }

    #[test]
    fn a_change_and_its_inverse_leave_nothing((sample, change) in any_case()) {
        let change = Rewrite { forward: false, ..change };
        let mut frame = sample.build();
        let before = copy(&frame);
        rewrite(&mut frame, &change).unwrap();
        let back = Rewrite {
            source: change.source.map(|_| sample.key.source),
            destination: change.destination.map(|_| sample.key.destination),
            forward: false,
        };
        rewrite(&mut frame, &back).unwrap();
        prop_assert_eq!(frame.bytes(), before.bytes());
    }

    #[test]
    fn damaged_frames_are_changed_whole_or_not_at_all(
        (sample, change) in any_case(),
        damage in prop::collection::vec((0..80usize, any::<u8>()), 0..5),
        cut in 0..400usize,
        checksum in prop::option::of((any::<u16>(), any::<u16>())),
        gso in prop::option::of(1..u16::MAX),
    ) {
        let mut frame = sample.build();
        for (at, value) in damage {
            if let Some(byte) = frame.bytes_mut().get_mut(at) {
                *byte = value;
            }
        }
        frame.truncate(cut);
        let mut offload = frame.offload();
        if let Some((start, offset)) = checksum {
            offload.checksum = Checksum::Partial { start: start % 100, offset: offset % 20 };
        }
        if let Some(size) = gso {
            offload.gso = Some(Gso { kind: GsoKind::Tcp4, ecn: false, size, hdr_len: size });
        }
        frame.set_offload(offload);
        let before = copy(&frame);
        if rewrite(&mut frame, &change).is_ok() {
            let Class::Flow(old) = classify(before.bytes()) else { panic!("no flow was rewritten") };
            prop_assert_eq!(classify(frame.bytes()), Class::Flow(changed(old, &change)));
        } else {
            prop_assert_eq!(frame.bytes(), before.bytes());
        }
        prop_assert_eq!((frame.len(), frame.offload()), (before.len(), offload));
    }
}
