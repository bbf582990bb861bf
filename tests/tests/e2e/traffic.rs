//! Real transfers.

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;
use tests::{Background, Daemon, eventually, run};

use crate::support::counted;

/// iperf3 from u1 to u2; its own report.
fn iperf(daemon: &Daemon, arguments: &[&str]) -> Value {
    let u2 = daemon.container("u2");
    let mut server =
        Background::start(&mut daemon.exec_command("u2", &["iperf3", "-s", "-1", "--forceflush"]));
    server.line(|line| line.contains("Server listening"));
    let mut all = vec!["iperf3", "-J", "-c", &u2.ip, "-t", "1"];
    all.extend(arguments);
    let text = daemon.exec("u1", &all).ok();
    let _ = server.end();
    serde_json::from_str(&text).unwrap()
}

fn two() -> Daemon {
    let daemon = Daemon::start();
    daemon.sleeper("u1");
    daemon.sleeper("u2");
    daemon
}

#[test]
fn tcp_moves_data_in_super_frames_at_the_default_mtu() {
    let daemon = two();
    let mtu = daemon.exec("u1", &["ip", "-o", "link", "show", "eth0"]).ok();
    assert!(mtu.contains("mtu 1500"), "{mtu}");
    let report = iperf(&daemon, &[]);
    let bytes = report["end"]["sum_received"]["bytes"].as_u64().unwrap();
    assert!(bytes > 1_000_000, "{report:#}");
    let (frames, carried) = (counted(&daemon, "u1", "RxFrames"), counted(&daemon, "u1", "RxBytes"));
    assert!(carried > bytes, "{carried} {bytes}");
    assert!(carried / frames > 1514, "{carried} bytes in {frames} frames");
}

#[test]
fn tcp_moves_data_in_several_streams_both_ways() {
    let daemon = two();
    let report = iperf(&daemon, &["-P", "4", "--bidir"]);
    for sum in ["sum_received", "sum_received_bidir_reverse"] {
        assert!(report["end"][sum]["bytes"].as_u64().unwrap() > 1_000_000, "{sum}: {report:#}");
    }
}

#[test]
fn tcp_over_ipv6_moves_data() {
    let daemon = two();
    for (name, address) in [("u1", "fd00:7::1/64"), ("u2", "fd00:7::2/64")] {
        daemon.exec(name, &["ip", "-6", "address", "add", address, "dev", "eth0", "nodad"]).ok();
    }
    let mut server =
        Background::start(&mut daemon.exec_command("u2", &["iperf3", "-6", "-s", "-1", "--forceflush"]));
    server.line(|line| line.contains("Server listening"));
    let text = daemon.exec("u1", &["iperf3", "-6", "-J", "-c", "fd00:7::2", "-t", "1"]).ok();
    let report: Value = serde_json::from_str(&text).unwrap();
    assert!(report["end"]["sum_received"]["bytes"].as_u64().unwrap() > 1_000_000, "{report:#}");
}

#[test]
fn udp_moves_datagrams() {
    let daemon = two();
    let report = iperf(&daemon, &["-u", "-b", "20M"]);
    let sum = &report["end"]["sum"];
    let (packets, lost) = (sum["packets"].as_u64().unwrap(), sum["lost_packets"].as_i64().unwrap());
    assert!(packets > 500 && lost < packets.cast_signed() / 2, "{sum:#}");
}

#[test]
fn every_byte_arrives_with_interfaces_that_take_no_super_frames() {
    let daemon = two();
    // ethtool may be missing; the same switch is one of the kernel's per-route settings.
    for name in ["u1", "u2"] {
        let _ = daemon
            .exec(name, &["ethtool", "-K", "eth0", "tso", "off", "gso", "off", "gro", "off", "tx", "off"]);
    }
    transfer(&daemon);
}

#[test]
fn every_byte_arrives_over_tcp() {
    transfer(&two());
}

/// 20 MB through nc, compared at the end.
fn transfer(daemon: &Daemon) {
    let u2 = daemon.container("u2");
    let mut bytes = vec![0; 20_000_000];
    tests::random::Random::new(3).fill(&mut bytes);
    let sent = daemon.dir().join("sent");
    let received = daemon.dir().join("received");
    std::fs::write(&sent, &bytes).unwrap();
    let listen = format!("nc -n -l -v -N 9000 >{}", received.display());
    let mut server = Background::start(&mut daemon.exec_command("u2", &["sh", "-c", &listen]));
    server.line(|line| line.contains("istening"));
    daemon.exec("u1", &["sh", "-c", &format!("nc -n -N {} 9000 <{}", u2.ip, sent.display())]).ok();
    let (status, said) = server.end();
    assert_eq!(status, 0, "{said}");
    assert!(std::fs::read(&received).unwrap() == bytes, "what arrived is not what was sent");
}

#[test]
fn a_datagram_arrives() {
    let daemon = two();
    let u2 = daemon.container("u2");
    let mut server =
        Background::start(&mut daemon.exec_command("u2", &["nc", "-n", "-u", "-l", "-v", "-W", "1", "9000"]));
    server.line(|line| line.contains("ound on") || line.contains("istening"));
    let mut client = daemon.exec_command("u1", &["nc", "-n", "-u", "-w", "2", &u2.ip, "9000"]);
    let mut client = client.stdin(Stdio::piped()).spawn().unwrap();
    client.stdin.take().unwrap().write_all(b"a datagram\n").unwrap();
    server.line(|line| line == "a datagram");
    let _ = client.wait();
}

#[test]
fn broadcasts_reach_everybody_on_the_network() {
    let daemon = two();
    daemon.sleeper("u3");
    for name in ["u2", "u3"] {
        daemon.exec(name, &["sh", "-c", "echo 0 >/proc/sys/net/ipv4/icmp_echo_ignore_broadcasts"]).ok();
    }
    let said = eventually("both to answer", || {
        let said =
            daemon.exec("u1", &["ping", "-b", "-c", "3", "-i", "0.3", "-W", "2", "172.17.255.255"]).stdout;
        (said.contains("from 172.17.0.3") && said.contains("from 172.17.0.4")).then_some(said)
    });
    assert!(said.contains("DUP") || said.contains("duplicates"), "{said}");
}

#[test]
fn containers_of_different_daemons_do_not_see_each_other() {
    let (one, other) = (two(), two());
    one.sleeper("u3");
    one.ping("u1", "172.17.0.4");
    let dead = other.exec("u1", &["ping", "-c", "1", "-W", "1", "172.17.0.4"]);
    assert_ne!(dead.status, 0, "{dead:?}");
}

#[test]
fn several_queues_carry_what_one_carries() {
    let daemon = Daemon::start_with(&["--workers", "2"]);
    for name in ["u1", "u2"] {
        daemon.ok(&["run", "-d", "--name", name, "--queues", "2", "--", "sleep", "infinity"]);
    }
    let report = iperf(&daemon, &["-P", "4"]);
    assert!(report["end"]["sum_received"]["bytes"].as_u64().unwrap() > 1_000_000, "{report:#}");
    transfer(&daemon);
}

#[test]
fn busy_polling_carries_frames_too() {
    let daemon = Daemon::start_with(&["--workers", "1", "--busy-poll", "50"]);
    daemon.sleeper("u1");
    daemon.sleeper("u2");
    daemon.ping("u1", "172.17.0.3");
    let _ = run(&mut daemon.vswitch(&["info"]));
}

#[test]
fn frames_pass_without_io_uring_too_and_info_says_what_is() {
    let off = Daemon::start_with(&["--io-uring", "off"]);
    let on = Daemon::start();
    assert!(off.ok(&["info"]).contains(" io_uring: off\n"));
    let said = on.ok(&["info", "-f", "{{.Vswitch.IoUring}}"]);
    assert!(said == "in use" || said.starts_with("not in use: "), "{said}");
    for daemon in [off, on] {
        daemon.sleeper("u1");
        daemon.sleeper("u2");
        // Twenty at once, the answers of which are a batch.
        let pinged = daemon.ok(&[
            "exec",
            "u1",
            "ping",
            "-q",
            "-c",
            "100",
            "-l",
            "20",
            "-i",
            "0.01",
            "-W",
            "30",
            "172.17.0.3",
        ]);
        assert!(pinged.contains(" 0% packet loss"), "{pinged}");
        transfer(&daemon);
    }
}
