//! Errors that containers send about what came from outside (RFC 5508, requirement 5).
//!
//! No socket sends them but a raw one. Without it they reach those that are behind the same engine
//! (requirement 7); others are counted, and then the sender outside hears nothing.

use std::{
    io::IoSlice,
    net::{IpAddr, SocketAddr},
};

use packet::{
    checksum::Delta,
    wire::{Icmpv4Packet, Ipv4Packet, Ipv6Packet, UdpPacket, icmpv4, ipproto, ipv6, udp},
};

use super::Icmp;
use crate::{
    counters::Reason,
    engine::{
        Inside,
        core::{Core, Packet},
        icmp_error::Trouble,
        outside::{QUOTE, pass_trouble},
        udp::{Facing, Udp},
    },
    flow::Endpoint,
    session::Key,
    sys::{DatagramSocket, Message},
};

/// The packet that an error quotes.
struct Quoted {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    /// Where its transport begins, in bytes from the quote's first.
    transport: usize,
}

impl Quoted {
    /// Reads the beginning of a packet. Its transport's checksum is not looked at, as it may lie
    /// over more than is quoted (RFC 5508, requirement 3c).
    fn parse(quote: &[u8], v6: bool) -> Result<Self, Reason> {
        if v6 {
            let ip = Ipv6Packet::new_truncated(quote).map_err(|_| Reason::Malformed)?;
            let (protocol, at) = ip.extensions().finish().ok_or(Reason::Malformed)?;
            let (source, destination) = (ip.source().into(), ip.destination().into());
            return Ok(Self { source, destination, protocol, transport: ipv6::HEADER_LEN + at });
        }
        let ip = Ipv4Packet::new_truncated(quote).map_err(|_| Reason::Malformed)?;
        if !ip.verify_checksum() {
            return Err(Reason::BadChecksum);
        }
        if ip.fragment_offset() != 0 {
            return Err(Reason::IcmpError);
        }
        let (source, destination) = (ip.source().into(), ip.destination().into());
        Ok(Self { source, destination, protocol: ip.protocol(), transport: ip.header_len() })
    }
}

impl Icmp {
    /// Takes the error in `message` from a container. It neither refreshes the session that it is
    /// about nor ends it (RFC 5508, requirement 6).
    pub(super) fn error_from_inside(
        &mut self,
        core: &mut Core,
        udp: &Udp,
        packet: &Packet,
        message: &[u8],
        out: &mut dyn Inside,
    ) -> Result<(), Reason> {
        let v6 = packet.source.is_ipv6();
        let quote = message.get(icmpv4::HEADER_LEN..).unwrap_or(&[]);
        let quoted = Quoted::parse(quote, v6)?;
        if quoted.protocol != ipproto::UDP {
            // What TCP has to say it says itself, and nobody is told of an answered ping.
            return Err(Reason::IcmpErrorUnsent);
        }
        let datagram = quote.get(quoted.transport..).unwrap_or(&[]);
        let ports = UdpPacket::new_truncated(datagram).map_err(|_| Reason::Malformed)?;
        let key = Key {
            inside: packet.inside,
            local: Endpoint { ip: quoted.destination, port: ports.destination_port() },
            remote: Endpoint { ip: quoted.source, port: ports.source_port() },
        };
        let facing = udp.facing(&key).ok_or(Reason::IcmpError)?;
        if facing.real.is_ipv6() != v6 {
            return Err(Reason::IcmpErrorUnsent);
        }
        if let Some(other) = udp.behind(&facing) {
            let [kind, code, _, _, w0, w1, w2, w3, ..] = *message else { return Err(Reason::Malformed) };
            let what = Trouble::Foreign(kind, code, u32::from_be_bytes([w0, w1, w2, w3]));
            let data = datagram.get(udp::HEADER_LEN..).unwrap_or(&[]);
            let offender = facing.outside.ip();
            let header = Udp::quoted_header(&other, data);
            return pass_trouble(core, &other, ipproto::UDP, offender, what, [&header, data], out);
        }
        let mut copy = [0; QUOTE];
        let len = message.len().min(copy.len());
        let copy = copy.get_mut(..len).ok_or(Reason::Malformed)?;
        copy.copy_from_slice(message.get(..len).unwrap_or(&[]));
        translate(copy, &quoted, &facing).ok_or(Reason::Malformed)?;
        let socket = self.raw_for_errors(v6)?;
        let data = [IoSlice::new(copy)];
        let sent = socket.send(&[Message {
            to: SocketAddr::new(facing.real.ip(), 0),
            data: &data,
            hops: packet.hops.saturating_sub(1),
            tos: packet.tos,
            segment: None,
            via: Some(facing.outside.ip()),
        }]);
        sent.map(|_| ()).map_err(|_| Reason::IcmpErrorUnsent)
    }

    /// A raw socket to send errors through.
    fn raw_for_errors(&mut self, v6: bool) -> Result<&DatagramSocket, Reason> {
        let at = usize::from(v6);
        if let Some(Some(socket)) = self.raw.get(at) {
            return Ok(socket);
        }
        let slot = self.unheard.get_mut(at).ok_or(Reason::IcmpErrorUnsent)?;
        if slot.is_none() {
            *slot = DatagramSocket::raw(v6, false).ok();
        }
        slot.as_ref().ok_or(Reason::IcmpErrorUnsent)
    }
}

/// Makes the packet that `message` quotes what it was outside, before it came to the container.
fn translate(message: &mut [u8], quoted: &Quoted, facing: &Facing) -> Option<()> {
    let (header, quote) = message.split_at_mut_checked(icmpv4::HEADER_LEN)?;
    let (ip, datagram) = quote.split_at_mut_checked(quoted.transport)?;
    let mut delta = Delta::NONE;
    match (facing.real.ip(), facing.outside.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut ip = Ipv4Packet::new_truncated(ip).ok()?;
            delta = delta.replace_u32(ip.source().to_bits(), source.to_bits());
            delta = delta.replace_u32(ip.destination().to_bits(), destination.to_bits());
            ip.set_source(source);
            ip.set_destination(destination);
            ip.fill_checksum();
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut ip = Ipv6Packet::new_truncated(ip).ok()?;
            delta = delta.replace_u128(ip.source().to_bits(), source.to_bits());
            delta = delta.replace_u128(ip.destination().to_bits(), destination.to_bits());
            ip.set_source(source);
            ip.set_destination(destination);
        }
        _ => return None,
    }
    let mut udp = UdpPacket::new_truncated(datagram).ok()?;
    delta = delta.replace_u16(udp.source_port(), facing.real.port());
    delta = delta.replace_u16(udp.destination_port(), facing.outside.port());
    udp.set_source_port(facing.real.port());
    udp.set_destination_port(facing.outside.port());
    udp.set_checksum(delta.apply_udp(udp.checksum()));
    header.get_mut(2..4)?.fill(0);
    if facing.real.is_ipv4() {
        Icmpv4Packet::new_checked(message).ok()?.fill_checksum();
    }
    Some(())
}
