//! `exec`: a command in a running container.

use std::fs;

use tests::{Daemon, bins, run, run_with_input};

#[test]
fn exec_enters_every_namespace_of_the_container() {
    let daemon = Daemon::start();
    let u1 = daemon.sleeper("u1");
    for kind in ["net", "mnt", "uts", "user", "ipc"] {
        let of_container = fs::read_link(format!("/proc/{}/ns/{kind}", u1.pid)).unwrap();
        let inside = daemon.exec("u1", &["readlink", &format!("/proc/self/ns/{kind}")]).ok();
        assert_eq!(inside.trim(), of_container.to_str().unwrap());
    }
    for kind in ["net", "mnt", "uts"] {
        let own = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        let of_container = fs::read_link(format!("/proc/{}/ns/{kind}", u1.pid)).unwrap();
        assert_ne!(own, of_container, "{kind}");
    }
}

#[test]
fn whoever_runs_a_container_is_root_in_it() {
    let daemon = Daemon::start();
    daemon.sleeper("u1");
    assert_eq!(daemon.exec("u1", &["id", "-u"]).ok().trim(), "0");
    assert_eq!(daemon.ok(&["run", "--", "id", "-u"]), "0");
}

#[test]
fn exec_ends_with_the_commands_exit_status() {
    let daemon = Daemon::start();
    daemon.sleeper("u1");
    assert_eq!(daemon.exec("u1", &["sh", "-c", "exit 42"]).status, 42);
    assert!(daemon.exec("u1", &["no-such-command"]).fails_with(127).contains("no-such-command"));
    assert!(daemon.exec("u1", &["/etc/passwd"]).fails_with(126).contains("permission denied"));
    // exec becomes the command: whoever waits for it sees its very end.
    assert_eq!(daemon.exec("u1", &["sh", "-c", "kill -TERM $$"]).status, -15);
}

#[test]
fn exec_passes_input_and_output_through() {
    let daemon = Daemon::start();
    daemon.sleeper("u1");
    let said = run_with_input(&mut daemon.exec_command("u1", &["tr", "a-z", "A-Z"]), b"to upper");
    assert_eq!(said.ok(), "TO UPPER");
    let said = daemon.exec("u1", &["sh", "-c", "echo out; echo err >&2"]);
    assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("out\n", "err\n"));
}

#[test]
fn exec_into_what_has_ended_is_refused() {
    let daemon = Daemon::start();
    daemon.ok(&["run", "-d", "--name", "ended", "--", "true"]);
    daemon.ok(&["wait", "ended"]);
    let said = daemon.exec("ended", &["true"]).fails_with(1);
    assert!(said.contains("is not running"), "{said}");
}

#[test]
fn a_command_started_by_exec_ends_with_the_container() {
    let daemon = Daemon::start();
    daemon.sleeper("u1");
    let mut inside = daemon.background(&["exec", "u1", "--", "sh", "-c", "echo ready; exec sleep 1000"]);
    inside.line(|line| line == "ready");
    daemon.ok(&["rm", "-f", "u1"]);
    assert_eq!(inside.end().0, -9);
}

#[test]
fn mounts_of_a_container_are_its_own() {
    let daemon = Daemon::start();
    daemon.sleeper("u1");
    let dir = daemon.dir().join("mnt");
    fs::create_dir(&dir).unwrap();
    let script = format!("mount -t tmpfs none {0} && touch {0}/inside && ls {0}", dir.display());
    assert_eq!(daemon.exec("u1", &["sh", "-c", &script]).ok(), "inside\n");
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
    assert!(tests::leak::mounts_below(daemon.dir()).is_empty());
}

#[test]
fn the_host_is_named_by_flag_or_by_environment() {
    let daemon = Daemon::start();
    daemon.sleeper("u1");
    let host = format!("unix://{}", daemon.socket().display());
    let mut command = std::process::Command::new(bins::path("vswitch"));
    assert!(run(command.args(["ps", "-q"]).env("VSWITCH_HOST", &host)).ok().len() > 10);
    let mut command = std::process::Command::new(bins::path("vswitch"));
    command.args(["-H", &host, "ps", "-q"]).env("VSWITCH_HOST", "unix:///nowhere");
    assert!(run(&mut command).ok().len() > 10);
    let mut command = std::process::Command::new(bins::path("vswitch"));
    let said = run(command.args(["-H", "tcp://127.0.0.1:1", "ps"])).fails_with(1);
    assert!(said.contains("unix://"), "{said}");
}
