use std::{collections::BTreeMap, net::Ipv4Addr};

use proptest::prelude::*;

use super::*;

const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const REST: Duration = Duration::from_mins(2);

/// Port `port` of the inside host 10.0.0.`host`.
fn inside(host: u8, port: u16) -> Endpoint {
    Endpoint::new([10, 0, 0, host], port)
}

fn outside(port: u16) -> Endpoint {
    Endpoint { ip: OUTSIDE, port }
}

fn allocator(ports: RangeInclusive<u16>) -> PortAllocator {
    PortAllocator::new(PortConfig { ports, rest: REST, ..PortConfig::default() })
}

#[test]
fn rfc4787_req3_a_port_has_one_owner() {
    let (mut ports, now) = (allocator(1024..=u16::MAX), Instant::now());
    let first = ports.allocate(Protocol::Udp, OUTSIDE, inside(2, 5000), now).unwrap();
    let second = ports.allocate(Protocol::Udp, OUTSIDE, inside(3, 5000), now).unwrap();
    assert_eq!((first, second), (5000, 5002));
    assert_eq!(ports.owner(Protocol::Udp, outside(5000)), Some(inside(2, 5000)));
    assert_eq!(ports.owned(Protocol::Udp, OUTSIDE), 2);
    // Another protocol and another address have ports of their own.
    assert_eq!(ports.allocate(Protocol::Tcp, OUTSIDE, inside(3, 5000), now), Ok(5000));
    let other = Ipv4Addr::new(192, 0, 2, 2).into();
    assert_eq!(ports.allocate(Protocol::Udp, other, inside(3, 5000), now), Ok(5000));
}

#[test]
fn rfc4787_req3_the_class_below_1024_is_kept_where_possible() {
    let (mut ports, now) = (allocator(1020..=1027), Instant::now());
    let mut next = |port| ports.allocate(Protocol::Udp, OUTSIDE, inside(2, port), now).ok();
    let low: Vec<_> = (0..6).map(|_| next(53)).collect();
    assert_eq!(low, [1021, 1023, 1020, 1022, 1025, 1027].map(Some));
    assert_eq!((next(5000), next(5001)), (Some(1024), Some(1026)));
    assert_eq!(next(5000), None);

    // A high port never maps below 1024, not even to the last one that is left.
    let mut ports = allocator(1023..=1024);
    assert_eq!(ports.allocate(Protocol::Udp, OUTSIDE, inside(2, 5000), now), Ok(1024));
    let exhausted = PortError::Exhausted { protocol: Protocol::Udp, outside: OUTSIDE };
    assert_eq!(ports.allocate(Protocol::Udp, OUTSIDE, inside(2, 5000), now), Err(exhausted));
}

#[test]
fn rfc4787_req4_parity_is_kept_where_possible() {
    let (mut ports, now) = (allocator(2000..=2003), Instant::now());
    let mut next = |port| ports.allocate(Protocol::Udp, OUTSIDE, inside(2, port), now).unwrap();
    assert_eq!([next(5001), next(5001), next(5001), next(5001)], [2001, 2003, 2000, 2002]);
}

#[test]
fn rfc6888_req8_a_port_rests_before_another_host_gets_it() {
    let (mut ports, start) = (allocator(2000..=2000), Instant::now());
    assert_eq!(ports.allocate(Protocol::Udp, OUTSIDE, inside(2, 9), start), Ok(2000));
    assert_eq!(ports.release(Protocol::Udp, outside(2000), start), Some(inside(2, 9)));
    assert_eq!(ports.release(Protocol::Udp, outside(2000), start), None);
    let early = start + REST.saturating_sub(Duration::from_nanos(1));
    assert!(ports.allocate(Protocol::Udp, OUTSIDE, inside(3, 9), early).is_err());
    // The host that had it does not wait, and the rest begins anew with the next release.
    assert_eq!(ports.allocate(Protocol::Udp, OUTSIDE, inside(2, 8), early), Ok(2000));
    ports.release(Protocol::Udp, outside(2000), early);
    assert!(ports.allocate(Protocol::Udp, OUTSIDE, inside(3, 9), start + REST).is_err());
    assert_eq!(ports.allocate(Protocol::Udp, OUTSIDE, inside(3, 9), early + REST), Ok(2000));
}

#[test]
fn a_clock_that_goes_back_ends_no_rest() {
    let (mut ports, later) = (allocator(2000..=2000), Instant::now() + REST);
    ports.allocate(Protocol::Udp, OUTSIDE, inside(2, 9), later).unwrap();
    ports.release(Protocol::Udp, outside(2000), later);
    let earlier = later.checked_sub(Duration::from_mins(1)).unwrap();
    assert!(ports.allocate(Protocol::Udp, OUTSIDE, inside(3, 9), earlier).is_err());
    assert_eq!(ports.allocate(Protocol::Udp, OUTSIDE, inside(3, 9), later + REST), Ok(2000));
}

#[test]
fn a_published_port_is_claimed_whatever_its_number() {
    let (mut ports, now) = (allocator(2000..=2001), Instant::now());
    let (owner, other) = (inside(2, 80), inside(3, 80));
    assert_eq!(ports.claim(Protocol::Tcp, outside(80), owner), Ok(()));
    assert_eq!(ports.claim(Protocol::Tcp, outside(80), other), Err(PortError::Taken(owner)));
    assert_eq!(ports.claim(Protocol::Tcp, outside(0), other), Err(PortError::Zero));
    // A container started anew under another address publishes what the last one did.
    ports.release(Protocol::Tcp, outside(80), now);
    assert_eq!(ports.claim(Protocol::Tcp, outside(80), other), Ok(()));
    assert_eq!(ports.owner(Protocol::Tcp, outside(80)), Some(other));
    // What is claimed is not given out.
    assert_eq!(ports.claim(Protocol::Tcp, outside(2000), owner), Ok(()));
    assert_eq!(ports.allocate(Protocol::Tcp, OUTSIDE, inside(2, 2000), now), Ok(2001));
}

#[test]
fn echo_identifiers_have_neither_class_nor_parity() {
    let (mut ports, now) = (allocator(2000..=2001), Instant::now());
    assert_eq!(ports.allocate(Protocol::Icmp, OUTSIDE, inside(2, 7), now), Ok(7));
    assert_eq!(ports.allocate(Protocol::Icmp, OUTSIDE, inside(3, 7), now), Ok(8));
    assert_eq!(ports.allocate(Protocol::Icmp, OUTSIDE, inside(3, 0), now), Ok(1));
}

#[test]
fn all_ports_are_given_out_once() {
    let (mut ports, now) = (allocator(0..=u16::MAX), Instant::now());
    let mut given: Vec<u16> =
        (0..u16::MAX).map(|_| ports.allocate(Protocol::Udp, OUTSIDE, inside(2, 53), now).unwrap()).collect();
    assert!(ports.allocate(Protocol::Udp, OUTSIDE, inside(2, 53), now).is_err());
    given.sort_unstable();
    assert!(given.into_iter().eq(1..=u16::MAX));
    // An empty range gives none, and does no harm.
    let none = RangeInclusive::new(2000, 1000);
    assert!(allocator(none).allocate(Protocol::Udp, OUTSIDE, inside(2, 53), now).is_err());
}

#[derive(Clone, Debug)]
enum Step {
    Allocate { protocol: Protocol, host: u8, port: u16 },
    Claim { protocol: Protocol, host: u8, port: u16 },
    Release { protocol: Protocol, port: u16 },
    Wait { seconds: u64 },
}

const PORTS: RangeInclusive<u16> = 1018..=1031;

fn any_step() -> impl Strategy<Value = Step> {
    let protocol = || prop::sample::select(vec![Protocol::Tcp, Protocol::Tcp, Protocol::Icmp]);
    let port = || prop_oneof![4 => PORTS, 1 => Just(53), 1 => Just(54), 1 => Just(5000), 1 => Just(5001)];
    prop_oneof![
        8 => (protocol(), 1..4u8, port()).prop_map(|(protocol, host, port)| Step::Allocate { protocol, host, port }),
        1 => (protocol(), 1..4u8, port()).prop_map(|(protocol, host, port)| Step::Claim { protocol, host, port }),
        5 => (protocol(), port()).prop_map(|(protocol, port)| Step::Release { protocol, port }),
        3 => (0..80u64).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

/// What became of every port that was ever given: its owner, and when it was given back.
#[derive(Default)]
struct Model(BTreeMap<(Protocol, u16), (Endpoint, Option<Instant>)>);

impl Model {
    fn owner(&self, protocol: Protocol, port: u16) -> Option<Endpoint> {
        self.0.get(&(protocol, port)).filter(|(_, back)| back.is_none()).map(|(owner, _)| *owner)
    }

    /// The port may be given to `host`; `Some(true)` if it rests, for that host then.
    fn available(&self, protocol: Protocol, port: u16, host: IpAddr, now: Instant) -> Option<bool> {
        match self.0.get(&(protocol, port)) {
            None => Some(false),
            Some((_, None)) => None,
            Some((_, Some(back))) if now.duration_since(*back) >= REST => Some(false),
            Some((owner, Some(_))) => (owner.ip == host).then_some(true),
        }
    }

    /// How badly `port` suits `owner`; `None` if it may not have it.
    fn rank(&self, protocol: Protocol, port: u16, owner: Endpoint, now: Instant) -> Option<u8> {
        let rests = self.available(protocol, port, owner.ip, now)?;
        if port == owner.port {
            return Some(0);
        }
        let (low, odd) = (|p: u16| p < 1024, |p: u16| p % 2);
        let tier = match (protocol, low(owner.port) == low(port), odd(owner.port) == odd(port)) {
            (Protocol::Icmp, ..) | (_, true, true) => 1,
            (_, true, false) => 2,
            (_, false, _) if low(port) => return None,
            (_, false, true) => 3,
            (_, false, false) => 4,
        };
        Some(tier * 2 + u8::from(rests))
    }
}

/// Does the step here and there, and compares what came of it.
fn step(ports: &mut PortAllocator, model: &mut Model, now: &mut Instant, step: &Step) {
    match *step {
        Step::Allocate { protocol, host, port } => {
            let owner = inside(host, port);
            let given = ports.allocate(protocol, OUTSIDE, owner, *now);
            let rank = |port| model.rank(protocol, port, owner, *now);
            // A hundred identifiers stand for all that are never used up.
            let identifiers = (5000..=5100).chain([port]).filter(|_| protocol == Protocol::Icmp);
            let best = PORTS.chain(identifiers).filter_map(rank).min();
            assert_eq!(given.ok().and_then(rank), best);
            if let Ok(given) = given {
                model.0.insert((protocol, given), (owner, None));
            }
        }
        Step::Claim { protocol, host, port } => {
            let owner = inside(host, port);
            let claimed = ports.claim(protocol, outside(port), owner);
            assert_eq!(claimed, model.owner(protocol, port).map_or(Ok(()), |o| Err(PortError::Taken(o))));
            if claimed.is_ok() {
                model.0.insert((protocol, port), (owner, None));
            }
        }
        Step::Release { protocol, port } => {
            let owner = model.owner(protocol, port);
            assert_eq!(ports.release(protocol, outside(port), *now), owner);
            if let Some(owner) = owner {
                model.0.insert((protocol, port), (owner, Some(*now)));
            }
        }
        Step::Wait { seconds } => *now += Duration::from_secs(seconds),
    }
}

proptest! {
    #[test]
    fn every_port_given_is_the_best_a_naive_search_finds(steps in prop::collection::vec(any_step(), 0..120)) {
        let (mut ports, mut model, mut now) = (allocator(PORTS), Model::default(), Instant::now());
        for each in &steps {
            step(&mut ports, &mut model, &mut now, each);
        }
        for protocol in [Protocol::Tcp, Protocol::Icmp] {
            let owned = model.0.iter().filter(|((of, _), (_, back))| *of == protocol && back.is_none());
            prop_assert_eq!(ports.owned(protocol, OUTSIDE), owned.count());
            for port in 0..=5100 {
                prop_assert_eq!(ports.owner(protocol, outside(port)), model.owner(protocol, port));
            }
        }
        ports.pools.values().for_each(Pool::check);
    }
}
