use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn vni(value: u32) -> Vni {
    Vni::new(value).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

const MAC: MacAddr = MacAddr([2, 0x42, 10, 0, 0, 2]);

#[test]
fn known_stations_get_one_copy_and_the_rest_one_a_peer() {
    let mut table = PeerTable::new();
    table.add_peer(vni(42), ip("192.0.2.3")).unwrap();
    table.add_peer(vni(42), ip("192.0.2.2")).unwrap();
    assert_eq!(table.set_station(vni(42), MAC, ip("192.0.2.3")), Ok(None));
    assert_eq!(table.targets(vni(42), MAC), [ip("192.0.2.3")]);
    let all = [ip("192.0.2.2"), ip("192.0.2.3")];
    assert_eq!(table.targets(vni(42), MacAddr::BROADCAST), all);
    assert_eq!(table.targets(vni(42), MacAddr([2; 6])), all);
    assert!(table.targets(vni(43), MAC).is_empty());
    assert_eq!(table.set_station(vni(42), MAC, ip("192.0.2.2")), Ok(Some(ip("192.0.2.3"))));
    assert!(table.remove_peer(vni(42), ip("192.0.2.2")));
    assert_eq!(table.targets(vni(42), MAC), [ip("192.0.2.3")]);
}

#[test]
fn only_peers_of_the_same_network_may_send() {
    let mut table = PeerTable::new();
    table.add_peer(vni(1), ip("192.0.2.1")).unwrap();
    table.add_network(vni(2));
    assert_eq!(table.check_source(vni(1), ip("192.0.2.1")), Ok(()));
    assert_eq!(table.check_source(vni(1), ip("::ffff:192.0.2.1")), Ok(()));
    assert_eq!(table.check_source(vni(1), ip("192.0.2.2")), Err(DropReason::UnknownPeer));
    assert_eq!(table.check_source(vni(2), ip("192.0.2.1")), Err(DropReason::UnknownPeer));
    assert_eq!(table.check_source(vni(3), ip("192.0.2.1")), Err(DropReason::UnknownVni));
}

#[test]
fn entries_that_cannot_be_are_refused() {
    let mut table = PeerTable::new();
    for address in ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "::ffff:224.0.0.1"] {
        assert!(matches!(table.add_peer(vni(1), ip(address)), Err(PeerError::NotUnicast(_))), "{address}");
    }
    assert_eq!(table.networks().count(), 0);
    let vtep = ip("2001:db8::1");
    assert_eq!(table.set_station(vni(1), MAC, vtep), Err(PeerError::NoSuchPeer { vni: vni(1), vtep }));
    table.add_peer(vni(1), vtep).unwrap();
    for mac in [MacAddr::BROADCAST, MacAddr::ZERO, MacAddr([1, 0, 0x5e, 0, 0, 1])] {
        assert_eq!(table.set_station(vni(1), mac, vtep), Err(PeerError::NotAStation(mac)));
    }
}

#[derive(Clone, Debug)]
enum Step {
    AddNetwork(u32),
    RemoveNetwork(u32),
    AddPeer(u32, u8),
    RemovePeer(u32, u8),
    SetStation(u32, u8, u8),
    RemoveStation(u32, u8),
}

fn any_step() -> impl Strategy<Value = Step> {
    let (vni, vtep, mac) = (0..3u32, 0..5u8, 0..6u8);
    prop_oneof![
        1 => vni.clone().prop_map(Step::AddNetwork),
        1 => vni.clone().prop_map(Step::RemoveNetwork),
        6 => (vni.clone(), vtep.clone()).prop_map(|(n, p)| Step::AddPeer(n, p)),
        3 => (vni.clone(), vtep.clone()).prop_map(|(n, p)| Step::RemovePeer(n, p)),
        9 => (vni.clone(), mac.clone(), vtep).prop_map(|(n, m, p)| Step::SetStation(n, m, p)),
        3 => (vni, mac).prop_map(|(n, m)| Step::RemoveStation(n, m)),
    ]
}

/// Odd numbers are IPv6, so that both kinds are in one list.
fn vtep(n: u8) -> IpAddr {
    if n % 2 == 1 { ip(&format!("2001:db8::{n}")) } else { ip(&format!("192.0.2.{n}")) }
}

fn mac(n: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, n])
}

/// What the table should be, as plain sets of tuples.
#[derive(Default)]
struct Model {
    networks: BTreeSet<u32>,
    peers: BTreeSet<(u32, IpAddr)>,
    stations: BTreeMap<(u32, MacAddr), IpAddr>,
}

impl Model {
    /// Does the step here and to the table, and compares what came of it.
    fn step(&mut self, table: &mut PeerTable, step: &Step) {
        match *step {
            Step::AddNetwork(n) => assert_eq!(table.add_network(vni(n)), self.networks.insert(n)),
            Step::RemoveNetwork(n) => {
                assert_eq!(table.remove_network(vni(n)), self.networks.remove(&n));
                self.peers.retain(|(of, _)| *of != n);
                self.stations.retain(|(of, _), _| *of != n);
            }
            Step::AddPeer(n, p) => {
                self.networks.insert(n);
                assert_eq!(table.add_peer(vni(n), vtep(p)), Ok(self.peers.insert((n, vtep(p)))));
            }
            Step::RemovePeer(n, p) => {
                assert_eq!(table.remove_peer(vni(n), vtep(p)), self.peers.remove(&(n, vtep(p))));
                self.stations.retain(|(of, _), behind| *of != n || *behind != vtep(p));
            }
            Step::SetStation(n, m, p) => {
                let set = table.set_station(vni(n), mac(m), vtep(p));
                if self.peers.contains(&(n, vtep(p))) {
                    assert_eq!(set, Ok(self.stations.insert((n, mac(m)), vtep(p))));
                } else {
                    assert_eq!(set, Err(PeerError::NoSuchPeer { vni: vni(n), vtep: vtep(p) }));
                }
            }
            Step::RemoveStation(n, m) => {
                assert_eq!(table.remove_station(vni(n), mac(m)), self.stations.remove(&(n, mac(m))));
            }
        }
    }

    fn compare(&self, table: &PeerTable) {
        assert_eq!(table.networks().map(Vni::get).collect::<BTreeSet<_>>(), self.networks);
        for n in 0..3 {
            let peers: Vec<_> = self.peers.iter().filter(|(of, _)| *of == n).map(|(_, p)| *p).collect();
            assert_eq!(table.peers(vni(n)), peers);
            let known = table.stations(vni(n)).count();
            assert_eq!(known, self.stations.keys().filter(|(of, _)| *of == n).count());
            for m in 0..6 {
                let behind = self.stations.get(&(n, mac(m))).copied();
                assert_eq!(table.station(vni(n), mac(m)), behind);
                assert_eq!(table.targets(vni(n), mac(m)), behind.map_or(peers.clone(), |p| vec![p]));
            }
            for p in 0..5 {
                let expected = match (self.networks.contains(&n), peers.contains(&vtep(p))) {
                    (false, _) => Err(DropReason::UnknownVni),
                    (true, false) => Err(DropReason::UnknownPeer),
                    (true, true) => Ok(()),
                };
                assert_eq!(table.check_source(vni(n), vtep(p)), expected);
            }
        }
    }
}

proptest! {
    #[test]
    fn the_table_is_what_a_naive_one_would_be(steps in prop::collection::vec(any_step(), 0..80)) {
        let (mut table, mut model) = (PeerTable::new(), Model::default());
        for step in &steps {
            model.step(&mut table, step);
            model.compare(&table);
        }
    }
}
