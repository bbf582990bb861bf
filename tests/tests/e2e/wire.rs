//! Two namespaces, one wire.

use tests::{Daemon, eventually};

use crate::support::{ports, stations};

#[test]
fn two_containers_have_an_address_each_and_reach_each_other() {
    let daemon = Daemon::start();
    let (u1, u2) = (daemon.sleeper("u1"), daemon.sleeper("u2"));
    assert_eq!((u1.ip.as_str(), u1.mac.as_str()), ("172.17.0.2", "02:42:ac:11:00:02"));
    assert_eq!((u2.ip.as_str(), u2.mac.as_str()), ("172.17.0.3", "02:42:ac:11:00:03"));

    let links = daemon.exec("u1", &["ip", "-o", "link"]).ok();
    assert_eq!(links.lines().count(), 2, "{links}");
    assert!(links.contains("lo: <LOOPBACK,UP,LOWER_UP>"), "{links}");
    assert!(links.contains("eth0: <") && links.contains("mtu 1500") && links.contains(&u1.mac), "{links}");
    let addresses = daemon.exec("u1", &["ip", "-o", "-4", "address", "show", "eth0"]).ok();
    assert!(addresses.contains("inet 172.17.0.2/16"), "{addresses}");

    assert!(daemon.ping("u1", &u2.ip).contains(" 0% packet loss"));
    assert!(daemon.ping("u2", &u1.ip).contains(" 0% packet loss"));
}

#[test]
fn who_has_spoken_is_in_the_forwarding_table_under_its_own_port() {
    let daemon = Daemon::start();
    let (u1, u2) = (daemon.sleeper("u1"), daemon.sleeper("u2"));
    daemon.ping("u1", &u2.ip);
    let table = daemon.ok(&["bridge", "fdb"]);
    let line = |mac: &str| table.lines().find(|line| line.contains(mac)).unwrap_or_else(|| panic!("{table}"));
    let port = |mac: &str| line(mac).split_whitespace().next().unwrap().to_owned();
    assert_ne!(port(&u1.mac), port(&u2.mac), "{table}");
    assert_eq!(ports(&daemon), ["u1:eth0", "u2:eth0"]);
}

#[test]
fn who_was_taken_away_ages_out_of_the_table_of_the_others() {
    let daemon = Daemon::start();
    let (_, u2) = (daemon.sleeper("u1"), daemon.sleeper("u2"));
    daemon.ping("u1", &u2.ip);
    assert!(stations(&daemon).contains(&u2.mac));
    daemon.ok(&["rm", "-f", "u2"]);
    eventually("the table to forget u2", || (!stations(&daemon).contains(&u2.mac)).then_some(()));
}

#[test]
fn an_address_is_asked_for_with_arp() {
    let daemon = Daemon::start();
    let (_, u2) = (daemon.sleeper("u1"), daemon.sleeper("u2"));
    let said = daemon.exec("u1", &["arping", "-c", "2", "-I", "eth0", &u2.ip]).ok();
    assert!(said.to_lowercase().contains(&u2.mac), "{said}");
}

#[test]
fn link_local_addresses_of_ipv6_reach_each_other() {
    let daemon = Daemon::start();
    let (_, _) = (daemon.sleeper("u1"), daemon.sleeper("u2"));
    let address = eventually("an address of u2 that no longer is tentative", || {
        let said = daemon.exec("u2", &["ip", "-o", "-6", "address", "show", "dev", "eth0"]).ok();
        let line = said.lines().find(|line| line.contains("fe80:") && !line.contains("tentative"))?;
        Some(line.split_whitespace().find(|word| word.starts_with("fe80:"))?.split('/').next()?.to_owned())
    });
    eventually("an address of u1 that no longer is tentative", || {
        let said = daemon.exec("u1", &["ip", "-o", "-6", "address", "show", "dev", "eth0"]).ok();
        (said.contains("fe80:") && !said.contains("tentative")).then_some(())
    });
    daemon.ping("u1", &format!("{address}%eth0"));
}

#[test]
fn frames_with_a_vlan_tag_pass_with_it_and_are_learned_by_vlan() {
    let daemon = Daemon::start();
    let (_, _) = (daemon.sleeper("u1"), daemon.sleeper("u2"));
    let mut lines = daemon.background(&["capture", "-i", "u2", "vlan 7"]);
    lines.line(|line| line.contains("capturing on"));
    let frame = format!("ffffffffffff02ee00000007810000070800{}", "00".repeat(46));
    daemon.exec_own("u1", "frames", &["hex", "eth0", &frame]).ok();
    let line = lines.line(|line| line.contains("vlan 7"));
    assert!(line.contains("u2:eth0 Out"), "{line}");
    let table = daemon.ok(&["bridge", "fdb", "--format", "{{.Mac}} {{.Vlan}}"]);
    assert!(table.contains("02:ee:00:00:00:07 7"), "{table}");
}

#[test]
fn interfaces_of_a_vlan_reach_each_other() {
    let daemon = Daemon::start();
    let (u1, _) = (daemon.sleeper("u1"), daemon.sleeper("u2"));
    for (name, address) in [("u1", "10.7.0.1/24"), ("u2", "10.7.0.2/24")] {
        let script = format!(
            "ip link add link eth0 name eth0.7 type vlan id 7 && ip address add {address} dev eth0.7 && \
             ip link set eth0.7 up"
        );
        let said = daemon.exec(name, &["sh", "-c", &script]);
        if said.stderr.contains("Unknown device type") {
            eprintln!("this kernel has no VLAN interfaces; tagged frames have a test of their own");
            return;
        }
        said.ok();
    }
    daemon.ping("u1", "10.7.0.2");
    let table = daemon.ok(&["bridge", "fdb", "--format", "{{.Mac}} {{.Vlan}}"]);
    assert!(table.contains(&format!("{} 7", u1.mac)), "{table}");
}

#[test]
fn packets_longer_than_the_mtu_arrive_in_fragments() {
    let daemon = Daemon::start();
    let (_, u2) = (daemon.sleeper("u1"), daemon.sleeper("u2"));
    daemon.exec("u1", &["ping", "-c", "2", "-i", "0.2", "-W", "10", "-s", "20000", &u2.ip]).ok();
}
