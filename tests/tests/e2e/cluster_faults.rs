//! Overlay networks while things go wrong: members of etcd that die, nodes cut off from it or from everybody, a
//! history that is forgotten, wrong passwords, and people with `etcdctl`.

use serde_json::Value;
use tests::{Cluster, Daemon, eventually};

use crate::support::{Pinging, store_info, until_members, until_network};

/// Nodes that have joined, and the overlay network demo on all of them with one container each, `c0`, `c1`, ...
fn with_containers(cluster: &Cluster, count: usize) -> Vec<Daemon> {
    let nodes: Vec<Daemon> = (0..count).map(|n| cluster.node(n, &[])).collect();
    nodes[0].ok(&["network", "create", "-d", "overlay", "demo"]);
    for (n, node) in nodes.iter().enumerate() {
        until_network(node, "demo");
        node.sleeper_with(&format!("c{n}"), &["--network", "demo"]);
    }
    for node in &nodes {
        until_members(node, "demo", count);
    }
    nodes
}

/// Hides etcd from a host, or shows it again; the other hosts stay.
fn hide_store(cluster: &Cluster, host: usize, members: usize, hidden: bool) {
    for member in 0..members {
        let address = format!("192.0.2.{}/32", 201 + member);
        let what = if hidden { "add" } else { "del" };
        cluster.hosts[host].run("ip", &["route", what, "blackhole", &address]).ok();
    }
}

fn until_joined(node: &Daemon) {
    eventually("the node to have joined", || {
        let info = store_info(node);
        (info["Joined"] == true && info["Trouble"].is_null()).then_some(())
    });
}

fn run(node: &Daemon, name: &str) -> tests::Output {
    node.run(&["run", "-d", "--name", name, "--network", "demo", "--", "sleep", "infinity"])
}

#[test]
fn one_of_three_members_may_die() {
    let Some(mut cluster) = Cluster::start(2, 3) else { return };
    let nodes = with_containers(&cluster, 2);
    let mut pinging = Pinging::start(&nodes[0], "c0", &nodes[1].ip("c1", "demo"));
    for member in [0, 1] {
        cluster.kill_member(member);
        for (n, node) in nodes.iter().enumerate() {
            let name = format!("while{member}-{n}");
            eventually("a container while a member is dead", || (run(node, &name).status == 0).then_some(()));
        }
        for node in &nodes {
            until_members(node, "demo", 4 + 2 * member);
        }
        pinging.goes_on();
        cluster.start_member_again(member);
        cluster.until_it_answers();
    }
    pinging.lost_none();
}

#[test]
fn a_node_cut_off_from_the_store_goes_on_and_so_do_the_others_with_it() {
    let Some(cluster) = Cluster::start(3, 1) else { return };
    let nodes = with_containers(&cluster, 3);
    let mut out = Pinging::start(&nodes[0], "c0", &nodes[1].ip("c1", "demo"));
    let mut back = Pinging::start(&nodes[1], "c1", &nodes[0].ip("c0", "demo"));
    hide_store(&cluster, 0, 1, true);
    let refused = run(&nodes[0], "refused").fails_with(125);
    assert!(
        refused.contains("the store does not answer") && refused.contains("192.0.2.201:2379"),
        "{refused}"
    );
    // Its lease runs out, and nothing comes of that.
    eventually("the others to miss it", || (store_info(&nodes[1])["Nodes"] == 2).then_some(()));
    out.goes_on();
    back.goes_on();
    nodes[0].ping("c0", "c2");
    run(&nodes[1], "other").ok();
    nodes[1].ok(&["rm", "-f", "other"]);
    out.lost_none();
    back.lost_none();
    // What ends meanwhile is told later.
    nodes[0].ok(&["rm", "-f", "c0"]);
    let (name, key) =
        ("/containers/c0", |name: &str| cluster.keys().iter().any(|(key, _)| key.ends_with(name)));
    assert!(key(name), "the store cannot know yet");
    hide_store(&cluster, 0, 1, false);
    until_joined(&nodes[0]);
    eventually("the store to be told", || (!key(name)).then_some(()));
    eventually("a container again", || (run(&nodes[0], "c0").status == 0).then_some(()));
    nodes[0].ping("c0", "c1");
}

#[test]
fn a_node_that_nobody_reaches_for_a_while_is_there_again_afterwards() {
    let Some(cluster) = Cluster::start(3, 1) else { return };
    let nodes = with_containers(&cluster, 3);
    let mut pinging = Pinging::start(&nodes[0], "c0", &nodes[1].ip("c1", "demo"));
    let c2 = nodes[2].ip("c2", "demo");
    cluster.set_wire(2, false);
    eventually("the others to miss it", || (store_info(&nodes[0])["Nodes"] == 2).then_some(()));
    pinging.goes_on();
    assert!(run(&nodes[0], "meanwhile").status == 0);
    assert_ne!(nodes[0].ip("meanwhile", "demo"), c2, "it may be alive: its address is its own");
    cluster.set_wire(2, true);
    until_joined(&nodes[2]);
    until_members(&nodes[2], "demo", 4);
    assert_eq!(nodes[2].ip("c2", "demo"), c2);
    nodes[2].ping("c2", "meanwhile");
    nodes[0].ping("c0", &c2);
    pinging.goes_on();
    pinging.lost_none();
}

/// Makes a host lose what it sends to an address, without a word to anybody, or no longer.
fn lose_what_goes_to(cluster: &Cluster, host: usize, address: &str, lose: bool) {
    // Frames for a station that is not there.
    let nobody = ["lladdr", "02:00:00:00:0b:ad", "nud", "permanent"];
    let (what, how): (_, &[&str]) = if lose { ("replace", &nobody) } else { ("del", &[]) };
    cluster.hosts[host].run("ip", &[&["neigh", what, address, "dev", "wire"], how].concat()).ok();
}

/// For a minute the first node does not reach etcd, and the second and the third do not reach each other.
#[test]
fn partitions_of_a_minute_lose_nothing_between_those_who_reach_each_other() {
    let Some(cluster) = Cluster::start(3, 1) else { return };
    let nodes = with_containers(&cluster, 3);
    let addresses: Vec<String> = (0..3).map(|n| nodes[n].ip(&format!("c{n}"), "demo")).collect();
    let mut whole = [
        Pinging::start(&nodes[0], "c0", &addresses[1]),
        Pinging::start(&nodes[1], "c1", &addresses[0]),
        Pinging::start(&nodes[2], "c2", &addresses[0]),
    ];
    let mut parted = Pinging::start(&nodes[1], "c1", &addresses[2]);
    lose_what_goes_to(&cluster, 0, "192.0.2.201", true);
    lose_what_goes_to(&cluster, 1, "192.0.2.3", true);
    lose_what_goes_to(&cluster, 2, "192.0.2.2", true);
    let begun = std::time::Instant::now();
    eventually("the others to miss it", || (store_info(&nodes[1])["Nodes"] == 2).then_some(()));
    let refused = run(&nodes[0], "refused").fails_with(125);
    assert!(refused.contains("the store does not answer"), "{refused}");
    run(&nodes[2], "meanwhile").ok();
    until_members(&nodes[1], "demo", 4);
    while begun.elapsed() < std::time::Duration::from_mins(1) {
        for pinging in &mut whole {
            pinging.goes_on();
        }
    }
    // In the other order: requests go out again when their answers can.
    lose_what_goes_to(&cluster, 2, "192.0.2.2", false);
    lose_what_goes_to(&cluster, 1, "192.0.2.3", false);
    lose_what_goes_to(&cluster, 0, "192.0.2.201", false);
    parted.comes_back();
    until_joined(&nodes[0]);
    for (n, node) in nodes.iter().enumerate() {
        until_members(node, "demo", 4);
        assert_eq!(node.ip(&format!("c{n}"), "demo"), addresses[n], "each has kept its address");
    }
    nodes[0].ping("c0", "meanwhile");
    parted.goes_on();
    for mut pinging in whole {
        pinging.goes_on();
        pinging.lost_none();
    }
    let (first, last) = parted.lost_in_a_row();
    assert!(first > 3 && last > first, "what the underlay lost: {first} to {last}");
}

#[test]
fn a_history_that_was_compacted_while_a_node_was_away_is_not_missed() {
    let Some(cluster) = Cluster::start(2, 1) else { return };
    let nodes = with_containers(&cluster, 2);
    hide_store(&cluster, 1, 1, true);
    eventually("the node to notice", || (!store_info(&nodes[1])["Trouble"].is_null()).then_some(()));
    nodes[0].ok(&["rm", "-f", "c0"]);
    nodes[0].ok(&["network", "create", "-d", "overlay", "later"]);
    run(&nodes[0], "new").ok();
    let status = cluster.etcdctl(&["endpoint", "status", "-w", "json"]).ok();
    let status: Value = serde_json::from_str(&status).unwrap();
    let revision = status[0]["Status"]["header"]["revision"].as_u64().unwrap();
    cluster.etcdctl(&["compact", &revision.to_string()]).ok();
    hide_store(&cluster, 1, 1, false);
    until_joined(&nodes[1]);
    until_network(&nodes[1], "later");
    let on_demo = until_members(&nodes[1], "demo", 2);
    assert!(on_demo.to_string().contains("\"new\""), "{on_demo}");
    nodes[1].ping("c1", "new");
}

#[test]
fn wrong_credentials_are_said_to_be_wrong() {
    let Some(cluster) = Cluster::start(1, 1) else { return };
    for words in
        [&["user", "add", "root:right"][..], &["user", "grant-role", "root", "root"], &["auth", "enable"]]
    {
        cluster.etcdctl(words).ok();
    }
    let create = ["network", "create", "-d", "overlay", "demo"];
    let nobody = cluster.node(0, &[]);
    let refused = nobody.run(&create).fails_with(1);
    assert!(refused.contains("it wants a user and a password"), "{refused}");
    drop(nobody);
    let file = tempfile::NamedTempFile::new().unwrap();
    let with = |password: &str| {
        std::fs::write(file.path(), format!("{password}\n")).unwrap();
        let path = file.path().to_str().unwrap();
        cluster.node(0, &["--store-user", "root", "--store-password-file", path])
    };
    let wrong = with("wrong");
    let refused = wrong.run(&create).fails_with(1);
    assert!(refused.contains("the user \"root\" or the password is wrong"), "{refused}");
    assert!(!refused.contains("wrong)"), "the password itself is nobody's business: {refused}");
    drop(wrong);
    with("right").ok(&create);
}

#[test]
fn the_second_of_two_nodes_with_one_name_is_told_so() {
    let Some(cluster) = Cluster::start(2, 1) else { return };
    let first = with_containers(&cluster, 1).remove(0);
    let url = cluster.url();
    let second = Daemon::start_in(&cluster.hosts[1], &["--store", &url, "--node", "n1"]);
    let refused = second.run(&["network", "create", "-d", "overlay", "more"]).fails_with(1);
    let sentence =
        "another node with the name \"n1\" is in the cluster, at 192.0.2.1: give this one a name of its own";
    assert!(refused.contains(sentence), "{refused}");
    assert_eq!(store_info(&second)["Joined"], false);
    assert_eq!(store_info(&first)["Joined"], true);
    run(&first, "still").ok();
    // And with one address.
    drop(second);
    let words = ["--store", &url, "--node", "n2", "--advertise", "192.0.2.1"];
    let second = Daemon::start_in(&cluster.hosts[1], &words);
    let refused = second.run(&["network", "create", "-d", "overlay", "more"]).fails_with(1);
    assert!(refused.contains("the address 192.0.2.1 is that of the node \"n1\""), "{refused}");
}

#[test]
fn a_newer_layout_of_the_store_is_left_alone() {
    let Some(cluster) = Cluster::start(2, 1) else { return };
    let nodes = with_containers(&cluster, 2);
    let mut pinging = Pinging::start(&nodes[0], "c0", &nodes[1].ip("c1", "demo"));
    cluster.etcdctl(&["put", "/vswitch/version", r#"{"schema":2}"#]).ok();
    eventually("the nodes to notice", || {
        let refused = run(&nodes[0], "new");
        refused.stderr.contains("the store's content has the layout 2").then_some(())
    });
    let refused = nodes[1].run(&["network", "create", "-d", "overlay", "more"]).fails_with(1);
    assert!(refused.contains("use a later version of this program"), "{refused}");
    pinging.goes_on();
    cluster.etcdctl(&["put", "/vswitch/version", r#"{"schema":1}"#]).ok();
    eventually("all to go on", || (run(&nodes[0], "new").status == 0).then_some(()));
    until_members(&nodes[1], "demo", 3);
    pinging.lost_none();
}

#[test]
fn keys_that_somebody_edits_are_put_right_and_nothing_is_lost_meanwhile() {
    let Some(cluster) = Cluster::start(2, 1) else { return };
    let nodes = with_containers(&cluster, 2);
    let mut pinging = Pinging::start(&nodes[0], "c0", &nodes[1].ip("c1", "demo"));
    let right = cluster.keys();
    let of = |part: &str| {
        let found = right.iter().find(|(key, _)| key.contains(part));
        found.unwrap_or_else(|| panic!("no {part} in {right:?}")).clone()
    };
    let endpoint =
        right.iter().find(|(k, v)| k.contains("/endpoints/") && v.contains("\"n2\"")).unwrap().clone();
    let until_right = |(key, value): &(String, String)| {
        eventually(&format!("{key} to be put right"), || {
            cluster.keys().contains(&(key.clone(), value.clone())).then_some(())
        });
    };
    for spoiled in [&endpoint, &of("/containers/c0"), &of("/addresses/")] {
        cluster.etcdctl(&["put", &spoiled.0, "nonsense"]).ok();
        until_right(spoiled);
        cluster.etcdctl(&["del", &spoiled.0]).ok();
        until_right(spoiled);
    }
    // A node's own key: it joins anew.
    cluster.etcdctl(&["put", "/vswitch/nodes/n2", "nonsense"]).ok();
    eventually("the node to join anew", || {
        cluster.keys().iter().find(|(k, v)| k.ends_with("/nodes/n2") && v.contains("192.0.2.2")).map(|_| ())
    });
    // What belongs to nobody is named, and left.
    let stray = endpoint.0.rsplit_once('/').unwrap().0.to_owned() + "/10.0.0.99";
    cluster.etcdctl(&["put", &stray, "nonsense"]).ok();
    cluster.etcdctl(&["put", "/vswitch/no/such", "{}"]).ok();
    eventually("both to be named", || {
        let unreadable = store_info(&nodes[0])["Unreadable"].to_string();
        (unreadable.contains("10.0.0.99") && unreadable.contains("/vswitch/no/such")).then_some(())
    });
    let words = ["run", "-d", "--network", "demo", "--ip", "10.0.0.99", "--", "sleep", "infinity"];
    nodes[0].run(&words).fails_with(125);
    cluster.etcdctl(&["del", &stray]).ok();
    eventually("the address to be free", || (nodes[0].run(&words).status == 0).then_some(()));
    for node in &nodes {
        until_joined(node);
        until_members(node, "demo", 3);
    }
    pinging.goes_on();
    pinging.lost_none();
}
