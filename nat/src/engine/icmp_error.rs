//! ICMP errors about packets of a container (RFC 792, RFC 1812 section 4.3.2, RFC 4443).

use std::net::IpAddr;

use packet::{
    Frame,
    wire::{
        Icmpv4Packet, Icmpv6Packet, Ipv4Packet, Ipv6Packet, ethernet, icmpv4, icmpv6, ipproto, ipv4, ipv6,
    },
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
    /// Nobody listens at the port.
    Port,
    /// It is longer than the path takes, whose MTU in bytes this is, and may not be fragmented.
    TooBig(u32),
    /// Fragments of it never came.
    Reassembly,
    /// What somebody outside says: type, code and the word behind the checksum, in the IP version
    /// of the container.
    Foreign(u8, u8, u32),
}

impl Trouble {
    /// Type, code and the word behind the checksum.
    fn v4(self) -> (u8, u8, u32) {
        use icmpv4::{kind, unreachable};
        match self {
            Self::HopsExhausted => (kind::TIME_EXCEEDED, 0, 0),
            Self::Network => (kind::UNREACHABLE, unreachable::NETWORK, 0),
            Self::Host => (kind::UNREACHABLE, unreachable::HOST, 0),
            Self::Prohibited => (kind::UNREACHABLE, unreachable::PROHIBITED, 0),
            Self::Port => (kind::UNREACHABLE, unreachable::PORT, 0),
            Self::TooBig(mtu) => (kind::UNREACHABLE, unreachable::FRAGMENTATION_NEEDED, mtu_v4(mtu)),
            Self::Reassembly => (kind::TIME_EXCEEDED, 1, 0),
            Self::Foreign(kind, code, word) => (kind, code, word),
        }
    }

    /// The same of ICMPv6.
    fn v6(self) -> (u8, u8, u32) {
        use icmpv6::{kind, unreachable};
        match self {
            Self::HopsExhausted => (kind::TIME_EXCEEDED, 0, 0),
            Self::Network => (kind::UNREACHABLE, unreachable::NO_ROUTE, 0),
            Self::Host => (kind::UNREACHABLE, unreachable::ADDRESS, 0),
            Self::Prohibited => (kind::UNREACHABLE, unreachable::PROHIBITED, 0),
            Self::Port => (kind::UNREACHABLE, unreachable::PORT, 0),
            Self::TooBig(mtu) => (kind::PACKET_TOO_BIG, 0, mtu_v6(mtu)),
            Self::Reassembly => (kind::TIME_EXCEEDED, 1, 0),
            Self::Foreign(kind, code, word) => (kind, code, word),
        }
    }
}

/// The MTU as an ICMP error has it, within what an IPv4 path can have (RFC 791, section 3.2): never
/// 0, which means that nobody knows.
pub(crate) fn mtu_v4(mtu: u32) -> u32 {
    mtu.clamp(68, u16::MAX.into())
}

/// The same of IPv6 (RFC 8200, section 5).
pub(crate) fn mtu_v6(mtu: u32) -> u32 {
    mtu.max(1280)
}

/// Whether whoever sent the packet that begins with `quote` may be told of its fate: not of a
/// fragment other than the first, and never of an error (RFC 1122, section 3.2.2; RFC 4443,
/// section 2.4).
pub(crate) fn may_be_told(quote: &[u8]) -> bool {
    let error = |protocol, message: &[u8]| match protocol {
        ipproto::ICMP => Icmpv4Packet::new_checked(message).is_ok_and(|icmp| icmp.is_error()),
        ipproto::ICMPV6 => message.first().is_some_and(|kind| kind & 0x80 == 0),
        _ => false,
    };
    if let Ok(v4) = Ipv4Packet::new_truncated(quote) {
        let message = quote.get(v4.header_len()..).unwrap_or(&[]);
        return v4.fragment_offset() == 0 && !error(v4.protocol(), message);
    }
    let Ok(v6) = Ipv6Packet::new_truncated(quote) else { return false };
    let mut extensions = v6.extensions();
    if extensions.any(|extension| extension.fragment_word().is_some_and(|word| word & 0xfff8 != 0)) {
        return false;
    }
    // Behind headers that are not whole there is nothing to be wrong about.
    extensions
        .finish()
        .is_none_or(|(protocol, at)| !error(protocol, quote.get(ipv6::HEADER_LEN + at..).unwrap_or(&[])))
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
        let (kind, code, word) = trouble.v6();
        icmp.set_kind(kind);
        icmp.set_code(code);
        icmp.set_mtu(word);
        icmp.fill_checksum(source, destination);
    } else {
        let mut icmp = Icmpv4Packet::new_checked(message).ok()?;
        let (kind, code, word) = trouble.v4();
        icmp.set_kind(kind);
        icmp.set_code(code);
        icmp.set_ident((word >> 16) as u16);
        icmp.set_mtu(word as u16);
        icmp.fill_checksum();
    }
    frame.commit_plain(total).ok()
}
