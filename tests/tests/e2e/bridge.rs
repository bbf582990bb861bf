//! `bridge`: what brctl shows of a bridge, and what it sets.

use tests::{Daemon, eventually};

use crate::support::{bridge, counted, dropped, stations, stats, until_port};

#[test]
fn bridge_show_prints_what_brctl_show_prints() {
    let daemon = Daemon::start();
    let empty = daemon.ok(&["bridge", "show"]);
    assert_eq!(empty.lines().next(), Some("bridge name\tbridge id\t\tSTP enabled\tinterfaces"));
    assert_eq!(empty.lines().nth(1).unwrap().split_whitespace().next(), Some("docker0"));
    daemon.sleeper("u1");
    daemon.sleeper("u2");
    let show = daemon.ok(&["bridge", "show"]);
    let lines: Vec<Vec<&str>> = show.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines.len(), 3, "{show}");
    assert!(lines[1][1].starts_with("8000.") && lines[1][1].len() == 17, "{show}");
    assert_eq!((lines[1][2], lines[1][3], lines[2][0]), ("no", "u1:eth0", "u2:eth0"), "{show}");
}

#[test]
fn bridge_fdb_prints_what_brctl_showmacs_prints() {
    let daemon = Daemon::start();
    let (u1, u2) = (daemon.sleeper("u1"), daemon.sleeper("u2"));
    daemon.ping("u1", &u2.ip);
    let table = daemon.ok(&["bridge", "fdb", "bridge"]);
    assert_eq!(table.lines().next(), Some("port no\tmac addr\t\tis local?\tageing timer"));
    for mac in [&u1.mac, &u2.mac] {
        let line = table.lines().find(|line| line.contains(mac.as_str())).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert!(words[0].parse::<u16>().is_ok() && words[2] == "no", "{table}");
        assert!(words[3].parse::<f64>().unwrap() < 60.0, "{table}");
    }
    let said = daemon.run(&["bridge", "fdb", "nowhere"]).fails_with(1);
    assert!(said.contains("nowhere"), "{said}");
}

#[test]
fn flush_empties_the_table_and_traffic_fills_it_again() {
    let daemon = Daemon::start();
    let (u1, u2) = (daemon.sleeper("u1"), daemon.sleeper("u2"));
    daemon.ping("u1", &u2.ip);
    assert!(stations(&daemon).contains(&u1.mac));
    daemon.ok(&["bridge", "setageing", "bridge", "100"]);
    daemon.ok(&["bridge", "flush", "bridge"]);
    eventually("an empty table", || {
        // A namespace may say something of its own at any moment.
        daemon.ok(&["bridge", "flush", "bridge"]);
        stations(&daemon).is_empty().then_some(())
    });
    daemon.ping("u1", &u2.ip);
    assert!(stations(&daemon).contains(&u1.mac));
}

#[test]
fn with_an_ageing_time_of_a_second_stations_are_soon_forgotten() {
    let daemon = Daemon::start();
    let (u1, u2) = (daemon.sleeper("u1"), daemon.sleeper("u2"));
    daemon.ok(&["bridge", "setageing", "bridge", "1"]);
    daemon.ping("u1", &u2.ip);
    eventually("the table to forget u1", || (!stations(&daemon).contains(&u1.mac)).then_some(()));
    daemon.ping("u1", &u2.ip);
    assert_eq!(bridge(&daemon)["Ageing"], 1);
    let said = daemon.run(&["bridge", "setageing", "nowhere", "1"]).fails_with(1);
    assert!(said.contains("nowhere"), "{said}");
}

#[test]
fn the_ageing_time_outlives_the_daemon() {
    let mut daemon = Daemon::start();
    daemon.ok(&["bridge", "setageing", "bridge", "77"]);
    daemon.kill();
    daemon.start_again();
    assert_eq!(bridge(&daemon)["Ageing"], 77);
}

#[test]
fn a_frame_goes_back_out_of_its_port_only_with_hairpin() {
    let daemon = Daemon::start();
    daemon.sleeper("u1");
    let (there, here) = ("02ee00000001", "02ee00000002");
    let send = |to: &str, from: &str| {
        daemon.exec_own("u1", "frames", &["hex", "eth0", &format!("{to}{from}88b5{}", "00".repeat(46))]).ok();
    };
    // `there` is heard behind u1's port.
    send("ffffffffffff", there);
    eventually("the table to have learned", || {
        stations(&daemon).contains(&"02:ee:00:00:00:01".into()).then_some(())
    });
    let (sent, lost) = (counted(&daemon, "u1", "TxFrames"), dropped(&daemon, "u1", "RxDrops", "same_port"));
    send(there, here);
    eventually("the frame to be dropped", || {
        (dropped(&daemon, "u1", "RxDrops", "same_port") == lost + 1).then_some(())
    });
    assert_eq!(counted(&daemon, "u1", "TxFrames"), sent);
    daemon.ok(&["bridge", "hairpin", "u1:eth0", "on"]);
    assert_eq!(stats(&daemon, "u1")["Hairpin"], true);
    send(there, here);
    eventually("the frame to come back", || (counted(&daemon, "u1", "TxFrames") > sent).then_some(()));
    daemon.ok(&["bridge", "hairpin", "u1", "off"]);
    send(there, here);
    eventually("the frame to be dropped", || {
        (dropped(&daemon, "u1", "RxDrops", "same_port") == lost + 2).then_some(())
    });
    let said = daemon.run(&["bridge", "hairpin", "nobody:eth0", "on"]).fails_with(1);
    assert!(said.contains("nobody:eth0"), "{said}");
}

#[test]
fn an_interface_that_is_renamed_is_shown_under_its_new_name() {
    let daemon = Daemon::start();
    let (u1, u2) = (daemon.sleeper("u1"), daemon.sleeper("u2"));
    let script = "ip link set eth0 down && ip link set eth0 name lan0 && ip link set lan0 up";
    daemon.exec("u1", &["sh", "-c", script]).ok();
    until_port(&daemon, "u1:lan0", true);
    until_port(&daemon, "u1:eth0", false);
    assert!(daemon.ok(&["bridge", "show"]).contains("u1:lan0"));
    assert!(daemon.ok(&["stats"]).contains("u1:lan0"));
    assert_eq!(stats(&daemon, "u1:lan0")["Interface"], "lan0");
    daemon.exec("u1", &["ip", "address", "replace", &format!("{}/16", u1.ip), "dev", "lan0"]).ok();
    daemon.ping("u2", &u1.ip);
    daemon.ping("u1", &u2.ip);
}

#[test]
fn stats_counts_frames_and_bytes_each_way() {
    let daemon = Daemon::start();
    let (_, u2) = (daemon.sleeper("u1"), daemon.sleeper("u2"));
    let before = counted(&daemon, "u2", "TxBytes");
    daemon.exec("u1", &["ping", "-c", "3", "-i", "0.2", "-W", "10", "-s", "1000", &u2.ip]).ok();
    let after = counted(&daemon, "u2", "TxBytes");
    assert!(after - before >= 3 * 1042, "{before} {after}");
    let table = daemon.ok(&["stats"]);
    for word in ["PORT", "RX FRAMES", "TX BYTES", "DROPS", "u1:eth0", "u2:eth0", "network bridge:"] {
        assert!(table.contains(word), "{word}: {table}");
    }
    assert_eq!(stats(&daemon, "u1")["Name"], stats(&daemon, "u1:eth0")["Name"]);
}

#[test]
fn a_station_can_be_pinned_to_a_port() {
    let daemon = Daemon::start();
    let (u1, u2) = (daemon.sleeper("u1"), daemon.sleeper("u2"));
    daemon.ok(&["bridge", "static", "bridge", "02:ee:00:00:00:09", "u2"]);
    let table = daemon.ok(&["bridge", "fdb", "bridge"]);
    // As in brctl's table: a station that was put there by hand is not the bridge's own.
    assert!(table.lines().any(|line| line.contains("02:ee:00:00:00:09\tno\t\t   0.00")), "{table}");
    daemon.ok(&["bridge", "flush", "bridge"]);
    assert!(stations(&daemon).contains(&"02:ee:00:00:00:09".into()));
    // Pretending to be it moves nothing.
    let frame = format!("ffffffffffff02ee0000000988b5{}", "00".repeat(46));
    daemon.exec_own("u1", "frames", &["hex", "eth0", &frame]).ok();
    daemon.ping("u1", &u2.ip);
    let table = daemon.ok(&["bridge", "fdb", "bridge", "--format", "{{.Mac}} {{.PortName}}"]);
    assert!(table.contains("02:ee:00:00:00:09 u2:eth0"), "{table}");
    assert!(table.contains(&format!("{} u1:eth0", u1.mac)), "{table}");
    daemon.ok(&["bridge", "static", "bridge", "02:ee:00:00:00:09", "none"]);
    assert!(!stations(&daemon).contains(&"02:ee:00:00:00:09".into()));
}
