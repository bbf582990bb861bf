//! What each primitive tests, as conditions on fields of the frame.
//!
//! The order of the tests is that of libpcap, because a test that loads outside of the frame
//! rejects it and a test before it may have decided otherwise.

use super::ast::{Primitive, Protocol, Side, Step};
use super::error::Problem;
use super::lex::Span;
use super::program::{Base, Cmp, Insn, Width, apply};

/// A condition on a frame.
#[derive(Debug)]
pub(super) enum Cond {
    Test(Test),
    /// Arithmetic that leaves two values, and how they are compared.
    Relation(Vec<Insn>, Cmp),
    All(Vec<Cond>),
    Any(Vec<Cond>),
    Not(Box<Cond>),
}

/// A masked field compared with a constant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Test {
    pub(super) base: Base,
    pub(super) offset: u32,
    pub(super) width: Width,
    pub(super) cmp: Cmp,
    pub(super) mask: u32,
    pub(super) value: u32,
}

/// The longest an 802.3 length field says; above it is an ethertype.
const MAX_802_3_LENGTH: u32 = 1500;

const IP: u32 = Protocol::IP;
const IP6: u32 = Protocol::IP6;
/// Next header of an IPv6 fragment.
const IP6_FRAGMENT: u32 = 44;
const TCP: u32 = 6;
const UDP: u32 = 17;
const ICMP6: u32 = 58;
const SCTP: u32 = 132;

/// Where the layers of the frame start, for the primitive at hand. `vlan` and `mpls` move them
/// for every primitive that is written after, whatever stands between.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layers {
    /// The ethertype.
    ethertype: u32,
    /// The payload of Ethernet.
    payload: u32,
    /// Bytes of MPLS labels before the network layer.
    labels: u32,
}

impl Layers {
    pub(super) const UNTAGGED: Self = Self { ethertype: 12, payload: 14, labels: 0 };

    /// The condition that `primitive` stands for.
    pub(super) fn condition(&mut self, primitive: &Primitive) -> Result<Cond, (Problem, Option<Span>)> {
        let bare = |problem| (problem, None);
        match *primitive {
            Primitive::Protocol(protocol) => self.protocol(protocol).map_err(bare),
            Primitive::Ipv4 { protocol, side, address, mask } => {
                self.ipv4(protocol, side, address, mask).map_err(bare)
            }
            Primitive::Ipv6 { side, address, mask } => self.ipv6(side, address.into(), mask).map_err(bare),
            Primitive::Mac { side, address } => {
                Ok(sides(side, |source| bytes(if source { 6 } else { 0 }, &address.0)))
            }
            Primitive::Ports { transport, side, first, last } => {
                self.ports(transport, side, first.into(), last.map(u32::from)).map_err(bare)
            }
            Primitive::Carried { by, number } => self.carried(by, number).map_err(bare),
            Primitive::Broadcast => Ok(bytes(0, &[0xff; 6])),
            Primitive::Multicast(Some(Protocol::Ip)) => {
                let group = self.network(16, Width::One).compare(Cmp::GreaterEqual, 224);
                Ok(Cond::All(vec![self.ethertype(IP).map_err(bare)?, group]))
            }
            Primitive::Multicast(Some(Protocol::Ip6)) => {
                let group = self.network(24, Width::One).is(255);
                Ok(Cond::All(vec![self.ethertype(IP6).map_err(bare)?, group]))
            }
            Primitive::Multicast(_) => Ok(at(0, Width::One).compare(Cmp::AnyBit, 1)),
            Primitive::Vlan(id) => self.vlan(id).map_err(bare),
            Primitive::Mpls(label) => self.mpls(label).map_err(bare),
            Primitive::Pppoed => self.ethertype(0x8863).map_err(bare),
            Primitive::Relation { ref left, cmp, negated, ref right } => {
                self.relation(left, cmp, negated, right)
            }
        }
    }

    /// A field of the network layer's header.
    fn network(self, offset: u32, width: Width) -> Test {
        at(self.payload + self.labels + offset, width)
    }

    /// A field of the transport header behind IPv4, whatever the length of its options.
    fn after_ipv4(self, offset: u32, width: Width) -> Test {
        Test { base: Base::AfterIpv4(self.payload + self.labels), offset, ..at(0, width) }
    }

    fn protocol(self, protocol: Protocol) -> Result<Cond, Problem> {
        use Protocol as P;
        let ip = |number| self.carried(Some(P::Ip), number);
        let either = |number| self.carried(None, number);
        match protocol {
            P::Ether => Err(Problem::Expected("host, src, dst, proto, broadcast, multicast or [offset]")),
            P::Ip => self.ethertype(IP),
            P::Ip6 => self.ethertype(IP6),
            P::Arp => self.ethertype(0x0806),
            P::Rarp => self.ethertype(0x8035),
            P::Tcp => either(TCP),
            P::Udp => either(UDP),
            P::Sctp => either(SCTP),
            P::Pim => either(103),
            P::Ah => either(51),
            P::Esp => either(50),
            P::Icmp => ip(1),
            P::Igmp => ip(2),
            P::Igrp => ip(9),
            P::Vrrp | P::Carp => ip(112),
            P::Icmp6 => self.carried(Some(P::Ip6), ICMP6),
            P::Atalk => self.ethertype(P::ATALK),
            P::Aarp => self.ethertype(P::AARP),
            P::Mopdl => self.ethertype(0x6001),
            P::Moprc => self.ethertype(0x6002),
            P::Decnet => self.ethertype(0x6003),
            P::Lat => self.ethertype(0x6004),
            P::Sca => self.ethertype(0x6007),
            P::Iso => self.ethertype(P::SAP_ISO),
            P::Stp => self.ethertype(P::SAP_STP),
            P::Ipx => self.ethertype(P::SAP_IPX),
            P::Netbeui => self.ethertype(P::SAP_NETBEUI),
            P::Clnp => self.carried(Some(P::Iso), 0x81),
            P::Esis => self.carried(Some(P::Iso), 0x82),
            P::Isis => self.carried(Some(P::Iso), 0x83),
        }
    }

    /// The protocol over Ethernet: an ethertype, or a service access point below 1501.
    fn ethertype(self, number: u32) -> Result<Cond, Problem> {
        use Protocol as P;
        if self.labels > 0 {
            return self.below_labels(number);
        }
        let kind = at(self.ethertype, Width::Two);
        let llc = |offset, width| at(self.payload + offset, width);
        let length = || kind.compare(Cmp::Greater, MAX_802_3_LENGTH).not();
        Ok(match number {
            P::SAP_ISO | P::SAP_IP | P::SAP_NETBEUI => {
                Cond::All(vec![length(), llc(0, Width::Two).is(number << 8 | number)])
            }
            P::SAP_IPX => {
                let framings = vec![
                    self.snap(0, P::IPX),
                    llc(0, Width::One).is(P::SAP_IPX),
                    llc(0, Width::Two).is(0xffff),
                ];
                Cond::Any(vec![kind.is(P::IPX), Cond::All(vec![length(), Cond::Any(framings)])])
            }
            P::ATALK => {
                Cond::Any(vec![kind.is(number), Cond::All(vec![length(), self.snap(0x08_0007, number)])])
            }
            P::AARP => Cond::Any(vec![kind.is(number), Cond::All(vec![length(), self.snap(0, number)])]),
            0..=MAX_802_3_LENGTH => Cond::All(vec![length(), at(self.ethertype + 2, Width::One).is(number)]),
            _ => kind.is(number),
        })
    }

    /// The SNAP header of IEEE 802.2.
    fn snap(self, organization: u32, ethertype: u32) -> Cond {
        let [_, o0, o1, o2] = organization.to_be_bytes();
        let [_, _, t0, t1] = ethertype.to_be_bytes();
        let [_, _, _, sap] = Protocol::SAP_SNAP.to_be_bytes();
        bytes(self.payload, &[sap, sap, 3, o0, o1, o2, t0, t1])
    }

    /// Behind MPLS labels nothing names the protocol: the last label is marked, and IP says its version.
    fn below_labels(self, number: u32) -> Result<Cond, Problem> {
        let version = match number {
            IP => 0x40,
            IP6 => 0x60,
            _ => return Err(Problem::AfterMpls),
        };
        let bottom = at(self.payload + self.labels - 2, Width::One).masked(1).is(1);
        Ok(Cond::All(vec![bottom, self.network(0, Width::One).masked(0xf0).is(version)]))
    }

    fn ipv4(self, protocol: Option<Protocol>, side: Side, address: u32, mask: u32) -> Result<Cond, Problem> {
        let within = |ethertype, source, destination| {
            let carrier = || self.ethertype(ethertype);
            try_sides(side, |is_source| {
                let field = self.network(if is_source { source } else { destination }, Width::Four);
                Ok(Cond::All(vec![carrier()?, field.masked(mask).is(address)]))
            })
        };
        let ip = || within(IP, 12, 16);
        let arp = || within(0x0806, 14, 24);
        let rarp = || within(0x8035, 14, 24);
        match protocol {
            Some(Protocol::Arp) => arp(),
            Some(Protocol::Rarp) => rarp(),
            None if self.labels == 0 => Ok(Cond::Any(vec![ip()?, arp()?, rarp()?])),
            _ => ip(),
        }
    }

    fn ipv6(self, side: Side, address: u128, mask: u128) -> Result<Cond, Problem> {
        try_sides(side, |is_source| {
            let mut all = vec![self.ethertype(IP6)?];
            let start = if is_source { 8 } else { 24 };
            for (offset, (address, mask)) in
                (start..).step_by(4).zip(words(address).into_iter().zip(words(mask)))
            {
                all.push(self.network(offset, Width::Four).masked(mask).is(address));
            }
            Ok(Cond::All(all))
        })
    }

    /// A port, or a range of ports, of TCP, UDP and SCTP over IPv6 without extension headers and
    /// over IPv4 in a packet that is no later fragment.
    fn ports(
        self,
        transport: Option<Protocol>,
        side: Side,
        first: u32,
        last: Option<u32>,
    ) -> Result<Cond, Problem> {
        let port = |field: Test| match last {
            None => field.is(first),
            Some(last) => Cond::All(vec![
                field.compare(Cmp::GreaterEqual, first.min(last)),
                field.compare(Cmp::Greater, first.max(last)).not(),
            ]),
        };
        let transports: &[u32] = match transport {
            Some(Protocol::Tcp) => &[TCP],
            Some(Protocol::Udp) => &[UDP],
            Some(Protocol::Sctp) => &[SCTP],
            _ => &[SCTP, TCP, UDP],
        };
        let over_ip6 = |&number: &u32| {
            let ports = sides(side, |source| port(self.network(if source { 40 } else { 42 }, Width::Two)));
            Cond::All(vec![self.network(6, Width::One).is(number), ports])
        };
        let over_ip = |&number: &u32| {
            let ports = sides(side, |source| port(self.after_ipv4(if source { 0 } else { 2 }, Width::Two)));
            Cond::All(vec![self.network(9, Width::One).is(number), self.first_fragment(), ports])
        };
        Ok(Cond::Any(vec![
            Cond::All(vec![self.ethertype(IP6)?, Cond::Any(transports.iter().map(over_ip6).collect())]),
            Cond::All(vec![self.ethertype(IP)?, Cond::Any(transports.iter().map(over_ip).collect())]),
        ]))
    }

    fn first_fragment(self) -> Cond {
        self.network(6, Width::Two).compare(Cmp::AnyBit, 0x1fff).not()
    }

    /// The protocol that a layer carries.
    fn carried(self, by: Option<Protocol>, number: u32) -> Result<Cond, Problem> {
        let osi = |offset| at(self.payload + self.labels + 3 + offset, Width::One);
        match by {
            None => Ok(Cond::Any(vec![
                self.carried(Some(Protocol::Ip), number)?,
                self.carried(Some(Protocol::Ip6), number)?,
            ])),
            Some(Protocol::Ip) => {
                Ok(Cond::All(vec![self.ethertype(IP)?, self.network(9, Width::One).is(number)]))
            }
            Some(Protocol::Ip6) => {
                let next = self.network(6, Width::One);
                let fragment = vec![next.is(IP6_FRAGMENT), self.network(40, Width::One).is(number)];
                let carried = Cond::Any(vec![next.is(number), Cond::All(fragment)]);
                Ok(Cond::All(vec![self.ethertype(IP6)?, carried]))
            }
            Some(Protocol::Iso) => Ok(Cond::All(vec![self.ethertype(Protocol::SAP_ISO)?, osi(0).is(number)])),
            Some(Protocol::Isis) => {
                Ok(Cond::All(vec![self.carried(Some(Protocol::Iso), 0x83)?, osi(4).is(number)]))
            }
            Some(_) => self.ethertype(number),
        }
    }

    fn vlan(&mut self, id: Option<u32>) -> Result<Cond, Problem> {
        if self.labels > 0 {
            return Err(Problem::AfterMpls);
        }
        let kind = at(self.ethertype, Width::Two);
        let mut all = vec![Cond::Any([0x8100, 0x88a8, 0x9100].map(|tag| kind.is(tag)).into())];
        if let Some(id) = id {
            all.push(at(self.payload, Width::Two).masked(0x0fff).is(id));
        }
        self.ethertype += 4;
        self.payload += 4;
        Ok(Cond::All(all))
    }

    fn mpls(&mut self, label: Option<u32>) -> Result<Cond, Problem> {
        let here = self.network(0, Width::Four);
        let mut all = vec![if self.labels > 0 {
            // Another label follows unless the one before is marked as the last.
            at(self.payload + self.labels - 2, Width::One).masked(1).is(0)
        } else {
            self.ethertype(0x8847)?
        }];
        if let Some(label) = label {
            all.push(here.masked(0xffff_f000).is(label << 12));
        }
        self.labels += 4;
        Ok(Cond::All(all))
    }

    fn relation(
        self,
        left: &[Step],
        cmp: Cmp,
        negated: bool,
        right: &[Step],
    ) -> Result<Cond, (Problem, Option<Span>)> {
        let (mut all, mut code) = (Vec::new(), Vec::new());
        // Each side by itself: what is folded must not reach across the comparison.
        for side in [left, right] {
            let start = code.len();
            for step in side {
                let insn = match *step {
                    Step::Number(number) => Insn::Push(number),
                    Step::Len => Insn::PushLen,
                    Step::Binary(operation) => Insn::Binary(operation),
                    Step::Negate => Insn::Negate,
                    Step::Load { protocol, width, at } => {
                        let (base, offset) =
                            self.access(protocol, &mut all).map_err(|problem| (problem, Some(at)))?;
                        Insn::Load { base, offset, width }
                    }
                };
                push_folded(&mut code, start, insn);
            }
        }
        let relation = Cond::Relation(code, cmp);
        all.push(if negated { relation.not() } else { relation });
        Ok(Cond::All(all))
    }

    /// From where offsets into the protocol's header count, and what must hold for it to be there.
    fn access(self, protocol: Protocol, guards: &mut Vec<Cond>) -> Result<(Base, u32), Problem> {
        use Protocol as P;
        let network = self.payload + self.labels;
        match protocol {
            P::Ether => Ok((Base::Frame, 0)),
            P::Ip
            | P::Ip6
            | P::Arp
            | P::Rarp
            | P::Atalk
            | P::Decnet
            | P::Lat
            | P::Sca
            | P::Moprc
            | P::Mopdl => {
                guards.push(self.protocol(protocol)?);
                Ok((Base::Frame, network))
            }
            P::Tcp | P::Udp | P::Sctp | P::Icmp | P::Igmp | P::Igrp | P::Pim | P::Vrrp | P::Carp => {
                guards.extend([self.ethertype(IP)?, self.protocol(protocol)?, self.first_fragment()]);
                Ok((Base::AfterIpv4(network), 0))
            }
            P::Icmp6 => {
                guards.extend([self.ethertype(IP6)?, self.network(6, Width::One).is(ICMP6)]);
                Ok((Base::Frame, network + 40))
            }
            _ => Err(Problem::NoAccess),
        }
    }
}

impl Cond {
    fn not(self) -> Self {
        Self::Not(Box::new(self))
    }
}

impl Test {
    fn masked(self, mask: u32) -> Self {
        Self { mask, ..self }
    }

    fn is(self, value: u32) -> Cond {
        self.compare(Cmp::Equal, value)
    }

    fn compare(self, cmp: Cmp, value: u32) -> Cond {
        Cond::Test(Self { cmp, value, ..self })
    }
}

/// A whole field at an offset of the frame.
fn at(offset: u32, width: Width) -> Test {
    Test { base: Base::Frame, offset, width, cmp: Cmp::Equal, mask: u32::MAX, value: 0 }
}

/// The frame has these bytes, an even number of them, at `offset`. Compared from the end, by four.
fn bytes(offset: u32, bytes: &[u8]) -> Cond {
    let mut all = Vec::new();
    let mut rest = bytes;
    while let Some((head, tail)) = rest.split_last_chunk::<4>() {
        let place = u32::try_from(head.len()).unwrap_or(0);
        all.push(at(offset + place, Width::Four).is(u32::from_be_bytes(*tail)));
        rest = head;
    }
    if let Some(head) = rest.first_chunk::<2>() {
        all.push(at(offset, Width::Two).is(u16::from_be_bytes(*head).into()));
    }
    Cond::All(all)
}

/// What must hold of the source, the destination, one of them or both.
fn sides(side: Side, condition: impl Fn(bool) -> Cond) -> Cond {
    match side {
        Side::Source => condition(true),
        Side::Destination => condition(false),
        Side::Either => Cond::Any(vec![condition(true), condition(false)]),
        Side::Both => Cond::All(vec![condition(true), condition(false)]),
    }
}

fn try_sides(side: Side, condition: impl Fn(bool) -> Result<Cond, Problem>) -> Result<Cond, Problem> {
    Ok(match side {
        Side::Source => condition(true)?,
        Side::Destination => condition(false)?,
        Side::Either => Cond::Any(vec![condition(true)?, condition(false)?]),
        Side::Both => Cond::All(vec![condition(true)?, condition(false)?]),
    })
}

/// Appends an instruction, or puts one in the place of constants it takes from the end of the code
/// behind `start`. A constant offset wraps at 2^32, so that `ip[-2:2]` is the ethertype.
fn push_folded(code: &mut Vec<Insn>, start: usize, insn: Insn) {
    let (taken, folded) = match (code.get(start..).unwrap_or_default(), insn) {
        (&[.., Insn::Push(value)], Insn::Negate) => (1, Some(Insn::Push(value.wrapping_neg()))),
        (&[.., Insn::Push(index)], Insn::Load { base, offset, width }) => {
            (1, Some(Insn::LoadAt { base, offset: offset.wrapping_add(index), width }))
        }
        (&[.., Insn::Push(left), Insn::Push(right)], Insn::Binary(operation)) => {
            (2, apply(operation, left, right).map(Insn::Push))
        }
        _ => (0, None),
    };
    if let Some(folded) = folded {
        code.truncate(code.len() - taken);
        code.push(folded);
    } else {
        code.push(insn);
    }
}

/// The four 32-bit words of an IPv6 address, in wire order.
fn words(value: u128) -> [u32; 4] {
    [96, 64, 32, 0].map(|shift| u32::try_from(value >> shift & u128::from(u32::MAX)).unwrap_or(0))
}
