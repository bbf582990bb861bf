//! `capture`: what went by, as text and for tshark.

use std::process::{Command, Stdio};

use tests::{Background, Daemon, run};

/// A daemon with two containers, one of which pings the other until the test ends.
fn pinging() -> (Daemon, Background) {
    let daemon = Daemon::start();
    let (_, u2) = (daemon.sleeper("u1"), daemon.sleeper("u2"));
    let mut ping = daemon.exec_command("u1", &["ping", "-i", "0.1", &u2.ip]);
    let mut ping = Background::start(&mut ping);
    ping.line(|line| line.contains("icmp_seq=1"));
    (daemon, ping)
}

/// Starts a capture and waits until it captures.
fn capture(daemon: &Daemon, arguments: &[&str]) -> Background {
    let mut all = vec!["capture"];
    all.extend(arguments);
    let mut capture = daemon.background(&all);
    capture.line(|line| line.contains("capturing on"));
    capture
}

fn tshark(arguments: &[&str]) -> Command {
    let mut tshark = Command::new("tshark");
    tshark.args(["-n"]).args(arguments).stderr(Stdio::null());
    tshark
}

#[test]
fn without_a_file_a_capture_is_a_line_a_packet() {
    let (daemon, _ping) = pinging();
    let text = daemon.ok(&["capture", "-c", "4", "icmp"]);
    assert_eq!(text.lines().count(), 4, "{text}");
    assert!(text.contains("172.17.0.2 > 172.17.0.3: ICMP echo request"), "{text}");
    assert!(text.contains("172.17.0.3 > 172.17.0.2: ICMP echo reply"), "{text}");
    for word in ["u1:eth0", "u2:eth0", " In ", " Out "] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn tshark_reads_a_capture_through_a_pipe() {
    let (daemon, _ping) = pinging();
    let mut source = daemon.vswitch(&["capture", "-w", "-", "-c", "20", "icmp or arp"]);
    let mut source = source.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let fields = ["frame.interface_name", "frame.packet_flags_direction", "ip.src", "icmp.type"];
    let mut reader = tshark(&["-r", "-", "-T", "fields"]);
    for field in fields {
        reader.args(["-e", field]);
    }
    let pipe = source.stdout.take().unwrap();
    let mut reader = reader.stdin(pipe).stdout(Stdio::piped()).spawn().unwrap();
    assert!(tests::wait::child_end(&mut source, tests::DEADLINE).unwrap().success());
    let mut text = String::new();
    std::io::Read::read_to_string(&mut reader.stdout.take().unwrap(), &mut text).unwrap();
    assert!(reader.wait().unwrap().success());
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows.len(), 20, "{text}");
    // 1 is in, 2 is out: seen from the switch.
    for wanted in [["u1:eth0", "172.17.0.2", "8"], ["u2:eth0", "172.17.0.3", "0"]] {
        let of = |way: u32| {
            rows.iter().any(|row| {
                [row[0], row[2], row[3]] == wanted
                    && u32::from_str_radix(row[1].trim_start_matches("0x"), 16).is_ok_and(|w| w == way)
            })
        };
        assert!(of(1), "{wanted:?} did not come in: {text}");
    }
    assert!(rows.iter().any(|row| row[0] == "u2:eth0" && row[2] == "172.17.0.2"), "{text}");
}

#[test]
fn arp_is_seen_when_a_neighbour_is_looked_for() {
    let daemon = Daemon::start();
    let (_, u2) = (daemon.sleeper("u1"), daemon.sleeper("u2"));
    let mut lines = capture(&daemon, &["arp"]);
    daemon.ping("u1", &u2.ip);
    lines.line(|line| line.contains("ARP") && line.contains("who-has 172.17.0.3 tell 172.17.0.2"));
    lines.line(|line| line.contains("172.17.0.3 is-at 02:42:ac:11:00:03"));
    let (status, said) = lines.interrupt();
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("packets captured"), "{said}");
}

#[test]
fn a_dropped_frame_is_captured_with_the_reason_as_its_comment() {
    let daemon = Daemon::start();
    let (_, _) = (daemon.sleeper("u1"), daemon.sleeper("u2"));
    let file = daemon.dir().join("drops.pcapng");
    let filter = "ether dst 01:80:c2:00:00:00";
    let recorder = capture(&daemon, &["-w", file.to_str().unwrap(), "-c", "3", filter]);
    daemon.exec_own("u1", "frames", &["reserved", "eth0", "3"]).ok();
    let (status, said) = recorder.end();
    assert_eq!(status, 0, "{said}");
    let text = run(&mut tshark(&["-r", file.to_str().unwrap(), "-T", "fields", "-e", "frame.comment"])).ok();
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.lines().all(|line| line.contains("reserved_group")), "{text}");

    let mut lines = capture(&daemon, &[filter]);
    daemon.exec_own("u1", "frames", &["reserved", "eth0", "1"]).ok();
    lines.line(|line| line.contains("[dropped: reserved_group]"));
}

#[test]
fn a_filter_chooses() {
    let (daemon, _ping) = pinging();
    for (filter, inside, outside) in [
        ("src host 172.17.0.2 and icmp", "echo request", "echo reply"),
        ("icmp[icmptype] == icmp-echoreply", "echo reply", "echo request"),
        ("ether src 02:42:ac:11:00:03 and ip", "echo reply", "echo request"),
    ] {
        let text = daemon.ok(&["capture", "-c", "4", filter]);
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.contains(inside) && !text.contains(outside), "{filter}: {text}");
    }
    let text = daemon.ok(&["capture", "-c", "2", "icmp", "and", "src", "172.17.0.3"]);
    assert_eq!(text.lines().count(), 2, "{text}");
}

#[test]
fn a_filter_that_makes_no_sense_is_refused() {
    let daemon = Daemon::start();
    for filter in ["nonsense", "host", "port 99999", "icmp and", "(arp"] {
        let said = daemon.run(&["capture", "-c", "1", filter]);
        assert!([1, 2].contains(&said.status), "{filter}: {said:?}");
        assert_eq!(said.stderr.lines().count(), 1, "{filter}: {said:?}");
    }
}

#[test]
fn a_capture_is_of_one_container_one_network_or_everything() {
    let (daemon, _ping) = pinging();
    for on in ["u1", "u1:eth0"] {
        let text = daemon.ok(&["capture", "-i", on, "-c", "4", "icmp"]);
        assert!(text.contains("u1:eth0") && !text.contains("u2:eth0"), "{text}");
    }
    for on in ["bridge", "any"] {
        let text = daemon.ok(&["capture", "-i", on, "-c", "8", "icmp"]);
        assert!(text.contains("u1:eth0") && text.contains("u2:eth0"), "{text}");
    }
    let said = daemon.run(&["capture", "-i", "nobody", "-c", "1"]).fails_with(1);
    assert!(said.contains("nobody"), "{said}");
}

#[test]
fn frames_are_cut_to_the_snap_length_and_know_how_long_they_were() {
    let (daemon, _ping) = pinging();
    let file = daemon.dir().join("short.pcapng");
    daemon.ok(&["capture", "-w", file.to_str().unwrap(), "-s", "40", "-c", "4", "icmp"]);
    let mut reader =
        tshark(&["-r", file.to_str().unwrap(), "-T", "fields", "-e", "frame.cap_len", "-e", "frame.len"]);
    let text = run(&mut reader).ok();
    assert!(text.lines().all(|line| line == "40\t98"), "{text}");
}

#[test]
fn an_interrupted_capture_leaves_a_whole_file() {
    let (daemon, _ping) = pinging();
    let file = daemon.dir().join("all.pcapng");
    let recorder = capture(&daemon, &["-w", file.to_str().unwrap()]);
    tests::eventually("some packets in the file", || {
        std::fs::metadata(&file).is_ok_and(|m| m.len() > 2000).then_some(())
    });
    let (status, said) = recorder.interrupt();
    assert_eq!(status, 0, "{said}");
    let said = run(Command::new("capinfos").arg(&file)).ok();
    assert!(said.contains("pcapng"), "{said}");
    let mut reader = Command::new("tcpdump");
    run(reader.args(["-n", "-r"]).arg(&file)).ok();
}

#[test]
fn a_reader_that_goes_away_ends_the_capture() {
    let (daemon, _ping) = pinging();
    let mut source = daemon.vswitch(&["capture", "-w", "-"]);
    let mut source = source.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(source.stdout.take());
    assert!(tests::wait::child_end(&mut source, tests::DEADLINE).is_some());
    let threads = || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
        let name = |t: &std::fs::DirEntry| std::fs::read_to_string(t.path().join("comm")).unwrap_or_default();
        tasks.flatten().filter(|t| name(t).trim() == "capture").count()
    };
    tests::eventually("the capture's thread to end", || (threads() == 0).then_some(()));
}

#[test]
fn super_frames_are_captured_as_they_crossed_the_switch() {
    let daemon = Daemon::start();
    let (_, u2) = (daemon.sleeper("u1"), daemon.sleeper("u2"));
    let file = daemon.dir().join("tcp.pcapng");
    let recorder = capture(&daemon, &["-i", "u1", "-w", file.to_str().unwrap(), "-c", "400", "tcp"]);
    let mut server =
        Background::start(&mut daemon.exec_command("u2", &["iperf3", "-s", "-1", "--forceflush"]));
    server.line(|line| line.contains("Server listening"));
    daemon.exec("u1", &["iperf3", "-c", &u2.ip, "-t", "1"]).ok();
    let (status, said) = recorder.end();
    assert_eq!(status, 0, "{said}");
    let text = run(&mut tshark(&["-r", file.to_str().unwrap(), "-T", "fields", "-e", "frame.len"])).ok();
    let longest = text.lines().filter_map(|line| line.parse::<u32>().ok()).max().unwrap();
    assert!(longest > 1514, "the longest frame has {longest} bytes");
}

#[test]
fn a_capture_that_cannot_keep_up_loses_records_and_never_frames() {
    let daemon = Daemon::start();
    let (_, u2) = (daemon.sleeper("u1"), daemon.sleeper("u2"));
    let slow = capture(&daemon, &["-w", "/dev/null"]);
    slow.signal(nix::sys::signal::Signal::SIGSTOP);
    let mut server =
        Background::start(&mut daemon.exec_command("u2", &["iperf3", "-s", "-1", "--forceflush"]));
    server.line(|line| line.contains("Server listening"));
    let text = daemon.exec("u1", &["iperf3", "-J", "-c", &u2.ip, "-t", "2"]).ok();
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(report["end"]["sum_received"]["bytes"].as_u64().unwrap() > 1_000_000);
    daemon.ping("u1", &u2.ip);
    slow.signal(nix::sys::signal::Signal::SIGCONT);
    let (status, said) = slow.interrupt();
    assert_eq!(status, 0, "{said}");
    let lost = said.lines().find_map(|line| line.split(", ").nth(1)?.split(' ').next()?.parse::<u64>().ok());
    assert!(lost.is_some(), "{said}");
}
