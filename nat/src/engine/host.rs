//! What the engine knows of a container.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use packet::MacAddr;

use super::build::{Link, Route};
use crate::{config::InsideConfig, counters::Reason, time::Time};

/// A container of this engine. Numbers are given out again once a container was removed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct InsideId(pub u32);

/// Where a container's packet shall go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// To this address, which is the one the packet names unless it stands for one of the host's.
    Out(IpAddr),
    /// To the gateway itself.
    Gateway,
    /// Nowhere, but for what answers those outside: the container may not open flows.
    Answer,
}

/// A container and what it uses.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) config: InsideConfig,
    mac: Option<MacAddr>,
    /// Flows that are not merely remembered.
    pub(crate) flows: usize,
    /// TCP connections that are not established.
    pub(crate) half_open: usize,
    /// Bytes kept for its connections.
    pub(crate) backlog: usize,
    /// Errors that may still be sent in the second that began at `errors_from`.
    errors: u32,
    errors_from: Time,
}

impl Host {
    pub(crate) fn new(config: InsideConfig) -> Self {
        let mac = config.mac;
        Self { config, mac, flows: 0, half_open: 0, backlog: 0, errors: 0, errors_from: Time::ZERO }
    }

    /// Replaces what was set.
    pub(crate) fn reconfigure(&mut self, config: InsideConfig) {
        self.mac = config.mac.or(self.mac);
        self.config = config;
    }

    /// The container has sent a frame from `mac`.
    pub(crate) const fn heard(&mut self, mac: MacAddr) {
        if self.config.mac.is_none() {
            self.mac = Some(mac);
        }
    }

    /// The Ethernet header of frames to it; `None` until its address is known.
    pub(crate) fn link(&self) -> Option<Link> {
        Some(Link { gateway: self.config.gateway_mac, container: self.mac? })
    }

    /// The gateway's address in the IP version of `like`.
    pub(crate) fn gateway(&self, like: IpAddr) -> Option<IpAddr> {
        match like {
            IpAddr::V4(_) => self.config.gateway_v4.map(IpAddr::V4),
            IpAddr::V6(_) => self.config.gateway_v6.map(IpAddr::V6),
        }
    }

    /// Its first address in the IP version of `like`.
    pub(crate) fn address(&self, like: IpAddr) -> Option<IpAddr> {
        self.config.addresses.iter().copied().find(|address| address.is_ipv4() == like.is_ipv4())
    }

    /// The host's address that its connections to `to` leave from; unspecified where routes decide.
    pub(crate) fn outside(&self, to: IpAddr) -> IpAddr {
        let (set, any): (Option<IpAddr>, IpAddr) = match to {
            IpAddr::V4(_) => (self.config.source_v4.map(IpAddr::V4), Ipv4Addr::UNSPECIFIED.into()),
            IpAddr::V6(_) => (self.config.source_v6.map(IpAddr::V6), Ipv6Addr::UNSPECIFIED.into()),
        };
        // Programs of the host that listen on loopback see one of themselves.
        set.filter(|set| set.is_loopback() || !to.is_loopback()).unwrap_or(any)
    }

    /// Longest data of a TCP segment in bytes, without options.
    pub(crate) fn mss(&self, v6: bool) -> u16 {
        self.config.mtu.saturating_sub(if v6 { 60 } else { 40 })
    }

    /// Whether it may send from `source`.
    pub(crate) fn may_send_from(&self, source: IpAddr) -> bool {
        self.config.any_source || self.config.addresses.contains(&source)
    }

    /// Where what it sends to `destination` shall go.
    pub(crate) fn way(&self, destination: IpAddr) -> Result<Way, Reason> {
        if let Some((_, host)) = self.config.host_addresses.iter().find(|(seen, _)| *seen == destination) {
            return Ok(Way::Out(*host));
        }
        if self.gateway(destination) == Some(destination) {
            return Ok(Way::Gateway);
        }
        let within = self.config.subnets.iter().any(|subnet| subnet.contains(&destination));
        if within || !is_routable(destination) {
            return Err(Reason::ForbiddenDestination);
        }
        Ok(if self.config.outbound { Way::Out(destination) } else { Way::Answer })
    }

    /// Whether the container can be shown `client` as the source of a packet.
    pub(crate) fn can_see(&self, client: IpAddr) -> bool {
        let within = self.config.subnets.iter().any(|subnet| subnet.contains(&client));
        !within && is_routable(client) && self.gateway(client) != Some(client)
    }

    /// The host's address that `seen` stands for.
    pub(crate) fn stands_for(&self, seen: IpAddr) -> Option<IpAddr> {
        self.config.host_addresses.iter().find(|(of, _)| *of == seen).map(|(_, host)| *host)
    }

    /// What the host's or the world's `address` is to it, in the IP version of `like`: itself, what
    /// stands for it, or else the gateway's. `None` where the gateway has none.
    pub(crate) fn seen(&self, address: IpAddr, like: IpAddr) -> Option<IpAddr> {
        let stands_for = self.config.host_addresses.iter().find(|(_, host)| *host == address);
        match stands_for {
            Some((seen, _)) if seen.is_ipv4() == like.is_ipv4() => Some(*seen),
            _ if address.is_ipv4() == like.is_ipv4() && self.can_see(address) => Some(address),
            _ => self.gateway(like),
        }
    }

    /// The route from the gateway to it, in the IP version of `like`; from `like` where the gateway
    /// has no address.
    pub(crate) fn gateway_route(&self, like: IpAddr, to: IpAddr) -> Route {
        Route { source: self.gateway(like).unwrap_or(like), destination: to }
    }

    /// Whether one more error may be sent to it now.
    pub(crate) fn may_send_error(&mut self, now: Time, per_second: u32) -> bool {
        if now.since(self.errors_from).as_secs() >= 1 {
            (self.errors, self.errors_from) = (per_second, now);
        }
        let left = self.errors.checked_sub(1);
        self.errors = left.unwrap_or(0);
        left.is_some()
    }
}

/// Whether packets for `address` can leave a machine.
fn is_routable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            !(v4.is_loopback() || v4.is_multicast() || v4.is_broadcast() || v4.octets()[0] == 0)
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback()
                || v6.is_multicast()
                || v6.is_unspecified()
                || v6.is_unicast_link_local()
                || v6.to_ipv4_mapped().is_some())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Host {
        let mut config = InsideConfig::new(MacAddr::ZERO);
        config.addresses = vec!["172.17.0.2".parse().unwrap(), "fd00::2".parse().unwrap()];
        config.gateway_v4 = Some(Ipv4Addr::new(172, 17, 0, 1));
        config.subnets = vec!["172.17.0.0/16".parse().unwrap(), "fd00::/64".parse().unwrap()];
        Host::new(config)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_hosts_loopback_is_out_of_reach_unless_it_was_given_an_address() {
        let mut host = host();
        for address in ["127.0.0.1", "127.1.2.3", "0.0.0.0", "224.0.0.1", "255.255.255.255", "172.17.0.9"] {
            assert_eq!(host.way(ip(address)), Err(Reason::ForbiddenDestination), "{address}");
        }
        for address in ["::1", "::", "ff02::1", "fe80::1", "::ffff:127.0.0.1", "fd00::9"] {
            assert_eq!(host.way(ip(address)), Err(Reason::ForbiddenDestination), "{address}");
        }
        assert_eq!(host.way(ip("172.17.0.1")), Ok(Way::Gateway));
        host.config.host_addresses.push((ip("172.17.0.1"), ip("127.0.0.1")));
        assert_eq!(host.way(ip("172.17.0.1")), Ok(Way::Out(ip("127.0.0.1"))));
        assert_eq!(host.way(ip("192.0.2.1")), Ok(Way::Out(ip("192.0.2.1"))));
        host.config.outbound = false;
        assert_eq!(host.way(ip("192.0.2.1")), Ok(Way::Answer));
    }

    #[test]
    fn it_sends_from_its_own_addresses_only() {
        let mut host = host();
        assert!(host.may_send_from(ip("172.17.0.2")) && host.may_send_from(ip("fd00::2")));
        assert!(!host.may_send_from(ip("172.17.0.3")));
        host.config.any_source = true;
        assert!(host.may_send_from(ip("172.17.0.3")));
    }

    #[test]
    fn errors_are_so_many_a_second() {
        let mut host = host();
        let now = Time::from_micros(5_000_000);
        assert!(host.may_send_error(now, 2) && host.may_send_error(now, 2));
        assert!(!host.may_send_error(now, 2));
        assert!(host.may_send_error(now + std::time::Duration::from_secs(1), 2));
    }
}
