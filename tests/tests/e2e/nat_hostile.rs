//! Containers that ask for too much, or send what makes no sense: bounded, counted under a name that
//! `stats` shows, and never another container's loss.

use std::process::Stdio;

use tests::lab::WORLD;
use tests::{Background, Lab, bins, eventually, leak};

use crate::forged::{Forger, nonsense};
use crate::support::{api_flows, engine_count};

/// Connections that may be half-open, of one container.
const HALF_OPEN: usize = 1024;
/// Bytes that may be kept for the connections of one container.
const KEPT_KIB: u64 = 32 << 10;

/// `peer` in a container, with so many descriptors as it may want.
#[track_caller]
fn peer_in(lab: &Lab, container: &str, words: &[&str]) -> Background {
    let path = bins::path("peer");
    let script = ["sh", "-c", "ulimit -n 4096; exec \"$0\" \"$@\"", path.to_str().unwrap()];
    let mut command = lab.daemon.exec_command(container, &[&script[..], words].concat());
    command.stdin(Stdio::piped());
    Background::start_with_stdin(&mut command)
}

/// That `stats` shows a counter of address translation.
#[track_caller]
fn is_shown(lab: &Lab, reason: &str) {
    assert!(engine_count(&lab.daemon, reason) > 0, "{reason}");
    let said = lab.daemon.ok(&["stats"]);
    let line = said.lines().find(|line| line.starts_with("address translation")).unwrap_or_default();
    assert!(line.contains(&format!(" {reason} ")), "{reason}: {said}");
}

/// How many connections `peer` could open, and how many it was refused.
#[track_caller]
fn opened(peer: &mut Background) -> (usize, usize) {
    let said = peer.line(|line| line.contains(" open, "));
    let number = |word: usize| said.split(' ').nth(word).unwrap().parse().unwrap();
    (number(0), number(2))
}

#[test]
fn a_syn_flood_is_bounded_and_harms_nobody_else() {
    let lab = Lab::default();
    lab.container("bad", &[]);
    lab.container("good", &[]);
    // Where nobody says anything.
    lab.host.run("ip", &["route", "add", "203.0.113.0/24", "via", WORLD]).ok();
    lab.world.run("ip", &["route", "add", "blackhole", "203.0.113.0/24"]).ok();
    let at = format!("{WORLD}:7000");
    let _server = lab.serve(&["serve", "tcp", &at]);

    let mut flood = peer_in(&lab, "bad", &["flood", "203.0.113.9:9", "2000"]);
    flood.line(|line| line.ends_with("begun"));
    eventually("the limit to be met", || (engine_count(&lab.daemon, "inside_half_open") > 0).then_some(()));
    let half_open = api_flows(&lab.daemon).iter().filter(|flow| flow["State"] == "SYN_SENT").count();
    assert!(half_open <= HALF_OPEN, "{half_open}");
    for _ in 0..5 {
        lab.ask_from("good", &["ask", "tcp", &at]).ok();
    }
    lab.daemon.ping("good", WORLD);
    is_shown(&lab, "inside_half_open");
    drop(flood.stdin());
    lab.daemon.ok(&["rm", "-f", "bad"]);
    assert!(api_flows(&lab.daemon).iter().all(|flow| flow["Container"] != "bad"));
}

#[test]
fn a_full_table_refuses_who_filled_it_and_nobody_else() {
    // So few descriptors that a container may have 288 flows.
    let lab = Lab::behind(&["prlimit", "--nofile=512:512", "--"], &[]);
    lab.container("greedy", &[]);
    lab.container("modest", &[]);
    let at = format!("{WORLD}:7000");
    let _server = lab.serve(&["serve", "tcp", &at]);
    let _udp = lab.serve(&["serve", "udp", &at]);
    let mut held = peer_in(&lab, "greedy", &["open", &at, "312"]);
    assert_eq!(opened(&mut held), (288, 24));
    is_shown(&lab, "inside_flows");
    // RFC 6888, requirement 11: it is told at once.
    let said = lab.ask_from("greedy", &["ask", "tcp", &at]).fails_with(1);
    assert!(said.contains("No route to host"), "{said}");
    let said = lab.ask_from("greedy", &["ask", "udp", &at]).fails_with(1);
    assert!(said.contains("No route to host"), "{said}");
    for protocol in ["tcp", "udp"] {
        lab.ask_from("modest", &["ask", protocol, &at]).ok();
    }
    // What was there is there, and room is given back.
    assert_eq!(api_flows(&lab.daemon).iter().filter(|flow| flow["State"] == "ESTABLISHED").count(), 288);
    drop(held.stdin());
    assert_eq!(held.end().0, 0);
    eventually("room for one more", || {
        (lab.ask_from("greedy", &["ask", "tcp", &at]).status == 0).then_some(())
    });
}

#[test]
fn out_of_descriptors_is_an_error_for_who_asks_and_passes() {
    let lab = Lab::behind(&["prlimit", "--nofile=256:256", "--"], &[]);
    let at = format!("{WORLD}:7000");
    let _server = lab.serve(&["serve", "tcp", &at]);
    let mut held = Vec::new();
    for name in ["one", "two", "three"] {
        lab.container(name, &[]);
        held.push(peer_in(&lab, name, &["open", &at, "96"]));
    }
    let opened: Vec<(usize, usize)> = held.iter_mut().map(opened).collect();
    let sum: usize = opened.iter().map(|(open, _)| open).sum();
    assert!(opened.iter().any(|(_, refused)| *refused > 0) && sum > 96, "{opened:?}");
    is_shown(&lab, "descriptors");
    // The daemon has kept some for itself: it answers, starts and publishes.
    assert_eq!(api_flows(&lab.daemon).len(), sum);
    lab.container("late", &["-p", "8080:80"]);
    lab.daemon.ok(&["rm", "-f", "late"]);
    for mut peer in held {
        drop(peer.stdin());
        assert_eq!(peer.end().0, 0);
    }
    for name in ["one", "two", "three"] {
        eventually("room for one more", || {
            (lab.ask_from(name, &["ask", "tcp", &at]).status == 0).then_some(())
        });
    }
}

#[test]
fn what_a_peer_that_never_reads_is_sent_stays_where_it_was_sent_from() {
    // The kernel's own buffers are not what this is about.
    let small = ["net.ipv4.tcp_rmem=4096 16384 65536", "net.ipv4.tcp_wmem=4096 16384 65536"];
    let ping = "net.ipv4.ping_group_range=0 0";
    let lab = Lab::with_settings(&[], &[small[0], small[1], ping]);
    lab.world.run("sysctl", &["-q", "-w", small[0], small[1]]).ok();
    lab.container("bad", &[]);
    lab.container("good", &[]);
    let at = format!("{WORLD}:7000");
    // It echoes, so neither end reads once the other has stopped.
    let _server = lab.serve(&["serve", "tcp", &at]);
    lab.ask_from("good", &["ask", "tcp", &at]).ok();
    let before = leak::resident_kib(lab.daemon.pid());
    let mut stuck = peer_in(&lab, "bad", &["push", &at, "200"]);
    eventually("the limit to be met", || (engine_count(&lab.daemon, "backlog") > 0).then_some(()));
    let grown = leak::resident_kib(lab.daemon.pid()).saturating_sub(before);
    // What is kept, and as much twice more for all else that so much traffic has touched.
    assert!(grown < 3 * KEPT_KIB, "{grown} KiB");
    is_shown(&lab, "backlog");
    lab.ask_from("good", &["ask", "tcp", &at]).ok();
    lab.daemon.ping("good", WORLD);
    drop(stuck.stdin());
    assert_eq!(stuck.end().0, 0);
}

#[test]
fn packets_that_make_no_sense_are_counted_and_go_nowhere() {
    let lab = Lab::default();
    lab.container("bad", &[]);
    lab.container("good", &[]);
    let at = format!("{WORLD}:7000");
    let mut server = lab.serve(&["serve", "udp", &at]);
    let forger = Forger::new(&lab, "bad");
    let to = (WORLD.parse().unwrap(), 7000);

    forger.send(&[forger.syn(to)]);
    eventually("an honest packet to get through", || {
        (engine_count(&lab.daemon, "flows_opened") > 0).then_some(())
    });
    let opened = engine_count(&lab.daemon, "flows_opened");
    for (reason, packets) in nonsense(&forger, to) {
        // Fragments are of one packet.
        let expected = if reason.starts_with("fragment") { 1 } else { packets.len() as u64 };
        let before = engine_count(&lab.daemon, reason);
        forger.send(&packets);
        eventually(reason, || (engine_count(&lab.daemon, reason) >= before + expected).then_some(()));
        is_shown(&lab, reason);
    }
    assert_eq!(engine_count(&lab.daemon, "flows_opened"), opened);
    // Whoever behaves goes on, the container itself too.
    lab.ask_from("bad", &["ask", "udp", &at]).ok();
    let said = lab.ask_from("good", &["ask", "udp", &at]).ok();
    assert!(said.contains("hello"), "{said}");
    server.line(|line| line.ends_with(" hello"));
    server.signal(nix::sys::signal::Signal::SIGTERM);
    let (_, said) = server.end();
    assert!(!said.contains("forged"), "{said}");
}
