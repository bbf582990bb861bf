//! Kinds of networks. A new kind is one more [`Driver`] in the registry.

use std::collections::BTreeMap;

use super::error::NetError;
use super::{options, overlay_options};

/// How far a network reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// This host.
    Local,
    /// Every host that shares the store.
    Global,
}

impl Scope {
    /// Docker's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Global => "global",
        }
    }
}

/// What the networks of one kind have in common.
pub trait Driver: Send + Sync {
    /// The word for it in requests and lists.
    fn name(&self) -> &'static str;

    /// How far its networks reach.
    fn scope(&self) -> Scope {
        Scope::Local
    }

    /// Its only network is there from the start: no user can make one.
    fn is_predefined(&self) -> bool {
        false
    }

    /// Its networks have subnets and a bridge, and give their endpoints addresses and ports.
    fn has_addresses(&self) -> bool {
        true
    }

    /// Its gateways lead out of the network; containers of others need one more network for that.
    fn has_way_out(&self) -> bool {
        self.has_addresses()
    }

    /// How many subnets of each IP version a network may have.
    fn max_subnets(&self) -> usize {
        1
    }

    /// Longest IP packet in bytes, where no option says otherwise.
    fn default_mtu(&self) -> u32 {
        1500
    }

    /// Refuses options whose values cannot be read; unknown ones are kept, as Docker does.
    ///
    /// # Errors
    /// [`NetError::OptionValue`] and its like.
    fn check_options(&self, options: &BTreeMap<String, String>) -> Result<(), NetError>;
}

/// A switch on this host.
pub struct Bridge;

impl Driver for Bridge {
    fn name(&self) -> &'static str {
        "bridge"
    }

    fn check_options(&self, options: &BTreeMap<String, String>) -> Result<(), NetError> {
        options::check_bridge(options)
    }
}

/// The host's own interfaces.
pub struct Host;

impl Driver for Host {
    fn name(&self) -> &'static str {
        "host"
    }

    fn is_predefined(&self) -> bool {
        true
    }

    fn has_addresses(&self) -> bool {
        false
    }

    fn check_options(&self, _: &BTreeMap<String, String>) -> Result<(), NetError> {
        Ok(())
    }
}

/// Nothing but `lo`; the network `none`, and configuration-only networks.
pub struct Null;

impl Driver for Null {
    fn name(&self) -> &'static str {
        "null"
    }

    fn is_predefined(&self) -> bool {
        true
    }

    fn has_addresses(&self) -> bool {
        false
    }

    fn check_options(&self, _: &BTreeMap<String, String>) -> Result<(), NetError> {
        Ok(())
    }
}

/// Most subnets of each IP version on a network that spans hosts.
pub const MAX_OVERLAY_SUBNETS: usize = 128;

/// A switch that spans hosts: VXLAN between them (RFC 7348).
pub struct Overlay;

impl Driver for Overlay {
    fn name(&self) -> &'static str {
        "overlay"
    }

    fn scope(&self) -> Scope {
        Scope::Global
    }

    fn has_way_out(&self) -> bool {
        false
    }

    /// Each has a bridge and a number of its own.
    fn max_subnets(&self) -> usize {
        MAX_OVERLAY_SUBNETS
    }

    /// 1500 without the outer IPv4, UDP and VXLAN headers and the inner Ethernet header.
    fn default_mtu(&self) -> u32 {
        1500 - vxlan::OVERHEAD_IPV4
    }

    fn check_options(&self, options: &BTreeMap<String, String>) -> Result<(), NetError> {
        overlay_options::check(options)
    }
}

/// The kind of a network whose request names none.
pub const DEFAULT: &str = "bridge";

static ALL: [&dyn Driver; 4] = [&Bridge, &Host, &Null, &Overlay];

/// Every driver, sorted by name.
pub fn all() -> &'static [&'static dyn Driver] {
    &ALL
}

/// The driver of a name.
pub fn find(name: &str) -> Option<&'static dyn Driver> {
    ALL.into_iter().find(|d| d.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_driver_is_found_by_its_name() {
        for driver in all() {
            assert_eq!(find(driver.name()).map(Driver::name), Some(driver.name()));
        }
        assert!(find("overlay9").is_none() && find("").is_none());
        assert!(all().is_sorted_by_key(|d| d.name()));
    }

    #[test]
    fn bridges_and_overlays_have_addresses_and_networks_of_the_users_own() {
        let of = |name: &str| find(name).map(|d| (d.has_addresses(), d.is_predefined(), d.scope()));
        assert_eq!(of("bridge"), Some((true, false, Scope::Local)));
        assert_eq!(of("host"), Some((false, true, Scope::Local)));
        assert_eq!(of("null"), Some((false, true, Scope::Local)));
        assert_eq!(of("overlay"), Some((true, false, Scope::Global)));
        assert_eq!(find("overlay").map(Driver::default_mtu), Some(1450));
    }
}
