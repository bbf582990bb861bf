//! What containers get, read with etherparse.

use std::net::IpAddr;

use etherparse::{IpNumber, LaxNetSlice, LaxSlicedPacket, NetSlice, SlicedPacket, TransportSlice};

use crate::samples::assert_valid;

/// A packet for a container.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Seen {
    Datagram(Datagram),
    Reply(Reply),
    Error(Error),
    /// A fragment of a packet, as a frame.
    Fragment(Vec<u8>),
    /// Something else, as a frame.
    Other(Vec<u8>),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Datagram {
    /// Which container.
    pub(super) number: u8,
    pub(super) from: (IpAddr, u16),
    pub(super) to: (IpAddr, u16),
    pub(super) hops: u8,
    pub(super) tos: u8,
    pub(super) data: Vec<u8>,
}

/// An answer to a ping.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Reply {
    pub(super) number: u8,
    pub(super) from: IpAddr,
    pub(super) to: IpAddr,
    pub(super) ident: u16,
    pub(super) sequence: u16,
    pub(super) data: Vec<u8>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Error {
    pub(super) number: u8,
    pub(super) from: IpAddr,
    pub(super) to: IpAddr,
    pub(super) kind: u8,
    pub(super) code: u8,
    /// What is behind the checksum.
    pub(super) word: u32,
    pub(super) quoted: Quoted,
}

/// The packet that an error quotes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Quoted {
    pub(super) protocol: u8,
    /// With its port, or its identifier.
    pub(super) source: (IpAddr, u16),
    /// With its port, or 0.
    pub(super) destination: (IpAddr, u16),
    /// Of a datagram.
    pub(super) data: Vec<u8>,
}

/// Source, destination, hops, type of service, and whether it is a fragment.
fn addresses(net: &NetSlice<'_>) -> (IpAddr, IpAddr, u8, u8, bool) {
    match net {
        NetSlice::Ipv4(ip) => {
            let header = ip.header();
            assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum());
            (
                header.source_addr().into(),
                header.destination_addr().into(),
                header.ttl(),
                header.to_header().dscp.value() << 2 | header.to_header().ecn.value(),
                ip.is_payload_fragmented(),
            )
        }
        NetSlice::Ipv6(ip) => {
            let header = ip.header();
            (
                header.source_addr().into(),
                header.destination_addr().into(),
                header.hop_limit(),
                header.traffic_class(),
                ip.is_payload_fragmented(),
            )
        }
        NetSlice::Arp(_) => panic!("ARP"),
    }
}

/// Reads a frame for container `number`, all of whose checksums must be right.
pub(super) fn read(number: u8, frame: &[u8]) -> Seen {
    let sliced = SlicedPacket::from_ethernet(frame).unwrap();
    let (source, destination, hops, tos, fragment) = addresses(sliced.net.as_ref().unwrap());
    if fragment {
        return Seen::Fragment(frame.to_vec());
    }
    assert_valid(frame);
    match sliced.transport.unwrap() {
        TransportSlice::Udp(udp) => Seen::Datagram(Datagram {
            number,
            from: (source, udp.source_port()),
            to: (destination, udp.destination_port()),
            hops,
            tos,
            data: udp.payload().to_vec(),
        }),
        TransportSlice::Icmpv4(message) => icmp(number, source, destination, message.slice()),
        TransportSlice::Icmpv6(message) => icmp(number, source, destination, message.slice()),
        _ => Seen::Other(frame.to_vec()),
    }
}

/// The kind of an echo reply, in IPv4 and in IPv6.
const REPLIES: [u8; 2] = [0, 129];

fn icmp(number: u8, from: IpAddr, to: IpAddr, message: &[u8]) -> Seen {
    let [kind, code, _, _, i0, i1, s0, s1, data @ ..] = message else { panic!("{message:?}") };
    let (ident, sequence) = (u16::from_be_bytes([*i0, *i1]), u16::from_be_bytes([*s0, *s1]));
    if *kind == REPLIES[usize::from(from.is_ipv6())] {
        return Seen::Reply(Reply { number, from, to, ident, sequence, data: data.to_vec() });
    }
    let word = u32::from(ident) << 16 | u32::from(sequence);
    Seen::Error(Error { number, from, to, kind: *kind, code: *code, word, quoted: quoted(data) })
}

/// Reads the packet that an error quotes, which may end anywhere.
pub(super) fn quoted(quote: &[u8]) -> Quoted {
    let sliced = LaxSlicedPacket::from_ip(quote).unwrap();
    let (source, destination, protocol, rest) = match sliced.net.unwrap() {
        LaxNetSlice::Ipv4(ip) => {
            let header = ip.header().to_header();
            assert_eq!(header.header_checksum, header.calc_header_checksum());
            let payload = ip.payload();
            (header.source.into(), header.destination.into(), payload.ip_number, payload.payload.to_vec())
        }
        LaxNetSlice::Ipv6(ip) => {
            let header = ip.header().to_header();
            let payload = ip.payload();
            (header.source.into(), header.destination.into(), payload.ip_number, payload.payload.to_vec())
        }
        LaxNetSlice::Arp(_) => panic!("ARP"),
    };
    let (source, destination): (IpAddr, IpAddr) = (source, destination);
    let word = |at: usize| u16::from_be_bytes([rest[at], rest[at + 1]]);
    let (from, to) = match protocol {
        IpNumber::ICMP | IpNumber::IPV6_ICMP => (word(4), 0),
        _ => (word(0), word(2)),
    };
    Quoted {
        protocol: protocol.0,
        source: (source, from),
        destination: (destination, to),
        data: rest[8..].to_vec(),
    }
}
