//! `run` needs no daemon started before it.

use std::io::Read;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use rustix::fs::{FlockOperation, flock};
use tests::{Background, Daemon, bins, eventually, is_root, leak, run};

/// `vswitch` with a home of its own, so that all the defaults are the test's.
///
/// Root's defaults are fixed places: they are covered, for this command and what it starts.
fn at_home(place: &Daemon, arguments: &[&str]) -> Command {
    let home = place.dir().join("home");
    std::fs::create_dir_all(home.join("run")).unwrap();
    std::fs::create_dir_all(home.join("lib")).unwrap();
    let program = bins::path("vswitch");
    let mut command = if is_root() {
        let mut command = Command::new("unshare");
        let script = "mount --bind \"$0/run\" /run && mkdir -p /var/lib && mount --bind \"$0/lib\" /var/lib && exec \"$@\"";
        command.args(["--mount", "--", "sh", "-c", script]).arg(&home).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.args(arguments).env(leak::MARK, place.mark());
    command.env("HOME", &home).env("XDG_RUNTIME_DIR", home.join("run"));
    command.env_remove("VSWITCH_HOST").env_remove("XDG_DATA_HOME").env_remove("VSWITCH_DATA_DIR");
    command
}

/// The daemons this test's commands have started.
fn daemons(place: &Daemon) -> Vec<i32> {
    let all = place.leftovers();
    all.iter().filter(|p| p.command.contains(" daemon ")).map(|p| p.pid).collect()
}

fn end_daemons(place: &Daemon) {
    for pid in daemons(place) {
        tests::signal(pid, nix::sys::signal::Signal::SIGTERM);
    }
    place.until_nothing_is_left();
}

#[test]
fn run_starts_a_daemon_where_none_listens_and_the_next_run_uses_it() {
    let place = Daemon::not_started();
    assert_eq!(run(&mut at_home(&place, &["run", "--", "echo", "hello"])).ok(), "hello\n");
    let first = daemons(&place);
    assert_eq!(first.len(), 1);
    assert!(place.dir().join("home/run/vswitch.sock").exists());
    run(&mut at_home(&place, &["run", "-d", "--name", "u1", "--", "sleep", "infinity"])).ok();
    assert_eq!(run(&mut at_home(&place, &["ps", "--format", "{{.Names}}"])).ok(), "u1\n");
    assert_eq!(daemons(&place), first);
    end_daemons(&place);
    assert!(!place.dir().join("home/run/vswitch.sock").exists());
}

#[test]
fn many_that_find_no_daemon_at_once_start_one() {
    let place = Daemon::not_started();
    let clients: Vec<Background> =
        (0..6).map(|_| Background::start(&mut at_home(&place, &["run", "--", "true"]))).collect();
    for client in clients {
        let (status, said) = client.end();
        assert_eq!(status, 0, "{said}");
    }
    assert_eq!(daemons(&place).len(), 1);
    end_daemons(&place);
}

#[test]
fn a_daemon_that_is_just_ending_is_followed_by_another() {
    let place = Daemon::not_started();
    let data = place.data_dir();
    std::fs::create_dir_all(&data).unwrap();
    let listener = UnixListener::bind(place.socket()).unwrap();
    // Who holds the data directory, to the end.
    let mut holder = Command::new("flock")
        .args(["--close", "--exclusive"])
        .arg(data.join("lock"))
        .args(["sh", "-c", "echo held; read end"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut held = [0; 4];
    holder.stdout.as_mut().unwrap().read_exact(&mut held).unwrap();
    std::fs::write(data.join("lock"), holder.id().to_string()).unwrap();

    let client = Background::start(&mut place.vswitch(&["run", "--", "echo", "hello"]));
    // It looks whether somebody listens, then it asks, and is not answered.
    drop(listener.accept().unwrap());
    drop((listener.accept().unwrap(), listener));
    let start = data.join("start.lock");
    eventually("the command to start another daemon", || {
        let file = std::fs::File::open(&start).ok()?;
        flock(&file, FlockOperation::NonBlockingLockShared).is_err().then_some(())
    });
    drop(holder.stdin.take());
    holder.wait().unwrap();
    let (status, said) = client.end();
    assert_eq!((status, said.contains("hello")), (0, true), "{said}");
    place.end_started_daemons();
}

#[test]
fn a_daemon_that_run_started_does_not_hold_its_terminal_or_output() {
    let place = Daemon::not_started();
    // `run` itself waits until the output of the command is closed by all who have it.
    assert_eq!(run(&mut at_home(&place, &["run", "--", "echo", "hello"])).ok(), "hello\n");
    let pid = daemons(&place)[0];
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<i64> =
        stat.rsplit(") ").next().unwrap().split(' ').map(|f| f.parse().unwrap_or(0)).collect();
    assert_eq!(fields[3], i64::from(pid), "it is not the leader of a session of its own");
    assert_eq!(std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap().to_str(), Some("/"));
    end_daemons(&place);
}

#[test]
fn a_daemon_that_cannot_start_is_explained_by_run() {
    let place = Daemon::not_started();
    std::fs::create_dir_all(place.dir().join("home/run")).unwrap();
    std::fs::write(place.dir().join("home/run/vswitch.sock"), "no socket").unwrap();
    let said = run(&mut at_home(&place, &["run", "--", "true"])).fails_with(125);
    assert!(said.contains("vswitch.sock"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    place.until_nothing_is_left();
}
