//! `events`.

use serde_json::json;

use crate::mock::{Answer, Mock, refuse};

fn daemon() -> Mock {
    let start = json!({
        "status": "start", "id": "c1", "from": "", "Type": "container", "Action": "start",
        "Actor": {"ID": "c1", "Attributes": {"name": "web", "image": ""}},
        "scope": "local", "time": 1_763_714_760, "timeNano": 1_763_714_760_123_456_789_i64,
    });
    let connect = json!({
        "Type": "network", "Action": "connect",
        "Actor": {"ID": "n1", "Attributes": {"name": "my", "container": "c1", "type": "bridge"}},
        "scope": "local", "time": 1_763_714_760, "timeNano": 1_763_714_760_000_000_000_i64,
    });
    Mock::new(move |line| match line.split('?').next() {
        Some("GET /events") => Answer::Body(200, format!("{start}\n{connect}\n")),
        _ => refuse(404, "page not found"),
    })
}

#[test]
fn events_are_printed_a_line_each() {
    assert_eq!(
        daemon().ok(&["events"]),
        "2025-11-21T08:46:00.123456789Z container start c1 (image=, name=web)\n\
         2025-11-21T08:46:00.000000000Z network connect n1 (container=c1, name=my, type=bridge)\n"
    );
}

#[test]
fn events_take_times_filters_and_formats() {
    let daemon = daemon();
    let words = [
        "events",
        "--since",
        "2025-11-21",
        "--until",
        "1763714761",
        "-f",
        "type=network",
        "--filter",
        "container=web",
    ];
    daemon.ok(&words);
    assert_eq!(
        daemon.lines(),
        [
            r#"GET /events?since=1763683200.000000000&until=1763714761&filters={"type":{"network":true},"container":{"web":true}}"#
        ]
    );
    assert_eq!(
        daemon.ok(&["events", "--format", "{{.Type}} {{.Status}} {{.Actor.Attributes.name}}"]),
        "container start web\nnetwork  my\n"
    );
    let json = daemon.ok(&["events", "--format", "{{json .}}"]);
    assert!(json.starts_with(r#"{"status":"start","id":"c1","from":"","Type":"container","#), "{json}");
    assert_eq!(json, daemon.ok(&["events", "--format", "json"]));
}

#[test]
fn a_time_that_is_none_is_a_mistake() {
    let daemon = daemon();
    let said = daemon.fails(&["events", "--since", "yesterday"], 2);
    assert!(said.starts_with("vswitch: \"yesterday\" is no time"), "{said}");
    assert_eq!(daemon.lines(), Vec::<String>::new());
}
