use packet::{checksum::complete_partial, segment::segment as cut, wire::tcp::flags};

use super::*;
use crate::{
    samples::assert_valid,
    tcp::{Header, Seq, header::SynOptions},
};

fn build(v6: bool, header: &Header, data: &[u8], mss: u16) -> Frame {
    let route = if v6 {
        Route { source: "2001:db8::1".parse().unwrap(), destination: "fd00::2".parse().unwrap() }
    } else {
        Route { source: "192.0.2.1".parse().unwrap(), destination: "10.0.0.2".parse().unwrap() }
    };
    let mut frame = Frame::new();
    let at = headers_len(v6) + header.header_len() - 20;
    frame.plain_area()[at..at + data.len()].copy_from_slice(data);
    tcp_segment(&mut frame, Link::default(), route, (80, 1234), header, data.len(), mss).unwrap();
    frame
}

#[test]
fn a_super_frame_cuts_into_segments_of_the_containers_size() {
    for v6 in [false, true] {
        let header = Header::plain(Seq(u32::MAX), Seq(7), flags::ACK | flags::PSH, 99);
        let data: Vec<u8> = (0..5000u32).map(|n| n as u8).collect();
        let frame = build(v6, &header, &data, 1440);
        let (mut out, mut sizes, mut all) = (Frame::new(), Vec::new(), Vec::new());
        cut(&frame, &mut out, |wire| {
            assert_valid(wire.bytes());
            sizes.push(wire.len() - headers_len(v6));
            all.extend_from_slice(&wire.bytes()[headers_len(v6)..]);
        })
        .unwrap();
        assert_eq!(sizes, [1440, 1440, 1440, 680]);
        assert_eq!(all, data);
    }
}

#[test]
fn options_stand_where_they_belong() {
    let syn = SynOptions { mss: 1460, scale: Some(7), sack: true };
    let header = Header { syn: Some(syn), ..Header::plain(Seq(1), Seq(2), flags::SYN, 3) };
    let mut frame = build(false, &header, b"", 0);
    complete_partial(&mut frame).unwrap();
    assert_valid(frame.bytes());
    let segment = crate::tcp::Segment::parse(&frame.bytes()[34..]).unwrap();
    assert_eq!(
        (segment.mss, segment.scale, segment.sack_permitted, segment.len),
        (Some(1460), Some(7), true, 0)
    );

    let mut header = Header::plain(Seq(1), Seq(2), flags::ACK, 3);
    header.blocks = [(Seq(1), Seq(2)), (Seq(3), Seq(4)), (Seq(5), Seq(6)), (Seq(7), Seq(8))];
    header.block_count = 4;
    let frame = build(true, &header, b"", 0);
    let segment = crate::tcp::Segment::parse(&frame.bytes()[54..]).unwrap();
    assert_eq!(segment.blocks(), header.blocks);
}

#[test]
fn a_frame_carries_whole_segments_and_fits_an_ip_packet() {
    for mss in [88, 536, 1440, 1460, 8940, 65_475] {
        for v6 in [false, true] {
            let most = most_data(v6, mss);
            assert!(most.is_multiple_of(mss.into()) || most < usize::from(mss));
            assert!(most + headers_len(v6) - ip_offset() <= 65_535);
            assert!(most > 0);
        }
    }
}
