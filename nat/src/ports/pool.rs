//! The ports of one protocol on one outside address.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{Tier, bitmap::Bitmap, is_odd};
use crate::flow::Endpoint;

/// What a port that is not free is.
#[derive(Clone, Copy, Debug)]
enum Slot {
    Owned(Endpoint),
    /// Kept for `host`, and from all others.
    Resting {
        host: IpAddr,
        since: Instant,
    },
}

/// Ports that are free are in none of these.
#[derive(Debug, Default)]
pub(super) struct Pool {
    slots: HashMap<u16, Slot>,
    /// The keys of `slots`.
    taken: Bitmap,
    /// Every resting port, the longest at rest first.
    resting: BTreeSet<(Instant, u16)>,
    /// The same by host, odd ones apart, so that a full pool need not be searched for them.
    kept: HashMap<IpAddr, BTreeSet<(bool, u16)>>,
}

impl Pool {
    pub(super) fn owner(&self, port: u16) -> Option<Endpoint> {
        match self.slots.get(&port)? {
            Slot::Owned(owner) => Some(*owner),
            Slot::Resting { .. } => None,
        }
    }

    pub(super) fn owned(&self) -> usize {
        self.slots.len() - self.resting.len()
    }

    /// Frees every port that has rested for `rest`.
    pub(super) fn end_rests(&mut self, now: Instant, rest: Duration) {
        while let Some(&(since, port)) = self.resting.first() {
            if now.saturating_duration_since(since) < rest {
                break;
            }
            self.wake(port);
        }
    }

    /// The port of `tier` for `owner`: the wanted one, one that is free, or one that rests for it.
    pub(super) fn choose(&self, tier: &Tier, owner: Endpoint) -> Option<u16> {
        if tier.contains(tier.wanted) && self.is_kept(tier.wanted, owner.ip) {
            return Some(tier.wanted);
        }
        self.taken.first_missing(tier).or_else(|| self.first_kept(tier, owner.ip))
    }

    /// Makes `owner` the port's owner. It must have none.
    pub(super) fn take(&mut self, port: u16, owner: Endpoint) {
        self.wake(port);
        self.taken.insert(port);
        self.slots.insert(port, Slot::Owned(owner));
    }

    /// Lets the port rest, if it has an owner, and returns that.
    pub(super) fn release(&mut self, port: u16, now: Instant) -> Option<Endpoint> {
        let owner = self.owner(port)?;
        self.slots.insert(port, Slot::Resting { host: owner.ip, since: now });
        self.resting.insert((now, port));
        self.kept.entry(owner.ip).or_default().insert((is_odd(port), port));
        Some(owner)
    }

    pub(super) fn rests_for_another(&self, port: u16, host: IpAddr) -> bool {
        matches!(self.slots.get(&port), Some(Slot::Resting { host: of, .. }) if *of != host)
    }

    fn is_kept(&self, port: u16, host: IpAddr) -> bool {
        matches!(self.slots.get(&port), Some(Slot::Resting { host: of, .. }) if *of == host)
    }

    fn first_kept(&self, tier: &Tier, host: IpAddr) -> Option<u16> {
        let kept = self.kept.get(&host)?;
        let (low, high) = (*tier.ports.start(), *tier.ports.end());
        [false, true]
            .into_iter()
            .filter(|odd| tier.odd.is_none_or(|wanted| wanted == *odd))
            .find_map(|odd| kept.range((odd, low)..=(odd, high)).next())
            .map(|(_, port)| *port)
    }

    /// Ends the port's rest, if it rests: it is free then.
    fn wake(&mut self, port: u16) {
        let Some(&Slot::Resting { host, since }) = self.slots.get(&port) else { return };
        self.slots.remove(&port);
        self.taken.remove(port);
        self.resting.remove(&(since, port));
        if let Some(kept) = self.kept.get_mut(&host) {
            kept.remove(&(is_odd(port), port));
            if kept.is_empty() {
                self.kept.remove(&host);
            }
        }
    }

    /// What must always hold.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let mut resting = BTreeSet::new();
        for (port, slot) in &self.slots {
            assert!(*port != 0 && self.taken.contains(*port));
            if let Slot::Resting { host, since } = slot {
                resting.insert((*since, *port));
                assert!(self.kept[host].contains(&(is_odd(*port), *port)));
            }
        }
        assert_eq!(self.resting, resting);
        assert_eq!(self.kept.values().map(BTreeSet::len).sum::<usize>(), resting.len());
        assert!(self.kept.values().all(|kept| !kept.is_empty()));
        assert_eq!(self.taken.len(), self.slots.len());
    }
}
