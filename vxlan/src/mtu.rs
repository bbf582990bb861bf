//! How large an inner packet may be. VTEPs must not fragment VXLAN datagrams (RFC 7348,
//! section 4.3), so whatever the underlay cannot carry whole must not be sent.

use packet::wire::{IpVersion, ethernet, ipv4, ipv6, udp};

use crate::header::HEADER_LEN;

/// Bytes around an inner frame on an IPv4 underlay without options: IPv4, UDP, VXLAN.
pub const OUTER_IPV4: u32 = (ipv4::HEADER_LEN + udp::HEADER_LEN + HEADER_LEN) as u32;
/// Bytes around an inner frame on an IPv6 underlay: IPv6, UDP, VXLAN.
pub const OUTER_IPV6: u32 = (ipv6::HEADER_LEN + udp::HEADER_LEN + HEADER_LEN) as u32;
/// Bytes by which the inner MTU is less than that of an IPv4 underlay, the inner Ethernet header
/// included: 50. Each inner VLAN tag takes another 4.
pub const OVERHEAD_IPV4: u32 = OUTER_IPV4 + ethernet::HEADER_LEN as u32;
/// Bytes by which the inner MTU is less than that of an IPv6 underlay, the inner Ethernet header
/// included: 70. Each inner VLAN tag takes another 4.
pub const OVERHEAD_IPV6: u32 = OUTER_IPV6 + ethernet::HEADER_LEN as u32;
/// The least MTU in bytes that IPv4 works with (RFC 791, section 3.2). An inner network with IPv6
/// needs 1280 (RFC 8200, section 5).
pub const MIN_INNER_MTU: u32 = 68;

/// Bytes by which the inner MTU is less than the underlay's: [`OVERHEAD_IPV4`] or [`OVERHEAD_IPV6`].
pub const fn overhead(underlay: IpVersion) -> u32 {
    match underlay {
        IpVersion::V4 => OVERHEAD_IPV4,
        IpVersion::V6 => OVERHEAD_IPV6,
    }
}

/// The MTU in bytes of inner packets without a VLAN tag on an underlay of `underlay_mtu` bytes.
/// `None` below [`MIN_INNER_MTU`], where no network is left.
pub const fn inner_mtu(underlay_mtu: u32, underlay: IpVersion) -> Option<u32> {
    match underlay_mtu.checked_sub(overhead(underlay)) {
        Some(mtu) if mtu >= MIN_INNER_MTU => Some(mtu),
        _ => None,
    }
}

/// An inner frame of `frame_len` bytes, Ethernet header and VLAN tags included, crosses an underlay
/// of `underlay_mtu` bytes in one piece. Of a super-frame ask for its longest segment.
pub const fn fits(frame_len: u32, underlay_mtu: u32, underlay: IpVersion) -> bool {
    let outer = match underlay {
        IpVersion::V4 => OUTER_IPV4,
        IpVersion::V6 => OUTER_IPV6,
    };
    match underlay_mtu.checked_sub(outer) {
        Some(room) => frame_len <= room,
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_overheads_are_those_everyone_knows() {
        assert_eq!((OVERHEAD_IPV4, OVERHEAD_IPV6), (50, 70));
        assert_eq!(inner_mtu(1500, IpVersion::V4), Some(1450));
        assert_eq!(inner_mtu(1500, IpVersion::V6), Some(1430));
        assert_eq!(inner_mtu(117, IpVersion::V4), None);
        assert_eq!(inner_mtu(118, IpVersion::V4), Some(68));
        assert_eq!(inner_mtu(0, IpVersion::V6), None);
    }

    proptest! {
        #[test]
        fn exactly_what_the_inner_mtu_allows_fits(mtu in any::<u32>(), v6 in any::<bool>()) {
            let version = if v6 { IpVersion::V6 } else { IpVersion::V4 };
            if let Some(inner) = inner_mtu(mtu, version) {
                prop_assert!(fits(inner + 14, mtu, version));
                prop_assert!(!fits(inner + 15, mtu, version));
            }
            prop_assert!(!fits(u32::MAX, mtu, version));
        }
    }
}
