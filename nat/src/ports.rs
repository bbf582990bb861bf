//! Ports of outside addresses, given to mappings.
//!
//! - No port has two owners (RFC 4787, requirement 3: no overloading).
//! - A mapping gets its inside port if it can, else one of the same class, below 1024 or not, and
//!   the same parity where there is one (RFC 4787, requirements 3 and 4). A port of 1024 or more
//!   never maps below 1024, where the services of the outside host are.
//! - A port that is given back rests before another host gets it (RFC 6888, requirement 8). The
//!   host that had it may have it again at once: what is still on its way to that port is its own.
//! - The same requests in the same order give the same ports (RFC 4787, requirement 11).

mod bitmap;
mod pool;
mod shared;

use std::{
    collections::HashMap,
    net::IpAddr,
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use crate::{
    flow::{Endpoint, Protocol},
    ports::pool::Pool,
};

/// The first port that is not well known; a class of its own is below it (RFC 4787, section 4.2.2).
pub const FIRST_HIGH_PORT: u16 = 1024;

pub use self::shared::SharedPorts;

/// How ports are given out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortConfig {
    /// TCP and UDP ports for [`PortAllocator::allocate`]; 0 is never one of them. An empty range
    /// gives none.
    pub ports: RangeInclusive<u16>,
    /// More ports below [`FIRST_HIGH_PORT`], where `ports` has none.
    pub low: RangeInclusive<u16>,
    /// How long a port rests before another host gets it.
    pub rest: Duration,
}

impl Default for PortConfig {
    /// All ports that need no privilege, and the 120 s of RFC 6888, requirement 8.
    fn default() -> Self {
        Self { ports: FIRST_HIGH_PORT..=u16::MAX, low: NONE, rest: Duration::from_mins(2) }
    }
}

/// No ports at all.
#[allow(clippy::reversed_empty_ranges, reason = "that is how an empty one is written")]
const NONE: RangeInclusive<u16> = 1..=0;

/// Why no port was given.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PortError {
    /// Every port that could be given is owned, or rests for another host.
    #[error("no {protocol:?} port is left on {outside}")]
    Exhausted {
        /// Whose ports.
        protocol: Protocol,
        /// On which address.
        outside: IpAddr,
    },
    /// The port asked for has an owner.
    #[error("port is taken by {0}")]
    Taken(Endpoint),
    /// Port 0 was asked for.
    #[error("port 0 is none")]
    Zero,
}

/// The ports of all outside addresses, for each protocol. An owner is an inside endpoint, its host
/// that endpoint's address. One owner may have several ports: which mapping needs a port at all is
/// not decided here. Echo identifiers have neither class nor parity, and all but 0 are given out.
///
/// Nothing here reads a clock: `now` is handed in. Should it go back, ports rest longer.
#[derive(Debug)]
pub struct PortAllocator {
    config: PortConfig,
    /// A pool takes 8 KiB and stays once its address was used.
    pools: HashMap<(Protocol, IpAddr), Pool>,
}

impl PortAllocator {
    /// An allocator that has given nothing out.
    pub fn new(config: PortConfig) -> Self {
        Self { config, pools: HashMap::new() }
    }

    /// Gives `owner` a port of `outside`, as near to its own as the rules above allow.
    ///
    /// # Errors
    /// [`PortError::Exhausted`]; nobody else's port is taken away for it.
    pub fn allocate(
        &mut self,
        protocol: Protocol,
        outside: IpAddr,
        owner: Endpoint,
        now: Instant,
    ) -> Result<u16, PortError> {
        let Self { config, pools } = self;
        let pool = pools.entry((protocol, outside)).or_default();
        pool.end_rests(now, config.rest);
        let wanted = Wanted { protocol, port: owner.port };
        let port = wanted
            .tiers(config)
            .find_map(|tier| pool.choose(&tier, owner))
            .ok_or(PortError::Exhausted { protocol, outside })?;
        pool.take(port, owner);
        Ok(port)
    }

    /// Gives `owner` exactly the port `outside`, as one that is published needs it, within
    /// [`PortConfig::ports`] or not. A rest does not count: whoever publishes a port means it.
    ///
    /// # Errors
    /// [`PortError::Taken`] if it has an owner, be it the same; [`PortError::Zero`] for port 0.
    pub fn claim(&mut self, protocol: Protocol, outside: Endpoint, owner: Endpoint) -> Result<(), PortError> {
        if outside.port == 0 {
            return Err(PortError::Zero);
        }
        let pool = self.pools.entry((protocol, outside.ip)).or_default();
        if let Some(owner) = pool.owner(outside.port) {
            return Err(PortError::Taken(owner));
        }
        pool.take(outside.port, owner);
        Ok(())
    }

    /// Whether the port `outside` rests, and is not to be had by anybody but `host`.
    pub fn rests_for_another(
        &mut self,
        protocol: Protocol,
        outside: Endpoint,
        host: IpAddr,
        now: Instant,
    ) -> bool {
        let rest = self.config.rest;
        self.pools.get_mut(&(protocol, outside.ip)).is_some_and(|pool| {
            pool.end_rests(now, rest);
            pool.rests_for_another(outside.port, host)
        })
    }

    /// Takes the port `outside` back, which rests from `now` on; returns its owner, if it had one.
    pub fn release(&mut self, protocol: Protocol, outside: Endpoint, now: Instant) -> Option<Endpoint> {
        self.pools.get_mut(&(protocol, outside.ip))?.release(outside.port, now)
    }

    /// The owner of the port `outside`.
    pub fn owner(&self, protocol: Protocol, outside: Endpoint) -> Option<Endpoint> {
        self.pools.get(&(protocol, outside.ip))?.owner(outside.port)
    }

    /// How many ports of `outside` have an owner.
    pub fn owned(&self, protocol: Protocol, outside: IpAddr) -> usize {
        self.pools.get(&(protocol, outside)).map_or(0, Pool::owned)
    }
}

/// Ports that suit a request equally well.
#[derive(Clone, Debug)]
struct Tier {
    /// Never empty.
    ports: RangeInclusive<u16>,
    /// Only odd ones, or only even ones.
    odd: Option<bool>,
    /// Where to look first, if it is in `ports`.
    wanted: u16,
}

impl Tier {
    fn contains(&self, port: u16) -> bool {
        self.ports.contains(&port) && self.odd.is_none_or(|odd| odd == is_odd(port))
    }
}

/// The port a mapping has inside.
#[derive(Clone, Copy)]
struct Wanted {
    protocol: Protocol,
    port: u16,
}

impl Wanted {
    /// What would do, the best first.
    fn tiers(self, config: &PortConfig) -> impl Iterator<Item = Tier> + use<> {
        let within = |range: &RangeInclusive<u16>, from: u16, to: u16| {
            if range.is_empty() { NONE } else { from.max(*range.start())..=to.min(*range.end()) }
        };
        let low = match within(&config.ports, 1, FIRST_HIGH_PORT - 1) {
            none if none.is_empty() => within(&config.low, 1, FIRST_HIGH_PORT - 1),
            some => some,
        };
        let high = within(&config.ports, FIRST_HIGH_PORT, u16::MAX);
        let odd = is_odd(self.port);
        let tiers = match self.protocol {
            Protocol::Icmp => [Some((1..=u16::MAX, None)), None, None, None],
            Protocol::Tcp | Protocol::Udp if self.port < FIRST_HIGH_PORT => [
                Some((low.clone(), Some(odd))),
                Some((low, Some(!odd))),
                Some((high.clone(), Some(odd))),
                Some((high, Some(!odd))),
            ],
            Protocol::Tcp | Protocol::Udp => {
                [Some((high.clone(), Some(odd))), Some((high, Some(!odd))), None, None]
            }
        };
        let tiers = tiers.into_iter().flatten().filter(|(ports, _)| !ports.is_empty());
        tiers.map(move |(ports, odd)| Tier { ports, odd, wanted: self.port })
    }
}

const fn is_odd(port: u16) -> bool {
    port % 2 == 1
}

#[cfg(test)]
mod tests;
