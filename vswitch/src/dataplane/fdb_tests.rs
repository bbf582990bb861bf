use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

fn station(n: u64) -> Station {
    Station { mac: MacAddr::from_u64(0x0242_0000_0000 + n), vlan: 0 }
}

#[test]
fn a_station_is_found_where_it_was_last_heard() {
    let fdb = Fdb::new(16, 300);
    assert_eq!(fdb.learn(station(1), 1, 10), Learned::New);
    assert_eq!(fdb.learn(station(1), 1, 11), Learned::Known);
    assert_eq!(fdb.lookup(station(1), 11), Some(1));
    assert_eq!(fdb.learn(station(1), 2, 12), Learned::Moved);
    assert_eq!(fdb.lookup(station(1), 12), Some(2));
    assert_eq!(fdb.move_count(), 1);
    assert_eq!(fdb.lookup(Station { vlan: 7, ..station(1) }, 12), None, "another VLAN is another station");
}

#[test]
fn a_silent_station_ages_out() {
    let fdb = Fdb::new(16, 300);
    fdb.learn(station(1), 1, 1000);
    assert_eq!(fdb.lookup(station(1), 1299), Some(1));
    assert_eq!(fdb.lookup(station(1), 1300), None);
    assert_eq!(fdb.entries(1300), []);
    assert_eq!((fdb.len(), fdb.sweep(1300), fdb.len()), (1, 1, 0));
    fdb.set_ageing(0);
    fdb.learn(station(1), 1, 1000);
    assert_eq!(fdb.lookup(station(1), 1000), None, "ageing 0 forgets at once");
}

#[test]
fn a_worker_whose_clock_is_behind_still_finds_a_station() {
    let fdb = Fdb::new(100, 300);
    let s = station(1);
    fdb.learn(s, 1, 1000);
    assert_eq!(fdb.lookup(s, 999), Some(1));
    assert_eq!(fdb.sweep(999), 0);
    assert_eq!(fdb.entries(999)[0].age, 0);
}

#[test]
fn static_entries_neither_age_nor_move() {
    let fdb = Fdb::new(16, 300);
    fdb.learn(station(1), 1, 0);
    assert!(fdb.set_static(station(1), 3, 0));
    assert_eq!(fdb.learn(station(1), 1, 5), Learned::Pinned);
    assert_eq!(fdb.lookup(station(1), 1_000_000), Some(3));
    assert_eq!(fdb.flush(), 0);
    assert!(fdb.remove(station(1)));
    assert!(fdb.is_empty());
}

#[test]
fn a_full_table_refuses_and_counts() {
    let fdb = Fdb::new(100, 300);
    for n in 0..1000 {
        fdb.learn(station(n), 1, 0);
    }
    assert_eq!(fdb.len(), 100);
    assert_eq!(fdb.full_count(), 900);
}

#[test]
fn a_flood_of_made_up_addresses_leaves_every_port_one_station() {
    let fdb = Fdb::new(100, 300);
    for n in 0..1000 {
        fdb.learn(station(n), 1, 0);
    }
    assert_eq!(fdb.learn(station(5000), 2, 0), Learned::New);
    assert_eq!(fdb.learn(station(5001), 2, 0), Learned::Full);
    assert_eq!(fdb.learn(station(6000), 3, 0), Learned::New);
    assert_eq!((fdb.lookup(station(5000), 0), fdb.lookup(station(6000), 0)), (Some(2), Some(3)));
    assert_eq!((fdb.evicted_count(), fdb.len()), (2, 100));
}

#[test]
fn a_static_entry_takes_a_learned_ones_place_in_a_full_table() {
    let fdb = Fdb::new(100, 300);
    for n in 0..100 {
        fdb.learn(station(n), 1, 0);
    }
    assert!(fdb.set_static(station(5000), 2, 0));
    assert_eq!((fdb.lookup(station(5000), 0), fdb.evicted_count(), fdb.len()), (Some(2), 1, 100));
}

#[test]
fn a_port_has_no_more_stations_than_its_share() {
    let fdb = Fdb::new(100, 300);
    fdb.set_port_limit(10);
    for n in 0..50 {
        fdb.learn(station(n), 1, 0);
    }
    assert_eq!((fdb.len(), fdb.full_count()), (10, 40));
    fdb.flush_port(1);
    assert_eq!(fdb.learn(station(1), 1, 0), Learned::New, "the share is given back");
}

#[test]
fn the_default_table_takes_all_it_promises() {
    let fdb = Fdb::new(DEFAULT_LIMIT, 300);
    for n in 0..DEFAULT_LIMIT as u64 {
        assert_eq!(fdb.learn(station(n * 7919), 1, 0), Learned::New);
    }
    assert_eq!(fdb.entries(0).len(), DEFAULT_LIMIT);
}

#[test]
fn readers_never_see_a_station_behind_a_port_it_was_never_on() {
    let fdb = Fdb::new(64, 300);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|s| {
        for port in 0..2u16 {
            let (fdb, stop) = (&fdb, &stop);
            s.spawn(move || {
                // Station n lives on port n % 8 only; the table is too small for all of them.
                for round in 0..20_000u64 {
                    let n = (round * 31 + u64::from(port)) % 512;
                    fdb.learn(station(n), (n % 8) as PortNo, 0);
                    if round % 64 == 0 {
                        fdb.flush_port(((round / 64) % 8) as PortNo);
                    }
                }
                stop.store(true, Relaxed);
            });
        }
        s.spawn(|| {
            while !stop.load(Relaxed) {
                for n in 0..512u64 {
                    if let Some(port) = fdb.lookup(station(n), 0) {
                        assert_eq!(u64::from(port), n % 8);
                    }
                }
            }
        });
    });
}

proptest! {
    #[test]
    fn it_behaves_as_a_map(ops in prop::collection::vec((0u8..5, 0u64..40, 0u16..6, 0u32..40), 1..300)) {
        let fdb = Fdb::new(1000, 30);
        let mut model: HashMap<u64, (PortNo, u32, bool)> = HashMap::new();
        let mut now = 0;
        for (op, n, port, dt) in ops {
            match op {
                0 | 1 => {
                    fdb.learn(station(n), port, now);
                    match model.get_mut(&n) {
                        Some(e) if e.2 => {}
                        Some(e) => *e = (port, now, false),
                        None => { model.insert(n, (port, now, false)); }
                    }
                }
                2 => { now += dt; }
                3 => { fdb.set_static(station(n), port, now); model.insert(n, (port, now, true)); }
                _ => { fdb.flush_port(port); model.retain(|_, e| e.0 != port); }
            }
            let live = |e: &&(PortNo, u32, bool)| e.2 || now - e.1 < 30;
            for n in 0..40 {
                prop_assert_eq!(fdb.lookup(station(n), now), model.get(&n).filter(live).map(|e| e.0));
            }
            let expected = model.values().filter(live).count();
            prop_assert_eq!(fdb.entries(now).len(), expected);
        }
    }
}
