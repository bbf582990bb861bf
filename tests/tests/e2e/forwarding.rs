//! Who gets which frame, and who none.

use tests::{Background, Daemon, eventually};

use crate::support::{bridge, counted, dropped, stations, stats};

#[test]
fn frames_for_a_known_station_reach_its_port_only() {
    let daemon = Daemon::start();
    let (_, u2, _) = (daemon.sleeper("u1"), daemon.sleeper("u2"), daemon.sleeper("u3"));
    daemon.ping("u1", &u2.ip);
    let before = counted(&daemon, "u3", "TxFrames");
    daemon.exec("u1", &["ping", "-c", "20", "-i", "0.05", "-W", "10", &u2.ip]).ok();
    let others = counted(&daemon, "u3", "TxFrames") - before;
    assert!(others < 20, "u3 was sent {others} frames");
}

#[test]
fn frames_for_an_unknown_station_reach_every_other_port() {
    let daemon = Daemon::start();
    let (_, _, _) = (daemon.sleeper("u1"), daemon.sleeper("u2"), daemon.sleeper("u3"));
    let before: Vec<u64> = ["u1", "u2", "u3"].map(|name| counted(&daemon, name, "TxFrames")).into();
    daemon.exec_own("u1", "frames", &["unknown", "eth0", "100"]).ok();
    for (name, before) in ["u2", "u3"].into_iter().zip(&before[1..]) {
        eventually("the frames to arrive", || {
            (counted(&daemon, name, "TxFrames") >= before + 100).then_some(())
        });
    }
    assert!(counted(&daemon, "u1", "TxFrames") < before[0] + 100, "they came back to their sender");
}

#[test]
fn frames_to_reserved_groups_go_nowhere() {
    let daemon = Daemon::start();
    let (_, _) = (daemon.sleeper("u1"), daemon.sleeper("u2"));
    let before = counted(&daemon, "u2", "TxFrames");
    daemon.exec_own("u1", "frames", &["reserved", "eth0", "50"]).ok();
    eventually("the frames to be counted", || {
        (dropped(&daemon, "u1", "RxDrops", "reserved_group") == 50).then_some(())
    });
    assert!(counted(&daemon, "u2", "TxFrames") < before + 50);
}

#[test]
fn frames_from_a_group_address_go_nowhere_and_teach_nothing() {
    let daemon = Daemon::start();
    let (_, _) = (daemon.sleeper("u1"), daemon.sleeper("u2"));
    daemon.exec_own("u1", "frames", &["multicast-source", "eth0", "50"]).ok();
    eventually("the frames to be counted", || {
        (dropped(&daemon, "u1", "RxDrops", "bad_source") == 50).then_some(())
    });
    assert!(!stations(&daemon).contains(&"01:00:5e:00:00:01".into()));
}

#[test]
fn a_station_that_moves_is_followed_at_once() {
    let daemon = Daemon::start();
    let (_, _, _) = (daemon.sleeper("u1"), daemon.sleeper("u2"), daemon.sleeper("u3"));
    let moved = "02:00:00:00:00:42";
    let script = format!(
        "ip link add link eth0 name mv0 address {moved} type macvlan mode bridge && \
         ip address add 10.9.0.9/24 dev mv0 && ip link set mv0 up"
    );
    daemon.exec("u3", &["ip", "address", "add", "10.9.0.3/24", "dev", "eth0"]).ok();
    let at = || {
        let table = daemon.ok(&["bridge", "fdb", "--format", "{{.Mac}} {{.PortName}}"]);
        table.lines().find_map(|line| line.strip_prefix(moved)).map(|port| port.trim().to_owned())
    };
    daemon.exec("u1", &["sh", "-c", &script]).ok();
    daemon.ping("u3", "10.9.0.9");
    assert_eq!(at().as_deref(), Some("u1:eth0"));
    daemon.exec("u1", &["ip", "link", "delete", "mv0"]).ok();
    daemon.exec("u2", &["sh", "-c", &script]).ok();
    daemon.exec("u2", &["ping", "-c", "1", "-W", "10", "-I", "mv0", "10.9.0.3"]).ok();
    assert_eq!(at().as_deref(), Some("u2:eth0"));
    daemon.ping("u3", "10.9.0.9");
    assert!(bridge(&daemon)["Fdb"]["Moves"].as_u64().unwrap() >= 1);
}

#[test]
fn an_interface_that_is_down_does_not_block_the_others() {
    let daemon = Daemon::start();
    let (u1, _, u3) = (daemon.sleeper("u1"), daemon.sleeper("u2"), daemon.sleeper("u3"));
    daemon.ping("u2", &u1.ip);
    daemon.exec("u1", &["ip", "link", "set", "eth0", "down"]).ok();
    let dead = daemon.exec("u2", &["ping", "-c", "1", "-W", "1", &u1.ip]);
    assert_ne!(dead.status, 0, "{dead:?}");
    daemon.ping("u2", &u3.ip);
    eventually("a drop to be counted", || {
        daemon.exec("u2", &["ping", "-c", "1", "-W", "1", "-b", "172.17.255.255"]);
        (dropped(&daemon, "u1", "TxDrops", "link_down") > 0).then_some(())
    });
    assert!(daemon.ok(&["stats"]).contains("link_down"));
    daemon.exec("u1", &["ip", "link", "set", "eth0", "up"]).ok();
    daemon.ping("u2", &u1.ip);
}

#[test]
fn a_port_set_down_carries_nothing_until_it_is_set_up() {
    let daemon = Daemon::start();
    let (_, u2) = (daemon.sleeper("u1"), daemon.sleeper("u2"));
    daemon.ping("u1", &u2.ip);
    daemon.ok(&["bridge", "port", "u2", "down"]);
    let dead = daemon.exec("u1", &["ping", "-c", "1", "-W", "1", &u2.ip]);
    assert_ne!(dead.status, 0, "{dead:?}");
    assert!(dropped(&daemon, "u2", "TxDrops", "admin_down") > 0, "{:#}", stats(&daemon, "u2"));
    daemon.ok(&["bridge", "port", "u2", "up"]);
    daemon.ping("u1", &u2.ip);
}

#[test]
fn a_storm_is_limited_where_a_limit_is_set() {
    let daemon = Daemon::start();
    let (_, u2) = (daemon.sleeper("u1"), daemon.sleeper("u2"));
    daemon.ping("u1", &u2.ip);
    daemon.ok(&["bridge", "storm", "u1", "--unknown-unicast", "100"]);
    daemon.exec_own("u1", "frames", &["unknown", "eth0", "20000"]).ok();
    eventually("frames over the limit", || {
        (dropped(&daemon, "u1", "RxDrops", "storm_unknown") > 0).then_some(())
    });
    daemon.ping("u1", &u2.ip);
    daemon.ok(&["bridge", "storm", "u1", "--unknown-unicast", "0"]);
    assert_eq!(stats(&daemon, "u1")["StormUnknownUnicast"], 0);
}

#[test]
fn more_stations_than_the_table_holds_are_counted_and_harm_nobody() {
    let daemon = Daemon::start();
    let (_, u2, u3) = (daemon.sleeper("u1"), daemon.sleeper("u2"), daemon.sleeper("u3"));
    daemon.ping("u2", &u3.ip);
    let limit = bridge(&daemon)["Fdb"]["Limit"].as_u64().unwrap();
    assert_eq!(limit, 8192);
    eventually("the table to be full", || {
        daemon.exec_own("u1", "frames", &["sources", "eth0", "12000"]).ok();
        (bridge(&daemon)["Fdb"]["Full"].as_u64().unwrap() > 0).then_some(())
    });
    let fdb = bridge(&daemon)["Fdb"].clone();
    assert!(fdb["Entries"].as_u64().unwrap() <= limit, "{fdb}");
    assert!(daemon.ok(&["stats"]).contains("refused (fdb_full)"));
    daemon.ping("u2", &u3.ip);
    daemon.ping("u3", &u2.ip);
    // Newcomers are reached too, if at more cost.
    let u4 = daemon.sleeper("u4");
    daemon.ping("u4", &u2.ip);
    daemon.ping("u3", &u4.ip);
    daemon.ok(&["rm", "-f", "u1"]);
    eventually("the place to be free again", || {
        (bridge(&daemon)["Fdb"]["Entries"].as_u64().unwrap() < 100).then_some(())
    });
}

#[test]
fn a_container_that_does_not_read_does_not_block_the_others() {
    let daemon = Daemon::start();
    let (_, u2, u3) = (daemon.sleeper("u1"), daemon.sleeper("u2"), daemon.sleeper("u3"));
    daemon.ping("u1", &u2.ip);
    // A stopped process reads nothing; its socket fills, and the frames are the kernel's to drop.
    let mut deaf = Background::start(&mut daemon.exec_command("u2", &["nc", "-n", "-u", "-l", "-v", "9000"]));
    deaf.line(|line| line.contains("ound on") || line.contains("istening"));
    deaf.signal(nix::sys::signal::Signal::SIGSTOP);
    let flood = format!("head -c 20000000 /dev/zero | nc -n -u -w 1 {} 9000", u2.ip);
    let mut flood = Background::start(&mut daemon.exec_command("u1", &["sh", "-c", &flood]));
    for _ in 0..5 {
        daemon.ping("u1", &u3.ip);
    }
    let _ = flood.is_running();
}
