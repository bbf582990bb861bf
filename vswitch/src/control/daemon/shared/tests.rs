//! Two daemons on a store in memory.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::super::tests::{daemon_at, network, on, refusal, request};
use super::super::{Daemon, NetworkView};
use super::{ControlError, Sharing};
use crate::control::kv::{Kv, Memory};
use crate::control::net::filters::Filters;
use crate::control::net::selection::PruneFilter;
use crate::control::record::{Container, Status};
use crate::control::request::{CreateRequest, EndpointRequest};
use crate::overlay::Router;

/// Each has a loopback address of its own, so that the tunnels of all have sockets.
struct Node {
    daemon: Arc<Daemon>,
    dir: tempfile::TempDir,
    number: u8,
}

impl Node {
    fn start(store: &Memory, number: u8) -> Self {
        let mut node = Self::alone(number);
        node.join(store);
        node
    }

    fn alone(number: u8) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let daemon = daemon_at(dir.path(), Some(IpAddr::from([127, 7, 0, number])));
        Self { daemon, dir, number }
    }

    fn join(&mut self, store: &Memory) {
        let name = format!("n{}", self.number);
        let sharing = Sharing { kv: Arc::new(store.clone()), prefix: "/vswitch".into(), node: name };
        self.daemon.share(sharing).unwrap();
    }

    fn create(&self, name: &str) -> Result<String, ControlError> {
        let wants = CreateRequest { networks: on(&["demo"]), ..request(name) };
        self.daemon.create(wants, None).map(|reply| reply.id)
    }

    fn address(&self, id: &str) -> String {
        let record = self.daemon.view(id).unwrap().record;
        record.endpoints[0].v4.unwrap().to_string()
    }

    async fn until<T>(&self, what: &str, mut check: impl FnMut(&Daemon) -> Option<T>) -> T {
        let end = std::time::Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(found) = check(&self.daemon) {
                return found;
            }
            assert!(std::time::Instant::now() < end, "waited in vain for {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn demo(&self) -> NetworkView {
        self.until("the network", |daemon| daemon.network("demo").ok()).await
    }
}

fn overlay(node: &Node, name: &str) -> Result<String, ControlError> {
    network(&node.daemon, &serde_json::json!({"Name": name, "Driver": "overlay"}))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_of_one_node_is_there_on_all_and_goes_everywhere() {
    let store = Memory::default();
    let (one, two) = (Node::start(&store, 1), Node::start(&store, 2));
    let id = overlay(&one, "demo").unwrap();
    assert_eq!(two.demo().await.record.id, id);
    assert_eq!(refusal(overlay(&two, "demo")), "network with name demo already exists");
    two.daemon.remove_network("demo").unwrap();
    one.until("its end", |daemon| daemon.network("demo").is_err().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_name_and_no_address_is_given_twice_and_both_are_free_after_the_end() {
    let store = Memory::default();
    let (one, two) = (Node::start(&store, 1), Node::start(&store, 2));
    overlay(&one, "demo").unwrap();
    two.demo().await;
    let first = one.create("web").unwrap();
    assert!(refusal(two.create("web")).starts_with(&format!(
        "Conflict. The container name \"/web\" is already in use by container \"{first}\""
    )));
    let second = two.create("db").unwrap();
    assert_eq!((one.address(&first).as_str(), two.address(&second).as_str()), ("10.0.0.2/24", "10.0.0.3/24"));
    let far = one
        .until("the far one", |daemon| {
            let far = daemon.network("demo").ok()?.far;
            far.first().filter(|_| far.len() == 1).cloned()
        })
        .await;
    assert_eq!((far.name.as_str(), far.vtep), ("db", IpAddr::from([127, 7, 0, 2])));
    assert!(refusal(one.daemon.remove_network("demo")).contains("has active endpoints"));

    one.daemon.remove("web", true).await.unwrap();
    let third = two.create("web").unwrap();
    assert_eq!(two.address(&third), "10.0.0.2/24");
    assert!(refusal(one.daemon.remove_network("demo")).contains("has active endpoints"), "of others");
    let everything = PruneFilter::new(Filters::default(), 0, &jiff::tz::TimeZone::UTC).unwrap();
    assert_eq!(one.daemon.prune_networks(&everything).unwrap(), ["docker_gwbridge"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_changes_for_all_nodes_or_for_none() {
    let store = Memory::default();
    let (one, two) = (Node::start(&store, 1), Node::start(&store, 2));
    overlay(&one, "demo").unwrap();
    two.demo().await;
    one.create("web").unwrap();
    two.create("db").unwrap();
    assert!(refusal(one.daemon.rename("web", "db")).starts_with("Conflict."));
    assert!(one.daemon.view("web").is_ok());
    one.daemon.rename("web", "front").unwrap();
    two.until("the new name", |daemon| {
        daemon.network("demo").ok()?.far.iter().any(|far| far.name == "front").then_some(())
    })
    .await;
    two.create("web").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_store_is_silent_what_is_there_stays_and_a_new_daemon_remembers_it() {
    let store = Memory::default();
    let (one, two) = (Node::start(&store, 1), Node::start(&store, 2));
    let id = overlay(&one, "demo").unwrap();
    two.demo().await;
    two.create("db").unwrap();
    one.until("the far one", |daemon| (daemon.network("demo").ok()?.far.len() == 1).then_some(())).await;
    let kept = format!("{}{id}", super::ENDPOINTS);
    one.until("the far one on disk", |daemon| {
        daemon.store.get::<Vec<super::SharedEndpoint>>(&kept).unwrap().filter(|far| far.len() == 1)
    })
    .await;
    store.set_silent(true);
    assert!(refusal(one.create("web")).contains("the store does not answer"));
    assert_eq!(one.daemon.network("demo").unwrap().far.len(), 1);

    // What is on its disk is all that the next one has.
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(one.dir.path().join("db"), copy.path().join("db")).unwrap();
    let again = daemon_at(copy.path(), Some(IpAddr::from([127, 7, 0, 1])));
    let view = again.network("demo").unwrap();
    assert_eq!((view.record.id, view.far.len()), (id, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_may_have_the_name_of_one_of_a_node_alone() {
    let store = Memory::default();
    let (one, mut two) = (Node::start(&store, 1), Node::alone(2));
    let own = network(&two.daemon, &serde_json::json!({"Name": "demo"})).unwrap();
    let shared = overlay(&one, "demo").unwrap();
    two.join(&store);
    two.until("both", |daemon| {
        let ids: Vec<String> = daemon.networks().into_iter().map(|view| view.record.id).collect();
        (ids.contains(&own) && ids.contains(&shared)).then_some(())
    })
    .await;
    assert_eq!(two.daemon.network("demo").unwrap().record.id, own);
    two.daemon.remove_network(&own).unwrap();
    assert_eq!(two.daemon.network("demo").unwrap().record.id, shared);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_is_gone_from_the_store_takes_nothing_else_with_it() {
    let store = Memory::default();
    let one = Node::start(&store, 1);
    overlay(&one, "demo").unwrap();
    overlay(&one, "other").unwrap();
    let keys = store.list("/vswitch/networks/").await.unwrap().entries;
    let demo = one.daemon.network("demo").unwrap().record.id;
    let key = keys.into_iter().find(|entry| entry.key.ends_with(&demo)).unwrap().key;
    store.commit(&[], &[crate::control::kv::Change::Delete(key)]).await.unwrap();
    one.until("its end", |daemon| daemon.network("demo").is_err().then_some(())).await;
    assert!(one.daemon.network("other").is_ok());
}

/// The network `demo` of two subnets.
fn wide(node: &Node) {
    let subnets = serde_json::json!([{"Subnet": "10.1.0.0/24"}, {"Subnet": "10.2.0.0/24"}]);
    let wide = serde_json::json!({"Name": "demo", "Driver": "overlay", "IPAM": {"Config": subnets}});
    network(&node.daemon, &wide).unwrap();
}

fn router(daemon: &Daemon) -> Arc<Router> {
    let books = daemon.books.lock();
    let network = books.networks.values().find(|network| network.record.name == "demo").unwrap();
    network.fabric.as_ref().unwrap().router.clone().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_an_ethernet_address_of_a_gateway_or_of_the_router() {
    let store = Memory::default();
    let one = Node::start(&store, 1);
    wide(&one);
    let keys = || async { store.list("/vswitch/endpoints/").await.unwrap().entries.len() };
    let router = router(&one.daemon).mac().to_string();
    let with = |mac: &str| {
        let on = EndpointRequest {
            network: "demo".into(),
            mac_address: Some(mac.into()),
            ..EndpointRequest::default()
        };
        one.daemon.create(CreateRequest { networks: vec![on], ..request("a1") }, None)
    };
    for mac in ["02:42:0a:01:00:01", "02:42:0a:02:00:01", &router] {
        let said = refusal(with(mac));
        assert!(said.contains(&format!("{mac} is that of a gateway of network demo")), "{said}");
        assert_eq!((keys().await, one.daemon.views().len()), (0, 0));
    }
    with("02:42:0a:02:00:02").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_is_known_between_subnets_before_it_has_a_port_and_no_longer_than_it_is_there() {
    let store = Memory::default();
    let one = Node::start(&store, 1);
    wide(&one);
    for (name, ip, runs) in [("a1", "10.1.0.7", true), ("b1", "10.2.0.7", true), ("b2", "10.2.0.8", false)] {
        let on =
            EndpointRequest { network: "demo".into(), ip: ip.parse().ok(), ..EndpointRequest::default() };
        let id = one.daemon.create(CreateRequest { networks: vec![on], ..request(name) }, None).unwrap().id;
        if runs {
            one.daemon.commit(&id, |record| record.status = Status::Running { since: 1 }).unwrap();
        }
    }

    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(one.dir.path().join("db"), copy.path().join("db")).unwrap();
    let again = daemon_at(copy.path(), Some(IpAddr::from([127, 7, 0, 2])));
    let known = |daemon: &Daemon| {
        let router = router(daemon);
        let has = |ip: &&str| router.station(ip.parse().unwrap()).is_some();
        ["10.1.0.7", "10.2.0.7", "10.2.0.8"].into_iter().filter(has).collect::<Vec<_>>()
    };
    assert!(known(&again).is_empty());
    for record in again.store.list::<Container>("container/").unwrap() {
        again.enter_books(record);
    }
    assert_eq!(known(&again), ["10.1.0.7", "10.2.0.7"], "the third had not begun");
    // An interface that the shim does not have.
    let record = again.view("a1").unwrap().record;
    again.withdraw(&record.id, &record.endpoints[0]);
    assert_eq!(known(&again), ["10.2.0.7"]);
    // Its shim does not answer: it has ended.
    again.recover().await.unwrap();
    assert!(known(&again).is_empty());
}
