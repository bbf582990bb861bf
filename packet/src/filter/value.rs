//! What a value means behind its qualifiers: a host, a net, a port or a protocol.

use super::ast::{Primitive, Protocol, Side};
use super::error::{FilterError, Problem};
use super::lex::{Symbol, Token};
use super::names::{self, Keyword, Registered};
use super::parse::Parser;

/// The qualifiers in front of a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Qualifiers {
    pub(super) protocol: Option<Protocol>,
    pub(super) side: Side,
    pub(super) kind: Kind,
}

/// Which kind of value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// None was written: a host.
    Default,
    Host,
    Net,
    Port,
    PortRange,
    Proto,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Default | Self::Host => "host",
            Self::Net => "net",
            Self::Port => "port",
            Self::PortRange => "portrange",
            Self::Proto => "proto",
        }
    }

    const fn expectation(self) -> &'static str {
        match self {
            Self::Default | Self::Host => "an address, as 172.17.0.2,",
            Self::Net => "a network, as 172.17.0.0/16,",
            Self::Port => "a port, as 80 or http,",
            Self::PortRange => "two ports, as 8000-8080,",
            Self::Proto => "a protocol, as 6 or \\tcp,",
        }
    }
}

impl Qualifiers {
    /// The primitive that these qualifiers and the next words make.
    pub(super) fn primitive(self, parser: &mut Parser<'_>) -> Result<Primitive, FilterError> {
        let place = parser.span();
        let Some((token, _)) = parser.next() else {
            return parser.fail(Problem::Expected(self.kind.expectation()));
        };
        let meaning = match token {
            Token::Name(name) => self.name(name),
            Token::Number(number) => self.number(number),
            Token::Dotted(text) => {
                let mask = mask(parser)?;
                self.ipv4(text, mask)
            }
            Token::Ipv6(address) => {
                let prefix = if parser.eat(Symbol::Divide) { parser.number("a prefix length")? } else { 128 };
                self.ipv6(u128::from(address), prefix)
            }
            Token::Mac(address) => self.mac().map(|side| Primitive::Mac { side, address }),
            // pcap-filter(7) wants a backslash before names that are keywords; after proto
            // nothing else can be meant.
            Token::Keyword(Keyword::Protocol(protocol)) if self.kind == Kind::Proto => {
                self.name(protocol.name())
            }
            Token::Keyword(_) | Token::Symbol(_) => Err(Problem::Expected(self.kind.expectation())),
        };
        meaning.map_err(|problem| place.error(parser.source, problem))
    }

    fn name(self, name: &str) -> Result<Primitive, Problem> {
        match self.kind {
            Kind::Default | Kind::Host if self.protocol == Some(Protocol::Ether) => {
                Err(Problem::EtherNeedsMac)
            }
            Kind::Default | Kind::Host | Kind::Net => {
                // A word that begins like a number was meant as an address.
                let digits = name.starts_with(|c: char| c.is_ascii_digit());
                Err(if digits { Problem::Ipv4 } else { Problem::Name })
            }
            Kind::Port => {
                let transport = self.transport()?;
                let Some((port, registered)) = names::service(name) else {
                    let range = name.split_once('-').is_some_and(|(first, last)| {
                        service_or_number(first).is_some() && service_or_number(last).is_some()
                    });
                    return Err(if range { Problem::RangeAsPort } else { Problem::Port });
                };
                let transport = narrow(transport, registered)?;
                Ok(Primitive::Ports { transport, side: self.side, first: port, last: None })
            }
            Kind::PortRange => {
                let transport = self.transport()?;
                let (first, last) = name
                    .match_indices('-')
                    .find_map(|(at, _)| {
                        let (first, last) = (name.get(..at)?, name.get(at + 1..)?);
                        Some((service_or_number(first)?, service_or_number(last)?))
                    })
                    .ok_or(Problem::PortRange)?;
                let registered = match (first.1, last.1) {
                    (first, last) if first == last => first,
                    _ => Registered::Both,
                };
                let transport = narrow(transport, registered)?;
                Ok(Primitive::Ports { transport, side: self.side, first: first.0, last: Some(last.0) })
            }
            Kind::Proto => {
                let number = match self.carrier()? {
                    None | Some(Protocol::Ip | Protocol::Ip6) => names::ip_protocol(name),
                    Some(Protocol::Ether) => names::ether_protocol(name),
                    Some(Protocol::Iso) => names::iso_protocol(name),
                    Some(_) => None,
                };
                let number = number.ok_or(Problem::Protocol)?;
                Ok(Primitive::Carried { by: self.protocol, number })
            }
        }
    }

    fn number(self, number: u32) -> Result<Primitive, Problem> {
        match self.kind {
            Kind::Default | Kind::Host if self.protocol == Some(Protocol::Ether) => {
                Err(Problem::EtherNeedsMac)
            }
            Kind::Default | Kind::Host => self.ipv4_bits(number, u32::MAX),
            Kind::Net => {
                let bytes = number.leading_zeros() / 8 % 4;
                self.ipv4_bits(number << (8 * bytes), u32::MAX << (8 * bytes))
            }
            Kind::Port | Kind::PortRange => {
                let transport = self.transport()?;
                let port = u16::try_from(number).map_err(|_| Problem::Port)?;
                let last = (self.kind == Kind::PortRange).then_some(port);
                Ok(Primitive::Ports { transport, side: self.side, first: port, last })
            }
            Kind::Proto => {
                self.carrier()?;
                Ok(Primitive::Carried { by: self.protocol, number })
            }
        }
    }

    fn ipv4(self, text: &str, mask: Mask<'_>) -> Result<Primitive, Problem> {
        let (address, full) = dotted(text).ok_or(Problem::Ipv4)?;
        let mask = match mask {
            Mask::None => return self.ipv4_bits(address, full),
            Mask::Prefix(bits) if bits > 32 => return Err(Problem::PrefixLength(32)),
            Mask::Prefix(bits) => u32::MAX.checked_shl(32 - bits).unwrap_or(0),
            Mask::Dotted(text) => dotted(text).ok_or(Problem::Ipv4)?.0,
        };
        if self.kind != Kind::Net {
            return Err(Problem::MaskNeedsNet);
        }
        if address & !mask != 0 {
            let network = std::net::Ipv4Addr::from(address & mask);
            return Err(Problem::NonNetworkBits(match mask.leading_ones() + mask.trailing_zeros() {
                32.. => format!("{network}/{}", mask.leading_ones()),
                _ => format!("{network} mask {}", std::net::Ipv4Addr::from(mask)),
            }));
        }
        self.ipv4_bits(address, mask)
    }

    fn ipv4_bits(self, address: u32, mask: u32) -> Result<Primitive, Problem> {
        self.address()?;
        match self.protocol {
            None | Some(Protocol::Ip | Protocol::Arp | Protocol::Rarp) => {
                Ok(Primitive::Ipv4 { protocol: self.protocol, side: self.side, address, mask })
            }
            Some(Protocol::Ether) => Err(Problem::EtherNeedsMac),
            Some(protocol) => Err(Problem::Qualifier {
                qualifier: protocol.name(),
                value: "an IPv4 address",
                hint: "write the protocol, and, then host or net",
            }),
        }
    }

    fn ipv6(self, address: u128, prefix: u32) -> Result<Primitive, Problem> {
        self.address()?;
        if prefix > 128 {
            return Err(Problem::PrefixLength(128));
        }
        if prefix != 128 && self.kind != Kind::Net {
            return Err(Problem::MaskNeedsNet);
        }
        let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
        if address & !mask != 0 {
            let network = std::net::Ipv6Addr::from(address & mask);
            return Err(Problem::NonNetworkBits(format!("{network}/{prefix}")));
        }
        match self.protocol {
            None | Some(Protocol::Ip6) => {
                Ok(Primitive::Ipv6 { side: self.side, address: address.into(), mask })
            }
            Some(Protocol::Ether) => Err(Problem::EtherNeedsMac),
            Some(protocol) => Err(Problem::Qualifier {
                qualifier: protocol.name(),
                value: "an IPv6 address",
                hint: "write the protocol, and, then host or net",
            }),
        }
    }

    fn mac(self) -> Result<Side, Problem> {
        match (self.protocol, self.kind) {
            (Some(Protocol::Ether), Kind::Default | Kind::Host) => Ok(self.side),
            _ => Err(Problem::MacNeedsEther),
        }
    }

    /// An address stands here; only these kinds have one.
    fn address(self) -> Result<(), Problem> {
        match self.kind {
            Kind::Default | Kind::Host | Kind::Net => Ok(()),
            kind => Err(Problem::Qualifier {
                qualifier: kind.name(),
                value: "an address",
                hint: "write host or net in front of an address",
            }),
        }
    }

    fn transport(self) -> Result<Option<Protocol>, Problem> {
        match self.protocol {
            None | Some(Protocol::Tcp | Protocol::Udp | Protocol::Sctp) => Ok(self.protocol),
            Some(protocol) => Err(Problem::Qualifier {
                qualifier: protocol.name(),
                value: "a port",
                hint: "only tcp, udp and sctp have ports; write the protocol, and, then port",
            }),
        }
    }

    /// The protocol before `proto`, if it says what it carries.
    fn carrier(self) -> Result<Option<Protocol>, Problem> {
        match self.protocol {
            None | Some(Protocol::Ether | Protocol::Ip | Protocol::Ip6 | Protocol::Iso | Protocol::Isis) => {
                Ok(self.protocol)
            }
            Some(protocol) => Err(Problem::Qualifier {
                qualifier: protocol.name(),
                value: "a protocol",
                hint: "write ether proto, ip proto, ip6 proto or proto",
            }),
        }
    }
}

/// What follows an IPv4 address.
#[derive(Clone, Copy)]
enum Mask<'a> {
    None,
    Prefix(u32),
    Dotted(&'a str),
}

fn mask<'a>(parser: &mut Parser<'a>) -> Result<Mask<'a>, FilterError> {
    if parser.eat(Symbol::Divide) {
        return parser.number("a prefix length, as /16,").map(Mask::Prefix);
    }
    if parser.peek() != Some(Token::Keyword(Keyword::Mask)) {
        return Ok(Mask::None);
    }
    parser.next();
    match parser.peek() {
        Some(Token::Dotted(text)) => {
            parser.next();
            Ok(Mask::Dotted(text))
        }
        _ => parser.fail(Problem::Expected("a mask, as 255.255.0.0,")),
    }
}

/// Two to four decimal parts, from the left, and the mask of the parts that are there.
fn dotted(text: &str) -> Option<(u32, u32)> {
    let mut address = 0u32;
    let mut missing = 32u32;
    for part in text.split('.') {
        let byte: u8 = part.parse().ok().filter(|_| part.bytes().all(|byte| byte.is_ascii_digit()))?;
        missing = missing.checked_sub(8)?;
        address |= u32::from(byte) << missing;
    }
    Some((address, u32::MAX.checked_shl(missing).unwrap_or(0)))
}

fn service_or_number(text: &str) -> Option<(u16, Registered)> {
    text.parse().ok().map(|port| (port, Registered::Both)).or_else(|| names::service(text))
}

/// A service restricts the transport to those it is registered for.
fn narrow(transport: Option<Protocol>, registered: Registered) -> Result<Option<Protocol>, Problem> {
    match (transport, registered) {
        (transport, Registered::Both) => Ok(transport),
        (None | Some(Protocol::Tcp), Registered::Tcp) => Ok(Some(Protocol::Tcp)),
        (None | Some(Protocol::Udp), Registered::Udp) => Ok(Some(Protocol::Udp)),
        (Some(protocol), _) => Err(Problem::Transport(protocol.name())),
    }
}
