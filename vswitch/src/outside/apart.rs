//! Networks stay apart where the host has an interface on each of them.
//!
//! A translated flow leaves from the host's own sockets, and the host then has a route to every
//! container. So what one network sends out for an address of another, or around its own rules for
//! an address of its own, ends here; as Docker's isolation rules have it, without an answer.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use ipnet::IpNet;
use packet::Frame;
use packet::wire::{EthernetFrame, Ipv4Packet, Ipv6Packet, ethertype};

use crate::dataplane::DropReason;
use crate::gateway::Beyond;

/// The subnets that are not outside. Replaced as a whole while frames pass.
#[derive(Default)]
pub struct Subnets(ArcSwap<Vec<(IpAddr, IpAddr)>>);

impl Subnets {
    /// Replaces them. They do not overlap.
    pub fn set(&self, subnets: impl IntoIterator<Item = IpNet>) {
        let mut ranges: Vec<_> = subnets.into_iter().map(|net| (net.network(), net.broadcast())).collect();
        ranges.sort_unstable();
        self.0.store(Arc::new(ranges));
    }

    fn contain(&self, address: IpAddr) -> bool {
        let ranges = self.0.load();
        let next = ranges.partition_point(|(first, _)| *first <= address);
        next.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|(_, last)| address <= *last)
    }
}

/// A way out that does not lead back in.
pub struct Apart {
    beyond: Arc<dyn Beyond>,
    subnets: Arc<Subnets>,
}

impl Apart {
    /// `beyond`, but for `subnets`.
    pub fn around(beyond: Arc<dyn Beyond>, subnets: Arc<Subnets>) -> Arc<dyn Beyond> {
        Arc::new(Self { beyond, subnets })
    }
}

impl Beyond for Apart {
    fn forward(&self, worker: usize, frame: &mut Frame, scratch: &mut Frame) -> Result<(), DropReason> {
        match destination(frame.bytes()) {
            // To the gateway of its own network, from a flow that the host does not know.
            Some(address) if !self.subnets.contain(address) || self.beyond.claims(frame) => {
                self.beyond.forward(worker, frame, scratch)
            }
            Some(_) => Err(DropReason::Isolated),
            None => Err(DropReason::Malformed),
        }
    }

    fn claims(&self, frame: &Frame) -> bool {
        self.beyond.claims(frame)
    }

    fn flush(&self, worker: usize) {
        self.beyond.flush(worker);
    }
}

fn destination(frame: &[u8]) -> Option<IpAddr> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    match ethernet.ethertype() {
        ethertype::IPV4 => Some(Ipv4Packet::new_checked(ethernet.payload()).ok()?.destination().into()),
        ethertype::IPV6 => Some(Ipv6Packet::new_checked(ethernet.payload()).ok()?.destination().into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn subnets(nets: &[&str]) -> Subnets {
        let subnets = Subnets::default();
        subnets.set(nets.iter().map(|net| net.parse().unwrap()));
        subnets
    }

    #[test]
    fn the_first_and_the_last_address_of_a_subnet_are_in_it_and_their_neighbours_are_not() {
        let subnets = subnets(&["172.18.0.0/16", "fd00:1::/64", "172.17.0.0/16", "10.1.2.0/31"]);
        for inside in ["172.17.0.0", "172.18.255.255", "10.1.2.1", "fd00:1::", "fd00:1::ffff:ffff:ffff:ffff"]
        {
            assert!(subnets.contain(inside.parse().unwrap()), "{inside}");
        }
        for outside in
            ["172.16.255.255", "172.19.0.0", "10.1.2.2", "fd00:1:0:1::", "::", "0.0.0.0", "255.255.255.255"]
        {
            assert!(!subnets.contain(outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn without_subnets_everything_is_outside() {
        assert!(!subnets(&[]).contain("172.17.0.2".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn it_says_what_a_look_at_each_subnet_says(seeds in prop::collection::btree_set(any::<u8>(), 0..20), address: u32) {
            let nets: Vec<IpNet> = seeds.iter().map(|n| format!("{n}.0.0.0/9").parse().unwrap()).collect();
            let subnets = Subnets::default();
            subnets.set(nets.iter().copied());
            let address = IpAddr::from(address.to_be_bytes());
            prop_assert_eq!(subnets.contain(address), nets.iter().any(|net| net.contains(&address)));
        }
    }
}
