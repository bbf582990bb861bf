//! ICMP and ICMPv6 messages, by the types of RFC 792, RFC 4443, RFC 4861 and RFC 3810.

use std::fmt::{self, Write as _};
use std::net::Ipv6Addr;

use etherparse::{Icmpv4Slice, Icmpv6Slice, LaxNetSlice, LaxSlicedPacket};

use super::transport;

pub(super) fn write_v4(out: &mut String, message: &Icmpv4Slice<'_>, missing: usize) -> fmt::Result {
    let [id0, id1, value0, value1] = message.bytes5to8();
    let (id, value) = (u16::from_be_bytes([id0, id1]), u16::from_be_bytes([value0, value1]));
    out.push_str("ICMP ");
    match (message.type_u8(), message.code_u8()) {
        (0, _) => write!(out, "echo reply, id {id}, seq {value}")?,
        (8, _) => write!(out, "echo request, id {id}, seq {value}")?,
        (3, 4) => write!(out, "fragmentation needed, mtu {value}")?,
        (3, code) => match code {
            0 => out.push_str("network unreachable"),
            1 => out.push_str("host unreachable"),
            2 => out.push_str("protocol unreachable"),
            3 => out.push_str("port unreachable"),
            9 | 10 | 13 => out.push_str("prohibited"),
            code => write!(out, "unreachable, code {code}")?,
        },
        (5, _) => {
            let [a, b, c, d] = message.bytes5to8();
            write!(out, "redirect to {}", std::net::Ipv4Addr::new(a, b, c, d))?;
        }
        (9, _) => out.push_str("router advertisement"),
        (10, _) => out.push_str("router solicitation"),
        (11, 0) => out.push_str("time to live exceeded"),
        (11, _) => out.push_str("reassembly time exceeded"),
        (12, _) => out.push_str("parameter problem"),
        (13, _) => write!(out, "timestamp request, id {id}, seq {value}")?,
        (14, _) => write!(out, "timestamp reply, id {id}, seq {value}")?,
        (kind, code) => write!(out, "type {kind}, code {code}")?,
    }
    if matches!(message.type_u8(), 3 | 5 | 11 | 12) {
        write_cause(out, message.payload())?;
    }
    write!(out, ", length {}", message.slice().len() + missing)
}

pub(super) fn write_v6(out: &mut String, message: &Icmpv6Slice<'_>, missing: usize) -> fmt::Result {
    let bytes = message.bytes5to8();
    let [id0, id1, value0, value1] = bytes;
    let (id, value) = (u16::from_be_bytes([id0, id1]), u16::from_be_bytes([value0, value1]));
    // The target of neighbour discovery follows the first 8 bytes.
    let target = message.payload().first_chunk::<16>().map(|target| Ipv6Addr::from(*target));
    out.push_str("ICMPv6 ");
    match (message.type_u8(), message.code_u8()) {
        (1, 0) => out.push_str("no route"),
        (1, 1) => out.push_str("prohibited"),
        (1, 3) => out.push_str("address unreachable"),
        (1, 4) => out.push_str("port unreachable"),
        (1, code) => write!(out, "unreachable, code {code}")?,
        (2, _) => write!(out, "packet too big, mtu {}", u32::from_be_bytes(bytes))?,
        (3, 0) => out.push_str("hop limit exceeded"),
        (3, _) => out.push_str("reassembly time exceeded"),
        (4, _) => out.push_str("parameter problem"),
        (128, _) => write!(out, "echo request, id {id}, seq {value}")?,
        (129, _) => write!(out, "echo reply, id {id}, seq {value}")?,
        (130, _) => out.push_str("listener query"),
        (131, _) => out.push_str("listener report"),
        (132, _) => out.push_str("listener done"),
        (133, _) => out.push_str("router solicitation"),
        (134, _) => {
            let [hops, _, _, _] = bytes;
            write!(out, "router advertisement, hop limit {hops}, lifetime {value} s")?;
        }
        (kind @ (135 | 136), _) => {
            let says =
                if kind == 135 { "neighbor solicitation, who has" } else { "neighbor advertisement, tgt is" };
            match target {
                Some(target) => write!(out, "{says} {target}")?,
                None => write!(out, "{says} [cut]")?,
            }
        }
        (137, _) => out.push_str("redirect"),
        (143, _) => out.push_str("listener report v2"),
        (kind, code) => write!(out, "type {kind}, code {code}")?,
    }
    if matches!(message.type_u8(), 1..=4) {
        write_cause(out, message.payload())?;
    }
    write!(out, ", length {}", message.slice().len() + missing)
}

/// The packet that an error message is about, as far as the message has it. Errors are about no
/// errors, so this goes one level deep.
fn write_cause(out: &mut String, packet: &[u8]) -> fmt::Result {
    let Ok(packet) = LaxSlicedPacket::from_ip(packet) else { return Ok(()) };
    let (source, destination, number) = match &packet.net {
        Some(LaxNetSlice::Ipv4(ip)) => {
            let header = ip.header();
            (header.source_addr().into(), header.destination_addr().into(), ip.payload().ip_number)
        }
        Some(LaxNetSlice::Ipv6(ip)) => {
            let header = ip.header();
            let (source, destination): (std::net::IpAddr, std::net::IpAddr) =
                (header.source_addr().into(), header.destination_addr().into());
            (source, destination, ip.payload().ip_number)
        }
        _ => return Ok(()),
    };
    // The first 8 bytes are all an error must bring, and all that ports need.
    let ports = packet.ip_payload().filter(|payload| !payload.fragmented && matches!(number.0, 6 | 17 | 132));
    match ports.and_then(|payload| payload.payload.first_chunk::<4>()) {
        Some(&[from0, from1, to0, to1]) => {
            let (from, to) = (u16::from_be_bytes([from0, from1]), u16::from_be_bytes([to0, to1]));
            write!(out, " for {source}.{from} > {destination}.{to} {}", transport::name(number))
        }
        None => write!(out, " for {source} > {destination} {}", transport::name(number)),
    }
}
