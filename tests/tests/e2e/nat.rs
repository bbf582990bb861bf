//! Out to the world: a container behind the daemon, which has no capabilities.

use tests::lab::{FAR, FAR6, HOST, HOST6, WORLD, WORLD6};
use tests::{Lab, eventually};

use crate::support::{engine_count, flows};

/// A lab with the container `c1` on a network of both versions.
fn lab() -> Lab {
    let lab = Lab::default();
    lab.dual_network("two");
    lab.container("c1", &["--network", "two"]);
    lab
}

#[test]
fn walkthrough_2_a_container_of_the_default_network_reaches_the_world() {
    let lab = Lab::default();
    lab.container("c1", &[]);
    let at = format!("{WORLD}:7000");
    let _tcp = lab.serve(&["serve", "tcp", &at]);
    let _udp = lab.serve(&["serve", "udp", &at]);
    for protocol in ["tcp", "udp"] {
        let said = lab.ask_from("c1", &["ask", protocol, &at, "hello"]).ok();
        assert!(said.starts_with(&format!("{HOST}:")), "{protocol}: {said}");
        assert!(said.contains(" hello from 172.17.0.2:"), "{protocol}: {said}");
    }
    lab.daemon.ping("c1", WORLD);
}

#[test]
fn tcp_and_udp_go_out_in_both_versions_and_come_from_the_host() {
    let lab = lab();
    let (four, six) = (format!("{WORLD}:7000"), format!("[{WORLD6}]:7000"));
    let mut tcp = lab.serve(&["serve", "tcp", &four, &six]);
    let mut udp = lab.serve(&["serve", "udp", &four, &six]);
    for (protocol, server) in [("tcp", &mut tcp), ("udp", &mut udp)] {
        for (at, host) in [(&four, format!("{HOST}:")), (&six, format!("[{HOST6}]:"))] {
            let said = lab.ask_from("c1", &["ask", protocol, at, "hello"]).ok();
            assert!(said.starts_with(&host) && said.contains(" hello from "), "{protocol} {at}: {said}");
            server.line(|line| line.starts_with(&format!("{protocol} {host}")));
        }
    }
}

#[test]
fn an_endpoint_keeps_its_port_whatever_it_talks_to() {
    let lab = Lab::default();
    lab.container("c1", &[]);
    let (one, other) = (format!("{WORLD}:7000"), format!("{}:7001", tests::lab::WORLD_TOO));
    let _server = lab.serve(&["serve", "udp", &one, &other]);
    let said = |at: &str| lab.ask_from("c1", &["ask", "udp", at, "hello", "0.0.0.0:45555"]).ok();
    let seen = |text: &str| text.split(' ').next().unwrap().to_owned();
    let (first, second) = (said(&one), said(&other));
    assert_eq!(seen(&first), seen(&second), "endpoint-independent mapping");
    assert_eq!(seen(&first), format!("{HOST}:45555"), "and its own port, which was free");
}

#[test]
fn pings_of_both_versions_and_large_ones_come_back() {
    let lab = lab();
    for (version, to) in [("-4", WORLD), ("-6", WORLD6)] {
        for size in ["0", "56", "1400", "4000"] {
            let arguments = ["ping", version, "-c", "1", "-W", "30", "-s", size, to];
            let said = lab.daemon.exec("c1", &arguments).ok();
            assert!(said.contains("1 received"), "{said}");
        }
    }
    assert!(flows(&lab.daemon).iter().any(|flow| flow["Protocol"] == "icmp"));
}

#[test]
fn who_may_not_ping_is_told_so_and_the_log_says_what_to_do() {
    let lab = Lab::with_settings(&[], &[]);
    lab.container("c1", &[]);
    let said = lab.daemon.exec("c1", &["ping", "-c", "1", "-W", "30", WORLD]);
    assert!(said.status != 0, "{said:?}");
    assert!(said.stdout.contains("Packet filtered") || said.stdout.contains("rohibited"), "{said:?}");
    eventually("the log to say so", || lab.daemon.log().contains("ping_group_range").then_some(()));
}

#[test]
fn a_privileged_daemon_pings_whatever_the_group_range_is() {
    let lab = Lab::privileged(&[]);
    lab.container("c1", &[]);
    lab.daemon.ping("c1", WORLD);
}

#[test]
fn refused_is_refused() {
    let lab = lab();
    for at in [format!("{WORLD}:9"), format!("[{WORLD6}]:9")] {
        for protocol in ["tcp", "udp"] {
            let said = lab.ask_from("c1", &["ask", protocol, &at]).fails_with(1);
            assert!(said.contains("onnection refused"), "{protocol} {at}: {said}");
        }
    }
}

#[test]
fn unreachable_is_unreachable() {
    let lab = lab();
    // The host has no route there.
    for at in ["192.0.2.1:9", "[2001:db8:99::1]:9"] {
        let said = lab.ask_from("c1", &["ask", "tcp", at]).fails_with(1);
        assert!(said.contains("unreachable"), "{at}: {said}");
        let said = lab.ask_from("c1", &["ask", "udp", at]).fails_with(1);
        assert!(said.contains("unreachable"), "{at}: {said}");
    }
    let said = lab.daemon.exec("c1", &["ping", "-c", "1", "-W", "30", "192.0.2.1"]);
    assert!(said.status == 1 && said.stdout.contains("nreachable"), "{said:?}");
    // A router further on says so.
    lab.far();
    lab.world.run("ip", &["route", "add", "unreachable", "203.0.113.128/25"]).ok();
    let said = lab.ask_from("c1", &["ask", "tcp", "203.0.113.129:9"]).fails_with(1);
    assert!(said.contains("No route to host"), "{said}");
    let said = lab.ask_from("c1", &["ask", "udp", "203.0.113.129:9"]).fails_with(1);
    assert!(said.contains("No route to host"), "{said}");
}

#[test]
fn traceroute_shows_the_hops() {
    let lab = lab();
    let far = lab.far();
    far.run("ping", &["-c", "1", "-W", "30", HOST]).ok();
    let routes = [("-4", FAR, ["10.66.0.1", WORLD]), ("-6", FAR6, ["fd00:66::1", WORLD6])];
    for (version, to, hops) in routes {
        // By UDP, and by echo requests.
        for by in [&[][..], &["-I"]] {
            let arguments =
                [&["traceroute", version, "-n", "-q", "1", "-w", "30", "-m", "8"], by, &[to]].concat();
            let said = lab.daemon.exec("c1", &arguments).ok();
            let seen: Vec<&str> =
                said.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).collect();
            assert_eq!(seen, [hops[0], hops[1], to], "{by:?}: {said}");
        }
    }
}

#[test]
fn nat_ls_shows_both_ends_of_a_flow() {
    let lab = Lab::default();
    lab.container("c1", &[]);
    let at = format!("{WORLD}:7000");
    let _server = lab.serve(&["serve", "tcp", &at]);
    let mut command =
        lab.daemon.exec_command("c1", &[tests::bins::path("peer").to_str().unwrap(), "talk", &at]);
    command.stdin(std::process::Stdio::piped());
    let mut talk = tests::Background::start_with_stdin(&mut command);
    let mut stdin = talk.stdin().unwrap();
    std::io::Write::write_all(&mut stdin, b"one\n").unwrap();
    talk.line(|line| line.ends_with("one"));
    let flow =
        eventually("the flow", || flows(&lab.daemon).into_iter().find(|flow| flow["State"] == "ESTABLISHED"));
    assert_eq!(flow["Container"], "c1");
    assert_eq!(flow["Direction"], "out");
    assert_eq!(flow["Remote"], at);
    assert!(flow["Inside"].as_str().unwrap().starts_with("172.17.0.2:"), "{flow}");
    assert!(flow["Outside"].as_str().unwrap().starts_with(&format!("{HOST}:")), "{flow}");
    assert_eq!(flow["BytesOut"], 4);
    drop(stdin);
    talk.end();
    assert!(engine_count(&lab.daemon, "flows_opened") >= 1);
}

#[test]
fn a_container_that_is_gone_has_no_flows() {
    let lab = Lab::default();
    lab.container("c1", &[]);
    let at = format!("{WORLD}:7000");
    let mut server = lab.serve(&["serve", "tcp", &at]);
    let path = tests::bins::path("peer");
    let mut command = lab.daemon.exec_command("c1", &[path.to_str().unwrap(), "open", &at, "20"]);
    command.stdin(std::process::Stdio::piped());
    let mut open = tests::Background::start_with_stdin(&mut command);
    open.line(|line| line == "20 open, 0 refused");
    assert_eq!(flows(&lab.daemon).len(), 20);
    lab.daemon.ok(&["rm", "-f", "c1"]);
    assert!(flows(&lab.daemon).is_empty());
    // The other ends learn of it.
    for _ in 0..20 {
        server.line(|line| line.starts_with("over"));
    }
    drop(open);
}
