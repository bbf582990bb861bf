//! What IP carries: TCP, UDP, ICMP, IGMP and the names of the rest.

use std::fmt::{self, Write as _};

use etherparse::{IpNumber, LaxIpPayloadSlice, TcpOptionElement, TcpSlice, TransportSlice};

use super::icmp;

/// Source and destination port, of protocols that have them.
pub(super) fn ports(transport: &TransportSlice<'_>) -> Option<(u16, u16)> {
    match transport {
        TransportSlice::Tcp(tcp) => Some((tcp.source_port(), tcp.destination_port())),
        TransportSlice::Udp(udp) => Some((udp.source_port(), udp.destination_port())),
        _ => None,
    }
}

/// Gives the bytes of payload where there may be segments of it.
pub(super) fn write(
    out: &mut String,
    transport: Option<&TransportSlice<'_>>,
    payload: &LaxIpPayloadSlice<'_>,
    missing: usize,
) -> Result<Option<usize>, fmt::Error> {
    match transport {
        Some(TransportSlice::Tcp(tcp)) => {
            let length = tcp.payload().len() + missing;
            write_tcp(out, tcp, length)?;
            Ok(Some(length))
        }
        Some(TransportSlice::Udp(udp)) => {
            // The length field of a super-frame need not be that of all its datagrams.
            let length = payload.payload.len().saturating_sub(udp.header_slice().len()) + missing;
            write!(out, "UDP, length {length}")?;
            Ok(Some(length))
        }
        Some(TransportSlice::Icmpv4(message)) => {
            icmp::write_v4(out, message, missing)?;
            Ok(None)
        }
        Some(TransportSlice::Icmpv6(message)) => {
            icmp::write_v6(out, message, missing)?;
            Ok(None)
        }
        Some(TransportSlice::Igmp(message)) => {
            let kind = match message.type_u8() {
                0x11 => "query",
                0x12 => "v1 report",
                0x16 => "v2 report",
                0x17 => "leave",
                0x22 => "v3 report",
                other => return write!(out, "IGMP type {other:#04x}").map(|()| None),
            };
            write!(out, "IGMP {kind}")?;
            Ok(None)
        }
        None => {
            write!(out, "{}, length {}", name(payload.ip_number), payload.payload.len() + missing)?;
            Ok(None)
        }
    }
}

fn write_tcp(out: &mut String, tcp: &TcpSlice<'_>, length: usize) -> fmt::Result {
    out.push_str("TCP [");
    let flags = [
        (tcp.fin(), 'F'),
        (tcp.syn(), 'S'),
        (tcp.rst(), 'R'),
        (tcp.psh(), 'P'),
        (tcp.urg(), 'U'),
        (tcp.ece(), 'E'),
        (tcp.cwr(), 'W'),
        (tcp.ack(), '.'),
    ];
    out.extend(flags.into_iter().filter(|(set, _)| *set).map(|(_, letter)| letter));
    if flags.iter().all(|(set, _)| !set) {
        out.push_str("none");
    }
    out.push(']');
    let sequence = tcp.sequence_number();
    // Sequence numbers wrap, so the end may be below the start.
    let end = sequence.wrapping_add(length as u32);
    if length > 0 {
        write!(out, ", seq {sequence}:{end}")?;
    } else if tcp.syn() || tcp.fin() || tcp.rst() {
        write!(out, ", seq {sequence}")?;
    }
    if tcp.ack() {
        write!(out, ", ack {}", tcp.acknowledgment_number())?;
    }
    write!(out, ", win {}", tcp.window_size())?;
    if tcp.syn() {
        write_options(out, tcp)?;
    }
    write!(out, ", length {length}")
}

/// What the ends agree on when a connection opens.
fn write_options(out: &mut String, tcp: &TcpSlice<'_>) -> fmt::Result {
    for option in tcp.options_iterator().flatten() {
        match option {
            TcpOptionElement::MaximumSegmentSize(size) => write!(out, ", mss {size}")?,
            TcpOptionElement::WindowScale(shift) => write!(out, ", wscale {shift}")?,
            TcpOptionElement::SelectiveAcknowledgementPermitted => out.push_str(", sackOK"),
            TcpOptionElement::Timestamp(..) => out.push_str(", TS"),
            TcpOptionElement::Noop | TcpOptionElement::SelectiveAcknowledgement(..) => {}
        }
    }
    Ok(())
}

/// The usual name of a protocol over IP.
pub(super) fn name(number: IpNumber) -> Name {
    Name(number)
}

/// Displays as the name, or as `protocol` and the number.
pub(super) struct Name(IpNumber);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpNumber::TCP => f.write_str("TCP"),
            IpNumber::UDP => f.write_str("UDP"),
            IpNumber::ICMP => f.write_str("ICMP"),
            IpNumber::IPV6_ICMP => f.write_str("ICMPv6"),
            IpNumber::IGMP => f.write_str("IGMP"),
            IpNumber::SCTP => f.write_str("SCTP"),
            IpNumber::GRE => f.write_str("GRE"),
            IpNumber::IPV4 => f.write_str("IPv4 in IP"),
            IpNumber::IPV6 => f.write_str("IPv6 in IP"),
            IpNumber::ENCAPSULATING_SECURITY_PAYLOAD => f.write_str("ESP"),
            IpNumber(number) => write!(f, "protocol {number}"),
        }
    }
}
