//! `ps` and `inspect`.

use serde_json::Value;
use tests::Daemon;

fn running_and_ended() -> Daemon {
    let daemon = Daemon::start();
    daemon.sleeper("runs");
    daemon.ok(&["run", "-d", "--name", "ended", "--", "sh", "-c", "exit 3"]);
    daemon.ok(&["wait", "ended"]);
    daemon
}

#[test]
fn ps_lists_what_runs_under_dockers_headings() {
    let daemon = running_and_ended();
    let table = daemon.ok(&["ps"]);
    let headings: Vec<&str> = table.lines().next().unwrap().split("  ").filter(|w| !w.is_empty()).collect();
    let headings: Vec<&str> = headings.iter().map(|w| w.trim()).collect();
    assert_eq!(headings, ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]);
    let line = table.lines().nth(1).unwrap();
    assert!(line.starts_with(&daemon.container("runs").id[..12]), "{table}");
    assert!(line.contains("\"sleep infinity\"") && line.contains("Up ") && line.ends_with("runs"), "{table}");
    assert_eq!(table.lines().count(), 2, "{table}");
}

#[test]
fn ps_a_lists_what_has_ended_too() {
    let daemon = running_and_ended();
    let table = daemon.ok(&["ps", "-a"]);
    assert_eq!(table.lines().count(), 3, "{table}");
    let ended = table.lines().find(|line| line.ends_with("ended")).unwrap();
    assert!(ended.contains("Exited (3) "), "{table}");
}

#[test]
fn ps_q_prints_ids_and_nothing_else() {
    let daemon = running_and_ended();
    let id = daemon.container("runs").id;
    assert_eq!(daemon.ok(&["ps", "-q"]), &id[..12]);
    assert_eq!(daemon.ok(&["ps", "-q", "--no-trunc"]), id);
    assert_eq!(daemon.ok(&["ps", "-aq"]).lines().count(), 2);
}

#[test]
fn ps_prints_an_object_a_line_as_json() {
    let daemon = running_and_ended();
    let text = daemon.ok(&["ps", "-a", "--format", "json"]);
    let all: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(all.len(), 2);
    let runs = all.iter().find(|c| c["Names"] == "runs").unwrap();
    assert_eq!(runs["State"], "running");
    assert_eq!(runs["Networks"], "bridge");
    let ended = all.iter().find(|c| c["Names"] == "ended").unwrap();
    assert_eq!(ended["State"], "exited");
}

#[test]
fn ps_prints_what_a_template_asks_for() {
    let daemon = running_and_ended();
    assert_eq!(daemon.ok(&["ps", "--format", "{{.Names}} is {{.State}}"]), "runs is running");
    let table = daemon.ok(&["ps", "--format", "table {{.Names}}\t{{.Networks}}"]);
    assert_eq!(table.lines().next().unwrap().split_whitespace().collect::<Vec<_>>(), ["NAMES", "NETWORKS"]);
    assert_eq!(table.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>(), ["runs", "bridge"]);
    assert_eq!(daemon.ok(&["ps", "--format", "{{upper .Names}}{{if .Ports}}!{{end}}"]), "RUNS");
    let said = daemon.run(&["ps", "--format", "{{.Names"]);
    assert_ne!(said.status, 0, "{said:?}");
    assert_eq!(said.stderr.lines().count(), 1, "{said:?}");
}

#[test]
fn inspect_is_an_array_as_dockers() {
    let daemon = running_and_ended();
    let text = daemon.ok(&["inspect", "runs", "ended"]);
    let all: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(all.as_array().unwrap().len(), 2);
    let runs = &all[0];
    assert_eq!(runs["Name"], "/runs");
    assert_eq!(runs["State"]["Running"], true);
    assert_eq!(runs["NetworkSettings"]["IPAddress"], "172.17.0.2");
    assert_eq!(runs["NetworkSettings"]["IPPrefixLen"], 16);
    assert_eq!(runs["NetworkSettings"]["Gateway"], "172.17.0.1");
    assert_eq!(runs["NetworkSettings"]["Networks"]["bridge"]["IPAddress"], "172.17.0.2");
    assert_eq!(all[1]["State"]["ExitCode"], 3);
    assert_eq!(daemon.ok(&["inspect", "-f", "{{.NetworkSettings.IPAddress}}", "runs"]), "172.17.0.2");
    assert_eq!(
        daemon.ok(&["inspect", "-f", "{{range .NetworkSettings.Networks}}{{.MacAddress}}{{end}}", "runs"]),
        "02:42:ac:11:00:02"
    );
}

#[test]
fn inspect_shows_those_it_finds_and_fails_for_the_others() {
    let daemon = running_and_ended();
    let said = daemon.run(&["inspect", "nobody", "runs"]);
    let all: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(all.as_array().unwrap().len(), 1);
    assert!(said.fails_with(1).contains("No such object: nobody"));
}

#[test]
fn labels_are_kept() {
    let daemon = Daemon::start();
    daemon.ok(&[
        "run", "-d", "--name", "c1", "--label", "tier=web", "--label", "empty", "--", "sleep", "infinity",
    ]);
    let seen = daemon.inspect("c1");
    assert_eq!(seen["Config"]["Labels"]["tier"], "web");
    assert_eq!(seen["Config"]["Labels"]["empty"], "");
}
