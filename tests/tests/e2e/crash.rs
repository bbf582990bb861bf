//! A daemon that is killed at every single write to its disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use tests::{Daemon, bins, eventually, http, is_root, leak, run};

/// Who is on which networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct World {
    networks: BTreeSet<String>,
    containers: BTreeMap<String, BTreeSet<String>>,
}

/// One thing that is asked for, and what it makes of the world.
enum Step {
    Create(&'static str),
    Run(&'static str, &'static [&'static str]),
    Connect(&'static str, &'static str),
    Disconnect(&'static str, &'static str),
    Rename(&'static str, &'static str),
    Remove(&'static str),
    RemoveNetwork(&'static str),
}

const SCENARIO: [Step; 12] = [
    Step::Create("net1"),
    Step::Run("u1", &["net1"]),
    Step::Create("net2"),
    Step::Run("u2", &["net1", "net2"]),
    Step::Connect("net2", "u1"),
    Step::Disconnect("net1", "u1"),
    Step::Rename("u1", "u3"),
    Step::Connect("net1", "u3"),
    Step::Remove("u2"),
    Step::Disconnect("net2", "u3"),
    Step::RemoveNetwork("net2"),
    Step::Run("u4", &["net1"]),
];

impl Step {
    fn apply(&self, world: &mut World) {
        let words = |all: &[&str]| all.iter().map(|&word| word.to_owned()).collect();
        match *self {
            Self::Create(network) => drop(world.networks.insert(network.to_owned())),
            Self::Run(name, networks) => drop(world.containers.insert(name.to_owned(), words(networks))),
            Self::Connect(network, name) => {
                world.containers.get_mut(name).unwrap().insert(network.to_owned());
            }
            Self::Disconnect(network, name) => {
                world.containers.get_mut(name).unwrap().remove(network);
            }
            Self::Rename(old, new) => {
                let networks = world.containers.remove(old).unwrap();
                world.containers.insert(new.to_owned(), networks);
            }
            Self::Remove(name) => drop(world.containers.remove(name)),
            Self::RemoveNetwork(network) => drop(world.networks.remove(network)),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Create(_) => "network create",
            Self::Run(..) => "run",
            Self::Connect(..) => "connect",
            Self::Disconnect(..) => "disconnect",
            Self::Rename(..) => "rename",
            Self::Remove(_) => "rm",
            Self::RemoveNetwork(_) => "network rm",
        }
    }

    /// Whether it was done, as far as the user is told.
    fn ask(&self, daemon: &Daemon) -> bool {
        let (method, path, body) = match *self {
            Self::Run(name, networks) => {
                let networks = networks.iter().flat_map(|network| ["--network", network]);
                let mut command = daemon.vswitch(&["run", "-d", "--name", name]);
                command.args(networks).args(["--", "sleep", "infinity"]);
                // No other daemon in the place of the dead one.
                command.env("VSWITCH_DATA_DIR", "/dev/null/none");
                return run(&mut command).status == 0;
            }
            Self::Create(network) => ("POST", "/networks/create".to_owned(), json!({"Name": network})),
            Self::Connect(network, name) => {
                ("POST", format!("/networks/{network}/connect"), json!({"Container": name}))
            }
            Self::Disconnect(network, name) => {
                ("POST", format!("/networks/{network}/disconnect"), json!({"Container": name}))
            }
            Self::Rename(old, new) => ("POST", format!("/containers/{old}/rename?name={new}"), Value::Null),
            Self::Remove(name) => ("DELETE", format!("/containers/{name}?force=1"), Value::Null),
            Self::RemoveNetwork(network) => ("DELETE", format!("/networks/{network}"), Value::Null),
        };
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        http::try_ask(&daemon.socket(), method, &path, &body).is_some_and(|answer| answer.status < 300)
    }
}

fn world(daemon: &Daemon) -> World {
    let get = |path: &str| daemon.api("GET", path, &Value::Null).ok();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let networks =
        get("/networks").as_array().unwrap().iter().map(|n| text(&n["Name"])).collect::<BTreeSet<_>>();
    let builtin = ["bridge", "host", "none"].map(str::to_owned);
    let on = |c: &Value| c["NetworkSettings"]["Networks"].as_object().unwrap().keys().cloned().collect();
    let containers = get("/containers/json");
    let containers = containers.as_array().unwrap().iter();
    World {
        networks: networks.into_iter().filter(|name| !builtin.contains(name)).collect(),
        containers: containers
            .map(|c| (text(&c["Names"][0]).trim_start_matches('/').to_owned(), on(c)))
            .collect(),
    }
}

/// Kills the daemon at its `n`th write, and looks at what the next one makes of it. Whether it was killed.
fn round(n: u64) -> bool {
    let mut daemon = Daemon::not_started();
    let killer = bins::path("killer");
    let mut own_host = daemon.own_host("");
    let plain = own_host.clone();
    own_host.extend([killer.to_str().unwrap().to_owned(), n.to_string()]);
    daemon.wrap(&own_host);
    let mut before = World::default();
    let mut after = World::default();
    let mut step = "start";
    if daemon.try_start() {
        for next in &SCENARIO {
            before = after.clone();
            next.apply(&mut after);
            step = next.name();
            if !next.ask(&daemon) {
                break;
            }
            before = after.clone();
        }
    }
    let killed = before != after || daemon.is_dead();
    daemon.kill();
    daemon.wrap(&plain);
    daemon.start_again();
    let found = world(&daemon);
    let place = format!("killed at write {n}, in {step}");
    assert!(found == before || found == after, "{place}: {found:#?} is neither {before:#?} nor {after:#?}");
    check(&daemon, &found, &place);
    everything_can_be_removed(&daemon, &place);
    killed
}

fn check(daemon: &Daemon, found: &World, place: &str) {
    let mut taken = BTreeSet::new();
    for (name, networks) in &found.containers {
        // Whole on all its networks: interfaces, addresses, route, names.
        let seen = daemon.inspect(name);
        let mut expected = Vec::new();
        for network in networks {
            let endpoint = &seen["NetworkSettings"]["Networks"][network];
            let ip = endpoint["IPAddress"].as_str().unwrap().to_owned();
            assert!(taken.insert(ip.clone()), "{place}: {ip} has two owners");
            expected.push(format!("{ip}/16"));
            let member = daemon.network(network)["Containers"][seen["Id"].as_str().unwrap()].clone();
            assert_eq!(member["Name"], name.as_str(), "{place}: {name} on {network}");
        }
        let script = "ip -o link; echo; ip -o -4 address; echo; ip route show default; echo; cat /etc/hosts";
        let said = daemon.exec(name, &["sh", "-c", script]).ok();
        let [links, addresses, routes, hosts] = said.split("\n\n").collect::<Vec<_>>()[..] else {
            panic!("{place}: {said}")
        };
        assert_eq!(links.lines().count(), 1 + networks.len(), "{place}: {name} on {networks:?} has {links}");
        let words = addresses.lines().filter_map(|line| line.split_whitespace().nth(3));
        let mut has: Vec<&str> = words.filter(|address| *address != "127.0.0.1/8").collect();
        has.sort_unstable();
        expected.sort();
        assert_eq!(has, expected, "{place}: {name}");
        let count = routes.lines().filter(|line| !line.is_empty()).count();
        assert_eq!(count, usize::from(!networks.is_empty()), "{place}: {name} on {networks:?} has {routes}");
        for address in &expected {
            let ip = address.trim_end_matches("/16");
            assert!(hosts.lines().any(|l| l.split('\t').next() == Some(ip)), "{place}: no {ip} in {hosts}");
        }
        for (other, on) in &found.containers {
            let shared = on.intersection(networks).next();
            let reached = daemon.exec(name, &["ping", "-c", "1", "-W", "10", other]).status == 0;
            assert_eq!(reached, shared.is_some(), "{place}: {name} reaches {other}");
        }
    }
    for network in &found.networks {
        let probe = format!("probe-{network}");
        daemon.sleeper_with(&probe, &["--network", network]);
        let ip = daemon.ip(&probe, network);
        assert!(taken.insert(ip.clone()), "{place}: {ip} was given a second time");
        if let Some((name, _)) = found.containers.iter().find(|(_, on)| on.contains(network)) {
            daemon.ping(&probe, name);
        }
    }
}

fn everything_can_be_removed(daemon: &Daemon, place: &str) {
    for container in daemon.api("GET", "/containers/json?all=1", &Value::Null).ok().as_array().unwrap() {
        let id = container["Id"].as_str().unwrap();
        daemon.api("DELETE", &format!("/containers/{id}?force=1"), &Value::Null).ok();
    }
    for network in world(daemon).networks {
        daemon.api("DELETE", &format!("/networks/{network}"), &Value::Null).ok();
    }
    assert_eq!(world(daemon), World::default(), "{place}");
    eventually(&format!("the processes to end, {place}"), || daemon.leftovers().is_empty().then_some(()));
    assert!(leak::paths_below(&daemon.data_dir().join("containers")).is_empty(), "{place}");
    daemon.ok(&["network", "create", "anew"]);
    assert_eq!(daemon.network("anew")["IPAM"]["Config"][0]["Subnet"], "172.18.0.0/16", "{place}");
    assert_eq!(daemon.sleeper("next").ip, "172.17.0.2", "{place}");
    daemon.ok(&["rm", "-f", "next"]);
}

#[test]
fn a_daemon_killed_at_any_write_leaves_what_was_or_what_was_to_be() {
    // Every one as root; as an ordinary user, where all is the same but the rights, every seventh.
    let stride = if is_root() { 1 } else { 7 };
    let (next, last) = (AtomicU64::new(1), AtomicU64::new(u64::MAX));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(stride, Ordering::Relaxed);
                    if n > last.load(Ordering::Relaxed) {
                        return;
                    }
                    if !round(n) {
                        last.fetch_min(n, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    // It has been killed in the middle, and in the end it was not.
    let untouched = last.load(Ordering::Relaxed);
    assert!((30..1000).contains(&untouched), "{untouched}");
}
