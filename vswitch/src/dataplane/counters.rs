//! What a port has counted: frames, bytes and drops by reason, each way.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crossbeam_utils::CachePadded;
use serde::Serialize;

macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why a frame went no further. Every dropped frame is counted under exactly one of these.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        #[repr(u8)]
        pub enum DropReason { $($(#[$doc])* $name,)* }

        impl DropReason {
            /// Every reason, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name that `stats` and a capture's comment show.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

drop_reasons! {
    /// Fewer bytes than an Ethernet header.
    Truncated = "truncated",
    /// More bytes than a frame can have.
    Oversized = "oversized",
    /// A virtio-net header that contradicts its frame.
    BadOffload = "bad_offload",
    /// Headers that a super-frame must have and this one has not, so it cannot be cut.
    Malformed = "malformed",
    /// The source address is multicast or zero (IEEE 802.1Q, 8.8.6).
    BadSource = "bad_source",
    /// A frame from another host whose source is a station of this one.
    LocalSource = "local_source",
    /// The destination is 01:80:C2:00:00:0x, which no bridge forwards.
    ReservedGroup = "reserved_group",
    /// The destination lives behind the port the frame came from, and hairpin is off.
    SamePort = "same_port",
    /// The network has no other port to send to.
    NoPort = "no_port",
    /// The network keeps its stations apart, or a packet came to its router from where it must not.
    Isolated = "isolated",
    /// Over the port's limit for broadcast and multicast.
    StormBroadcast = "storm_broadcast",
    /// Over the port's limit for unknown unicast.
    StormUnknown = "storm_unknown",
    /// The port has been set down.
    AdminDown = "admin_down",
    /// The interface behind the port is down.
    LinkDown = "link_down",
    /// The port is gone: its namespace was deleted, or it was detached a moment ago.
    Gone = "gone",
    /// A frame, or one segment of a super-frame, is longer than the port's MTU.
    TooBig = "too_big",
    /// The receiver's queue is full.
    QueueFull = "queue_full",
    /// The gateway has no way to the packet's destination.
    NoRoute = "no_route",
    /// The gateway routes to the destination's subnet, and nobody there has the address.
    NoNeighbour = "no_neighbour",
    /// The gateway routes to a station of this host that is about to have its port.
    NotYet = "not_yet",
    /// The packet came to the gateway with the last hop it may make.
    HopLimit = "hop_limit",
    /// The kernel refused the frame.
    Refused = "refused",
    /// The port itself answered the frame, which therefore was not sent.
    Answered = "answered",
    /// The network has no other host to send to.
    NoPeer = "no_peer",
}

const REASONS: usize = DropReason::ALL.len();

/// One worker's share of a port's counters. Only that worker writes it, so a plain load and
/// store do; readers may see a value a moment old, never a torn one.
#[derive(Default)]
struct Shard {
    rx_frames: AtomicU64,
    rx_bytes: AtomicU64,
    tx_frames: AtomicU64,
    tx_bytes: AtomicU64,
    rx_drops: [AtomicU64; REASONS],
    tx_drops: [AtomicU64; REASONS],
}

fn bump(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(by), Relaxed);
}

/// A port's counters. Directions are the switch's: rx is what the port gave to the switch.
pub struct PortCounters {
    shards: Box<[CachePadded<Shard>]>,
}

impl PortCounters {
    /// Zeroed counters for `workers` writers, numbered from 0.
    pub fn new(workers: usize) -> Self {
        Self { shards: (0..workers.max(1)).map(|_| CachePadded::default()).collect() }
    }

    fn shard(&self, worker: usize) -> Option<&Shard> {
        self.shards.get(worker).map(|s| &**s)
    }

    /// A frame of `bytes` came in.
    pub fn received(&self, worker: usize, bytes: usize) {
        if let Some(s) = self.shard(worker) {
            bump(&s.rx_frames, 1);
            bump(&s.rx_bytes, bytes as u64);
        }
    }

    /// A frame of `bytes` went out.
    pub fn sent(&self, worker: usize, bytes: usize) {
        if let Some(s) = self.shard(worker) {
            bump(&s.tx_frames, 1);
            bump(&s.tx_bytes, bytes as u64);
        }
    }

    /// A frame from this port was dropped.
    pub fn rx_dropped(&self, worker: usize, reason: DropReason) {
        if let Some(c) = self.shard(worker).and_then(|s| s.rx_drops.get(reason as usize)) {
            bump(c, 1);
        }
    }

    /// A frame for this port was dropped.
    pub fn tx_dropped(&self, worker: usize, reason: DropReason) {
        if let Some(c) = self.shard(worker).and_then(|s| s.tx_drops.get(reason as usize)) {
            bump(c, 1);
        }
    }

    /// The sum over all workers.
    pub fn snapshot(&self) -> PortStats {
        let mut stats = PortStats::default();
        let mut rx = [0u64; REASONS];
        let mut tx = [0u64; REASONS];
        for s in &self.shards {
            stats.rx_frames += s.rx_frames.load(Relaxed);
            stats.rx_bytes += s.rx_bytes.load(Relaxed);
            stats.tx_frames += s.tx_frames.load(Relaxed);
            stats.tx_bytes += s.tx_bytes.load(Relaxed);
            for (sum, c) in rx.iter_mut().zip(&s.rx_drops).chain(tx.iter_mut().zip(&s.tx_drops)) {
                *sum += c.load(Relaxed);
            }
        }
        let named = |sums: &[u64]| {
            DropReason::ALL
                .iter()
                .zip(sums)
                .filter(|&(_, &n)| n > 0)
                .map(|(reason, &n)| (reason.name(), n))
                .collect()
        };
        stats.rx_drops = named(&rx);
        stats.tx_drops = named(&tx);
        stats
    }
}

/// A port's counters at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PortStats {
    /// Frames that came in.
    pub rx_frames: u64,
    /// Their bytes, from the destination address on.
    pub rx_bytes: u64,
    /// Frames that went out.
    pub tx_frames: u64,
    /// Their bytes.
    pub tx_bytes: u64,
    /// Frames that came in and went no further, by reason; reasons with none are left out.
    pub rx_drops: std::collections::BTreeMap<&'static str, u64>,
    /// Frames that were to go out and did not, by reason.
    pub tx_drops: std::collections::BTreeMap<&'static str, u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_add_up_and_unused_reasons_are_left_out() {
        let counters = PortCounters::new(2);
        counters.received(0, 100);
        counters.received(1, 50);
        counters.sent(1, 7);
        counters.tx_dropped(0, DropReason::QueueFull);
        counters.tx_dropped(1, DropReason::QueueFull);
        counters.received(2, 1);
        let stats = counters.snapshot();
        assert_eq!((stats.rx_frames, stats.rx_bytes, stats.tx_frames, stats.tx_bytes), (2, 150, 1, 7));
        assert!(stats.rx_drops.is_empty());
        assert_eq!(stats.tx_drops["queue_full"], 2);
    }
}
