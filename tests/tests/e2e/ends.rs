//! How containers end that nobody asked to end.

use nix::sys::signal::Signal;
use tests::{Container, Daemon, eventually, leak, signal};

use crate::support::{ports, until_port};

fn kill_now(pid: i32) {
    signal(pid, Signal::SIGKILL);
}

fn shim_of(daemon: &Daemon, container: &Container) -> i32 {
    daemon.inspect(&container.name)["Vswitch"]["ShimPid"].as_i64().unwrap().try_into().unwrap()
}

#[track_caller]
fn the_place_is_free(daemon: &Daemon, ended: &Container) {
    until_port(daemon, &format!("{}:eth0", ended.name), false);
    assert!(leak::processes_in_netns(leak::netns_inode(ended.pid).unwrap_or(u64::MAX)).is_empty());
    let next = daemon.sleeper_at("next", &ended.ip);
    daemon.ping("u1", &next.ip);
}

#[test]
fn a_container_killed_from_outside_has_ended_with_137() {
    let daemon = Daemon::start();
    let (_, u2) = (daemon.sleeper("u1"), daemon.sleeper("u2"));
    kill_now(u2.pid);
    assert_eq!(daemon.ok(&["wait", "u2"]), "137");
    assert_eq!(daemon.names(false), ["u1"]);
    the_place_is_free(&daemon, &u2);
}

#[test]
fn everything_in_a_container_ends_when_its_command_is_killed() {
    let daemon = Daemon::start();
    daemon.sleeper("u1");
    daemon.ok(&[
        "run",
        "-d",
        "--name",
        "u2",
        "--",
        "sh",
        "-c",
        "setsid sleep 1000 & sleep 1001 & echo ready; exec sleep 1002",
    ]);
    let u2 = daemon.container("u2");
    eventually("the children", || (daemon.ok(&["logs", "u2"]) == "ready").then_some(()));
    let inode = leak::netns_inode(u2.pid).unwrap();
    assert!(leak::processes_in_netns(inode).len() >= 3);
    kill_now(u2.pid);
    daemon.until_not_running("u2");
    eventually("the children to end", || leak::processes_in_netns(inode).is_empty().then_some(()));
    the_place_is_free(&daemon, &u2);
}

#[test]
fn a_container_whose_shim_is_killed_ends_and_leaves_nothing() {
    let daemon = Daemon::start();
    let (_, u2) = (daemon.sleeper("u1"), daemon.sleeper("u2"));
    let inode = leak::netns_inode(u2.pid).unwrap();
    kill_now(shim_of(&daemon, &u2));
    daemon.until_not_running("u2");
    eventually("the command to end", || leak::processes_in_netns(inode).is_empty().then_some(()));
    assert_eq!(daemon.inspect("u2")["State"]["Status"], "exited");
    the_place_is_free(&daemon, &u2);
    daemon.ok(&["rm", "u2"]);
}

#[test]
fn what_a_command_left_running_ends_when_the_shim_is_killed() {
    let daemon = Daemon::start();
    daemon.sleeper("u1");
    daemon.ok(&["run", "-d", "--name", "u2", "--", "sh", "-c", "sleep 1000 & echo ready; exec sleep 1001"]);
    let u2 = daemon.container("u2");
    eventually("the child", || (daemon.ok(&["logs", "u2"]) == "ready").then_some(()));
    let inode = leak::netns_inode(u2.pid).unwrap();
    kill_now(shim_of(&daemon, &u2));
    daemon.until_not_running("u2");
    eventually("the child to end", || leak::processes_in_netns(inode).is_empty().then_some(()));
}

#[test]
fn a_foreground_container_whose_shim_is_killed_is_gone() {
    let daemon = Daemon::start();
    daemon.sleeper("u1");
    let mut command =
        daemon.background(&["run", "--name", "u2", "--", "sh", "-c", "echo ready; exec sleep 1000"]);
    command.line(|line| line == "ready");
    let u2 = daemon.container("u2");
    kill_now(shim_of(&daemon, &u2));
    let (status, said) = command.end();
    assert_eq!(status, 137, "{said}");
    daemon.until_gone("u2");
    the_place_is_free(&daemon, &u2);
}

#[test]
fn a_foreground_container_whose_client_is_killed_can_still_be_stopped() {
    let daemon = Daemon::start();
    daemon.sleeper("u1");
    let mut command =
        daemon.background(&["run", "--name", "u2", "--", "sh", "-c", "echo ready; exec sleep 1000"]);
    command.line(|line| line == "ready");
    let u2 = daemon.container("u2");
    command.signal(Signal::SIGKILL);
    assert!(daemon.names(false).contains(&"u2".to_owned()));
    daemon.ping("u1", &u2.ip);
    daemon.ok(&["stop", "-t", "1", "u2"]);
    daemon.until_gone("u2");
    the_place_is_free(&daemon, &u2);
}

#[test]
fn a_client_killed_while_it_starts_containers_leaves_nothing_half_made() {
    let daemon = Daemon::start();
    daemon.sleeper("u1");
    // Killed at another moment each time: after so many system calls' worth of work.
    for round in 0..40u64 {
        let mut client = daemon.vswitch(&["run", "-d", "--rm", "--name", "u2", "--", "true"]);
        client.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut client = client.spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_micros(round * 1000));
        let _ = client.kill();
        let _ = client.wait();
        eventually("the name to be free again", || (daemon.names(true) == ["u1"]).then_some(()));
    }
    eventually("the ports to be gone", || (ports(&daemon) == ["u1:eth0"]).then_some(()));
    eventually("the processes to end", || (daemon.leftovers().len() == 2).then_some(()));
    daemon.sleeper_at("next", "172.17.0.3");
}
