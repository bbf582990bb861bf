//! `network`.

use serde_json::{Value, json};

use crate::mock::{Answer, Mock, ok, refuse};

fn network(name: &str, digit: &str) -> Value {
    json!({
        "Name": name, "Id": digit.repeat(64), "Created": "2025-11-21T08:46:00.5Z", "Scope": "local",
        "Driver": "bridge", "EnableIPv6": false,
        "IPAM": {"Driver": "default", "Options": null, "Config": [{"Subnet": "172.18.0.0/16", "Gateway": "172.18.0.1"}]},
        "Internal": false, "Attachable": false, "Ingress": false, "ConfigFrom": {"Network": ""}, "ConfigOnly": false,
        "Containers": {}, "Options": {}, "Labels": {"tier": "web"},
    })
}

fn daemon() -> Mock {
    Mock::new(|line| match line.split('?').next().unwrap_or_default() {
        "GET /networks" => ok(&json!([network("my10", "a"), network("my2", "b")])),
        "GET /networks/my2" => ok(&network("my2", "b")),
        "GET /networks/my10" => ok(&network("my10", "a")),
        "POST /networks/create" => {
            Answer::Body(201, json!({"Id": "d".repeat(64), "Warning": ""}).to_string())
        }
        "POST /networks/prune" => ok(&json!({"NetworksDeleted": ["a1", "b1"]})),
        "DELETE /networks/my2" | "DELETE /networks/my10" => Answer::Body(204, String::new()),
        "POST /networks/my2/connect" | "POST /networks/my2/disconnect" => Answer::Body(200, String::new()),
        "DELETE /networks/bridge" => refuse(403, "bridge is a pre-defined network and cannot be removed"),
        _ => refuse(404, "network nowhere not found"),
    })
}

#[test]
fn ls_prints_dockers_table_in_the_order_people_count() {
    let daemon = daemon();
    assert_eq!(
        daemon.ok(&["network", "ls"]),
        "NETWORK ID     NAME      DRIVER    SCOPE\n\
         bbbbbbbbbbbb   my2       bridge    local\n\
         aaaaaaaaaaaa   my10      bridge    local\n"
    );
    assert_eq!(daemon.ok(&["network", "list", "-q"]), "bbbbbbbbbbbb\naaaaaaaaaaaa\n");
    assert_eq!(
        daemon.ok(&["network", "ls", "-q", "--no-trunc"]).lines().next(),
        Some("b".repeat(64).as_str())
    );
    assert_eq!(daemon.lines(), ["GET /networks"; 3]);
}

#[test]
fn ls_takes_filters_and_formats() {
    let daemon = daemon();
    assert_eq!(
        daemon.ok(&[
            "network",
            "ls",
            "-f",
            "driver=bridge",
            "--filter",
            "label=tier=web",
            "--format",
            "{{.Name}}"
        ]),
        "my2\nmy10\n"
    );
    assert_eq!(
        daemon.lines(),
        [r#"GET /networks?filters={"driver":{"bridge":true},"label":{"tier=web":true}}"#]
    );
    let table =
        daemon.ok(&["network", "ls", "--format", r#"table {{.Name}}\t{{.CreatedAt}}\t{{.Label "tier"}}"#]);
    assert_eq!(table.lines().nth(1), Some("my2       2025-11-21 08:46:00.5 +0000 UTC   web"));
    assert_eq!(
        daemon.ok(&["network", "ls", "--format", "json"]).lines().next(),
        Some(
            r#"{"CreatedAt":"2025-11-21 08:46:00.5 +0000 UTC","Driver":"bridge","ID":"bbbbbbbbbbbb","IPv6":"false","Internal":"false","Labels":"tier=web","Name":"my2","Scope":"local"}"#
        )
    );
}

#[test]
fn create_prints_the_id() {
    let daemon = daemon();
    let id = daemon.ok(&["network", "create", "--subnet", "10.1.0.0/16", "--gateway", "10.1.0.1", "my"]);
    assert_eq!(id, format!("{}\n", "d".repeat(64)));
    let [asked] = &daemon.asked()[..] else { panic!("one request") };
    assert_eq!(asked.line, "POST /networks/create");
    assert_eq!(asked.body["IPAM"]["Config"], json!([{"Subnet": "10.1.0.0/16", "Gateway": "10.1.0.1"}]));
}

#[test]
fn create_asks_nothing_when_an_address_has_no_subnet() {
    let daemon = daemon();
    let said =
        daemon.fails(&["network", "create", "--subnet", "10.1.0.0/16", "--gateway", "10.2.0.1", "my"], 1);
    assert_eq!(said, "vswitch: no matching subnet for gateway 10.2.0.1\n");
    daemon.fails(&["network", "create"], 2);
    assert_eq!(daemon.asked(), []);
}

#[test]
fn inspect_prints_an_array_in_the_daemons_order() {
    let daemon = daemon();
    let text = daemon.ok(&["network", "inspect", "my10", "my2"]);
    assert!(text.starts_with("[\n    {\n        \"Name\": \"my10\",\n        \"Id\": \"aaaa"), "{text}");
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap(),
        json!([network("my10", "a"), network("my2", "b")])
    );
    let gateway = "{{range .IPAM.Config}}{{.Gateway}}{{end}}";
    assert_eq!(daemon.ok(&["network", "inspect", "-v", "-f", gateway, "my2"]), "172.18.0.1\n");
    assert_eq!(daemon.lines(), ["GET /networks/my10", "GET /networks/my2", "GET /networks/my2?verbose=true"]);
}

#[test]
fn inspect_prints_what_it_finds_and_fails_for_the_rest() {
    let ended = daemon().run(&["network", "inspect", "-f", "{{.Name}}", "nowhere", "my2"]);
    assert_eq!(
        (ended.stdout.as_str(), ended.stderr.as_str(), ended.status),
        ("my2\n", "vswitch: network nowhere not found\n", Some(1))
    );
}

#[test]
fn rm_prints_the_names_and_goes_on_after_a_failure() {
    let daemon = daemon();
    let ended = daemon.run(&["network", "rm", "my2", "nowhere", "bridge", "my10"]);
    assert_eq!((ended.stdout.as_str(), ended.status), ("my2\nmy10\n", Some(1)));
    assert_eq!(
        ended.stderr,
        "vswitch: network nowhere not found\nvswitch: bridge is a pre-defined network and cannot be removed\n"
    );
    assert_eq!(daemon.ok(&["network", "remove", "-f", "nowhere", "my2"]), "my2\n");
    let said = daemon.fails(&["network", "rm", "-f", "bridge"], 1);
    assert!(said.contains("pre-defined"), "{said}");
}

#[test]
fn prune_asks_first() {
    const QUESTION: &str = "WARNING! This will remove all custom networks not used by at least one container.\n\
                            Are you sure you want to continue? [y/N] ";
    let daemon = daemon();
    for no in ["", "\n", "n\n", "yes\n"] {
        let ended = daemon.run_with(&["network", "prune"], no);
        assert_eq!((ended.stdout.as_str(), ended.status), (QUESTION, Some(0)), "{no:?}");
    }
    assert_eq!(daemon.lines(), Vec::<String>::new());
    let ended = daemon.run_with(&["network", "prune"], "Y\n");
    assert_eq!(ended.stdout, format!("{QUESTION}Deleted Networks:\na1\nb1\n\n"));
    let text = daemon.ok(&["network", "prune", "-f", "--filter", "until=1h", "--filter", "label!=keep"]);
    assert_eq!(text, "Deleted Networks:\na1\nb1\n\n");
    assert_eq!(
        daemon.lines(),
        [
            "POST /networks/prune",
            r#"POST /networks/prune?filters={"until":{"1h":true},"label!":{"keep":true}}"#
        ]
    );
}

#[test]
fn prune_that_removes_nothing_prints_nothing() {
    let daemon = Mock::new(|_| ok(&json!({"NetworksDeleted": null})));
    assert_eq!(daemon.ok(&["network", "prune", "--force"]), "");
}

#[test]
fn connect_sends_only_what_was_wished_for() {
    let daemon = daemon();
    assert_eq!(daemon.ok(&["network", "connect", "my2", "web"]), "");
    daemon.ok(&[
        "network",
        "connect",
        "--ip",
        "172.18.0.9",
        "--ip6",
        "fd00::9",
        "--link-local-ip",
        "169.254.1.1",
        "--alias",
        "a,b",
        "--alias",
        "c",
        "--link",
        "db:store",
        "--driver-opt",
        "k=v",
        "my2",
        "web",
    ]);
    let bodies: Vec<Value> = daemon.asked().into_iter().map(|asked| asked.body).collect();
    assert_eq!(
        bodies,
        [
            json!({"Container": "web", "EndpointConfig": {}}),
            json!({"Container": "web", "EndpointConfig": {
                "IPAMConfig": {
                    "IPv4Address": "172.18.0.9", "IPv6Address": "fd00::9", "LinkLocalIPs": ["169.254.1.1"],
                },
                "Links": ["db:store"],
                "Aliases": ["a", "b", "c"],
                "DriverOpts": {"k": "v"},
            }}),
        ]
    );
    let said = daemon.fails(&["network", "connect", "nowhere", "web"], 1);
    assert_eq!(said, "vswitch: network nowhere not found\n");
}

#[test]
fn disconnect_says_whether_by_force() {
    let daemon = daemon();
    assert_eq!(daemon.ok(&["network", "disconnect", "my2", "web"]), "");
    assert_eq!(daemon.ok(&["network", "disconnect", "-f", "my2", "web"]), "");
    let asked = daemon.asked();
    assert_eq!(asked[0].line, "POST /networks/my2/disconnect");
    assert_eq!(asked[0].body, json!({"Container": "web", "Force": false}));
    assert_eq!(asked[1].body, json!({"Container": "web", "Force": true}));
}

#[test]
fn names_cannot_become_other_calls() {
    let daemon = daemon();
    daemon.fails(&["network", "rm", "../containers/web?force=1"], 1);
    assert_eq!(daemon.lines(), ["DELETE /networks/../containers/web?force=1"]);
}
