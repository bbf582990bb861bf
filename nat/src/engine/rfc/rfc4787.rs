//! RFC 4787: NAT behavioral requirements for unicast UDP. What needs a path with a router is in
//! `rfc4787_ways`.

use std::collections::BTreeSet;

use super::{namespace::in_namespace, *};
use crate::{config::Ports, ports::PortConfig};

const MINUTE: Duration = Duration::from_mins(1);

#[test]
fn rfc4787_req1_endpoint_independent_mapping() {
    for v6 in [false, true] {
        let mut bench = Bench::plain();
        let servers = [server(1, v6), server(2, v6), server(3, v6)];
        let from: BTreeSet<u16> = servers.iter().map(|to| bench.reach(2, 40_000, to).port()).collect();
        assert_eq!(from.len(), 1);
        // Another port inside is another one outside.
        assert!(!from.contains(&bench.reach(2, 40_002, &servers[0]).port()));
        assert_eq!(bench.flows().len(), 4);
        // Each answers, and the container sees each as whom it has sent to.
        for server in &servers {
            server
                .send_to(
                    b"answer",
                    SocketAddr::new(servers[0].local_addr().unwrap().ip(), *from.first().unwrap()),
                )
                .unwrap();
            let (source, port, data) = bench.datagram();
            assert_eq!(
                (source, port, data.as_slice()),
                (seen(server.local_addr().unwrap()), 40_000, b"answer".as_slice())
            );
        }
    }
}

#[test]
fn rfc4787_req2_all_of_a_containers_endpoints_have_one_address_outside() {
    let mut bench = Bench::new(Config::default());
    bench.add_with(2, |config| config.source_v4 = Some(Ipv4Addr::new(127, 0, 0, 7)));
    let servers = [server(1, false), server(2, false)];
    for (port, server) in [(40_000, 0), (40_001, 1), (40_002, 0)] {
        assert_eq!(bench.reach(2, port, &servers[server]).ip(), Ipv4Addr::new(127, 0, 0, 7));
    }
}

in_namespace! {
    fn rfc4787_req3_no_two_endpoints_share_a_port() {
        let mut bench = Bench::plain();
        bench.add(3);
        // Another engine, on another thread, and another program.
        let mut other = Bench::plain();
        let server = server(1, false);
        let mut ports = BTreeSet::new();
        for port in [40_010, 40_011] {
            ports.insert(bench.reach(2, port, &server).port());
            ports.insert(bench.reach(3, port, &server).port());
            ports.insert(other.reach(2, port, &server).port());
        }
        assert_eq!(ports.len(), 6);
        assert!(ports.iter().all(|port| UdpSocket::bind(("0.0.0.0", *port)).is_err()));
    }
}

in_namespace! {
    fn rfc4787_req3_a_port_below_1024_maps_below_1024_where_the_kernel_lets_it() {
        let server = server(1, false);
        let mut bench = Bench::plain();
        // Here this process is root.
        assert!(bench.reach(2, 500, &server).port() < 1024);
        assert!(bench.reach(2, 5000, &server).port() >= 1024);
    }
}

#[test]
fn rfc4787_req4_parity_is_kept() {
    let mut bench = Bench::plain();
    let server = server(1, false);
    for port in [40_020, 40_021, 41_001, 7000, 7001] {
        assert_eq!(bench.reach(2, port, &server).port() % 2, port % 2);
    }
}

in_namespace! {
    fn rfc4787_req5_a_mapping_lives_five_minutes_and_never_less_than_two() {
        let server = server(1, false);
        for (configured, lives) in [(5 * MINUTE, 5 * MINUTE), (Duration::from_secs(1), 2 * MINUTE)] {
            let mut config = Config::default();
            config.udp.timeout = configured;
            let mut bench = Bench::new(config);
            bench.add(2);
            let from = bench.reach(2, 40_030, &server);
            bench.pass(lives.saturating_sub(Duration::from_secs(1)));
            server.send_to(b"late", from).unwrap();
            // What comes in may keep it alive: look without waiting for that.
            assert_eq!(bench.flows().len(), 1);
            bench.pass(Duration::from_secs(2));
            assert_eq!(bench.flows().len(), 1);
            bench.pass(lives + Duration::from_secs(1));
            assert_eq!(bench.flows().len(), 0);
            assert_eq!(bench.engine.inside(bench.id(2)).unwrap().flows, 0);
            // The socket is gone with it.
            UdpSocket::bind(("0.0.0.0", from.port())).unwrap();
        }
    }
}

in_namespace! {
    fn rfc4787_req5a_questions_to_dns_servers_are_forgotten_sooner() {
        let dns = server_at("127.0.0.1:53".parse().unwrap());
        let mut bench = Bench::plain();
        let from = bench.reach(2, 40_031, &dns);
        bench.pass(Duration::from_secs(29));
        assert_eq!(bench.flows().len(), 1);
        bench.pass(Duration::from_secs(2));
        assert_eq!(bench.flows().len(), 0);
        // With a conversation beside it the mapping lives on.
        let other = server(2, false);
        let port = bench.reach(2, 40_031, &dns).port();
        assert_eq!(port, from.port(), "a host may have its port again at once");
        assert_eq!(bench.reach(2, 40_031, &other).port(), port);
        bench.pass(MINUTE);
        assert_eq!(bench.flows().len(), 1);
        assert_eq!(bench.reach(2, 40_031, &dns).port(), port);
    }
}

#[test]
fn rfc4787_req6_datagrams_from_inside_keep_a_mapping_alive() {
    let mut bench = Bench::plain();
    let server = server(1, false);
    let from = bench.reach(2, 40_040, &server);
    for _ in 0..4 {
        bench.pass(4 * MINUTE);
        assert_eq!(bench.reach(2, 40_040, &server), from);
    }
}

#[test]
fn rfc4787_req6_datagrams_from_outside_keep_it_alive_where_that_is_set() {
    let server = server(1, false);
    for keeps in [true, false] {
        let mut config = Config::default();
        config.udp.inbound_refresh = keeps;
        let mut bench = Bench::new(config);
        bench.add(2);
        let from = bench.reach(2, 40_041, &server);
        bench.pass(4 * MINUTE);
        server.send_to(b"still here", from).unwrap();
        bench.datagram();
        bench.pass(2 * MINUTE);
        assert_eq!(bench.flows().len(), usize::from(keeps));
    }
    // A stranger never does.
    let mut bench = Bench::filtering(Filtering::EndpointIndependent);
    let from = bench.reach(2, 40_042, &server);
    bench.pass(4 * MINUTE);
    super::server(2, false).send_to(b"hello", from).unwrap();
    bench.datagram();
    bench.pass(2 * MINUTE);
    assert_eq!(bench.flows().len(), 0);
}

in_namespace! {
    fn rfc4787_req7_an_outside_with_the_addresses_of_the_inside_does_no_harm() {
        // The host has the container's own address, and others of its network.
        namespace::addresses(&["10.0.2.2/24", "10.0.2.9/24", "192.0.2.1/24"]);
        let mut bench = Bench::plain();
        let server = server_at("192.0.2.1:7000".parse().unwrap());
        let from = bench.reach(2, 40_050, &server);
        server.send_to(b"answer", from).unwrap();
        assert_eq!(bench.datagram(), (("192.0.2.1".parse().unwrap(), 7000), 40_050, b"answer".to_vec()));
        // A client there is shown as the gateway, and gets its answer.
        let (_, at) = bench.publish(2, 80, "192.0.2.1:8000");
        let client = server_at("10.0.2.9:9000".parse().unwrap());
        client.send_to(b"question", at).unwrap();
        let (source, port, data) = bench.datagram();
        assert_eq!((source, port, data), ((GATEWAY.into(), 9000), 80, b"question".to_vec()));
        bench.send(&super::datagram(2, 80, source, b"answer"));
        assert_eq!(take(&client), (b"answer".to_vec(), at));
    }
}

#[test]
fn rfc4787_req8_filtering_is_as_it_was_set() {
    use Filtering::{AddressAndPortDependent, AddressDependent, EndpointIndependent};
    for (filtering, other_port_passes, stranger_passes) in [
        (EndpointIndependent, true, true),
        (AddressDependent, true, false),
        (AddressAndPortDependent, false, false),
    ] {
        let mut bench = Bench::filtering(filtering);
        let (known, other_port, stranger) = (server(1, false), server(1, false), server(2, false));
        let from = bench.reach(2, 40_060, &known);
        let mut refused = 0;
        for (server, passes) in
            [(&known, true), (&other_port, other_port_passes), (&stranger, stranger_passes)]
        {
            server.send_to(b"knock", from).unwrap();
            if passes {
                assert_eq!(bench.datagram().0, seen(server.local_addr().unwrap()));
            } else {
                refused += 1;
                bench.until_counted(Reason::Filtered, refused);
                bench.assert_quiet();
            }
        }
    }
}

#[test]
fn rfc4787_req8_whoever_an_endpoint_has_sent_to_may_answer_from_any_port() {
    let mut bench = Bench::plain();
    let (server, second) = (server(1, false), server(1, false));
    let from = bench.reach(2, 40_061, &server);
    second.send_to(b"answer", from).unwrap();
    let (source, _, _) = bench.datagram();
    // And is answered.
    bench.send(&super::datagram(2, 40_061, source, b"thanks"));
    assert_eq!(take(&second).1, from);
}

#[test]
fn rfc4787_req9_hairpin_with_the_external_address_and_port() {
    let mut bench = Bench::filtering(Filtering::EndpointIndependent);
    bench.add(3);
    let server = server(1, false);
    let (two, three) = (bench.reach(2, 40_070, &server), bench.reach(3, 40_071, &server));
    // Container 2 sends to where the world sees container 3.
    bench.send(&super::datagram(2, 40_070, seen(three), b"neighbour"));
    let Seen::Datagram(got) = bench.packet() else { panic!("not a datagram") };
    assert_eq!((got.number, got.from, got.to.1), (3, seen(two), 40_071));
    bench.send(&super::datagram(3, 40_071, got.from, b"yes"));
    let Seen::Datagram(got) = bench.packet() else { panic!("not a datagram") };
    assert_eq!((got.number, got.from, got.data.as_slice()), (2, seen(three), b"yes".as_slice()));
    // And to itself.
    bench.send(&super::datagram(2, 40_070, seen(two), b"me"));
    let Seen::Datagram(got) = bench.packet() else { panic!("not a datagram") };
    assert_eq!((got.number, got.from, got.to.1), (2, seen(two), 40_070));
}

#[test]
fn rfc4787_req10_what_is_in_a_datagram_is_not_changed() {
    let mut bench = Bench::plain();
    let server = server(1, false);
    let to = seen(server.local_addr().unwrap());
    // As SIP and FTP have it, and as bytes.
    let mut payload = b"INVITE sip:10.0.2.2:40080 PORT 10,0,2,2,156,144 ".to_vec();
    payload.extend([10, 0, 2, 2, 0x9c, 0x90]);
    bench.send(&super::datagram(2, 40_080, to, &payload));
    let (bytes, from) = take(&server);
    assert_eq!(bytes, payload);
    server.send_to(&payload, from).unwrap();
    assert_eq!(bench.datagram().2, payload);
}

in_namespace! {
    fn rfc4787_req11_the_same_happens_every_time() {
        let run = || {
            let mut config = Config::default();
            let ports = PortConfig { ports: 50_000..=50_010, ..PortConfig::default() };
            config.ports = Ports::new(ports);
            let mut bench = Bench::new(config);
            bench.add(2);
            bench.add(3);
            let server = server(1, false);
            let mut seen = Vec::new();
            // Ports of their own, ports that are taken, ports that were given back.
            for (number, port) in [(2, 50_000), (3, 50_000), (2, 7000), (3, 7001), (2, 7001), (3, 50_000)] {
                seen.push(bench.reach(number, port, &server).port());
            }
            bench.pass(6 * MINUTE);
            for (number, port) in [(3, 50_000), (2, 50_000), (2, 9)] {
                seen.push(bench.reach(number, port, &server).port());
            }
            seen
        };
        let first = run();
        assert_eq!(first, run());
        assert_eq!(first[..2], [50_000, 50_002]);
    }
}

in_namespace! {
    fn rfc4787_req12_an_icmp_error_reaches_the_container_and_ends_nothing() {
        for v6 in [false, true] {
            let mut bench = Bench::plain();
            let server = server(1, v6);
            let from = bench.reach(2, 40_090, &server);
            let nobody = super::server(1, v6).local_addr().unwrap();
            bench.send(&super::datagram(2, 40_090, seen(nobody), b"anybody there"));
            let error = bench.error();
            let port_unreachable = if v6 { (1, 4) } else { (3, 3) };
            assert_eq!((error.kind, error.code, error.word), (port_unreachable.0, port_unreachable.1, 0));
            assert_eq!((error.number, error.from), (2, seen(nobody).0));
            // It quotes what the container has sent, not what went out.
            assert_eq!(error.quoted.protocol, 17);
            assert_eq!(error.quoted.source, (address(2, v6), 40_090));
            assert_eq!(error.quoted.destination, seen(nobody));
            assert_eq!(error.quoted.data, b"anybody there");
            assert_eq!(bench.reach(2, 40_090, &server), from);
            assert_eq!(bench.flows().len(), 2);
        }
    }
}
