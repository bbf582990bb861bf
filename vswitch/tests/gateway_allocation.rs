//! Nothing is allocated for a frame the gateway answers or passes on.
#![allow(unsafe_code, clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use packet::{Frame, MacAddr, Offload};
use vswitch::dataplane::{DropReason, Receive, Received, Transmit};
use vswitch::gateway::{Beyond, DhcpConfig, Endpoint, GatewayConfig, gateway_port};

/// Counts every call that takes memory from the system.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, SeqCst);
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, SeqCst);
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

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
        let before = ALLOCATIONS.load(SeqCst);
        for _ in 0..times {
            for bytes in &frames {
                frame.copy_from(bytes, Offload::NONE).unwrap();
                transmit.send(0, &mut frame, &mut scratch).unwrap();
            }
            while receive.recv(&mut frame) == Received::Frame {}
        }
        ALLOCATIONS.load(SeqCst) - before
    };
    round(100);
    assert_eq!(round(10_000), 0);
    let stats = gateway.stats();
    assert_eq!((stats.arp_replies, stats.echo_replies), (10_100, 10_100));
    assert!(stats.dhcp_offers > 0 && stats.errors_sent > 0, "{stats:?}");
}
