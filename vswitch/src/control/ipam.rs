//! Which addresses of a network are given out.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// Why an address could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IpamError {
    /// Every address has an owner.
    #[error("no available IPv4 addresses on this network's address pools: {0}")]
    Exhausted(Ipv4Net),
    /// The address is not one of the subnet's, or its network or broadcast address.
    #[error("{0} is not an address that {1} can give")]
    Outside(Ipv4Addr, Ipv4Net),
    /// The address has an owner.
    #[error("Address already in use")]
    Taken(Ipv4Addr),
}

/// The addresses of one subnet. The lowest free one is given first, so a freed one is next.
#[derive(Debug, Clone)]
pub struct Pool {
    subnet: Ipv4Net,
    /// Runs of taken addresses, first and last of each; they neither touch nor overlap.
    taken: BTreeSet<(u32, u32)>,
}

impl Pool {
    /// All of a subnet's addresses but the network and broadcast address.
    pub fn new(subnet: Ipv4Net) -> Self {
        Self { subnet: subnet.trunc(), taken: BTreeSet::new() }
    }

    fn range(&self) -> (u32, u32) {
        let (first, last) = (u32::from(self.subnet.network()), u32::from(self.subnet.broadcast()));
        if self.subnet.prefix_len() < 31 { (first + 1, last - 1) } else { (first, last) }
    }

    /// The run that holds `address`, if it is taken.
    fn run_of(&self, address: u32) -> Option<(u32, u32)> {
        self.taken.range(..=(address, u32::MAX)).next_back().copied().filter(|run| run.1 >= address)
    }

    /// Gives the lowest free address.
    ///
    /// # Errors
    /// [`IpamError::Exhausted`].
    pub fn allocate(&mut self) -> Result<Ipv4Addr, IpamError> {
        let (first, last) = self.range();
        let lowest = match self.taken.first() {
            Some(run) if run.0 == first => run.1.checked_add(1),
            _ => Some(first),
        };
        let address =
            lowest.filter(|a| *a <= last).ok_or(IpamError::Exhausted(self.subnet)).map(Ipv4Addr::from)?;
        self.claim(address)?;
        Ok(address)
    }

    /// Gives a certain address.
    ///
    /// # Errors
    /// [`IpamError`].
    pub fn claim(&mut self, address: Ipv4Addr) -> Result<(), IpamError> {
        let n = u32::from(address);
        let (first, last) = self.range();
        if !(first..=last).contains(&n) {
            return Err(IpamError::Outside(address, self.subnet));
        }
        if self.run_of(n).is_some() {
            return Err(IpamError::Taken(address));
        }
        let mut run = (n, n);
        if let Some(before) = n.checked_sub(1).and_then(|b| self.run_of(b)) {
            self.taken.remove(&before);
            run.0 = before.0;
        }
        if let Some(after) = n.checked_add(1).and_then(|a| self.run_of(a)) {
            self.taken.remove(&after);
            run.1 = after.1;
        }
        self.taken.insert(run);
        Ok(())
    }

    /// Takes an address back; one that nobody has is left as it is.
    pub fn release(&mut self, address: Ipv4Addr) {
        let n = u32::from(address);
        let Some(run) = self.run_of(n) else { return };
        self.taken.remove(&run);
        if run.0 < n {
            self.taken.insert((run.0, n - 1));
        }
        if n < run.1 {
            self.taken.insert((n + 1, run.1));
        }
    }

    /// The subnet.
    pub fn subnet(&self) -> Ipv4Net {
        self.subnet
    }

    /// Addresses given out.
    pub fn len(&self) -> usize {
        self.taken.iter().map(|run| (run.1 - run.0) as usize + 1).sum()
    }

    /// None are.
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_freed_address_is_given_next() {
        let mut pool = Pool::new("172.17.0.0/16".parse().unwrap());
        pool.claim(Ipv4Addr::new(172, 17, 0, 1)).unwrap();
        let ips: Vec<_> = (0..3).map(|_| pool.allocate().unwrap().octets()[3]).collect();
        assert_eq!(ips, [2, 3, 4]);
        pool.release(Ipv4Addr::new(172, 17, 0, 3));
        assert_eq!(pool.allocate(), Ok(Ipv4Addr::new(172, 17, 0, 3)));
        assert_eq!(
            pool.claim(Ipv4Addr::new(172, 17, 0, 4)),
            Err(IpamError::Taken(Ipv4Addr::new(172, 17, 0, 4)))
        );
        assert!(matches!(pool.claim(Ipv4Addr::new(172, 18, 0, 4)), Err(IpamError::Outside(..))));
        assert!(matches!(pool.claim(Ipv4Addr::new(172, 17, 255, 255)), Err(IpamError::Outside(..))));
    }

    #[test]
    fn the_last_address_of_all_can_be_given() {
        let mut pool = Pool::new("255.255.255.254/31".parse().unwrap());
        assert!(pool.allocate().is_ok() && pool.allocate().is_ok());
        assert!(matches!(pool.allocate(), Err(IpamError::Exhausted(_))));
    }

    proptest! {
        #[test]
        fn it_behaves_as_a_set(ops in prop::collection::vec((0u8..3, 0u32..40), 1..200)) {
            let mut pool = Pool::new("10.0.0.0/27".parse().unwrap());
            let base = u32::from(Ipv4Addr::new(10, 0, 0, 0));
            let mut model = BTreeSet::new();
            for (op, n) in ops {
                let address = Ipv4Addr::from(base + n);
                match op {
                    0 => {
                        let lowest = (1..31).find(|i| !model.contains(i));
                        prop_assert_eq!(pool.allocate().ok(), lowest.map(|i| Ipv4Addr::from(base + i)));
                        model.extend(lowest);
                    }
                    1 => {
                        let free = (1..31).contains(&n) && !model.contains(&n);
                        prop_assert_eq!(pool.claim(address).is_ok(), free);
                        if free { model.insert(n); }
                    }
                    _ => { pool.release(address); model.remove(&n); }
                }
                prop_assert_eq!(pool.len(), model.len());
            }
        }
    }
}
