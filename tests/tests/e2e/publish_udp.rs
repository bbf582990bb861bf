//! Published UDP ports.

use tests::Lab;
use tests::lab::{HOST, HOST_TOO, HOST6, WORLD, WORLD6};

#[track_caller]
fn seen(said: tests::Output) -> String {
    said.ok().split(' ').next().unwrap_or_default().to_owned()
}

fn address(text: &str) -> &str {
    text.rsplit_once(':').unwrap().0
}

/// A lab with the container `dns` that answers at its port 5300, which is the host's 5353.
fn lab() -> (Lab, tests::Background) {
    let lab = Lab::default();
    lab.container("dns", &["-p", "5353:5300/udp"]);
    let server = lab.serve_in("dns", &["serve", "udp", "0.0.0.0:5300"]);
    (lab, server)
}

#[test]
fn a_client_from_outside_is_seen_as_it_is_and_answered_from_the_port() {
    let (lab, mut server) = lab();
    // `ask` takes an answer only from where it has sent to.
    for (host, port) in [(HOST, 6001), (HOST_TOO, 6002)] {
        let from = format!("{WORLD}:{port}");
        let said = seen(lab.ask_from_world(&["ask", "udp", &format!("{host}:5353"), "hello", &from]));
        assert_eq!(said, from);
        server.line(|line| line == format!("udp {from} hello"));
    }
}

#[test]
fn loopback_clients_come_from_the_gateway() {
    let (lab, _server) = lab();
    for at in ["127.0.0.1:5353", "127.0.0.9:5353", "[::1]:5353"] {
        let said = seen(lab.ask_from_host(&["ask", "udp", at]));
        assert_eq!(address(&said), "172.17.0.1", "{at}");
    }
    let said = seen(lab.ask_from_host(&["ask", "udp", &format!("{HOST}:5353")]));
    assert_eq!(address(&said), HOST);
}

#[test]
fn other_containers_and_the_container_itself_come_through_the_hosts_address() {
    let (lab, _server) = lab();
    lab.container("other", &[]);
    for from in ["other", "dns"] {
        let said = seen(lab.ask_from(from, &["ask", "udp", &format!("{HOST}:5353")]));
        assert_eq!(address(&said), HOST, "{from}");
    }
    let said = seen(lab.ask_from("other", &["ask", "udp", "172.17.0.2:5300"]));
    assert_eq!(address(&said), "172.17.0.3");
}

#[test]
fn clients_of_both_versions() {
    let lab = Lab::default();
    lab.dual_network("two");
    lab.container("dns", &["--network", "two", "-p", "5353:5300/udp"]);
    let v6 = lab.daemon.endpoint("dns", "two")["GlobalIPv6Address"].as_str().unwrap().to_owned();
    let _server = lab.serve_in("dns", &["serve", "udp", "0.0.0.0:5300", &format!("[{v6}]:5300")]);
    for (at, from) in [(HOST.to_owned(), WORLD.to_owned()), (format!("[{HOST6}]"), format!("[{WORLD6}]"))] {
        let from = format!("{from}:6001");
        let said = seen(lab.ask_from_world(&["ask", "udp", &format!("{at}:5353"), "hello", &from]));
        assert_eq!(said, from);
    }
}

#[test]
fn an_ipv6_client_reaches_a_container_that_has_ipv4_only() {
    let (lab, _server) = lab();
    let said = seen(lab.ask_from_world(&["ask", "udp", &format!("[{HOST6}]:5353")]));
    assert_eq!(address(&said), "172.17.0.1");
}

#[test]
fn many_clients_at_once_each_get_their_own_answers() {
    let (lab, _server) = lab();
    let lab = &lab;
    std::thread::scope(|scope| {
        for client in 0..16u16 {
            scope.spawn(move || {
                let from = format!("{WORLD}:{}", 6100 + client);
                let text = format!("text-{client}");
                let said = lab.ask_from_world(&["ask", "udp", &format!("{HOST}:5353"), &text, &from]).ok();
                assert!(said.starts_with(&format!("{from} {text} ")), "{said}");
            });
        }
    });
}

#[test]
fn long_datagrams_pass_both_ways() {
    let (lab, mut server) = lab();
    for size in [1472, 1473, 9000, 40_000] {
        let text = "x".repeat(size);
        let said = lab.ask_from_world(&["ask", "udp", &format!("{HOST}:5353"), &text]).ok();
        server.line(|line| line.ends_with(&format!("{size} bytes")));
        let all: usize = said.split(' ').next().unwrap().parse().unwrap();
        assert!(all > size, "{said}");
    }
}

#[test]
fn a_port_where_nobody_listens_is_refused() {
    let lab = Lab::default();
    lab.container("dns", &["-p", "5353:5300/udp"]);
    let said = lab.ask_from_world(&["ask", "udp", &format!("{HOST}:5353")]).fails_with(1);
    assert!(said.contains("refused") || said.contains("no answer"), "{said}");
}

#[test]
fn a_published_endpoint_sends_from_its_port_by_itself() {
    let lab = Lab::default();
    lab.container("sip", &["-p", "5060:5060/udp"]);
    let at = format!("{WORLD}:7000");
    let _server = lab.serve(&["serve", "udp", &at]);
    let said = seen(lab.ask_from("sip", &["ask", "udp", &at, "hello", "0.0.0.0:5060"]));
    assert_eq!(said, format!("{HOST}:5060"));
}

#[test]
fn one_client_by_two_addresses_of_the_host_is_answered_from_each() {
    let (lab, _server) = lab();
    let from = format!("{WORLD}:6001");
    let ask = |host: &str| seen(lab.ask_from_world(&["ask", "udp", &format!("{host}:5353"), "hello", &from]));
    assert_eq!(ask(HOST), from);
    // Inside both would be the same pair of ends: the gateway stands for the second.
    assert_eq!(ask(HOST_TOO), "172.17.0.1:6001");
}
