//! Frames made to order with etherparse, and its judgement of them, for tests.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{
    IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header, Ipv6Extensions, Ipv6Header, Ipv6RawExtHeader, NetSlice,
    PacketBuilder, SlicedPacket, TransportSlice,
};
use packet::{Checksum, Frame, Gso, GsoKind, Offload, checksum::Sum, wire::Headers};
use proptest::prelude::*;

use crate::flow::{Endpoint, FlowKey, Transport};

/// What a frame shall look like.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "switches that are free of each other")]
pub struct Sample {
    /// The flow it belongs to.
    pub key: FlowKey,
    /// VLAN tags, 0 to 2.
    pub tags: usize,
    /// IPv4 options, or IPv6 destination options.
    pub options: bool,
    /// Hops left.
    pub hops: u8,
    /// UDP without a checksum.
    pub no_checksum: bool,
    /// The checksum is still to be completed.
    pub partial: bool,
    /// A super-frame of segments with so many bytes; partial too.
    pub gso: Option<u16>,
    /// Bytes behind the packet.
    pub padding: usize,
    /// What is in the packet.
    pub payload: Vec<u8>,
}

/// A flow from `source` to `destination`, its far end's port 0 for an echo.
pub fn key(transport: Transport, source: (IpAddr, u16), destination: (IpAddr, u16)) -> FlowKey {
    let mut key = FlowKey {
        transport,
        source: Endpoint::new(source.0, source.1),
        destination: Endpoint::new(destination.0, destination.1),
    };
    match transport {
        Transport::EchoRequest => key.destination.port = 0,
        Transport::EchoReply => key.source.port = 0,
        Transport::Tcp | Transport::Udp => {}
    }
    key
}

/// A datagram from 10.0.0.1:7 to 10.0.0.2:53.
impl Default for Sample {
    fn default() -> Self {
        let source = (Ipv4Addr::new(10, 0, 0, 1).into(), 7);
        let destination = (Ipv4Addr::new(10, 0, 0, 2).into(), 53);
        Self {
            key: key(Transport::Udp, source, destination),
            tags: 0,
            options: false,
            hops: 64,
            no_checksum: false,
            partial: false,
            gso: None,
            padding: 0,
            payload: b"question".to_vec(),
        }
    }
}

/// Any address of one IP version.
pub fn any_ip(v6: bool) -> BoxedStrategy<IpAddr> {
    if v6 {
        any::<[u8; 16]>().prop_map(|b| Ipv6Addr::from(b).into()).boxed()
    } else {
        any::<[u8; 4]>().prop_map(|b| Ipv4Addr::from(b).into()).boxed()
    }
}

/// Any flow of one IP version.
pub fn any_key(v6: bool) -> impl Strategy<Value = FlowKey> {
    let transport = prop::sample::select(vec![
        Transport::Tcp,
        Transport::Udp,
        Transport::EchoRequest,
        Transport::EchoReply,
    ]);
    (transport, (any_ip(v6), any::<u16>()), (any_ip(v6), any::<u16>())).prop_map(|(t, s, d)| key(t, s, d))
}

/// Any frame that can be translated.
pub fn any_sample(v6: bool) -> impl Strategy<Value = Sample> {
    let switches = (any::<bool>(), any::<bool>(), any::<bool>());
    let payload = prop::collection::vec(any::<u8>(), 0..200);
    (any_key(v6), 0usize..3, 2u8.., switches, prop::option::of(2..60u16), 0..20usize, payload).prop_map(
        |(key, tags, hops, (options, no_checksum, partial), gso, padding, payload)| {
            let port = matches!(key.transport, Transport::Tcp | Transport::Udp);
            let gso = gso.filter(|size| port && payload.len() > usize::from(*size));
            let udp = key.transport == Transport::Udp;
            let partial = partial || gso.is_some();
            let no_checksum = no_checksum && udp && !partial;
            Sample { key, tags, options, hops, no_checksum, partial, gso, padding, payload }
        },
    )
}

impl Sample {
    /// The frame.
    pub fn build(&self) -> Frame {
        let mut bytes = self.bytes();
        let headers = Headers::parse(&bytes).unwrap();
        let ip = headers.ip.unwrap();
        let udp = self.key.transport == Transport::Udp;
        let offset = match self.key.transport {
            Transport::Tcp => 16,
            Transport::Udp => 6,
            _ => 2,
        };
        let mut offload = Offload::NONE;
        if self.no_checksum {
            bytes[ip.l4 + offset..][..2].fill(0);
        } else if self.partial {
            let pseudo = if ip.protocol == 1 {
                Sum::ZERO
            } else {
                Sum::pseudo(&bytes, headers.l3, &ip, ip.end - ip.l4)
            };
            bytes[ip.l4 + offset..][..2].copy_from_slice(&pseudo.fold().to_be_bytes());
            let start = u16::try_from(ip.l4).unwrap();
            offload.checksum = Checksum::Partial { start, offset: u16::try_from(offset).unwrap() };
        }
        if let Some(size) = self.gso {
            let kind = match (udp, self.key.source.ip.is_ipv6()) {
                (true, _) => GsoKind::UdpL4,
                (false, false) => GsoKind::Tcp4,
                (false, true) => GsoKind::Tcp6,
            };
            let hdr_len = u16::try_from(ip.payload.unwrap()).unwrap();
            offload.gso = Some(Gso { kind, ecn: false, size, hdr_len });
        }
        bytes.extend(std::iter::repeat_n(0xaa, self.padding));
        let mut frame = Frame::new();
        frame.copy_from(&bytes, offload).unwrap();
        frame
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
        for tag in [[0x88, 0xa8, 0, 7], [0x81, 0x00, 0, 5]].iter().skip(2 - self.tags) {
            bytes.extend(tag);
        }
        let (ip, ether): (_, u16) = match (self.key.source.ip, self.key.destination.ip) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let mut ip =
                    Ipv4Header::new(0, self.hops, IpNumber::UDP, source.octets(), destination.octets())
                        .unwrap();
                ip.identification = 77;
                if self.options {
                    // Two no operations and a router alert (RFC 2113), padded.
                    ip.options = [1, 1, 148, 4, 0, 0, 0, 0].into();
                }
                (IpHeaders::Ipv4(ip, Ipv4Extensions::default()), 0x0800)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let ip = Ipv6Header {
                    hop_limit: self.hops,
                    source: source.octets(),
                    destination: destination.octets(),
                    ..Ipv6Header::default()
                };
                let raw = Ipv6RawExtHeader::new_raw(IpNumber::UDP, &[1, 4, 0, 0, 0, 0]).unwrap();
                let extensions = Ipv6Extensions {
                    destination_options: self.options.then_some(raw),
                    ..Ipv6Extensions::default()
                };
                (IpHeaders::Ipv6(ip, extensions), 0x86dd)
            }
            _ => panic!("a flow of two IP versions"),
        };
        bytes.extend(ether.to_be_bytes());
        let v6 = self.key.source.ip.is_ipv6();
        let (source, destination) = (self.key.source.port, self.key.destination.port);
        let builder = PacketBuilder::ip(ip);
        match (self.key.transport, v6) {
            (Transport::Tcp, _) => {
                builder.tcp(source, destination, 1000, 501).ack(7).write_to_vec(&mut bytes, &self.payload)
            }
            (Transport::Udp, _) => builder.udp(source, destination).write_to_vec(&mut bytes, &self.payload),
            (Transport::EchoRequest, false) => {
                builder.icmpv4_echo_request(source, 3).write_to_vec(&mut bytes, &self.payload)
            }
            (Transport::EchoReply, false) => {
                builder.icmpv4_echo_reply(destination, 3).write_to_vec(&mut bytes, &self.payload)
            }
            (Transport::EchoRequest, true) => {
                builder.icmpv6_echo_request(source, 3).write_to_vec(&mut bytes, &self.payload)
            }
            (Transport::EchoReply, true) => {
                builder.icmpv6_echo_reply(destination, 3).write_to_vec(&mut bytes, &self.payload)
            }
        }
        .unwrap();
        bytes
    }
}

/// Every checksum in `frame` is what etherparse computes; a UDP checksum of 0 is right.
pub fn assert_valid(frame: &[u8]) {
    let sliced = SlicedPacket::from_ethernet(frame).unwrap();
    let transport = sliced.transport.unwrap();
    match sliced.net.unwrap() {
        NetSlice::Ipv4(ip) => {
            let header = ip.header().to_header();
            assert_eq!(header.header_checksum, header.calc_header_checksum());
            let (source, destination) = (header.source, header.destination);
            match transport {
                TransportSlice::Tcp(tcp) => {
                    let sum = tcp.calc_checksum_ipv4(source, destination).unwrap();
                    assert_eq!(tcp.checksum(), sum);
                }
                TransportSlice::Udp(udp) => {
                    let sum = udp.to_header().calc_checksum_ipv4_raw(source, destination, udp.payload());
                    assert!(udp.checksum() == 0 || udp.checksum() == sum.unwrap());
                }
                TransportSlice::Icmpv4(icmp) => {
                    assert_eq!(icmp.checksum(), icmp.icmp_type().calc_checksum(icmp.payload()));
                }
                other => panic!("{other:?}"),
            }
        }
        NetSlice::Ipv6(ip) => {
            let header = ip.header().to_header();
            let (source, destination) = (header.source, header.destination);
            match transport {
                TransportSlice::Tcp(tcp) => {
                    let sum = tcp.calc_checksum_ipv6(source, destination).unwrap();
                    assert_eq!(tcp.checksum(), sum);
                }
                TransportSlice::Udp(udp) => {
                    let sum = udp.to_header().calc_checksum_ipv6_raw(source, destination, udp.payload());
                    assert!(udp.checksum() == 0 || udp.checksum() == sum.unwrap());
                }
                TransportSlice::Icmpv6(icmp) => assert!(icmp.is_checksum_valid(source, destination)),
                other => panic!("{other:?}"),
            }
        }
        NetSlice::Arp(_) => panic!("ARP"),
    }
}
