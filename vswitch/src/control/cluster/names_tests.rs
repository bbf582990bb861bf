//! Names of containers, claimed by whole nodes.

use super::super::EndpointWish;
use super::super::testing::*;
use super::*;
use crate::control::cluster::schema::encode;
use crate::control::kv::{Kv, KvError, Memory};

const WEB: &str = "/vswitch/containers/web";

async fn two(store: &Memory) -> (Cluster, Cluster) {
    let (a, b) = (start(store.clone(), 1).0, start(store.clone(), 2).0);
    a.ready().await.unwrap();
    b.ready().await.unwrap();
    (a, b)
}

#[tokio::test(start_paused = true)]
async fn a_name_is_one_containers_until_it_is_given_back() {
    let store = Memory::default();
    let (a, b) = two(&store).await;
    a.claim_name("web", &id(1)).await.unwrap();
    a.claim_name("web", &id(1)).await.unwrap();
    let taken = ClusterError::NameInUse { name: "web".into(), container: id(1), node: "n1".into() };
    assert_eq!(b.claim_name("web", &id(2)).await, Err(taken.clone()));
    assert_eq!(a.claim_name("web", &id(2)).await, Err(taken), "nor on its own node");
    // Whoever does not have it does not give it back.
    b.release_name("web", &id(2)).await.unwrap();
    a.release_name("web", &id(2)).await.unwrap();
    assert!(value_at(&store, WEB).is_some());
    a.release_name("web", &id(1)).await.unwrap();
    assert_eq!(value_at(&store, WEB), None);
    let key = Key::Container("web".into());
    until("the other node to hear of it", || b.inner.state.lock().picture.get(&key).is_none()).await;
    b.claim_name("web", &id(2)).await.unwrap();
    assert!(value_at(&store, WEB).unwrap().contains("\"n2\""));
}

#[tokio::test(start_paused = true)]
async fn of_two_that_want_a_name_at_once_one_has_it() {
    let store = Memory::default();
    let (a, b) = two(&store).await;
    let (first, second) = (id(1), id(2));
    let (of_a, of_b) = tokio::join!(a.claim_name("web", &first), b.claim_name("web", &second));
    assert_ne!(of_a.is_ok(), of_b.is_ok(), "{of_a:?} {of_b:?}");
    for refused in [of_a, of_b].into_iter().filter_map(Result::err) {
        assert!(matches!(refused, ClusterError::NameInUse { .. }), "{refused}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_name_is_not_written() {
    let store = Memory::default();
    let (a, _) = two(&store).await;
    let refused = a.claim_name("not a/name", &id(1)).await.unwrap_err();
    assert!(matches!(refused, ClusterError::Unfit(_)), "{refused}");
    assert!(a.inner.state.lock().names.is_empty());
    assert!(store.list("/vswitch/containers/").await.unwrap().entries.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_claim_fails_in_time_while_the_store_is_silent_and_nothing_is_left_of_it() {
    let store = Memory::default();
    let (a, b) = two(&store).await;
    store.set_silent(true);
    let begun = Instant::now();
    let refused = a.claim_name("web", &id(1)).await;
    assert!(matches!(refused, Err(ClusterError::Store(KvError::Unreachable(_)))), "{refused:?}");
    assert!(begun.elapsed() <= PATIENCE + std::time::Duration::from_millis(100));
    store.set_silent(false);
    until("both to be back", || a.status().trouble.is_none() && b.status().trouble.is_none()).await;
    b.claim_name("web", &id(2)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_container_that_gets_another_name_has_it_on_all_its_endpoints_and_gives_the_old_one_back() {
    let store = Memory::default();
    let (a, b) = two(&store).await;
    by_hand(&store, put(&format!("/vswitch/networks/{}", id(1)), encode(&network(1, "demo", "10.0.0.0/24"))));
    until("the network", || a.network(&id(1)).is_some()).await;
    let wish = EndpointWish {
        id: id(7),
        network: id(1),
        container: id(0x77),
        name: "web".into(),
        ..EndpointWish::default()
    };
    let held = a.claim(wish).await.unwrap();
    b.claim_name("taken", &id(2)).await.unwrap();
    assert!(matches!(a.rename(&id(0x77), "web", "taken").await, Err(ClusterError::NameInUse { .. })));
    assert!(matches!(a.rename(&id(0x77), "web", "no/name").await, Err(ClusterError::Unfit(_))));
    assert!(value_at(&store, WEB).is_some(), "nothing has changed");
    a.rename(&id(0x77), "web", "shop").await.unwrap();
    assert_eq!(value_at(&store, WEB), None);
    assert!(value_at(&store, "/vswitch/containers/shop").unwrap().contains(&id(0x77)));
    let at = format!("/vswitch/endpoints/{}/{}", id(1), held.ipv4.addr());
    assert!(value_at(&store, &at).unwrap().contains("\"name\":\"shop\""));
    until("the other node to know", || b.endpoints(&id(1)).iter().any(|e| e.name == "shop")).await;
}
