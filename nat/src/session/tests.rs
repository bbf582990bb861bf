use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const IDLE: Duration = Duration::from_mins(5);
const FIRST: Duration = Duration::from_secs(30);

fn local(host: u8) -> Endpoint {
    Endpoint::new([10, 0, 0, host], 4000)
}

fn far(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, host], port))
}

fn key(inside: u32, host: u8, remote: SocketAddr) -> Key {
    let remote = Endpoint::new(remote.ip(), remote.port());
    Key { inside: InsideId(inside), local: local(host), remote }
}

fn outbound(mapping: u32, key: Key, real: SocketAddr) -> NewSession {
    let direction = Direction::Outbound;
    NewSession { key, mapping, real, via: None, direction, idle: IDLE, idle_first: FIRST }
}

fn published(mapping: u32, key: Key, real: SocketAddr, via: IpAddr) -> NewSession {
    NewSession { via: Some(via), direction: Direction::Published, ..outbound(mapping, key, real) }
}

#[test]
fn rfc4787_req8_filtering_is_as_it_was_set() {
    let mut table = Table::default();
    let mapping = table.add_mapping(InsideId(1), local(2), false, ());
    let (peer, other_port, stranger) = (far(1, 53), far(1, 54), far(2, 53));
    let session = table.open(&outbound(mapping, key(1, 2, peer), peer), Time::ZERO);
    let arrival = |from, filtering| table.arrival(mapping, from, None, filtering);
    for filtering in
        [Filtering::EndpointIndependent, Filtering::AddressDependent, Filtering::AddressAndPortDependent]
    {
        assert_eq!(arrival(peer, filtering), Arrival::Session(session));
    }
    assert_eq!(arrival(stranger, Filtering::EndpointIndependent), Arrival::Stranger);
    assert_eq!(arrival(other_port, Filtering::AddressDependent), Arrival::Stranger);
    assert_eq!(arrival(stranger, Filtering::AddressDependent), Arrival::Filtered);
    assert_eq!(arrival(other_port, Filtering::AddressAndPortDependent), Arrival::Filtered);
    // With the session goes its leave.
    table.close(session);
    assert_eq!(table.arrival(mapping, other_port, None, Filtering::AddressDependent), Arrival::Filtered);
}

#[test]
fn a_client_that_uses_two_addresses_of_the_host_has_two_sessions() {
    let mut table = Table::default();
    let mapping = table.add_mapping(InsideId(1), local(2), true, ());
    let client = far(9, 7000);
    let [one, two] = [[192, 0, 2, 1], [192, 0, 2, 2]].map(IpAddr::from);
    let first = table.open(&published(mapping, key(1, 2, client), client, one), Time::ZERO);
    let arrival = |table: &Table<()>, via| {
        table.arrival(mapping, client, Some(via), Filtering::AddressAndPortDependent)
    };
    assert_eq!(arrival(&table, one), Arrival::Session(first));
    assert_eq!(arrival(&table, two), Arrival::Stranger);
    let alias = key(1, 2, far(254, 7000));
    let second = table.open(&published(mapping, alias, client, two), Time::ZERO);
    assert_eq!(arrival(&table, two), Arrival::Session(second));
    assert_eq!(arrival(&table, one), Arrival::Session(first));
}

#[test]
fn a_client_is_remembered_longer_once_it_and_the_container_talk() {
    let mut table = Table::default();
    let mapping = table.add_mapping(InsideId(1), local(2), true, ());
    let (client, via) = (far(9, 7000), IpAddr::from([192, 0, 2, 1]));
    let session = table.open(&published(mapping, key(1, 2, client), client, via), Time::ZERO);
    table.received(session, 9, true, Time::ZERO);
    assert_eq!(table.session(session).unwrap().ends(), Time::ZERO + FIRST);
    let soon = Time::ZERO + Duration::from_secs(1);
    table.sent(session, 9, soon);
    assert_eq!(table.session(session).unwrap().ends(), soon + FIRST);
    assert_eq!((table.unsettled(InsideId(1)), table.oldest_unsettled(InsideId(1))), (1, Some(session)));
    let later = Time::ZERO + UdpTuning::STREAM;
    table.received(session, 9, true, later);
    assert_eq!(table.session(session).unwrap().ends(), later + IDLE);
    assert_eq!((table.unsettled(InsideId(1)), table.oldest_unsettled(InsideId(1))), (0, None));
}

#[test]
fn one_far_end_under_two_addresses_is_one_session_under_the_last() {
    let mut table = Table::default();
    let mapping = table.add_mapping(InsideId(1), local(2), false, ());
    let (real, one, two) = (far(1, 53), key(1, 2, far(10, 53)), key(1, 2, far(11, 53)));
    let session = table.open(&outbound(mapping, one, real), Time::ZERO);
    assert_eq!(table.open(&outbound(mapping, two, real), Time::ZERO), session);
    assert_eq!((table.find(&one), table.find(&two)), (None, Some(session)));
    assert_eq!(table.mapping(mapping).unwrap().sessions, 1);
}

#[derive(Clone, Debug)]
enum Step {
    Send { host: u8, far: u8, port: u16 },
    Receive { host: u8, far: u8, port: u16 },
    Wait(u64),
    Remove { host: u8 },
}

fn any_step() -> impl Strategy<Value = Step> {
    let (host, end, port) = (|| 1..4u8, || 1..4u8, || 1..4u16);
    prop_oneof![
        6 => (host(), end(), port()).prop_map(|(host, far, port)| Step::Send { host, far, port }),
        6 => (host(), end(), port()).prop_map(|(host, far, port)| Step::Receive { host, far, port }),
        4 => (1..200u64).prop_map(Step::Wait),
        1 => host().prop_map(|host| Step::Remove { host }),
    ]
}

/// For every container, far ends and when each was last refreshed.
type Model = BTreeMap<u8, BTreeMap<SocketAddr, Time>>;

/// What an engine does around the table.
struct Subject {
    table: Table<u8>,
    filtering: Filtering,
    refresh: bool,
}

impl Subject {
    fn send(&mut self, host: u8, to: SocketAddr, now: Time) {
        let key = key(u32::from(host), host, to);
        let session = self.table.find(&key).unwrap_or_else(|| {
            let mapping = self
                .table
                .mapping_of(key.inside, key.local)
                .unwrap_or_else(|| self.table.add_mapping(key.inside, key.local, false, host));
            self.table.open(&outbound(mapping, key, to), now)
        });
        self.table.sent(session, 1, now);
    }

    /// Whether it passes, and to whom.
    fn receive(&mut self, host: u8, from: SocketAddr, now: Time) -> Option<u8> {
        let mapping = self.table.mapping_of(InsideId(host.into()), local(host))?;
        match self.table.arrival(mapping, from, None, self.filtering) {
            Arrival::Session(session) => {
                self.table.received(session, 1, self.refresh, now);
            }
            Arrival::Stranger => {}
            Arrival::Filtered => return None,
        }
        Some(self.table.mapping(mapping)?.data)
    }

    fn close(&mut self, session: u32) {
        let closed = self.table.close(session).unwrap();
        if self.table.mapping(closed.mapping).is_some_and(|mapping| mapping.sessions == 0) {
            self.table.remove_mapping(closed.mapping).unwrap();
        }
    }

    fn expire(&mut self, now: Time) {
        let over: Vec<u32> =
            self.table.sessions().filter(|(_, s)| s.ends() <= now).map(|(index, _)| index).collect();
        for session in over {
            self.close(session);
        }
    }
}

fn passes(peers: &BTreeMap<SocketAddr, Time>, from: SocketAddr, filtering: Filtering) -> bool {
    match filtering {
        Filtering::EndpointIndependent => !peers.is_empty(),
        Filtering::AddressDependent => peers.keys().any(|peer| peer.ip() == from.ip()),
        Filtering::AddressAndPortDependent => peers.contains_key(&from),
    }
}

proptest! {
    #[test]
    fn the_table_does_what_a_list_of_far_ends_does(
        steps in prop::collection::vec(any_step(), 0..150),
        filtering in prop::sample::select(vec![
            Filtering::EndpointIndependent,
            Filtering::AddressDependent,
            Filtering::AddressAndPortDependent,
        ]),
        refresh in any::<bool>(),
    ) {
        let mut subject = Subject { table: Table::default(), filtering, refresh };
        let (mut model, mut now) = (Model::new(), Time::ZERO);
        for step in steps {
            match step {
                Step::Send { host, far: end, port } => {
                    subject.send(host, far(end, port), now);
                    model.entry(host).or_default().insert(far(end, port), now);
                }
                Step::Receive { host, far: end, port } => {
                    let from = far(end, port);
                    let peers = model.entry(host).or_default();
                    let expected = passes(peers, from, filtering).then_some(host);
                    prop_assert_eq!(subject.receive(host, from, now), expected);
                    if let Some(refreshed) = peers.get_mut(&from) && refresh {
                        *refreshed = now;
                    }
                }
                Step::Wait(seconds) => {
                    now = now + Duration::from_secs(seconds);
                    subject.expire(now);
                    for peers in model.values_mut() {
                        peers.retain(|_, refreshed| *refreshed + IDLE > now);
                    }
                }
                Step::Remove { host } => {
                    for session in subject.table.sessions_of(InsideId(host.into())) {
                        subject.close(session);
                    }
                    model.remove(&host);
                }
            }
            model.retain(|_, peers| !peers.is_empty());
            let table = &subject.table;
            prop_assert_eq!(table.mappings.len(), model.len());
            let sessions: usize = model.values().map(BTreeMap::len).sum();
            prop_assert_eq!(table.sessions.len(), sessions);
            prop_assert_eq!(table.by_key.len(), sessions);
            prop_assert_eq!(table.by_outside.len(), sessions);
            prop_assert_eq!(table.by_local.len(), model.len());
        }
        prop_assert!(subject.table.unsettled.is_empty());
    }

    #[test]
    fn unsettled_sessions_come_out_oldest_first(
        steps in prop::collection::vec((0..2u32, 0..20u16, any::<bool>()), 0..100),
    ) {
        let mut table = Table::default();
        let mappings = [0, 1].map(|inside| table.add_mapping(InsideId(inside), local(2), true, ()));
        let mut model: [Vec<u32>; 2] = Default::default();
        let via = IpAddr::from([192, 0, 2, 1]);
        for (inside, port, close) in steps {
            let mapping = mappings[inside as usize];
            let client = far(9, 1000 + port);
            let order = &mut model[inside as usize];
            match table.find(&key(inside, 2, client)) {
                Some(session) if close => {
                    table.close(session);
                    order.retain(|other| *other != session);
                }
                Some(_) => {}
                None => {
                    let new = published(mapping, key(inside, 2, client), client, via);
                    order.push(table.open(&new, Time::ZERO));
                }
            }
            for (inside, order) in [0, 1].into_iter().zip(&model) {
                prop_assert_eq!(table.oldest_unsettled(InsideId(inside)), order.first().copied());
                prop_assert_eq!(table.unsettled(InsideId(inside)), order.len());
            }
        }
    }
}
