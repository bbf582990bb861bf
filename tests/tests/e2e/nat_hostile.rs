//! Containers that ask for too much.

use std::process::Stdio;

use tests::lab::WORLD;
use tests::{Background, Lab, bins, eventually};

use crate::support::{engine_count, flows};

/// Connections that may be half-open, of one container.
const HALF_OPEN: usize = 1024;

#[track_caller]
fn peer_in(lab: &Lab, container: &str, words: &[&str]) -> Background {
    let path = bins::path("peer");
    let mut command = lab.daemon.exec_command(container, &[&[path.to_str().unwrap()], words].concat());
    command.stdin(Stdio::piped());
    Background::start_with_stdin(&mut command)
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

    let script = "ulimit -n 4096; exec \"$0\" flood 203.0.113.9:9 2000";
    let path = bins::path("peer");
    let mut command = lab.daemon.exec_command("bad", &["sh", "-c", script, path.to_str().unwrap()]);
    command.stdin(Stdio::piped());
    let mut flood = Background::start_with_stdin(&mut command);
    flood.line(|line| line.ends_with("begun"));
    eventually("the limit to be met", || {
        (engine_count(&lab.daemon, "inside_half_open") > 0).then_some(())
    });
    let half_open = flows(&lab.daemon).iter().filter(|flow| flow["State"] == "SYN_SENT").count();
    assert!(half_open <= HALF_OPEN, "{half_open}");
    for _ in 0..5 {
        lab.ask_from("good", &["ask", "tcp", &at]).ok();
    }
    lab.daemon.ping("good", WORLD);
    drop(flood.stdin());
    lab.daemon.ok(&["rm", "-f", "bad"]);
    assert!(flows(&lab.daemon).iter().all(|flow| flow["Container"] != "bad"));
}

#[test]
fn out_of_descriptors_is_an_error_for_who_asks_and_passes() {
    let lab = Lab::behind(&["prlimit", "--nofile=150:150", "--"], &[]);
    lab.container("greedy", &[]);
    let at = format!("{WORLD}:7000");
    let _server = lab.serve(&["serve", "tcp", &at]);
    let mut open = peer_in(&lab, "greedy", &["open", &at, "300"]);
    let said = open.line(|line| line.contains(" open, "));
    let number = |word: usize| said.split(' ').nth(word).unwrap().parse::<u32>().unwrap();
    let (opened, refused) = (number(0), number(2));
    assert!(opened > 20 && refused > 20 && opened + refused == 300, "{said}");
    assert!(engine_count(&lab.daemon, "descriptors") > 0);
    // Those there are go on, and the room is given back.
    assert!(flows(&lab.daemon).len() >= opened as usize);
    drop(open.stdin());
    assert_eq!(open.end().0, 0);
    eventually("room for one more", || (lab.ask_from("greedy", &["ask", "tcp", &at]).status == 0).then_some(()));
}
