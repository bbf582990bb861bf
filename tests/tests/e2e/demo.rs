//! `demo`: all of it in one command.

use std::process::Command;

use nix::sys::signal::Signal;
use tests::{Background, Daemon, bins, leak, run};

/// The demonstration with no place but the test's directory.
fn demo(place: &Daemon) -> Command {
    let tmp = place.dir().join("tmp");
    std::fs::create_dir(&tmp).unwrap();
    let mut command = Command::new(bins::path("vswitch"));
    command.arg("demo").env(leak::MARK, place.mark());
    command.env("TMPDIR", &tmp).env("XDG_RUNTIME_DIR", &tmp).env("HOME", &tmp).env_remove("VSWITCH_HOST");
    command
}

fn nothing_is_left(place: &Daemon) {
    place.until_nothing_is_left();
    let left = leak::paths_below(&place.dir().join("tmp"));
    assert!(left.is_empty(), "{left:#?}");
}

#[test]
fn the_demonstration_shows_pings_a_table_packets_and_a_transfer_and_leaves_nothing() {
    let place = Daemon::not_started();
    let text = run(&mut demo(&place)).ok();
    for name in ["alice", "bob", "carol"] {
        assert!(text.contains(&format!("{name}:eth0")), "{text}");
    }
    assert_eq!(
        text.lines().filter(|line| line.contains("icmp_seq=") && line.contains("time=")).count(),
        9,
        "{text}"
    );
    assert!(text.contains("02:42:ac:11:00:02") && text.contains("is local?"), "{text}");
    assert!(text.contains("ICMP echo request"), "{text}");
    let speed = text.lines().find(|line| line.contains("Gb/s")).unwrap_or_else(|| panic!("{text}"));
    assert!(speed.split_whitespace().next().unwrap().parse::<f64>().unwrap() > 0.0, "{text}");
    nothing_is_left(&place);
}

#[test]
fn an_interrupted_demonstration_leaves_nothing() {
    let place = Daemon::not_started();
    let mut command = Background::start(&mut demo(&place));
    command.line(|line| line.contains("pings"));
    command.signal(Signal::SIGINT);
    let (_, said) = command.end();
    assert!(!said.contains("panicked"), "{said}");
    nothing_is_left(&place);
}

#[test]
fn of_a_killed_demonstration_no_process_is_left() {
    let place = Daemon::not_started();
    let mut command = Background::start(&mut demo(&place));
    command.line(|line| line.contains("pings"));
    command.signal(Signal::SIGKILL);
    let _ = command.end();
    place.until_nothing_is_left();
}

#[test]
fn two_demonstrations_run_beside_each_other() {
    let (one, other) = (Daemon::not_started(), Daemon::not_started());
    let commands = [Background::start(&mut demo(&one)), Background::start(&mut demo(&other))];
    for command in commands {
        let (status, said) = command.end();
        assert_eq!(status, 0, "{said}");
    }
    nothing_is_left(&one);
    nothing_is_left(&other);
}
