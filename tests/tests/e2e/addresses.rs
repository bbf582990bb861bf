//! Addresses come and go.

use tests::Daemon;

#[test]
fn an_address_that_was_freed_goes_to_the_next_container() {
    let daemon = Daemon::start();
    assert_eq!(daemon.sleeper("u2").ip, "172.17.0.2");
    assert_eq!(daemon.sleeper("u3").ip, "172.17.0.3");
    daemon.ok(&["rm", "-f", "u3"]);
    assert_eq!(daemon.sleeper("u4").ip, "172.17.0.3");
    daemon.ping("u4", "172.17.0.2");
}

#[test]
fn the_lowest_free_address_is_taken() {
    let daemon = Daemon::start();
    for (name, ip) in [("a1", "172.17.0.2"), ("a2", "172.17.0.3"), ("a3", "172.17.0.4"), ("a4", "172.17.0.5")]
    {
        assert_eq!(daemon.sleeper(name).ip, ip);
    }
    daemon.ok(&["rm", "-f", "a3", "a1"]);
    assert_eq!(daemon.sleeper("a5").ip, "172.17.0.2");
    assert_eq!(daemon.sleeper("a6").ip, "172.17.0.4");
    assert_eq!(daemon.sleeper("a7").ip, "172.17.0.6");
}

#[test]
fn a_container_that_ended_holds_no_address() {
    let daemon = Daemon::start();
    daemon.ok(&["run", "-d", "--name", "brief", "--", "true"]);
    assert_eq!(daemon.ok(&["wait", "brief"]), "0");
    assert_eq!(daemon.inspect("brief")["NetworkSettings"]["IPAddress"], "");
    assert_eq!(daemon.sleeper("next").ip, "172.17.0.2");
}

#[test]
fn a_container_may_choose_its_hardware_address() {
    let daemon = Daemon::start();
    let mac = daemon.ok(&["run", "--mac-address", "02:00:00:00:00:77", "--", "ip", "link", "show", "eth0"]);
    assert!(mac.contains("02:00:00:00:00:77"), "{mac}");
    // The last one is the gateway's.
    for bad in ["nonsense", "01:00:5e:00:00:01", "00:00:00:00:00:00", "02:42:ac:11:00:01"] {
        let said = daemon.run(&["run", "--mac-address", bad, "--", "true"]);
        assert!(said.fails_with(125).contains(bad));
    }
    assert_eq!(daemon.sleeper("next").ip, "172.17.0.2");
}

#[test]
fn a_container_reaches_its_own_address_and_no_foreign_one() {
    let daemon = Daemon::start();
    let u1 = daemon.sleeper("u1");
    daemon.ping("u1", &u1.ip);
    daemon.ping("u1", "127.0.0.1");
    let nobody = daemon.exec("u1", &["ping", "-c", "1", "-W", "1", "172.17.0.200"]);
    assert_ne!(nobody.status, 0, "{nobody:?}");
}
