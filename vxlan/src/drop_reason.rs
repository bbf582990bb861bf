//! Why a datagram goes no further.

use crate::counters::Reason;

macro_rules! reasons {
    ($(#[$outer:meta])* $type:ident: $($(#[$doc:meta])* $variant:ident = $name:literal, $text:literal;)*) => {
        $(#[$outer])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, thiserror::Error)]
        #[repr(u8)]
        pub enum $type { $($(#[$doc])* #[error($text)] $variant,)* }

        impl $type {
            /// Every reason, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name that counters and a capture's comment show.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }

        impl Reason for $type {
            const ALL: &'static [Self] = $type::ALL;

            fn number(self) -> usize {
                self as usize
            }

            fn name(self) -> &'static str {
                $type::name(self)
            }
        }
    };
}

reasons! {
    /// Why a received datagram was dropped. Each is counted under exactly one of these.
    DropReason:
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
    /// More bytes than a receive buffer holds, or a UDP super-frame from the same machine of which
    /// nobody knows where its datagrams end.
    Oversized = "vxlan_oversized", "datagram is longer than can be";
    /// The underlay marked congestion on a packet whose inner one cannot carry the mark (RFC 6040,
    /// section 4.2).
    Congestion = "vxlan_ecn_ce", "congestion was marked on a packet that does not take part in ECN";
}

reasons! {
    /// Why a frame did not leave in a datagram. Each is counted under exactly one of these.
    SendError:
    /// It is no frame, or a super-frame that cannot be cut.
    Malformed = "malformed", "frame that cannot be encapsulated";
    /// The network has nobody to send it to.
    NoPeer = "no_peer", "the network has no other peer";
    /// The underlay cannot carry it in one piece (RFC 7348, section 4.3).
    TooBig = "too_big", "frame is too big for the underlay";
    /// There is no socket of the peer's IP version.
    NoSocket = "no_socket", "no socket for the IP version of the peer";
    /// The sending socket's buffer or the interface's queue is full.
    QueueFull = "queue_full", "underlay's queue is full";
    /// There is no way to the peer.
    Unreachable = "unreachable", "peer cannot be reached";
    /// The kernel refused the datagram.
    Refused = "refused", "datagram was refused";
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distinct<R: Reason>() {
        for (i, reason) in R::ALL.iter().enumerate() {
            assert_eq!(reason.number(), i);
            assert!(R::ALL[..i].iter().all(|other| other.name() != reason.name()));
        }
    }

    #[test]
    fn names_are_distinct() {
        distinct::<DropReason>();
        distinct::<SendError>();
    }
}
