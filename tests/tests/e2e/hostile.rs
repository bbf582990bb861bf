//! Containers that mean ill: the others and the switch go on.

use tests::{Background, Daemon, bins, leak};

use crate::support::stats;

/// u2 and u3 talk while u1 does its worst; returns what `frames` said.
fn beside_the_others(daemon: &Daemon, arguments: &[&str]) -> String {
    let u3 = daemon.container("u3");
    let pid = daemon.pid();
    let program = bins::path("frames");
    let mut all = vec![program.to_str().unwrap()];
    all.extend(arguments);
    let attack = Background::start(&mut daemon.exec_command("u1", &all));
    for _ in 0..5 {
        daemon.ping("u2", &u3.ip);
    }
    let (status, said) = attack.end();
    assert_eq!(status, 0, "{said}");
    daemon.ping("u2", &u3.ip);
    assert_eq!(daemon.pid(), pid);
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
    said
}

fn three() -> Daemon {
    let daemon = Daemon::start();
    for name in ["u1", "u2", "u3"] {
        daemon.sleeper(name);
    }
    daemon
}

#[test]
fn super_frames_whose_headers_lie_harm_nobody() {
    let daemon = three();
    let said = beside_the_others(&daemon, &["headers", "eth0"]);
    let sent: u64 = said.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(sent > 100, "the kernel let none through: {said}");
}

#[test]
fn random_bytes_harm_nobody() {
    let daemon = three();
    beside_the_others(&daemon, &["random", "eth0", "100000", "7"]);
    let s = stats(&daemon, "u1");
    // The kernel drops what the switch has no time for.
    assert!(s["RxFrames"].as_u64().unwrap() > 1000, "{s:#}");
}

#[test]
fn a_flood_of_unknown_destinations_does_not_silence_the_others() {
    let daemon = three();
    beside_the_others(&daemon, &["unknown", "eth0", "200000"]);
}

#[test]
fn a_flood_of_sources_does_not_silence_the_others() {
    let daemon = three();
    let memory = leak::resident_kib(daemon.pid());
    beside_the_others(&daemon, &["sources", "eth0", "100000"]);
    let grown = leak::resident_kib(daemon.pid()).saturating_sub(memory);
    assert!(grown < 16 * 1024, "the daemon has grown by {grown} KiB");
}

#[test]
fn the_shortest_and_the_longest_frames_pass_or_are_counted() {
    let daemon = three();
    let u3 = daemon.container("u3");
    daemon.exec("u1", &["ip", "link", "set", "eth0", "mtu", "65521"]).ok();
    for payload in [0, 1, 45, 46, 1500, 1501, 9000, 60_000, 65_500] {
        let frame = format!("ffffffffffff02ee0000000188b5{}", "00".repeat(payload));
        let said = daemon.exec_own("u1", "frames", &["hex", "eth0", &frame]);
        assert!([0, 1].contains(&said.status), "{said:?}");
    }
    daemon.ping("u2", &u3.ip);
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
}
