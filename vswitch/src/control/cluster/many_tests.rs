//! Many nodes on one etcd, where it is installed: all make endpoints on one network at once.
//!
//! `VSWITCH_MANY_NODES=100` for more than the twelve there are otherwise, `VSWITCH_MANY_EACH=N` for more than four
//! endpoints each.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::testing::{id, network};
use super::{Cluster, ClusterError, Config, EndpointWish, Events, Held, SharedEndpoint};
use crate::control::kv::etcd::server::Server;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn node(server: &Server, number: u64) -> (Cluster, Events) {
    let vtep =
        Ipv4Addr::from_bits(Ipv4Addr::new(192, 0, 2, 0).to_bits() + u32::try_from(number).unwrap() + 1);
    let config = Config::new(&format!("n{number}"), &id(0x1_0000 + number), vtep.into());
    Cluster::start(Arc::new(server.kv(None)), config, Held::default())
}

/// As a person who tries again when told that the cluster is busy; what was said then.
async fn claim(cluster: &Cluster, wish: EndpointWish) -> (Arc<SharedEndpoint>, Vec<String>) {
    let end = Instant::now() + Duration::from_mins(10);
    let mut said = Vec::new();
    loop {
        match cluster.claim(wish.clone()).await {
            Ok(endpoint) => return (endpoint, said),
            Err(
                error @ (ClusterError::Contended(_) | ClusterError::Store(_) | ClusterError::NotJoined(_)),
            ) => said.push(error.to_string()),
            Err(error) => panic!("{error}"),
        }
        assert!(Instant::now() < end, "never in ten minutes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_make_containers_at_once_get_no_address_and_no_name_twice() {
    let Some(server) = Server::start().await else { return };
    let (count, each) = (number("VSWITCH_MANY_NODES", 12), number("VSWITCH_MANY_EACH", 4));
    let nodes: Vec<(Cluster, Events)> = (0..count).map(|n| node(&server, n)).collect();
    let begun = Instant::now();
    for (cluster, _) in &nodes {
        while cluster.ready().await.is_err() {}
    }
    let joined = begun.elapsed();
    let demo = network(1, "demo", "10.0.0.0/16").record;
    nodes[0].0.create_network(|_| Ok(demo.clone())).await.unwrap();
    until(|| nodes.iter().all(|(cluster, _)| cluster.network(&id(1)).is_some())).await;

    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for (n, (cluster, _)) in (0u64..).zip(&nodes) {
        for e in 0..each {
            let cluster = cluster.clone();
            let wish = EndpointWish {
                id: id((n << 16) + e + 1),
                network: id(1),
                container: id((1 << 40) + (n << 16) + e),
                name: format!("c{n}-{e}"),
                ..EndpointWish::default()
            };
            tasks.spawn(async move { claim(&cluster, wish).await });
        }
        // Everybody wants this one.
        let (cluster, container) = (cluster.clone(), id((2 << 40) + n));
        tasks.spawn(async move {
            let wish = EndpointWish {
                id: id((3 << 40) + n),
                network: id(1),
                container,
                name: "wanted".into(),
                ..EndpointWish::default()
            };
            loop {
                match cluster.claim(wish.clone()).await {
                    Ok(endpoint) => return (endpoint, Vec::new()),
                    Err(ClusterError::NameInUse { .. }) => {
                        return (Arc::new(super::testing::endpoint(0, 0, "", 0)), Vec::new());
                    }
                    Err(ClusterError::Contended(_) | ClusterError::Store(_) | ClusterError::NotJoined(_)) => {
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        });
    }
    let (mut made, mut again) = (Vec::new(), BTreeMap::<String, u64>::new());
    while let Some(done) = tasks.join_next().await {
        let (endpoint, said) = done.unwrap();
        for why in said {
            *again.entry(why).or_default() += 1;
        }
        if endpoint.id != id(0) {
            made.push(endpoint);
        }
    }
    let created = begun.elapsed();
    let last = Instant::now();
    let expected = usize::try_from(count * each + 1).unwrap();
    assert_eq!(made.len(), expected, "each its own, and one the name that all wanted");
    let mut right: Vec<SharedEndpoint> = made.iter().map(|e| e.as_ref().clone()).collect();
    right.sort_by_key(|e| e.ipv4.addr());
    // What came of a call whose answer was late may be there for a moment: nobody wants it, and it is given back.
    let knows = |cluster: &Cluster| {
        let known = cluster.endpoints(&id(1));
        known.len() == expected && known.iter().zip(&right).all(|(known, right)| **known == *right)
    };
    until(|| nodes.iter().all(|(cluster, _)| knows(cluster))).await;
    let converged = last.elapsed();
    let collisions: u64 = nodes.iter().map(|(node, _)| node.inner.state.lock().counters.collisions).sum();
    eprintln!(
        "{count} nodes joined in {joined:.1?}; {expected} endpoints in {created:.1?} with {collisions} collisions; all \
         knew all {converged:.1?} after the last; said to those who called once more: {again:?}"
    );

    let unique =
        |what: fn(&SharedEndpoint) -> String| made.iter().map(|e| what(e)).collect::<BTreeSet<_>>().len();
    assert_eq!(unique(|e| e.ipv4.to_string()), expected, "an address was given twice");
    assert_eq!(unique(|e| e.mac.clone()), expected, "an Ethernet address was given twice");
    assert_eq!(unique(|e| e.name.clone()), expected, "a name was given twice");
    for (cluster, _) in &nodes {
        assert_eq!(cluster.status().lost, 0);
    }
}

async fn until(holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_mins(2);
    while !holds() {
        assert!(Instant::now() < end, "two minutes in vain");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
