use packet::wire::Headers;

use super::super::samples::{
    self, GATEWAY, GATEWAY6, HOST, HOST6, OUTSIDE, OUTSIDE6, assert_right, ip_frame,
};
use super::*;

const FAULTS: [(Fault, [u8; 2], [u8; 2]); 5] = [
    (Fault::NoRoute, [3, 0], [1, 0]),
    (Fault::NoNeighbour, [3, 1], [1, 3]),
    (Fault::HopLimit, [11, 0], [3, 0]),
    (Fault::Port, [3, 3], [1, 4]),
    (Fault::Protocol, [3, 2], [4, 1]),
];

fn link() -> Link {
    Link { to: samples::host_mac(), from: samples::gateway_mac() }
}

fn error(frame: &[u8], fault: Fault) -> Option<Vec<u8>> {
    let mut out = vec![0xaa; 14 + MAX_V6];
    let packet = &frame[14..];
    let len = match packet[0] >> 4 {
        4 => error4(&mut out, link(), GATEWAY, packet, fault)?,
        _ => error6(&mut out, link(), GATEWAY6, packet, fault)?,
    };
    out.truncate(len);
    assert_right(&out);
    Some(out)
}

fn may_answer(frame: &[u8]) -> bool {
    let ip = Headers::parse(frame).unwrap().ip.unwrap();
    match frame[14] >> 4 {
        4 => may_answer4(frame, &ip, &Ipv4Packet::new_checked(&frame[14..]).unwrap()),
        _ => may_answer6(frame, &ip, &Ipv6Packet::new_checked(&frame[14..]).unwrap()),
    }
}

#[test]
fn an_error_quotes_what_caused_it() {
    for (fault, v4, v6) in FAULTS {
        let frame = samples::udp_frame((HOST.into(), 1000), (OUTSIDE.into(), 2000), b"abc");
        let told = error(&frame, fault).unwrap();
        assert_eq!((&told[34..36], &told[42..]), (&v4[..], &frame[14..]));
        assert_eq!((&told[26..30], &told[30..34]), (&GATEWAY.octets()[..], &HOST.octets()[..]));
        let frame = samples::udp_frame((HOST6.into(), 1000), (OUTSIDE6.into(), 2000), b"abc");
        let told = error(&frame, fault).unwrap();
        assert_eq!((&told[54..56], &told[62..]), (&v6[..], &frame[14..]));
        assert_eq!((&told[22..38], &told[38..54]), (&GATEWAY6.octets()[..], &HOST6.octets()[..]));
    }
}

#[test]
fn the_unused_word_is_zero_and_a_parameter_problem_points_at_the_protocol() {
    let frame = ip_frame(HOST6.into(), GATEWAY6.into(), 200, &[]);
    assert_eq!(error(&frame, Fault::Protocol).unwrap()[58..62], [0, 0, 0, 6]);
    assert_eq!(error(&frame, Fault::NoRoute).unwrap()[58..62], [0; 4]);
    let extended = ip_frame(HOST6.into(), GATEWAY6.into(), 60, &[200, 0, 1, 4, 0, 0, 0, 0]);
    assert_eq!(error(&extended, Fault::Protocol), None);
}

#[test]
fn an_error_is_never_longer_than_everybody_can_take() {
    let frame = samples::udp_frame((HOST.into(), 1), (OUTSIDE.into(), 2), &[7; 1400]);
    let told = error(&frame, Fault::Port).unwrap();
    assert_eq!((told.len(), &told[42..]), (14 + 576, &frame[14..14 + 548]));
    let frame = samples::udp_frame((HOST6.into(), 1), (OUTSIDE6.into(), 2), &[7; 1400]);
    let told = error(&frame, Fault::Port).unwrap();
    assert_eq!((told.len(), &told[62..]), (14 + 1280, &frame[14..14 + 1232]));
}

#[test]
fn padding_is_not_quoted() {
    let mut frame = samples::udp_frame((HOST.into(), 1), (OUTSIDE.into(), 2), b"");
    let len = frame.len();
    frame.resize(64, 0xee);
    assert_eq!(error(&frame, Fault::Port).unwrap().len(), 42 + len - 14);
}

#[test]
fn errors_groups_and_later_fragments_get_no_error() {
    let icmp = |kind| ip_frame(HOST.into(), OUTSIDE.into(), 1, &[kind, 0, 0, 0, 0, 0, 0, 0]);
    for kind in [0, 8, 13, 14] {
        assert!(may_answer(&icmp(kind)), "{kind}");
    }
    for kind in [3, 4, 5, 11, 12, 99, 255] {
        assert!(!may_answer(&icmp(kind)), "{kind}");
    }
    let icmp = |kind| ip_frame(HOST6.into(), OUTSIDE6.into(), 58, &[kind, 0, 0, 0, 0, 0, 0, 0]);
    for kind in [128, 129] {
        assert!(may_answer(&icmp(kind)), "{kind}");
    }
    for kind in [0, 1, 2, 3, 4, 127, 137] {
        assert!(!may_answer(&icmp(kind)), "{kind}");
    }
    for group in ["224.0.0.1", "255.255.255.255"] {
        assert!(!may_answer(&ip_frame(HOST.into(), group.parse().unwrap(), 17, &[0; 8])));
    }
    assert!(!may_answer(&ip_frame(HOST6.into(), "ff02::1".parse().unwrap(), 17, &[0; 8])));
    let mut later = ip_frame(HOST.into(), OUTSIDE.into(), 17, &[0; 8]);
    later[21] = 1;
    assert!(!may_answer(&later));
    for (offset, may) in [(0, true), (8, false)] {
        let fragment =
            ip_frame(HOST6.into(), OUTSIDE6.into(), 44, &[17, 0, 0, offset | 1, 0, 0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(may_answer(&fragment), may);
    }
}
