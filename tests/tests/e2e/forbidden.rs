//! What the system does not allow: a sentence, and nothing half made.

use std::process::Command;

use tests::{Background, Daemon, Netns, eventually, is_root, leak, run};

/// A shell in user and mount namespaces of its own, as far as this user needs them.
fn shell(script: &str, command: &Command) -> Command {
    let mut shell = Command::new("unshare");
    if !is_root() {
        shell.args(["--user", "--map-root-user"]);
    }
    shell.args(["--mount", "--", "sh", "-c", &format!("{script}; exec \"$@\""), "sh"]);
    shell.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            shell.env(name, value);
        }
    }
    shell
}

#[track_caller]
fn nothing_is_left(daemon: &Daemon) {
    assert!(daemon.names(true).is_empty());
    daemon.until_nothing_is_left();
    assert!(leak::paths_below(&daemon.data_dir().join("containers")).is_empty());
    assert_eq!(daemon.sleeper("next").ip, "172.17.0.2");
}

#[test]
fn without_dev_net_tun_a_sentence_says_what_to_do() {
    let daemon = Daemon::start();
    let command = daemon.vswitch(&["run", "--name", "u1", "--", "true"]);
    let said = run(&mut shell("mount -t tmpfs none /dev/net", &command)).fails_with(125);
    assert!(said.contains("/dev/net/tun is missing") && said.contains("modprobe tun"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    nothing_is_left(&daemon);
}

#[test]
fn a_dev_net_tun_that_is_something_else_is_refused() {
    let daemon = Daemon::start();
    let command = daemon.vswitch(&["run", "-d", "--name", "u1", "--", "sleep", "infinity"]);
    let said = run(&mut shell("mount --bind /dev/null /dev/net/tun", &command)).fails_with(125);
    assert_eq!(said.lines().count(), 1, "{said}");
    nothing_is_left(&daemon);
}

#[test]
fn a_namespace_cannot_be_attached_without_dev_net_tun_and_stays_as_it_was() {
    let daemon = Daemon::start();
    let netns = if is_root() { Netns::new() } else { Netns::held() };
    let before = netns.run("ip", &["-o", "link"]).ok();
    let path = netns.path().to_str().unwrap();
    let command = daemon.vswitch(&["attach", "--netns", path, "--name", "ns1"]);
    let said = run(&mut shell("mount -t tmpfs none /dev/net", &command)).fails_with(1);
    if is_root() {
        assert!(said.contains("/dev/net/tun is missing"), "{said}");
    }
    assert_eq!(netns.run("ip", &["-o", "link"]).ok(), before);
    nothing_is_left(&daemon);
}

#[test]
fn a_dev_net_tun_that_may_not_be_opened_is_said_to_be_so() {
    let daemon = Daemon::start();
    let command = daemon.vswitch(&["run", "--name", "u1", "--", "true"]);
    // On a file system mounted so, no device can be opened, root's neither.
    let script = "mount -t tmpfs -o nodev none /dev/net && (mknod /dev/net/tun c 10 200 2>/dev/null || : >/dev/net/tun && chmod 0 /dev/net/tun)";
    let said = run(&mut shell(script, &command)).fails_with(125);
    assert_eq!(said.lines().count(), 1, "{said}");
    if is_root() {
        assert!(said.contains("/dev/net/tun may not be opened") && said.contains("chmod 0666"), "{said}");
    }
    nothing_is_left(&daemon);
}

#[test]
fn where_user_namespaces_are_forbidden_the_setting_is_named() {
    let daemon = Daemon::start();
    let command = daemon.vswitch(&["run", "--name", "u1", "--", "true"]);
    let mut inner = Command::new("setpriv");
    inner.args(["--bounding-set=-all", "--inh-caps=-all", "--"]);
    inner.arg(command.get_program()).args(command.get_args());
    // Below this user namespace there can be none; its root without capabilities is as any user.
    let mut outer = Command::new("unshare");
    outer.args(["--user", "--map-root-user", "--", "sh", "-c"]);
    outer.args(["echo 0 >/proc/sys/user/max_user_namespaces; exec \"$@\"", "sh"]);
    outer.arg(inner.get_program()).args(inner.get_args()).env(leak::MARK, daemon.mark());
    let said = run(&mut outer).fails_with(125);
    assert!(said.contains("user.max_user_namespaces is 0"), "{said}");
    assert!(said.contains("sysctl user.max_user_namespaces="), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    nothing_is_left(&daemon);
}

#[test]
fn a_helper_that_cannot_make_the_interface_leaves_nothing() {
    let daemon = Daemon::start();
    // The one network namespace that may be there: that in which the helper would make the TAP is refused.
    let command = daemon.vswitch(&["attach", "--name", "u1", "--pid"]);
    let mut outer = Command::new("unshare");
    outer.args(["--user", "--map-root-user", "--net", "--", "sh", "-c"]);
    outer.args(["echo 1 >/proc/sys/user/max_net_namespaces; \"$@\" $$; exit $?", "sh"]);
    outer.arg(command.get_program()).args(command.get_args()).env(leak::MARK, daemon.mark());
    let said = run(&mut outer).fails_with(1);
    assert!(said.contains("max_net_namespaces"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    nothing_is_left(&daemon);
}

#[test]
fn root_without_the_right_to_make_namespaces_runs_containers_as_any_user_does() {
    let daemon = Daemon::start();
    let command = daemon.vswitch(&["run", "--name", "u1", "--", "ip", "-o", "-4", "address", "show", "eth0"]);
    let mut outer = Command::new("unshare");
    // CAP_SETFCAP is what mapping root takes (user_namespaces(7)).
    let few = ["setpriv", "--bounding-set=-all,+setfcap", "--inh-caps=-all", "--"];
    outer.args(["--user", "--map-root-user", "--"]).args(few);
    outer.arg(command.get_program()).args(command.get_args()).env(leak::MARK, daemon.mark());
    let said = run(&mut outer).ok();
    assert!(said.contains("172.17.0.2/16"), "{said}");
    nothing_is_left(&daemon);
}

#[test]
fn a_full_limit_of_descriptors_is_survived() {
    let daemon = Daemon::start();
    daemon.sleeper("u1");
    let pid = daemon.pid().to_string();
    let limit = |soft: usize| {
        run(Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={soft}:")])).ok();
    };
    // With none to spare the client is not even heard, and waits.
    limit(3);
    let mut client = Background::start(&mut daemon.vswitch(&["run", "--", "true"]));
    eventually("the daemon to be out of descriptors", || daemon.log().contains("open files").then_some(()));
    assert!(client.is_running());
    limit(1024);
    let (status, said) = client.end();
    assert_eq!(status, 0, "{said}");
    // With some it gets further or less far.
    for more in 1..8 {
        limit(leak::descriptors(daemon.pid()) + more);
        let client = Background::start(&mut daemon.vswitch(&["run", "--name", "u2", "--", "true"]));
        let (status, said) = client.end();
        assert!([0, 125].contains(&status), "{status}: {said}");
        limit(1024);
    }
    daemon.ok(&["run", "--name", "u3", "--", "ping", "-c", "1", "-W", "10", "172.17.0.2"]);
    assert_eq!(daemon.names(true), ["u1"]);
    assert_eq!(daemon.sleeper("next").ip, "172.17.0.3");
}
