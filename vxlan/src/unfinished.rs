//! Frames from a kernel VXLAN device on the same machine, which come as its stack left them for a
//! network card that was never there: with a partial checksum, and TCP in super-frames of one
//! datagram. (veth passes such packets on as they are, and a UDP socket takes them for whole.)

use packet::{
    Checksum, Gso, GsoKind, Offload,
    checksum::{Sum, field_offset},
    wire::{Headers, IpVersion, ipproto},
};

use crate::drop_reason::DropReason;

/// What its sender left to be done to the frame `bytes`, received over a path with room for frames of
/// `room` bytes. A checksum that equals the sum of the pseudo-header is
/// taken for partial: one in 65,536 complete ones does so too and is then computed anew.
///
/// # Errors
/// [`DropReason::Oversized`] for a UDP super-frame: where its datagrams end is not known.
#[inline]
pub(crate) fn recognise(bytes: &[u8], room: usize) -> Result<Offload, DropReason> {
    let Some(Headers { l3, ip: Some(ip), .. }) = Headers::parse(bytes) else { return Ok(Offload::NONE) };
    if !matches!(ip.protocol, ipproto::TCP | ipproto::UDP) || ip.fragment || ip.routed {
        return Ok(Offload::NONE);
    }
    let (Some(payload), Some(offset)) = (ip.payload, field_offset(ip.protocol)) else {
        return Ok(Offload::NONE);
    };
    let Some(&[a, b]) = bytes.get(ip.l4 + offset..).and_then(|field| field.first_chunk()) else {
        return Ok(Offload::NONE);
    };
    if Sum::pseudo(bytes, l3, &ip, ip.end - ip.l4).fold() != u16::from_be_bytes([a, b]) {
        return Ok(Offload::NONE);
    }
    let (Ok(start), Ok(offset)) = (u16::try_from(ip.l4), u16::try_from(offset)) else {
        return Ok(Offload::NONE);
    };
    let mut offload = Offload { checksum: Checksum::Partial { start, offset }, gso: None };
    if bytes.len() > room && ip.end == bytes.len() {
        let kind = match (ip.protocol, ip.version) {
            (ipproto::TCP, IpVersion::V4) => GsoKind::Tcp4,
            (ipproto::TCP, IpVersion::V6) => GsoKind::Tcp6,
            _ => return Err(DropReason::Oversized),
        };
        // How long the sender's segments are is lost. These would have come through.
        let size =
            room.checked_sub(payload).and_then(|size| u16::try_from(size).ok()).filter(|&size| size > 0);
        let (Some(size), Ok(hdr_len)) = (size, u16::try_from(payload)) else {
            return Err(DropReason::Oversized);
        };
        offload.gso = Some(Gso { kind, ecn: false, size, hdr_len });
    }
    Ok(offload)
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;
    use packet::{Frame, checksum::complete_partial, wire::IpHeaders};

    use super::*;

    fn frame(bytes: &[u8]) -> Frame {
        let mut frame = Frame::new();
        frame.copy_from(bytes, Offload::NONE).unwrap();
        frame
    }

    fn tcp(payload: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
        builder.tcp(7, 80, 1, 100).write(&mut bytes, &vec![3; payload]).unwrap();
        bytes
    }

    fn udp6(payload: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv6([1; 16], [2; 16], 64);
        builder.udp(7, 80).write(&mut bytes, &vec![3; payload]).unwrap();
        bytes
    }

    /// As the stack leaves a packet for a card that computes checksums.
    fn unfinish(bytes: &mut [u8]) {
        let headers = Headers::parse(bytes).unwrap();
        let ip: IpHeaders = headers.ip.unwrap();
        let pseudo = Sum::pseudo(bytes, headers.l3, &ip, ip.end - ip.l4).fold();
        let at = ip.l4 + field_offset(ip.protocol).unwrap();
        bytes[at..at + 2].copy_from_slice(&pseudo.to_be_bytes());
    }

    #[test]
    fn an_unfinished_checksum_is_known_and_can_be_finished() {
        for whole in [tcp(100), udp6(100)] {
            let mut bytes = whole.clone();
            unfinish(&mut bytes);
            let mut frame = frame(&bytes);
            frame.set_offload(recognise(&bytes, 1464).unwrap());
            assert!(matches!(frame.offload(), Offload { checksum: Checksum::Partial { .. }, gso: None }));
            complete_partial(&mut frame).unwrap();
            assert_eq!(frame.bytes(), whole);
        }
    }

    #[test]
    fn a_whole_packet_stays_as_it_is() {
        for whole in [tcp(100), udp6(100), tcp(3000), udp6(3000)] {
            assert_eq!(recognise(&whole, 1464), Ok(Offload::NONE));
        }
    }

    #[test]
    fn a_tcp_super_frame_gets_segments_that_fit_and_a_udp_one_goes() {
        let mut bytes = tcp(20_000);
        unfinish(&mut bytes);
        let mut super_frame = frame(&bytes);
        super_frame.set_offload(recognise(&bytes, 1464).unwrap());
        let gso = super_frame.offload().gso.unwrap();
        assert_eq!((gso.kind, gso.size, gso.hdr_len), (GsoKind::Tcp4, 1464 - 54, 54));
        let mut longest = 0;
        packet::segment(&super_frame, &mut Frame::new(), |s| longest = longest.max(s.len())).unwrap();
        assert_eq!(longest, 1464);
        assert_eq!(recognise(&bytes, 54), Err(DropReason::Oversized));

        let mut bytes = udp6(20_000);
        unfinish(&mut bytes);
        assert_eq!(recognise(&bytes, 1464), Err(DropReason::Oversized));
    }
}
