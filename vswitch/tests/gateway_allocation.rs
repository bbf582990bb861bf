//! Nothing is allocated for a frame the gateway answers or passes on.
#![allow(clippy::unwrap_used)]

use std::alloc::System;
use std::net::Ipv4Addr;
use std::sync::Arc;

use packet::{Frame, MacAddr, Offload};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use vswitch::dataplane::{DropReason, Receive, Received, Transmit};
use vswitch::gateway::{Beyond, DhcpConfig, Endpoint, GatewayConfig, gateway_port};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Calls so far that took memory from the system.
fn allocations() -> u64 {
    let stats = ALLOCATOR.stats();
    (stats.allocations + stats.reallocations) as u64
}

const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 18, 0, 1);
const HOST: Ipv4Addr = Ipv4Addr::new(172, 18, 0, 2);

struct Nowhere;

impl Beyond for Nowhere {
    fn forward(&self, _: usize, _: &mut Frame, _: &mut Frame) -> Result<(), DropReason> {
        Ok(())
    }
}

/// An IPv4 frame from the host to the gateway's MAC, its header right.
fn ipv4(to: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame =
        [&MacAddr::from_ipv4(GATEWAY).0[..], &MacAddr::from_ipv4(HOST).0, &[8, 0, 0x45, 0]].concat();
    frame.extend((20 + payload.len() as u16).to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    frame.extend(HOST.octets());
    frame.extend(to.octets());
    frame.extend(payload);
    packet::checksum::fill_ipv4(&mut frame, 14);
    frame
}

#[test]
fn an_answer_costs_no_allocation() {
    let config = GatewayConfig {
        mac: MacAddr::from_ipv4(GATEWAY),
        v4: vec![ipnet::Ipv4Net::new(GATEWAY, 16).unwrap()],
        v6: Vec::new(),
        mtu: 1500,
        router: true,
        dns: None,
        dhcp: Some(DhcpConfig::default()),
        beyond: Some(Arc::new(Nowhere)),
    };
    let (gateway, transmit, mut receive) = gateway_port(config).unwrap();
    let host = MacAddr::from_ipv4(HOST);
    gateway.set_endpoint(host, &Endpoint { address: Some(HOST), ..Endpoint::default() });

    let mut echo = vec![8, 0, 0, 0, 0, 1, 0, 1];
    echo.extend([7; 1400]);
    let sum = packet::checksum::Sum::of(&echo).checksum();
    echo[2..4].copy_from_slice(&sum.to_be_bytes());
    let arp = [
        &[0xff; 6][..],
        &host.0,
        &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1],
        &host.0,
        &HOST.octets(),
        &[0; 6],
        &GATEWAY.octets(),
    ];
    let mut discover = vec![0, 68, 0, 67, 0, 252, 0, 0, 1, 1, 6];
    discover.resize(8 + 28, 0);
    discover.extend(host.0);
    discover.resize(8 + 236, 0);
    discover.extend([99, 130, 83, 99, 53, 1, 1, 255]);
    let to_nobody = [0x10, 0, 0, 9, 0, 8, 0, 0];
    let frames = [
        arp.concat(),
        ipv4(GATEWAY, 1, &echo),
        ipv4(GATEWAY, 17, &discover),
        // UDP and TCP that it does not serve may belong to a flow beyond; this protocol cannot.
        ipv4(GATEWAY, 132, &to_nobody),
        ipv4(Ipv4Addr::new(192, 0, 2, 1), 17, &to_nobody),
    ];
    let (mut frame, mut scratch) = (Frame::new(), Frame::new());
    let mut round = |times: usize| {
        let before = allocations();
        for _ in 0..times {
            for bytes in &frames {
                frame.copy_from(bytes, Offload::NONE).unwrap();
                transmit.send(0, &mut frame, &mut scratch).unwrap();
            }
            while receive.recv(&mut frame) == Received::Frame {}
        }
        allocations() - before
    };
    round(100);
    assert_eq!(round(10_000), 0);
    let stats = gateway.stats();
    assert_eq!((stats.arp_replies, stats.echo_replies), (10_100, 10_100));
    assert!(stats.dhcp_offers > 0 && stats.errors_sent > 0, "{stats:?}");
}
