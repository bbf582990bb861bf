//! A thousand containers that come and go, and a thousand networks.

use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tests::{Container, Daemon, Netns, eventually, leak, signal};

use crate::support::{bridge, interfaces, ports};

const CYCLES: usize = 1000;
const WORKERS: usize = 4;

/// One container's life; `n` says how it ends.
fn cycle(daemon: &Daemon, n: usize) {
    let name = format!("c{n}");
    match n % 10 {
        0 => {
            let c = daemon.sleeper(&name);
            signal(c.pid, Signal::SIGKILL);
            assert_eq!(daemon.ok(&["wait", &name]), "137");
            daemon.ok(&["rm", &name]);
        }
        1 => {
            daemon.sleeper(&name);
            let shim = daemon.inspect(&name)["Vswitch"]["ShimPid"].as_i64().unwrap();
            signal(shim.try_into().unwrap(), Signal::SIGKILL);
            daemon.until_not_running(&name);
            daemon.ok(&["rm", &name]);
        }
        2 => {
            daemon.sleeper(&name);
            daemon.ok(&["rm", "-f", &name]);
        }
        3 => {
            daemon.run(&["run", "--name", &name, "--", "no-such-command"]).fails_with(127);
        }
        4 => {
            let mut netns = Netns::new();
            daemon.ok(&["attach", "--netns", netns.path().to_str().unwrap(), "--name", &name]);
            netns.delete();
            daemon.until_gone(&name);
        }
        _ => {
            daemon.ok(&["run", "--name", &name, "--", "true"]);
        }
    }
}

fn cycles(daemon: &Daemon, from: usize, to: usize) {
    let next = AtomicUsize::new(from);
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= to {
                        return;
                    }
                    cycle(daemon, n);
                }
            });
        }
    });
}

/// A network that is made, joined by a container or two, left and removed.
fn network_cycle(daemon: &Daemon, n: usize, member: &str) {
    let name = format!("net{n}");
    let ask = |method: &str, path: &str, body: Value| daemon.api(method, path, &body).ok();
    ask(
        "POST",
        "/networks/create",
        json!({"Name": name, "EnableIPv6": true, "IPAM": {"Config": [
            {"Subnet": format!("10.{}.{}.0/24", n / 250, n % 250)}, {"Subnet": format!("fd00:{n:x}::/64")},
        ]}}),
    );
    ask("POST", &format!("/networks/{name}/connect"), json!({"Container": member}));
    if n.is_multiple_of(20) {
        let other = format!("other{n}");
        daemon.sleeper_with(&other, &["--network", &name]);
        daemon.ping(member, &other);
        if n.is_multiple_of(40) {
            daemon.ok(&["rm", "-f", &other]);
        } else {
            ask("POST", &format!("/networks/{name}/disconnect"), json!({"Container": other}));
            daemon.ok(&["kill", &other]);
            daemon.ok(&["wait", &other]);
            daemon.ok(&["rm", &other]);
        }
    }
    ask("POST", &format!("/networks/{name}/disconnect"), json!({"Container": member}));
    ask("DELETE", &format!("/networks/{name}"), Value::Null);
}

fn network_cycles(daemon: &Daemon, from: usize, to: usize) {
    let next = AtomicUsize::new(from);
    std::thread::scope(|scope| {
        for member in ["m0", "m1", "m2", "m3"] {
            let next = &next;
            scope.spawn(move || {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= to {
                        return;
                    }
                    network_cycle(daemon, n, member);
                }
            });
        }
    });
}

/// What a daemon has of the system: descriptors, memory in KiB, threads; once all clients are gone.
fn holdings(daemon: &Daemon) -> (usize, u64, usize) {
    let pid = daemon.pid();
    let mut last = leak::descriptors(pid);
    let descriptors = eventually("the daemon's descriptors to settle", || {
        let now = leak::descriptors(pid);
        (std::mem::replace(&mut last, now) == now).then_some(now)
    });
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().count();
    (descriptors, leak::resident_kib(pid), threads)
}

#[test]
fn a_thousand_networks_leave_nothing_behind() {
    let daemon = Daemon::start_on_own_host("");
    let members: Vec<Container> = ["m0", "m1", "m2", "m3"].map(|name| daemon.sleeper(name)).into();
    network_cycles(&daemon, 0, CYCLES / 10);
    let shims = || -> Vec<usize> {
        let shim = |c: &Container| daemon.inspect(&c.name)["Vswitch"]["ShimPid"].as_i64().unwrap();
        members.iter().map(|c| leak::descriptors(shim(c).try_into().unwrap())).collect()
    };
    let (paths, of_shims) = (leak::paths_below(&daemon.data_dir()), shims());
    let (descriptors, memory, threads) = holdings(&daemon);

    network_cycles(&daemon, CYCLES / 10, CYCLES);

    assert_eq!(daemon.api("GET", "/networks", &Value::Null).ok().as_array().unwrap().len(), 3);
    assert_eq!(daemon.names(true), ["m0", "m1", "m2", "m3"]);
    eventually("the processes to end", || (daemon.leftovers().len() == 8).then_some(()));
    eventually("as many descriptors as before", || (holdings(&daemon).0 <= descriptors).then_some(()));
    eventually("as many threads as before", || (holdings(&daemon).2 <= threads).then_some(()));
    assert_eq!(shims(), of_shims, "descriptors of the shims");
    assert_eq!(leak::paths_below(&daemon.data_dir()), paths);
    let grown = leak::resident_kib(daemon.pid()).saturating_sub(memory);
    assert!(grown < 8 * 1024, "the daemon has grown by {grown} KiB from {memory} KiB");
    for member in &members {
        assert_eq!(interfaces(&daemon, &member.name), ["eth0", "lo"]);
    }
    daemon.ok(&["network", "create", "anew"]);
    assert_eq!(daemon.network("anew")["IPAM"]["Config"][0]["Subnet"], "172.18.0.0/16");
    daemon.ok(&["network", "connect", "anew", "m0"]);
    assert_eq!(daemon.ip("m0", "anew"), "172.18.0.2");
}

fn nothing_but(daemon: &Daemon, name: &str) {
    assert_eq!(daemon.names(true), [name]);
    eventually("the ports to be gone", || (ports(daemon) == [format!("{name}:eth0")]).then_some(()));
    eventually("the processes to end", || (daemon.leftovers().len() == 2).then_some(()));
}

#[test]
fn a_thousand_containers_leave_nothing_behind() {
    let daemon = Daemon::start();
    // What caches and pools grow to is reached before anything is counted.
    cycles(&daemon, 0, CYCLES / 10);
    let stays = daemon.sleeper("stays");
    assert_eq!(stays.ip, "172.17.0.2");
    nothing_but(&daemon, "stays");
    let pid = daemon.pid();
    let settled = || {
        // Connections of the last clients are closed a moment after their answers.
        let mut last = leak::descriptors(pid);
        eventually("the daemon's descriptors to settle", || {
            let now = leak::descriptors(pid);
            (std::mem::replace(&mut last, now) == now).then_some(now)
        })
    };
    let (descriptors, memory) = (settled(), leak::resident_kib(pid));
    let paths = leak::paths_below(&daemon.data_dir());

    cycles(&daemon, CYCLES / 10, CYCLES);

    nothing_but(&daemon, "stays");
    eventually("the daemon to have as many descriptors as before", || {
        (settled() <= descriptors).then_some(())
    });
    eventually("the directories to be gone", || {
        (leak::paths_below(&daemon.data_dir()) == paths).then_some(())
    });
    let grown = leak::resident_kib(pid).saturating_sub(memory);
    assert!(grown < 8 * 1024, "the daemon has grown by {grown} KiB from {memory} KiB");
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().count();
    assert!(threads < 64, "{threads} threads");
    // That of the gateway, and of the container that stays.
    assert!(bridge(&daemon)["Fdb"]["Entries"].as_u64().unwrap() <= 2);
    daemon.sleeper_at("next", "172.17.0.3");
    daemon.ping("next", &stays.ip);
}
