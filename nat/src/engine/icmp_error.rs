//! ICMP errors about packets of a container (RFC 792, RFC 1812 section 4.3.2, RFC 4443).

use std::net::IpAddr;

use packet::{
    Frame,
    wire::{Icmpv4Packet, Icmpv6Packet, ethernet, icmpv4, icmpv6, ipproto, ipv4, ipv6},
};

use super::build::{self, Link, Route};

/// Most bytes of an ICMP error's packet (RFC 1812, section 4.3.2.3).
const MAX_V4: usize = 576;
/// Most bytes of an ICMPv6 error's packet (RFC 4443, section 2.4).
const MAX_V6: usize = 1280;

/// What a packet could not do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Trouble {
    /// It has no hop left.
    HopsExhausted,
    /// There is no route.
    Network,
    /// The host is not there, or there is nothing left to reach it with (RFC 6888, requirement 11).
    Host,
    /// It is forbidden.
    Prohibited,
}

impl Trouble {
    const fn v4(self) -> (u8, u8) {
        match self {
            Self::HopsExhausted => (icmpv4::kind::TIME_EXCEEDED, 0),
            Self::Network => (icmpv4::kind::UNREACHABLE, icmpv4::unreachable::NETWORK),
            Self::Host => (icmpv4::kind::UNREACHABLE, icmpv4::unreachable::HOST),
            Self::Prohibited => (icmpv4::kind::UNREACHABLE, icmpv4::unreachable::PROHIBITED),
        }
    }

    const fn v6(self) -> (u8, u8) {
        match self {
            Self::HopsExhausted => (icmpv6::kind::TIME_EXCEEDED, 0),
            Self::Network => (icmpv6::kind::UNREACHABLE, icmpv6::unreachable::NO_ROUTE),
            Self::Host => (icmpv6::kind::UNREACHABLE, icmpv6::unreachable::ADDRESS),
            Self::Prohibited => (icmpv6::kind::UNREACHABLE, icmpv6::unreachable::PROHIBITED),
        }
    }
}

/// Makes `frame` the error that `trouble` is, about the packet that begins with `quote`, its IP
/// header first. `None` if it cannot be made.
pub(crate) fn write(
    frame: &mut Frame,
    link: Link,
    route: Route,
    trouble: Trouble,
    quote: &[u8],
) -> Option<()> {
    let v6 = route.source.is_ipv6();
    let (ip_len, most) = if v6 { (ipv6::HEADER_LEN, MAX_V6) } else { (ipv4::HEADER_LEN, MAX_V4) };
    let quote = quote.get(..quote.len().min(most - ip_len - icmpv4::HEADER_LEN))?;
    let total = ethernet::HEADER_LEN + ip_len + icmpv4::HEADER_LEN + quote.len();
    let area = frame.plain_area().get_mut(..total)?;
    let protocol = if v6 { ipproto::ICMPV6 } else { ipproto::ICMP };
    let message = build::network(area, link, route, protocol)?;
    let (head, body) = message.split_at_mut_checked(icmpv4::HEADER_LEN)?;
    head.fill(0);
    body.copy_from_slice(quote);
    if let (IpAddr::V6(source), IpAddr::V6(destination)) = (route.source, route.destination) {
        let mut icmp = Icmpv6Packet::new_checked(message).ok()?;
        let (kind, code) = trouble.v6();
        icmp.set_kind(kind);
        icmp.set_code(code);
        icmp.fill_checksum(source, destination);
    } else {
        let mut icmp = Icmpv4Packet::new_checked(message).ok()?;
        let (kind, code) = trouble.v4();
        icmp.set_kind(kind);
        icmp.set_code(code);
        icmp.fill_checksum();
    }
    frame.commit_plain(total).ok()
}
