//! docs/openapi.yaml against the server: what the file says is what is served, and nothing else is.
#![allow(clippy::unwrap_used)] // A test that fails to unwrap has failed.

mod document;
mod schema;
mod server;

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Body;
use document::{DOCUMENT, OPERATIONS, Operation, schemas};
use nat::engine::{Direction, FlowInfo, InsideId};
use nat::flow::{Endpoint, Protocol};
use packet::MacAddr;
use serde_json::{Value, json};
use server::{Server, endless_body};
use vswitch::control::api::{self, MAX_BODY, fuzzing};
use vswitch::control::wire;
use vswitch::dataplane::Switch;
use vswitch::dataplane::fdb::Station;
use vswitch::outside::{Flow, News, What};

#[test]
fn every_route_is_described_and_everything_described_is_a_route() {
    let served: BTreeSet<String> =
        api::routes().iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    let described: BTreeSet<String> =
        OPERATIONS.iter().map(|op| format!("{} {}", op.method, op.path)).collect();
    assert_eq!(served, described);
    assert_eq!(api::routes().len(), served.len(), "a route is there twice");
    let ids: BTreeSet<&str> = OPERATIONS.iter().map(|op| op.id).collect();
    assert_eq!(ids.len(), OPERATIONS.len(), "an operationId is there twice");
}

#[test]
fn nothing_in_the_file_goes_unchecked() {
    let mut unknown = Vec::new();
    for (name, schema) in DOCUMENT["components"]["schemas"].as_object().unwrap() {
        schemas().unknown(schema, name, &mut unknown);
    }
    for op in OPERATIONS.iter() {
        let query = op.query.iter().map(|(_, schema)| *schema);
        let answers = op.answers.values().flat_map(|content| content.values().copied());
        for schema in query.chain(answers).chain(op.body.iter().map(|body| body.schema)) {
            if !schema.is_null() {
                schemas().unknown(schema, op.id, &mut unknown);
            }
        }
        if let Some(body) = &op.body {
            let wrong = schemas().check(body.schema, body.example, true);
            assert!(wrong.is_empty(), "the example of {}: {wrong:#?}", op.id);
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
}

fn example(id: &str) -> &'static Value {
    OPERATIONS.iter().find(|op| op.id == id).unwrap().body.as_ref().unwrap().example
}

/// Every answer that the file promises is given, but for 500: what should work does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_as_described() {
    let server = Server::start();
    system(&server).await;
    networks(&server).await;
    reservations(&server).await;
    memberships(&server).await;
    bridges(&server).await;
    containers(&server).await;
    bodies(&server).await;
    removals(&server).await;
    server.expect(200, "GET", "/events?since=0&until=0s").await;

    let promised = OPERATIONS.iter().flat_map(|op| op.answers.keys().map(|status| (op.id, *status)));
    let seen = server.seen.lock();
    let unseen: Vec<_> =
        promised.filter(|(id, status)| *status != 500 && !seen.contains(&(*id, *status))).collect();
    assert!(unseen.is_empty(), "promised, and never given: {unseen:?}");
}

/// The containers of the server above have no traffic.
#[test]
fn events_of_flows_are_as_described() {
    let info = FlowInfo {
        protocol: Protocol::Icmp,
        inside: InsideId(1),
        direction: Direction::Outbound,
        local: Endpoint::new([172, 17, 0, 2], 7),
        outside: None,
        remote: Endpoint::new([192, 0, 2, 1], 0),
        state: "UNREPLIED",
        age: Duration::from_secs(1),
        idle: Duration::ZERO,
        bytes_out: 64,
        bytes_in: 0,
        packets_out: 1,
        packets_in: 0,
    };
    let owner = wire::Owner { id: "0".repeat(64), name: "web".into() };
    let schema = &DOCUMENT["components"]["schemas"]["FlowEvent"];
    let event =
        |what| wire::flow_event(&owner, &News { time: 1, what, flow: Flow { port: 1, info: info.clone() } });
    for event in
        [What::Live, What::New, What::Changed, What::Gone].map(event).into_iter().chain([wire::lost(3)])
    {
        let wrong = schemas().check(schema, &event, true);
        assert!(wrong.is_empty(), "{event}: {wrong:#?}");
    }
}

async fn system(server: &Server) {
    server.expect(200, "GET", "/_ping").await;
    server.expect(200, "GET", "/version").await;
    server.expect(200, "GET", "/info").await;
    server.expect(400, "GET", "/events?since=never").await;
}

async fn networks(server: &Server) {
    let create = "/networks/create";
    server.expect_json(201, create, example("createNetwork")).await;
    server.expect_json(409, create, example("createNetwork")).await;
    server.expect_json(400, create, &json!({"Name": "b d"})).await;
    server.expect_json(403, create, &json!({"Name": "bridge"})).await;
    server.expect_json(404, create, &json!({"Name": "other", "Driver": "nothing"})).await;
    server.expect_json(201, create, &json!({"Name": "conf", "ConfigOnly": true})).await;
    server.expect_json(201, create, &json!({"Name": "from", "ConfigFrom": {"Network": "conf"}})).await;
    server.expect(200, "GET", "/networks").await;
    server.expect(200, "GET", "/networks?filters=%7B%22driver%22:%5B%22bridge%22%5D%7D").await;
    server.expect(400, "GET", "/networks?filters=3").await;
    for network in ["bridge", "host", "none", "my-net", "conf", "from"] {
        server.expect(200, "GET", &format!("/networks/{network}")).await;
    }
    server.expect(400, "GET", "/networks/%ff").await;
    server.expect(404, "GET", "/networks/nowhere").await;
}

async fn reservations(server: &Server) {
    let create = "/vswitch/containers";
    server.container(&json!({"Name": "db", "Command": ["true"], "Expose": ["5432"]})).await;
    server.container(example("reserveContainer")).await;
    server.container(&json!({"Name": "lab", "Attach": {"netns": "/nowhere"}})).await;
    server.container(&json!({"Name": "h1", "Command": ["true"], "Networks": [{"Network": "host"}]})).await;
    server.container(&json!({"Name": "n1", "Command": ["true"], "Networks": [{"Network": "none"}]})).await;
    server.expect_json(400, create, &json!({"Name": "x1"})).await;
    let twice = json!([{"Network": "my-net"}, {"Network": "my-net"}]);
    server.expect_json(403, create, &json!({"Command": ["true"], "Networks": twice})).await;
    server
        .expect_json(404, create, &json!({"Command": ["true"], "Networks": [{"Network": "nowhere"}]}))
        .await;
    server.expect_json(409, create, &json!({"Name": "web", "Command": ["true"]})).await;

    server.expect_json(201, create, &json!({"Name": "early", "Command": ["true"]})).await;
    server.expect(500, "POST", "/vswitch/containers/early/start").await;
    server.expect(404, "POST", "/vswitch/containers/early/start").await;
    server.expect(409, "POST", "/vswitch/containers/web/start").await;
    server.expect(400, "POST", "/vswitch/containers/%ff/start").await;
    let missing =
        server.expect_json(201, create, &json!({"Name": "missing", "Command": ["not-there"]})).await;
    fuzzing::stand_in(&serde_json::from_value(missing).unwrap()).unwrap();
    assert_eq!(server.expect(400, "POST", "/vswitch/containers/missing/start").await["exitCode"], 127);
    // With so many there are two ids with one beginning.
    for n in 0..17 {
        server.expect_json(201, create, &json!({"Name": format!("wait{n}"), "Command": ["true"]})).await;
    }
    let ids: Vec<String> = server.daemon.views().into_iter().map(|view| view.record.id).collect();
    let first = |id: &str| id[..1].to_owned();
    let several =
        ids.iter().map(|id| first(id)).find(|one| ids.iter().filter(|id| first(id) == *one).count() > 1);
    let several = several.expect("two ids with one beginning");
    server.expect(400, "GET", &format!("/vswitch/nat?container={several}")).await;
    server.expect(400, "GET", &format!("/vswitch/nat/events?container={several}")).await;
    server.expect(400, "GET", &format!("/containers/{several}/json")).await;
}

async fn memberships(server: &Server) {
    let (connect, disconnect) = ("/networks/my-net/connect", "/networks/my-net/disconnect");
    server.expect(200, "GET", "/networks/my-net").await;
    server.expect_json(200, disconnect, example("disconnectNetwork")).await;
    server.expect_json(403, disconnect, example("disconnectNetwork")).await;
    server.expect_json(200, connect, example("connectNetwork")).await;
    server.expect_json(403, connect, example("connectNetwork")).await;
    let address = |text: &str| json!({"IPAMConfig": {"IPv4Address": text}});
    server.expect_json(400, connect, &json!({"Container": "db", "EndpointConfig": address("x")})).await;
    server.expect_json(404, connect, &json!({"Container": "nobody"})).await;
    server.expect_json(409, connect, &json!({"Container": "wait1"})).await;
    server.expect_json(400, disconnect, &json!({"Container": 1})).await;
    server.expect_json(404, disconnect, &json!({"Container": "nobody"})).await;
    server.expect_json(200, disconnect, &json!({"Container": "nobody", "Force": true})).await;
    server.expect_json(409, "/networks/bridge/disconnect", &json!({"Container": "wait1"})).await;
    server.expect_json(200, connect, &json!({"Container": "db"})).await;
}

async fn bridges(server: &Server) {
    server.expect(200, "GET", "/vswitch/bridges").await;
    let fdb = "/vswitch/bridges/my-net/fdb";
    server.expect_json(204, fdb, example("addStation")).await;
    server.expect(200, "GET", fdb).await;
    server.expect(400, "GET", "/vswitch/bridges/host/fdb").await;
    server.expect(404, "GET", "/vswitch/bridges/nowhere/fdb").await;
    server.expect_json(400, fdb, &json!({"Mac": "x", "Port": "web"})).await;
    server.expect_json(404, fdb, &json!({"Mac": "02:00:00:00:00:02", "Port": "nobody"})).await;
    server.expect(204, "DELETE", &format!("{fdb}/02:00:00:00:00:01?vlan=0")).await;
    server.expect(404, "DELETE", &format!("{fdb}/02:00:00:00:00:01")).await;
    server.expect(400, "DELETE", &format!("{fdb}/ff:ff:ff:ff:ff:ff")).await;
    let table = server.daemon.bridges("my-net").unwrap().1.remove(0);
    let port = table.ports().iter().find(|port| port.owner() == "web").unwrap().no();
    let station = |n: u16| Station { mac: MacAddr([2, 0, 0, 1, (n >> 8) as u8, n as u8]), vlan: 0 };
    assert!((0..u16::MAX).any(|n| !table.fdb().set_static(station(n), port, Switch::now())));
    server.expect_json(409, fdb, &json!({"Mac": "02:00:00:00:00:03", "Port": "web"})).await;
    server.expect(200, "POST", "/vswitch/bridges/my-net/flush").await;
    server.expect(400, "POST", "/vswitch/bridges/none/flush").await;
    server.expect(404, "POST", "/vswitch/bridges/nowhere/flush").await;
    let ageing = example("setAgeing");
    server.expect_json(204, "/vswitch/bridges/my-net/ageing", ageing).await;
    server.expect_json(400, "/vswitch/bridges/host/ageing", ageing).await;
    server.expect_json(404, "/vswitch/bridges/nowhere/ageing", ageing).await;

    server.expect(200, "GET", "/vswitch/ports/web:eth0").await;
    server.expect(400, "GET", "/vswitch/ports/db").await;
    server.expect(404, "GET", "/vswitch/ports/nobody").await;
    server.expect_json(204, "/vswitch/ports/web", example("setPort")).await;
    server.expect_json(400, "/vswitch/ports/db", example("setPort")).await;
    server.expect_json(404, "/vswitch/ports/nobody", example("setPort")).await;

    for on in ["any", "web", "web:eth0", "my-net"] {
        server.expect(200, "GET", &format!("/vswitch/capture?on={on}&filter=tcp&snaplen=0&count=1")).await;
    }
    server.expect(400, "GET", "/vswitch/capture?filter=nonsense").await;
    server.expect(404, "GET", "/vswitch/capture?on=nobody").await;
    server.expect(200, "GET", "/vswitch/nat?container=web").await;
    server.expect(404, "GET", "/vswitch/nat?container=nobody").await;
    server.expect(200, "GET", "/vswitch/nat/events?container=web").await;
    server.expect(404, "GET", "/vswitch/nat/events?container=nobody").await;
}

async fn containers(server: &Server) {
    server.expect(200, "GET", "/containers/json").await;
    server.expect(200, "GET", "/containers/json?all=1&limit=3").await;
    server.expect(400, "GET", "/containers/json?filters=%7B%22x%22:%5B%22y%22%5D%7D").await;
    server.expect(404, "GET", "/containers/json?filters=%7B%22since%22:%5B%22nobody%22%5D%7D").await;
    for name in ["web", "db", "lab", "h1", "n1", "wait1"] {
        server.expect(200, "GET", &format!("/containers/{name}/json")).await;
    }
    server.expect(404, "GET", "/containers/nobody/json").await;

    let renamed = "/containers/n1/rename";
    server.expect(204, "POST", &format!("{renamed}?name=n2")).await;
    server.expect(400, "POST", "/containers/n2/rename?name=n").await;
    server.expect(409, "POST", "/containers/n2/rename?name=web").await;
    server.expect(404, "POST", &format!("{renamed}?name=n3")).await;

    server.expect(200, "GET", "/vswitch/containers/web/logs").await;
    server.expect(400, "GET", "/vswitch/containers/%ff/logs").await;
    server.expect(404, "GET", "/vswitch/containers/nobody/logs").await;
    server.expect(409, "GET", "/vswitch/containers/db/logs").await;

    server.expect(204, "POST", "/vswitch/containers/lab/detach").await;
    server.expect(404, "POST", "/vswitch/containers/lab/detach").await;
    server.expect(409, "POST", "/vswitch/containers/web/detach").await;
    server.expect(400, "POST", "/vswitch/containers/%ff/detach").await;

    server.expect(204, "POST", "/containers/web/kill?signal=TERM").await;
    server.expect(200, "POST", "/containers/web/wait?condition=not-running").await;
    server.expect(400, "POST", "/containers/web/wait?condition=never").await;
    server.expect(404, "POST", "/containers/nobody/wait").await;
    server.expect(409, "POST", "/containers/web/kill").await;
    server.expect(400, "POST", "/containers/web/kill?signal=SIGNOTHING").await;
    server.expect(404, "POST", "/containers/nobody/kill").await;
    // It has ended.
    server.expect(200, "GET", "/containers/web/json").await;
    server.expect(200, "GET", "/containers/json?all=1").await;

    server.expect(409, "DELETE", "/containers/db").await;
    server.expect(204, "POST", "/containers/db/stop?t=1").await;
    server.expect(400, "POST", "/containers/db/stop?signal=x").await;
    server.expect(404, "POST", "/containers/nobody/stop").await;
    server.expect(204, "DELETE", "/containers/h1?force=1").await;
    server.expect(404, "DELETE", "/containers/h1").await;
    server.expect(400, "DELETE", "/containers/%ff").await;
}

fn filled(op: &Operation) -> String {
    op.path.replace("{id}", "bridge").replace("{net}", "bridge").replace("{port}", "n2").replace("{mac}", "x")
}

async fn bodies(server: &Server) {
    for op in OPERATIONS.iter() {
        let uri = filled(op);
        for (name, schema) in &op.query {
            if schemas().types(schema).contains(&"integer") {
                server.expect(400, &op.method, &format!("{uri}?{name}=x")).await;
            }
        }
        let Some(body) = &op.body else { continue };
        let large = vec![b' '; MAX_BODY + 1];
        assert_eq!(server.send(&op.method, &uri, Body::from(large)).await.0, 413, "{uri}");
        assert_eq!(server.send(&op.method, &uri, endless_body()).await.0, 408, "{uri}");
        let mut more = body.example.clone();
        more["Nonsense"] = json!(1);
        let refused = server.send(&op.method, &uri, Body::from(more.to_string())).await.0 == 400;
        assert!(refused || !uri.starts_with("/vswitch/"), "{uri} passes over what it does not know");
        for (at, wrong) in mistyped(body.schema, body.example) {
            let mut request = body.example.clone();
            *request.pointer_mut(&at).unwrap() = wrong.clone();
            let (status, answer) = server.send(&op.method, &uri, Body::from(request.to_string())).await;
            // In Docker's calls null is nothing, which is no type's mistake but may well be another.
            assert!(
                status == 400 || (wrong.is_null() && status > 400),
                "{uri} takes {wrong} for {at}: {answer}"
            );
        }
    }
}

/// Every member of an example, and a value of each type that its schema does not allow there.
fn mistyped(schema: &'static Value, value: &Value) -> Vec<(String, Value)> {
    fn visit(schema: &'static Value, value: &Value, at: &str, all: &mut Vec<(String, Value)>) {
        let schema = schemas().follow(schema);
        let types = schemas().types(schema);
        for other in [Value::Null, json!(true), json!(3), json!("x"), json!([[]]), json!({"x": []})] {
            if !types.contains(&schema::type_of(&other)) {
                all.push((at.to_owned(), other));
            }
        }
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    let schema = schema["properties"].get(name).unwrap_or(&schema["additionalProperties"]);
                    visit(schema, member, &format!("{at}/{name}"), all);
                }
            }
            Value::Array(items) => {
                for (n, item) in items.iter().enumerate() {
                    visit(&schema["items"], item, &format!("{at}/{n}"), all);
                }
            }
            _ => {}
        }
    }
    let mut all = Vec::new();
    visit(schema, value, "", &mut all);
    all
}

async fn removals(server: &Server) {
    server.expect(403, "DELETE", "/networks/bridge").await;
    server.expect(404, "DELETE", "/networks/nowhere").await;
    server.expect(400, "DELETE", "/networks/%ff").await;
    server.expect(204, "DELETE", "/networks/from").await;
    server.expect(400, "POST", "/networks/prune?filters=%7B%22x%22:%5B%22y%22%5D%7D").await;
    for _ in 0..2 {
        server.expect(200, "POST", "/networks/prune").await;
    }
}
