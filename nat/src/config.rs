//! What can be set of an engine and of a container.

mod datagram;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use ipnet::IpNet;
use packet::MacAddr;

pub use self::datagram::{Filtering, FragmentTuning, IcmpTuning, Ports, UdpTuning};

/// How an engine works. The defaults are those of the RFCs where they name one.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// How long flows live.
    pub timeouts: Timeouts,
    /// How much there may be.
    pub limits: Limits,
    /// How TCP towards containers behaves.
    pub tcp: TcpTuning,
    /// How UDP is translated.
    pub udp: UdpTuning,
    /// How ICMP is translated.
    pub icmp: IcmpTuning,
    /// How packets are put together again.
    pub fragments: FragmentTuning,
    /// Ports of UDP and identifiers of echoes outside. Engines of one process share them by a clone.
    pub ports: Ports,
    /// An address of the machine itself, of IPv6 or not, that it would use towards others. Asked when
    /// a container opens a flow to what stands for the machine, see [`InsideConfig::host_addresses`].
    pub own_address: Option<fn(v6: bool) -> Option<IpAddr>>,
}

/// How long flows live.
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// An established TCP connection without a segment; then the container is asked whether it
    /// is still there (RFC 5382, requirement 5: at least 2 h 4 min).
    pub tcp_established: Duration,
    /// A TCP connection that is being opened, or that both sides have closed (RFC 5382,
    /// requirement 5: at least 4 min).
    pub tcp_transitory: Duration,
    /// A TCP connection after its end, to answer what is still under way (RFC 9293, section 3.6.1:
    /// two maximum segment lifetimes).
    pub tcp_time_wait: Duration,
    /// Between two questions to a container that has been silent, of which
    /// [`Timeouts::tcp_probes`] may go without an answer.
    pub tcp_probe_interval: Duration,
    /// Questions without an answer after which a connection is given up.
    pub tcp_probes: u8,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            tcp_established: Duration::from_mins(124),
            tcp_transitory: Duration::from_mins(4),
            tcp_time_wait: Duration::from_mins(1),
            tcp_probe_interval: Duration::from_secs(75),
            tcp_probes: 9,
        }
    }
}

/// How much there may be, for a container (`inside`) and in the engine.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Flows of one container (RFC 6888, requirement 4).
    pub flows_per_inside: usize,
    /// Flows in all (RFC 6888, requirement 5).
    pub flows: usize,
    /// TCP connections of one container that are not yet established.
    pub half_open_per_inside: usize,
    /// TCP connections in all that are not yet established.
    pub half_open: usize,
    /// TCP connections in all that have ended and are only remembered. The oldest makes room.
    pub time_wait: usize,
    /// Bytes kept for one container's connections whose sockets take no more, or that came out of
    /// order.
    pub backlog_per_inside: usize,
    /// The same in all.
    pub backlog: usize,
    /// ICMP errors and resets for refused packets that one container gets in a second.
    pub errors_per_second: u32,
    /// Numbers of the flows' descriptors are below this one. What the process may have beyond is left
    /// for whatever else it does.
    pub descriptors: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            flows_per_inside: 32_768,
            flows: 131_072,
            half_open_per_inside: 1024,
            half_open: 8192,
            time_wait: 16_384,
            backlog_per_inside: 32 << 20,
            backlog: 128 << 20,
            errors_per_second: 1000,
            descriptors: usize::MAX,
        }
    }
}

/// How TCP towards containers behaves.
#[derive(Clone, Debug)]
pub struct TcpTuning {
    /// Congestion control towards the outside (tcp(7), `TCP_CONGESTION`), one that the kernel allows this process;
    /// `None` for the host's.
    pub congestion: Option<Box<str>>,
    /// The largest receive window in bytes, up to 1 GiB.
    pub window_max: u32,
    /// The window that a connection begins with, and falls back to when its socket blocks.
    pub window_min: u32,
    /// The shortest retransmission timeout (RFC 6298, section 2.4, asks for a second; the way to a
    /// container is one machine's memory, so this is what Linux has).
    pub rto_min: Duration,
    /// The longest retransmission timeout (RFC 6298, section 2.5).
    pub rto_max: Duration,
    /// The retransmission timeout before the first round trip was measured (RFC 6298, section 2.1).
    pub rto_initial: Duration,
    /// Look into receive queues from their start even where the kernel would do so at an offset.
    pub peek_from_start: bool,
    /// Most bytes under way to a container where receive queues are looked into from their start: for every look,
    /// what is under way is copied once more.
    pub peeked_in_flight: u32,
    /// Times a SYN is sent again.
    pub syn_retries: u8,
    /// Times data are sent again before the connection is given up (RFC 9293, section 3.8.3: R2 of
    /// at least 100 s).
    pub retries: u8,
}

impl Default for TcpTuning {
    fn default() -> Self {
        Self {
            congestion: None,
            window_max: 4 << 20,
            window_min: 256 << 10,
            rto_min: Duration::from_millis(200),
            rto_max: Duration::from_mins(1),
            rto_initial: Duration::from_secs(1),
            peek_from_start: false,
            peeked_in_flight: 256 << 10,
            syn_retries: 5,
            retries: 12,
        }
    }
}

/// A container, as the engine has to know it.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "switches that are free of each other")]
pub struct InsideConfig {
    /// The container's addresses. It may send from these only, and is reached at the first of a
    /// version.
    pub addresses: Vec<IpAddr>,
    /// Lets the container send from any address.
    pub any_source: bool,
    /// The container's Ethernet address; `None` to learn it from its frames.
    pub mac: Option<MacAddr>,
    /// The gateway's Ethernet address, which frames to the container come from.
    pub gateway_mac: MacAddr,
    /// The gateway's IPv4 address.
    pub gateway_v4: Option<Ipv4Addr>,
    /// The gateway's IPv6 address.
    pub gateway_v6: Option<Ipv6Addr>,
    /// What the container reaches without the gateway.
    pub subnets: Vec<IpNet>,
    /// Longest IP packet in bytes that the container's interface takes.
    pub mtu: u16,
    /// The container may open connections to the outside.
    pub outbound: bool,
    /// The host's address that IPv4 connections leave from; `None` to leave that to its routes.
    pub source_v4: Option<Ipv4Addr>,
    /// The host's address that IPv6 connections leave from; `None` to leave that to its routes.
    pub source_v6: Option<Ipv6Addr>,
    /// Addresses that the container sees for addresses of the host, such as the gateway's for
    /// 127.0.0.1. The only way to reach the host's loopback. Unspecified for the host's own address,
    /// whatever that is when a flow begins.
    pub host_addresses: Vec<(IpAddr, IpAddr)>,
}

impl InsideConfig {
    /// A container without addresses behind a gateway without addresses, MTU 1500, that may open
    /// connections.
    #[must_use]
    pub const fn new(gateway_mac: MacAddr) -> Self {
        Self {
            addresses: Vec::new(),
            any_source: false,
            mac: None,
            gateway_mac,
            gateway_v4: None,
            gateway_v6: None,
            subnets: Vec::new(),
            mtu: 1500,
            outbound: true,
            source_v4: None,
            source_v6: None,
            host_addresses: Vec::new(),
        }
    }
}
