//! How a daemon begins and ends.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};

use tests::{Background, Daemon, Output, eventually, leak, run};

/// A second daemon beside this one.
fn second(daemon: &Daemon, socket: &str, data: &str) -> Output {
    let mut command = std::process::Command::new(tests::bins::path("vswitch"));
    let at = |name: &str| daemon.dir().join(name).display().to_string();
    command.args(["-H", &format!("unix://{}", at(socket)), "daemon", "--data-dir", &at(data)]);
    command.env(leak::MARK, daemon.mark());
    run(&mut command)
}

#[test]
fn sigterm_ends_the_containers_and_removes_the_socket() {
    let mut daemon = Daemon::start();
    daemon.sleeper("u1");
    let mut foreground =
        daemon.background(&["run", "--name", "u2", "--", "sh", "-c", "echo ready; exec sleep 1000"]);
    foreground.line(|line| line == "ready");
    daemon.terminate();
    assert_eq!(foreground.end().0, 143);
    daemon.until_nothing_is_left();
    daemon.start_again();
    assert!(daemon.names(false).is_empty());
    assert_eq!(daemon.names(true), ["u1"]);
    assert_eq!(daemon.sleeper("next").ip, "172.17.0.2");
}

#[test]
fn sigint_ends_a_daemon_as_sigterm_does() {
    let daemon = Daemon::not_started();
    let process = Background::start(&mut daemon.daemon_command());
    eventually("the daemon", || UnixStream::connect(daemon.socket()).ok());
    let (status, said) = process.interrupt();
    assert_eq!(status, 0, "{said}");
    assert!(!daemon.socket().exists());
}

#[test]
fn a_socket_that_a_dead_daemon_left_is_replaced() {
    let mut daemon = Daemon::start();
    daemon.kill();
    assert!(daemon.socket().exists());
    daemon.start_again();
    daemon.ok(&["ps"]);
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let daemon = Daemon::not_started();
    fs::write(daemon.socket(), "precious").unwrap();
    let said = second(&daemon, "vswitch.sock", "data").fails_with(1);
    assert!(said.contains("vswitch.sock is there and is not a socket"), "{said}");
    assert_eq!(fs::read_to_string(daemon.socket()).unwrap(), "precious");
    fs::remove_file(daemon.socket()).unwrap();
}

#[test]
fn a_socket_on_which_another_daemon_listens_is_left_alone() {
    let daemon = Daemon::start();
    let said = second(&daemon, "vswitch.sock", "other-data").fails_with(1);
    assert!(said.contains("another daemon listens on") && said.contains("-H unix://"), "{said}");
    daemon.ok(&["ps"]);
}

#[test]
fn a_socket_on_which_another_program_listens_is_left_alone() {
    let daemon = Daemon::not_started();
    let listener = UnixListener::bind(daemon.socket()).unwrap();
    let said = second(&daemon, "vswitch.sock", "data").fails_with(1);
    assert!(said.contains("listens on"), "{said}");
    assert!(daemon.socket().exists());
    drop(listener);
    fs::remove_file(daemon.socket()).unwrap();
}

#[test]
fn a_data_directory_in_use_is_refused() {
    let daemon = Daemon::start();
    daemon.sleeper("u1");
    let said = second(&daemon, "other.sock", "data").fails_with(1);
    assert!(said.contains("another daemon uses the data directory") && said.contains("--data-dir"), "{said}");
    assert!(!daemon.dir().join("other.sock").exists());
    daemon.ping("u1", "172.17.0.2");
}

#[test]
fn a_data_directory_of_a_newer_version_is_refused_and_left_as_it_is() {
    use redb::TableDefinition;
    const META: TableDefinition<'_, &str, &str> = TableDefinition::new("meta");
    let mut daemon = Daemon::start();
    daemon.terminate();
    let file = daemon.data_dir().join("vswitch.redb");
    let write = |schema: &str| {
        let store = redb::Database::open(&file).unwrap();
        let write = store.begin_write().unwrap();
        write.open_table(META).unwrap().insert("schema", schema).unwrap();
        write.commit().unwrap();
    };
    write("1000");
    let said = second(&daemon, "vswitch.sock", "data").fails_with(1);
    assert!(said.contains("written by a newer vswitch"), "{said}");
    assert!(!daemon.socket().exists());
    write("1");
    daemon.start_again();
}

#[test]
fn a_data_directory_with_rubbish_in_it_is_refused() {
    let daemon = Daemon::not_started();
    fs::create_dir(daemon.data_dir()).unwrap();
    fs::write(daemon.data_dir().join("vswitch.redb"), "this is no database".repeat(500)).unwrap();
    let said = second(&daemon, "vswitch.sock", "data");
    assert_eq!(said.status, 1, "{said:?}");
    assert!(!said.stderr.contains("panicked"), "{said:?}");
    assert!(!daemon.socket().exists());
}

#[test]
fn paths_that_cannot_be_made_are_named() {
    let daemon = Daemon::not_started();
    fs::write(daemon.dir().join("file"), "").unwrap();
    let said = second(&daemon, "vswitch.sock", "file/data").fails_with(1);
    assert!(said.contains("file/data"), "{said}");
    let said = second(&daemon, "file/vswitch.sock", "data").fails_with(1);
    assert!(said.contains("file"), "{said}");
    let long = "x".repeat(200);
    let said = second(&daemon, &long, "data");
    assert_eq!(said.status, 1, "{said:?}");
    assert!(said.stderr.contains(&long), "{said:?}");
}

#[test]
fn the_socket_and_the_data_are_their_users_alone() {
    let daemon = Daemon::start();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&daemon.socket()), 0o600);
    assert_eq!(mode(&daemon.data_dir()), 0o700);
}

#[test]
fn where_no_daemon_listens_a_sentence_says_what_starts_one() {
    let daemon = Daemon::not_started();
    let all: [&[&str]; 5] = [&["ps"], &["inspect", "x1"], &["bridge", "show"], &["capture"], &["stop", "x1"]];
    for arguments in all {
        let said = daemon.run(arguments).fails_with(1);
        assert!(said.contains("no daemon listens on") && said.contains("vswitch daemon"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    let said = daemon.run(&["exec", "x1", "--", "true"]);
    assert!([1, 125].contains(&said.status), "{said:?}");
}

#[test]
fn a_daemon_ends_by_itself_when_told_to_not_wait_for_ever() {
    let daemon = Daemon::not_started();
    let mut command = daemon.daemon_command();
    let mut process = Background::start(command.args(["--idle-exit", "1"]));
    eventually("the daemon", || UnixStream::connect(daemon.socket()).ok());
    let mut gate = daemon.vswitch(&["run", "--name", "u1", "--", "cat"]);
    let mut gate = Background::start_with_stdin(gate.stdin(std::process::Stdio::piped()));
    eventually("the container", || (daemon.names(false) == ["u1"]).then_some(()));
    // Twice the time it would wait without a container.
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert!(process.is_running());
    drop(gate.stdin());
    assert_eq!(gate.end().0, 0);
    let (status, said) = process.end();
    assert_eq!(status, 0, "{said}");
    assert!(!daemon.socket().exists());
}

#[test]
fn an_idle_daemon_is_small_and_uses_no_processor_time() {
    let daemon = Daemon::start();
    let (_, _) = (daemon.sleeper("u1"), daemon.sleeper("u2"));
    let ticks = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).unwrap();
        let fields: Vec<u64> =
            stat.rsplit(") ").next().unwrap().split(' ').map(|f| f.parse().unwrap_or(0)).collect();
        fields[11] + fields[12]
    };
    // The namespaces' own first words, of IPv6, are over when a second passes without work.
    let mut last = ticks();
    eventually("a second without a tick of processor time", || {
        std::thread::sleep(std::time::Duration::from_secs(1));
        let now = ticks();
        (std::mem::replace(&mut last, now) == now).then_some(())
    });
    assert!(leak::resident_kib(daemon.pid()) < 64 * 1024);
}

#[test]
fn a_congestion_control_that_the_kernel_has_not_is_refused() {
    let daemon = Daemon::not_started();
    let said = run(daemon.daemon_command().args(["--tcp-congestion", "nonsense"])).fails_with(1);
    assert!(said.contains("cannot use the congestion control nonsense"), "{said}");
    assert!(!daemon.socket().exists());
}
