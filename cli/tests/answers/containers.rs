//! `ps`, `inspect`, `rename`, `port`, `bridge` and `stats`, with containers on several networks.

use serde_json::{Value, json};

use crate::mock::{Answer, Mock, ok, refuse};

fn port(container: &str, interface: &str, number: u16) -> Value {
    json!({
        "Name": format!("{container}:{interface}"), "Container": container, "Interface": interface, "Number": number,
        "Up": true, "AdminUp": true, "Hairpin": false, "Mtu": 1500, "RxFrames": 1, "RxBytes": 60, "TxFrames": 0,
        "TxBytes": 0, "RxDrops": {}, "TxDrops": {},
    })
}

fn bridge(name: &str, network: &str, ports: &[Value]) -> Value {
    json!({
        "Name": name, "Network": network, "NetworkID": format!("{network}-id"), "BridgeID": "8000.0242ac110001",
        "Stp": false, "Ageing": 300, "Ports": ports,
        "Fdb": {"Entries": 1, "Limit": 8192, "Full": 0, "Moves": 0, "Evicted": 0},
    })
}

fn daemon() -> Mock {
    Mock::new(|line| match line.split('?').next().unwrap_or_default() {
        "GET /containers/json" => ok(&json!([{
            "Id": "c".repeat(64), "Names": ["/web"], "Image": "", "Command": "httpd", "Created": 1_763_714_760,
            "Ports": [
                {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
                {"PrivatePort": 33060, "Type": "tcp"},
            ],
            "Labels": {}, "State": "running", "Status": "Up 3 minutes",
            "NetworkSettings": {"Networks": {"bridge": {}, "my": {}}},
        }])),
        "GET /containers/web/json" | "GET /containers/cccc/json" => ok(&json!({
            "Id": "c".repeat(64), "Name": "/web", "Vswitch": {"ShimPid": 7},
            "NetworkSettings": {
                "Ports": {
                    "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}],
                    "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "5353"}],
                    "443/tcp": null,
                },
                "Networks": {"bridge": {"IPAddress": "172.17.0.2"}, "my": {"IPAddress": "172.18.0.3"}},
            },
        })),
        "GET /networks/my" => ok(&json!({"Name": "my", "Id": "n"})),
        "POST /containers/web/rename" => Answer::Body(204, String::new()),
        "GET /vswitch/bridges" => ok(&json!([
            bridge("docker0", "bridge", &[port("web", "eth0", 1), port("db", "eth0", 2)]),
            bridge("br-my", "my", &[port("web", "eth1", 1)]),
        ])),
        "GET /vswitch/bridges/bridge/fdb" | "GET /vswitch/bridges/docker0/fdb" => ok(&json!([
            {"Network": "bridge", "Port": 1, "Mac": "02:42:ac:11:00:03", "Vlan": 0, "Static": false, "Age": 1.5},
            {"Network": "bridge", "Port": 2, "Mac": "02:42:ac:11:00:02", "Vlan": 0, "Static": false, "Age": 0.0},
        ])),
        "GET /vswitch/bridges/my/fdb" => ok(&json!([])),
        "GET /vswitch/nat" => {
            ok(&json!({"Flows": [{"Outside": "192.0.2.1:7"}], "Counters": {"flows_opened": 1}}))
        }
        "GET /vswitch/ports/nobody" => refuse(404, "no port nobody"),
        other if other.starts_with("GET /containers/") => refuse(404, "No such container: nobody"),
        _ => refuse(404, "network nobody not found"),
    })
}

#[test]
fn ps_shows_published_ports() {
    let table = daemon().ok(&["ps"]);
    let line = table.lines().nth(1).unwrap();
    assert!(line.contains("Up 3 minutes   33060/tcp, 0.0.0.0:8080->80/tcp   web"), "{table}");
}

#[test]
fn ps_knows_several_networks() {
    let daemon = daemon();
    let format = "{{.Names}} {{.Networks}} {{.CreatedAt}}";
    assert_eq!(daemon.ok(&["ps", "--format", format]), "web bridge,my 2025-11-21 08:46:00 +0000 UTC\n");
    daemon.ok(&["ps", "-n", "2", "-f", "network=my"]);
    assert_eq!(
        daemon.lines(),
        [
            "GET /containers/json?all=0",
            r#"GET /containers/json?all=1&limit=2&filters={"network":{"my":true}}"#
        ]
    );
}

#[test]
fn inspect_looks_for_a_network_where_no_container_is() {
    let daemon = daemon();
    assert_eq!(daemon.ok(&["inspect", "-f", "{{.Name}}", "web", "my"]), "/web\nmy\n");
    let flows = format!("GET /vswitch/nat?container={}", "c".repeat(64));
    let asked = ["GET /containers/web/json", flows.as_str(), "GET /containers/my/json", "GET /networks/my"];
    assert_eq!(daemon.lines(), asked);
    let ended = daemon.run(&["inspect", "nobody"]);
    assert_eq!(
        (ended.stdout.as_str(), ended.stderr.as_str(), ended.status),
        ("[]\n", "vswitch: Error: No such object: nobody\n", Some(1))
    );
}

#[test]
fn inspect_of_a_container_has_its_flows() {
    let outside = "{{range .Vswitch.Flows}}{{.Outside}}{{end}}";
    assert_eq!(daemon().ok(&["inspect", "-f", outside, "web"]), "192.0.2.1:7\n");
}

#[test]
fn inspect_of_one_kind_looks_nowhere_else() {
    let daemon = daemon();
    daemon.ok(&["inspect", "--type", "network", "my"]);
    let said = daemon.run(&["inspect", "--type=container", "my"]).stderr;
    assert_eq!(said, "vswitch: No such container: nobody\n");
    assert_eq!(daemon.lines(), ["GET /networks/my", "GET /containers/my/json"]);
    assert!(daemon.fails(&["inspect", "--type", "volume", "my"], 2).contains("volume"));
}

#[test]
fn port_prints_where_ports_are_published() {
    let daemon = daemon();
    assert_eq!(
        daemon.ok(&["port", "web"]),
        "53/udp -> 127.0.0.1:5353\n80/tcp -> 0.0.0.0:8080\n80/tcp -> :::8080\n"
    );
    assert_eq!(daemon.ok(&["port", "web", "80"]), "0.0.0.0:8080\n:::8080\n");
    assert_eq!(daemon.ok(&["port", "web", "53/udp"]), "127.0.0.1:5353\n");
    for (asked, named) in [("81", "81/tcp"), ("443", "443/tcp"), ("80/udp", "80/udp"), ("http", "http/tcp")] {
        assert_eq!(
            daemon.fails(&["port", "web", asked], 1),
            format!("vswitch: Error: No public port '{named}' published for web\n")
        );
    }
}

#[test]
fn rename_says_nothing() {
    let daemon = daemon();
    assert_eq!(daemon.ok(&["rename", "web", "www"]), "");
    assert_eq!(daemon.lines(), ["POST /containers/web/rename?name=www"]);
}

#[test]
fn stats_are_of_all_interfaces_of_a_container() {
    let daemon = daemon();
    for name in ["web", "cccc"] {
        let table = daemon.ok(&["stats", name, "-f", "{{.Name}} {{.Network}} {{.RxFrames}}"]);
        assert_eq!(table, "web:eth0 bridge 1\nweb:eth1 my 1\n", "{name}");
    }
    assert_eq!(daemon.ok(&["stats", "web:eth1", "-f", "{{.Name}}"]), "web:eth1\n");
    assert_eq!(daemon.ok(&["stats"]).matches("\nnetwork ").count(), 2);
    assert_eq!(daemon.ok(&["stats", "web"]).matches("\nnetwork ").count(), 0);
    assert_eq!(daemon.fails(&["stats", "nobody"], 1), "vswitch: no port nobody\n");
}

#[test]
fn bridge_show_is_brctls() {
    let daemon = daemon();
    assert_eq!(
        daemon.ok(&["bridge", "show"]),
        "bridge name\tbridge id\t\tSTP enabled\tinterfaces\n\
         br-my\t\t8000.0242ac110001\tno\t\tweb:eth1\n\
         docker0\t\t8000.0242ac110001\tno\t\tdb:eth0\n\
         \t\t\t\t\t\t\tweb:eth0\n"
    );
    let one = daemon.ok(&["bridge", "show", "my"]);
    assert_eq!(one.lines().count(), 2, "{one}");
    let ended = daemon.run(&["bridge", "show", "nowhere"]);
    assert_eq!((ended.stderr.as_str(), ended.status), ("vswitch: bridge nowhere does not exist!\n", Some(1)));
}

#[test]
fn bridge_fdb_of_one_network_is_brctls() {
    let daemon = daemon();
    assert_eq!(
        daemon.ok(&["bridge", "fdb", "docker0"]),
        "port no\tmac addr\t\tis local?\tageing timer\n  \
         2\t02:42:ac:11:00:02\tno\t\t   0.00\n  \
         1\t02:42:ac:11:00:03\tno\t\t   1.50\n"
    );
    let all = daemon.ok(&["bridge", "fdb"]);
    assert_eq!(all.lines().next(), Some("port no\tmac addr\t\tis local?\tageing timer\tnetwork"));
    assert!(all.lines().skip(1).all(|line| line.ends_with("\tbridge")), "{all}");
}
