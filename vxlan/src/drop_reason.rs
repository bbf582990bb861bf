//! Why a received datagram goes no further.

macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $text:literal;)*) => {
        /// Why a received datagram was dropped. Each is counted under exactly one of these.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, thiserror::Error)]
        #[repr(u8)]
        pub enum DropReason { $($(#[$doc])* #[error($text)] $variant,)* }

        impl DropReason {
            /// Every reason, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name that counters and a capture's comment show.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

drop_reasons! {
    /// Fewer bytes than a VXLAN header.
    Truncated = "vxlan_truncated", "datagram is shorter than a VXLAN header";
    /// The I flag is clear, so the header names no network (RFC 7348, section 5).
    NoVni = "vxlan_no_vni", "VXLAN header without a valid VNI";
    /// Fewer bytes behind the header than an Ethernet header.
    InnerTruncated = "vxlan_inner_truncated", "inner frame is shorter than an Ethernet header";
    /// No network here has that VNI.
    UnknownVni = "vxlan_unknown_vni", "no network has this VNI";
    /// The outer source address is no peer of that VNI.
    UnknownPeer = "vxlan_unknown_peer", "sender is no peer of this VNI";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct() {
        for (i, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(usize::from(*reason as u8), i);
            assert!(DropReason::ALL[..i].iter().all(|other| other.name() != reason.name()));
        }
    }
}
