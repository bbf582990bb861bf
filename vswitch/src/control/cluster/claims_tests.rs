//! Which address a claim gets, and what becomes of it.

use super::super::testing::*;
use super::*;

/// Claims as `Cluster::claim` does, until there is an answer.
fn claim(lab: &mut Lab, wish: EndpointWish) -> Result<Arc<SharedEndpoint>, ClusterError> {
    let (id, name, container) = (wish.id.clone(), wish.name.clone(), wish.container.clone());
    lab.state.begin_name(&name, &container)?;
    lab.state.claims.insert(id.clone(), Claim::Pending(Box::new(wish), None));
    let (mut result, mut level) = (Ok(Claimed::Again), 0);
    for _ in 0..20 {
        level = lab.state.contention.level(&super::super::testing::id(1), lab.now).max(level);
        result = lab.state.plan_claim(&id, level).and_then(|plan| {
            let outcome = lab.commit(&plan.when, &plan.then);
            lab.state.claim_outcome(&id, &plan, &outcome, lab.now)
        });
        match result {
            Ok(Claimed::Again) => {}
            Ok(Claimed::Collided(_)) => {
                lab.state.contention.collided(&super::super::testing::id(1), level, lab.now);
                level += 1;
            }
            _ => break,
        }
    }
    if matches!(lab.state.claims.get(&id), Some(Claim::Pending(..))) {
        lab.state.claims.remove(&id);
    }
    lab.state.end_name(&name);
    result.map(|claimed| match claimed {
        Claimed::Held(endpoint) => endpoint,
        other => panic!("{other:?} twenty times"),
    })
}

fn address(lab: &mut Lab, wish: EndpointWish) -> String {
    claim(lab, wish).map_or_else(|error| error.to_string(), |held| held.ipv4.to_string())
}

#[test]
fn the_lowest_free_address_is_given_and_a_freed_one_is_given_next() {
    let mut lab = Lab::new();
    assert_eq!(address(&mut lab, wish(1)), "10.0.0.2/24", "the gateway has the first");
    assert_eq!(address(&mut lab, wish(2)), "10.0.0.3/24");
    lab.state.claims.remove(&id(1));
    lab.work();
    assert_eq!(address(&mut lab, wish(3)), "10.0.0.2/24");
}

#[test]
fn a_claim_is_in_the_store_with_all_that_belongs_to_it() {
    let mut lab = Lab::new();
    let held = claim(&mut lab, wish(1)).unwrap();
    assert_eq!((held.mac.as_str(), held.vtep.to_string()), ("02:42:0a:00:00:02", "192.0.2.1".into()));
    assert_eq!(lab.at(&place(&held)).unwrap().value, encode(held.as_ref()));
    assert!(lab.has(&second(&held)) && lab.has(&Key::Container("c1".into())));
    assert!(lab.state.owns(&id(1), lab.now));
}

#[test]
fn an_address_that_another_node_took_first_is_passed_over() {
    let mut lab = Lab::new();
    lab.put_claim(&endpoint(7, 2, "n2", 2));
    // This node has not heard of it.
    let given = claim(&mut lab, wish(1)).unwrap().ipv4.addr();
    // One of the four lowest that it knows to be free.
    assert!((3..=6).contains(&given.octets()[3]), "{given}");
    assert_eq!(lab.state.counters.collisions, 1);
}

#[test]
fn the_lowest_free_address_is_given_again_some_time_after_a_collision() {
    let mut lab = Lab::new();
    lab.put_claim(&endpoint(7, 2, "n2", 2));
    let first = claim(&mut lab, wish(1)).unwrap().ipv4.addr().octets()[3];
    lab.wait(Duration::from_secs(5));
    let lowest = if first == 3 { 4 } else { 3 };
    assert_eq!(address(&mut lab, wish(2)), format!("10.0.0.{lowest}/24"));
}

#[test]
fn claims_after_a_collision_are_spread_over_as_many_addresses_as_there_are_nodes() {
    let mut lab = Lab::new();
    for node in 2..=40 {
        lab.put_node(&format!("n{node}"), node, true);
    }
    lab.watch();
    let mut chosen = std::collections::BTreeSet::new();
    for number in 0..200 {
        lab.state.claims.insert(id(number), Claim::Pending(Box::new(wish(number)), None));
        let plan = lab.state.plan_claim(&id(number), 1).unwrap();
        let Change::Put { key, .. } = &plan.then[0] else { panic!("{plan:?}") };
        chosen.insert(key.rsplit_once('.').unwrap().1.parse::<u8>().unwrap());
        lab.state.claims.remove(&id(number));
    }
    assert!(chosen.len() > 40 && chosen.last().unwrap() - chosen.first().unwrap() < 64, "{chosen:?}");
}

#[test]
fn a_name_or_a_session_that_is_gone_is_no_collision() {
    let mut lab = Lab::new();
    let other = NameClaim { container: id(0x99), node: "n2".into() };
    lab.put(&Key::Container("c1".into()), encode(&other));
    lab.state.claims.insert(id(1), Claim::Pending(Box::new(wish(1)), None));
    let plan = lab.state.plan_claim(&id(1), 0).unwrap();
    let outcome = lab.commit(&plan.when, &plan.then);
    assert_eq!(lab.state.claim_outcome(&id(1), &plan, &outcome, lab.now), Ok(Claimed::Again));
    assert_eq!(lab.state.counters.collisions, 0);
}

#[test]
fn all_addresses_are_given_whatever_the_window() {
    let mut lab = Lab::new();
    lab.put(&Key::Network(id(1)), encode(&network(1, "demo", "10.0.0.0/28")));
    lab.watch();
    for number in 0..13 {
        lab.state.contention.collided(&id(1), 2, lab.now);
        claim(&mut lab, wish(number)).unwrap();
    }
    let full = claim(&mut lab, wish(99)).unwrap_err();
    assert!(full.to_string().to_lowercase().contains("no available"), "{full}");
}

#[test]
fn what_nobody_could_read_is_not_written() {
    let mut lab = Lab::new();
    let unfit = [
        EndpointWish { aliases: vec!["a".into(); 1025], ..wish(1) },
        EndpointWish { aliases: vec!["a".repeat(300 << 10)], ..wish(1) },
        EndpointWish { mac: Some(MacAddr([1, 0, 0x5e, 0, 0, 1])), ..wish(1) },
        EndpointWish { name: "no/name".into(), ..wish(1) },
        EndpointWish { id: "short".into(), ..wish(1) },
    ];
    let before = lab.snapshot();
    for wish in unfit {
        let refused = claim(&mut lab, wish).unwrap_err();
        assert!(refused.to_string().starts_with("this cannot be in the store: "), "{refused}");
    }
    assert_eq!(lab.snapshot(), before);
    // Nor is it made of what is held.
    let held = claim(&mut lab, wish(2)).unwrap();
    let refused = lab.state.amend(|endpoint| {
        endpoint.aliases = vec!["a".into(); 1025];
        true
    });
    assert!(matches!(refused, Err(ClusterError::Unfit(_))), "{refused:?}");
    assert_eq!(lab.work(), 0);
    assert_eq!(lab.at(&place(&held)).unwrap().value, encode(held.as_ref()));
}

#[test]
fn an_address_that_is_asked_for_is_given_or_refused() {
    let mut lab = Lab::new();
    let wished = |number, last| EndpointWish { ipv4: Some(Ipv4Addr::new(10, 0, 0, last)), ..wish(number) };
    assert_eq!(address(&mut lab, wished(1, 77)), "10.0.0.77/24");
    let refused = claim(&mut lab, wished(2, 77)).unwrap_err();
    assert!(matches!(refused, ClusterError::Network(_)), "{refused}");
    lab.put_claim(&endpoint(7, 78, "n2", 2));
    let refused = claim(&mut lab, wished(3, 78)).unwrap_err();
    assert!(matches!(refused, ClusterError::Network(NetError::AddressTaken)), "{refused}");
    let outside = EndpointWish { ipv4: Some(Ipv4Addr::new(10, 0, 1, 2)), ..wish(4) };
    assert!(matches!(claim(&mut lab, outside), Err(ClusterError::Network(_))));
}

#[test]
fn an_ethernet_address_is_given_once_on_a_network() {
    let mut lab = Lab::new();
    let with = |number| EndpointWish { mac: Some(MacAddr([2, 0, 0, 0, 0, 9])), ..wish(number) };
    claim(&mut lab, with(1)).unwrap();
    let refused = claim(&mut lab, with(2)).unwrap_err();
    assert!(matches!(&refused, ClusterError::SecondInUse { node, .. } if node == "n1"), "{refused}");
}

#[test]
fn the_ethernet_address_of_a_gateway_is_nobodys() {
    let mut lab = Lab::new();
    let before = lab.snapshot();
    let gateway = EndpointWish { mac: Some(MacAddr([2, 0x42, 10, 0, 0, 1])), ..wish(1) };
    let refused = claim(&mut lab, gateway).unwrap_err();
    assert!(matches!(refused, ClusterError::Network(NetError::MacOfGateway(..))), "{refused}");
    assert_eq!(lab.snapshot(), before);
}

#[test]
fn a_name_is_given_once_in_the_cluster() {
    let mut lab = Lab::new();
    let other = NameClaim { container: id(0x99), node: "n2".into() };
    lab.put(&Key::Container("c1".into()), encode(&other));
    for heard in [false, true] {
        if heard {
            lab.watch();
        }
        let refused = claim(&mut lab, wish(1)).unwrap_err();
        let ClusterError::NameInUse { name, container, node } = refused else { panic!("{refused}") };
        assert_eq!((name, container, node), ("c1".into(), id(0x99), "n2".into()));
    }
    let own = EndpointWish { name: "c2".into(), ..wish(1) };
    claim(&mut lab, own).unwrap();
    let again = EndpointWish { name: "c2".into(), ..wish(2) };
    assert!(matches!(claim(&mut lab, again), Err(ClusterError::NameInUse { .. })));
}

#[test]
fn a_name_that_cannot_be_read_is_taken() {
    let mut lab = Lab::new();
    lab.put(&Key::Container("c1".into()), b"nonsense".to_vec());
    lab.watch();
    let refused = claim(&mut lab, wish(1)).unwrap_err();
    assert!(refused.to_string().contains("\"/vswitch/containers/c1\" cannot be read"), "{refused}");
}

#[test]
fn an_address_that_cannot_be_read_is_taken() {
    let mut lab = Lab::new();
    lab.put(&place(&endpoint(7, 2, "n2", 2)), b"nonsense".to_vec());
    lab.watch();
    assert_eq!(address(&mut lab, wish(1)), "10.0.0.3/24");
}

#[test]
fn a_claim_whose_answer_was_lost_is_found_to_be_made() {
    let mut lab = Lab::new();
    lab.state.claims.insert(id(1), Claim::Pending(Box::new(wish(1)), None));
    let plan = lab.state.plan_claim(&id(1), 0).unwrap();
    let Outcome::Done(_) = lab.commit(&plan.when, &plan.then) else { panic!("it is free") };
    let again = lab.commit(&plan.when, &plan.then);
    let claimed = lab.state.claim_outcome(&id(1), &plan, &again, lab.now).unwrap();
    let Claimed::Held(held) = claimed else { panic!("{claimed:?}") };
    assert_eq!(held.ipv4.to_string(), "10.0.0.2/24");
}

#[test]
fn a_claim_of_a_session_that_has_ended_is_not_made() {
    let mut lab = Lab::new();
    lab.state.claims.insert(id(1), Claim::Pending(Box::new(wish(1)), None));
    let plan = lab.state.plan_claim(&id(1), 0).unwrap();
    lab.delete(&Key::Node("n1".into()));
    let outcome = lab.commit(&plan.when, &plan.then);
    assert!(matches!(outcome, Outcome::Refused(_)));
    assert_eq!(lab.state.claim_outcome(&id(1), &plan, &outcome, lab.now), Ok(Claimed::Again));
    lab.watch();
    assert!(matches!(lab.state.plan_claim(&id(1), 1), Err(ClusterError::NotJoined(_))));
}

#[test]
fn a_full_subnet_and_a_network_that_is_gone_are_said_to_be_so() {
    let mut lab = Lab::new();
    lab.put(&Key::Network(id(1)), encode(&network(1, "demo", "10.0.0.0/30")));
    lab.watch();
    assert_eq!(address(&mut lab, wish(1)), "10.0.0.2/30");
    let full = claim(&mut lab, wish(2)).unwrap_err();
    assert!(full.to_string().to_lowercase().contains("no available"), "{full}");
    let mut lab = Lab::new();
    lab.delete(&Key::Network(id(1)));
    assert_eq!(claim(&mut lab, wish(3)), Err(ClusterError::NoNetwork(id(1))));
    lab.watch();
    assert_eq!(claim(&mut lab, wish(3)), Err(ClusterError::NoNetwork(id(1))));
}

/// Network 1 with these subnets, of which the first of each IP version go together.
fn subnets(lab: &mut Lab, all: &[&str]) {
    let mut shared = network(1, "demo", all[0]);
    for (number, subnet) in all.iter().enumerate().skip(1) {
        let more = network(1, "demo", subnet);
        shared.record.ipam.config.extend(more.record.ipam.config);
        if !subnet.contains(':') {
            shared.vnis.insert(subnet.parse().unwrap(), 256 + number as u32);
        }
    }
    shared.record.enable_ipv6 = all.iter().any(|subnet| subnet.contains(':'));
    lab.put(&Key::Network(id(1)), encode(&shared));
    lab.watch();
}

#[test]
fn the_next_subnet_is_used_when_one_is_full_or_an_address_of_it_is_asked_for() {
    let mut lab = Lab::new();
    subnets(&mut lab, &["10.0.0.0/30", "10.0.1.0/24"]);
    assert_eq!(address(&mut lab, wish(1)), "10.0.0.2/30");
    assert_eq!(address(&mut lab, wish(2)), "10.0.1.2/24");
    let wished = EndpointWish { ipv4: Some(Ipv4Addr::new(10, 0, 1, 77)), ..wish(3) };
    assert_eq!(address(&mut lab, wished), "10.0.1.77/24");
    let outside = EndpointWish { ipv4: Some(Ipv4Addr::new(10, 0, 2, 2)), ..wish(4) };
    assert!(claim(&mut lab, outside).unwrap_err().to_string().contains("does not belong to any"));
    lab.state.claims.remove(&id(1));
    lab.work();
    assert_eq!(address(&mut lab, wish(5)), "10.0.0.2/30");
}

#[test]
fn an_ipv6_address_is_of_the_subnet_that_goes_with_the_ipv4_address() {
    let mut lab = Lab::new();
    subnets(&mut lab, &["10.0.0.0/24", "10.0.1.0/24", "fd00:1::/64", "fd00:2::/64"]);
    let both = |lab: &mut Lab, wish| {
        let held = claim(lab, wish).unwrap();
        (held.ipv4.to_string(), held.ipv6.unwrap().to_string())
    };
    let pair = |v4: &str, v6: &str| (v4.to_owned(), v6.to_owned());
    assert_eq!(both(&mut lab, wish(1)), pair("10.0.0.2/24", "fd00:1::242:a00:2/64"));
    let second = EndpointWish { ipv4: Some(Ipv4Addr::new(10, 0, 1, 7)), ..wish(2) };
    assert_eq!(both(&mut lab, second), pair("10.0.1.7/24", "fd00:2::242:a00:107/64"));
    let by_v6 = EndpointWish { ipv6: Some("fd00:2::9".parse().unwrap()), ..wish(3) };
    assert_eq!(both(&mut lab, by_v6), pair("10.0.1.2/24", "fd00:2::9/64"));
    let (v4, v6) = (Some(Ipv4Addr::new(10, 0, 0, 9)), Some("fd00:2::a".parse().unwrap()));
    let crossed = claim(&mut lab, EndpointWish { ipv4: v4, ipv6: v6, ..wish(4) }).unwrap_err();
    assert!(crossed.to_string().contains("fd00:2::a"), "{crossed}");
    let nowhere = EndpointWish { ipv6: Some("fd00:3::1".parse().unwrap()), ..wish(5) };
    assert!(claim(&mut lab, nowhere).unwrap_err().to_string().contains("does not belong to any"));
}
