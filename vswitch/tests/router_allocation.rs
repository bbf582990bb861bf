//! Nothing is allocated for a frame that is routed from one segment of an overlay network to another.
#![allow(clippy::unwrap_used)]

use std::alloc::System;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use ipnet::IpNet;
use packet::{Frame, MacAddr, Offload};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use vswitch::dataplane::fdb::Station;
use vswitch::dataplane::{BridgeConfig, DropReason, PortConfig, Switch, SwitchConfig, Transmit};
use vswitch::gateway::Beyond;
use vswitch::overlay::{Overlay, OverlayConfig, Router};
use vxlan::{NetworkConfig, Remote, Vni};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Calls so far that took memory from the system.
fn allocations() -> u64 {
    let stats = ALLOCATOR.stats();
    (stats.allocations + stats.reallocations) as u64
}

/// A station that counts what it gets.
struct Counting(Arc<AtomicUsize>);

impl Transmit for Counting {
    fn send(&self, _: usize, _: &mut Frame, _: &mut Frame) -> Result<(), DropReason> {
        self.0.fetch_add(1, Relaxed);
        Ok(())
    }
}

fn address(segment: u8, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, segment, 0, host)
}

#[test]
fn a_routed_frame_costs_no_allocation() {
    let switch = Switch::new(&SwitchConfig::default(), &(Arc::new(|_| {}) as _)).unwrap();
    let config = OverlayConfig { addresses: vec![Ipv4Addr::LOCALHOST.into()], port: 0, senders: 1 };
    let overlay = Overlay::new(&switch, &config).unwrap();
    let gateways = |segment| vec![IpNet::new(address(segment, 1).into(), 24).unwrap()];
    let router = Router::new(&switch, MacAddr([6, 0, 0, 0, 0, 1]), (0..2).map(gateways));
    let mut networks = Vec::new();
    let got = Arc::new(AtomicUsize::new(0));
    let (here, there) = (MacAddr::from_ipv4(address(1, 2)), MacAddr::from_ipv4(address(1, 3)));
    for segment in 0..2 {
        let bridge = switch.add_bridge(&BridgeConfig::default());
        let vni = Vni::new(256 + segment).unwrap();
        let network = overlay.attach(&switch, &bridge, vni, &NetworkConfig::default()).unwrap();
        router.set_segment(segment as usize, &bridge, &network);
        let config = PortConfig { owner: "c".into(), interface: "eth0".into(), mtu: 1450, trusted: false };
        let port = switch.add_port(&bridge, config, Box::new(Counting(got.clone())), Vec::new()).unwrap();
        bridge.fdb().set_static(Station { mac: here, vlan: 0 }, port.no(), Switch::now());
        networks.push(network);
    }
    router.set_station(here, &[address(1, 2).into()]);
    // On another host, at a port where nobody listens.
    let vtep = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    networks[1].set_peers([vtep]).unwrap();
    networks[1].set_remote(&Remote { mac: there, addresses: vec![address(1, 3).into()], vtep }).unwrap();

    let beyond: Arc<dyn Beyond> = router.beyond(0);
    let (mut frame, mut scratch) = (Frame::new(), Frame::new());
    let mut round = |times: usize| {
        let before = allocations();
        for _ in 0..times {
            for to in [address(1, 2), address(1, 3)] {
                let mut bytes = [0; 60];
                bytes[12..24].copy_from_slice(&[8, 0, 0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17]);
                bytes[26..30].copy_from_slice(&address(0, 2).octets());
                bytes[30..34].copy_from_slice(&to.octets());
                frame.copy_from(&bytes, Offload::NONE).unwrap();
                beyond.forward(0, &mut frame, &mut scratch).unwrap();
            }
            beyond.flush(0);
        }
        allocations() - before
    };
    round(100);
    assert_eq!(round(10_000), 0);
    assert_eq!(got.load(Relaxed), 10_100);
    let sent = networks[1].port().counters().snapshot();
    assert_eq!((sent.tx_frames, sent.tx_drops.len()), (10_100, 0), "{:?}", sent.tx_drops);
}
