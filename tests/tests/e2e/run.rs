//! `run` in the foreground: as if the command had been started without it.

use std::process::Command;

use nix::sys::signal::Signal;
use tests::{Background, Daemon, run};

#[test]
fn run_ends_with_the_commands_exit_status() {
    let daemon = Daemon::start();
    for status in [0, 1, 7, 125, 255] {
        let said = daemon.run(&["run", "--", "sh", "-c", &format!("exit {status}")]);
        assert_eq!(said.status, status, "{said:?}");
    }
}

#[test]
fn run_ends_with_128_and_the_number_of_the_signal_that_ended_the_command() {
    let daemon = Daemon::start();
    for signal in [Signal::SIGTERM, Signal::SIGKILL, Signal::SIGHUP, Signal::SIGSEGV] {
        let said = daemon.run(&["run", "--", "sh", "-c", &format!("kill -{} $$", signal as i32)]);
        assert_eq!(said.status, 128 + signal as i32, "{said:?}");
    }
}

#[test]
fn a_command_that_is_not_there_is_127_and_one_that_cannot_run_126() {
    let daemon = Daemon::start();
    let said = daemon.run(&["run", "--", "no-such-command"]).fails_with(127);
    assert!(said.contains("no-such-command") && said.contains("not found"), "{said}");
    let said = daemon.run(&["run", "--", "/no/such/command"]).fails_with(127);
    assert!(said.contains("no such file or directory"), "{said}");
    for there in ["/etc/passwd", "/etc"] {
        let said = daemon.run(&["run", "--", there]).fails_with(126);
        assert!(said.contains(there) && said.contains("permission denied"), "{said}");
    }
    let said = daemon.run(&["run", "-d", "--name", "gone", "--", "no-such-command"]).fails_with(127);
    assert!(said.contains("not found"), "{said}");
    assert!(!daemon.names(false).contains(&"gone".to_owned()));
    assert_eq!(daemon.sleeper("next").ip, "172.17.0.2");
}

#[test]
fn a_command_line_that_makes_no_sense_is_2() {
    let daemon = Daemon::start();
    let all: [&[&str]; 9] = [
        &[],
        &["run"],
        &["run", "--no-such-flag", "--", "true"],
        &["nonsense"],
        &["attach", "--name", "x1"],
        &["attach", "--pid", "1", "--netns", "/x", "--name", "x1"],
        &["exec", "x1"],
        &["bridge", "hairpin", "x1", "perhaps"],
        &["bridge", "setageing", "bridge", "soon"],
    ];
    for arguments in all {
        let said = daemon.run(arguments);
        let expected = if arguments.first() == Some(&"run") { [2, 125] } else { [2, 2] };
        assert!(expected.contains(&said.status), "{arguments:?}: {said:?}");
        assert!(!said.stderr.is_empty(), "{arguments:?}: {said:?}");
    }
}

#[test]
fn input_and_output_pass_through_to_the_byte() {
    let daemon = Daemon::start();
    let mut random = tests::random::Random::new(1);
    let input: String = (0..200_000).map(|_| char::from(b' ' + random.below(90) as u8)).collect();
    let said = daemon.run_with_input(&["run", "--", "cat"], input.as_bytes());
    assert_eq!(said.status, 0, "{}", said.stderr);
    assert!(said.stdout == input, "{} bytes came back of {}", said.stdout.len(), input.len());
    assert_eq!(said.stderr, "");

    let said = daemon.run(&["run", "--", "sh", "-c", "echo out; echo err >&2"]);
    assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("out\n", "err\n"));
}

#[test]
fn arguments_pass_through_as_they_are() {
    let daemon = Daemon::start();
    let said = daemon.run(&["run", "--", "printf", "<%s>", "a b", "", "-x", "--", "$HOME", "ü"]).ok();
    assert_eq!(said, "<a b><><-x><--><$HOME><ü>");
    assert_eq!(daemon.ok(&["run", "echo", "-n", "no dashes"]), "no dashes");
}

#[test]
fn the_environment_and_the_working_directory_are_the_callers() {
    let daemon = Daemon::start();
    let mut command = daemon.vswitch(&["run", "--", "sh", "-c", "echo $GREETING; pwd"]);
    command.env("GREETING", "hello").current_dir("/usr");
    assert_eq!(run(&mut command).ok(), "hello\n/usr\n");
}

#[test]
fn a_container_in_the_foreground_is_removed_when_its_command_ends() {
    let daemon = Daemon::start();
    daemon.ok(&["run", "--name", "brief", "--", "true"]);
    assert!(daemon.names(true).is_empty());
    daemon.run(&["run", "--name", "brief", "--", "false"]).fails_with(1);
    assert!(daemon.names(true).is_empty());
    assert!(tests::leak::paths_below(&daemon.data_dir().join("containers")).is_empty());
}

#[test]
fn signals_sent_to_run_reach_the_command() {
    let daemon = Daemon::start();
    let script = "trap 'echo got it; exit 9' TERM; echo ready; while :; do sleep 0.05; done";
    let mut command = daemon.background(&["run", "--name", "trap", "--", "sh", "-c", script]);
    command.line(|line| line == "ready");
    command.signal(Signal::SIGTERM);
    let (status, said) = command.end();
    assert_eq!(status, 9, "{said}");
    assert!(said.contains("got it"), "{said}");
    assert!(daemon.names(true).is_empty());
}

#[test]
fn ctrl_c_ends_the_command_and_its_container() {
    let daemon = Daemon::start();
    let mut command =
        daemon.background(&["run", "--name", "c1", "--", "sh", "-c", "echo ready; exec sleep 1000"]);
    command.line(|line| line == "ready");
    let (status, said) = command.interrupt();
    assert_eq!(status, 130, "{said}");
    assert!(daemon.names(true).is_empty());
}

#[test]
fn the_terminal_passes_through() {
    let daemon = Daemon::start();
    // script(1) makes a terminal and runs a command line of the shell in it.
    let vswitch = format!(
        "exec {} --host unix://{} run -- sh -c 'test -t 0 && test -t 1 && stty size && echo a terminal'",
        tests::bins::path("vswitch").display(),
        daemon.socket().display()
    );
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &vswitch, "/dev/null"]);
    command.env(tests::leak::MARK, daemon.mark());
    let said = run(&mut command).ok();
    assert!(said.contains("a terminal"), "{said}");
}

#[test]
fn an_interrupt_typed_at_the_terminal_reaches_the_command_once() {
    let daemon = Daemon::start();
    let script = "trap 'n=$((n+1))' INT; echo ready; while [ -z \"$n\" ]; do sleep 0.05; done; sleep 0.5; echo seen $n; exit 3";
    let vswitch = format!(
        "exec {} --host unix://{} run -- sh -c '{}'",
        tests::bins::path("vswitch").display(),
        daemon.socket().display(),
        script.replace('\'', "'\\''")
    );
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &vswitch, "/dev/null"]);
    command.env(tests::leak::MARK, daemon.mark()).stdin(std::process::Stdio::piped());
    let mut command = Background::start_with_stdin(&mut command);
    let mut keyboard = command.stdin().unwrap();
    command.line(|line| line.contains("ready"));
    std::io::Write::write_all(&mut keyboard, b"\x03").unwrap();
    command.line(|line| line.contains("seen 1"));
    drop(keyboard);
    let (status, said) = command.end();
    assert_eq!(status, 3, "{said}");
}

#[test]
fn what_the_command_leaves_running_ends_with_it() {
    let daemon = Daemon::start();
    daemon.ok(&["run", "--name", "parent", "--", "sh", "-c", "sleep 1000 >/dev/null 2>&1 & exit 0"]);
    daemon.until_nothing_is_left();
}

#[test]
fn no_descriptor_of_the_switch_reaches_the_command() {
    let daemon = Daemon::start();
    // Descriptors that the test itself was started with go on to everything it starts.
    let count = |said: &str| said.lines().filter(|line| line.contains("->")).count();
    let usual = count(&run(Command::new("ls").args(["-l", "/proc/self/fd"])).ok());
    let said = daemon.ok(&["run", "--", "ls", "-l", "/proc/self/fd"]);
    assert_eq!(count(&said), usual, "{said}");
    let u1 = daemon.sleeper("u1");
    assert_eq!(tests::leak::descriptors(u1.pid), usual - 1);
    let said = daemon.exec("u1", &["ls", "-l", "/proc/self/fd"]).ok();
    assert_eq!(count(&said), usual, "{said}");
}
