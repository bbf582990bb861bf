//! What a node puts again, gives back, and takes from the dead.

use super::super::Held;
use super::super::changes::Event;
use super::super::testing::*;
use super::*;

fn held(endpoint: &SharedEndpoint) -> Held {
    Held {
        endpoints: vec![endpoint.clone()],
        names: vec![(endpoint.name.clone(), endpoint.container.clone())],
    }
}

fn garbage() -> Vec<u8> {
    b"{\"node\": ".to_vec()
}

/// A lab in which n2 was there, held an endpoint, and is not there any more.
fn with_a_dead_node() -> (Lab, SharedEndpoint) {
    let mut lab = Lab::new();
    let far = endpoint(7, 9, "n2", 2);
    lab.put_node("n2", 2, false);
    lab.put_claim(&far);
    lab.watch();
    assert_eq!(lab.work(), 0, "nothing is taken from anybody at once");
    (lab, far)
}

/// Longer than any node waits, with its part of chance.
const LONG: Duration = Duration::from_secs(136);

#[test]
fn what_a_node_holds_by_its_own_records_is_put_into_the_store() {
    let own = endpoint(5, 2, "n1", 1);
    let mut lab = Lab::holding(held(&own));
    assert!(!lab.state.owns(&own.id, lab.now));
    assert!(lab.work() > 0);
    assert!(lab.has(&place(&own)) && lab.has(&second(&own)) && lab.has(&Key::Container("c5".into())));
    assert!(lab.state.owns(&own.id, lab.now));
    assert_eq!(lab.work(), 0);
}

#[test]
fn what_somebody_deletes_of_the_living_is_put_again() {
    let own = endpoint(5, 2, "n1", 1);
    let mut lab = Lab::holding(held(&own));
    lab.work();
    for key in [place(&own), second(&own), Key::Container("c5".into())] {
        lab.delete(&key);
        lab.watch();
        lab.work();
        assert!(lab.has(&key), "{key}");
    }
}

#[test]
fn what_somebody_spoils_of_the_living_is_put_right() {
    let own = endpoint(5, 2, "n1", 1);
    let mut lab = Lab::holding(held(&own));
    lab.work();
    for key in [place(&own), second(&own), Key::Container("c5".into())] {
        let right = lab.at(&key).unwrap().value;
        lab.put(&key, garbage());
        lab.watch();
        assert!(lab.state.owns(&own.id, lab.now), "spoiled or not, it is nobody else's");
        lab.work();
        assert_eq!(lab.at(&key).unwrap().value, right, "{key}");
    }
}

#[test]
fn an_address_that_another_has_meanwhile_is_lost_and_left_to_it() {
    let (own, other) = (endpoint(5, 2, "n1", 1), endpoint(6, 2, "n2", 2));
    let mut lab = Lab::holding(held(&own));
    lab.put_node("n2", 2, true);
    lab.put_claim(&other);
    lab.watch();
    lab.work();
    let events = lab.state.take_changes(lab.now);
    assert!(
        events.iter().any(|e| matches!(e, Event::Lost(lost) if lost.endpoint.id == own.id)),
        "{events:?}"
    );
    assert_eq!(lab.at(&place(&own)).unwrap().value, encode(&other));
    assert_eq!(lab.state.counters.lost, 1);
}

#[test]
fn what_an_earlier_life_left_is_given_back() {
    let left = endpoint(5, 2, "n1", 1);
    let mut lab = Lab::new();
    lab.put_claim(&left);
    lab.watch();
    assert!(lab.work() > 0);
    assert!(!lab.has(&place(&left)) && !lab.has(&second(&left)));
}

#[test]
fn what_an_earlier_life_left_is_given_back_even_spoiled() {
    let left = endpoint(5, 2, "n1", 1);
    let mut lab = Lab::new();
    lab.put_claim(&left);
    lab.put(&place(&left), garbage());
    lab.list();
    assert!(lab.work() > 0);
    assert!(!lab.has(&place(&left)) && !lab.has(&second(&left)));
}

#[test]
fn what_the_dead_hold_is_given_back_after_the_grace_time_and_not_before() {
    let (mut lab, far) = with_a_dead_node();
    lab.wait(GRACE.checked_sub(Duration::from_secs(1)).unwrap());
    assert_eq!(lab.work(), 0);
    lab.wait(LONG.checked_sub(GRACE).unwrap());
    assert!(lab.work() > 0);
    assert!(!lab.has(&place(&far)) && !lab.has(&second(&far)) && !lab.has(&Key::Member("n2".into())));
}

#[test]
fn whoever_comes_back_before_keeps_what_it_holds() {
    let (mut lab, far) = with_a_dead_node();
    lab.wait(LONG);
    // It is back, and this node has not heard of it.
    lab.put_node("n2", 2, true);
    let plan = lab.state.plan(lab.now).unwrap();
    assert!(matches!(lab.commit(&plan.when, &plan.then), Outcome::Refused(_)));
    lab.watch();
    assert_eq!(lab.work(), 0);
    assert!(lab.has(&place(&far)));
}

#[test]
fn whoever_was_back_meanwhile_has_its_time_anew() {
    let (mut lab, far) = with_a_dead_node();
    lab.wait(GRACE.checked_sub(Duration::from_secs(1)).unwrap());
    lab.put_node("n2", 2, true);
    lab.delete(&Key::Node("n2".into()));
    lab.watch();
    lab.work();
    lab.wait(Duration::from_secs(30));
    assert_eq!(lab.work(), 0);
    lab.wait(LONG);
    assert!(lab.work() > 0);
    assert!(!lab.has(&place(&far)));
}

#[test]
fn time_in_which_nothing_was_seen_is_not_counted_against_the_absent() {
    let (mut lab, far) = with_a_dead_node();
    lab.wait(Duration::from_mins(1));
    lab.state.blind(lab.now);
    lab.wait(Duration::from_hours(1));
    lab.list();
    assert_eq!(lab.work(), 0);
    lab.wait(GRACE.checked_sub(Duration::from_secs(61)).unwrap());
    assert_eq!(lab.work(), 0);
    lab.wait(Duration::from_secs(20));
    assert!(lab.work() > 0);
    assert!(!lab.has(&place(&far)));
}

#[test]
fn a_watch_that_breaks_again_and_again_does_not_save_the_dead() {
    let (mut lab, far) = with_a_dead_node();
    for _ in 0..14 {
        lab.wait(Duration::from_secs(10));
        lab.state.blind(lab.now);
        lab.list();
        lab.work();
    }
    assert!(!lab.has(&place(&far)));
}

#[test]
fn a_spoiled_key_of_the_dead_is_given_back_where_it_was_seen_before() {
    for spoil in [place, second] {
        let (mut lab, far) = with_a_dead_node();
        lab.put(&spoil(&far), garbage());
        lab.watch();
        lab.work();
        lab.wait(LONG);
        assert!(lab.work() > 0);
        assert!(!lab.has(&place(&far)) && !lab.has(&second(&far)));
    }
}

#[test]
fn a_spoiled_key_of_the_dead_is_given_back_where_its_transaction_tells_whose_it_is() {
    let mut lab = Lab::new();
    let far = endpoint(7, 9, "n2", 2);
    lab.put_claim(&far);
    lab.put(&place(&far), garbage());
    lab.list();
    lab.work();
    lab.wait(LONG);
    assert!(lab.work() > 0);
    assert!(!lab.has(&place(&far)) && !lab.has(&second(&far)));
}

#[test]
fn a_spoiled_key_whose_owner_nobody_knows_stays() {
    let mut lab = Lab::new();
    let far = endpoint(7, 9, "n2", 2);
    lab.put(&place(&far), encode(&far));
    lab.put(&place(&far), garbage());
    lab.list();
    lab.work();
    lab.wait(LONG);
    assert_eq!(lab.work(), 0);
    assert!(lab.has(&place(&far)));
    assert_eq!(lab.state.picture.unreadable().count(), 1);
}

#[test]
fn a_spoiled_key_that_was_made_anew_is_not_taken_for_the_dead_ones() {
    let (mut lab, far) = with_a_dead_node();
    // Deleted, claimed by another and spoiled, all while this node saw nothing.
    lab.state.blind(lab.now);
    lab.delete(&place(&far));
    lab.put(&place(&far), encode(&endpoint(8, 9, "n3", 3)));
    lab.put(&place(&far), garbage());
    lab.list();
    lab.work();
    lab.wait(LONG);
    lab.work();
    assert!(!lab.has(&second(&far)));
    assert!(lab.has(&place(&far)), "it may be that of somebody alive");
}

#[test]
fn a_spoiled_name_that_was_made_anew_is_not_taken_by_who_had_it_before() {
    let own = endpoint(5, 5, "n1", 1);
    let name = Key::Container("c5".into());
    let mut lab = Lab::holding(held(&own));
    lab.work();
    // Given back by others, claimed by one of them and spoiled, all while this node saw nothing.
    lab.state.blind(lab.now);
    lab.delete(&name);
    let other = NameClaim { container: id(0x77), node: "n2".into() };
    lab.put(&name, encode(&other));
    lab.put(&name, garbage());
    let spoiled = lab.at(&name).unwrap().version;
    lab.list();
    lab.work();
    assert_eq!(lab.at(&name).unwrap().version, spoiled, "it may be that of somebody alive");
    assert!(!lab.state.names.contains_key("c5"));
}

#[test]
fn more_than_one_transaction_takes_is_given_back_in_several() {
    let mut lab = Lab::new();
    lab.put_node("n2", 2, false);
    for last in 2..82 {
        lab.put_claim(&endpoint(u64::from(last), last, "n2", 2));
    }
    lab.watch();
    lab.work();
    lab.wait(LONG);
    assert_eq!(lab.work(), 4, "160 keys, 60 at a time, and the member's");
    assert!(!lab.snapshot().entries.iter().any(|entry| entry.key.contains("/endpoints/")));
    assert_eq!(lab.state.counters.reaped, 161);
}

#[test]
fn without_a_session_nothing_is_done() {
    let (mut lab, far) = with_a_dead_node();
    lab.wait(LONG);
    lab.state.end_session();
    assert_eq!(lab.work(), 0);
    assert!(lab.has(&place(&far)));
}

#[test]
fn what_cannot_be_in_the_store_is_not_held() {
    let own = SharedEndpoint { aliases: vec!["a".into(); 1025], ..endpoint(5, 2, "n1", 1) };
    let fine = endpoint(6, 3, "n1", 1);
    let mut lab = Lab::holding(Held { endpoints: vec![own.clone(), fine.clone()], names: Vec::new() });
    lab.work();
    let lost = lab.state.take_changes(lab.now).into_iter().find_map(|event| match event {
        Event::Lost(lost) => Some(lost),
        _ => None,
    });
    assert!(lost.is_some_and(|lost| lost.endpoint.id == own.id && lost.why.contains("too many aliases")));
    assert!(!lab.has(&place(&own)) && lab.has(&place(&fine)));
}

/// Keys that a program spoils as often as they are put right.
#[test]
fn what_is_spoiled_again_and_again_is_put_right_less_and_less_often() {
    let own = endpoint(5, 2, "n1", 1);
    let mut lab = Lab::holding(held(&own));
    lab.work();
    let keys = [place(&own), Key::Container("c5".into())];
    let mut repaired = [Vec::new(), Vec::new()];
    for tick in 0..6000u32 {
        for (key, repaired) in keys.iter().zip(&mut repaired) {
            if lab.at(key).is_some_and(|entry| entry.value != garbage()) {
                repaired.push(tick);
                lab.put(key, garbage());
                lab.watch();
            }
        }
        lab.work();
        if let Some(due) = lab.state.next_due(lab.now) {
            assert!(due > lab.now, "whoever waits for it would not wait");
        }
        lab.wait(Duration::from_millis(100));
    }
    for repaired in &repaired {
        assert!((15..40).contains(&repaired.len()), "{repaired:?} in ten minutes");
        assert!(repaired.windows(2).all(|pair| pair[1] - pair[0] <= 301), "{repaired:?}");
    }
    // Something else that is to be put does not wait for it.
    lab.work();
    lab.put(&place(&own), garbage());
    lab.delete(&second(&own));
    lab.watch();
    lab.work();
    assert!(lab.has(&second(&own)) && lab.at(&place(&own)).unwrap().value == garbage());
    // And once it has been quiet it is put right at once again.
    lab.wait(Duration::from_mins(3));
    lab.work();
    lab.wait(Duration::from_mins(3));
    lab.delete(&place(&own));
    lab.watch();
    lab.work();
    assert!(lab.has(&place(&own)));
}

#[test]
fn what_was_put_where_nothing_was_is_new_whatever_was_seen_meanwhile() {
    let own = endpoint(5, 2, "n1", 1);
    let mut lab = Lab::holding(held(&own));
    let plan = lab.state.plan(lab.now).unwrap();
    assert!(plan.when.iter().any(|condition| matches!(condition, Condition::Absent(_))));
    // Somebody else has it for a moment. This node hears that it came, and only later that it went.
    lab.put_claim(&endpoint(6, 2, "n2", 2));
    lab.watch();
    lab.delete(&place(&own));
    lab.delete(&second(&own));
    let outcome = lab.commit(&plan.when, &plan.then);
    let Outcome::Done(revision) = outcome else { panic!("it is free") };
    lab.state.carried_out(&plan, &outcome, lab.now);
    assert_eq!(lab.state.picture.get(&place(&own)).unwrap().created(), revision);
    assert_eq!(lab.at(&place(&own)).unwrap().created, revision);
}
