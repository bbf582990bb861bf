//! An expression as it was written: primitives with their qualifiers resolved.

use std::net::Ipv6Addr;

use super::lex::Span;
use super::program::{Cmp, Width};
use crate::MacAddr;

/// An expression. Its depth is the depth of its parentheses and `not`s.
#[derive(Clone, Debug)]
pub(super) enum Expr {
    Primitive(Primitive, Span),
    Not(Box<Expr>),
    /// `and` and `or` have equal precedence and group to the left.
    Chain(Box<Expr>, Vec<(Junction, Expr)>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Junction {
    And,
    Or,
}

/// One test of a frame.
#[derive(Clone, Debug)]
pub(super) enum Primitive {
    Protocol(Protocol),
    /// An IPv4 host or net; without a protocol in IPv4, ARP and RARP.
    Ipv4 {
        protocol: Option<Protocol>,
        side: Side,
        address: u32,
        mask: u32,
    },
    Ipv6 {
        side: Side,
        address: Ipv6Addr,
        mask: u128,
    },
    Mac {
        side: Side,
        address: MacAddr,
    },
    Ports {
        transport: Option<Protocol>,
        side: Side,
        first: u16,
        /// `None` for `port`, which tests for equality.
        last: Option<u16>,
    },
    /// `proto`: what the protocol carries; without one, IPv4 or IPv6.
    Carried {
        by: Option<Protocol>,
        number: u32,
    },
    Broadcast,
    Multicast(Option<Protocol>),
    Vlan(Option<u32>),
    Mpls(Option<u32>),
    Pppoed,
    Relation {
        left: Arithmetic,
        cmp: Cmp,
        negated: bool,
        right: Arithmetic,
    },
}

/// Which address or port of the two.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Side {
    Source,
    Destination,
    #[default]
    Either,
    Both,
}

/// Arithmetic in postfix order, so that its depth is no depth of calls.
pub(super) type Arithmetic = Vec<Step>;

#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Number(u32),
    Len,
    /// Takes an offset, gives the bytes of the protocol's header there.
    Load {
        protocol: Protocol,
        width: Width,
        at: Span,
    },
    Binary(Binary),
    Negate,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    And,
    Or,
    Xor,
    ShiftLeft,
    ShiftRight,
}

/// Protocols that have a keyword.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Protocol {
    Ether,
    Ip,
    Ip6,
    Arp,
    Rarp,
    Tcp,
    Udp,
    Sctp,
    Icmp,
    Icmp6,
    Igmp,
    Igrp,
    Pim,
    Vrrp,
    Carp,
    Ah,
    Esp,
    Atalk,
    Aarp,
    Decnet,
    Lat,
    Sca,
    Moprc,
    Mopdl,
    Iso,
    Esis,
    Isis,
    Clnp,
    Stp,
    Ipx,
    Netbeui,
}

impl Protocol {
    /// Ethertypes with code of their own.
    pub(super) const IP: u32 = 0x0800;
    pub(super) const IP6: u32 = 0x86dd;
    pub(super) const ATALK: u32 = 0x809b;
    pub(super) const AARP: u32 = 0x80f3;
    pub(super) const IPX: u32 = 0x8137;
    /// Service access points of IEEE 802.2.
    pub(super) const SAP_IP: u32 = 0x06;
    pub(super) const SAP_STP: u32 = 0x42;
    pub(super) const SAP_SNAP: u32 = 0xaa;
    pub(super) const SAP_IPX: u32 = 0xe0;
    pub(super) const SAP_NETBEUI: u32 = 0xf0;
    pub(super) const SAP_ISO: u32 = 0xfe;

    /// The keyword.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ether => "ether",
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
            Self::Arp => "arp",
            Self::Rarp => "rarp",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
            Self::Icmp => "icmp",
            Self::Icmp6 => "icmp6",
            Self::Igmp => "igmp",
            Self::Igrp => "igrp",
            Self::Pim => "pim",
            Self::Vrrp => "vrrp",
            Self::Carp => "carp",
            Self::Ah => "ah",
            Self::Esp => "esp",
            Self::Atalk => "atalk",
            Self::Aarp => "aarp",
            Self::Decnet => "decnet",
            Self::Lat => "lat",
            Self::Sca => "sca",
            Self::Moprc => "moprc",
            Self::Mopdl => "mopdl",
            Self::Iso => "iso",
            Self::Esis => "esis",
            Self::Isis => "isis",
            Self::Clnp => "clnp",
            Self::Stp => "stp",
            Self::Ipx => "ipx",
            Self::Netbeui => "netbeui",
        }
    }
}
