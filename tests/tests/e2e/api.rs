//! Clients of the daemon's socket that are no command: too many of them, slow ones, half ones.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use rustix::process::{Resource, getrlimit, setrlimit};
use tests::{Daemon, eventually, leak};

const PING: &[u8] = b"GET /_ping HTTP/1.1\r\nhost: x\r\n\r\n";

/// As many connections as this process may have, up to some thousands.
fn crowd(daemon: &Daemon) -> Vec<UnixStream> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
    let most = limit.current.unwrap_or(1 << 20).saturating_sub(200).min(5000);
    let mut all = Vec::new();
    for n in 0..most {
        let mut client = UnixStream::connect(daemon.socket()).unwrap();
        // Those that were there first are closed meanwhile, where there are too many.
        let _ = match n % 3 {
            0 => client.write(b""),
            1 => client.write(b"POST /networks/create HTTP/1.1\r\nhost: x\r\ncontent-le"),
            _ => client.write(PING),
        };
        all.push(client);
    }
    all
}

#[test]
fn thousands_of_connections_keep_nobody_out() {
    let daemon = Daemon::start();
    let (_, u2) = (daemon.sleeper("u1"), daemon.sleeper("u2"));
    daemon.ok(&["ps"]);
    let before = leak::descriptors(daemon.pid());
    let memory = leak::resident_kib(daemon.pid());
    let crowd = crowd(&daemon);
    daemon.ok(&["network", "create", "more"]);
    daemon.sleeper("u3");
    daemon.ok(&["rm", "-f", "u3"]);
    daemon.ok(&["network", "rm", "more"]);
    daemon.ping("u1", &u2.ip);
    let grown = leak::resident_kib(daemon.pid()).saturating_sub(memory);
    assert!(grown < 128 * 1024, "the daemon has grown by {grown} KiB");
    drop(crowd);
    eventually("the daemon's descriptors to be as before", || {
        (leak::descriptors(daemon.pid()) <= before).then_some(())
    });
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
}

#[test]
fn a_client_that_closes_its_half_is_answered() {
    let daemon = Daemon::start();
    let mut client = UnixStream::connect(daemon.socket()).unwrap();
    client.write_all(PING).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut said = String::new();
    client.read_to_string(&mut said).unwrap();
    assert!(said.starts_with("HTTP/1.1 200 OK\r\n") && said.ends_with("\r\n\r\nOK"), "{said}");
}

#[test]
fn a_stop_is_carried_out_though_nobody_waits_for_it() {
    let daemon = Daemon::start();
    // Deaf to the first signal: the second comes a second later, when the client has long gone.
    daemon.ok(&[
        "run",
        "-d",
        "--name",
        "u1",
        "--",
        "sh",
        "-c",
        "trap '' TERM; echo deaf; while :; do sleep 1; done",
    ]);
    eventually("the trap", || daemon.ok(&["logs", "u1"]).contains("deaf").then_some(()));
    let mut client = UnixStream::connect(daemon.socket()).unwrap();
    client.write_all(b"POST /containers/u1/stop?t=1 HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let killed = |events: &str| events.contains("container kill");
    eventually("the first signal", || {
        killed(&daemon.ok(&["events", "--since", "1h", "--until", "0s"])).then_some(())
    });
    drop(client);
    eventually("the end", || daemon.names(false).is_empty().then_some(()));
    assert_eq!(daemon.inspect("u1")["State"]["ExitCode"], 137);
}
