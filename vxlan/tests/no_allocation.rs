//! Nothing is allocated for a frame that crosses.
#![allow(clippy::unwrap_used)]

use std::{
    alloc::System,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use packet::{
    Frame, MacAddr,
    fuzzing::sample::{Sample, payload},
};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use vxlan::{Network, NetworkConfig, Remote, Sink, Vni, Vtep, VtepConfig};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Calls so far that took memory from the system.
fn allocations() -> u64 {
    let stats = ALLOCATOR.stats();
    (stats.allocations + stats.reallocations) as u64
}

struct Count(u64);

impl Sink<()> for Count {
    fn admits(&mut self, (): &(), _: MacAddr) -> bool {
        true
    }

    fn deliver(&mut self, (): &(), _: &mut Frame) {
        self.0 += 1;
    }
}

fn frame(sample: &Sample) -> Frame {
    let (bytes, offload) = sample.build().unwrap();
    let mut frame = Frame::new();
    frame.copy_from(&bytes, offload).unwrap();
    frame
}

#[test]
fn a_frame_that_crosses_costs_no_allocation() {
    let address = |n| IpAddr::V4(Ipv4Addr::new(127, 0, 0, n));
    let endpoint = |n, port| {
        let config = VtepConfig { addresses: vec![address(n)], port, ..VtepConfig::default() };
        let (vtep, mut receivers) = Vtep::new(&config).unwrap();
        let learning = NetworkConfig { learning: true, ..NetworkConfig::default() };
        let network = Arc::new(Network::new(Vni::new(7).unwrap(), &learning));
        vtep.demux().add(network.clone(), ());
        (vtep, receivers.remove(0), network)
    };
    let (a, _idle, from) = endpoint(1, 0);
    let (b, mut receiver, to) = endpoint(2, a.port());
    from.set_peers(a.sender(), [address(2), address(3)]).unwrap();
    to.set_peers(b.sender(), [address(1)]).unwrap();
    let frames = [
        frame(&Sample { payload: payload(1000), ..Sample::default() }),
        frame(&Sample { gso: Some(1398), payload: payload(60_000), ..Sample::default() }),
        frame(&Sample { tcp: false, gso: Some(1200), payload: payload(20_000), ..Sample::default() }),
        frame(&Sample { tcp: false, payload: payload(10), ..Sample::default() }),
    ];
    let station = MacAddr([2, 0x42, 0xac, 0x11, 0, 3]);
    from.set_remote(&Remote { mac: station, addresses: Vec::new(), vtep: address(2) }).unwrap();
    let mut sink = Count(0);
    let mut before = 0;
    for round in 0..3_000 {
        if round == 100 {
            before = allocations();
        }
        for frame in &frames {
            // Every tenth time it is a flood, which the second peer gets as well.
            let to = if round % 10 == 9 { MacAddr::BROADCAST } else { station };
            from.targets(to, 0, |paths| a.sender().send(0, from.vni(), frame, paths)).unwrap();
        }
        a.sender().flush(0);
        while receiver.receive(0, &mut sink) > 0 {}
    }
    assert_eq!(allocations() - before, 0);
    assert!(sink.0 >= 3_000 * 4, "{} frames arrived", sink.0);
}
