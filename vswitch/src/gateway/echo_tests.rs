use packet::wire::Headers;
use proptest::prelude::*;

use super::super::samples::{GATEWAY, GATEWAY6, HOST, HOST6, assert_right, echo, gateway_mac, host_mac};
use super::*;

const LINK: Link =
    Link { to: packet::MacAddr([2, 0x42, 172, 18, 0, 2]), from: packet::MacAddr([2, 0x42, 172, 18, 0, 1]) };

fn reply(requests: &mut Requests, now_ms: u32, frame: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![0xaa; 70_000];
    let ip = Headers::parse(frame)?.ip?;
    let len = if frame[14] >> 4 == 4 {
        answer4(requests, now_ms, LINK, &Ipv4Packet::new_checked(&frame[14..]).unwrap(), &mut out)?
    } else {
        let packet = Ipv6Packet::new_checked(&frame[14..]).unwrap();
        let l4 = ip.l4 - build::V6;
        answer6(requests, now_ms, (LINK, packet.destination()), (&packet, l4), &mut out)?
    };
    out.truncate(len);
    Some(out)
}

/// Cuts a packet into fragments with `piece` bytes each, as a host would.
fn fragments(frame: &[u8], piece: usize, id: u8) -> Vec<Vec<u8>> {
    let v6 = frame[14] >> 4 == 6;
    let (head, data) = frame.split_at(if v6 { 54 } else { 34 });
    let count = data.len().div_ceil(piece);
    let cut = |(i, data): (usize, &[u8])| {
        let (offset, more) = (i * piece, i + 1 < count);
        let mut out = head.to_vec();
        if v6 {
            out[18..20].copy_from_slice(&((8 + data.len()) as u16).to_be_bytes());
            out[20] = 44;
            out.extend([58, 0]);
            out.extend((offset as u16 | u16::from(more)).to_be_bytes());
            out.extend([0, 0, 0, id]);
        } else {
            out[16..18].copy_from_slice(&((20 + data.len()) as u16).to_be_bytes());
            out[18..20].copy_from_slice(&[0, id]);
            out[20..22].copy_from_slice(&((offset / 8) as u16 | u16::from(more) << 13).to_be_bytes());
            packet::checksum::fill_ipv4(&mut out, 14);
        }
        out.extend(data);
        out
    };
    data.chunks(piece).enumerate().map(cut).collect()
}

/// Puts fragments together again.
fn joined(frames: &[Vec<u8>]) -> Vec<u8> {
    let v6 = frames[0][14] >> 4 == 6;
    let (at, data) = if v6 { (54, 62) } else { (34, 34) };
    let mut whole = frames[0][..at].to_vec();
    for frame in frames {
        whole.extend(&frame[data..]);
    }
    let len = whole.len();
    if v6 {
        whole[18..20].copy_from_slice(&((len - 54) as u16).to_be_bytes());
        whole[20] = 58;
    } else {
        whole[16..18].copy_from_slice(&((len - 14) as u16).to_be_bytes());
        whole[20..22].fill(0);
        packet::checksum::fill_ipv4(&mut whole, 14);
    }
    whole
}

fn check(reply: &[u8], v6: bool, data: &[u8]) {
    assert_right(reply);
    assert_eq!((&reply[..6], &reply[6..12]), (&host_mac().0[..], &gateway_mac().0[..]));
    let parsed = etherparse::SlicedPacket::from_ethernet(reply).unwrap();
    match parsed.transport.unwrap() {
        etherparse::TransportSlice::Icmpv4(icmp) if !v6 => {
            assert!(
                matches!(icmp.icmp_type(), etherparse::Icmpv4Type::EchoReply(e) if (e.id, e.seq) == (0x1234, 1))
            );
            assert_eq!(icmp.payload(), data);
        }
        etherparse::TransportSlice::Icmpv6(icmp) if v6 => {
            assert!(
                matches!(icmp.icmp_type(), etherparse::Icmpv6Type::EchoReply(e) if (e.id, e.seq) == (0x1234, 1))
            );
            assert_eq!(icmp.payload(), data);
        }
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn any_size_comes_back_whole_or_in_fragments(len in 0usize..9000, piece in 1usize..200, v6: bool, zero: bool) {
        let data: Vec<u8> = (0..len).map(|i| if zero { 0 } else { i as u8 }).collect();
        let (host, gateway) = if v6 { (HOST6.into(), GATEWAY6.into()) } else { (HOST.into(), GATEWAY.into()) };
        let request = echo(host, gateway, &data);
        let mut requests = Requests::default();
        check(&reply(&mut requests, 0, &request).unwrap(), v6, &data);
        let replies: Option<Vec<_>> =
            fragments(&request, piece * 8, 9).iter().map(|f| reply(&mut requests, 0, f)).collect();
        check(&joined(&replies.unwrap()), v6, &data);
    }
}

#[test]
fn a_checksum_over_nothing_but_zeroes_is_right() {
    let mut request = echo(HOST.into(), GATEWAY.into(), &[0; 64]);
    request[36..42].fill(0);
    let sum = packet::checksum::Sum::of(&request[34..]).checksum();
    request[36..38].copy_from_slice(&sum.to_be_bytes());
    let mut requests = Requests::default();
    assert_right(&reply(&mut requests, 0, &request).unwrap());
    let replies: Vec<_> =
        fragments(&request, 32, 1).iter().filter_map(|f| reply(&mut requests, 0, f)).collect();
    assert_right(&joined(&replies));
}

#[test]
fn fragments_without_a_first_are_not_thrown_back() {
    for (host, gateway) in [(HOST.into(), GATEWAY.into()), (HOST6.into(), GATEWAY6.into())] {
        let pieces = fragments(&echo(host, gateway, &[1; 100]), 40, 1);
        let mut requests = Requests::default();
        assert_eq!(reply(&mut requests, 0, &pieces[1]), None);
        assert!(reply(&mut requests, 0, &pieces[0]).is_some());
        assert!(reply(&mut requests, 0, &pieces[2]).is_some());
        assert_eq!(reply(&mut requests, 0, &pieces[1]), None, "the last one ends it");
        assert!(reply(&mut requests, 0, &pieces[0]).is_some());
        assert_eq!(reply(&mut requests, PATIENCE_MS, &pieces[1]), None, "too late");
    }
}

#[test]
fn a_new_long_request_takes_the_place_of_the_oldest() {
    let mut requests = Requests::default();
    let pieces: Vec<_> = (0..=REQUESTS as u8)
        .map(|id| fragments(&echo(HOST.into(), GATEWAY.into(), &[1; 60]), 40, id))
        .collect();
    assert!(pieces.iter().all(|p| reply(&mut requests, 0, &p[0]).is_some()));
    assert_eq!(reply(&mut requests, 0, &pieces[0][1]), None);
    assert!(pieces[1..].iter().all(|p| reply(&mut requests, 0, &p[1]).is_some()));
}

#[test]
fn only_requests_are_answered() {
    let mut requests = Requests::default();
    for kind in (0..=255).filter(|&k| k != 8) {
        let mut frame = echo(HOST.into(), GATEWAY.into(), &[1; 60]);
        frame[34] = kind;
        assert_eq!(reply(&mut requests, 0, &frame), None);
        assert_eq!(reply(&mut requests, 0, &fragments(&frame, 40, 1)[0]), None);
    }
    let mut frame = echo(HOST6.into(), GATEWAY6.into(), &[]);
    frame[54] = 129;
    assert_eq!(reply(&mut requests, 0, &frame), None);
}
