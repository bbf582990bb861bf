//! The bridge driver's options: their names, and how their values are read.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::error::NetError;

/// Name of the bridge, and of its interface on the host.
pub const BRIDGE_NAME: &str = "com.docker.network.bridge.name";
/// Marks the default bridge; `true` on it only.
pub const DEFAULT_BRIDGE: &str = "com.docker.network.bridge.default_bridge";
/// Containers of the network reach each other.
pub const ENABLE_ICC: &str = "com.docker.network.bridge.enable_icc";
/// What leaves the host has the host's address.
pub const ENABLE_MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";
/// The host's interface has no IPv4 address.
pub const INHIBIT_IPV4: &str = "com.docker.network.bridge.inhibit_ipv4";
/// The host's address for published ports that name none.
pub const HOST_BINDING: &str = "com.docker.network.bridge.host_binding_ipv4";
/// Longest IP packet in bytes.
pub const MTU: &str = "com.docker.network.driver.mtu";
/// IPv6; the request's own field has precedence.
pub const ENABLE_IPV6: &str = "com.docker.network.enable_ipv6";
/// The source address of what leaves the host.
pub const HOST_IPV4: &str = "com.docker.network.host_ipv4";
/// The gateway's address leads containers to the host's loopback; the daemon's flag otherwise.
pub const MAP_HOST_LOOPBACK: &str = "vswitch.map_host_loopback";
/// Containers may send from any address, not only from their own.
pub const ANY_SOURCE: &str = "vswitch.any_source";
/// What a container's interface is called, before its number.
pub const INTERFACE_PREFIX: &str = "com.docker.network.container_iface_prefix";

/// Longest name of a network interface in bytes (IFNAMSIZ of `linux/if.h`, without its end).
const INTERFACE_NAME: usize = 15;

/// Smallest MTU of IPv4 in bytes (RFC 791, section 3.2).
const MIN_MTU: i64 = 68;

/// Largest MTU of a TAP in bytes: an IP packet's length has 16 bits.
const MAX_MTU: i64 = 65_535;

/// As Go's `strconv.ParseBool`.
pub(super) fn parse_bool(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// An MTU in bytes; 0, which is none, is `None`.
pub(super) fn parse_mtu(value: &str) -> Result<Option<u32>, NetError> {
    let refused = |why: &str| NetError::OptionValue {
        key: MTU.into(),
        value: value.into(),
        why: format!("strconv.Atoi: parsing {value:?}: {why}"),
    };
    let mtu: i64 = value.parse().map_err(|e: std::num::ParseIntError| match e.kind() {
        std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => {
            refused("value out of range")
        }
        _ => refused("invalid syntax"),
    })?;
    match (mtu, u32::try_from(mtu)) {
        (0, _) => Ok(None),
        (MIN_MTU..=MAX_MTU, Ok(mtu)) => Ok(Some(mtu)),
        _ => Err(NetError::Mtu(mtu)),
    }
}

fn check_interface_name(what: &'static str, name: &str, max: usize) -> Result<(), NetError> {
    // As the kernel's dev_valid_name().
    let valid = name.len() <= max
        && !matches!(name, "." | "..")
        && !name.chars().any(|c| matches!(c, '/' | ':') || c.is_whitespace() || c.is_control());
    if valid { Ok(()) } else { Err(NetError::InterfaceName { what, name: name.into(), max }) }
}

/// Refuses what cannot be read.
pub(super) fn check_bridge(options: &BTreeMap<String, String>) -> Result<(), NetError> {
    for (key, value) in options {
        let refused = |why: String| NetError::OptionValue { key: key.clone(), value: value.clone(), why };
        match key.as_str() {
            ENABLE_ICC | ENABLE_MASQUERADE | ENABLE_IPV6 | INHIBIT_IPV4 | DEFAULT_BRIDGE
            | MAP_HOST_LOOPBACK | ANY_SOURCE => {
                let on = parse_bool(value).ok_or_else(|| {
                    refused(format!("strconv.ParseBool: parsing {value:?}: invalid syntax"))
                })?;
                if on && key == DEFAULT_BRIDGE {
                    return Err(NetError::OptionReserved(DEFAULT_BRIDGE));
                }
            }
            HOST_BINDING | HOST_IPV4 => {
                value.parse::<IpAddr>().map_err(|_| refused("nil ip".into()))?;
            }
            MTU => {
                parse_mtu(value)?;
            }
            BRIDGE_NAME => check_interface_name("bridge name", value, INTERFACE_NAME)?,
            // Three digits are left for the interface's number.
            INTERFACE_PREFIX => check_interface_name("interface prefix", value, INTERFACE_NAME - 3)?,
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::net::Class;

    fn check(key: &str, value: &str) -> Result<(), NetError> {
        check_bridge(&BTreeMap::from([(key.to_owned(), value.to_owned())]))
    }

    fn refusal(key: &str, value: &str) -> String {
        let error = check(key, value).unwrap_err();
        assert_eq!(error.class(), Class::Invalid);
        error.to_string()
    }

    #[test]
    fn values_that_can_be_read_and_unknown_options_are_taken() {
        for (key, value) in [
            (MTU, "1450"),
            (MTU, "0"),
            (MTU, "+9000"),
            (MTU, "65535"),
            (ENABLE_ICC, "false"),
            (ENABLE_ICC, "T"),
            (MAP_HOST_LOOPBACK, "true"),
            (ANY_SOURCE, "false"),
            (ENABLE_MASQUERADE, "0"),
            (DEFAULT_BRIDGE, "false"),
            (HOST_BINDING, "127.0.0.1"),
            (HOST_BINDING, "::1"),
            (HOST_IPV4, "192.0.2.1"),
            (BRIDGE_NAME, "my-bridge"),
            (BRIDGE_NAME, ""),
            (INTERFACE_PREFIX, "net"),
            ("com.example.anything", "goes"),
        ] {
            assert_eq!(check(key, value), Ok(()), "{key}={value}");
        }
    }

    #[test]
    fn values_that_cannot_be_read_are_refused_in_dockers_words() {
        assert_eq!(
            refusal(MTU, "big"),
            "failed to parse com.docker.network.driver.mtu value: big (strconv.Atoi: parsing \"big\": invalid syntax)"
        );
        assert_eq!(
            refusal(MTU, "99999999999999999999"),
            "failed to parse com.docker.network.driver.mtu value: 99999999999999999999 \
             (strconv.Atoi: parsing \"99999999999999999999\": value out of range)"
        );
        assert_eq!(
            refusal(ENABLE_ICC, "maybe"),
            "failed to parse com.docker.network.bridge.enable_icc value: maybe \
             (strconv.ParseBool: parsing \"maybe\": invalid syntax)"
        );
        assert_eq!(
            refusal(HOST_BINDING, "here"),
            "failed to parse com.docker.network.bridge.host_binding_ipv4 value: here (nil ip)"
        );
        for mtu in ["-1", "67", "65536"] {
            assert_eq!(refusal(MTU, mtu), format!("invalid MTU number: {mtu}"));
        }
    }

    #[test]
    fn names_that_no_interface_can_have_are_refused() {
        for name in ["a/b", "a b", "sixteen-bytes-xx", "..", "a\n"] {
            assert!(refusal(BRIDGE_NAME, name).contains("at most 15 characters"), "{name}");
        }
        assert!(refusal(INTERFACE_PREFIX, "thirteenbytes").contains("at most 12 characters"));
    }

    #[test]
    fn nobody_can_make_a_second_default_bridge() {
        let error = check(DEFAULT_BRIDGE, "true").unwrap_err();
        assert_eq!(error.class(), Class::Forbidden);
    }
}
