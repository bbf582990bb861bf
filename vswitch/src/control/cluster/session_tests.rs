//! Whole nodes on a store in memory: joining, staying, and who is told that it cannot.

use std::net::Ipv4Addr;

use super::super::testing::*;
use super::super::{Config, Held};
use super::*;
use crate::control::kv::{Kv, Memory};

const OWN: &str = "/vswitch/nodes/n1";

async fn sessions(cluster: &super::super::Cluster, count: u64) {
    until("a session", || {
        let status = cluster.status();
        status.joined && status.sessions >= count
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_joins_is_there_under_its_name_and_address_until_it_leaves() {
    let store = Memory::default();
    let (cluster, _events) = start(store.clone(), 1);
    cluster.ready().await.unwrap();
    let keys = [OWN, "/vswitch/vteps/192.0.2.1", "/vswitch/members/n1"];
    for key in keys {
        assert!(value_at(&store, key).unwrap().contains("n1"), "{key}");
    }
    assert_eq!(value_at(&store, "/vswitch/version").unwrap(), r#"{"schema":1}"#);
    assert!(value_at(&store, "/vswitch/epoch").is_some());
    cluster.leave().await.unwrap();
    for key in keys {
        assert_eq!(value_at(&store, key), None);
    }
    assert_eq!(cluster.ready().await, Err(ClusterError::Left));
}

#[tokio::test(start_paused = true)]
async fn the_second_with_a_name_or_an_address_is_told_whose_it_is() {
    let store = Memory::default();
    let (first, _events) = start(store.clone(), 1);
    first.ready().await.unwrap();
    let other = Config::new("n1", &id(0xff), Ipv4Addr::new(192, 0, 2, 9).into());
    let (same_name, _events) = start_as(store.clone(), other, "run", Held::default());
    let refused = same_name.ready().await;
    assert_eq!(
        refused,
        Err(ClusterError::NodeInUse { name: "n1".into(), vtep: Ipv4Addr::new(192, 0, 2, 1).into() })
    );
    let other = Config::new("n9", &id(0xff), Ipv4Addr::new(192, 0, 2, 1).into());
    let (same_address, _events) = start_as(store.clone(), other, "run", Held::default());
    let refused = same_address.ready().await;
    let address = Ipv4Addr::new(192, 0, 2, 1).into();
    assert_eq!(refused, Err(ClusterError::VtepInUse { address, node: "n1".into() }));
    // It goes on trying, and has the address as soon as it is free.
    first.leave().await.unwrap();
    sessions(&same_address, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_started_again_takes_its_own_place_and_the_one_before_does_not_take_it_back() {
    let store = Memory::default();
    let (before, _events) = start_holding(store.clone(), 1, "first", Held::default());
    before.ready().await.unwrap();
    let (after, _events) = start_holding(store.clone(), 1, "second", Held::default());
    after.ready().await.unwrap();
    until("the first to be displaced", || before.inner.state.lock().session.is_none()).await;
    assert_eq!(before.standing(), super::super::Standing::Doubtful);
    sleep(Duration::from_mins(5)).await;
    assert_eq!(before.ready().await, Err(ClusterError::Displaced("n1".into())));
    assert_eq!(after.status().sessions, 1);
}

#[tokio::test(start_paused = true)]
async fn a_nodes_key_that_cannot_be_read_is_nobodys() {
    let store = Memory::default();
    by_hand(&store, put(OWN, "nonsense"));
    let (cluster, _events) = start(store.clone(), 1);
    cluster.ready().await.unwrap();
    assert!(value_at(&store, OWN).unwrap().contains("192.0.2.1"));
}

#[tokio::test(start_paused = true)]
async fn after_a_lease_that_ended_there_is_another_session() {
    let store = Memory::default();
    let (cluster, _events) = start(store.clone(), 1);
    cluster.ready().await.unwrap();
    let lease = cluster.inner.state.lock().session.unwrap().lease;
    store.expire(lease);
    assert_eq!(value_at(&store, OWN), None);
    sessions(&cluster, 2).await;
    assert!(value_at(&store, OWN).is_some());
}

/// The lease lives, but others regard the node as gone, and would reap what it believes to be its own.
#[tokio::test(start_paused = true)]
async fn a_lease_that_lives_is_no_session_without_the_nodes_key() {
    for change in [Change::Delete(OWN.into()), put(OWN, "nonsense")] {
        let deaf = Deaf::default();
        let (cluster, _events) = start(deaf.clone(), 1);
        cluster.ready().await.unwrap();
        let lease = cluster.inner.state.lock().config.lease;
        by_hand(&deaf.store, change);
        let begun = tokio::time::Instant::now();
        until("the session to end", || cluster.inner.state.lock().session.is_none()).await;
        assert!(
            begun.elapsed() <= lease / 2,
            "with its next renewal, long before it looks at a silent watch"
        );
        sessions(&cluster, 2).await;
        assert!(value_at(&deaf.store, OWN).unwrap().contains("192.0.2.1"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_silent_is_waited_for() {
    let store = Memory::default();
    store.set_silent(true);
    let (cluster, _events) = start(store.clone(), 1);
    let refused = cluster.ready().await;
    assert!(matches!(refused, Err(ClusterError::Store(KvError::Unreachable(_)))), "{refused:?}");
    store.set_silent(false);
    sessions(&cluster, 1).await;
    // Once more, for less than its claims are its own without a word.
    store.set_silent(true);
    sleep(Duration::from_secs(30)).await;
    assert_eq!(cluster.standing(), super::super::Standing::Sure);
    assert!(cluster.status().trouble.is_some());
    sleep(Duration::from_mins(1)).await;
    assert_eq!(cluster.standing(), super::super::Standing::Doubtful);
    store.set_silent(false);
    until("it to be sure again", || cluster.standing() == super::super::Standing::Sure).await;
    assert_eq!(cluster.status().sessions, 1, "its lease and its key were there all the time");
    assert!(store.list(OWN).await.is_ok());
}
