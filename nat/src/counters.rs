//! What the engine has counted: one counter for every way a frame, a connection or a resource can
//! come to nothing.

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why a frame went no further, or a flow was refused. Every dropped frame is counted
        /// under exactly one of these.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        #[repr(u8)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// Every reason, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name that `stats` shows.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

reasons! {
    /// The container is not known to this engine.
    UnknownInside = "unknown_inside",
    /// A header is cut short or contradicts itself.
    Malformed = "malformed",
    /// The virtio-net header places the checksum elsewhere than the headers do, or names another
    /// kind of super-frame than the frame is.
    BadOffload = "bad_offload",
    /// The checksum of the IPv4 header or of the transport is wrong.
    BadChecksum = "bad_checksum",
    /// The source address is none of the container's.
    SpoofedSource = "spoofed_source",
    /// A packet with a source route.
    SourceRouted = "source_routed",
    /// A fragment that cannot be part of a packet.
    Fragment = "fragment",
    /// A fragment of a packet whose fragments overlap (RFC 5722).
    FragmentOverlap = "fragment_overlap",
    /// A packet in more fragments, or one more incomplete packet, than there may be.
    FragmentLimit = "fragment_limit",
    /// A packet whose missing fragments never came.
    FragmentTimeout = "fragment_timeout",
    /// Neither IPv4 nor IPv6.
    NotIp = "not_ip",
    /// An IP protocol, or a kind of ICMP message, that is not translated.
    Protocol = "protocol",
    /// No hops left; the sender was told.
    HopsExhausted = "hops_exhausted",
    /// An address that no packet may be sent to from inside: loopback, multicast, broadcast,
    /// unspecified, or within the container's own network.
    ForbiddenDestination = "forbidden_destination",
    /// The container's network has no way out.
    NoOutbound = "no_outbound",
    /// A segment of no connection, which is answered with a reset.
    NoFlow = "no_flow",
    /// Control bits that contradict each other, or none.
    BadFlags = "bad_flags",
    /// A segment outside the window, or with an acknowledgment of what was never sent.
    OutOfWindow = "out_of_window",
    /// A segment with data that was received before.
    Duplicate = "duplicate",
    /// The container has as many flows as it may have.
    InsideFlows = "inside_flows",
    /// The engine has as many flows as it may have.
    Flows = "flows",
    /// The container has as many half-open connections as it may have.
    InsideHalfOpen = "inside_half_open",
    /// The engine has as many half-open connections as it may have.
    HalfOpen = "half_open",
    /// The process has no descriptor or memory left for a socket.
    Descriptors = "descriptors",
    /// No port is left outside.
    Ports = "ports",
    /// Bytes beyond what may be kept for sockets that take no more; the container sends them again.
    Backlog = "backlog",
    /// A frame for the container that its queue did not take.
    InsideQueueFull = "inside_queue_full",
    /// A frame for the container while its interface was down or gone.
    InsideDown = "inside_down",
    /// An error message that was not sent since too many were.
    ErrorRate = "error_rate",
    /// A datagram from outside that the container has not asked for.
    Filtered = "filtered",
    /// A datagram from an address that the container cannot be shown.
    UnseenSource = "unseen_source",
    /// A datagram that is longer than the path takes; the sender was told.
    TooBig = "too_big",
    /// A datagram without a way to where it should go; the sender was told.
    Unreachable = "unreachable",
    /// Datagrams that a socket of the host did not take.
    OutsideQueueFull = "outside_queue_full",
    /// An ICMP error about no flow, or of a kind that is not passed on.
    IcmpError = "icmp_error",
    /// An ICMP error of a container that this process may not send.
    IcmpErrorUnsent = "icmp_error_unsent",
    /// An echo request that this process may not send; the sender was told.
    PingForbidden = "ping_forbidden",
    /// A connection to a published port that cannot be shown to the container.
    PublishRefused = "publish_refused",
}

const REASONS: usize = Reason::ALL.len();

/// Sums since the engine began. Only the engine's thread touches them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    reasons: [u64; REASONS],
    /// Flows that were set up since the start.
    pub flows_opened: u64,
    /// Frames taken from containers.
    pub frames_in: u64,
    /// Frames sent to containers.
    pub frames_out: u64,
    /// Bytes sent to containers more than once.
    pub retransmitted_bytes: u64,
    /// Times a retransmission timer ran out.
    pub timeouts: u64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            reasons: [0; REASONS],
            flows_opened: 0,
            frames_in: 0,
            frames_out: 0,
            retransmitted_bytes: 0,
            timeouts: 0,
        }
    }
}

impl Counters {
    /// Counts one for `reason`.
    pub fn count(&mut self, reason: Reason) {
        if let Some(counter) = self.reasons.get_mut(reason as usize) {
            *counter = counter.wrapping_add(1);
        }
    }

    /// How often `reason` was counted.
    #[must_use]
    pub fn get(&self, reason: Reason) -> u64 {
        self.reasons.get(reason as usize).copied().unwrap_or(0)
    }

    /// Every reason that was counted at all.
    pub fn reasons(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        Reason::ALL.iter().map(|reason| (*reason, self.get(*reason))).filter(|(_, count)| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_counter_and_a_name_of_its_own() {
        let mut counters = Counters::default();
        for reason in Reason::ALL {
            counters.count(*reason);
        }
        assert!(counters.reasons().all(|(_, count)| count == 1));
        let names: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
    }
}
