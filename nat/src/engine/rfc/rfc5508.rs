//! RFC 5508: NAT behavioral requirements for ICMP.

use packet::wire::{Icmpv4Packet, Icmpv6Packet, Ipv4Packet};

use super::{
    namespace::{Router, in_namespace, sysctl},
    reader::Reply,
    *,
};
use crate::engine::{
    Notice,
    build::{Link, Route},
    fragments::{Head, icmp_for, udp_header, write_headers, write_quote},
};

/// Lets this process have ping sockets; at first nobody may.
fn ping_sockets(allowed: bool) {
    if allowed {
        sysctl("net/ipv4/ping_group_range", "0 0");
    }
}

/// An error of container `number` about a datagram to its port `port`.
fn error(number: u8, port: u16, from: (IpAddr, u16), data: &[u8], v4: (u8, u8), v6: (u8, u8)) -> Frame {
    let own = address(number, from.0.is_ipv6());
    let about = Head { route: Route { source: from.0, destination: own }, protocol: 17, hops: 60, tos: 0 };
    let mut quote = [0; 1000];
    let header = udp_header(&about, (from.1, port), data);
    let len = write_quote(&mut quote, &about, [&header, data]).unwrap();
    let protocol = icmp_for(own);
    let head = Head { route: Route { source: own, destination: from.0 }, protocol, hops: 64, tos: 0xc0 };
    let mut frame = Frame::new();
    let total = 14 + head.len() + 8 + len;
    let area = &mut frame.plain_area()[..total];
    let at = write_headers(area, Link::default(), &head).unwrap();
    area[at..at + 8].fill(0);
    area[at + 8..].copy_from_slice(&quote[..len]);
    (area[at], area[at + 1]) = if own.is_ipv6() { v6 } else { v4 };
    match (own, from.0) {
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            Icmpv6Packet::new_checked(&mut area[at..]).unwrap().fill_checksum(source, destination);
        }
        _ => Icmpv4Packet::new_checked(&mut area[at..]).unwrap().fill_checksum(),
    }
    frame.commit_plain(total).unwrap();
    frame
}

fn port_unreachable(number: u8, port: u16, from: (IpAddr, u16), data: &[u8]) -> Frame {
    error(number, port, from, data, (3, 3), (1, 4))
}

/// The next packet, which is an answer to a ping.
fn reply(bench: &mut Bench) -> Reply {
    match bench.packet() {
        Seen::Reply(reply) => reply,
        other => panic!("{other:?}"),
    }
}

fn loopback(v6: bool) -> IpAddr {
    if v6 { SEEN6.into() } else { seen("127.0.0.1:0".parse().unwrap()).0 }
}

in_namespace! {
    fn rfc5508_req1_echoes_are_answered_and_mapped_by_their_identifier() {
        for sockets in [false, true] {
            ping_sockets(sockets);
            for v6 in [false, true] {
                let mut bench = Bench::plain();
                bench.add(3);
                for (number, ident) in [(2, 77), (3, 77), (2, 78), (2, 77)] {
                    bench.send(&ping(number, ident, loopback(v6), b"abcdefgh"));
                    let got = reply(&mut bench);
                    assert_eq!((got.number, got.from, got.to), (number, loopback(v6), address(number, v6)));
                    assert_eq!((got.ident, got.sequence, got.data.as_slice()), (ident, 3, b"abcdefgh".as_slice()));
                }
                let flows = bench.flows();
                assert_eq!(flows.len(), 3);
                let mut outside: Vec<u16> = flows.iter().map(|flow| flow.outside.unwrap().port()).collect();
                outside.sort_unstable();
                outside.dedup();
                assert_eq!(outside.len(), 3, "no two share an identifier");
                assert_eq!(bench.engine.counters().reasons().count(), 0);
            }
        }
    }
}

in_namespace! {
    fn rfc5508_req1a_the_mapping_of_an_identifier_is_the_same_for_all_destinations() {
        for sockets in [false, true] {
            ping_sockets(sockets);
            let mut bench = Bench::plain();
            for host in 1..4 {
                let to = seen(SocketAddr::from(([127, 0, 0, host], 0))).0;
                bench.send(&ping(2, 77, to, b"abcdefgh"));
                assert_eq!(reply(&mut bench).from, to);
            }
            let flows = bench.flows();
            assert_eq!(flows.len(), 3);
            assert!(flows.iter().all(|flow| flow.outside == flows[0].outside));
        }
    }
}

in_namespace! {
    fn rfc5508_req2_an_identifier_stays_mapped_for_sixty_seconds() {
        for sockets in [false, true] {
            ping_sockets(sockets);
            let mut config = Config::default();
            config.icmp.timeout = Duration::from_secs(1);
            let mut bench = Bench::new(config);
            bench.add(2);
            bench.send(&ping(2, 77, loopback(false), b"abcdefgh"));
            reply(&mut bench);
            bench.pass(Duration::from_secs(59));
            assert_eq!(bench.flows().len(), 1);
            bench.send(&ping(2, 77, loopback(false), b"abcdefgh"));
            reply(&mut bench);
            bench.pass(Duration::from_secs(59));
            assert_eq!(bench.flows().len(), 1);
            bench.pass(Duration::from_secs(2));
            assert_eq!(bench.flows().len(), 0);
            assert_eq!(bench.engine.inside(bench.id(2)).unwrap().flows, 0);
        }
    }
}

#[test]
fn rfc5508_req3_errors_with_wrong_checksums_are_dropped() {
    let mut bench = Bench::plain();
    let server = server(1, false);
    let from = bench.reach(2, 40_000, &server);
    server.send_to(b"answer", from).unwrap();
    let (source, _, data) = bench.datagram();
    // The error's own checksum.
    let mut frame = port_unreachable(2, 40_000, source, &data);
    frame.bytes_mut()[36] ^= 1;
    bench.send_frame(2, frame);
    assert_eq!(bench.count(Reason::BadChecksum), 1);
    // That of the IP header it quotes (a).
    let mut frame = port_unreachable(2, 40_000, source, &data);
    frame.bytes_mut()[42 + 8] ^= 1;
    Icmpv4Packet::new_checked(&mut frame.bytes_mut()[34..]).unwrap().fill_checksum();
    bench.send_frame(2, frame);
    assert_eq!(bench.count(Reason::BadChecksum), 2);
    // That of the datagram it quotes is not looked at (c).
    let mut frame = port_unreachable(2, 40_000, source, &data);
    frame.bytes_mut()[42 + 20 + 6] ^= 1;
    Icmpv4Packet::new_checked(&mut frame.bytes_mut()[34..]).unwrap().fill_checksum();
    bench.send_frame(2, frame);
    assert_eq!(bench.count(Reason::BadChecksum), 2);
}

in_namespace! {
    fn rfc5508_req4_an_error_about_an_echo_reaches_the_container_translated() {
        let _router = Router::new();
        for sockets in [false, true] {
            ping_sockets(sockets);
            for v6 in [false, true] {
                let mut bench = Bench::plain();
                let to: IpAddr = if v6 { "2001:db8:2::9" } else { "203.0.113.9" }.parse().unwrap();
                let router: IpAddr = if v6 { "2001:db8:1::2" } else { "192.0.2.2" }.parse().unwrap();
                // The gateway takes one hop, the router's is the last.
                bench.send(&Sample { hops: 2, ..ping(2, 77, to, b"abcdefgh") });
                let error = bench.error();
                assert_eq!((error.kind, error.code), if v6 { (3, 0) } else { (11, 0) });
                assert_eq!((error.from, error.to), (router, address(2, v6)));
                assert_eq!(error.quoted.source, (address(2, v6), 77));
                assert_eq!((error.quoted.destination.0, error.quoted.data.as_slice()), (to, b"abcdefgh".as_slice()));
            }
        }
    }
}

in_namespace! {
    fn rfc5508_req4_traceroute_finds_every_hop() {
        let router = Router::new();
        ping_sockets(true);
        // One more hop behind the router, which answers.
        router.within(|| namespace::addresses(&["203.0.113.9/32", "2001:db8:2::9/128"]));
        for v6 in [false, true] {
            let mut bench = Bench::plain();
            let gateway: IpAddr = if v6 { GATEWAY6.into() } else { GATEWAY.into() };
            let far: IpAddr = if v6 { "2001:db8:2::9" } else { "203.0.113.9" }.parse().unwrap();
            let behind: IpAddr = if v6 { "2001:db8:2::77" } else { "203.0.113.77" }.parse().unwrap();
            let hop: IpAddr = if v6 { "2001:db8:1::2" } else { "192.0.2.2" }.parse().unwrap();
            let exhausted = if v6 { 3 } else { 11 };
            // With UDP, as most do it.
            let mut found = Vec::new();
            for (hops, to) in [(1, far), (2, behind), (2, far)] {
                bench.send(&Sample { hops, ..datagram(2, 40_000, (to, 33_434), b"probe") });
                let error = bench.error();
                assert_eq!(error.quoted.destination, (to, 33_434));
                found.push((error.from, error.kind));
            }
            assert_eq!(found, [(gateway, exhausted), (hop, exhausted), (far, if v6 { 1 } else { 3 })]);
            // With echoes.
            for (hops, to, from) in [(1, far, gateway), (2, behind, hop)] {
                bench.send(&Sample { hops, ..ping(2, 77, to, b"probe") });
                let error = bench.error();
                assert_eq!((error.from, error.kind), (from, exhausted));
            }
            bench.send(&Sample { hops: 2, ..ping(2, 77, far, b"probe") });
            assert_eq!(reply(&mut bench).from, far);
        }
    }
}

in_namespace! {
    fn rfc5508_req4_errors_about_nothing_that_is_known_are_dropped() {
        ping_sockets(false);
        let mut bench = Bench::plain();
        bench.send(&ping(2, 77, loopback(false), b"abcdefgh"));
        reply(&mut bench);
        // The engine's raw socket hears of another program's ping that nobody answers.
        namespace::ip("route add unreachable 203.0.113.0/24\n");
        let other = crate::sys::DatagramSocket::udp(false).unwrap();
        drop(other);
        let _router = Router::new();
        let raw = crate::sys::DatagramSocket::raw(false, true).unwrap();
        let mut echo = [8, 0, 0, 0, 9, 9, 0, 1];
        Icmpv4Packet::new_checked(&mut echo).unwrap().fill_checksum();
        let data = [std::io::IoSlice::new(&echo)];
        let to = "192.0.2.2:0".parse().unwrap();
        let message = crate::sys::Message { to, data: &data, hops: 9, tos: 0, segment: None, via: None };
        raw.send(&[message]).unwrap();
        let mut received = Vec::new();
        poll(&mut [PollFd::new(&raw, PollFlags::IN)], Some(&PATIENCE)).unwrap();
        raw.receive(&mut [std::io::IoSliceMut::new(&mut [0; 100])], &mut received).unwrap();
        assert_eq!(received.len(), 1);
        // It is the only one to have got it.
        bench.turn();
        bench.assert_quiet();
        assert_eq!(bench.engine.counters().reasons().count(), 0);
    }
}

in_namespace! {
    fn rfc5508_req5_an_error_of_a_container_reaches_the_sender_translated() {
        namespace::addresses(&["192.0.2.1/24", "2001:db8::1/64"]);
        for v6 in [false, true] {
            let mut bench = Bench::plain();
            let (_, at) = bench.publish(2, 53, if v6 { "[::]:8000" } else { "0.0.0.0:8000" });
            let host: IpAddr = if v6 { "2001:db8::1" } else { "192.0.2.1" }.parse().unwrap();
            let client = server_at(SocketAddr::new(host, 0));
            client.connect(SocketAddr::new(host, at.port())).unwrap();
            client.send(b"question").unwrap();
            let (source, _, data) = bench.datagram();
            assert_eq!(source.0, host);
            bench.send_frame(2, port_unreachable(2, 53, source, &data));
            let refused = client.recv(&mut [0; 9]).unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
            assert_eq!(bench.engine.counters().reasons().count(), 0);
            // One about a session that does not exist goes nowhere.
            bench.send_frame(2, port_unreachable(2, 54, source, &data));
            assert_eq!(bench.count(Reason::IcmpError), 1);
        }
    }
}

in_namespace! {
    fn rfc5508_req6_errors_neither_refresh_nor_end_anything() {
        ping_sockets(true);
        let _router = Router::new();
        let mut bench = Bench::plain();
        let nobody = server(1, false).local_addr().unwrap();
        bench.send(&datagram(2, 40_000, seen(nobody), b"hello"));
        bench.error();
        assert_eq!((bench.flows().len(), bench.flows()[0].state), (1, "UNREPLIED"));
        // Its time runs from the datagram, not from the error.
        bench.pass(Duration::from_secs(299));
        assert_eq!(bench.flows().len(), 1);
        bench.pass(Duration::from_secs(2));
        assert_eq!(bench.flows().len(), 0);

        bench.send(&Sample { hops: 2, ..ping(2, 77, "203.0.113.9".parse().unwrap(), b"abcdefgh") });
        bench.error();
        assert_eq!(bench.flows().len(), 1);
        bench.pass(Duration::from_secs(61));
        assert_eq!(bench.flows().len(), 0);
    }
}

#[test]
fn rfc5508_req7_errors_hairpin() {
    let mut bench = Bench::filtering(Filtering::EndpointIndependent);
    bench.add(3);
    let server = server(1, false);
    let three = bench.reach(3, 40_071, &server);
    bench.send(&datagram(2, 40_070, seen(three), b"neighbour"));
    let Seen::Datagram(got) = bench.packet() else { panic!("not a datagram") };
    assert_eq!(got.number, 3);
    // It has answered before, or nothing would be known of the two.
    bench.send(&datagram(3, 40_071, got.from, b"yes"));
    bench.packet();
    bench.send(&datagram(2, 40_070, seen(three), b"neighbour"));
    bench.packet();
    bench.send_frame(3, port_unreachable(3, 40_071, got.from, b"neighbour"));
    let error = bench.error();
    assert_eq!((error.number, error.kind, error.code), (2, 3, 3));
    // As it comes from where container 2 has sent to.
    assert_eq!((error.from, error.quoted.destination), (seen(three).0, seen(three)));
    assert_eq!(
        (error.quoted.source, error.quoted.data),
        ((address(2, false), 40_070), b"neighbour".to_vec())
    );
    assert_eq!(bench.engine.counters().reasons().count(), 0);
}

in_namespace! {
    fn rfc5508_req7_echoes_to_the_hosts_own_address_are_answered() {
        namespace::addresses(&["192.0.2.1/24"]);
        ping_sockets(true);
        let mut bench = Bench::plain();
        let host: IpAddr = "192.0.2.1".parse().unwrap();
        bench.send(&ping(2, 77, host, b"abcdefgh"));
        assert_eq!(reply(&mut bench).from, host);
    }
}

#[test]
fn rfc5508_req8_what_is_forbidden_is_told_to_be() {
    let mut bench = Bench::new(Config::default());
    bench.add_with(2, |config| config.outbound = false);
    for sample in [
        ping(2, 77, "198.51.100.1".parse().unwrap(), b"abcdefgh"),
        datagram(2, 40_000, ("198.51.100.1".parse().unwrap(), 53), b"hello"),
    ] {
        bench.send(&sample);
        let error = bench.error();
        assert_eq!((error.kind, error.code), (3, 13));
    }
    assert_eq!(bench.count(Reason::NoOutbound), 2);
}

in_namespace! {
    fn rfc5508_req8_without_the_means_to_ping_containers_and_people_are_told() {
        ping_sockets(false);
        // From here on without privileges.
        let nothing = rustix::thread::CapabilitySets {
            effective: rustix::thread::CapabilitySet::empty(),
            permitted: rustix::thread::CapabilitySet::empty(),
            inheritable: rustix::thread::CapabilitySet::empty(),
        };
        rustix::thread::set_capabilities(None, nothing).unwrap();
        let mut bench = Bench::plain();
        for (v6, prohibited) in [(false, (3, 13)), (true, (1, 1))] {
            bench.send(&ping(2, 77, loopback(v6), b"abcdefgh"));
            let error = bench.error();
            assert_eq!((error.kind, error.code), prohibited);
            assert_eq!(error.quoted.source, (address(2, v6), 77));
        }
        assert_eq!(bench.count(Reason::PingForbidden), 2);
        assert_eq!(bench.engine.notice(), Some(Notice::PingForbidden));
        assert_eq!(bench.engine.notice(), None);
        assert!(Notice::PingForbidden.to_string().contains("net.ipv4.ping_group_range"));
        // Its errors cannot be sent either: they are counted.
        let server = server(1, false);
        let from = bench.reach(2, 40_000, &server);
        server.send_to(b"answer", from).unwrap();
        let (source, _, data) = bench.datagram();
        bench.send_frame(2, port_unreachable(2, 40_000, source, &data));
        assert_eq!(bench.count(Reason::IcmpErrorUnsent), 1);
    }
}

in_namespace! {
    fn rfc5508_req10_messages_of_other_kinds_are_dropped() {
        let mut bench = Bench::plain();
        let good = ping(2, 77, loopback(false), b"abcdefgh");
        // Time stamp requests, answers to nothing, and errors about errors.
        for (kind, reason) in [(13, Reason::Protocol), (0, Reason::NoFlow), (5, Reason::Malformed)] {
            let mut frame = good.build();
            frame.bytes_mut()[34] = kind;
            Icmpv4Packet::new_checked(&mut frame.bytes_mut()[34..]).unwrap().fill_checksum();
            bench.send_frame(2, frame);
            assert_eq!((kind, bench.count(reason)), (kind, 1));
        }
        // A wrong checksum.
        let mut frame = good.build();
        frame.bytes_mut()[36] ^= 1;
        bench.send_frame(2, frame);
        assert_eq!(bench.count(Reason::BadChecksum), 1);
        assert_eq!(bench.flows().len(), 0);
        bench.assert_quiet();
    }
}

#[test]
fn nobody_is_told_of_an_error_that_went_nowhere() {
    let mut bench = Bench::plain();
    let far = ("198.51.100.1".parse().unwrap(), 53);
    // Without hops left, which for anything else brings an error.
    let mut frame = port_unreachable(2, 40_000, far, b"question");
    let mut ip = Ipv4Packet::new_truncated(&mut frame.bytes_mut()[14..]).unwrap();
    ip.set_ttl(1);
    ip.fill_checksum();
    bench.send_frame(2, frame);
    assert_eq!(bench.count(Reason::HopsExhausted), 1);
    bench.assert_quiet();
}

in_namespace! {
    fn a_long_echo_goes_and_comes_in_fragments() {
        ping_sockets(true);
        for v6 in [false, true] {
            let mut bench = Bench::plain();
            let payload: Vec<u8> = (0..4000u16).map(|i| i as u8).collect();
            bench.send(&ping(2, 77, loopback(v6), &payload));
            let mut data: Vec<u8> = Vec::new();
            while data.len() < 8 + payload.len() {
                let (_, frame, _) = bench.frame();
                assert!(frame.len() <= 1514);
                let ip = packet::wire::Headers::parse(&frame).unwrap().ip.unwrap();
                data.extend(&frame[ip.l4..ip.end]);
            }
            assert_eq!(data[8..], payload);
        }
    }
}
