//! RFC 4787, requirements 13 and 14: paths that take less, and fragments.

use super::{namespace::Router, namespace::in_namespace, *};
use crate::{
    counters::Counters,
    engine::{
        build::{Link, Route},
        fragments::{Head, Splitter, udp_header},
    },
    time::Time,
};

/// Somewhere behind the router.
fn beyond(v6: bool) -> (IpAddr, u16) {
    let ip = if v6 { "2001:db8:2::9" } else { "203.0.113.9" };
    (ip.parse().unwrap(), 7000)
}

/// A frame that may not be fragmented, or one that may.
fn with_flag(sample: &Sample, dont_fragment: bool) -> Frame {
    let mut frame = sample.build();
    if sample.key.source.ip.is_ipv4() {
        let ip = &mut frame.bytes_mut()[14..34];
        let mut ip = packet::wire::Ipv4Packet::new_truncated(ip).unwrap();
        ip.set_fragment_word(if dont_fragment { packet::wire::ipv4::DONT_FRAGMENT } else { 0 });
        ip.fill_checksum();
    }
    frame
}

fn whole(sample: &Sample) -> Frame {
    with_flag(sample, true)
}

/// The datagram of container 2 in fragments for an interface of 600 bytes.
fn fragments(to: (IpAddr, u16), payload: &[u8]) -> Vec<Frame> {
    let from = address(2, to.0.is_ipv6());
    let head = Head { route: Route { source: from, destination: to.0 }, protocol: 17, hops: 64, tos: 0 };
    let header = udp_header(&head, (40_000, to.1), payload);
    let mut sent = Inbox::default();
    let mut splitter = Splitter::new(Time::ZERO);
    let transport = [header.as_slice(), payload];
    splitter
        .send(&mut Counters::default(), InsideId(0), Link::default(), 600, &head, transport, &mut sent)
        .unwrap();
    let frames = sent.frames.into_iter().map(|(_, bytes, offload)| {
        let mut frame = Frame::new();
        frame.copy_from(&bytes, offload).unwrap();
        frame
    });
    frames.collect()
}

in_namespace! {
    fn rfc4787_req13_what_is_too_long_for_the_path_says_its_mtu() {
        let _router = Router::new();
        for v6 in [false, true] {
            let mut bench = Bench::plain();
            let to = beyond(v6);
            let payload = vec![7; 1400];
            // The first meets with the router, from then on the host knows the path.
            for from_router in [true, false] {
                bench.send_frame(2, whole(&super::datagram(2, 40_000, to, &payload)));
                let error = bench.error();
                let too_big = if v6 { (2, 0) } else { (3, 4) };
                assert_eq!(((error.kind, error.code), error.word), (too_big, 1300), "{v6} {from_router}");
                let router = if v6 { "2001:db8:1::2" } else { "192.0.2.2" }.parse().unwrap();
                let gateway: IpAddr = if v6 { GATEWAY6.into() } else { GATEWAY.into() };
                assert_eq!(error.from, if from_router { router } else { gateway });
                assert_eq!(error.quoted.source, (address(2, v6), 40_000));
                assert_eq!(error.quoted.destination, to);
                assert_eq!(bench.count(Reason::TooBig), u64::from(!from_router));
            }
        }
    }
}

in_namespace! {
    fn rfc4787_req13_a_run_of_datagrams_too_long_for_the_path_is_told_once() {
        let _router = Router::new();
        let mut bench = Bench::plain();
        let to = beyond(false);
        let run = Sample { gso: Some(1400), ..super::datagram(2, 40_000, to, &[7; 7000]) };
        bench.send_frame(2, whole(&run));
        assert_eq!(bench.error().word, 1300);
        while !bench.inbox.frames.is_empty() {
            bench.error();
        }
        bench.send_frame(2, whole(&run));
        assert_eq!(bench.error().word, 1300);
        bench.assert_quiet();
    }
}

in_namespace! {
    fn rfc4787_req13_what_may_be_fragmented_is() {
        let router = Router::new();
        // On the way to the router itself, which answers, 1300 bytes fit.
        namespace::ip("route add 192.0.2.2/32 dev e0 mtu 1300\nroute add 2001:db8:1::2/128 dev e0 mtu 1300\n");
        for v6 in [false, true] {
            let at = if v6 { "[2001:db8:1::2]:7000" } else { "192.0.2.2:7000" };
            let server = router.within(|| server_at(at.parse().unwrap()));
            let mut bench = Bench::plain();
            let payload: Vec<u8> = (0..5000u16).map(|i| i as u8).collect();
            let to = seen(server.local_addr().unwrap());
            for frame in fragments(to, &payload) {
                bench.send_frame(2, frame);
            }
            assert_eq!(take(&server).0, payload);
            if !v6 {
                // One that says it may, and was not cut yet; and a run of such.
                bench.send_frame(2, with_flag(&super::datagram(2, 40_000, to, &payload[..1400]), false));
                assert_eq!(take(&server).0, payload[..1400]);
                let run = Sample { gso: Some(1400), ..super::datagram(2, 40_000, to, &payload) };
                bench.send_frame(2, with_flag(&run, false));
                for datagram in payload.chunks(1400) {
                    assert_eq!(take(&server).0, datagram);
                }
            }
        }
    }
}

#[test]
fn rfc4787_req14_fragments_are_taken_in_any_order() {
    for v6 in [false, true] {
        let server = server(1, v6);
        let mut bench = Bench::plain();
        let payload: Vec<u8> = (0..3000u16).map(|i| i as u8).collect();
        let frames = || fragments(seen(server.local_addr().unwrap()), &payload);
        let count = frames().len();
        assert!(count > 4);
        // In order, the first one last, and from the middle on.
        for first in [0, 1, count / 2] {
            let mut frames = frames();
            frames.rotate_left(first);
            for frame in frames {
                bench.send_frame(2, frame);
            }
            assert_eq!(take(&server).0, payload);
        }
        let mut frames = frames();
        frames.reverse();
        for frame in frames {
            bench.send_frame(2, frame);
        }
        assert_eq!(take(&server).0, payload);
        assert_eq!(bench.engine.counters().reasons().count(), 0);
    }
}

#[test]
fn rfc4787_req14_fragments_that_overlap_are_dropped() {
    let server = server(1, false);
    let mut bench = Bench::plain();
    let mut frames = fragments(seen(server.local_addr().unwrap()), &[7; 3000]);
    // The second begins where the first has not yet ended.
    let mut ip = packet::wire::Ipv4Packet::new_truncated(&mut frames[1].bytes_mut()[14..]).unwrap();
    ip.set_fragment_word(packet::wire::ipv4::MORE_FRAGMENTS | 8);
    ip.fill_checksum();
    let count = frames.len() as u64;
    for frame in frames {
        bench.send_frame(2, frame);
    }
    assert_eq!(bench.count(Reason::FragmentOverlap), count - 1);
    assert_eq!(bench.flows().len(), 0);
}

#[test]
fn rfc4787_req14_a_packet_that_stays_incomplete_is_given_up_and_its_sender_told() {
    for v6 in [false, true] {
        let server = server(1, v6);
        let mut bench = Bench::plain();
        let to = seen(server.local_addr().unwrap());
        bench.send_frame(2, fragments(to, &[7; 3000]).swap_remove(0));
        // One without its first fragment is given up in silence.
        bench.send_frame(2, fragments(to, &[7; 3000]).swap_remove(1));
        bench.pass(Duration::from_secs(29));
        bench.assert_quiet();
        bench.pass(Duration::from_secs(2));
        assert_eq!(bench.count(Reason::FragmentTimeout), 2);
        let error = bench.error();
        assert_eq!((error.kind, error.code), if v6 { (3, 1) } else { (11, 1) });
        assert_eq!((error.quoted.source, error.quoted.destination), ((address(2, v6), 40_000), to));
        bench.assert_quiet();
    }
}

#[test]
fn rfc4787_req14_a_flood_of_first_fragments_is_bounded_and_whole_packets_pass() {
    let server = server(1, false);
    let mut bench = Bench::plain();
    let to = seen(server.local_addr().unwrap());
    for _ in 0..500 {
        bench.send_frame(2, fragments(to, &[7; 3000]).swap_remove(0));
    }
    for frame in fragments(to, &[8; 3000]) {
        bench.send_frame(2, frame);
    }
    assert_eq!(take(&server).0, [8; 3000]);
}

#[test]
fn rfc4787_req14_what_is_longer_than_the_containers_interface_comes_in_fragments() {
    for v6 in [false, true] {
        let server = server(1, v6);
        let mut bench = Bench::plain();
        let from = bench.reach(2, 40_000, &server);
        let payload: Vec<u8> = (0..5000u16).map(|i| i as u8).collect();
        server.send_to(&payload, from).unwrap();
        let mut parts = Vec::new();
        while parts.len() < 4 {
            let (_, frame, _) = bench.frame();
            assert!(frame.len() <= 1514);
            parts.push(frame);
        }
        let mut data: Vec<u8> = Vec::new();
        for frame in &parts {
            let ip = packet::wire::Headers::parse(frame).unwrap().ip.unwrap();
            assert!(ip.fragment);
            data.extend(&frame[ip.l4..ip.end]);
        }
        assert_eq!(data[8..], payload);
        bench.assert_quiet();
    }
}
