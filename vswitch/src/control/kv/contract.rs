//! What every store must do, asked of each.

use super::*;

fn put(key: &str, value: &str) -> Change {
    Change::Put { key: key.into(), value: value.into(), lease: None }
}

fn done(outcome: Result<Outcome, KvError>) -> u64 {
    match outcome.unwrap() {
        Outcome::Done(revision) => revision,
        Outcome::Refused(found) => panic!("refused for {found:?}"),
    }
}

fn found(outcome: Result<Outcome, KvError>) -> Vec<(String, String)> {
    match outcome.unwrap() {
        Outcome::Done(_) => panic!("carried out"),
        Outcome::Refused(found) => found.iter().map(pair).collect(),
    }
}

fn pair(entry: &Entry) -> (String, String) {
    (entry.key.clone(), String::from_utf8(entry.value.clone()).unwrap())
}

async fn keys(kv: &dyn Kv, prefix: &str) -> Vec<(String, String)> {
    kv.list(prefix).await.unwrap().entries.iter().map(pair).collect()
}

fn text(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()
}

/// Asks an empty store for all it must do.
pub(super) async fn keeps_its_promises(kv: &dyn Kv) {
    transactions(kv).await;
    watches(kv).await;
    leases(kv).await;
}

async fn transactions(kv: &dyn Kv) {
    let absent = [Condition::Absent("/t/a".into())];
    let first = done(kv.commit(&absent, &[put("/t/a", "1"), put("/t/b", "2")]).await);
    assert_eq!(keys(kv, "/t/").await, text(&[("/t/a", "1"), ("/t/b", "2")]));
    assert_eq!(kv.list("/t/a").await.unwrap().entries[0].version, first);
    let again = done(kv.commit(&[], &[put("/t/a", "1")]).await);
    let entry = &kv.list("/t/a").await.unwrap().entries[0];
    assert_eq!((entry.created, entry.version), (first, again), "put over, it has been there since");
    let first = kv.list("/t/b").await.unwrap().entries[0].version;

    // All or nothing, and what stood in the way is told.
    assert_eq!(found(kv.commit(&absent, &[put("/t/b", "x")]).await), text(&[("/t/a", "1")]));
    let none = [Condition::NoneBelow("/t/".into())];
    assert_eq!(found(kv.commit(&none, &[put("/t/b", "x")]).await), text(&[("/t/a", "1")]));
    let present = [Condition::Present("/t/none".into()), Condition::Present("/t/b".into())];
    assert_eq!(found(kv.commit(&present, &[put("/t/b", "x")]).await), text(&[("/t/b", "2")]));
    assert_eq!(keys(kv, "/t/b").await, text(&[("/t/b", "2")]));

    done(
        kv.commit(
            &[Condition::NoneBelow("/t/b/".into()), Condition::Present("/t/b".into())],
            &[put("/t/b", "3")],
        )
        .await,
    );
    let old = [Condition::Version("/t/b".into(), first)];
    assert_eq!(found(kv.commit(&old, &[Change::Delete("/t/b".into())]).await), text(&[("/t/b", "3")]));
    // Without changes it is a question.
    let revision = kv.list("/t/").await.unwrap().revision;
    assert_eq!(found(kv.commit(&old, &[]).await), text(&[("/t/b", "3")]));
    assert_eq!(done(kv.commit(&present[1..], &[]).await), revision);
    let value = |value: &str| [Condition::Value("/t/b".into(), value.into())];
    assert_eq!(found(kv.commit(&value("2"), &[Change::Delete("/t/b".into())]).await), text(&[("/t/b", "3")]));
    done(kv.commit(&value("3"), &[Change::Delete("/t/b".into()), Change::Delete("/t/none".into())]).await);
    assert_eq!(found(kv.commit(&value("3"), &[put("/t/b", "x")]).await), []);
    assert_eq!(keys(kv, "/t/").await, text(&[("/t/a", "1")]));
}

async fn next(watch: &mut Watch) -> Vec<(String, Option<String>)> {
    let batch = tokio::time::timeout(PATIENCE, watch.recv()).await.unwrap().unwrap().unwrap();
    let pairs = batch.into_iter().map(|event| match event {
        Event::Put(entry) => (entry.key.clone(), Some(pair(&entry).1)),
        Event::Deleted(key, _) => (key, None),
    });
    pairs.collect()
}

async fn watches(kv: &dyn Kv) {
    done(kv.commit(&[], &[put("/w/old", "1")]).await);
    let seen = kv.list("/w/").await.unwrap().revision;
    done(kv.commit(&[], &[put("/w/a", "é")]).await);
    let mut watch = kv.watch("/w/", seen).await.unwrap();
    done(kv.commit(&[], &[put("/v/elsewhere", "1"), put("/x/elsewhere", "1")]).await);
    done(kv.commit(&[], &[Change::Delete("/w/a".into()), put("/w/b", "2")]).await);
    let mut events = Vec::new();
    while events.len() < 3 {
        events.extend(next(&mut watch).await);
    }
    let a = ("/w/a".to_owned(), Some("é".to_owned()));
    events[1..].sort();
    assert_eq!(events, [a, ("/w/a".into(), None), ("/w/b".into(), Some("2".into()))]);
}

async fn leases(kv: &dyn Kv) {
    let lease = kv.grant(60).await.unwrap();
    let held = Change::Put { key: "/l/node".into(), value: b"up".to_vec(), lease: Some(lease) };
    let revision = done(kv.commit(&[], std::slice::from_ref(&held)).await);
    let mut watch = kv.watch("/l/", revision).await.unwrap();
    assert!(kv.keep(lease).await.unwrap());
    kv.revoke(lease).await.unwrap();
    assert_eq!(next(&mut watch).await, [("/l/node".to_owned(), None)]);
    assert!(!kv.keep(lease).await.unwrap());
    kv.revoke(lease).await.unwrap();
    let refused = kv.commit(&[], &[held]).await.unwrap_err();
    assert!(matches!(&refused, KvError::Refused(why) if why.contains("lease not found")), "{refused}");
}

#[tokio::test]
async fn a_store_in_memory_keeps_its_promises() {
    let memory = Memory::default();
    keeps_its_promises(&memory).await;
    memory.compact();
    let mut watch = memory.watch("/w/", 1).await.unwrap();
    assert_eq!(watch.recv().await, Some(Err(KvError::Compacted(1))));
    memory.set_silent(true);
    assert!(matches!(memory.list("/").await, Err(KvError::Unreachable(_))));
    memory.set_silent(false);
    let lease = memory.grant(1).await.unwrap();
    let held = Change::Put { key: "/l/x".into(), value: Vec::new(), lease: Some(lease) };
    done(memory.commit(&[], &[held]).await);
    memory.expire(lease);
    assert!(memory.list("/l/").await.unwrap().entries.is_empty());
}
