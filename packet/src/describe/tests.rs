use etherparse::PacketBuilder;
use proptest::prelude::*;

use super::describe;
use crate::{Checksum, Gso, GsoKind, Offload};

const A: [u8; 6] = [0x02, 0x42, 0xac, 0x11, 0, 2];
const B: [u8; 6] = [0x02, 0x42, 0xac, 0x11, 0, 3];
const ENDS: &str = "02:42:ac:11:00:02 > 02:42:ac:11:00:03, ";
const IP_A: [u8; 4] = [172, 17, 0, 2];
const IP_B: [u8; 4] = [172, 17, 0, 3];
/// 2001:db8:: and a last byte.
const fn ip6(last: u8) -> [u8; 16] {
    [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]
}

/// The line without the MAC addresses, which must be those of A and B.
fn line(frame: &[u8]) -> String {
    with(frame, Offload::NONE)
}

fn with(frame: &[u8], offload: Offload) -> String {
    let line = describe(frame, offload);
    line.strip_prefix(ENDS).unwrap_or_else(|| panic!("{line}")).to_owned()
}

fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    [&B[..], &A[..], &kind.to_be_bytes(), payload].concat()
}

macro_rules! built {
    ($builder:expr, $payload:expr) => {{
        let mut frame = Vec::new();
        $builder.write(&mut frame, $payload).unwrap();
        frame
    }};
}

#[test]
fn a_super_frame_says_how_it_will_be_cut() {
    let tcp = PacketBuilder::ethernet2(A, B).ipv4(IP_A, IP_B, 64).tcp(5201, 40000, 1, 502).psh().ack(5);
    let frame = built!(tcp, &vec![0; 65_160]);
    let gso = Gso { kind: GsoKind::Tcp4, ecn: false, size: 1448, hdr_len: 54 };
    let offload = Offload { checksum: Checksum::Partial { start: 34, offset: 16 }, gso: Some(gso) };
    assert_eq!(
        with(&frame, offload),
        "IPv4 172.17.0.2.5201 > 172.17.0.3.40000: TCP [P.], seq 1:65161, ack 5, win 502, length 65160 (45 x 1448)"
    );
    // A capture that kept the start knows the same.
    assert_eq!(
        with(&frame[..100], offload),
        "IPv4 172.17.0.2.5201 > 172.17.0.3.40000: TCP [P.], seq 1:65161, ack 5, win 502, length 65160 (45 x 1448)"
    );
}

#[test]
fn tcp_shows_what_matters_in_each_state() {
    let syn = PacketBuilder::ethernet2(A, B).ipv6(ip6(1), ip6(2), 64).tcp(40000, 80, 7, 64800).syn();
    let syn = syn.options(&[
        etherparse::TcpOptionElement::MaximumSegmentSize(1440),
        etherparse::TcpOptionElement::SelectiveAcknowledgementPermitted,
        etherparse::TcpOptionElement::WindowScale(7),
    ]);
    assert_eq!(
        line(&built!(syn.unwrap(), &[])),
        "IPv6 2001:db8::1.40000 > 2001:db8::2.80: TCP [S], seq 7, win 64800, mss 1440, sackOK, wscale 7, length 0"
    );
    let ack = PacketBuilder::ethernet2(A, B).ipv4(IP_A, IP_B, 64).tcp(1, 2, u32::MAX, 9).ack(8);
    assert_eq!(line(&built!(ack, &[])), "IPv4 172.17.0.2.1 > 172.17.0.3.2: TCP [.], ack 8, win 9, length 0");
    let wrapping = PacketBuilder::ethernet2(A, B).ipv4(IP_A, IP_B, 64).tcp(1, 2, u32::MAX, 9);
    assert_eq!(
        line(&built!(wrapping, &[1, 2])),
        "IPv4 172.17.0.2.1 > 172.17.0.3.2: TCP [none], seq 4294967295:1, win 9, length 2"
    );
}

#[test]
fn tags_are_named_from_the_outside() {
    let tagged = PacketBuilder::ethernet2(A, B)
        .double_vlan(100.try_into().unwrap(), 5.try_into().unwrap())
        .ipv4(IP_A, IP_B, 64)
        .udp(68, 67);
    assert_eq!(
        line(&built!(tagged, &[0; 20])),
        "service vlan 100, vlan 5, IPv4 172.17.0.2.68 > 172.17.0.3.67: UDP, length 20"
    );
}

#[test]
fn arp_reads_as_a_question_and_an_answer() {
    let arp = |operation: u8| {
        let mut packet = vec![0, 1, 8, 0, 6, 4, 0, operation];
        packet.extend(A);
        packet.extend(IP_A);
        packet.extend([0; 6]);
        packet.extend(IP_B);
        ethernet(0x0806, &packet)
    };
    assert_eq!(line(&arp(1)), "ARP, who-has 172.17.0.3 tell 172.17.0.2");
    assert_eq!(line(&arp(2)), "ARP, 172.17.0.2 is-at 02:42:ac:11:00:02");
    assert_eq!(
        line(&arp(1)[..20]),
        "ethertype ARP (0x0806), length 6 [cut in Address Resolution Protocol packet]"
    );
}

#[test]
fn icmp_says_what_it_is_about() {
    let ping = PacketBuilder::ethernet2(A, B).ipv4(IP_A, IP_B, 64).icmpv4_echo_request(7, 3);
    assert_eq!(
        line(&built!(ping, &[0; 56])),
        "IPv4 172.17.0.2 > 172.17.0.3: ICMP echo request, id 7, seq 3, length 64"
    );
    let query = built!(PacketBuilder::ipv4(IP_B, IP_A, 64).udp(4444, 53), &[0; 30]);
    let unreachable = PacketBuilder::ethernet2(A, B).ipv4(IP_A, IP_B, 64).icmpv4_raw(3, 3, [0; 4]);
    assert_eq!(
        line(&built!(unreachable, &query[..28])),
        "IPv4 172.17.0.2 > 172.17.0.3: ICMP port unreachable for 172.17.0.3.4444 > 172.17.0.2.53 UDP, length 36"
    );
    let too_big = PacketBuilder::ethernet2(A, B).ipv4(IP_A, IP_B, 64).icmpv4_raw(3, 4, [0, 0, 0x05, 0x78]);
    assert_eq!(
        line(&built!(too_big, &[])),
        "IPv4 172.17.0.2 > 172.17.0.3: ICMP fragmentation needed, mtu 1400, length 8"
    );
}

#[test]
fn neighbour_discovery_is_told_apart() {
    let message = |kind: u8, first: [u8; 4], rest: &[u8]| {
        let builder = PacketBuilder::ethernet2(A, B).ipv6(ip6(1), ip6(2), 255).icmpv6_raw(kind, 0, first);
        let line = line(&built!(builder, rest));
        line.strip_prefix("IPv6 2001:db8::1 > 2001:db8::2: ICMPv6 ").unwrap().to_owned()
    };
    assert_eq!(message(133, [0; 4], &[]), "router solicitation, length 8");
    assert_eq!(
        message(134, [64, 0, 7, 8], &[0; 8]),
        "router advertisement, hop limit 64, lifetime 1800 s, length 16"
    );
    assert_eq!(message(135, [0; 4], &ip6(2)), "neighbor solicitation, who has 2001:db8::2, length 24");
    assert_eq!(
        message(136, [0x60, 0, 0, 0], &ip6(1)),
        "neighbor advertisement, tgt is 2001:db8::1, length 24"
    );
    assert_eq!(message(2, [0, 0, 5, 0], &[]), "packet too big, mtu 1280, length 8");
    assert_eq!(message(128, [0, 1, 0, 2], &[]), "echo request, id 1, seq 2, length 8");
}

#[test]
fn fragments_say_where_they_belong() {
    let mut ip = vec![0x45, 0, 0, 0, 0, 9, 0x20, 185, 64, 17, 0, 0];
    ip.extend([IP_A, IP_B].concat());
    ip.extend([0; 16]);
    ip[3] = u8::try_from(ip.len()).unwrap();
    assert_eq!(
        line(&ethernet(0x0800, &ip)),
        "IPv4 172.17.0.2 > 172.17.0.3: UDP fragment, id 9, offset 1480, length 16, more follow"
    );
    let mut ip = vec![0x60, 0, 0, 0, 0, 16, 44, 64];
    ip.extend([ip6(1), ip6(2)].concat());
    ip.extend([6, 0, 0, 8, 0, 0, 0, 5]);
    ip.extend([0; 8]);
    assert_eq!(
        line(&ethernet(0x86dd, &ip)),
        "IPv6 2001:db8::1 > 2001:db8::2: TCP fragment, id 5, offset 8, length 8, the last"
    );
}

#[test]
fn extension_headers_are_named_also_where_their_chain_is_cut() {
    let mut ip = vec![0x60, 0, 0, 0, 0, 24, 0, 64];
    ip.extend([ip6(1), ip6(2)].concat());
    ip.extend([60, 0, 1, 4, 0, 0, 0, 0]);
    ip.extend([17, 0, 1, 4, 0, 0, 0, 0]);
    ip.extend([0, 53, 0, 54, 0, 8, 0, 0]);
    let ends = "IPv6 2001:db8::1.53 > 2001:db8::2.54: ";
    let whole = format!("{ends}hop-by-hop, destination options, UDP, length 0");
    assert_eq!(line(&ethernet(0x86dd, &ip)), whole);
    for kept in 40..ip.len() {
        let cut = line(&ethernet(0x86dd, &ip[..kept]));
        assert_eq!(cut.contains("hop-by-hop, "), kept >= 48, "{cut}");
        assert_eq!(cut.contains("destination options, "), kept >= 56, "{cut}");
    }
}

#[test]
fn what_is_not_known_is_still_named() {
    assert_eq!(line(&ethernet(0x88b5, &[0; 50])), "ethertype unknown (0x88b5), length 50");
    assert_eq!(line(&ethernet(0x88cc, &[0; 50])), "ethertype LLDP (0x88cc), length 50");
    assert_eq!(line(&ethernet(38, &[0x42, 0x42, 3])), "802.3 STP, length 3");
    let esp = PacketBuilder::ethernet2(A, B).ipv4(IP_A, IP_B, 64);
    let mut frame = Vec::new();
    esp.write(&mut frame, 50.into(), &[0; 30]).unwrap();
    assert_eq!(line(&frame), "IPv4 172.17.0.2 > 172.17.0.3: ESP, length 30");
    assert_eq!(describe(&[0; 13], Offload::NONE), "cut after 13 of 14 bytes of the Ethernet header");
    assert_eq!(
        line(&ethernet(0x0800, &[0x45, 0, 0])),
        "ethertype IPv4 (0x0800), length 3 [cut in IP header]"
    );
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop::sample::select(vec![
        [8, 0],
        [0x86, 0xdd],
        [8, 6],
        [0x81, 0],
        [0x88, 0xa8],
        [0x88, 0xe5],
        [0, 38],
        [0x88, 0xcc],
    ]);
    // Enough of a header that the layers above are reached.
    let first = prop::sample::select(vec![0x45u8, 0x46, 0x4f, 0x60, 0x44, 0]);
    let number = prop::sample::select(vec![0u8, 1, 2, 6, 17, 43, 44, 50, 51, 58, 60, 132]);
    (prop::collection::vec(any::<u8>(), 0..160), kind, first, number, any::<bool>()).prop_map(
        |(mut frame, kind, first, number, shaped)| {
            if shaped && frame.len() > 30 {
                frame[12..14].copy_from_slice(&kind);
                frame[14] = first;
                frame[if first == 0x60 { 20 } else { 23 }] = number;
                frame[16..18].fill(0);
                // Short extension headers, one behind the other.
                if first == 0x60 {
                    for header in frame.iter_mut().skip(54).step_by(8) {
                        *header = number;
                    }
                    frame.iter_mut().skip(55).step_by(8).for_each(|length| *length &= 1);
                }
                frame[20..22].iter_mut().for_each(|byte| *byte &= 0x3f);
            }
            frame
        },
    )
}

proptest! {
    #[test]
    fn any_bytes_give_one_printable_line(frame in bytes(), size: Option<u16>) {
        let gso = size.map(|size| Gso { kind: GsoKind::UdpL4, ecn: false, size: size.max(1), hdr_len: 0 });
        let line = describe(&frame, Offload { checksum: Checksum::Unverified, gso });
        prop_assert!(!line.is_empty() && !line.contains(char::is_control), "{:?}", line);
    }
}
