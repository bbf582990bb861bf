//! A gateway for unit tests, and frames by hand.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use packet::MacAddr;

use super::answer::{Limits, Scene};
use super::config::{DhcpConfig, Endpoint, GatewayConfig, State};
use super::dhcp::Endpoints;
use super::dns::DnsConfig;
use super::stats::Counters;
use super::udp;

pub(super) const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 18, 0, 1);
pub(super) const HOST: Ipv4Addr = Ipv4Addr::new(172, 18, 0, 2);
pub(super) const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
pub(super) const GATEWAY6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
pub(super) const HOST6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);
pub(super) const OUTSIDE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9);

pub(super) fn gateway_mac() -> MacAddr {
    MacAddr::from_ipv4(GATEWAY)
}

pub(super) fn host_mac() -> MacAddr {
    MacAddr::from_ipv4(HOST)
}

pub(super) fn config() -> GatewayConfig {
    GatewayConfig {
        mac: gateway_mac(),
        v4: vec![ipnet::Ipv4Net::new(GATEWAY, 16).unwrap()],
        v6: vec![ipnet::Ipv6Net::new(GATEWAY6, 64).unwrap()],
        mtu: 1400,
        router: true,
        dns: None,
        dhcp: Some(DhcpConfig { domain: Some("net.test".into()), ..DhcpConfig::default() }),
        beyond: None,
    }
}

/// A gateway's parts around a pure answer. The host is known to DHCP.
pub(super) struct Bench {
    pub(super) state: State,
    pub(super) endpoints: Endpoints,
    pub(super) stats: Counters,
    pub(super) limits: Limits,
    /// Kept, for its handle is in the configuration.
    #[allow(dead_code)]
    runtime: Option<tokio::runtime::Runtime>,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(change: impl FnOnce(&mut GatewayConfig)) -> Self {
        let mut config = config();
        change(&mut config);
        let endpoints = Endpoints::default();
        let host = Endpoint {
            address: Some(HOST),
            hostname: Some("host".into()),
            search: vec!["net.test".into(), "example.com".into()],
        };
        endpoints.set(host_mac(), &host);
        let (stats, limits) = (Counters::default(), Limits::default());
        Self { state: State::new(config), endpoints, stats, limits, runtime: None }
    }

    pub(super) fn with_dns() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let dns = DnsConfig { handler: Arc::new(|_, _| {}), runtime: runtime.handle().clone() };
        let mut bench = Self::with(|config| config.dns = Some(dns));
        bench.runtime = Some(runtime);
        bench
    }

    pub(super) fn scene(&self) -> Scene<'_> {
        self.scene_at(1_000_000)
    }

    pub(super) fn scene_at(&self, now_ms: u32) -> Scene<'_> {
        Scene {
            state: &self.state,
            endpoints: &self.endpoints,
            stats: &self.stats,
            limits: &self.limits,
            now_ms,
        }
    }
}

/// An IPv4 or IPv6 frame from the host to the gateway's MAC; the payload's checksum is the
/// caller's.
pub(super) fn ip_frame(source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    use super::build::{self, Header4, Header6, Link};
    let link = Link { to: gateway_mac(), from: host_mac() };
    let mut out = vec![0; build::V6 + payload.len()];
    let len = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let header = Header4::whole(source, destination, protocol);
            build::ipv4(&mut out, link, &header, payload.len()).unwrap().copy_from_slice(payload);
            build::V4 + payload.len()
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let header = Header6 { source, destination, next: protocol, class: 0, hops: 64 };
            build::ipv6(&mut out, link, &header, payload.len()).unwrap().copy_from_slice(payload);
            build::V6 + payload.len()
        }
        _ => panic!("{source} to {destination}"),
    };
    out.truncate(len);
    out
}

/// A UDP frame from the host to the gateway's MAC, whole and right.
pub(super) fn udp_frame(source: (IpAddr, u16), destination: (IpAddr, u16), payload: &[u8]) -> Vec<u8> {
    let mut datagram = vec![0; 8];
    datagram.extend(payload);
    udp::fill(&mut datagram, source.into(), destination.into()).unwrap();
    ip_frame(source.0, destination.0, 17, &datagram)
}

/// A TCP frame without options from the host to the gateway's MAC, whole and right.
pub(super) fn tcp_frame(
    source: (IpAddr, u16),
    destination: (IpAddr, u16),
    (sequence, acknowledgment, flags): (u32, u32, u8),
    payload: &[u8],
) -> Vec<u8> {
    let mut segment = vec![0; 20];
    segment.extend(payload);
    let mut tcp = packet::wire::TcpPacket::new_written(&mut segment[..]).unwrap();
    tcp.set_source_port(source.1);
    tcp.set_destination_port(destination.1);
    tcp.set_sequence(sequence);
    tcp.set_acknowledgment(acknowledgment);
    tcp.set_flags(flags);
    tcp.set_window(64_000);
    let sum =
        udp::pseudo(source.0, destination.0, 6, segment.len()).unwrap() + packet::checksum::Sum::of(&segment);
    segment[16..18].copy_from_slice(&sum.checksum().to_be_bytes());
    ip_frame(source.0, destination.0, 6, &segment)
}

/// An echo request with its checksum right.
pub(super) fn echo(source: IpAddr, destination: IpAddr, payload: &[u8]) -> Vec<u8> {
    let mut icmp = vec![8, 0, 0, 0, 0x12, 0x34, 0, 1];
    icmp.extend(payload);
    if let (IpAddr::V6(source), IpAddr::V6(destination)) = (source, destination) {
        icmp[0] = 128;
        packet::wire::Icmpv6Packet::new_checked(&mut icmp[..]).unwrap().fill_checksum(source, destination);
        ip_frame(source.into(), destination.into(), 58, &icmp)
    } else {
        packet::wire::Icmpv4Packet::new_checked(&mut icmp[..]).unwrap().fill_checksum();
        ip_frame(source, destination, 1, &icmp)
    }
}

/// The frame's headers and all checksums are right.
pub(super) fn assert_right(frame: &[u8]) {
    use packet::wire::{Headers, IpVersion, Ipv4Packet};
    let headers = Headers::parse(frame).expect("an Ethernet header");
    assert_ne!(frame[6] & 1, 1, "a multicast source");
    let Some(ip) = headers.ip else {
        assert_eq!(headers.ethertype, packet::wire::ethertype::ARP, "neither ARP nor IP");
        return;
    };
    if ip.version == IpVersion::V4 {
        assert!(Ipv4Packet::new_checked(&frame[14..]).unwrap().verify_checksum());
    }
    let verified = packet::checksum::verify_transport(frame, headers.l3, &ip);
    assert!(ip.fragment || verified == Some(true), "transport checksum: {verified:?}");
}
