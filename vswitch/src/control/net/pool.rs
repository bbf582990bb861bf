//! Which addresses of a subnet are given out.
//!
//! Addresses are numbers of 128 bits, and the taken ones are kept as runs of neighbours. Docker gives
//! the lowest free address, so there are few runs: a pool's memory grows with what was asked for by
//! value and given back, not with its size, and every operation takes the logarithm of their number.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use packet::MacAddr;

use super::error::PoolError;

/// First and last of a run of addresses.
type Run = (u128, u128);

/// The addresses of one subnet. The lowest free one is given first, so a freed one is next.
#[derive(Clone, Debug)]
pub struct Pool {
    subnet: IpNet,
    /// What may be given at all; `None` of a subnet so small that all its addresses mean something.
    hosts: Option<Run>,
    /// What may be given where nobody asked for a certain address.
    automatic: Option<Run>,
    /// Taken addresses: the first of each run, and its last. Runs neither touch nor overlap.
    taken: BTreeMap<u128, u128>,
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u128::from(u32::from(a)),
        IpAddr::V6(a) => u128::from(a),
    }
}

fn run_of(net: IpNet) -> Run {
    (number(net.network()), number(net.broadcast()))
}

fn intersection(a: Run, b: Run) -> Option<Run> {
    let both = (a.0.max(b.0), a.1.min(b.1));
    (both.0 <= both.1).then_some(both)
}

impl Pool {
    /// All of a subnet's addresses are free. Those that nobody asks for by value come from `range`,
    /// where there is one; it lies in the subnet.
    ///
    /// The subnet's first address is never given: it is the network's (RFC 4632), or the subnet's
    /// routers' (IPv6, RFC 4291 section 2.6.1). Nor is IPv4's last, the broadcast address (RFC 919).
    pub fn new(subnet: IpNet, range: Option<IpNet>) -> Self {
        let subnet = subnet.trunc();
        let (first, last) = run_of(subnet);
        let hosts = match subnet {
            IpNet::V4(net) if net.prefix_len() > 30 => None,
            IpNet::V4(_) => Some((first + 1, last - 1)),
            IpNet::V6(net) if net.prefix_len() > 127 => None,
            IpNet::V6(_) => Some((first + 1, last)),
        };
        let automatic = hosts.and_then(|h| intersection(h, range.map_or(h, run_of)));
        Self { subnet, hosts, automatic, taken: BTreeMap::new() }
    }

    fn address(&self, number: u128) -> IpAddr {
        match self.subnet {
            IpNet::V4(_) => Ipv4Addr::from(number as u32).into(),
            IpNet::V6(_) => Ipv6Addr::from(number).into(),
        }
    }

    /// The run in which `number` is taken.
    fn taken_in(&self, number: u128) -> Option<Run> {
        self.taken.range(..=number).next_back().map(|(f, l)| (*f, *l)).filter(|run| run.1 >= number)
    }

    /// Gives the lowest free address.
    ///
    /// # Errors
    /// [`PoolError::Exhausted`].
    pub fn allocate(&mut self) -> Result<IpAddr, PoolError> {
        let (first, last) = self.automatic.ok_or(PoolError::Exhausted)?;
        let lowest = match self.taken_in(first) {
            // Runs do not touch, so what follows one is free.
            Some(run) => run.1.checked_add(1),
            None => Some(first),
        };
        let free = lowest.filter(|n| *n <= last).ok_or(PoolError::Exhausted)?;
        self.take(free);
        Ok(self.address(free))
    }

    /// Gives the lowest free address that comes after `skip` others, for claims that are to keep out of
    /// each other's way. Takes time in proportion to the number of gaps before it.
    ///
    /// # Errors
    /// [`PoolError::Exhausted`].
    pub fn allocate_after(&mut self, skip: u128) -> Result<IpAddr, PoolError> {
        let (mut left, mut chosen) = (skip, None);
        for (first, last) in self.gaps() {
            let size = last - first + 1;
            if left < size {
                chosen = Some(first + left);
                break;
            }
            left -= size;
        }
        let free = chosen.ok_or(PoolError::Exhausted)?;
        self.take(free);
        Ok(self.address(free))
    }

    /// How many addresses are left for those who ask for none by value.
    pub fn free(&self) -> u128 {
        self.gaps().map(|(first, last)| last - first + 1).sum()
    }

    /// Runs of free addresses among those that are given to whoever asks for none by value, in ascending
    /// order.
    fn gaps(&self) -> impl Iterator<Item = Run> {
        let (first, last) = self.automatic.unwrap_or((1, 0));
        let taken = self
            .taken_in(first)
            .into_iter()
            .chain(self.taken.range(first.saturating_add(1)..).map(|(f, l)| (*f, *l)));
        // After each run that is taken, and before the first one.
        let ends = taken.clone().map(|(f, _)| f.checked_sub(1)).chain([Some(last)]);
        let starts = [Some(first)].into_iter().chain(taken.map(|(_, l)| l.checked_add(1)));
        starts.zip(ends).filter_map(move |(from, to)| intersection((from?, to?), (first, last)))
    }

    /// Gives an address to an interface of this Ethernet address.
    ///
    /// IPv4: the lowest free one. IPv6, in a subnet of at least 48 host bits: the subnet's prefix, zeros,
    /// and the six bytes of the Ethernet address as the last six, unchanged: not the modified EUI-64
    /// of RFC 4291, and so Docker's bridge driver does. It is the lowest free one where that is taken,
    /// not in the range for automatic addresses, or does not fit.
    ///
    /// # Errors
    /// [`PoolError::Exhausted`].
    pub fn allocate_for(&mut self, mac: MacAddr) -> Result<IpAddr, PoolError> {
        if let (IpNet::V6(net), Some((first, last))) = (self.subnet, self.automatic)
            && net.prefix_len() <= 80
        {
            let derived = u128::from(net.network()) | u128::from(mac.to_u64());
            if (first..=last).contains(&derived) && self.taken_in(derived).is_none() {
                self.take(derived);
                return Ok(self.address(derived));
            }
        }
        self.allocate()
    }

    /// Gives a certain address, which may lie outside the range for automatic ones.
    ///
    /// # Errors
    /// [`PoolError::Outside`], [`PoolError::Taken`].
    pub fn claim(&mut self, address: IpAddr) -> Result<(), PoolError> {
        if !self.subnet.contains(&address) {
            return Err(PoolError::Outside);
        }
        let wanted = number(address);
        let given_at_all = self.hosts.is_some_and(|(first, last)| (first..=last).contains(&wanted));
        if !given_at_all || self.taken_in(wanted).is_some() {
            return Err(PoolError::Taken);
        }
        self.take(wanted);
        Ok(())
    }

    /// Marks a free address as taken and joins it with its neighbours.
    fn take(&mut self, free: u128) {
        let before = free.checked_sub(1).and_then(|n| self.taken_in(n));
        let after = free.checked_add(1).and_then(|n| self.taken.remove(&n));
        let first = before.map_or(free, |run| run.0);
        self.taken.insert(first, after.unwrap_or(free));
    }

    /// Takes an address back. One that nobody has is left as it is: `false`.
    pub fn release(&mut self, address: IpAddr) -> bool {
        if !self.subnet.contains(&address) {
            return false;
        }
        let freed = number(address);
        let Some((first, last)) = self.taken_in(freed) else { return false };
        self.taken.remove(&first);
        if first < freed {
            self.taken.insert(first, freed - 1);
        }
        if freed < last {
            self.taken.insert(freed + 1, last);
        }
        true
    }

    /// Somebody has the address.
    pub fn is_taken(&self, address: IpAddr) -> bool {
        self.subnet.contains(&address) && self.taken_in(number(address)).is_some()
    }

    /// The subnet; no host bit is set.
    pub fn subnet(&self) -> IpNet {
        self.subnet
    }

    /// How many addresses are taken.
    pub fn len(&self) -> u128 {
        self.taken.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// None are.
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
