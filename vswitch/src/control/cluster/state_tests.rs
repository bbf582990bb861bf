//! The node's session: when its claims are its own, and when it takes part.

use super::super::schema::{Version, encode};
use super::super::testing::*;
use super::*;

fn key() -> Key {
    Key::Node("n1".into())
}

#[test]
fn claims_are_sure_for_the_lease_and_half_the_grace_time_after_the_last_renewal_was_sent() {
    let mut lab = Lab::new();
    assert_eq!(lab.state.standing(lab.now), Standing::Sure);
    let sure = LEASE + GRACE / 2;
    assert_eq!(lab.state.sure_for(lab.now), Some(sure));
    let sent = lab.now;
    lab.wait(Duration::from_secs(5));
    lab.state.kept(sent + Duration::from_secs(3));
    assert_eq!(lab.state.sure_for(lab.now), Some(sure.checked_sub(Duration::from_secs(2)).unwrap()));
    lab.wait(sure);
    assert_eq!(lab.state.standing(lab.now), Standing::Doubtful);
}

#[test]
fn nothing_is_sure_before_the_store_was_read_after_joining() {
    let config = super::super::Config::new("n1", &id(1), std::net::Ipv4Addr::new(192, 0, 2, 1).into());
    let mut state = State::new(config, Held::default(), "run".into(), 1);
    let now = Duration::from_secs(9);
    state.joined(Session { lease: Lease(1), version: 5 }, now, now);
    assert_eq!(state.standing(now), Standing::Doubtful);
    assert!(state.session_holds().is_err());
}

#[test]
fn a_session_ends_with_the_nodes_key_and_the_claims_stay_its_own_for_a_while() {
    let mut lab = Lab::new();
    lab.delete(&key());
    lab.watch();
    assert!(lab.state.session.is_none());
    assert!(matches!(lab.state.session_holds(), Err(ClusterError::NotJoined(_))));
    assert_eq!(lab.state.standing(lab.now), Standing::Sure);
}

#[test]
fn another_run_of_the_same_node_ends_everything_at_once() {
    let mut lab = Lab::new();
    let other = Node { run: "another".into(), ..lab.state.me(0) };
    lab.put(&key(), encode(&other));
    lab.watch();
    assert!(lab.state.session.is_none());
    assert_eq!(lab.state.standing(lab.now), Standing::Doubtful);
}

#[test]
fn a_nodes_key_that_was_edited_by_hand_ends_the_session_which_begins_again() {
    let mut lab = Lab::new();
    lab.put(&key(), b"nonsense".to_vec());
    lab.watch();
    assert!(lab.state.session.is_none());
    lab.join();
    lab.watch();
    assert!(lab.state.session_holds().is_ok());
}

#[test]
fn a_newer_layout_is_neither_read_nor_written() {
    let mut lab = Lab::new();
    lab.put(&Key::Version, encode(&Version { schema: SCHEMA + 1 }));
    lab.put(&Key::Network(id(2)), encode(&network(2, "later", "10.0.1.0/24")));
    let newer = ClusterError::NewerSchema { found: SCHEMA + 1 };
    assert_eq!(lab.try_list(), Err(newer.clone()));
    assert!(lab.state.picture.network(&id(2)).is_none(), "the picture stays as it was");
    assert!(lab.state.picture.network(&id(1)).is_some());
    assert_eq!(lab.state.session_holds().map(|_| ()), Err(newer));
    assert!(lab.state.plan(lab.now).is_none());
    lab.put(&Key::Version, encode(&Version { schema: SCHEMA }));
    lab.list();
    assert!(lab.state.session_holds().is_ok());
}

#[test]
fn a_store_that_was_emptied_is_not_believed() {
    let mut lab = Lab::new();
    for entry in lab.snapshot().entries {
        lab.delete(&lab.keys.read(&entry.key).unwrap());
    }
    assert!(matches!(lab.try_list(), Err(ClusterError::NotOurs(_))));
    assert!(lab.state.picture.network(&id(1)).is_some());
}

#[test]
fn a_store_that_went_back_to_an_earlier_revision_is_believed_and_the_session_ends() {
    let mut lab = Lab::new();
    let earlier = lab.snapshot();
    lab.put_claim(&endpoint(7, 9, "n2", 2));
    lab.watch();
    assert_eq!(lab.state.picture.endpoints(&id(1)).count(), 1);
    lab.state.listed(&earlier, lab.now).unwrap();
    assert_eq!(lab.state.picture.endpoints(&id(1)).count(), 0);
    assert!(lab.state.session.is_none());
}

/// Revisions begin anew, and a key that cannot be read has by chance the one of another's.
#[test]
fn a_store_that_went_back_does_not_tell_whose_a_spoiled_key_is_by_revisions_of_before() {
    let mut lab = Lab::new();
    let far = endpoint(7, 9, "n2", 2);
    lab.put_claim(&far);
    lab.watch();
    let of = |lab: &Lab, key: &Key| {
        lab.state.picture.get(key).and_then(|item| item.owner().map(ToOwned::to_owned))
    };
    assert_eq!(of(&lab, &place(&far)).as_deref(), Some("n2"));
    let mut restored = lab.snapshot();
    restored.revision -= 1;
    for entry in &mut restored.entries {
        if entry.key == lab.keys.text(&place(&far)) {
            entry.value = b"nonsense".to_vec();
        }
    }
    restored.entries.retain(|entry| entry.key != lab.keys.text(&second(&far)));
    lab.state.listed(&restored, lab.now).unwrap();
    assert_eq!(of(&lab, &place(&far)), None, "it may be that of somebody alive");
    assert!(lab.state.picture.unreadable().any(|(key, _)| *key == place(&far)));
}

#[test]
fn what_was_spoiled_is_shown_as_it_was() {
    let mut lab = Lab::new();
    let far = endpoint(7, 9, "n2", 2);
    lab.put_claim(&far);
    lab.watch();
    lab.state.take_changes(lab.now);
    lab.put(&place(&far), vec![0xff; 9]);
    lab.watch();
    assert!(lab.state.take_changes(lab.now).is_empty());
    let shown: Vec<_> = lab.state.picture.endpoints(&id(1)).map(|e| e.id.clone()).collect();
    assert_eq!(shown, [id(7)]);
}

#[test]
fn changes_are_told_once_and_in_an_order_that_can_be_carried_out() {
    let mut lab = Lab::new();
    let far = endpoint(7, 9, "n2", 2);
    lab.state.take_changes(lab.now);
    lab.put_claim(&far);
    lab.watch();
    let told = lab.state.take_changes(lab.now);
    assert!(matches!(&told[..], [Event::EndpointCame(e)] if **e == far), "{told:?}");
    // Somebody else has the address, and the daemon has slept through the moment between.
    lab.delete(&place(&far));
    lab.put(&place(&far), encode(&endpoint(8, 9, "n3", 3)));
    lab.watch();
    let told = lab.state.take_changes(lab.now);
    assert!(
        matches!(&told[..], [Event::EndpointWent(a), Event::EndpointCame(b)] if a.id == id(7) && b.id == id(8)),
        "{told:?}"
    );
    assert!(lab.state.take_changes(lab.now).is_empty());
}
