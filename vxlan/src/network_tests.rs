use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn vni() -> Vni {
    Vni::new(42).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn network(learning: bool) -> (Network, Sender) {
    let config = NetworkConfig { learning, ageing: 300, limit: 3 };
    (Network::new(vni(), &config), Sender::without_sockets())
}

fn mac(n: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, n])
}

fn remote(n: u8, vtep: &str) -> Remote {
    Remote { mac: mac(n), addresses: vec![IpAddr::from([10, 0, 0, n])], vtep: ip(vtep) }
}

fn targets(network: &Network, mac: MacAddr, now: u32) -> Vec<IpAddr> {
    network.targets(mac, now, |paths| paths.iter().map(|path| path.vtep()).collect())
}

#[test]
fn known_stations_get_one_copy_and_the_rest_one_a_peer() {
    let (network, sender) = network(false);
    network.set_peers(&sender, [ip("192.0.2.3"), ip("192.0.2.2"), ip("192.0.2.3")]).unwrap();
    assert_eq!(network.set_remote(&remote(2, "192.0.2.3")), Ok(None));
    assert_eq!(targets(&network, mac(2), 0), [ip("192.0.2.3")]);
    let all = [ip("192.0.2.2"), ip("192.0.2.3")];
    assert_eq!(targets(&network, MacAddr::BROADCAST, 0), all);
    assert_eq!(targets(&network, mac(9), 0), all);
    assert_eq!(network.set_remote(&remote(2, "192.0.2.2")), Ok(Some(ip("192.0.2.3"))));
    assert_eq!(targets(&network, mac(2), 0), [ip("192.0.2.2")]);
    assert!(network.remove_peer(ip("192.0.2.2")));
    assert_eq!(targets(&network, mac(2), 0), [ip("192.0.2.3")]);
    assert_eq!(network.neighbour(ip("10.0.0.2")), None);
}

#[test]
fn only_peers_may_send() {
    let (network, sender) = network(false);
    network.add_peer(&sender, ip("192.0.2.1")).unwrap();
    assert_eq!(network.check_source(ip("192.0.2.1")).unwrap().vtep(), ip("192.0.2.1"));
    assert!(network.check_source(ip("::ffff:192.0.2.1")).is_ok());
    assert_eq!(network.check_source(ip("192.0.2.2")).unwrap_err(), DropReason::UnknownPeer);
}

#[test]
fn entries_that_cannot_be_are_refused() {
    let (network, sender) = network(false);
    for address in ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "::ffff:224.0.0.1"] {
        assert!(matches!(network.add_peer(&sender, ip(address)), Err(PeerError::NotUnicast(_))), "{address}");
    }
    network.add_peer(&sender, ip("192.0.2.1")).unwrap();
    assert!(network.set_peers(&sender, [ip("192.0.2.2"), ip("::")]).is_err());
    assert_eq!(network.peers(), [ip("192.0.2.1")]);
    let vtep = ip("2001:db8::1");
    let refused = network.set_remote(&remote(2, "2001:db8::1"));
    assert_eq!(refused, Err(PeerError::NoSuchPeer { vni: vni(), vtep }));
    for mac in [MacAddr::BROADCAST, MacAddr::ZERO, MacAddr([1, 0, 0x5e, 0, 0, 1])] {
        let refused = network.set_remote(&Remote { mac, ..remote(2, "192.0.2.1") });
        assert_eq!(refused, Err(PeerError::NotAStation(mac)));
    }
}

#[test]
fn an_address_is_answered_for_as_long_as_somebody_has_it() {
    let (network, sender) = network(false);
    network.add_peer(&sender, ip("192.0.2.1")).unwrap();
    network.set_remote(&remote(2, "192.0.2.1")).unwrap();
    // The next one gets the address before the first one's entry goes.
    let heir = Remote { mac: mac(3), ..remote(2, "192.0.2.1") };
    network.set_remote(&heir).unwrap();
    assert_eq!(network.remove_remote(mac(2)), Some(ip("192.0.2.1")));
    assert_eq!(network.neighbour(ip("10.0.0.2")), Some(mac(3)));
    network.set_remote(&Remote { addresses: vec![ip("::ffff:10.0.0.7")], ..heir }).unwrap();
    assert_eq!(network.neighbour(ip("10.0.0.2")), None);
    assert_eq!(network.neighbour(ip("10.0.0.7")), Some(mac(3)));
    network.remove_peer(ip("192.0.2.1"));
    assert_eq!(network.neighbour(ip("10.0.0.7")), None);
}

#[test]
fn stations_are_learned_move_and_age() {
    let (network, sender) = network(true);
    network.set_peers(&sender, [ip("192.0.2.1"), ip("192.0.2.2")]).unwrap();
    let (one, two) = (sender.path(ip("192.0.2.1")), sender.path(ip("192.0.2.2")));
    network.learn(mac(1), &one, 100);
    assert_eq!(network.station(mac(1), 100), Some(one.vtep()));
    network.learn(mac(1), &two, 200);
    assert_eq!(network.station(mac(1), 200), Some(two.vtep()));
    assert!(network.reaches(mac(1), 499));
    assert!(!network.reaches(mac(1), 500), "silent for too long");
    assert_eq!(targets(&network, mac(1), 500).len(), 2);
    network.learn(mac(1), &two, 600);
    assert_eq!(network.sweep(700), 0);
    assert_eq!((network.sweep(900), network.learned()), (1, 0));
}

#[test]
fn what_was_pushed_neither_moves_nor_ages() {
    let (network, sender) = network(true);
    network.set_peers(&sender, [ip("192.0.2.1"), ip("192.0.2.2")]).unwrap();
    network.learn(mac(2), &sender.path(ip("192.0.2.2")), 0);
    network.set_remote(&remote(2, "192.0.2.1")).unwrap();
    assert_eq!(network.learned(), 0);
    network.learn(mac(2), &sender.path(ip("192.0.2.2")), 1);
    assert_eq!(network.sweep(u32::MAX), 0);
    assert_eq!(network.station(mac(2), u32::MAX), Some(ip("192.0.2.1")));
    assert_eq!(network.stations(0), [(remote(2, "192.0.2.1"), true)]);
}

#[test]
fn made_up_addresses_do_not_fill_the_table() {
    let (network, sender) = network(true);
    network.add_peer(&sender, ip("192.0.2.1")).unwrap();
    let path = sender.path(ip("192.0.2.1"));
    for n in 1..=200 {
        network.learn(mac(n), &path, 0);
    }
    network.learn(MacAddr::BROADCAST, &path, 0);
    network.learn(MacAddr::ZERO, &path, 0);
    assert_eq!((network.learned(), network.unlearned()), (3, 197));
    // The control side's entries have no limit.
    network.set_remote(&remote(250, "192.0.2.1")).unwrap();
    // Who is no peer (any more) teaches nothing.
    network.remove_peer(ip("192.0.2.1"));
    network.learn(mac(1), &path, 0);
    assert!(network.stations(0).is_empty());
}

#[test]
fn without_learning_nothing_is_learned() {
    let (network, sender) = network(false);
    network.add_peer(&sender, ip("192.0.2.1")).unwrap();
    network.learn(mac(1), &sender.path(ip("192.0.2.1")), 0);
    assert!(!network.reaches(mac(1), 0));
}

#[test]
fn a_hundred_thousand_stations_are_found() {
    let (network, sender) = network(false);
    network.set_peers(&sender, (1..=250).map(|n| IpAddr::from([10, 0, 0, n]))).unwrap();
    let station = |n: u32| Remote {
        mac: MacAddr::from_u64(0x0200_0000_0000 | u64::from(n)),
        addresses: vec![IpAddr::from((0x0b00_0000 + n).to_be_bytes())],
        vtep: IpAddr::from([10, 0, 0, (n % 250 + 1) as u8]),
    };
    for n in 0..100_000 {
        network.set_remote(&station(n)).unwrap();
    }
    for n in (0..100_000).step_by(7) {
        let Remote { mac, addresses, vtep } = station(n);
        assert_eq!(network.station(mac, 0), Some(vtep));
        assert_eq!(network.neighbour(addresses[0]), Some(mac));
    }
    assert_eq!(network.stations(0).len(), 100_000);
}

#[derive(Clone, Debug)]
enum Step {
    AddPeer(u8),
    RemovePeer(u8),
    SetPeers(Vec<u8>),
    SetRemote(u8, u8, u8),
    RemoveRemote(u8),
    Learn(u8, u8),
}

fn any_step() -> impl Strategy<Value = Step> {
    let (vtep, mac, address) = (0..5u8, 1..6u8, 1..6u8);
    prop_oneof![
        5 => vtep.clone().prop_map(Step::AddPeer),
        3 => vtep.clone().prop_map(Step::RemovePeer),
        1 => prop::collection::vec(vtep.clone(), 0..4).prop_map(Step::SetPeers),
        9 => (mac.clone(), address, vtep.clone()).prop_map(|(m, a, p)| Step::SetRemote(m, a, p)),
        3 => mac.clone().prop_map(Step::RemoveRemote),
        6 => (mac, vtep).prop_map(|(m, p)| Step::Learn(m, p)),
    ]
}

/// Odd numbers are IPv6, so that both kinds are in one list.
fn vtep(n: u8) -> IpAddr {
    if n % 2 == 1 { ip(&format!("2001:db8::{n}")) } else { ip(&format!("192.0.2.{}", n + 1)) }
}

/// What the network should know: peers, and of each station its peer, its address if it was pushed.
#[derive(Default)]
struct Model {
    peers: BTreeSet<IpAddr>,
    stations: BTreeMap<MacAddr, (IpAddr, Option<IpAddr>)>,
    owners: BTreeMap<IpAddr, MacAddr>,
}

impl Model {
    fn forget(&mut self, mac: MacAddr) {
        if let Some((_, Some(address))) = self.stations.remove(&mac)
            && self.owners.get(&address) == Some(&mac)
        {
            self.owners.remove(&address);
        }
    }

    fn set_peers(&mut self, peers: BTreeSet<IpAddr>) {
        self.peers = peers;
        let gone = self.stations.iter().filter(|(_, (vtep, _))| !self.peers.contains(vtep));
        for mac in gone.map(|(mac, _)| *mac).collect::<Vec<_>>() {
            self.forget(mac);
        }
    }

    fn step(&mut self, network: &Network, sender: &Sender, step: &Step) {
        let mut peers = self.peers.clone();
        match *step {
            Step::AddPeer(p) => {
                assert_eq!(network.add_peer(sender, vtep(p)), Ok(peers.insert(vtep(p))));
                self.set_peers(peers);
            }
            Step::RemovePeer(p) => {
                assert_eq!(network.remove_peer(vtep(p)), peers.remove(&vtep(p)));
                self.set_peers(peers);
            }
            Step::SetPeers(ref list) => {
                network.set_peers(sender, list.iter().map(|p| vtep(*p))).unwrap();
                self.set_peers(list.iter().map(|p| vtep(*p)).collect());
            }
            Step::SetRemote(m, a, p) => {
                let address = IpAddr::from([10, 0, 0, a]);
                let remote = Remote { mac: mac(m), addresses: vec![address], vtep: vtep(p) };
                let set = network.set_remote(&remote);
                if !peers.contains(&vtep(p)) {
                    assert_eq!(set, Err(PeerError::NoSuchPeer { vni: vni(), vtep: vtep(p) }));
                    return;
                }
                assert_eq!(set, Ok(self.stations.get(&mac(m)).map(|(vtep, _)| *vtep)));
                self.forget(mac(m));
                self.stations.insert(mac(m), (vtep(p), Some(address)));
                self.owners.insert(address, mac(m));
            }
            Step::RemoveRemote(m) => {
                let before = self.stations.get(&mac(m)).map(|(vtep, _)| *vtep);
                assert_eq!(network.remove_remote(mac(m)), before);
                self.forget(mac(m));
            }
            Step::Learn(m, p) => {
                network.learn(mac(m), &sender.path(vtep(p)), 0);
                let pinned = matches!(self.stations.get(&mac(m)), Some((_, Some(_))));
                let learned = self.stations.values().filter(|(_, address)| address.is_none()).count();
                let room = learned < 3 || self.stations.contains_key(&mac(m));
                if peers.contains(&vtep(p)) && !pinned && room {
                    self.stations.insert(mac(m), (vtep(p), None));
                }
            }
        }
    }

    fn compare(&self, network: &Network) {
        let peers: Vec<_> = self.peers.iter().copied().collect();
        assert_eq!(network.peers(), peers);
        let learned = self.stations.values().filter(|(_, address)| address.is_none()).count();
        assert_eq!((network.stations(0).len(), network.learned()), (self.stations.len(), learned));
        for m in 1..6 {
            let behind = self.stations.get(&mac(m)).map(|(vtep, _)| *vtep);
            assert_eq!(network.station(mac(m), 0), behind);
            assert_eq!(targets(network, mac(m), 0), behind.map_or(peers.clone(), |p| vec![p]));
            let address = IpAddr::from([10, 0, 0, m]);
            assert_eq!(network.neighbour(address), self.owners.get(&address).copied());
        }
        for p in 0..5 {
            assert_eq!(network.check_source(vtep(p)).is_ok(), self.peers.contains(&vtep(p)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_tables_are_what_naive_ones_would_be(steps in prop::collection::vec(any_step(), 0..80)) {
        let (network, sender) = network(true);
        let mut model = Model::default();
        for step in &steps {
            model.step(&network, &sender, step);
            model.compare(&network);
        }
    }
}
