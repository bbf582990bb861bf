//! Who may talk to whom on a network whose stations are kept apart (Docker's `enable_icc=false`).
//!
//! As Docker's rules in the kernel's FORWARD chain: only IP is looked at, so ARP and neighbour
//! discovery pass, and a link opens the target's exposed ports to one peer, both ways.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use packet::wire::{Headers, IpHeaders, IpVersion, ipproto};

/// One port of one station that one other station may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Opening {
    /// Who may reach it.
    pub client: IpAddr,
    /// Whose port it is.
    pub server: IpAddr,
    /// IANA's number of the protocol: 6 or 17.
    pub protocol: u8,
    /// The port.
    pub port: u16,
}

/// What may pass between ports that are not trusted. Replaced as a whole.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    openings: HashSet<Opening>,
}

impl Policy {
    /// Nothing but what these say.
    pub fn new(openings: impl IntoIterator<Item = Opening>) -> Self {
        Self { openings: openings.into_iter().collect() }
    }

    /// Whether a frame may go from one station to another.
    pub(super) fn allows(&self, frame: &[u8]) -> bool {
        let Some(headers) = Headers::parse(frame) else { return false };
        let Some(ip) = headers.ip else {
            // Not IP, or IP that is not whole, which nobody needs.
            return !matches!(headers.ethertype, 0x0800 | 0x86dd);
        };
        is_neighbour_discovery(frame, &ip) || self.opens(frame, headers.l3, &ip)
    }

    fn opens(&self, frame: &[u8], l3: usize, ip: &IpHeaders) -> bool {
        // A fragment other than the first has no ports; without the first it is worth nothing, but
        // it must not be a way around the rule.
        let (Some((source_port, port)), false) = (ip.ports(frame), ip.fragment) else { return false };
        let Some((source, destination)) = addresses(frame, l3, ip.version) else { return false };
        let there = Opening { client: source, server: destination, protocol: ip.protocol, port };
        let back = Opening { client: destination, server: source, protocol: ip.protocol, port: source_port };
        self.openings.contains(&there) || self.openings.contains(&back)
    }
}

fn addresses(frame: &[u8], l3: usize, version: IpVersion) -> Option<(IpAddr, IpAddr)> {
    let packet = frame.get(l3..)?;
    Some(match version {
        IpVersion::V4 => {
            let at = |n: usize| packet.get(n..n + 4)?.try_into().ok().map(|b: [u8; 4]| Ipv4Addr::from(b));
            (at(12)?.into(), at(16)?.into())
        }
        IpVersion::V6 => {
            let at = |n: usize| packet.get(n..n + 16)?.try_into().ok().map(|b: [u8; 16]| Ipv6Addr::from(b));
            (at(8)?.into(), at(24)?.into())
        }
    })
}

/// ICMPv6 types 133 to 137 (RFC 4861), which are to IPv6 what ARP is to IPv4. They are never
/// forwarded by a router: their hop limit is 255.
fn is_neighbour_discovery(frame: &[u8], ip: &IpHeaders) -> bool {
    ip.protocol == ipproto::ICMPV6
        && !ip.fragment
        && frame.get(ip.l4).is_some_and(|kind| (133..=137).contains(kind))
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::*;

    const WEB: [u8; 4] = [172, 18, 0, 2];
    const DB: [u8; 4] = [172, 18, 0, 3];

    fn tcp(from: ([u8; 4], u16), to: ([u8; 4], u16)) -> Vec<u8> {
        let mut frame = Vec::new();
        PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv4(from.0, to.0, 64)
            .tcp(from.1, to.1, 1, 1000)
            .write(&mut frame, b"x")
            .unwrap();
        frame
    }

    #[test]
    fn only_what_is_open_passes_and_its_answers() {
        let open = Opening { client: WEB.into(), server: DB.into(), protocol: 6, port: 5432 };
        let policy = Policy::new([open]);
        assert!(policy.allows(&tcp((WEB, 40000), (DB, 5432))));
        assert!(policy.allows(&tcp((DB, 5432), (WEB, 40000))));
        assert!(!policy.allows(&tcp((WEB, 40000), (DB, 5433))));
        assert!(!policy.allows(&tcp((DB, 40000), (WEB, 5432))));
        assert!(!Policy::default().allows(&tcp((WEB, 40000), (DB, 5432))));
    }

    #[test]
    fn stations_may_look_for_each_other() {
        let mut arp = vec![0xff; 60];
        arp[12..14].copy_from_slice(&[0x08, 0x06]);
        assert!(Policy::default().allows(&arp));
        let mut ping = Vec::new();
        PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv4(WEB, DB, 64)
            .icmpv4_echo_request(1, 1)
            .write(&mut ping, b"x")
            .unwrap();
        assert!(!Policy::default().allows(&ping));
    }

    #[test]
    fn a_fragment_is_no_way_around() {
        let open = Opening { client: WEB.into(), server: DB.into(), protocol: 6, port: 5432 };
        let policy = Policy::new([open]);
        let mut frame = tcp((WEB, 40000), (DB, 5432));
        frame[20] |= 0x20;
        assert!(!policy.allows(&frame));
        frame.truncate(20);
        assert!(!policy.allows(&frame));
        assert!(!policy.allows(&[]));
    }
}
