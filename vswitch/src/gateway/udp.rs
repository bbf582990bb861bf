//! UDP datagrams (RFC 768) of the gateway, cut into fragments where they are longer than the MTU.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use packet::checksum::Sum;
use packet::wire::{UdpPacket, ipproto, ipv4, ipv6, udp};

use super::build::{self, Header4, Header6, Link, put};
use super::pool::{Buffer, Pool};

/// Bytes of the longest payload.
pub(super) const MAX_PAYLOAD: usize = 65_535 - ipv4::HEADER_LEN - udp::HEADER_LEN;

/// The way of a datagram.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    pub(super) link: Link,
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
}

/// Identifications of fragmented packets, one after the other.
pub(super) struct Identification(AtomicU32);

impl Identification {
    pub(super) fn starting_at(seed: u32) -> Self {
        Self(AtomicU32::new(seed))
    }

    fn next(&self) -> u32 {
        self.0.fetch_add(1, Relaxed)
    }
}

/// The sum of the pseudo-header; `None` between addresses of different versions.
pub(super) fn pseudo(source: IpAddr, destination: IpAddr, protocol: u8, len: usize) -> Option<Sum> {
    match (source, destination) {
        (IpAddr::V4(s), IpAddr::V4(d)) => Some(Sum::pseudo_ipv4(s, d, protocol, len)),
        (IpAddr::V6(s), IpAddr::V6(d)) => Some(Sum::pseudo_ipv6(s, d, protocol, len)),
        _ => None,
    }
}

/// Writes the header of a datagram whose payload lies behind its first 8 bytes.
pub(super) fn fill(datagram: &mut [u8], source: SocketAddr, destination: SocketAddr) -> Option<()> {
    let len = datagram.len();
    let pseudo = pseudo(source.ip(), destination.ip(), ipproto::UDP, len)?;
    let mut view = UdpPacket::new_written(&mut *datagram).ok()?;
    view.set_source_port(source.port());
    view.set_destination_port(destination.port());
    let checksum = (pseudo + Sum::of(datagram)).udp_checksum();
    UdpPacket::new_checked(datagram).ok()?.set_checksum(checksum);
    Some(())
}

/// Sends a datagram, whose payload lies behind its first 8 bytes, in as many frames as `mtu` asks
/// for. `None` if there is no such datagram: too long, or between addresses of different versions.
pub(super) fn send(
    path: &Path,
    datagram: &mut [u8],
    (mtu, ids): (usize, &Identification),
    pool: &Arc<Pool>,
    mut emit: impl FnMut(Buffer),
) -> Option<()> {
    if datagram.len() > MAX_PAYLOAD + udp::HEADER_LEN {
        return None;
    }
    fill(datagram, path.source, path.destination)?;
    let (header, extra) = match path.source {
        SocketAddr::V4(_) => (ipv4::HEADER_LEN, 0),
        SocketAddr::V6(_) => (ipv6::HEADER_LEN, ipv6::FRAGMENT_HEADER_LEN),
    };
    let overhead = packet::wire::ethernet::HEADER_LEN + header;
    if datagram.len() + header <= mtu {
        let mut frame = pool.zeroed(overhead + datagram.len());
        whole(&mut frame, path, datagram)?;
        emit(frame);
        return Some(());
    }
    let id = ids.next();
    // Every fragment but the last carries a multiple of 8 bytes.
    let piece = mtu.saturating_sub(header + extra) / 8 * 8;
    if piece == 0 {
        return None;
    }
    let last = datagram.len().div_ceil(piece) - 1;
    for (i, data) in datagram.chunks(piece).enumerate() {
        let word = u16::try_from(i * piece / 8).ok()?;
        let mut frame = pool.zeroed(overhead + extra + data.len());
        fragment(&mut frame, path, data, (id, word, i < last))?;
        emit(frame);
    }
    Some(())
}

fn whole(out: &mut [u8], path: &Path, datagram: &[u8]) -> Option<()> {
    let body = match (path.source.ip(), path.destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let header = Header4::whole(source, destination, ipproto::UDP);
            build::ipv4(out, path.link, &header, datagram.len())?
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let header = Header6 { source, destination, next: ipproto::UDP, class: 0, hops: build::TTL };
            build::ipv6(out, path.link, &header, datagram.len())?
        }
        _ => return None,
    };
    body.copy_from_slice(datagram);
    Some(())
}

/// One fragment: its identification, its offset in units of 8 bytes, and whether more follow.
fn fragment(out: &mut [u8], path: &Path, data: &[u8], (id, offset, more): (u32, u16, bool)) -> Option<()> {
    match (path.source.ip(), path.destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let fragment = offset | if more { ipv4::MORE_FRAGMENTS } else { 0 };
            let header =
                Header4 { id: id as u16, fragment, ..Header4::whole(source, destination, ipproto::UDP) };
            build::ipv4(out, path.link, &header, data.len())?.copy_from_slice(data);
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let header = Header6 { source, destination, next: ipproto::FRAGMENT, class: 0, hops: build::TTL };
            let body = build::ipv6(out, path.link, &header, ipv6::FRAGMENT_HEADER_LEN + data.len())?;
            put(body, 0, [ipproto::UDP, 0]);
            put(body, 2, (offset << 3 | u16::from(more)).to_be_bytes());
            put(body, 4, id.to_be_bytes());
            body.get_mut(ipv6::FRAGMENT_HEADER_LEN..)?.copy_from_slice(data);
        }
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use packet::wire::{Ipv4Packet, Ipv6Packet};
    use proptest::prelude::*;

    use super::super::samples::{self, GATEWAY, GATEWAY6, HOST, HOST6};
    use super::*;

    fn frames(source: IpAddr, destination: IpAddr, payload: &[u8], mtu: usize) -> Option<Vec<Vec<u8>>> {
        let link = Link { to: samples::host_mac(), from: samples::gateway_mac() };
        let path = Path { link, source: (source, 53).into(), destination: (destination, 4000).into() };
        let mut datagram = [&[0; 8], payload].concat();
        let mut frames = Vec::new();
        let ids = Identification::starting_at(5);
        send(&path, &mut datagram, (mtu, &ids), &Pool::new(4), |frame| frames.push(frame.to_vec()))?;
        Some(frames)
    }

    #[test]
    fn what_fits_is_sent_whole() {
        for (source, destination) in [(GATEWAY.into(), HOST.into()), (GATEWAY6.into(), HOST6.into())] {
            let frames = frames(source, destination, b"hello", 1280).unwrap();
            assert_eq!(frames.len(), 1);
            samples::assert_right(&frames[0]);
            let parsed = etherparse::SlicedPacket::from_ethernet(&frames[0]).unwrap();
            let Some(etherparse::TransportSlice::Udp(udp)) = parsed.transport else { panic!("{parsed:?}") };
            assert_eq!((udp.source_port(), udp.destination_port(), udp.payload()), (53, 4000, &b"hello"[..]));
        }
    }

    #[test]
    fn what_cannot_be_sent_is_not() {
        let long = vec![0; MAX_PAYLOAD + 1];
        assert!(frames(GATEWAY.into(), HOST.into(), &long, 1500).is_none());
        assert!(frames(GATEWAY.into(), HOST6.into(), b"x", 1500).is_none());
        assert!(frames(GATEWAY.into(), HOST.into(), b"xxxxxxxxx", 27).is_none());
    }

    proptest! {
        #[test]
        fn fragments_make_the_datagram_again(len in 0usize..20_000, mtu in 68usize..3000, v6: bool) {
            let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let (source, destination) = if v6 { (GATEWAY6.into(), HOST6.into()) } else { (GATEWAY.into(), HOST.into()) };
            let frames = frames(source, destination, &payload, mtu).unwrap();
            let mut whole = Vec::new();
            for (i, frame) in frames.iter().enumerate() {
                prop_assert!(frame.len() - 14 <= mtu);
                samples::assert_right(frame);
                let packet = &frame[14..];
                let (offset, more, id, data) = if v6 {
                    let ip = Ipv6Packet::new_checked(packet).unwrap();
                    let Some(fragment) = ip.extensions().next() else {
                        prop_assert_eq!(frames.len(), 1);
                        whole.extend(ip.payload());
                        continue;
                    };
                    let word = fragment.fragment_word().unwrap();
                    let id = u32::from_be_bytes(fragment.bytes[4..8].try_into().unwrap());
                    (usize::from(word & 0xfff8), word & 1 == 1, id, ip.payload()[8..].to_vec())
                } else {
                    let ip = Ipv4Packet::new_checked(packet).unwrap();
                    let id = if ip.is_fragment() { u32::from(ip.id()) } else { 5 };
                    (ip.fragment_offset(), ip.more_fragments(), id, ip.payload().to_vec())
                };
                prop_assert_eq!((offset, more, id), (whole.len(), i + 1 < frames.len(), 5));
                whole.extend(data);
            }
            prop_assert_eq!(&whole[8..], &payload[..]);
            let sum = pseudo(source, destination, 17, whole.len()).unwrap() + Sum::of(&whole);
            prop_assert!(sum.is_valid());
        }
    }
}
