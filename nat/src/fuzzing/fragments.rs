//! Fragments in any order, overlapping and too many.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use super::Input;
use crate::{
    classify::FragmentKey,
    config::FragmentTuning,
    engine::InsideId,
    fragments::{Head, MAX_DATA, PacketId, Part, Reassembler},
    time::Time,
};

/// What is at a place of a packet.
const fn content(id: u32, at: usize) -> u8 {
    (at as u8) ^ (at >> 8) as u8 ^ (id as u8).wrapping_mul(77)
}

/// Takes `bytes` for records of 6 bytes: container (2 bits), packet (3 bits), more (1 bit), time
/// passes (1 bit); hops; offset in units of 8 bytes; length. No packet is put together that is not the one
/// whose parts came, and no more memory is taken than there may be.
pub fn fragments(bytes: &[u8]) {
    let tuning =
        FragmentTuning { packets_per_inside: 3, packets: 6, fragments: 12, ..FragmentTuning::default() };
    let (mut reassembler, mut now, mut input) = (Reassembler::default(), Time::ZERO, Input(bytes));
    let mut data = Vec::new();
    while !input.is_empty() {
        let (what, hops, offset, len) = (input.byte(), input.byte(), input.word(), input.word());
        if what & 0x40 != 0 {
            now = now + Duration::from_secs(u64::from(hops));
            while let Some(expired) = reassembler.expire(now, tuning.timeout) {
                let first = expired.first.map(|(_, data)| data).unwrap_or_default();
                let id = expired.id.key.id;
                assert!(first.iter().enumerate().all(|(at, byte)| *byte == content(id, at)));
            }
            assert!(reassembler.oldest().is_none_or(|born| now.since(born) < tuning.timeout));
        }
        let id = u32::from(what >> 2 & 7);
        let offset = usize::from(offset & 0x1fff) * 8;
        data.clear();
        data.extend((0..usize::from(len)).map(|at| content(id, offset + at)));
        let source = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let key = FragmentKey { source, destination: source, protocol: Some(17), id };
        let id = PacketId { inside: InsideId(u32::from(what & 3)), key };
        let head = Head { protocol: 17, tos: hops & 3, hops };
        let part = Part { head, offset, more: what & 0x20 != 0, data: &data };
        if let Ok(Some(whole)) = reassembler.take(id, &part, now, &tuning) {
            assert!(!whole.data().is_empty() && whole.data().len() <= MAX_DATA);
            assert!(whole.data().iter().enumerate().all(|(at, byte)| *byte == content(key.id, at)));
            reassembler.recycle(whole);
        }
        assert!(reassembler.len() <= tuning.packets);
    }
}
