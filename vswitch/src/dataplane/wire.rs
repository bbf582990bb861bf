//! The few header fields that forwarding looks at.

use packet::{Checksum, Frame, GsoKind, MacAddr};

const VLAN_8021Q: u16 = 0x8100;
const VLAN_8021AD: u16 = 0x88a8;

/// What decides where a frame goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Addresses {
    /// To whom.
    pub(super) destination: MacAddr,
    /// From whom.
    pub(super) source: MacAddr,
    /// VLAN identifier of the outermost tag, 0 without a tag or with a priority tag.
    pub(super) vlan: u16,
}

/// Reads the addresses; `None` for fewer bytes than an Ethernet header.
pub(super) fn addresses(frame: &[u8]) -> Option<Addresses> {
    let &[d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1, ref rest @ ..] = frame else { return None };
    let vlan = match (u16::from_be_bytes([t0, t1]), rest) {
        (VLAN_8021Q | VLAN_8021AD, &[hi, lo, ..]) => u16::from_be_bytes([hi, lo]) & 0xfff,
        _ => 0,
    };
    Some(Addresses {
        destination: MacAddr([d0, d1, d2, d3, d4, d5]),
        source: MacAddr([s0, s1, s2, s3, s4, s5]),
        vlan,
    })
}

/// Bytes of the Ethernet header with up to two VLAN tags.
fn link_header_len(frame: &[u8]) -> usize {
    let tagged = |at: usize| {
        frame
            .get(at..at + 2)
            .is_some_and(|t| matches!(u16::from_be_bytes([t[0], t[1]]), VLAN_8021Q | VLAN_8021AD))
    };
    match (tagged(12), tagged(16)) {
        (true, true) => 22,
        (true, false) => 18,
        _ => 14,
    }
}

/// Bytes of the longest IP packet this frame becomes on the wire. A super-frame is measured by its
/// segments, never by its own length. `None` if a super-frame's headers are not all there.
pub(super) fn longest_packet(frame: &Frame) -> Option<usize> {
    let bytes = frame.bytes();
    let link = link_header_len(bytes);
    let Some(gso) = frame.offload().gso else { return Some(bytes.len().saturating_sub(link)) };
    let Checksum::Partial { start, .. } = frame.offload().checksum else { return None };
    let start = usize::from(start);
    let header = match gso.kind {
        GsoKind::Tcp4 | GsoKind::Tcp6 => usize::from(*bytes.get(start + 12)? >> 4) * 4,
        GsoKind::UdpL4 => 8,
    };
    let headers = start.checked_add(header)?;
    let payload = bytes.len().checked_sub(headers)?;
    (headers + payload.min(usize::from(gso.size))).checked_sub(link)
}

#[cfg(test)]
mod tests {
    use packet::{Gso, Offload};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_outermost_tag_names_the_vlan() {
        let mut frame = vec![0u8; 60];
        frame[0..6].copy_from_slice(&[1; 6]);
        assert_eq!(addresses(&frame).unwrap().vlan, 0);
        frame[12..16].copy_from_slice(&[0x81, 0x00, 0xe0, 0x05]);
        assert_eq!(addresses(&frame).unwrap().vlan, 5);
        frame[12..18].copy_from_slice(&[0x88, 0xa8, 0x00, 0x07, 0x81, 0x00]);
        assert_eq!(addresses(&frame).unwrap().vlan, 7);
        assert_eq!(link_header_len(&frame), 22);
        assert_eq!(addresses(&frame[..13]), None);
        assert_eq!(addresses(&frame[..14]).unwrap().vlan, 0);
    }

    #[test]
    fn a_super_frame_is_measured_by_its_segments() {
        let mut bytes = vec![0u8; 14 + 20 + 32 + 60_000];
        bytes[34 + 12] = 8 << 4;
        let mut frame = Frame::new();
        let offload = Offload {
            checksum: Checksum::Partial { start: 34, offset: 16 },
            gso: Some(Gso { kind: GsoKind::Tcp4, ecn: false, size: 1448, hdr_len: 66 }),
        };
        frame.copy_from(&bytes, offload).unwrap();
        assert_eq!(longest_packet(&frame), Some(1500));
        frame.truncate(40);
        assert_eq!(longest_packet(&frame), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_measured(bytes in prop::collection::vec(any::<u8>(), 14..200), start in 0u16..300, size in 1u16..2000) {
            let mut frame = Frame::new();
            for gso in [None, Some(Gso { kind: GsoKind::Tcp6, ecn: false, size, hdr_len: 0 })] {
                frame.copy_from(&bytes, Offload { checksum: Checksum::Partial { start, offset: 16 }, gso }).unwrap();
                let _ = longest_packet(&frame);
                prop_assert!(addresses(&bytes).is_some());
            }
        }
    }
}
