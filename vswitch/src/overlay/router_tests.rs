//! What becomes of a packet on its way through. Whole ways are in tests/overlay_segments.rs.

use packet::Offload;
use proptest::prelude::*;

use super::*;

const NEXT: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);
const OWN: MacAddr = MacAddr([6, 0, 0, 0, 0, 1]);

fn frame(bytes: &[u8]) -> Frame {
    let mut frame = Frame::new();
    frame.copy_from(bytes, Offload::NONE).unwrap();
    frame
}

fn ipv4(hops: u8, rest: [u8; 4]) -> Vec<u8> {
    let mut bytes = vec![2; 12];
    bytes.extend([8, 0, 0x45, rest[0], 0, 20, rest[1], rest[2], 0, 0, hops, rest[3], 0, 0]);
    bytes.extend([10, 1, 0, 2, 10, 2, 0, 2]);
    checksum::fill_ipv4(&mut bytes, ethernet::HEADER_LEN);
    bytes
}

proptest! {
    #[test]
    fn a_hop_is_counted_and_the_checksum_stays_right(hops in 1u8.., rest in any::<[u8; 4]>()) {
        let before = ipv4(hops, rest);
        let mut passed = frame(&before);
        count_hop(&mut passed).unwrap();
        prop_assert_eq!(passed.bytes(), ipv4(hops - 1, rest));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 14..80), kind in 0..3) {
        let mut bytes = bytes;
        match kind {
            0 => bytes[12..14].copy_from_slice(&[8, 0]),
            1 => bytes[12..14].copy_from_slice(&[0x86, 0xdd]),
            _ => {}
        }
        if let Some(packet) = read(&bytes) {
            let mut passed = frame(&bytes);
            prop_assert_eq!(count_hop(&mut passed).is_some(), packet.hops > 0);
            prop_assert_eq!(passed.len(), bytes.len());
        }
    }
}

#[test]
fn a_hop_of_ipv6_is_counted_and_nothing_else_changes() {
    let mut bytes = vec![2; 12];
    bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, 59, 64]);
    bytes.extend([7; 32]);
    let mut passed = frame(&bytes);
    count_hop(&mut passed).unwrap();
    bytes[21] = 63;
    assert_eq!(passed.bytes(), bytes);
}

#[test]
fn a_frame_is_the_next_hops_and_can_be_made_what_it_was() {
    let bytes = ipv4(64, [0; 4]);
    let mut passed = frame(&bytes);
    let (to, from) = readdress(&mut passed, NEXT, OWN).unwrap();
    assert_eq!((&passed.bytes()[..6], &passed.bytes()[6..12]), (&NEXT.0[..], &OWN.0[..]));
    readdress(&mut passed, to, from).unwrap();
    assert_eq!(passed.bytes(), bytes);
}
