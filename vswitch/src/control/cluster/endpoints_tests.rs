//! Claims of endpoints by whole nodes.

use super::super::testing::*;
use super::*;
use crate::control::cluster::schema::encode;
use crate::control::kv::{Change, KvError, Memory};

async fn nodes(store: &Memory, count: u8) -> Vec<Cluster> {
    let nodes: Vec<Cluster> = (1..=count).map(|number| start(store.clone(), number).0).collect();
    for node in &nodes {
        node.ready().await.unwrap();
    }
    by_hand(store, put(&format!("/vswitch/networks/{}", id(1)), encode(&network(1, "demo", "10.0.0.0/24"))));
    until("the network", || nodes.iter().all(|node| node.network(&id(1)).is_some())).await;
    nodes
}

#[tokio::test(start_paused = true)]
async fn what_a_node_is_asked_for_at_once_gets_the_lowest_addresses_without_a_collision() {
    let store = Memory::default();
    let node = nodes(&store, 1).await.remove(0);
    let claims = (1..=9).map(|number| node.claim(wish(number)));
    let held = futures_util::future::join_all(claims).await;
    let mut given: Vec<u8> = held.into_iter().map(|held| held.unwrap().ipv4.addr().octets()[3]).collect();
    given.sort_unstable();
    assert_eq!(given, (2..=10).collect::<Vec<u8>>());
    assert_eq!(node.inner.state.lock().counters.collisions, 0);
}

#[tokio::test(start_paused = true)]
async fn nodes_that_claim_at_once_get_different_addresses_and_the_lowest_ones_again_later() {
    let store = Memory::default();
    let nodes = nodes(&store, 8).await;
    let claims = (0..).zip(&nodes).flat_map(|(n, node)| (1..=9).map(move |e| node.claim(wish(100 * n + e))));
    let held = futures_util::future::join_all(claims).await;
    let given: std::collections::BTreeSet<_> =
        held.into_iter().map(|held| held.unwrap().ipv4.addr()).collect();
    assert_eq!(given.len(), 72);
    tokio::time::sleep(Duration::from_secs(6)).await;
    let free = (2..255).find(|last| !given.contains(&[10, 0, 0, *last].into())).unwrap();
    let later = nodes[3].claim(wish(9999)).await.unwrap();
    assert_eq!(later.ipv4.addr().octets()[3], free);
}

#[tokio::test(start_paused = true)]
async fn claims_that_wait_for_each_other_on_a_silent_store_fail_in_time_and_say_why() {
    let store = Memory::default();
    let node = nodes(&store, 1).await.remove(0);
    store.set_silent(true);
    let begun = Instant::now();
    let claims = (1..=5).map(|number| node.claim(wish(number)));
    for refused in futures_util::future::join_all(claims).await {
        assert!(matches!(refused, Err(ClusterError::Store(KvError::Unreachable(_)))), "{refused:?}");
    }
    assert!(begun.elapsed() <= PATIENCE + Duration::from_millis(100));
    assert!(node.inner.state.lock().claims.is_empty());
}

#[tokio::test(start_paused = true)]
async fn aliases_change_in_the_store_and_too_many_change_nothing() {
    let store = Memory::default();
    let node = nodes(&store, 1).await.remove(0);
    let held = node.claim(wish(1)).await.unwrap();
    let at = format!("/vswitch/endpoints/{}/{}", id(1), held.ipv4.addr());
    node.set_aliases(&id(1), vec!["db".into()]).await.unwrap();
    assert!(value_at(&store, &at).unwrap().contains(r#""aliases":["db"]"#));
    let refused = node.set_aliases(&id(1), vec!["a".into(); 1025]).await;
    assert!(matches!(refused, Err(ClusterError::Unfit(_))), "{refused:?}");
    assert!(value_at(&store, &at).unwrap().contains(r#""aliases":["db"]"#));
    let refused = node.set_aliases(&id(2), Vec::new()).await;
    assert_eq!(refused, Err(ClusterError::NotHeld(id(2))));
    node.release(&id(1)).await.unwrap();
    assert_eq!(value_at(&store, &at), None);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_of_which_only_one_key_was_deleted_lingers_and_one_that_was_given_back_does_not() {
    let store = Memory::default();
    let nodes = nodes(&store, 2).await;
    let held = nodes[0].claim(wish(1)).await.unwrap();
    let other = nodes[0].claim(wish(2)).await.unwrap();
    let knows = |count| nodes[1].endpoints(&id(1)).len() == count;
    until("the other to know", || knows(2)).await;
    assert!(!nodes[1].lingers(&held), "it is there");
    nodes[0].release(&id(2)).await.unwrap();
    until("the other to know", || knows(1)).await;
    assert!(!nodes[1].lingers(&other));
    // Nobody puts it again.
    nodes[0].stop();
    by_hand(&store, Change::Delete(format!("/vswitch/endpoints/{}/{}", id(1), held.ipv4.addr())));
    until("the other to know", || knows(0)).await;
    assert!(nodes[1].lingers(&held));
    by_hand(&store, Change::Delete(format!("/vswitch/addresses/{}/{}", id(1), held.mac)));
    until("the other to know", || !nodes[1].lingers(&held)).await;
}
