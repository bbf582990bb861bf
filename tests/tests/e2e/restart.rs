//! A daemon that dies, and the next one on the same data.

use std::process::Stdio;

use nix::sys::signal::Signal;
use tests::{Background, Daemon, Netns, bins, eventually, leak, signal};

use crate::support::{interfaces, ports, resolves, stations};

fn own(program: &str) -> String {
    bins::path(program).to_str().unwrap().to_owned()
}

/// How many bytes a line of `stream serve` says have come.
fn position(line: &str) -> u64 {
    line.strip_prefix("at ").and_then(|n| n.parse().ok()).unwrap_or(0)
}

#[test]
fn a_tcp_connection_outlives_a_killed_daemon() {
    let mut daemon = Daemon::start();
    let (u1, u2) = (daemon.sleeper("u1"), daemon.sleeper("u2"));
    let mut server = Background::start(&mut daemon.exec_command("u2", &[&own("stream"), "serve", "7000"]));
    server.line(|line| line == "listening");
    let mut client = daemon.exec_command("u1", &[&own("stream"), "send", &u2.ip, "7000"]);
    let mut client = Background::start_with_stdin(client.stdin(Stdio::piped()));
    client.line(|line| line == "connected");
    server.line(|line| position(line) > 0);

    for _ in 0..3 {
        daemon.kill();
        assert!(server.is_running() && client.is_running());
        daemon.start_again();
        // More than what was already under way in the two sockets.
        let before = position(&server.line(|line| position(line) > 0));
        server.line(|line| position(line) > before + (16 << 20));
    }

    assert_eq!(daemon.names(false), ["u1", "u2"]);
    for was in [&u1, &u2] {
        let is = daemon.container(&was.name);
        assert_eq!((&is.id, &is.ip, &is.mac, is.pid), (&was.id, &was.ip, &was.mac, was.pid));
    }
    drop(client.stdin());
    let (status, said) = client.end();
    assert_eq!(status, 0, "{said}");
    let (status, said) = server.end();
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("done"), "{said}");
}

#[test]
fn a_new_daemon_takes_back_containers_addresses_and_attached_namespaces() {
    let mut daemon = Daemon::start();
    let netns = Netns::new();
    let u1 = daemon.sleeper("u1");
    daemon.ok(&["attach", "--netns", netns.path().to_str().unwrap(), "--name", "ns1"]);
    daemon.kill();
    daemon.start_again();
    assert_eq!(ports(&daemon).len(), 2);
    daemon.ping("u1", "172.17.0.3");
    netns.run("ping", &["-c", "1", "-W", "10", &u1.ip]).ok();
    assert!(stations(&daemon).contains(&u1.mac));
    assert_eq!(daemon.sleeper("u2").ip, "172.17.0.4");
    let said = daemon.run(&["run", "--name", "u1", "--", "true"]).fails_with(125);
    assert!(said.contains("already in use"), "{said}");
    assert_eq!(daemon.exec("u1", &["echo", "still here"]).ok(), "still here\n");
}

#[test]
fn containers_taken_back_end_as_any_other() {
    let mut daemon = Daemon::start();
    daemon.ok(&[
        "run",
        "-d",
        "--name",
        "u1",
        "--",
        "sh",
        "-c",
        "trap 'exit 6' TERM; echo ready; while :; do sleep 0.05; done",
    ]);
    daemon.sleeper("u2");
    daemon.ok(&["run", "-d", "--rm", "--name", "u3", "--", "sleep", "infinity"]);
    eventually("the trap to be set", || (daemon.ok(&["logs", "u1"]) == "ready").then_some(()));
    daemon.kill();
    daemon.start_again();
    daemon.ok(&["stop", "u1"]);
    assert_eq!(daemon.ok(&["wait", "u1"]), "6");
    daemon.ok(&["rm", "-f", "u2"]);
    daemon.ok(&["kill", "u3"]);
    daemon.until_gone("u3");
    assert_eq!(daemon.names(true), ["u1"]);
    assert_eq!(daemon.sleeper("next").ip, "172.17.0.2");
}

#[test]
fn containers_that_end_while_no_daemon_runs_have_ended_for_the_next() {
    let mut daemon = Daemon::start();
    let script = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done";
    daemon.ok(&["run", "-d", "--name", "by-itself", "--", "sh", "-c", script]);
    eventually("the trap to be set", || (daemon.ok(&["logs", "by-itself"]) == "ready").then_some(()));
    let by_itself = daemon.container("by-itself");
    let killed = daemon.sleeper("killed");
    let shimless = daemon.sleeper("shimless");
    daemon.ok(&["run", "-d", "--rm", "--name", "removed", "--", "sleep", "infinity"]);
    let removed = daemon.container("removed");
    let stays = daemon.sleeper("stays");
    let shim = daemon.inspect("shimless")["Vswitch"]["ShimPid"].as_i64().unwrap();
    daemon.kill();

    signal(by_itself.pid, Signal::SIGTERM);
    signal(killed.pid, Signal::SIGKILL);
    signal(removed.pid, Signal::SIGKILL);
    signal(shim.try_into().unwrap(), Signal::SIGKILL);
    // Those of `stays` remain: its shim and its command.
    eventually("the others to end", || (daemon.leftovers().len() == 2).then_some(()));

    daemon.start_again();
    assert_eq!(daemon.names(false), ["stays"]);
    assert_eq!(daemon.names(true), ["by-itself", "killed", "shimless", "stays"]);
    assert_eq!(daemon.inspect("by-itself")["State"]["ExitCode"], 5);
    assert_eq!(daemon.inspect("killed")["State"]["ExitCode"], 137);
    assert_eq!(ports(&daemon), ["stays:eth0"]);
    for ip in ["172.17.0.2", "172.17.0.3", "172.17.0.4", "172.17.0.5"] {
        let name = format!("next-{}", &ip[9..]);
        assert_eq!(daemon.sleeper(&name).ip, ip);
    }
    let _ = shimless;
    daemon.ping("stays", "172.17.0.2");
    assert_eq!(daemon.container("stays").ip, stays.ip);
    daemon.ok(&["rm", "by-itself", "killed", "shimless"]);
}

#[test]
fn a_foreground_container_goes_on_without_a_daemon() {
    let mut daemon = Daemon::start();
    let script = "echo ready; read line; echo $line; exit 4";
    let mut command = daemon.vswitch(&["run", "--name", "u1", "--", "sh", "-c", script]);
    let mut command = Background::start_with_stdin(command.stdin(Stdio::piped()));
    let mut stdin = command.stdin().unwrap();
    command.line(|line| line == "ready");
    eventually("the container to be in the books", || (daemon.names(false) == ["u1"]).then_some(()));
    daemon.kill();
    assert!(command.is_running());
    daemon.start_again();
    std::io::Write::write_all(&mut stdin, b"hello\n").unwrap();
    let (status, said) = command.end();
    assert_eq!(status, 4, "{said}");
    assert!(said.contains("hello"), "{said}");
    daemon.until_gone("u1");
}

#[test]
fn a_foreground_command_ends_with_its_own_status_though_no_daemon_runs() {
    let mut daemon = Daemon::start();
    let script = "echo ready; read line; exit 4";
    let mut command = daemon.vswitch(&["run", "--name", "u1", "--", "sh", "-c", script]);
    let mut command = Background::start_with_stdin(command.stdin(Stdio::piped()));
    let mut stdin = command.stdin().unwrap();
    command.line(|line| line == "ready");
    eventually("the container to be in the books", || (daemon.names(false) == ["u1"]).then_some(()));
    daemon.kill();
    std::io::Write::write_all(&mut stdin, b"go on\n").unwrap();
    assert_eq!(command.end().0, 4);
    daemon.until_nothing_is_left();
    daemon.start_again();
    assert!(daemon.names(true).is_empty());
    assert_eq!(daemon.sleeper("next").ip, "172.17.0.2");
}

#[test]
fn a_daemon_killed_again_and_again_while_containers_come_and_go_keeps_its_books() {
    let mut daemon = Daemon::start();
    let stays = daemon.sleeper("stays");
    for round in 0..10u64 {
        let mut clients: Vec<Background> = (0..4)
            .map(|n| {
                daemon.background(&[
                    "run",
                    "-d",
                    "--name",
                    &format!("r{round}-{n}"),
                    "--",
                    "sleep",
                    "infinity",
                ])
            })
            .collect();
        std::thread::sleep(std::time::Duration::from_millis(round * 7));
        daemon.kill();
        for client in clients.drain(..) {
            let (status, said) = client.end();
            assert!([0, 125].contains(&status), "{status}: {said}");
        }
        // Clients that came too late have found no daemon, and started one.
        daemon.end_started_daemons();
        daemon.start_again();
        for name in daemon.names(true) {
            if name != "stays" {
                daemon.ok(&["rm", "-f", &name]);
            }
        }
    }
    assert_eq!(daemon.names(true), ["stays"]);
    eventually("all but one container to be gone", || (daemon.leftovers().len() == 2).then_some(()));
    let dirs = std::fs::read_dir(daemon.data_dir().join("containers")).unwrap().count();
    assert_eq!(dirs, 1, "{:?}", leak::paths_below(&daemon.data_dir()));
    assert_eq!(daemon.sleeper("next").ip, "172.17.0.3");
    daemon.ping("next", &stays.ip);
}

#[test]
fn a_daemon_told_to_leave_containers_running_does() {
    let mut daemon = Daemon::start_with(&["--live-restore"]);
    let u1 = daemon.sleeper("u1");
    daemon.terminate();
    assert_eq!(daemon.leftovers().len(), 2, "{:?}", daemon.leftovers());
    daemon.start_again();
    assert_eq!(daemon.container("u1").pid, u1.pid);
    daemon.ok(&["rm", "-f", "u1"]);
}

#[test]
fn containers_on_several_networks_come_back_whole() {
    let mut daemon = Daemon::start_on_own_host("");
    for name in ["net1", "net2"] {
        daemon.ok(&["network", "create", name]);
    }
    daemon.ok(&[
        "network",
        "create",
        "--internal",
        "-o",
        "com.docker.network.bridge.enable_icc=false",
        "apart",
    ]);
    daemon.sleeper_with("web", &["--network", "net1", "--network", "net2:alias=www", "--expose", "80"]);
    daemon.sleeper_with("db", &["--network", "net1", "--hostname", "database", "--label", "tier=back"]);
    daemon.sleeper("old");
    daemon.sleeper_with("joined", &["--network", "container:web"]);
    daemon.sleeper_with("alone", &["--network", "none"]);
    daemon.sleeper_with("far1", &["--network", "apart"]);
    daemon.sleeper_with("far2", &["--network", "apart"]);
    daemon.ok(&["network", "connect", "net2", "db"]);
    daemon.ok(&["network", "connect", "--alias", "legacy", "net1", "old"]);
    daemon.ok(&["network", "disconnect", "net1", "db"]);
    daemon.ok(&["rename", "old", "renamed"]);
    let ids: Vec<String> = daemon.names(true).iter().map(|name| daemon.container_id(name)).collect();
    let all = |daemon: &Daemon| {
        let seen = |path: &str| daemon.api("GET", path, &serde_json::Value::Null).ok();
        let networks = ["bridge", "none", "net1", "net2", "apart"].map(|n| seen(&format!("/networks/{n}")));
        let containers = ids.iter().map(|id| {
            let mut seen = seen(&format!("/containers/{id}/json"));
            // What was counted began anew.
            seen["Vswitch"]["Ports"]
                .as_array_mut()
                .unwrap()
                .iter_mut()
                .for_each(|port| *port = port["Name"].take());
            seen
        });
        (networks, containers.collect::<Vec<_>>())
    };
    let before = all(&daemon);

    for _ in 0..2 {
        daemon.kill();
        daemon.start_again();
        assert_eq!(all(&daemon), before);
        daemon.ping("web", "db.net2");
        daemon.ping("joined", "db");
        daemon.ping("db", "www");
        daemon.ping("web", "legacy");
        daemon.ping("renamed", "web");
        assert!(!resolves(&daemon, "db", "renamed"));
        let far = daemon.ip("far2", "apart");
        assert_ne!(daemon.exec("far1", &["ping", "-c", "1", "-W", "1", &far]).status, 0);
        let route = daemon.exec("db", &["ip", "route", "show", "default"]).ok();
        assert_eq!(route.trim(), "default via 172.19.0.1 dev eth1");
    }
    daemon.ok(&["network", "connect", "net1", "db"]);
    daemon.ping("db", "legacy");
    daemon.ok(&["network", "disconnect", "net2", "web"]);
    assert_eq!(interfaces(&daemon, "joined"), ["eth0", "lo"]);
    daemon.sleeper_with("next", &["--network", "net1"]);
    daemon.ping("next", "renamed");
    daemon.ok(&["rm", "-f", "web", "joined", "db", "renamed", "alone", "far1", "far2", "next"]);
    daemon.ok(&["network", "rm", "net1", "net2", "apart"]);
    daemon.until_nothing_is_left();
}

#[test]
fn networks_outlive_the_daemon_and_those_removed_do_not_come_back() {
    let mut daemon = Daemon::start_on_own_host("");
    daemon.ok(&[
        "network",
        "create",
        "--ipv6",
        "--subnet",
        "10.1.0.0/16",
        "--subnet",
        "fd00:1::/64",
        "--label",
        "a=b",
        "stays",
    ]);
    daemon.ok(&["network", "create", "goes"]);
    daemon.ok(&["network", "rm", "goes"]);
    let before = daemon.network("stays");
    let predefined = ["bridge", "host", "none"].map(|name| daemon.network(name));
    daemon.kill();
    daemon.start_again();
    assert_eq!(daemon.network("stays"), before);
    assert_eq!(["bridge", "host", "none"].map(|name| daemon.network(name)), predefined);
    daemon.run(&["network", "inspect", "goes"]).fails_with(1);
    daemon.sleeper_with("u1", &["--network", "stays"]);
    assert_eq!(daemon.ip("u1", "stays"), "10.1.0.2");
}

#[test]
fn an_attached_namespace_that_is_deleted_while_no_daemon_runs_is_gone_for_the_next() {
    let mut daemon = Daemon::start();
    let mut netns = Netns::new();
    daemon.ok(&["network", "create", "net1"]);
    daemon.ok(&["attach", "--netns", netns.path().to_str().unwrap(), "--name", "ns1", "--network", "net1"]);
    daemon.ok(&["network", "connect", "bridge", "ns1"]);
    daemon.kill();
    netns.delete();
    daemon.start_again();
    daemon.until_gone("ns1");
    daemon.until_nothing_is_left();
    daemon.ok(&["network", "rm", "net1"]);
    assert_eq!(daemon.sleeper("u1").ip, "172.17.0.2");
}
