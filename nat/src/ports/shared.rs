//! Ports of the host for the mappings of many engines.
//!
//! The allocator says which port suits, the kernel whether it can be had: other programs have
//! ports too. One set of ports is meant for all engines of a process, so that a port that one of
//! them gives back rests in all. It is locked when a mapping begins and ends, never for a packet.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use rustix::io::{self, Errno};

use super::{FIRST_HIGH_PORT, NONE, PortAllocator, PortConfig, PortError};
use crate::{
    flow::{Endpoint, Protocol},
    time::Time,
};

/// Ports that are asked of the kernel before it is left to choose one itself.
const TRIES: usize = 16;
/// Ports of the kernel's choice that are looked at before one that rests is taken.
const PICKS: usize = 8;

/// What Linux has where nobody has set anything.
const DEFAULT_RANGE: RangeInclusive<u16> = 32_768..=60_999;
const DEFAULT_UNPRIVILEGED: u16 = FIRST_HIGH_PORT;

/// Ports of the host, shared by all that have a clone.
///
/// By default these are the host's ephemeral ports (`net.ipv4.ip_local_port_range`), so that no
/// mapping ever stands in the way of a service or of a port that somebody publishes, and for ports
/// below 1024 those below 1024, as far as this process may have them.
#[derive(Clone, Debug, Default)]
pub struct SharedPorts(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    allocator: Option<PortAllocator>,
    /// A moment on both clocks.
    epoch: Option<(Time, Instant)>,
}

impl SharedPorts {
    /// Ports as `config` says.
    #[must_use]
    pub fn new(config: PortConfig) -> Self {
        let state = State { allocator: Some(PortAllocator::new(config)), epoch: None };
        Self(Arc::new(Mutex::new(state)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds a port of `outside` for `owner`: calls `bind` with one after the other until it is
    /// content, in the end with 0, which leaves the choice to the kernel. `bind` returns the port
    /// it has got.
    ///
    /// # Errors
    /// What `bind` says; `ADDRINUSE` if no port is left.
    pub(crate) fn bind<S>(
        &self,
        protocol: Protocol,
        outside: IpAddr,
        owner: Endpoint,
        now: Time,
        mut bind: impl FnMut(u16) -> io::Result<(S, u16)>,
    ) -> io::Result<(S, u16)> {
        let mut state = self.lock();
        let now = state.instant(now);
        let ports = state.allocator();
        for _ in 0..TRIES {
            let Ok(port) = ports.allocate(protocol, outside, owner, now) else {
                return Err(Errno::ADDRINUSE);
            };
            let taken = Endpoint { ip: outside, port };
            match bind(port) {
                Ok(bound) => return Ok(bound),
                Err(Errno::ADDRINUSE) => {
                    ports.release(protocol, taken, now);
                    ports.shun(protocol, taken, now);
                }
                Err(Errno::ACCESS | Errno::PERM) if port < FIRST_HIGH_PORT && protocol != Protocol::Icmp => {
                    ports.release(protocol, taken, now);
                    ports.forbid_low(unprivileged(), port);
                }
                Err(other) => {
                    ports.release(protocol, taken, now);
                    return Err(other);
                }
            }
        }
        // Those that rest for others are held until there is one that does not.
        let mut held = Vec::new();
        loop {
            let (socket, port) = bind(0)?;
            let got = Endpoint { ip: outside, port };
            if held.len() < PICKS && ports.rests_for_another(protocol, got, owner.ip, now) {
                held.push(socket);
                continue;
            }
            // The kernel has made sure that nobody has it; what the allocator thinks is out of date.
            match ports.claim(protocol, got, owner) {
                Ok(()) | Err(PortError::Zero) => {}
                Err(_) => {
                    ports.release(protocol, got, now);
                    let _ = ports.claim(protocol, got, owner);
                }
            }
            return Ok((socket, port));
        }
    }

    /// Takes an identifier or port for `owner` that no kernel has a say in.
    ///
    /// # Errors
    /// [`PortError::Exhausted`] if none is left.
    pub(crate) fn take(
        &self,
        protocol: Protocol,
        outside: IpAddr,
        owner: Endpoint,
        now: Time,
    ) -> Result<u16, PortError> {
        let mut state = self.lock();
        let now = state.instant(now);
        state.allocator().allocate(protocol, outside, owner, now)
    }

    /// A mapping has ended: its port rests from now on.
    pub(crate) fn release(&self, protocol: Protocol, outside: Endpoint, now: Time) {
        let mut state = self.lock();
        let now = state.instant(now);
        state.allocator().release(protocol, outside, now);
    }
}

impl State {
    fn allocator(&mut self) -> &mut PortAllocator {
        self.allocator.get_or_insert_with(|| {
            let low = 1..=FIRST_HIGH_PORT - 1;
            PortAllocator::new(PortConfig { ports: ephemeral(), low, ..PortConfig::default() })
        })
    }

    /// What the engines' clock shows, on the allocator's.
    fn instant(&mut self, now: Time) -> Instant {
        let (time, instant) = *self.epoch.get_or_insert_with(|| (now, Instant::now()));
        instant + now.since(time)
    }
}

impl PortAllocator {
    /// Somebody else has the port: it is not tried again for as long as a port rests.
    fn shun(&mut self, protocol: Protocol, port: Endpoint, now: Instant) {
        let nobody = match port.ip {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        if self.claim(protocol, port, Endpoint { ip: nobody, port: 0 }).is_ok() {
            self.release(protocol, port, now);
        }
    }

    /// `port` needs a privilege; those from `first` on, which is above, need none.
    fn forbid_low(&mut self, first: u16, port: u16) {
        self.config.low =
            if first > port && first < FIRST_HIGH_PORT { first..=FIRST_HIGH_PORT - 1 } else { NONE };
        if *self.config.ports.start() < FIRST_HIGH_PORT {
            self.config.ports = FIRST_HIGH_PORT..=*self.config.ports.end();
        }
    }
}

/// The host's ephemeral ports (ip(7)).
fn ephemeral() -> RangeInclusive<u16> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    parse_range(&text.unwrap_or_default()).unwrap_or(DEFAULT_RANGE)
}

fn parse_range(text: &str) -> Option<RangeInclusive<u16>> {
    let mut ends = text.split_whitespace().map(str::parse::<u16>);
    let range = ends.next()?.ok()?.max(FIRST_HIGH_PORT)..=ends.next()?.ok()?;
    (!range.is_empty()).then_some(range)
}

/// The first port that needs no privilege (ip(7)).
fn unprivileged() -> u16 {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(DEFAULT_UNPRIVILEGED)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use super::*;

    const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    const NOW: Time = Time::from_micros(7);

    fn owner(host: u8, port: u16) -> Endpoint {
        Endpoint::new([10, 0, 0, host], port)
    }

    /// A kernel that gives every port but those in `taken`, and those below 1024 to nobody. Left
    /// to itself it chooses from 50,000 on.
    fn kernel(taken: &BTreeSet<u16>) -> impl FnMut(u16) -> io::Result<((), u16)> {
        let mut next = 50_000;
        move |port| match port {
            0 => {
                next += 1;
                Ok(((), next - 1))
            }
            1..FIRST_HIGH_PORT => Err(Errno::ACCESS),
            port if taken.contains(&port) => Err(Errno::ADDRINUSE),
            port => Ok(((), port)),
        }
    }

    fn ports(range: RangeInclusive<u16>) -> SharedPorts {
        SharedPorts::new(PortConfig { ports: range, low: 1..=1023, ..PortConfig::default() })
    }

    fn get(ports: &SharedPorts, owner: Endpoint, taken: &BTreeSet<u16>, now: Time) -> io::Result<u16> {
        ports.bind(Protocol::Udp, OUTSIDE, owner, now, kernel(taken)).map(|((), port)| port)
    }

    #[test]
    fn a_port_that_another_program_has_is_passed_over() {
        let ports = ports(40_000..=40_009);
        let taken = [40_003, 40_005].into();
        assert_eq!(get(&ports, owner(2, 40_003), &taken, NOW), Ok(40_007));
        // It is not asked for again soon, but later on it is.
        let none = BTreeSet::new();
        assert_eq!(get(&ports, owner(3, 40_003), &none, NOW), Ok(40_009));
        let later = NOW + Duration::from_mins(2);
        assert_eq!(get(&ports, owner(4, 40_003), &none, later), Ok(40_003));
    }

    #[test]
    fn rfc4787_req3_without_the_privilege_a_low_port_maps_to_a_high_one() {
        let ports = ports(40_000..=40_009);
        assert_eq!(get(&ports, owner(2, 53), &BTreeSet::new(), NOW), Ok(40_001));
        assert_eq!(get(&ports, owner(2, 123), &BTreeSet::new(), NOW), Ok(40_003));
    }

    #[test]
    fn where_everything_is_taken_the_kernel_chooses() {
        let ports = ports(40_000..=40_099);
        let taken: BTreeSet<u16> = (40_000..=40_099).collect();
        assert_eq!(get(&ports, owner(2, 9), &taken, NOW), Ok(50_000));
        ports.release(Protocol::Udp, Endpoint { ip: OUTSIDE, port: 50_000 }, NOW);
        // What rests for another is passed over as well.
        assert_eq!(get(&ports, owner(3, 9), &taken, NOW), Ok(50_001));
        assert_eq!(get(&ports, owner(2, 9), &taken, NOW), Ok(50_000));
    }

    #[test]
    fn exhausted_ports_are_told() {
        let ports = ports(40_000..=40_000);
        assert_eq!(get(&ports, owner(2, 9), &BTreeSet::new(), NOW), Ok(40_000));
        assert_eq!(get(&ports, owner(3, 9), &BTreeSet::new(), NOW), Err(Errno::ADDRINUSE));
        assert!(ports.take(Protocol::Udp, OUTSIDE, owner(3, 9), NOW).is_err());
    }

    #[test]
    fn what_the_kernel_says_of_its_ranges_is_read() {
        assert_eq!(parse_range("32768\t60999\n"), Some(32_768..=60_999));
        assert_eq!(parse_range("1 2000"), Some(1024..=2000));
        for bad in ["", "7", "9 x", "60000 40000"] {
            assert_eq!(parse_range(bad), None, "{bad}");
        }
    }
}
