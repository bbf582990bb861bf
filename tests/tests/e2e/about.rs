//! `version`, `info`, `completion`, `--help`.

use serde_json::Value;
use tests::Daemon;

#[test]
fn version_tells_that_of_the_command_and_that_of_the_daemon() {
    let daemon = Daemon::start();
    let version = env!("CARGO_PKG_VERSION");
    let said = daemon.ok(&["version"]);
    assert_eq!(said.matches(version).count(), 2, "{said}");
    assert!(said.contains("Client:") && said.contains("Server:"), "{said}");
    assert_eq!(
        daemon.ok(&["version", "--format", "{{.Client.Version}} {{.Server.ApiVersion}}"]),
        format!("{version} 1.41")
    );
    assert_eq!(daemon.ok(&["--version"]), format!("vswitch {version}"));
    let alone = Daemon::not_started();
    let said = alone.ok(&["version"]);
    assert!(said.contains("Client:") && said.contains(version), "{said}");
}

#[test]
fn info_counts_containers_and_tells_where_things_are() {
    let daemon = Daemon::start();
    daemon.sleeper("u1");
    daemon.ok(&["run", "-d", "--name", "u2", "--", "true"]);
    daemon.ok(&["wait", "u2"]);
    let said = daemon.ok(&["info"]);
    assert!(said.contains("Containers: 2") && said.contains("Running: 1"), "{said}");
    assert!(said.contains(daemon.data_dir().to_str().unwrap()), "{said}");
    assert!(said.contains(daemon.socket().to_str().unwrap()), "{said}");
    let all: Value = serde_json::from_str(&daemon.ok(&["info", "--format", "json"])).unwrap();
    assert_eq!(all["ContainersRunning"], 1);
    assert_eq!(all["Vswitch"]["Pid"], daemon.pid());
}

#[test]
fn every_shell_has_its_completion() {
    let daemon = Daemon::not_started();
    for shell in ["bash", "zsh", "fish"] {
        let script = daemon.ok(&["completion", shell]);
        assert!(script.contains("vswitch") && script.contains("capture"), "{shell}: {script}");
        assert!(!script.contains("inner-"), "{shell}");
    }
    assert_eq!(daemon.run(&["completion", "tcsh-like"]).status, 2);
    let script = daemon.dir().join("completion.bash");
    std::fs::write(&script, daemon.ok(&["completion", "bash"])).unwrap();
    tests::run(std::process::Command::new("bash").arg("-n").arg(&script)).ok();
}

#[test]
fn help_is_there_for_every_command_and_names_no_inner_one() {
    let daemon = Daemon::not_started();
    let help = daemon.ok(&["--help"]);
    for command in [
        "daemon",
        "run",
        "attach",
        "detach",
        "exec",
        "stop",
        "kill",
        "rm",
        "wait",
        "logs",
        "ps",
        "inspect",
        "bridge",
        "capture",
        "stats",
        "info",
        "version",
        "completion",
        "demo",
    ] {
        assert!(help.lines().any(|line| line.trim_start().starts_with(command)), "{command}: {help}");
        assert!(!daemon.ok(&[command, "--help"]).is_empty());
    }
    assert!(!help.contains("inner"), "{help}");
}

#[test]
fn the_inner_commands_do_nothing_for_those_who_type_them() {
    let daemon = Daemon::not_started();
    for inner in ["inner-shim", "inner-init", "inner-helper", "inner-daemon"] {
        for fd in ["0", "3", "99", "x"] {
            let said = daemon.run_inner(&[inner, fd]);
            assert_ne!(said.status, 0, "{inner} {fd}: {said:?}");
            assert!(!said.stderr.contains("panicked"), "{inner} {fd}: {said:?}");
        }
    }
}
