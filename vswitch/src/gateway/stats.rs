//! What a gateway has done, and what it refused to do.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

/// A number that only grows. Any thread may add to it.
#[derive(Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Relaxed);
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        #[derive(Default)]
        pub(super) struct Counters { $(pub(super) $name: Counter,)* }

        /// A gateway's counters at one moment.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
        pub struct GatewayStats { $($(#[$doc])* pub $name: u64,)* }

        impl Counters {
            pub(super) fn snapshot(&self) -> GatewayStats {
                GatewayStats { $($name: self.$name.0.load(Relaxed),)* }
            }
        }
    };
}

counters! {
    /// ARP requests answered.
    arp_replies,
    /// Others said they had one of the gateway's IPv4 addresses.
    arp_conflicts,
    /// Neighbour solicitations answered.
    neighbor_advertisements,
    /// Router advertisements sent, asked for or not.
    router_advertisements,
    /// Addresses announced, its own and endpoints'.
    announcements,
    /// Echo requests answered, each fragment for itself.
    echo_replies,
    /// TCP segments answered with a reset.
    resets,
    /// ICMP errors sent.
    errors_sent,
    /// ICMP errors not sent because there were too many.
    errors_limited,
    /// DHCP offers.
    dhcp_offers,
    /// DHCP acknowledgments.
    dhcp_acks,
    /// DHCP refusals.
    dhcp_naks,
    /// Clients that gave their lease back; it stays theirs.
    dhcp_releases,
    /// Clients that found their address in use by somebody else.
    dhcp_declines,
    /// DHCP from stations the gateway was not told of, or that have no address here.
    dhcp_unknown,
    /// DHCP that one station sent faster than anybody needs to.
    dhcp_limited,
    /// DHCP that is malformed, relayed, or for another station than its sender.
    dhcp_invalid,
    /// DHCP meant for another server.
    dhcp_other_server,
    /// DNS queries taken over UDP.
    dns_udp_queries,
    /// DNS queries taken over TCP.
    dns_tcp_queries,
    /// DNS answers given.
    dns_answers,
    /// DNS queries lost because too many waited for an answer.
    dns_overload,
    /// TCP connections taken for DNS.
    dns_connections,
    /// TCP connections for DNS refused because there were too many.
    dns_connections_refused,
    /// TCP connections for DNS ended because they were idle, never finished or spoke no DNS.
    dns_connections_ended,
    /// Frames that were flooded and are for others.
    ignored,
    /// Frames with a VLAN tag.
    tagged,
    /// Frames whose source is no single other host, so that nobody could be answered.
    bad_source,
    /// Frames whose headers contradict themselves.
    malformed,
    /// Packets whose checksum is wrong.
    bad_checksum,
    /// Fragments of anything but echo requests.
    fragments,
    /// What the gateway has no answer for.
    unanswered,
    /// Answers lost because their queue was full.
    queue_full,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_in_the_snapshot() {
        let counters = Counters::default();
        counters.resets.add();
        counters.resets.add();
        assert_eq!(counters.snapshot(), GatewayStats { resets: 2, ..GatewayStats::default() });
    }
}
