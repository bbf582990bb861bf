//! The choice of a subnet for a network whose request names none.
//!
//! The pools are Docker's. As Docker 20.10 does, the search can go on after the pool that was given
//! last, so that a subnet is not used again as long as another is free: what still has an old address
//! of it in a cache does not meet somebody else there.

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};

use super::driver::Scope;
use super::error::NetError;

/// Pools of one length that lie next to each other.
struct Block {
    base: Ipv4Net,
    prefix: u8,
}

const fn block(a: u8, b: u8, len: u8, prefix: u8) -> Block {
    Block { base: Ipv4Net::new_assert(Ipv4Addr::new(a, b, 0, 0), len), prefix }
}

/// 172.17.0.0/16 to 172.31.0.0/16, then 192.168.0.0/20 to 192.168.240.0/20.
static LOCAL: [Block; 6] = [
    block(172, 17, 16, 16),
    block(172, 18, 15, 16),
    block(172, 20, 14, 16),
    block(172, 24, 14, 16),
    block(172, 28, 14, 16),
    block(192, 168, 16, 20),
];

/// 10.0.0.0/24 to 10.255.255.0/24.
static GLOBAL: [Block; 1] = [block(10, 0, 8, 24)];

/// Shorter destinations are a default route in parts, as VPNs set it: 0.0.0.0/1 and 128.0.0.0/1, or
/// 2000::/3. They say nothing about who uses an address.
const DEFAULT_ROUTE: u8 = 4;

/// The pools of a scope, in the order in which they are given.
pub fn defaults(scope: Scope) -> impl Iterator<Item = Ipv4Net> {
    let blocks: &[Block] = match scope {
        Scope::Local => &LOCAL,
        Scope::Global => &GLOBAL,
    };
    blocks.iter().flat_map(|b| b.base.subnets(b.prefix).into_iter().flatten())
}

/// Two subnets have an address in common.
pub fn overlap(a: IpNet, b: IpNet) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

/// A pool that overlaps neither an existing subnet nor a route of the host: the first one after
/// `after`, from the first of all once the last was seen.
///
/// # Errors
/// [`NetError::NoPool`] when there is none.
pub fn choose(
    scope: Scope,
    existing: &[IpNet],
    host_routes: &[IpNet],
    after: Option<Ipv4Net>,
) -> Result<Ipv4Net, NetError> {
    let routes = host_routes.iter().filter(|r| r.prefix_len() >= DEFAULT_ROUTE);
    let taken: Vec<IpNet> = existing.iter().chain(routes).copied().collect();
    let rest = defaults(scope).skip_while(|pool| Some(*pool) != after).skip(1);
    rest.chain(defaults(scope))
        .find(|pool| !taken.iter().any(|t| overlap(*t, (*pool).into())))
        .ok_or(NetError::NoPool(4))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::control::net::Class;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn first(existing: &[&str], routes: &[&str]) -> String {
        let nets = |texts: &[&str]| texts.iter().map(|t| net(t)).collect::<Vec<_>>();
        choose(Scope::Local, &nets(existing), &nets(routes), None).map_or("none".into(), |n| n.to_string())
    }

    #[test]
    fn the_pools_are_dockers_in_dockers_order() {
        let local: Vec<String> = defaults(Scope::Local).map(|n| n.to_string()).collect();
        let expected: Vec<String> = (17..32)
            .map(|n| format!("172.{n}.0.0/16"))
            .chain((0..16).map(|n| format!("192.168.{}.0/20", n * 16)))
            .collect();
        assert_eq!(local, expected);
        let mut global = defaults(Scope::Global);
        assert_eq!(global.next().map(|n| n.to_string()).as_deref(), Some("10.0.0.0/24"));
        assert_eq!(global.next().map(|n| n.to_string()).as_deref(), Some("10.0.1.0/24"));
        assert_eq!(global.count(), 65_534);
    }

    #[test]
    fn the_first_network_beside_the_default_bridge_is_172_18() {
        assert_eq!(first(&["172.17.0.0/16"], &[]), "172.18.0.0/16");
        assert_eq!(first(&["172.17.0.0/16", "172.18.0.0/16"], &[]), "172.19.0.0/16");
        assert_eq!(first(&["172.17.0.0/16", "172.19.0.0/16"], &[]), "172.18.0.0/16");
    }

    #[test]
    fn what_overlaps_a_network_or_a_route_of_the_host_is_skipped() {
        assert_eq!(first(&["172.17.0.0/16"], &["172.18.3.0/24"]), "172.19.0.0/16");
        assert_eq!(first(&["172.17.0.0/16"], &["172.16.0.0/12"]), "192.168.0.0/20");
        assert_eq!(first(&["172.16.0.0/12"], &["192.168.1.1/32"]), "192.168.16.0/20");
        assert_eq!(first(&["172.17.0.0/16", "fd00::/8"], &["2001:db8::/32"]), "172.18.0.0/16");
    }

    #[test]
    fn a_default_route_in_parts_takes_nothing() {
        let routes = ["0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "::/0", "2000::/3"];
        assert_eq!(first(&["172.17.0.0/16"], &routes), "172.18.0.0/16");
    }

    #[test]
    fn when_all_are_taken_there_is_none() {
        let error =
            choose(Scope::Local, &[net("172.16.0.0/12")], &[net("192.168.0.0/16")], None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the \
             network"
        );
        assert_eq!(error.class(), Class::NotFound);
        assert!(choose(Scope::Global, &[net("10.0.0.0/8")], &[], None).is_err());
    }

    #[test]
    fn the_search_goes_on_after_the_pool_given_last_and_begins_again() {
        let after = |last: &str| {
            let last = last.parse().ok();
            choose(Scope::Local, &[net("172.17.0.0/16")], &[], last).map(|n| n.to_string())
        };
        assert_eq!(after("172.18.0.0/16").as_deref(), Ok("172.19.0.0/16"));
        assert_eq!(after("172.31.0.0/16").as_deref(), Ok("192.168.0.0/20"));
        assert_eq!(after("192.168.240.0/20").as_deref(), Ok("172.18.0.0/16"));
        assert_eq!(after("198.51.100.0/24").as_deref(), Ok("172.18.0.0/16"));
    }

    fn any_net() -> impl Strategy<Value = IpNet> {
        (any::<u32>(), 0u8..=32).prop_map(|(a, len)| IpNet::new_assert(Ipv4Addr::from(a).into(), len).trunc())
    }

    proptest! {
        #[test]
        fn two_nets_overlap_where_an_address_is_in_both(a in any_net(), b in any_net()) {
            let edge = |x: IpNet, y: IpNet| y.contains(&x.network()) || y.contains(&x.broadcast());
            prop_assert_eq!(overlap(a, b), edge(a, b) || edge(b, a));
        }

        #[test]
        fn what_is_chosen_overlaps_nothing(
            existing in prop::collection::vec((0usize..31, 14u8..24), 0..20),
            last in 0usize..40,
        ) {
            let pools: Vec<Ipv4Net> = defaults(Scope::Local).collect();
            let existing: Vec<IpNet> = existing
                .into_iter()
                .map(|(n, len)| IpNet::new_assert(pools[n].network().into(), len).trunc())
                .collect();
            match choose(Scope::Local, &existing, &[], pools.get(last).copied()) {
                Ok(chosen) => prop_assert!(!existing.iter().any(|e| overlap(*e, chosen.into()))),
                Err(_) => {
                    for pool in pools {
                        prop_assert!(existing.iter().any(|e| overlap(*e, pool.into())));
                    }
                }
            }
        }
    }
}
