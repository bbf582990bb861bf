//! UDP beyond the numbered requirements: super-frames, bad input, what runs out. Published ports are in
//! `udp_published`.

use std::io::IoSlice;

use packet::{Checksum, GsoKind};
use rustix::process::{Resource, Rlimit, setrlimit};

use super::{namespace::in_namespace, *};
use crate::{
    config::Limits,
    sys::{DatagramSocket, Message, Received},
};

/// A socket that says more of what it gets than the library's, at 127.0.0.1 or ::1.
fn detailed(v6: bool) -> (DatagramSocket, SocketAddr) {
    let socket = DatagramSocket::udp(v6).unwrap();
    let ip: IpAddr = if v6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
    socket.bind(ip, 0).unwrap();
    let address = socket.local().unwrap();
    (socket, address)
}

fn take_detailed(socket: &DatagramSocket) -> Received {
    poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&PATIENCE)).unwrap();
    let mut received = Vec::new();
    let mut bytes = vec![0; 70_000];
    socket.receive(&mut [std::io::IoSliceMut::new(&mut bytes)], &mut received).unwrap();
    received[0]
}

#[test]
fn a_super_frame_goes_out_as_the_datagrams_it_is() {
    for v6 in [false, true] {
        let mut bench = Bench::plain();
        let server = server(1, v6);
        let payload: Vec<u8> = (0..50_000u32).map(|i| (i / 7) as u8).collect();
        let to = seen(server.local_addr().unwrap());
        bench.send(&Sample { gso: Some(1300), ..datagram(2, 40_000, to, &payload) });
        for expected in payload.chunks(1300) {
            assert_eq!(take(&server).0, expected);
        }
        let flow = &bench.flows()[0];
        assert_eq!((flow.bytes_out, flow.packets_out), (50_000, 1));
    }
}

#[test]
fn datagrams_of_a_batch_go_out_in_order() {
    let mut bench = Bench::plain();
    let servers = [server(1, false), server(2, false)];
    let id = bench.id(2);
    // Equal ones, shorter ones, empty ones, to two servers, more than fit one call.
    let mut expected = [Vec::new(), Vec::new()];
    for i in 0..150usize {
        let which = usize::from(i % 9 == 0);
        let len = match i {
            i if i % 13 == 0 => i,
            i if i % 50 == 1 => 0,
            _ => 300,
        };
        let payload = vec![i as u8; len];
        let to = seen(servers[which].local_addr().unwrap());
        let mut frame = datagram(2, 40_000, to, &payload).build();
        bench.engine.from_inside(id, &mut frame, &mut bench.inbox);
        expected[which].push(payload);
    }
    bench.engine.flush(&mut bench.inbox);
    for (server, expected) in servers.iter().zip(expected) {
        for payload in expected {
            assert_eq!(take(server).0, payload);
        }
    }
    assert_eq!(bench.engine.counters().reasons().count(), 0);
}

#[test]
fn equal_datagrams_of_a_batch_go_as_one() {
    let mut bench = Bench::plain();
    let (server, at) = detailed(false);
    let id = bench.id(2);
    for _ in 0..20 {
        let mut frame = datagram(2, 40_000, seen(at), &[7; 1000]).build();
        bench.engine.from_inside(id, &mut frame, &mut bench.inbox);
    }
    bench.engine.flush(&mut bench.inbox);
    let run = take_detailed(&server);
    assert_eq!((run.len, run.segment), (20_000, Some(1000)));
}

#[test]
fn a_run_of_datagrams_comes_in_as_a_super_frame() {
    for v6 in [false, true] {
        let mut bench = Bench::plain();
        let (peer, at) = detailed(v6);
        bench.send(&datagram(2, 40_000, seen(at), b"hello"));
        let outside = SocketAddr::new(at.ip(), bench.flows()[0].outside.unwrap().port());
        let payload: Vec<u8> = (0..7500u16).map(|i| i as u8).collect();
        let data = [IoSlice::new(&payload)];
        let message =
            Message { to: outside, data: &data, hops: 9, tos: 0x2a, segment: Some(1400), via: None };
        peer.send(&[message]).unwrap();
        let (_, bytes, offload) = bench.frame();
        assert_eq!(offload.gso.map(|gso| (gso.kind, gso.size)), Some((GsoKind::UdpL4, 1400)));
        let l4 = if v6 { 54 } else { 34 };
        assert_eq!(offload.checksum, Checksum::Partial { start: l4, offset: 6 });
        assert_eq!(bytes[usize::from(l4) + 8..], payload);
        // One that its interface does not take is cut for it.
        peer.send(&[Message { segment: Some(3000), ..message }]).unwrap();
        for (len, parts) in [(3000, 3), (3000, 3), (1500, 2)] {
            let mut sum = 0;
            for _ in 0..parts {
                let (_, frame, _) = bench.frame();
                sum += packet::wire::Headers::parse(&frame).unwrap().ip.map(|ip| ip.end - ip.l4).unwrap();
            }
            assert_eq!(sum, len + 8);
        }
        bench.assert_quiet();
    }
}

#[test]
fn hops_and_service_are_carried_both_ways() {
    for v6 in [false, true] {
        let mut bench = Bench::plain();
        let (peer, at) = detailed(v6);
        let mut frame = Sample { hops: 9, ..datagram(2, 40_000, seen(at), b"hello") }.build();
        if v6 {
            let mut ip = packet::wire::Ipv6Packet::new_truncated(&mut frame.bytes_mut()[14..]).unwrap();
            ip.set_traffic_class(0xb9);
        } else {
            let mut ip = packet::wire::Ipv4Packet::new_truncated(&mut frame.bytes_mut()[14..]).unwrap();
            ip.set_tos(0xb9);
            ip.fill_checksum();
        }
        bench.send_frame(2, frame);
        let received = take_detailed(&peer);
        assert_eq!((received.hops, received.tos), (Some(8), 0xb9));
        let data = [IoSlice::new(b"answer")];
        // Congestion that the answer has met with is told.
        peer.send(&[Message { to: received.from, data: &data, hops: 50, tos: 3, segment: None, via: None }])
            .unwrap();
        let Seen::Datagram(got) = bench.packet() else { panic!("not a datagram") };
        assert_eq!((got.hops, got.tos), (49, 3));
    }
}

#[test]
fn a_datagram_without_hops_goes_no_further() {
    let mut bench = Bench::plain();
    let server = server(1, false);
    let to = seen(server.local_addr().unwrap());
    bench.send(&Sample { hops: 1, ..datagram(2, 40_000, to, b"hello") });
    let error = bench.error();
    assert_eq!((error.kind, error.code, error.from), (11, 0, GATEWAY.into()));
    assert_eq!((bench.count(Reason::HopsExhausted), bench.flows().len()), (1, 0));
}

#[test]
fn more_than_one_turn_takes_all_comes_in_the_end() {
    let mut bench = Bench::plain();
    let server = server(1, false);
    let from = bench.reach(2, 40_000, &server);
    // Each of another length, so that none are joined.
    for i in 0..150usize {
        server.send_to(&vec![1; 10 + (i * 7) % 50], from).unwrap();
    }
    for i in 0..150usize {
        assert_eq!(bench.datagram().2.len(), 10 + (i * 7) % 50);
    }
}

#[test]
fn bad_datagrams_are_counted_and_go_nowhere() {
    let mut bench = Bench::plain();
    let server = server(1, false);
    let to = seen(server.local_addr().unwrap());
    let good = datagram(2, 40_000, to, b"hello");
    let mut wrong = |change: &dyn Fn(&mut Frame), reason| {
        let mut frame = good.build();
        change(&mut frame);
        let before = bench.count(reason);
        bench.send_frame(2, frame);
        assert_eq!((reason, bench.count(reason)), (reason, before + 1));
    };
    wrong(&|frame| frame.bytes_mut()[42] ^= 1, Reason::BadChecksum);
    wrong(&|frame| frame.bytes_mut()[24] ^= 1, Reason::BadChecksum);
    let checksum = Checksum::Partial { start: 30, offset: 6 };
    wrong(&move |frame| frame.set_offload(Offload { checksum, gso: None }), Reason::BadOffload);
    let gso = Some(packet::Gso { kind: GsoKind::Tcp4, ecn: false, size: 3, hdr_len: 42 });
    let checksum = Checksum::Partial { start: 34, offset: 6 };
    wrong(&move |frame| frame.set_offload(Offload { checksum, gso }), Reason::BadOffload);
    // Without a checksum nothing else is wrong with these: ports of 0, lengths that cannot be.
    let bare = |at: usize, word: u16| {
        move |frame: &mut Frame| {
            frame.bytes_mut()[40..42].fill(0);
            frame.bytes_mut()[at..at + 2].copy_from_slice(&word.to_be_bytes());
        }
    };
    wrong(&bare(34, 0), Reason::Malformed);
    wrong(&bare(36, 0), Reason::Malformed);
    wrong(&bare(38, 7), Reason::Malformed);
    wrong(&bare(38, 14), Reason::Malformed);
    let v6 = datagram(2, 40_000, (SEEN6.into(), 9), b"hello");
    let mut frame = v6.build();
    frame.bytes_mut()[60..62].fill(0);
    bench.send_frame(2, frame);
    assert_eq!(bench.count(Reason::BadChecksum), 3);
    bench.send_frame(2, datagram(3, 40_000, to, b"hello").build());
    assert_eq!(bench.count(Reason::SpoofedSource), 1);
    assert_eq!(bench.flows().len(), 0);
    bench.assert_quiet();
    // One that is shorter than its packet is taken as long as it is.
    let mut frame = good.build();
    bare(38, 8 + 3)(&mut frame);
    bench.send_frame(2, frame);
    assert_eq!(take(&server).0, b"hel");
}

#[test]
fn nobody_listens_on_the_gateway_itself() {
    let mut bench = Bench::plain();
    bench.send(&datagram(2, 40_000, (GATEWAY.into(), 53), b"hello"));
    let error = bench.error();
    assert_eq!((error.kind, error.code, error.quoted.destination), (3, 3, (GATEWAY.into(), 53)));
    assert_eq!(bench.count(Reason::NoFlow), 1);
}

in_namespace! {
    fn without_a_route_the_container_is_told() {
        let mut bench = Bench::plain();
        for (to, unreachable) in [("198.51.100.1", (3, 0)), ("2001:db8:9::1", (1, 0))] {
            bench.send(&datagram(2, 40_000, (to.parse().unwrap(), 7000), b"hello"));
            let error = bench.error();
            assert_eq!((error.kind, error.code), unreachable);
        }
        namespace::ip("route add prohibit 198.51.100.0/24\n");
        bench.send(&datagram(2, 40_000, ("198.51.100.1".parse().unwrap(), 7000), b"hello"));
        assert_eq!(bench.error().code, 13);
        assert_eq!(bench.count(Reason::Unreachable), 3);
    }
}

#[test]
fn an_address_that_a_container_cannot_be_shown_reaches_nobody() {
    let mut bench = Bench::filtering(Filtering::EndpointIndependent);
    let from = bench.reach(2, 40_000, &server(1, false));
    // Nothing stands for this one.
    server(77, false).send_to(b"hello", from).unwrap();
    bench.until_counted(Reason::UnseenSource, 1);
    bench.assert_quiet();
}

#[test]
fn what_a_containers_queue_does_not_take_is_counted() {
    let mut bench = Bench::plain();
    let server = server(1, false);
    let from = bench.reach(2, 40_000, &server);
    for (why, reason) in [(SendError::Full, Reason::InsideQueueFull), (SendError::Down, Reason::InsideDown)] {
        bench.inbox.refuses = Some(why);
        for len in [10, 5000] {
            server.send_to(&vec![7; len], from).unwrap();
        }
        bench.until_counted(reason, 2);
    }
    assert_eq!(bench.flows()[0].bytes_in, 0);
}

in_namespace! {
    fn a_container_that_goes_takes_its_sockets_with_it() {
        let mut bench = Bench::plain();
        let server = server(1, false);
        let from = bench.reach(2, 40_000, &server);
        let (_, at) = bench.publish(2, 53, "127.0.0.1:0");
        server.send_to(b"question", at).unwrap();
        bench.datagram();
        let id = bench.id(2);
        bench.engine.close_flows(id, &mut bench.inbox);
        assert_eq!(bench.flows().len(), 0);
        assert!(UdpSocket::bind(at).is_err());
        bench.reach(2, 40_000, &server);
        bench.engine.remove_inside(id);
        assert_eq!(bench.flows().len(), 0);
        for port in [from.port(), at.port()] {
            UdpSocket::bind(("127.0.0.1", port)).unwrap();
        }
        assert!(bench.engine.inside(id).is_none());
    }
}

in_namespace! {
    fn out_of_descriptors_the_container_is_told_and_others_go_on() {
        let mut bench = Bench::plain();
        let (server, spare) = (server(1, false), server(1, false));
        let from = bench.reach(2, 40_000, &server);
        let used = rustix::io::dup(&server).unwrap();
        let limit = u64::try_from(std::os::fd::AsRawFd::as_raw_fd(&used)).unwrap();
        drop(used);
        setrlimit(Resource::Nofile, Rlimit { current: Some(limit), maximum: Some(1024) }).unwrap();
        bench.send(&datagram(2, 40_001, seen(server.local_addr().unwrap()), b"hello"));
        setrlimit(Resource::Nofile, Rlimit { current: Some(1024), maximum: Some(1024) }).unwrap();
        assert_eq!(bench.count(Reason::Descriptors), 1);
        let error = bench.error();
        assert_eq!((error.kind, error.code), (3, 1));
        assert_eq!(bench.reach(2, 40_000, &spare), from);
        bench.reach(2, 40_001, &server);
    }
}

in_namespace! {
    fn flows_leave_the_descriptors_that_they_were_told_to_leave() {
        let server = server(1, false);
        let free = std::os::fd::AsRawFd::as_raw_fd(&rustix::io::dup(&server).unwrap());
        // An engine takes some for itself.
        let limits = Limits { descriptors: usize::try_from(free).unwrap() + 5, ..Limits::default() };
        let mut bench = Bench::new(Config { limits, ..Config::default() });
        bench.add_with(2, |_| {});
        for port in 40_000..40_010 {
            bench.send(&datagram(2, port, seen(server.local_addr().unwrap()), b"hello"));
        }
        let refused = bench.count(Reason::Descriptors);
        assert!((5..10).contains(&refused), "{refused}");
        assert_eq!(bench.flows().len() as u64 + refused, 10);
    }
}
