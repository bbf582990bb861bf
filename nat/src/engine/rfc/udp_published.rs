//! Published UDP ports: whom a container sees, and what becomes of its clients.

use std::io::ErrorKind;

use super::{namespace::in_namespace, *};
use crate::engine::{Direction, ListenError};

const SECOND: Duration = Duration::from_secs(1);

in_namespace! {
    fn a_published_port_shows_the_client_and_answers_from_where_it_was_asked() {
        namespace::addresses(&["192.0.2.1/24", "192.0.2.2/24", "192.0.2.9/24", "2001:db8::1/64", "2001:db8::9/64"]);
        let mut bench = Bench::plain();
        for (listen, hosts, client) in [
            ("0.0.0.0:8000", ["192.0.2.1:8000", "192.0.2.2:8000"], "192.0.2.9:9000"),
            ("[::]:8000", ["[2001:db8::1]:8000", "[2001:db8::9]:8000"], "[2001:db8::9]:9000"),
        ] {
            bench.publish(2, 53, listen);
            let client = server_at(client.parse().unwrap());
            let itself = client.local_addr().unwrap();
            for host in hosts {
                let host: SocketAddr = host.parse().unwrap();
                client.send_to(b"question", host).unwrap();
                let (source, port, data) = bench.datagram();
                assert_eq!(port, 53);
                assert_eq!(data, b"question");
                // The client itself, unless it has asked another address before from there.
                if host.port() == 8000 && host.ip() == hosts[0].parse::<SocketAddr>().unwrap().ip() {
                    assert_eq!(source, (itself.ip(), itself.port()));
                }
                bench.send(&datagram(2, 53, source, b"answer"));
                assert_eq!(take(&client), (b"answer".to_vec(), host));
            }
        }
        assert!(bench.flows().iter().all(|flow| flow.direction == Direction::Published));
        assert_eq!(bench.flows()[0].outside, Some("192.0.2.1:8000".parse().unwrap()));
    }
}

#[test]
fn a_client_at_the_hosts_loopback_is_shown_as_the_gateway() {
    for v6 in [false, true] {
        let mut bench = Bench::plain();
        // A container that sees nothing of the host's own addresses.
        let mut config = InsideConfig::new(MacAddr([2, 0, 0, 0, 0, 1]));
        config.mac = Some(MacAddr([2, 0, 0, 0, 1, 3]));
        config.addresses = vec![address(3, false), address(3, true)];
        (config.gateway_v4, config.gateway_v6) = (Some(GATEWAY), Some(GATEWAY6));
        let id = bench.engine.add_inside(config);
        bench.insides.push((3, id));
        let (_, at) = bench.publish(3, 53, if v6 { "[::1]:0" } else { "127.0.0.1:0" });
        let client = server(1, v6);
        client.send_to(b"question", at).unwrap();
        let (source, _, _) = bench.datagram();
        let gateway: IpAddr = if v6 { GATEWAY6.into() } else { GATEWAY.into() };
        assert_eq!(source, (gateway, client.local_addr().unwrap().port()));
        bench.send(&datagram(3, 53, source, b"answer"));
        assert_eq!(take(&client), (b"answer".to_vec(), at));
    }
}

in_namespace! {
    fn a_client_of_an_ip_version_that_the_container_lacks_is_shown_as_the_gateway() {
        let mut bench = Bench::new(Config::default());
        bench.add_with(2, |config| config.addresses.truncate(1));
        let (_, at) = bench.publish(2, 53, "[::1]:0");
        let client = server(1, true);
        client.send_to(&[7; 1300], at).unwrap();
        let (source, _, data) = bench.datagram();
        assert_eq!((source, data.len()), ((GATEWAY.into(), client.local_addr().unwrap().port()), 1300));
        bench.send(&datagram(2, 53, source, b"answer"));
        assert_eq!(take(&client), (b"answer".to_vec(), at));
        // An error about the answer crosses as well.
        drop(client);
        bench.send(&datagram(2, 53, source, b"answer"));
        let error = bench.error();
        assert_eq!((error.kind, error.code, error.from), (3, 3, GATEWAY.into()));
        assert_eq!((error.quoted.source, error.quoted.destination), ((address(2, false), 53), source));
    }
}

in_namespace! {
    fn a_published_port_is_reached_by_other_containers_and_by_itself() {
        namespace::addresses(&["192.0.2.1/24"]);
        let mut bench = Bench::plain();
        bench.add(3);
        let (_, at) = bench.publish(2, 53, "0.0.0.0:8000");
        let host: (IpAddr, u16) = ("192.0.2.1".parse().unwrap(), at.port());
        for number in [3, 2] {
            bench.send(&datagram(number, 40_000, host, b"question"));
            let Seen::Datagram(got) = bench.packet() else { panic!("not a datagram") };
            assert_eq!((got.number, got.to.1, got.from.0), (2, 53, host.0));
            bench.send(&datagram(2, 53, got.from, b"answer"));
            let Seen::Datagram(got) = bench.packet() else { panic!("not a datagram") };
            assert_eq!((got.number, got.to.1, got.from), (number, 40_000, host));
        }
    }
}

in_namespace! {
    fn what_a_published_endpoint_sends_by_itself_leaves_from_the_published_port() {
        let mut bench = Bench::plain();
        let (id, at) = bench.publish(2, 40_000, "0.0.0.0:0");
        let servers = [server(1, false), server(2, false)];
        for server in &servers {
            assert_eq!(bench.reach(2, 40_000, server).port(), at.port());
        }
        servers[1].send_to(b"answer", ("127.0.0.1", at.port())).unwrap();
        assert_eq!(bench.datagram().0, seen(servers[1].local_addr().unwrap()));
        // Not from one that is open to the loopback only, say.
        bench.publish(2, 40_001, "127.0.0.9:0");
        assert_eq!(bench.reach(2, 40_001, &servers[0]).ip(), Ipv4Addr::LOCALHOST);
        // Closed, the port is free and the endpoint gets another.
        bench.engine.unpublish_udp(id);
        UdpSocket::bind(at).unwrap();
        assert_eq!(bench.flows().len(), 1);
        bench.reach(2, 40_000, &servers[0]);
        // What is gone cannot be closed again.
        let flows = bench.flows().len();
        bench.engine.unpublish_udp(id);
        assert_eq!(bench.flows().len(), flows);
    }
}

#[test]
fn one_client_at_two_ports_of_one_endpoint_is_two() {
    let mut bench = Bench::plain();
    let (_, one) = bench.publish(2, 53, "127.0.0.1:0");
    let (_, two) = bench.publish(2, 53, "127.0.0.1:0");
    let client = server(1, false);
    let mut sources = Vec::new();
    for at in [one, two] {
        client.send_to(b"question", at).unwrap();
        sources.push(bench.datagram().0);
    }
    assert_ne!(sources[0], sources[1]);
    for (source, at) in sources.into_iter().zip([one, two]) {
        bench.send(&datagram(2, 53, source, b"answer"));
        assert_eq!(take(&client), (b"answer".to_vec(), at));
    }
}

#[test]
fn a_client_is_forgotten_soon_unless_it_and_the_container_talk() {
    let mut bench = Bench::plain();
    let (_, at) = bench.publish(2, 53, "127.0.0.1:0");
    let (short, long) = (server(1, false), server(1, false));
    for client in [&short, &long] {
        client.send_to(b"question", at).unwrap();
        let (source, _, _) = bench.datagram();
        bench.send(&datagram(2, 53, source, b"answer"));
    }
    bench.pass(5 * SECOND);
    long.send_to(b"question", at).unwrap();
    bench.datagram();
    bench.pass(31 * SECOND);
    let left: Vec<_> = bench.flows().iter().map(|flow| flow.remote.port).collect();
    assert_eq!(left, [long.local_addr().unwrap().port()]);
    bench.pass(Duration::from_mins(4));
    assert_eq!(bench.flows().len(), 1);
    bench.pass(Duration::from_mins(1));
    assert_eq!(bench.flows().len(), 0);
    // The port is still there.
    short.send_to(b"question", at).unwrap();
    bench.datagram();
}

#[test]
fn a_flood_of_clients_takes_half_of_the_table_and_the_newest_stay() {
    let mut config = Config::default();
    config.limits.flows_per_inside = 20;
    let mut bench = Bench::new(config);
    bench.add(2);
    let (_, at) = bench.publish(2, 53, "127.0.0.1:0");
    let own = server(1, false);
    let before = bench.reach(2, 40_000, &own);
    let clients: Vec<_> = (0..30).map(|_| server(1, false)).collect();
    for client in &clients {
        client.send_to(b"question", at).unwrap();
        bench.datagram();
    }
    assert_eq!(bench.engine.inside(bench.id(2)).unwrap().flows, 11);
    // The newest ten are there, and the container's own conversation.
    let there = |bench: &Bench, client: &UdpSocket| {
        bench.flows().iter().any(|flow| flow.remote.port == client.local_addr().unwrap().port())
    };
    assert!(clients[20..].iter().all(|client| there(&bench, client)));
    assert!(!clients[..20].iter().any(|client| there(&bench, client)));
    assert_eq!(bench.reach(2, 40_000, &own), before);
    // The container opens what it may; then clients that are no conversation make room.
    let servers: Vec<_> = (0..15).map(|_| server(2, false)).collect();
    for server in &servers {
        bench.reach(2, 40_000, server);
    }
    assert_eq!(bench.engine.inside(bench.id(2)).unwrap().flows, 20);
    assert_eq!(bench.reach(2, 40_000, &own), before);
    assert_eq!(bench.engine.counters().reasons().count(), 0);
}

in_namespace! {
    fn a_port_that_cannot_be_had_says_why() {
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let first = UdpListener::new(taken).unwrap();
        assert_eq!(first.address(), taken);
        let error = UdpListener::new(taken).unwrap_err();
        assert!(matches!(error, ListenError::Taken(at) if at == taken));
        assert_eq!(error.to_string(), format!("Bind for {taken} failed: port is already allocated"));
        let nowhere = "192.0.2.77:5000".parse().unwrap();
        assert!(matches!(UdpListener::new(nowhere), Err(ListenError::Address(_))));
        let mut bench = Bench::plain();
        let nobody = Publisher { inside: InsideId(77), port: 53 };
        assert_eq!(bench.engine.publish_udp(first, nobody).unwrap_err().kind(), ErrorKind::NotFound);
    }
}

in_namespace! {
    fn a_container_that_may_not_go_out_answers_who_asks_its_published_port() {
        namespace::addresses(&["192.0.2.1/24"]);
        let mut bench = Bench::new(Config::default());
        bench.add_with(2, |config| config.outbound = false);
        let client = UdpSocket::bind("192.0.2.1:0").unwrap();
        let (_, at) = bench.publish(2, 53, "192.0.2.1:0");
        client.send_to(b"question", at).unwrap();
        let (source, _, _) = bench.datagram();
        assert_eq!(source.0, client.local_addr().unwrap().ip());
        bench.send(&datagram(2, 53, source, b"answer"));
        assert_eq!(take(&client), (b"answer".to_vec(), at));
        assert_eq!(bench.count(Reason::NoOutbound), 0);
    }
}
