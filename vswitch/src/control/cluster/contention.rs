//! How claims of many nodes keep out of each other's way.
//!
//! All of them want the lowest free address, and all but one are refused. So a claim that collided
//! chooses at random within a contention window of the lowest free addresses, which is wider with every
//! collision, as the window of binary exponential backoff is (IEEE 802.3). The first window is as wide as
//! there are nodes: that many may want an address at once. For a while after a collision the next claims
//! on that network begin with the window that was reached; then it is the lowest free address again.

use std::collections::BTreeMap;
use std::time::Duration;

/// How long a collision is remembered.
const REMEMBERED: Duration = Duration::from_secs(5);

/// Addresses in the narrowest window after a collision.
const NARROWEST: u64 = 4;

/// Addresses in the widest one. What others have taken and this node has not heard of is in it too, so it is
/// much wider than there are nodes.
const WIDEST: u64 = 4096;

/// By how many times a collision widens the window, as a power of two.
const GROWTH: u32 = 4;

/// From how many of the lowest free addresses a claim at this level chooses; `nodes` are in the cluster.
pub(super) fn window(level: u32, nodes: usize) -> u64 {
    let Some(wider) = level.checked_sub(1) else { return 1 };
    let first = u64::try_from(nodes).unwrap_or(WIDEST).clamp(NARROWEST, WIDEST).next_power_of_two();
    // Three times sixteen is beyond the widest.
    (first << (wider.min(3) * GROWTH)).min(WIDEST)
}

/// Which level claims have reached on each network.
#[derive(Debug, Default)]
pub(super) struct Contention(BTreeMap<String, (u32, Duration)>);

impl Contention {
    /// Where a claim begins.
    pub(super) fn level(&self, network: &str, now: Duration) -> u32 {
        self.0.get(network).filter(|(_, until)| now < *until).map_or(0, |(level, _)| *level)
    }

    /// A claim at this level collided. Claims of one round tell the same, and so it is counted once.
    pub(super) fn collided(&mut self, network: &str, level: u32, now: Duration) {
        let next = level.saturating_add(1).max(self.level(network, now));
        self.0.retain(|_, (_, until)| now < *until);
        self.0.insert(network.to_owned(), (next, now.saturating_add(REMEMBERED)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    #[test]
    fn a_window_is_one_address_at_first_then_as_wide_as_there_are_nodes_and_widens_up_to_its_end() {
        assert_eq!(
            [0, 1, 2, 3, 4, u32::MAX].map(|level| window(level, 100)),
            [1, 128, 2048, 4096, 4096, 4096]
        );
        assert_eq!([0, 1, 2, 3, 4].map(|level| window(level, 1)), [1, 4, 64, 1024, 4096]);
        assert_eq!(window(1, usize::MAX), WIDEST);
    }

    #[test]
    fn a_collision_is_remembered_for_a_while_on_its_own_network() {
        let mut contention = Contention::default();
        contention.collided("a", 0, NOW);
        assert_eq!((contention.level("a", NOW), contention.level("b", NOW)), (1, 0));
        let last = NOW + REMEMBERED;
        assert_eq!(contention.level("a", NOW + REMEMBERED / 2), 1);
        assert_eq!(contention.level("a", last), 0);
        contention.collided("b", 0, last);
        assert_eq!(contention.0.len(), 1, "what is forgotten takes no memory");
    }

    #[test]
    fn claims_that_collide_at_once_count_once() {
        let mut contention = Contention::default();
        for _ in 0..5 {
            contention.collided("a", 0, NOW);
        }
        assert_eq!(contention.level("a", NOW), 1);
        contention.collided("a", 1, NOW);
        // One that began before all of this.
        contention.collided("a", 0, NOW);
        assert_eq!(contention.level("a", NOW), 2);
    }
}
