use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use super::*;

const START: Time = Time::from_micros(123_456_789_012);

#[derive(Clone, Debug)]
enum Step {
    Set(u64),
    Cancel(prop::sample::Index),
    Advance(u64),
}

fn any_delay() -> impl Strategy<Value = u64> {
    // From microseconds to a year, each order of magnitude as likely.
    (0u32..45, any::<u64>()).prop_map(|(bits, noise)| noise & ((1 << bits) - 1))
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any_delay().prop_map(Step::Set),
        1 => any::<prop::sample::Index>().prop_map(Step::Cancel),
        3 => any_delay().prop_map(Step::Advance),
    ]
}

proptest! {
    #[test]
    fn timers_fire_once_at_their_time_or_a_tick_later(steps in prop::collection::vec(any_step(), 0..200)) {
        let (mut wheel, mut now) = (Wheel::new(START), START);
        let mut set: BTreeMap<u64, (Time, TimerId)> = BTreeMap::new();
        let mut fired = Vec::new();
        for (token, step) in steps.into_iter().enumerate() {
            let token = token as u64;
            match step {
                Step::Set(delay) => {
                    let at = now + Duration::from_micros(delay);
                    set.insert(token, (at, wheel.set(at, token)));
                }
                Step::Cancel(which) => {
                    if !set.is_empty() {
                        let token = *which.get(&set.keys().copied().collect::<Vec<_>>());
                        wheel.cancel(set.remove(&token).unwrap().1);
                    }
                }
                Step::Advance(delay) => {
                    now = now + Duration::from_micros(delay);
                    wheel.advance(now, &mut fired);
                    for token in fired.drain(..) {
                        let (at, _) = set.remove(&token).expect("fired once, and not after it was cancelled");
                        prop_assert!(at <= now, "fired early");
                    }
                    let tick = Duration::from_micros(2 << TICK_BITS);
                    prop_assert!(set.values().all(|(at, _)| *at + tick > now), "not fired in time");
                }
            }
            prop_assert_eq!(wheel.len(), set.len());
            let earliest = set.values().map(|(at, _)| *at).min();
            prop_assert_eq!(wheel.next().is_some(), earliest.is_some());
            if let (Some(next), Some(earliest)) = (wheel.next(), earliest) {
                prop_assert!(next <= earliest.max(now) + Duration::from_micros(1 << TICK_BITS));
            }
        }
    }
}

#[test]
fn a_year_without_timers_is_one_step() {
    let mut wheel = Wheel::new(START);
    wheel.advance(START + Duration::from_hours(365 * 24), &mut Vec::new());
    assert!(wheel.is_empty() && wheel.next().is_none());
}
