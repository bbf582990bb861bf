//! What a gateway is told: plain values, replaced as a whole while frames pass.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{Ipv4Net, Ipv6Net};
use packet::{Frame, MacAddr};

use super::dns::DnsConfig;
use super::icmp_error::Fault;
use crate::dataplane::DropReason;

/// What takes the frames that are sent through the gateway to somewhere else.
pub trait Beyond: Send + Sync {
    /// Takes one IP frame whose Ethernet destination is the gateway and whose IP destination is
    /// none of its addresses. Called on the worker's own thread, without a queue in between; the
    /// frame is as it came, a super-frame with its offload metadata. The hop limit is as it came
    /// too. `scratch` is the worker's second buffer.
    ///
    /// # Errors
    /// The reason why the frame was dropped. Nothing here may wait.
    fn forward(&self, worker: usize, frame: &mut Frame, scratch: &mut Frame) -> Result<(), DropReason>;

    /// Whether a frame to one of the gateway's own addresses is for whoever is beyond, although the
    /// machine itself is behind the gateway.
    fn claims(&self, _frame: &Frame) -> bool {
        false
    }

    /// Further IPv4 and IPv6 addresses that are the gateway's own, in subnets of other gateways. Asked
    /// once, when the gateway is configured.
    fn addresses(&self) -> Vec<IpAddr> {
        Vec::new()
    }

    /// What the sender of a packet is told that was dropped as `no_route`, `no_neighbour` or
    /// `hop_limit`; nothing where whoever is beyond tells it by itself.
    fn fault(&self, _destination: IpAddr, _hops: u8) -> Option<Fault> {
        None
    }

    /// The batch in which the worker gave frames is over.
    fn flush(&self, _worker: usize) {}
}

/// Everything a gateway has to know of its network.
#[derive(Clone)]
pub struct GatewayConfig {
    /// Its own Ethernet address.
    pub mac: MacAddr,
    /// Its own IPv4 address in each subnet, with the subnet's prefix length.
    pub v4: Vec<Ipv4Net>,
    /// Its own IPv6 address in each subnet. Without one the gateway speaks no IPv6 at all; with
    /// one it also has the link-local address of [`link_local`].
    pub v6: Vec<Ipv6Net>,
    /// Longest IP packet in bytes on this network.
    pub mtu: u32,
    /// It offers itself as the default route: in DHCP, and with a lifetime in router
    /// advertisements. Not so on a network without a way out.
    pub router: bool,
    /// Who answers DNS queries to its addresses.
    pub dns: Option<DnsConfig>,
    /// It gives out leases.
    pub dhcp: Option<DhcpConfig>,
    /// Where frames go that are for others; without it they are answered with an ICMP error.
    pub beyond: Option<Arc<dyn Beyond>>,
}

/// What every lease of a network says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DhcpConfig {
    /// Seconds a lease lasts, unless the client asks for less; [`u32::MAX`] is for ever.
    pub lease: u32,
    /// Name servers. Without any the gateway names itself, if it answers DNS.
    pub servers: Vec<Ipv4Addr>,
    /// The domain of host names.
    pub domain: Option<String>,
}

impl Default for DhcpConfig {
    fn default() -> Self {
        Self { lease: 3600, servers: Vec::new(), domain: None }
    }
}

/// One attachment to the network, as far as the gateway must know it. DHCP answers only those it
/// was told of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// The address that belongs to it; without one DHCP is silent.
    pub address: Option<Ipv4Addr>,
    /// Its host name.
    pub hostname: Option<String>,
    /// Domains it searches, in order.
    pub search: Vec<String>,
}

/// The link-local address that belongs to an Ethernet address: fe80::/64 with the modified
/// EUI-64 (RFC 4291, appendix A).
pub fn link_local(mac: MacAddr) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.0;
    let word = |high, low| u16::from_be_bytes([high, low]);
    Ipv6Addr::new(0xfe80, 0, 0, 0, word(a ^ 2, b), word(c, 0xff), word(0xfe, d), word(e, f))
}

/// A configuration, with what frames ask of it.
pub(super) struct State {
    pub(super) config: GatewayConfig,
    /// None where the gateway speaks no IPv6.
    pub(super) link_local: Option<Ipv6Addr>,
    /// [`Beyond::addresses`].
    elsewhere: Vec<IpAddr>,
}

impl State {
    pub(super) fn new(config: GatewayConfig) -> Self {
        let link_local = (!config.v6.is_empty()).then(|| link_local(config.mac));
        let elsewhere = config.beyond.as_ref().map(|beyond| beyond.addresses()).unwrap_or_default();
        Self { config, link_local, elsewhere }
    }

    pub(super) fn mac(&self) -> MacAddr {
        self.config.mac
    }

    /// Every address of its own in its subnets.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let v4 = self.config.v4.iter().map(|net| IpAddr::V4(net.addr()));
        let v6 = self.config.v6.iter().map(|net| IpAddr::V6(net.addr()));
        v4.chain(v6).chain(self.link_local.map(IpAddr::V6))
    }

    pub(super) fn owns4(&self, address: Ipv4Addr) -> bool {
        self.config.v4.iter().any(|net| net.addr() == address) || self.elsewhere.contains(&address.into())
    }

    pub(super) fn owns6(&self, address: Ipv6Addr) -> bool {
        self.link_local == Some(address)
            || self.config.v6.iter().any(|net| net.addr() == address)
            || self.elsewhere.contains(&address.into())
    }

    /// For every host of a subnet: the limited broadcast address, or a subnet's own (RFC 1812,
    /// section 5.3.5). Prefixes of 31 and 32 bits have none (RFC 3021).
    pub(super) fn is_broadcast(&self, address: Ipv4Addr) -> bool {
        address.is_broadcast()
            || self.config.v4.iter().any(|net| net.prefix_len() < 31 && net.broadcast() == address)
    }

    /// A multicast group the gateway is in: all nodes, all routers, and the solicited-node group
    /// of each of its addresses (RFC 4291, section 2.8).
    pub(super) fn listens(&self, group: Ipv6Addr) -> bool {
        self.link_local.is_some()
            && (group == ALL_NODES
                || group == ALL_ROUTERS
                || is_solicited_node(group)
                    && self
                        .addresses()
                        .any(|own| matches!(own, IpAddr::V6(own) if solicited_node(own) == group)))
    }

    /// A source that is one other host, so that an answer reaches no more than that one
    /// (RFC 1122, section 3.2.1.3).
    pub(super) fn is_peer4(&self, source: Ipv4Addr) -> bool {
        let [first, ..] = source.octets();
        !matches!(first, 0 | 127 | 224..) && !self.owns4(source) && !self.is_broadcast(source)
    }

    /// [`State::is_peer4`] for IPv6.
    pub(super) fn is_peer6(&self, source: Ipv6Addr) -> bool {
        !source.is_unspecified()
            && !source.is_multicast()
            && !source.is_loopback()
            && source.to_ipv4_mapped().is_none()
            && !self.owns6(source)
    }

    /// The address of its own that speaks to `peer`: that of the same subnet, else the first.
    pub(super) fn facing4(&self, peer: Ipv4Addr) -> Option<Ipv4Addr> {
        let nets = &self.config.v4;
        nets.iter().find(|net| net.contains(&peer)).or(nets.first()).map(Ipv4Net::addr)
    }

    /// [`State::facing4`] for IPv6; a link-local peer is spoken to from the link-local address.
    pub(super) fn facing6(&self, peer: Ipv6Addr) -> Option<Ipv6Addr> {
        if peer.is_unicast_link_local() {
            return self.link_local;
        }
        let nets = &self.config.v6;
        nets.iter().find(|net| net.contains(&peer)).or(nets.first()).map(Ipv6Net::addr)
    }
}

/// Every IPv6 node of the link.
pub(super) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Every IPv6 router of the link.
pub(super) const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// The group in which an address is looked for (RFC 4291, section 2.7.1).
pub(super) const fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | a as u16, u16::from_be_bytes([b, c]))
}

/// An address within ff02::1:ff00:0/104.
pub(super) const fn is_solicited_node(group: Ipv6Addr) -> bool {
    matches!(group.segments(), [0xff02, 0, 0, 0, 0, 1, 0xff00..=0xffff, _])
}

/// The Ethernet address of an IPv6 multicast group (RFC 2464, section 7).
pub(super) const fn multicast_mac(group: Ipv6Addr) -> MacAddr {
    let [.., a, b, c, d] = group.octets();
    MacAddr([0x33, 0x33, a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        State::new(GatewayConfig {
            mac: MacAddr([2, 0x42, 0xac, 0x12, 0, 1]),
            v4: vec!["172.18.0.1/16".parse().unwrap(), "10.0.0.1/31".parse().unwrap()],
            v6: vec!["fd00::1/64".parse().unwrap()],
            mtu: 1500,
            router: true,
            dns: None,
            dhcp: None,
            beyond: None,
        })
    }

    #[test]
    fn the_link_local_address_follows_the_mac() {
        assert_eq!(link_local(MacAddr([2, 0x42, 0xac, 0x12, 0, 1])).to_string(), "fe80::42:acff:fe12:1");
    }

    #[test]
    fn only_single_hosts_are_peers() {
        let state = state();
        for bad in [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "172.18.255.255",
            "172.18.0.1",
        ] {
            assert!(!state.is_peer4(bad.parse().unwrap()), "{bad}");
        }
        for good in ["172.18.0.2", "10.0.0.0", "192.0.2.1"] {
            assert!(state.is_peer4(good.parse().unwrap()), "{good}");
        }
        for bad in ["::", "::1", "ff02::1", "fd00::1", "fe80::42:acff:fe12:1", "::ffff:172.18.0.2"] {
            assert!(!state.is_peer6(bad.parse().unwrap()), "{bad}");
        }
        assert!(state.is_peer6("fd00::2".parse().unwrap()));
    }

    #[test]
    fn a_peer_is_faced_from_its_own_subnet() {
        let state = state();
        let facing = |peer: &str| match peer.parse().unwrap() {
            IpAddr::V4(peer) => state.facing4(peer).map(IpAddr::V4).unwrap().to_string(),
            IpAddr::V6(peer) => state.facing6(peer).map(IpAddr::V6).unwrap().to_string(),
        };
        assert_eq!(facing("10.0.0.0"), "10.0.0.1");
        assert_eq!(facing("172.18.3.4"), "172.18.0.1");
        assert_eq!(facing("192.0.2.1"), "172.18.0.1");
        assert_eq!(facing("fe80::2"), "fe80::42:acff:fe12:1");
        assert_eq!(facing("2001:db8::1"), "fd00::1");
    }

    #[test]
    fn it_is_in_the_groups_its_addresses_need() {
        let state = state();
        for group in ["ff02::1", "ff02::2", "ff02::1:ff00:1", "ff02::1:ff12:1"] {
            assert!(state.listens(group.parse().unwrap()), "{group}");
        }
        for group in ["ff02::1:ff00:2", "ff02::fb", "ff05::2", "fd00::1"] {
            assert!(!state.listens(group.parse().unwrap()), "{group}");
        }
        assert_eq!(multicast_mac("ff02::1:ff12:1".parse().unwrap()), MacAddr([0x33, 0x33, 0xff, 0x12, 0, 1]));
    }
}
