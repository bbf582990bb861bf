//! Watches that end, are silent, or are behind.

use super::super::testing::*;
use super::*;
use crate::control::cluster::schema::encode;
use crate::control::kv::{Entry, Memory};

fn demo(number: u64) -> crate::control::kv::Change {
    let network = network(number, &format!("net{number}"), &format!("10.0.{number}.0/24"));
    put(&format!("/vswitch/networks/{}", id(number)), encode(&network))
}

#[tokio::test(start_paused = true)]
async fn what_changes_is_known_and_after_a_watch_that_ended_too() {
    let store = Memory::default();
    let (cluster, _events) = start(store.clone(), 1);
    cluster.ready().await.unwrap();
    by_hand(&store, demo(1));
    until("the network", || cluster.network(&id(1)).is_some()).await;
    let before = cluster.status().resyncs;
    store.set_silent(true);
    store.set_silent(false);
    by_hand(&store, demo(2));
    store.compact();
    until("the network of meanwhile", || cluster.network(&id(2)).is_some()).await;
    assert!(cluster.status().resyncs > before);
    by_hand(&store, demo(3));
    until("the network after it", || cluster.network(&id(3)).is_some()).await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_says_nothing_while_something_happens_is_not_believed() {
    let deaf = Deaf::default();
    let (cluster, _events) = start(deaf.clone(), 1);
    cluster.ready().await.unwrap();
    by_hand(&deaf.store, demo(1));
    until("the network", || cluster.network(&id(1)).is_some()).await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_others_use_for_something_else_is_not_read_anew_all_the_time() {
    let store = Memory::default();
    let (cluster, _events) = start(store.clone(), 1);
    cluster.ready().await.unwrap();
    for minute in 0..120 {
        by_hand(&store, put("/elsewhere", format!("{minute}")));
        sleep(Duration::from_secs(30)).await;
    }
    // Every 40 s it would be 90.
    let resyncs = cluster.status().resyncs;
    assert!((2..20).contains(&resyncs), "{resyncs} in an hour");
}

fn entry(key: &str, version: u64) -> Event {
    Event::Put(Entry { key: key.into(), value: Vec::new(), version, created: version })
}

#[tokio::test]
async fn whoever_is_behind_takes_everything_at_once_up_to_where_the_watch_breaks() {
    let (events, mut watch) = tokio::sync::mpsc::channel(8);
    for version in 1..4 {
        events.send(Ok(vec![entry("k", version)])).await.unwrap();
    }
    let first = watch.recv().await;
    let (all, end) = all_of(first, &mut watch);
    assert_eq!(all, [entry("k", 1), entry("k", 2), entry("k", 3)]);
    assert!(end.is_none());
    events.send(Ok(vec![entry("k", 4)])).await.unwrap();
    events.send(Err(KvError::Compacted(4))).await.unwrap();
    let first = watch.recv().await;
    let (all, end) = all_of(first, &mut watch);
    assert_eq!(all, [entry("k", 4)]);
    assert!(matches!(end, Some(End::Broken)));
    events.send(Ok(vec![entry("k", 5)])).await.unwrap();
    drop(events);
    let first = watch.recv().await;
    let (all, end) = all_of(first, &mut watch);
    assert_eq!((all.len(), matches!(end, Some(End::Broken))), (1, true));
}

#[tokio::test]
async fn not_more_is_taken_at_once_than_may_be() {
    let (events, mut watch) = tokio::sync::mpsc::channel(8);
    for _ in 0..3 {
        events.send(Ok(vec![entry("k", 1); MOST_AT_ONCE / 2 + 1])).await.unwrap();
    }
    let first = watch.recv().await;
    assert_eq!(all_of(first, &mut watch).0.len(), MOST_AT_ONCE + 2);
    let rest = watch.recv().await;
    assert_eq!(all_of(rest, &mut watch).0.len(), MOST_AT_ONCE / 2 + 1);
}
