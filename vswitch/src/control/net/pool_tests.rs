use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn pool(subnet: &str, range: Option<&str>) -> Pool {
    Pool::new(subnet.parse().unwrap(), range.map(|r| r.parse().unwrap()))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_freed_address_is_given_next() {
    let mut pool = pool("172.17.0.0/16", None);
    pool.claim(ip("172.17.0.1")).unwrap();
    for n in 2..5 {
        assert_eq!(pool.allocate(), Ok(IpAddr::from([172, 17, 0, n])));
    }
    assert!(pool.release(ip("172.17.0.3")));
    assert_eq!(pool.allocate(), Ok(ip("172.17.0.3")));
    assert_eq!(pool.allocate(), Ok(ip("172.17.0.5")));
}

#[test]
fn an_address_after_others_is_among_the_free_ones_of_the_range() {
    let mut pool = pool("10.0.0.0/24", Some("10.0.0.16/28"));
    for taken in ["10.0.0.3", "10.0.0.17", "10.0.0.18", "10.0.0.30", "10.0.0.31", "10.0.0.32"] {
        pool.claim(ip(taken)).unwrap();
    }
    assert_eq!(pool.free(), 12);
    assert_eq!(pool.allocate_after(1), Ok(ip("10.0.0.19")));
    assert_eq!(pool.allocate_after(10), Ok(ip("10.0.0.29")));
    assert_eq!(pool.allocate_after(10), Err(PoolError::Exhausted));
    assert_eq!(pool.allocate_after(0), Ok(ip("10.0.0.16")));
    assert_eq!((pool.free(), pool.allocate()), (9, Ok(ip("10.0.0.20"))));
    assert_eq!(Pool::new("10.0.0.0/32".parse().unwrap(), None).free(), 0);
}

#[test]
fn an_address_has_one_owner() {
    let mut pool = pool("10.0.0.0/24", None);
    assert_eq!(pool.claim(ip("10.0.0.9")), Ok(()));
    assert_eq!(pool.claim(ip("10.0.0.9")), Err(PoolError::Taken));
    assert!(pool.is_taken(ip("10.0.0.9")) && !pool.is_taken(ip("10.0.0.8")));
    assert!(pool.release(ip("10.0.0.9")) && !pool.release(ip("10.0.0.9")));
}

#[test]
fn network_and_broadcast_address_are_nobodys() {
    let mut pool = pool("10.0.0.0/30", None);
    for address in ["10.0.0.0", "10.0.0.3"] {
        assert_eq!(pool.claim(ip(address)), Err(PoolError::Taken));
        assert!(!pool.release(ip(address)));
    }
    assert_eq!((pool.allocate(), pool.allocate()), (Ok(ip("10.0.0.1")), Ok(ip("10.0.0.2"))));
    assert_eq!(pool.allocate(), Err(PoolError::Exhausted));
}

#[test]
fn subnet_routers_have_the_first_address_of_ipv6_and_there_is_no_broadcast() {
    let mut pool = pool("fd00::/126", None);
    assert_eq!(pool.claim(ip("fd00::")), Err(PoolError::Taken));
    assert_eq!(pool.claim(ip("fd00::3")), Ok(()));
    assert_eq!((pool.allocate(), pool.allocate()), (Ok(ip("fd00::1")), Ok(ip("fd00::2"))));
    assert_eq!(pool.allocate(), Err(PoolError::Exhausted));
}

#[test]
fn subnets_without_an_address_to_give_give_none() {
    for subnet in ["10.0.0.0/31", "10.0.0.1/32", "fd00::1/128"] {
        let mut pool = pool(subnet, None);
        let own = pool.subnet().network();
        assert_eq!(pool.allocate(), Err(PoolError::Exhausted), "{subnet}");
        assert_eq!(pool.claim(own), Err(PoolError::Taken), "{subnet}");
    }
}

#[test]
fn an_address_of_another_subnet_or_version_is_outside() {
    let mut four = pool("10.0.0.0/24", None);
    let mut six = pool("::/64", None);
    for address in ["10.0.1.1", "9.255.255.255", "::10.0.0.5", "::ffff:10.0.0.5"] {
        assert_eq!(four.claim(ip(address)), Err(PoolError::Outside), "{address}");
        assert!(!four.release(ip(address)) && !four.is_taken(ip(address)));
    }
    assert_eq!(six.claim(ip("0.0.0.5")), Err(PoolError::Outside));
    assert_eq!(six.claim(ip("0:0:0:1::")), Err(PoolError::Outside));
}

#[test]
fn automatic_addresses_come_from_the_range_others_from_the_whole_subnet() {
    let mut pool = pool("172.28.0.0/16", Some("172.28.5.0/30"));
    assert_eq!(pool.allocate(), Ok(ip("172.28.5.0")));
    assert_eq!(pool.claim(ip("172.28.5.2")), Ok(()));
    assert_eq!(pool.claim(ip("172.28.4.255")), Ok(()));
    assert_eq!(pool.claim(ip("172.28.9.9")), Ok(()));
    assert_eq!((pool.allocate(), pool.allocate()), (Ok(ip("172.28.5.1")), Ok(ip("172.28.5.3"))));
    assert_eq!(pool.allocate(), Err(PoolError::Exhausted));
    pool.release(ip("172.28.5.1"));
    assert_eq!(pool.allocate(), Ok(ip("172.28.5.1")));
}

#[test]
fn a_range_at_the_subnets_edge_does_not_give_its_reserved_addresses() {
    let mut low = pool("10.0.0.0/24", Some("10.0.0.0/31"));
    assert_eq!((low.allocate(), low.allocate()), (Ok(ip("10.0.0.1")), Err(PoolError::Exhausted)));
    let mut high = pool("10.0.0.0/24", Some("10.0.0.254/31"));
    assert_eq!((high.allocate(), high.allocate()), (Ok(ip("10.0.0.254")), Err(PoolError::Exhausted)));
    let mut only = pool("10.0.0.0/24", Some("10.0.0.255/32"));
    assert_eq!(only.allocate(), Err(PoolError::Exhausted));
}

#[test]
fn ipv6_addresses_end_in_the_ethernet_address() {
    let mac: MacAddr = "02:42:ac:11:00:02".parse().unwrap();
    let mut wide = pool("2001:db8:1::/64", None);
    wide.claim(ip("2001:db8:1::1")).unwrap();
    assert_eq!(wide.allocate_for(mac), Ok(ip("2001:db8:1::242:ac11:2")));
    assert_eq!(wide.allocate_for(mac), Ok(ip("2001:db8:1::2")), "taken: the lowest free one");
    assert_eq!(pool("2001:db8::/80", None).allocate_for(mac), Ok(ip("2001:db8::242:ac11:2")));
    assert_eq!(pool("2001:db8::/81", None).allocate_for(mac), Ok(ip("2001:db8::1")), "too narrow");
    let mut ranged = pool("2001:db8::/64", Some("2001:db8::8:0:0:0/80"));
    assert_eq!(ranged.allocate_for(mac), Ok(ip("2001:db8::8:0:0:0")), "outside the range");
    assert_eq!(pool("10.0.0.0/8", None).allocate_for(mac), Ok(ip("10.0.0.1")));
}

#[test]
fn the_last_address_of_all_can_be_given() {
    let last = ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    let mut pool = pool("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127", None);
    assert_eq!(pool.allocate(), Ok(last));
    assert_eq!(pool.allocate(), Err(PoolError::Exhausted));
    assert!(pool.release(last));
    assert_eq!(pool.claim(last), Ok(()));
}

#[test]
fn everything_is_a_subnet() {
    let mut four = pool("0.0.0.0/0", None);
    assert_eq!(four.allocate(), Ok(ip("0.0.0.1")));
    assert_eq!(four.claim(ip("255.255.255.254")), Ok(()));
    let mut six = pool("::/0", None);
    assert_eq!(six.allocate(), Ok(ip("::1")));
    assert_eq!(six.len(), 1);
}

#[test]
fn a_large_pool_stays_small() {
    let mut pool = pool("10.0.0.0/8", None);
    for _ in 0..100_000 {
        pool.allocate().unwrap();
    }
    assert_eq!((pool.len(), pool.taken.len()), (100_000, 1));
    // Every other one is given back: the most runs there can be for what is taken.
    for n in (1..=100_000u32).step_by(2) {
        assert!(pool.release(Ipv4Addr::from((10 << 24) + n).into()));
    }
    assert_eq!((pool.len(), pool.taken.len()), (50_000, 50_000));
    for n in (1..=100_000u32).step_by(2) {
        assert_eq!(pool.allocate(), Ok(Ipv4Addr::from((10 << 24) + n).into()));
    }
    assert_eq!((pool.len(), pool.taken.len()), (100_000, 1));
}

/// What the pool should do, an address at a time.
struct Model {
    hosts: Vec<u128>,
    automatic: Vec<u128>,
    taken: BTreeSet<u128>,
}

impl Model {
    fn new(subnet: IpNet, range: Option<IpNet>) -> Self {
        let (first, last) = run_of(subnet);
        let hosts: Vec<u128> = match subnet {
            IpNet::V4(_) => (first..=last).filter(|n| *n != first && *n != last).collect(),
            IpNet::V6(_) => (first..=last).skip(1).collect(),
        };
        let (low, high) = run_of(range.unwrap_or(subnet));
        let automatic = hosts.iter().copied().filter(|n| (low..=high).contains(n)).collect();
        Self { hosts, automatic, taken: BTreeSet::new() }
    }

    fn allocate(&mut self) -> Option<u128> {
        let lowest = self.automatic.iter().copied().find(|n| !self.taken.contains(n));
        self.taken.extend(lowest);
        lowest
    }

    fn claim(&mut self, n: u128) -> bool {
        self.hosts.contains(&n) && self.taken.insert(n)
    }
}

/// A subnet of at most 64 addresses, and perhaps a range in it.
fn subnets() -> impl Strategy<Value = (IpNet, Option<IpNet>)> {
    let v4 = (any::<u32>(), 26u8..=32).prop_map(|(a, len)| IpNet::new_assert(Ipv4Addr::from(a).into(), len));
    let v6 =
        (any::<u128>(), 122u8..=128).prop_map(|(a, len)| IpNet::new_assert(Ipv6Addr::from(a).into(), len));
    (prop_oneof![v4, v6], any::<u8>(), prop::option::of(0u8..4)).prop_map(|(net, pick, longer)| {
        let net = net.trunc();
        let range = longer.and_then(|bits| {
            let len = net.prefix_len() + bits;
            net.subnets(len).ok().and_then(|subs| {
                let all: Vec<_> = subs.collect();
                all.get(usize::from(pick) % all.len().max(1)).copied()
            })
        });
        (net, range)
    })
}

proptest! {
    #[test]
    fn it_behaves_as_a_set(
        (subnet, range) in subnets(),
        ops in prop::collection::vec((0u8..5, 0u8..70), 1..250),
    ) {
        let mut pool = Pool::new(subnet, range);
        let mut model = Model::new(subnet, range);
        let first = run_of(subnet).0;
        for (op, offset) in ops {
            let n = first.saturating_add(u128::from(offset).saturating_sub(3)).min(match subnet {
                IpNet::V4(_) => u128::from(u32::MAX),
                IpNet::V6(_) => u128::MAX,
            });
            let address = pool.address(n);
            match op {
                0 | 1 => prop_assert_eq!(pool.allocate().ok().map(number), model.allocate()),
                2 => {
                    let given = pool.claim(address);
                    prop_assert_eq!(given.is_ok(), model.claim(n));
                    prop_assert_eq!(given == Err(PoolError::Outside), !subnet.contains(&address));
                }
                3 => prop_assert_eq!(pool.release(address), model.taken.remove(&n)),
                _ => prop_assert_eq!(pool.is_taken(address), model.taken.contains(&n)),
            }
            // What comes after others is what would be given after them.
            let mut rest = pool.clone();
            prop_assert_eq!(pool.clone().allocate_after(u128::from(offset % 20)), {
                for _ in 0..offset % 20 {
                    let _ = rest.allocate();
                }
                rest.allocate()
            });
            prop_assert_eq!(pool.len(), model.taken.len() as u128);
            prop_assert_eq!(pool.is_empty(), model.taken.is_empty());
            // Runs neither touch nor overlap.
            let mut end = None;
            for (first, last) in &pool.taken {
                prop_assert!(first <= last && end.is_none_or(|e: u128| e + 1 < *first));
                end = Some(*last);
            }
        }
    }

    #[test]
    fn an_address_from_the_ethernet_address_is_free_and_in_the_subnet(
        network: u128,
        len in 0u8..=127,
        macs in prop::collection::vec(any::<[u8; 6]>(), 1..20),
    ) {
        let subnet = IpNet::new_assert(Ipv6Addr::from(network).into(), len).trunc();
        let mut pool = Pool::new(subnet, None);
        let mut given = BTreeSet::new();
        for mac in macs {
            if let Ok(address) = pool.allocate_for(MacAddr(mac)) {
                prop_assert!(subnet.contains(&address) && given.insert(address));
            }
        }
    }
}
