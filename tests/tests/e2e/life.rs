//! The life of a detached container.

use tests::{Daemon, eventually, leak};

#[test]
fn a_detached_container_goes_on_and_its_output_is_kept() {
    let daemon = Daemon::start();
    let id =
        daemon.ok(&["run", "-d", "--name", "talker", "--", "sh", "-c", "echo out; echo err >&2; exit 3"]);
    assert_eq!(id.len(), 64);
    assert!(id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    assert_eq!(daemon.ok(&["wait", "talker"]), "3");
    let mut lines: Vec<String> = daemon.ok(&["logs", "talker"]).lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["err", "out"]);
    let seen = daemon.inspect("talker");
    assert_eq!(seen["State"]["Status"], "exited");
    assert_eq!(seen["State"]["ExitCode"], 3);
    assert_eq!(daemon.ok(&["rm", "talker"]), "talker");
    assert!(daemon.names(true).is_empty());
}

#[test]
fn wait_waits_until_the_command_ends() {
    let daemon = Daemon::start();
    daemon.ok(&["run", "-d", "--name", "gate", "--", "sh", "-c", "sleep 1000; exit 4"]);
    let mut waiting = daemon.background(&["wait", "gate"]);
    daemon.ok(&["exec", "gate", "--", "true"]);
    assert!(waiting.is_running());
    daemon.ok(&["kill", "gate"]);
    let (status, said) = waiting.end();
    assert_eq!((status, said.trim()), (0, "137"));
    assert_eq!(daemon.ok(&["wait", "gate"]), "137");
}

#[test]
fn a_log_grows_while_the_container_runs() {
    let daemon = Daemon::start();
    daemon.ok(&["run", "-d", "--name", "talker", "--", "sh", "-c", "echo first; sleep 1000"]);
    eventually("the first line", || (daemon.ok(&["logs", "talker"]) == "first").then_some(()));
}

#[test]
fn stop_asks_first_and_then_kills() {
    let daemon = Daemon::start();
    daemon.ok(&[
        "run",
        "-d",
        "--name",
        "polite",
        "--",
        "sh",
        "-c",
        "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done",
    ]);
    let stubborn = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
    daemon.ok(&["run", "-d", "--name", "stubborn", "--", "sh", "-c", stubborn]);
    for name in ["polite", "stubborn"] {
        eventually("the trap to be set", || (daemon.ok(&["logs", name]) == "ready").then_some(()));
    }
    assert_eq!(daemon.ok(&["stop", "polite"]), "polite");
    assert_eq!(daemon.ok(&["wait", "polite"]), "5");
    assert_eq!(daemon.ok(&["stop", "-t", "1", "stubborn"]), "stubborn");
    assert_eq!(daemon.ok(&["wait", "stubborn"]), "137");
    assert!(daemon.names(false).is_empty());
    assert_eq!(daemon.names(true), ["polite", "stubborn"]);
    daemon.ok(&["stop", "polite"]);
}

#[test]
fn kill_sends_the_signal_that_was_named() {
    let daemon = Daemon::start();
    daemon.ok(&[
        "run",
        "-d",
        "--name",
        "c1",
        "--",
        "sh",
        "-c",
        "trap 'echo usr1' USR1; echo ready; while :; do sleep 0.05; done",
    ]);
    eventually("the trap to be set", || (daemon.ok(&["logs", "c1"]) == "ready").then_some(()));
    for signal in ["USR1", "SIGUSR1", "10"] {
        daemon.ok(&["kill", "--signal", signal, "c1"]);
    }
    eventually("the signal's trace", || daemon.ok(&["logs", "c1"]).contains("usr1").then_some(()));
    let said = daemon.run(&["kill", "-s", "NONSENSE", "c1"]).fails_with(1);
    assert!(said.contains("Invalid signal: NONSENSE"), "{said}");
    daemon.ok(&["kill", "-s", "TERM", "c1"]);
    assert_eq!(daemon.ok(&["wait", "c1"]), "143");
    let said = daemon.run(&["kill", "c1"]).fails_with(1);
    assert!(said.contains("is not running"), "{said}");
}

#[test]
fn a_running_container_is_removed_only_by_force() {
    let daemon = Daemon::start();
    let u1 = daemon.sleeper("u1");
    let said = daemon.run(&["rm", "u1"]).fails_with(1);
    let sentence = format!(
        "You cannot remove a running container {}. Stop the container before attempting removal or force remove",
        u1.id
    );
    assert!(said.contains(&sentence), "{said}");
    daemon.ping("u1", &u1.ip);
    assert_eq!(daemon.ok(&["rm", "-f", "u1"]), "u1");
    assert!(daemon.names(true).is_empty());
    daemon.until_nothing_is_left();
    assert!(leak::paths_below(&daemon.data_dir().join("containers")).is_empty());
}

#[test]
fn a_detached_container_with_rm_goes_when_its_command_ends() {
    let daemon = Daemon::start();
    daemon.ok(&["run", "-d", "--rm", "--name", "brief", "--", "true"]);
    daemon.until_gone("brief");
    eventually("its directory to be gone", || {
        leak::paths_below(&daemon.data_dir().join("containers")).is_empty().then_some(())
    });
}

#[test]
fn a_detached_container_holds_neither_terminal_nor_input_of_its_caller() {
    let daemon = Daemon::start();
    let c1 = daemon.sleeper("c1");
    let at = |fd: &str| std::fs::read_link(format!("/proc/{}/fd/{fd}", c1.pid)).unwrap();
    assert_eq!(at("0").to_str(), Some("/dev/null"));
    assert!(at("1").starts_with(daemon.data_dir()), "{:?}", at("1"));
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", c1.pid)).unwrap();
    let terminal = stat.rsplit(") ").next().unwrap().split(' ').nth(4).unwrap().to_owned();
    assert_eq!(terminal, "0", "it has a controlling terminal");
}

#[test]
fn a_foreground_container_has_no_log() {
    let daemon = Daemon::start();
    let mut command = daemon.background(&["run", "--name", "c1", "--", "sh", "-c", "echo ready; sleep 1000"]);
    command.line(|line| line == "ready");
    let said = daemon.run(&["logs", "c1"]).fails_with(1);
    assert!(said.contains("no log"), "{said}");
    daemon.ok(&["rm", "-f", "c1"]);
    assert_eq!(command.end().0, 137);
}
