//! The outer UDP source port, so that routers and receive queues of the underlay spread what is
//! inside (RFC 7348, section 5).

use packet::wire::{EthernetFrame, Headers, IpHeaders, IpVersion, Ipv4Packet, Ipv6Packet};

/// The lowest port of the dynamic range (RFC 6335, section 6), which RFC 7348 asks for.
pub const PORT_MIN: u16 = 49_152;
/// The highest port of that range.
pub const PORT_MAX: u16 = 65_535;

/// A hash of the flow that the inner `frame` belongs to: addresses, protocol and ports of TCP and
/// UDP. All fragments of a packet hash alike, so ports do not count in the first one either. Of
/// frames that are no IP the Ethernet addresses and the type count. The same on every machine.
#[inline]
pub fn flow_hash(frame: &[u8]) -> u32 {
    let Some(headers) = Headers::parse(frame) else { return 0 };
    headers.ip.and_then(|ip| hash_ip(frame, headers.l3, &ip)).unwrap_or_else(|| {
        EthernetFrame::new_checked(frame).map_or(0, |eth| {
            Mix::default()
                .word(eth.destination().to_u64())
                .word(eth.source().to_u64())
                .word(headers.ethertype.into())
                .finish()
        })
    })
}

/// The source port for a flow of hash `hash`, from [`PORT_MIN`] to [`PORT_MAX`].
#[inline]
pub const fn source_port(hash: u32) -> u16 {
    // The high bits are the best mixed ones, and 14 of them fill the range.
    PORT_MIN | (hash >> 18) as u16
}

#[inline]
fn hash_ip(frame: &[u8], l3: usize, ip: &IpHeaders) -> Option<u32> {
    let packet = frame.get(l3..)?;
    let mix = match ip.version {
        IpVersion::V4 => {
            let packet = Ipv4Packet::new_truncated(packet).ok()?;
            Mix::default().word(packet.source().to_bits().into()).word(packet.destination().to_bits().into())
        }
        IpVersion::V6 => {
            let packet = Ipv6Packet::new_truncated(packet).ok()?;
            Mix::default().wide(packet.source().to_bits()).wide(packet.destination().to_bits())
        }
    };
    if ip.fragment {
        // Nor does the protocol count: IPv6 fragments may name different ones (RFC 8200, section 4.5).
        return Some(mix.finish());
    }
    let (source, destination) = ip.ports(frame).unwrap_or((0, 0));
    let tail = u64::from(ip.protocol) << 32 | u64::from(source) << 16 | u64::from(destination);
    Some(mix.word(tail).finish())
}

/// Multiplies and folds 64-bit words; every bit of a word reaches the high bits of the result.
#[derive(Clone, Copy)]
struct Mix(u64);

impl Default for Mix {
    fn default() -> Self {
        Self(0x243f_6a88_85a3_08d3)
    }
}

impl Mix {
    /// An odd number without pattern: the golden ratio's fraction.
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

    #[inline]
    fn word(self, word: u64) -> Self {
        let product = u128::from(self.0 ^ word).wrapping_mul(u128::from(Self::FACTOR));
        // Both halves, since only the higher one has mixed the high bits and only the lower the low.
        Self((product >> 64) as u64 ^ product as u64)
    }

    #[inline]
    fn wide(self, words: u128) -> Self {
        self.word((words >> 64) as u64).word(words as u64)
    }

    #[inline]
    fn finish(self) -> u32 {
        (self.word(0).0 >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use etherparse::PacketBuilder;
    use proptest::prelude::*;

    use super::*;

    fn udp4(source: [u8; 4], port: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv4(source, [10, 0, 0, 2], 64)
            .udp(port, 53)
            .write(&mut bytes, payload)
            .unwrap();
        bytes
    }

    fn tcp6(port: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv6([1; 16], [2; 16], 64)
            .tcp(port, 443, 1, 100)
            .write(&mut bytes, payload)
            .unwrap();
        bytes
    }

    #[test]
    fn flows_spread_over_the_whole_range() {
        for frames in [
            (0..16_384).map(|i| udp4([10, 0, 0, 1], i, b"")).collect::<Vec<_>>(),
            (0..16_384).map(|i| tcp6(i, b"")).collect(),
            (0..=255u8).flat_map(|a| (0..64).map(move |b| udp4([10, 0, b, a], 7, b""))).collect(),
        ] {
            let ports: HashSet<u16> = frames.iter().map(|f| source_port(flow_hash(f))).collect();
            // 16,384 balls thrown at random into as many bins hit 63.2 % of them.
            assert!(ports.len() > 16_384 * 60 / 100, "{}", ports.len());
            let mut bins = HashMap::<u16, u32>::new();
            for port in frames.iter().map(|f| source_port(flow_hash(f))) {
                *bins.entry((port - PORT_MIN) / 1024).or_default() += 1;
            }
            assert!((0..16).all(|bin| (900..1150).contains(&bins[&bin])), "{bins:?}");
        }
    }

    #[test]
    fn fragments_of_a_packet_stay_together() {
        let mut first = udp4([10, 0, 0, 1], 7, b"01234567");
        first[20] = 0x20;
        let mut later = first.clone();
        later[20..22].copy_from_slice(&[0, 2]);
        later[34..36].fill(0xff);
        assert_eq!(flow_hash(&first), flow_hash(&later));
        assert_ne!(flow_hash(&first), flow_hash(&udp4([10, 0, 0, 1], 7, b"01234567")));
    }

    #[test]
    fn other_frames_count_by_their_addresses() {
        let mut arp = vec![0xff; 6];
        arp.extend([2, 0, 0, 0, 0, 1, 8, 6, 1, 2, 3, 4]);
        let mut other = arp.clone();
        other[11] = 2;
        assert_ne!(flow_hash(&arp), flow_hash(&other));
        other[11] = 1;
        other[17] ^= 1;
        assert_eq!(flow_hash(&arp), flow_hash(&other));
        assert_eq!(flow_hash(&[1; 13]), 0);
    }

    proptest! {
        #[test]
        fn payload_does_not_count(port in any::<u16>(), a in any::<[u8; 9]>(), b in any::<[u8; 4]>()) {
            prop_assert_eq!(flow_hash(&udp4([1, 2, 3, 4], port, &a)), flow_hash(&udp4([1, 2, 3, 4], port, &b)));
            prop_assert_eq!(flow_hash(&tcp6(port, &a)), flow_hash(&tcp6(port, &b)));
        }

        #[test]
        fn any_bytes_give_a_port_of_the_range(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert!((PORT_MIN..=PORT_MAX).contains(&source_port(flow_hash(&bytes))));
        }

        #[test]
        fn any_hash_gives_a_port_of_the_range(hash in any::<u32>()) {
            prop_assert!((PORT_MIN..=PORT_MAX).contains(&source_port(hash)));
        }
    }
}
