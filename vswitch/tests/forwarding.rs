//! How a network forwards, seen from hosts in memory.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use packet::{MacAddr, Offload};
use vswitch::dataplane::fdb::Station;
use vswitch::dataplane::memory::{MemoryHost, memory_port};
use vswitch::dataplane::{Bridge, BridgeConfig, Port, PortConfig, Receive, Switch, SwitchConfig};

/// Milliseconds a frame that must come may take on a busy machine.
const PATIENCE: u16 = 5000;

struct Net {
    switch: Switch,
    bridge: Arc<Bridge>,
}

impl Net {
    fn new() -> Self {
        Self::with(&BridgeConfig::default())
    }

    fn with(config: &BridgeConfig) -> Self {
        let switch = Switch::new(&SwitchConfig::default(), &(Arc::new(|_| {}) as _)).unwrap();
        let bridge = switch.add_bridge(config);
        Self { switch, bridge }
    }

    fn port(&self) -> (MemoryHost, Arc<Port>) {
        self.port_on(&self.bridge)
    }

    fn port_on(&self, bridge: &Arc<Bridge>) -> (MemoryHost, Arc<Port>) {
        let (host, tx, rx) = memory_port(64).unwrap();
        let config = PortConfig { owner: "host".into(), interface: "eth0".into(), mtu: 1500, trusted: false };
        let rx: Box<dyn Receive> = Box::new(rx);
        let port = self.switch.add_port(bridge, config, Box::new(tx), vec![rx]).unwrap();
        (host, port)
    }
}

fn mac(n: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, n])
}

fn frame(to: MacAddr, from: MacAddr, tag: Option<u16>) -> Vec<u8> {
    let mut bytes = [to.0, from.0].concat();
    if let Some(tci) = tag {
        bytes.extend([0x81, 0x00]);
        bytes.extend(tci.to_be_bytes());
    }
    bytes.extend([0x88, 0xb5]);
    bytes.resize(64, 0);
    bytes
}

fn send(host: &MemoryHost, bytes: &[u8]) {
    assert!(host.send(bytes, Offload::NONE));
}

/// Waits until a port has dropped one frame it gave, for this reason.
fn dropped(port: &Port, reason: &str) -> bool {
    let deadline = std::time::Instant::now() + std::time::Duration::from_millis(PATIENCE.into());
    while std::time::Instant::now() < deadline {
        if port.counters().snapshot().rx_drops.get(reason).is_some_and(|n| *n > 0) {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

#[test]
fn an_unknown_station_is_flooded_to_and_a_known_one_is_not() {
    let net = Net::new();
    let ((a, _), (b, _), (c, _)) = (net.port(), net.port(), net.port());
    send(&a, &frame(mac(2), mac(1), None));
    assert!(b.recv(PATIENCE).is_some() && c.recv(PATIENCE).is_some());
    send(&b, &frame(mac(1), mac(2), None));
    assert_eq!(a.recv(PATIENCE).unwrap().0, frame(mac(1), mac(2), None));
    send(&a, &frame(mac(2), mac(1), None));
    assert!(b.recv(PATIENCE).is_some());
    assert!(c.try_recv().is_none() && a.try_recv().is_none());
}

#[test]
fn a_station_that_moves_is_followed_at_once() {
    let net = Net::new();
    let ((a, _), (b, _), (c, _)) = (net.port(), net.port(), net.port());
    send(&b, &frame(MacAddr::BROADCAST, mac(9), None));
    assert!(a.recv(PATIENCE).is_some() && c.recv(PATIENCE).is_some());
    send(&c, &frame(MacAddr::BROADCAST, mac(9), None));
    assert!(a.recv(PATIENCE).is_some() && b.recv(PATIENCE).is_some());
    send(&a, &frame(mac(9), mac(1), None));
    assert!(c.recv(PATIENCE).is_some());
    assert!(b.try_recv().is_none());
}

#[test]
fn vlans_are_learned_apart_and_tags_carried_through() {
    let net = Net::new();
    let ((a, _), (b, _), (c, _)) = (net.port(), net.port(), net.port());
    send(&b, &frame(mac(1), mac(2), Some(7)));
    assert!(a.recv(PATIENCE).is_some() && c.recv(PATIENCE).is_some());
    send(&a, &frame(mac(2), mac(1), Some(8)));
    assert_eq!(b.recv(PATIENCE).unwrap().0, frame(mac(2), mac(1), Some(8)));
    assert!(c.recv(PATIENCE).is_some(), "in VLAN 8 the station is unknown");
    send(&a, &frame(mac(2), mac(1), Some(7)));
    assert!(b.recv(PATIENCE).is_some());
    assert!(c.try_recv().is_none());
}

#[test]
fn what_no_bridge_forwards_is_dropped_and_counted() {
    let net = Net::new();
    let ((a, port), (b, _)) = (net.port(), net.port());
    send(&a, &frame(MacAddr([1, 0x80, 0xc2, 0, 0, 0]), mac(1), None));
    assert!(dropped(&port, "reserved_group"));
    send(&a, &frame(mac(2), MacAddr([3, 0, 0, 0, 0, 1]), None));
    assert!(dropped(&port, "bad_source"));
    send(&a, &[0; 13]);
    assert!(dropped(&port, "truncated"));
    let mut bad = vec![0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];
    bad.extend(frame(mac(2), mac(1), None));
    assert!(a.send_raw(&bad));
    assert!(dropped(&port, "bad_offload"));
    assert!(b.try_recv().is_none());
}

#[test]
fn a_frame_leaves_by_its_own_port_only_with_hairpin() {
    let net = Net::new();
    let ((a, port), (b, _)) = (net.port(), net.port());
    send(&a, &frame(MacAddr::BROADCAST, mac(2), None));
    assert!(b.recv(PATIENCE).is_some());
    send(&a, &frame(mac(2), mac(1), None));
    assert!(dropped(&port, "same_port"));
    port.set_hairpin(true);
    send(&a, &frame(mac(2), mac(1), None));
    assert!(a.recv(PATIENCE).is_some());
}

#[test]
fn networks_are_apart() {
    let net = Net::new();
    let other = net.switch.add_bridge(&BridgeConfig::default());
    let ((a, port), (b, _)) = (net.port(), net.port_on(&other));
    send(&a, &frame(MacAddr::BROADCAST, mac(1), None));
    assert!(dropped(&port, "no_port"));
    assert!(b.try_recv().is_none());
}

#[test]
fn a_full_or_closed_port_does_not_hold_up_the_others() {
    let net = Net::new();
    let ((a, _), (b, full), (c, closed), (d, _)) = (net.port(), net.port(), net.port(), net.port());
    closed.set_admin_up(false);
    for _ in 0..200 {
        while !a.send(&frame(MacAddr::BROADCAST, mac(1), None), Offload::NONE) {
            std::thread::yield_now();
        }
        assert!(d.recv(PATIENCE).is_some());
    }
    assert!(full.counters().snapshot().tx_drops["queue_full"] > 0);
    assert_eq!(closed.counters().snapshot().tx_drops["admin_down"], 200);
    assert!(b.try_recv().is_some() && c.try_recv().is_none());
}

#[test]
fn a_removed_port_takes_its_stations_with_it_and_its_number_is_free() {
    let net = Net::new();
    let ((a, _), (b, port)) = (net.port(), net.port());
    send(&b, &frame(MacAddr::BROADCAST, mac(2), None));
    assert!(a.recv(PATIENCE).is_some());
    assert_eq!(net.bridge.fdb().len(), 1);
    net.switch.remove_port(&net.bridge, &port);
    assert!(net.bridge.fdb().is_empty());
    let (_c, again) = net.port();
    assert_eq!(again.no(), port.no());
}

#[test]
fn a_storm_is_limited_for_who_makes_it_only() {
    let net = Net::new();
    let ((a, port), (b, _), (c, _)) = (net.port(), net.port(), net.port());
    port.storm().broadcast.set(5);
    for _ in 0..50 {
        send(&a, &frame(MacAddr::BROADCAST, mac(1), None));
    }
    assert!(dropped(&port, "storm_broadcast"));
    send(&c, &frame(MacAddr::BROADCAST, mac(3), None));
    let mut seen = 0;
    while b.recv(PATIENCE).is_some_and(|(bytes, _)| bytes != frame(MacAddr::BROADCAST, mac(3), None)) {
        seen += 1;
    }
    assert!((1..50).contains(&seen), "{seen} of 50 came through");
}

#[test]
fn a_static_entry_keeps_a_station_where_it_was_put() {
    let net = Net::new();
    let ((a, _), (b, pinned), (c, _)) = (net.port(), net.port(), net.port());
    let station = Station { mac: mac(2), vlan: 0 };
    assert!(net.bridge.fdb().set_static(station, pinned.no(), Switch::now()));
    send(&c, &frame(MacAddr::BROADCAST, mac(2), None));
    assert!(a.recv(PATIENCE).is_some() && b.recv(PATIENCE).is_some());
    send(&a, &frame(mac(2), mac(1), None));
    assert!(b.recv(PATIENCE).is_some());
    assert!(c.try_recv().is_none());
}
