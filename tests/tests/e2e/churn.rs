//! A thousand containers that come and go.

use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::Signal;
use tests::{Daemon, Netns, eventually, leak, signal};

use crate::support::{bridge, ports};

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
