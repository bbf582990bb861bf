//! Resets for TCP segments that nobody expects (RFC 9293, section 3.10.7.1).

use std::net::IpAddr;

use packet::checksum::Sum;
use packet::wire::tcp::{self, flags};
use packet::wire::{TcpPacket, ipproto};

use super::build::{self, Header4, Header6, Link, put};
use super::udp;

/// Bytes of the longest frame with a reset.
pub(super) const MAX_FRAME: usize = build::V6 + tcp::HEADER_LEN;

/// The reset for `segment`, which went from `peer` to the gateway's `own` address, both of one
/// IP version. None for a reset.
pub(super) fn answer(
    out: &mut [u8],
    link: Link,
    (own, peer): (IpAddr, IpAddr),
    segment: &TcpPacket<&[u8]>,
) -> Option<usize> {
    if segment.has_flags(flags::RST) {
        return None;
    }
    let (len, body) = match (own, peer) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let header = Header4::whole(source, destination, ipproto::TCP);
            (build::V4 + tcp::HEADER_LEN, build::ipv4(out, link, &header, tcp::HEADER_LEN)?)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let header = Header6 { source, destination, next: ipproto::TCP, class: 0, hops: build::TTL };
            (build::V6 + tcp::HEADER_LEN, build::ipv6(out, link, &header, tcp::HEADER_LEN)?)
        }
        _ => return None,
    };
    let mut reset = TcpPacket::new_written(&mut *body).ok()?;
    reset.set_source_port(segment.destination_port());
    reset.set_destination_port(segment.source_port());
    if segment.has_flags(flags::ACK) {
        reset.set_flags(flags::RST);
        reset.set_sequence(segment.acknowledgment());
    } else {
        // SYN and FIN take a sequence number each.
        let controls = (segment.flags() & (flags::SYN | flags::FIN)).count_ones();
        let taken = u32::try_from(segment.payload().len()).ok()?.wrapping_add(controls);
        reset.set_flags(flags::RST | flags::ACK);
        reset.set_acknowledgment(segment.sequence().wrapping_add(taken));
    }
    let sum = udp::pseudo(own, peer, ipproto::TCP, tcp::HEADER_LEN)? + Sum::of(body);
    put(body, CHECKSUM_AT, sum.checksum().to_be_bytes());
    Some(len)
}

const CHECKSUM_AT: usize = 16;

#[cfg(test)]
mod tests {
    use etherparse::{SlicedPacket, TransportSlice};
    use packet::wire::Headers;
    use packet::wire::tcp::flags::{ACK, FIN, PSH, RST, SYN};

    use super::super::samples::{self, GATEWAY, GATEWAY6, HOST, HOST6, assert_right};
    use super::*;

    /// Sequence, acknowledgment, RST and ACK of the reset for such a segment.
    fn reset(v6: bool, numbers: (u32, u32, u8), payload: &[u8]) -> Option<(u32, u32, bool, bool)> {
        let (peer, own): (IpAddr, IpAddr) =
            if v6 { (HOST6.into(), GATEWAY6.into()) } else { (HOST.into(), GATEWAY.into()) };
        let frame = samples::tcp_frame((peer, 4000), (own, 81), numbers, payload);
        let ip = Headers::parse(&frame).unwrap().ip.unwrap();
        let segment = TcpPacket::new_checked(&frame[ip.l4..ip.end]).unwrap();
        let mut out = [0xaa; MAX_FRAME];
        let link = Link { to: samples::host_mac(), from: samples::gateway_mac() };
        let len = answer(&mut out, link, (own, peer), &segment)?;
        assert_right(&out[..len]);
        let parsed = SlicedPacket::from_ethernet(&out[..len]).unwrap();
        let Some(TransportSlice::Tcp(tcp)) = parsed.transport else { panic!("{parsed:?}") };
        assert_eq!((tcp.source_port(), tcp.destination_port(), tcp.payload()), (81, 4000, &[][..]));
        Some((tcp.sequence_number(), tcp.acknowledgment_number(), tcp.rst(), tcp.ack()))
    }

    #[test]
    fn a_syn_is_refused() {
        for v6 in [false, true] {
            assert_eq!(reset(v6, (100, 0, SYN), &[]), Some((0, 101, true, true)));
        }
        assert_eq!(reset(false, (u32::MAX, 0, SYN | FIN), b"abc"), Some((0, 4, true, true)));
    }

    #[test]
    fn a_segment_of_no_connection_is_reset_where_it_expects_it() {
        assert_eq!(reset(false, (100, 77, ACK | PSH), b"data"), Some((77, 0, true, false)));
        assert_eq!(reset(true, (100, 77, SYN | ACK), &[]), Some((77, 0, true, false)));
    }

    #[test]
    fn a_reset_is_not_answered() {
        assert_eq!(reset(false, (100, 77, RST), &[]), None);
        assert_eq!(reset(false, (100, 77, RST | ACK), &[]), None);
    }
}
