//! `attach` and `detach`: namespaces that somebody else made.

use std::os::unix::fs::symlink;

use tests::{Daemon, Netns, eventually, is_root, leak};

use crate::support::{ports, until_port};

fn attach(daemon: &Daemon, netns: &Netns, name: &str) {
    let id = daemon.ok(&["attach", "--netns", netns.path().to_str().unwrap(), "--name", name]);
    assert_eq!(id, daemon.container(name).id);
}

#[test]
fn an_attached_namespace_reaches_the_containers() {
    let daemon = Daemon::start();
    let netns = Netns::new();
    let u1 = daemon.sleeper("u1");
    attach(&daemon, &netns, "ns1");
    let ns1 = daemon.container("ns1");
    assert_eq!(ns1.ip, "172.17.0.3");
    netns.run("ping", &["-c", "2", "-i", "0.2", "-W", "10", &u1.ip]).ok();
    daemon.ping("u1", &ns1.ip);
    assert_eq!(daemon.names(false), ["ns1", "u1"]);
    assert_eq!(ports(&daemon), ["u1:eth0", "ns1:eth0"]);
}

#[test]
fn a_namespace_is_attached_by_a_link_of_proc() {
    let daemon = Daemon::start();
    let netns = Netns::held();
    attach(&daemon, &netns, "ns1");
    netns.run("ping", &["-c", "1", "-W", "10", "172.17.0.2"]).ok();
    daemon.ok(&["detach", "ns1"]);
    // As its own process names it.
    let mut command = netns.command(tests::bins::path("vswitch").to_str().unwrap(), &[]);
    command.arg("--host").arg(format!("unix://{}", daemon.socket().display()));
    command.args(["attach", "--netns", "/proc/self/ns/net", "--name", "ns1"]).env(leak::MARK, daemon.mark());
    eventually("the interface to be gone", || {
        (!netns.run("ip", &["-o", "link"]).ok().contains("eth0")).then_some(())
    });
    tests::run(&mut command).ok();
    netns.run("ping", &["-c", "1", "-W", "10", "172.17.0.2"]).ok();
    daemon.ok(&["detach", "ns1"]);
}

#[test]
fn a_namespace_is_attached_by_a_process_in_it() {
    let daemon = Daemon::start();
    let netns = Netns::held();
    let u1 = daemon.sleeper("u1");
    daemon.ok(&["attach", "--pid", &netns.pid().unwrap().to_string(), "--name", "ns1"]);
    netns.run("ping", &["-c", "2", "-i", "0.2", "-W", "10", &u1.ip]).ok();
}

#[test]
fn a_path_that_leads_to_another_namespace_by_now_is_not_entered() {
    let daemon = Daemon::start();
    let (first, second) = (Netns::held(), Netns::held());
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("ns");
    symlink(first.path(), &link).unwrap();
    daemon.ok(&["attach", "--netns", link.to_str().unwrap(), "--name", "ns1"]);
    std::fs::remove_file(&link).unwrap();
    symlink(second.path(), &link).unwrap();
    daemon.ok(&["network", "create", "net1"]);
    let said = daemon.run(&["network", "connect", "net1", "ns1"]).fails_with(1);
    assert!(said.contains("another one than before"), "{said}");
    assert!(!second.run("ip", &["-o", "link"]).ok().contains("eth"));
    assert!(daemon.exec("ns1", &["true"]).fails_with(1).contains("not running"));
    let joined = daemon.run(&["run", "--rm", "--network", "container:ns1", "--", "true"]).fails_with(125);
    assert!(joined.contains("another one than before"), "{joined}");
}

#[test]
fn exec_enters_an_attached_namespace() {
    let daemon = Daemon::start();
    let netns = Netns::new();
    attach(&daemon, &netns, "ns1");
    let said = daemon.exec("ns1", &["ip", "-o", "-4", "address", "show", "eth0"]).ok();
    assert!(said.contains("172.17.0.2/16"), "{said}");
}

#[test]
fn a_namespace_that_has_a_way_out_keeps_it() {
    let daemon = Daemon::start();
    let netns = Netns::new();
    netns.run("ip", &["link", "set", "lo", "up"]).ok();
    netns.run("ip", &["route", "add", "default", "dev", "lo"]).ok();
    attach(&daemon, &netns, "ns1");
    let u1 = daemon.sleeper("u1");
    netns.run("ping", &["-c", "1", "-W", "10", &u1.ip]).ok();
    assert_eq!(netns.run("ip", &["route", "show", "default"]).ok().trim(), "default dev lo scope link");
}

#[test]
fn exec_by_process_has_the_switchs_files_in_the_mounts_of_that_process() {
    let daemon = Daemon::start();
    let netns = Netns::held();
    daemon.ok(&["attach", "--pid", &netns.pid().unwrap().to_string(), "--name", "ns1"]);
    let conf = daemon.exec("ns1", &["cat", "/etc/resolv.conf"]).ok();
    assert!(conf.starts_with("nameserver 172.17.0.1\n"), "{conf}");
    let own = std::fs::read_to_string("/etc/resolv.conf").unwrap();
    assert_eq!(netns.run("cat", &["/etc/resolv.conf"]).ok(), own);
}

#[test]
fn detach_gives_the_namespace_back_without_the_interface() {
    let daemon = Daemon::start();
    let netns = Netns::new();
    attach(&daemon, &netns, "ns1");
    assert_eq!(daemon.ok(&["detach", "ns1"]), "ns1");
    assert!(daemon.names(true).is_empty());
    eventually("the interface to be gone", || {
        (!netns.run("ip", &["-o", "link"]).ok().contains("eth0")).then_some(())
    });
    daemon.until_nothing_is_left();
    assert!(ports(&daemon).is_empty());
    attach(&daemon, &netns, "ns1");
    assert_eq!(daemon.container("ns1").ip, "172.17.0.2");
}

#[test]
fn a_namespace_that_is_deleted_takes_its_port_its_address_and_its_record_along() {
    let daemon = Daemon::start();
    let mut netns = Netns::new();
    let u1 = daemon.sleeper("u1");
    attach(&daemon, &netns, "ns1");
    daemon.ping("u1", "172.17.0.3");
    netns.delete();
    until_port(&daemon, "ns1:eth0", false);
    daemon.until_gone("ns1");
    eventually("its directory to be gone", || {
        leak::paths_below(&daemon.data_dir().join("containers"))
            .iter()
            .all(|p| p.contains(&u1.id))
            .then_some(())
    });
    daemon.sleeper_at("u2", "172.17.0.3");
    daemon.ping("u1", "172.17.0.3");
}

#[test]
fn a_namespace_is_attached_once_and_freed_when_that_fails() {
    let daemon = Daemon::start();
    let netns = Netns::new();
    attach(&daemon, &netns, "ns1");
    let path = netns.path().to_str().unwrap();
    let said = daemon.run(&["attach", "--netns", path, "--name", "ns2"]).fails_with(1);
    assert!(said.contains("eth0"), "{said}");
    assert_eq!(daemon.names(true), ["ns1"]);
    assert_eq!(daemon.sleeper("u1").ip, "172.17.0.3");
    netns.run("ping", &["-c", "1", "-W", "10", "172.17.0.3"]).ok();
    assert_eq!(
        leak::paths_below(&daemon.data_dir().join("containers"))
            .iter()
            .filter(|p| p.ends_with("shim.sock"))
            .count(),
        2
    );
}

#[test]
fn what_is_no_namespace_cannot_be_attached_and_leaves_nothing() {
    let daemon = Daemon::start();
    for (arguments, sentence) in [
        (["--netns", "/no/such/namespace"], "there is no network namespace at /no/such/namespace"),
        (["--netns", "no-such-name"], "there is no network namespace at /run/netns/no-such-name"),
        (["--netns", "/etc/passwd"], "/etc/passwd is not a network namespace"),
        (["--netns", "/"], "is not a network namespace"),
        (["--netns", "/proc/self/ns/uts"], "is not a network namespace"),
        (["--pid", "2147483647"], "no process has the id 2147483647"),
    ] {
        let said = daemon.run(&["attach", arguments[0], arguments[1], "--name", "ns1"]);
        assert_eq!(said.status, 1, "{arguments:?}: {said:?}");
        assert!(said.stderr.contains(sentence), "{arguments:?}: {said:?}");
        assert!(daemon.names(true).is_empty());
        daemon.until_nothing_is_left();
        assert!(leak::paths_below(&daemon.data_dir().join("containers")).is_empty());
    }
    assert_eq!(daemon.run(&["attach", "--pid", "0", "--name", "ns1"]).status, 2);
    assert_eq!(daemon.sleeper("u1").ip, "172.17.0.2");
}

#[test]
fn an_attached_namespace_is_not_vswitchs_to_end_and_a_run_one_not_to_detach() {
    let daemon = Daemon::start();
    let netns = Netns::held();
    daemon.sleeper("u1");
    attach(&daemon, &netns, "ns1");
    let said = daemon.run(&["kill", "ns1"]).fails_with(1);
    assert!(said.contains("vswitch detach ns1"), "{said}");
    let said = daemon.run(&["detach", "u1"]).fails_with(1);
    assert!(said.contains("vswitch stop u1"), "{said}");
    daemon.ok(&["rm", "-f", "ns1"]);
    // Whatever is done to it, the process that holds the namespace lives.
    netns.run("true", &[]).ok();
}

#[test]
fn the_namespace_of_another_user_is_theirs() {
    let daemon = Daemon::start();
    // Root may do it, and would lose its network: the first process's is the host's own.
    if is_root() {
        return;
    }
    let said = daemon.run(&["attach", "--pid", "1", "--name", "ns1"]).fails_with(1);
    assert!(said.contains("belongs to another user"), "{said}");
    assert!(daemon.names(true).is_empty());
}

#[test]
fn attached_namespaces_are_let_go_when_the_daemon_ends() {
    let mut daemon = Daemon::start();
    let netns = Netns::new();
    attach(&daemon, &netns, "ns1");
    daemon.terminate();
    daemon.until_nothing_is_left();
    eventually("the interface to be gone", || {
        (!netns.run("ip", &["-o", "link"]).ok().contains("eth0")).then_some(())
    });
}
