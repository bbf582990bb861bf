//! The Ethernet addresses that a network keeps for itself.

use std::net::{IpAddr, Ipv4Addr};

use packet::MacAddr;

use super::error::NetError;
use super::record::{IpamConfig, NetworkRecord};

impl NetworkRecord {
    /// The address of the gateway of a segment: that of its first IPv4 gateway, or one that follows from the
    /// network's id. It is the same on all hosts.
    pub fn gateway_mac(&self, segment: &[&IpamConfig]) -> MacAddr {
        let v4 = segment.iter().find_map(|config| match config.gateway {
            Some(IpAddr::V4(address)) => Some(address),
            _ => None,
        });
        let address = v4.unwrap_or_else(|| {
            // Of no address: as good as any that no container is given.
            let digits = self.id.get(..8).and_then(|hex| u32::from_str_radix(hex, 16).ok());
            Ipv4Addr::from(digits.unwrap_or(1))
        });
        MacAddr::from_ipv4(address)
    }

    /// Whether an endpoint may have an address: it would get what is for the gateway of any of the segments.
    ///
    /// # Errors
    /// [`NetError::MacOfGateway`].
    pub fn check_mac(&self, mac: MacAddr) -> Result<(), NetError> {
        if self.has_addresses() && self.segments().iter().any(|segment| self.gateway_mac(segment) == mac) {
            return Err(NetError::MacOfGateway(mac, self.name.clone()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn of(driver: &str, subnets: &[(&str, &str)]) -> NetworkRecord {
        let config = subnets.iter().map(|(subnet, gateway)| IpamConfig {
            subnet: subnet.parse().unwrap(),
            ip_range: None,
            gateway: gateway.parse().ok(),
            aux: BTreeMap::new(),
        });
        let mut record = NetworkRecord::default_bridge("0a0b0c0d".repeat(8), 7);
        record.ipam.config = config.collect();
        NetworkRecord { name: "web".into(), driver: driver.into(), enable_ipv6: true, ..record }
    }

    fn refused(record: &NetworkRecord, mac: &str) -> bool {
        record.check_mac(mac.parse().unwrap()).is_err()
    }

    #[test]
    fn the_address_of_a_gateway_is_refused_and_any_other_is_not() {
        let bridge = of("bridge", &[("10.9.0.0/24", "10.9.0.254"), ("fd00:9::/64", "fd00:9::1")]);
        assert!(refused(&bridge, "02:42:0a:09:00:fe"));
        assert!(!refused(&bridge, "02:42:0a:09:00:01") && !refused(&bridge, "02:42:0a:0b:0c:0d"));
        let said = bridge.check_mac(MacAddr([2, 0x42, 10, 9, 0, 254])).unwrap_err().to_string();
        assert_eq!(
            said,
            "the MAC address 02:42:0a:09:00:fe is that of a gateway of network web: give the container another one"
        );
    }

    #[test]
    fn the_gateways_of_all_segments_have_theirs() {
        let overlay = of("overlay", &[("10.1.0.0/24", "10.1.0.1"), ("10.2.0.0/24", "10.2.0.9")]);
        assert!(refused(&overlay, "02:42:0a:01:00:01") && refused(&overlay, "02:42:0a:02:00:09"));
        assert!(!refused(&overlay, "02:42:0a:02:00:01"));
    }

    #[test]
    fn a_gateway_of_ipv6_alone_has_one_of_the_networks_id() {
        let six = of("bridge", &[("fd00:9::/64", "fd00:9::1")]);
        assert!(refused(&six, "02:42:0a:0b:0c:0d") && !refused(&six, "02:42:0a:0b:0c:0e"));
        assert!(!refused(&NetworkRecord::none("0a0b0c0d".repeat(8), 7), "02:42:0a:0b:0c:0d"));
    }
}
