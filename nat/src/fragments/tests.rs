use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

fn id(inside: u32, number: u32) -> PacketId {
    let (source, destination) = (Ipv4Addr::new(10, 0, 0, 2).into(), Ipv4Addr::new(192, 0, 2, 1).into());
    PacketId {
        inside: InsideId(inside),
        key: FragmentKey { source, destination, protocol: Some(17), id: number },
    }
}

const HEAD: Head = Head { protocol: 17, tos: 0, hops: 64 };

fn part(offset: usize, data: &[u8], more: bool) -> Part<'_> {
    Part { head: HEAD, offset, more, data }
}

fn tuning() -> FragmentTuning {
    FragmentTuning { packets_per_inside: 3, packets: 5, fragments: 8, ..FragmentTuning::default() }
}

struct Subject(Reassembler);

impl Subject {
    fn new() -> Self {
        Self(Reassembler::default())
    }

    fn take(&mut self, id: PacketId, part: &Part<'_>, now: Time) -> Result<Option<(Head, Vec<u8>)>, Reason> {
        let whole = self.0.take(id, part, now, &tuning())?;
        Ok(whole.map(|whole| {
            let found = (whole.head(), whole.data().to_vec());
            self.0.recycle(whole);
            found
        }))
    }

    fn add(
        &mut self,
        number: u32,
        offset: usize,
        data: &[u8],
        more: bool,
    ) -> Result<Option<Vec<u8>>, Reason> {
        let whole = self.take(id(1, number), &part(offset, data, more), Time::ZERO)?;
        Ok(whole.map(|(_, data)| data))
    }
}

#[test]
fn rfc4787_req14_fragments_come_in_any_order() {
    let mut subject = Subject::new();
    assert_eq!(subject.add(1, 16, &[3; 5], false), Ok(None));
    assert_eq!(subject.add(1, 8, &[2; 8], true), Ok(None));
    // The other packet's fragments are its own.
    assert_eq!(subject.add(2, 8, &[9; 1], false), Ok(None));
    let whole = subject.add(1, 0, &[1; 8], true).unwrap().unwrap();
    assert_eq!(whole, [[1; 8].as_slice(), &[2; 8], &[3; 5]].concat());
    assert_eq!(subject.0.len(), 1);
}

#[test]
fn rfc5722_overlapping_fragments_cost_the_packet_and_what_is_still_to_come_of_it() {
    for (offset, len, more) in [(0, 16, true), (8, 8, true), (4 * 8, 8, true), (8, 1, false), (16, 24, true)]
    {
        let mut subject = Subject::new();
        assert_eq!(subject.add(1, 8, &[2; 16], true), Ok(None));
        assert_eq!(subject.add(1, 32, &[4; 4], false), Ok(None));
        let overlap = subject.add(1, offset, &vec![7; len], more);
        assert_eq!(overlap, Err(Reason::FragmentOverlap), "{offset} {len} {more}");
        for (offset, data, more) in [(0, [1; 8].as_slice(), true), (24, &[3; 8], true), (8, &[2; 16], true)] {
            assert_eq!(subject.add(1, offset, data, more), Err(Reason::FragmentOverlap));
        }
    }
}

#[test]
fn rfc8200_a_fragment_that_comes_twice_does_no_harm() {
    let mut subject = Subject::new();
    assert_eq!(subject.add(1, 8, &[2; 8], false), Ok(None));
    assert_eq!(subject.add(1, 8, &[2; 8], false), Ok(None));
    assert!(subject.add(1, 0, &[1; 8], true).unwrap().is_some());
}

#[test]
fn fragments_that_cannot_be_are_refused() {
    let mut subject = Subject::new();
    assert_eq!(subject.add(1, 0, &[], true), Err(Reason::Fragment));
    assert_eq!(subject.add(1, 0, &[1; 9], true), Err(Reason::Fragment));
    assert_eq!(subject.add(1, 65_528, &[1; 8], false), Err(Reason::Fragment));
    assert!(subject.0.is_empty());
    assert_eq!(subject.add(1, 65_528, &[1; 7], false), Ok(None));
}

#[test]
fn a_packet_in_too_many_fragments_is_given_up() {
    let mut subject = Subject::new();
    for number in 0..8 {
        assert_eq!(subject.add(1, number * 8, &[1; 8], true), Ok(None));
    }
    assert_eq!(subject.add(1, 8 * 8, &[1; 8], false), Err(Reason::FragmentLimit));
}

#[test]
fn a_containers_oldest_makes_room_and_then_the_oldest_of_who_has_most() {
    let mut subject = Subject::new();
    let mut begin = |inside, number| {
        subject.take(id(inside, number), &part(0, &[1; 8], true), Time::ZERO).unwrap();
        let mut there: Vec<_> = subject.0.by_id.keys().map(|id| (id.inside.0, id.key.id)).collect();
        there.sort_unstable();
        there
    };
    for number in 1..=3 {
        begin(1, number);
    }
    assert_eq!(begin(1, 4), [(1, 2), (1, 3), (1, 4)]);
    begin(2, 1);
    begin(2, 2);
    assert_eq!(begin(3, 1), [(1, 3), (1, 4), (2, 1), (2, 2), (3, 1)]);
    subject.0.remove_inside(InsideId(2));
    assert_eq!(subject.0.len(), 3);
}

#[test]
fn what_never_becomes_whole_is_given_up_in_time() {
    let mut subject = Subject::new();
    let timeout = FragmentTuning::default().timeout;
    let later = Time::ZERO + Duration::from_secs(10);
    assert_eq!(subject.0.oldest(), None);
    subject.take(id(1, 1), &part(0, &[1; 8], true), Time::ZERO).unwrap();
    subject.take(id(2, 1), &part(8, &[1; 8], true), later).unwrap();
    assert_eq!(subject.0.oldest(), Some(Time::ZERO));
    assert!(subject.0.expire(later, timeout).is_none());
    let expired = subject.0.expire(Time::ZERO + timeout, timeout).unwrap();
    assert_eq!((expired.id, expired.first), (id(1, 1), Some((HEAD, vec![1; 8]))));
    assert!(subject.0.expire(Time::ZERO + timeout, timeout).is_none());
    let expired = subject.0.expire(later + timeout, timeout).unwrap();
    assert_eq!((expired.id, expired.first), (id(2, 1), None));
    assert!(subject.0.is_empty());
}

#[test]
fn rfc3168_congestion_that_one_fragment_met_the_packet_has_met() {
    let ecn = |one: u8, two: u8| {
        let mut subject = Subject::new();
        let head = |tos| Head { tos, ..HEAD };
        let first = Part { head: head(one), ..part(0, &[1; 8], true) };
        subject.take(id(1, 1), &first, Time::ZERO).unwrap();
        let second = Part { head: head(two), ..part(8, &[1; 8], false) };
        subject.take(id(1, 1), &second, Time::ZERO).map(|whole| whole.unwrap().0.tos)
    };
    assert_eq!(ecn(0xb8, 0xb8), Ok(0xb8));
    assert_eq!(ecn(2, 3), Ok(3));
    assert_eq!(ecn(3, 2), Ok(3));
    assert_eq!(ecn(0, 3), Err(Reason::Fragment));
}

proptest! {
    #[test]
    fn a_packet_cut_anywhere_and_shuffled_is_whole_again(
        cuts in prop::collection::btree_set(1..40usize, 0..7),
        tail in 1..8usize,
        order in prop::collection::vec(any::<usize>(), 0..40),
    ) {
        let data: Vec<u8> = (0..40 * 8 + tail).map(|i| i as u8).collect();
        let ends: Vec<usize> = cuts.iter().map(|cut| cut * 8).chain([data.len()]).collect();
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let mut parts: Vec<_> = starts.zip(ends.iter().copied()).collect();
        let mut subject = Subject::new();
        let mut found = None;
        // Some come twice; all come in the end.
        let mut seen = std::collections::BTreeSet::new();
        let shuffled: Vec<_> = order.iter().map(|pick| parts[pick % parts.len()]).collect();
        parts.reverse();
        for (from, to) in shuffled.into_iter().chain(parts.clone()) {
            if found.is_some() {
                break;
            }
            seen.insert(from);
            found = subject.add(1, from, &data[from..to], to < data.len()).unwrap();
            prop_assert_eq!(found.is_some(), seen.len() == parts.len());
        }
        prop_assert_eq!(found, Some(data));
        prop_assert!(subject.0.is_empty());
    }

    #[test]
    fn whatever_comes_the_bounds_hold_and_nothing_is_made_up(
        steps in prop::collection::vec((0..3u32, 0..3u32, 0..9usize, 0..20usize, any::<bool>(), 0..9u64), 0..120),
    ) {
        let mut subject = Subject::new();
        let mut now = Time::ZERO;
        for (inside, number, offset, len, more, wait) in steps {
            now = now + Duration::from_secs(wait);
            while subject.0.expire(now, FragmentTuning::default().timeout).is_some() {}
            let data = vec![inside as u8; len];
            if let Ok(Some((_, whole))) = subject.take(id(inside, number), &part(offset * 8, &data, more), now) {
                prop_assert!(whole.iter().all(|byte| u32::from(*byte) == inside));
            }
            prop_assert!(subject.0.len() <= 5);
            prop_assert!(subject.0.insides.values().all(|list| list.len() <= 3));
            prop_assert_eq!(subject.0.by_id.len(), subject.0.len());
            prop_assert_eq!(subject.0.insides.values().map(List::len).sum::<usize>(), subject.0.len());
        }
    }
}
