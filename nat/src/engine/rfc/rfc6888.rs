//! RFC 6888: common requirements for carrier-grade NATs, of which one host's is the smallest.

use super::{namespace::in_namespace, *};
use crate::{config::Ports, ports::PortConfig};

/// Ports that no other program is given by the kernel, in a namespace of its own.
fn few_ports(count: u16) -> Config {
    let mut config = Config::default();
    let ports = 20_000..=19_999 + count;
    config.ports = Ports::new(PortConfig { ports, ..PortConfig::default() });
    config
}

#[test]
fn rfc6888_req4_a_container_has_so_many_sessions_and_no_more() {
    let mut config = Config::default();
    config.limits.flows_per_inside = 3;
    let mut bench = Bench::new(config);
    bench.add(2);
    bench.add(3);
    let servers: Vec<_> = (0..4).map(|_| server(1, false)).collect();
    for server in &servers[..3] {
        bench.reach(2, 40_000, server);
    }
    bench.send(&datagram(2, 40_001, seen(servers[3].local_addr().unwrap()), b"one more"));
    assert_eq!((bench.count(Reason::InsideFlows), bench.flows().len()), (1, 3));
    // The other container has its own.
    bench.reach(3, 40_000, &servers[3]);
}

#[test]
fn rfc6888_req5_there_are_so_many_sessions_in_all() {
    let mut config = Config::default();
    config.limits.flows = 3;
    let mut bench = Bench::new(config);
    bench.add(2);
    bench.add(3);
    let servers: Vec<_> = (0..2).map(|_| server(1, false)).collect();
    for server in &servers {
        bench.reach(2, 40_000, server);
    }
    bench.reach(3, 40_000, &servers[0]);
    bench.send(&datagram(3, 40_000, seen(servers[1].local_addr().unwrap()), b"one more"));
    assert_eq!((bench.count(Reason::Flows), bench.flows().len()), (1, 3));
}

in_namespace! {
    fn rfc6888_req8_a_port_rests_120_seconds_before_another_container_gets_it() {
        let mut bench = Bench::new(few_ports(2));
        bench.add(2);
        bench.add(3);
        let server = server(1, false);
        let port = bench.reach(2, 20_000, &server).port();
        assert_eq!(port, 20_000);
        bench.pass(Duration::from_secs(301));
        assert_eq!(bench.flows().len(), 0);
        bench.pass(Duration::from_secs(110));
        assert_eq!(bench.reach(3, 20_000, &server).port(), 20_001);
        bench.engine.close_flows(bench.id(3), &mut bench.inbox);
        bench.pass(Duration::from_secs(10));
        assert_eq!(bench.reach(3, 20_000, &server).port(), 20_000);
    }
}

in_namespace! {
    fn rfc6888_req8_the_ports_of_all_engines_rest() {
        let config = few_ports(2);
        let mut one = Bench::new(config.clone());
        let mut two = Bench::new(config);
        one.add(2);
        two.add(3);
        let server = server(1, false);
        assert_eq!(one.reach(2, 20_000, &server).port(), 20_000);
        one.engine.remove_inside(one.id(2));
        assert_eq!(two.reach(3, 20_000, &server).port(), 20_001);
    }
}

in_namespace! {
    fn rfc6888_req11_a_full_table_answers_with_an_error_and_drops_nobody() {
        let limited = |limit: fn(&mut Config)| {
            let mut config = few_ports(4);
            limit(&mut config);
            config
        };
        for (config, reason) in [
            (limited(|config| config.limits.flows_per_inside = 2), Reason::InsideFlows),
            (limited(|config| config.limits.flows = 2), Reason::Flows),
            (few_ports(2), Reason::Ports),
        ] {
            for v6 in [false, true] {
                let mut bench = Bench::new(config.clone());
                bench.add(2);
                let server = server(1, v6);
                let live = [20_000, 20_001].map(|port| bench.reach(2, port, &server));
                for attempt in 1..=3 {
                    let to = seen(server.local_addr().unwrap());
                    bench.send(&datagram(2, 20_002, to, b"one more"));
                    let error = bench.error();
                    // Host unreachable; address unreachable.
                    assert_eq!((error.kind, error.code), if v6 { (1, 3) } else { (3, 1) });
                    assert_eq!(error.quoted.source, (address(2, v6), 20_002));
                    assert_eq!(bench.count(reason), attempt);
                }
                assert_eq!([20_000, 20_001].map(|port| bench.reach(2, port, &server)), live);
                bench.engine.remove_inside(bench.id(2));
                // Ports rest; those that follow do not find them taken.
                bench.pass(Duration::from_mins(3));
            }
        }
    }
}

#[test]
fn rfc6888_req11_errors_themselves_are_bounded() {
    let mut config = Config::default();
    config.limits.flows_per_inside = 0;
    config.limits.errors_per_second = 5;
    let mut bench = Bench::new(config);
    bench.add(2);
    for port in 0..20 {
        bench.send(&datagram(2, 40_000 + port, (SEEN6.into(), 7000), b"flood"));
    }
    assert_eq!((bench.inbox.frames.len(), bench.count(Reason::ErrorRate)), (5, 15));
    assert_eq!(bench.count(Reason::InsideFlows), 20);
}
