//! Congestion that the underlay marked, carried over to the inner packet (RFC 6040, section 4.2).

use packet::{
    checksum::update_u16,
    wire::{Headers, IpVersion},
};

use crate::drop_reason::DropReason;

const MASK: u8 = 0b11;
const NOT_ECT: u8 = 0b00;
const CE: u8 = 0b11;

/// Marks the packet in `frame` if `tos`, the outer header's field, says that the underlay was
/// congested. Frames that carry no IP are left alone. Senders here leave the outer field "not
/// ECN-capable" (RFC 6040's compatibility mode), so that only marks for other senders arrive.
///
/// # Errors
/// [`DropReason::Congestion`] if the packet cannot carry the mark: it is to be dropped then, which
/// is how its sender learns of the congestion.
#[inline]
pub fn carry_over(tos: u8, frame: &mut [u8]) -> Result<(), DropReason> {
    if is_marked(tos) { mark(frame) } else { Ok(()) }
}

/// The underlay says with this field that it was congested.
#[inline]
pub const fn is_marked(tos: u8) -> bool {
    tos & MASK == CE
}

#[cold]
fn mark(frame: &mut [u8]) -> Result<(), DropReason> {
    let Some(Headers { l3, ip: Some(ip), .. }) = Headers::parse(frame) else { return Ok(()) };
    let Some([first, second, rest @ ..]) = frame.get_mut(l3..) else { return Ok(()) };
    // The field is the second byte of IPv4 and lies across two bytes of IPv6.
    let inner = match ip.version {
        IpVersion::V4 => *second,
        IpVersion::V6 => *first << 4 | *second >> 4,
    };
    match inner & MASK {
        NOT_ECT => return Err(DropReason::Congestion),
        CE => return Ok(()),
        _ => {}
    }
    match ip.version {
        IpVersion::V4 => {
            let old = u16::from_be_bytes([*first, *second]);
            *second |= CE;
            let new = u16::from_be_bytes([*first, *second]);
            // The header checksum is in bytes 10 and 11, the ninth and tenth of the rest.
            if let Some([a, b]) = rest.get_mut(8..10) {
                let checksum = update_u16(u16::from_be_bytes([*a, *b]), old, new);
                [*a, *b] = checksum.to_be_bytes();
            }
        }
        IpVersion::V6 => *second |= CE << 4,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use etherparse::{Ipv4Header, PacketBuilder, SlicedPacket};

    use super::*;

    fn ipv4(ecn: u8) -> Vec<u8> {
        let mut header = Ipv4Header::new(8, 64, 17.into(), [10, 0, 0, 1], [10, 0, 0, 2]).unwrap();
        header.ecn = ecn.try_into().unwrap();
        let mut bytes = Vec::new();
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6])
            .ip(etherparse::IpHeaders::Ipv4(header, etherparse::Ipv4Extensions::default()));
        builder.udp(1, 2).write(&mut bytes, b"").unwrap();
        bytes
    }

    fn ipv6(ecn: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv6([1; 16], [2; 16], 64);
        builder.udp(1, 2).write(&mut bytes, b"").unwrap();
        bytes[15] |= ecn << 4;
        bytes
    }

    #[test]
    fn a_packet_that_takes_part_is_marked() {
        for ecn in [1, 2] {
            let mut frame = ipv4(ecn);
            carry_over(3, &mut frame).unwrap();
            let sliced = SlicedPacket::from_ethernet(&frame).unwrap();
            let Some(etherparse::NetSlice::Ipv4(ip)) = sliced.net else { panic!("no IPv4") };
            assert_eq!(ip.header().ecn().value(), 3);
            assert_eq!(ip.header().header_checksum(), ip.header().to_header().calc_header_checksum());
            let mut frame = ipv6(ecn);
            carry_over(0xff, &mut frame).unwrap();
            assert_eq!(frame, ipv6(3));
        }
    }

    #[test]
    fn a_packet_that_does_not_is_dropped() {
        assert_eq!(carry_over(3, &mut ipv4(0)), Err(DropReason::Congestion));
        assert_eq!(carry_over(3, &mut ipv6(0)), Err(DropReason::Congestion));
    }

    #[test]
    fn without_a_mark_nothing_changes() {
        for tos in [0, 1, 2, 0xfc] {
            let mut frame = ipv4(0);
            carry_over(tos, &mut frame).unwrap();
            assert_eq!(frame, ipv4(0));
        }
        let mut arp = [0xff; 60];
        carry_over(3, &mut arp).unwrap();
        assert_eq!(arp, [0xff; 60]);
    }
}
