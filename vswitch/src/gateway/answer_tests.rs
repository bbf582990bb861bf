use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use packet::checksum::fill_ipv4;
use proptest::prelude::*;

use super::super::samples::{
    Bench, GATEWAY, GATEWAY6, HOST, HOST6, OUTSIDE, OUTSIDE6, assert_right, echo, gateway_mac, host_mac,
    ip_frame, tcp_frame, udp_frame,
};
use super::*;

fn answered(bench: &Bench, frame: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![0xaa; packet::frame::MAX_FRAME];
    let len = Responder::default().answer(&bench.scene(), frame, &mut out)?;
    out.truncate(len);
    assert_right(&out);
    Some(out)
}

/// ICMP type and code of an answer.
fn icmp(answer: &[u8]) -> [u8; 2] {
    let ip = Headers::parse(answer).unwrap().ip.unwrap();
    answer[ip.l4..ip.l4 + 2].try_into().unwrap()
}

fn pair(v6: bool) -> (IpAddr, IpAddr, IpAddr) {
    if v6 {
        (HOST6.into(), GATEWAY6.into(), OUTSIDE6.into())
    } else {
        (HOST.into(), GATEWAY.into(), OUTSIDE.into())
    }
}

#[test]
fn what_nobody_listens_for_is_refused_as_a_host_does() {
    let bench = Bench::new();
    for v6 in [false, true] {
        let (host, gateway, outside) = pair(v6);
        let port = answered(&bench, &udp_frame((host, 1), (gateway, 9), b"x")).unwrap();
        assert_eq!(icmp(&port), if v6 { [1, 4] } else { [3, 3] });
        let protocol = answered(&bench, &ip_frame(host, gateway, 200, b"x")).unwrap();
        assert_eq!(icmp(&protocol), if v6 { [4, 1] } else { [3, 2] });
        let route = answered(&bench, &udp_frame((host, 1), (outside, 9), b"x")).unwrap();
        assert_eq!(icmp(&route), if v6 { [1, 0] } else { [3, 0] });
        let syn = tcp_frame((host, 1), (gateway, 80), (7, 0, 2), &[]);
        let reset = answered(&bench, &syn).unwrap();
        assert_eq!(Headers::parse(&reset).unwrap().ip.unwrap().ports(&reset), Some((80, 1)));
        let syn = tcp_frame((host, 1), (outside, 80), (7, 0, 2), &[]);
        assert_eq!(icmp(&answered(&bench, &syn).unwrap()), if v6 { [1, 0] } else { [3, 0] });
        assert!(answered(&bench, &echo(host, gateway, b"ping")).is_some());
    }
    let stats = bench.stats.snapshot();
    assert_eq!((stats.errors_sent, stats.resets, stats.echo_replies), (8, 2, 2));
}

#[test]
fn answers_go_back_to_the_station_that_asked() {
    let bench = Bench::new();
    for v6 in [false, true] {
        let (host, gateway, _) = pair(v6);
        let reply = answered(&bench, &echo(host, gateway, b"ping")).unwrap();
        assert_eq!((&reply[..6], &reply[6..12]), (&host_mac().0[..], &gateway_mac().0[..]));
    }
}

#[test]
fn a_source_that_is_nobody_or_everybody_gets_no_answer() {
    let bench = Bench::new();
    let v4 = ["0.0.0.0", "255.255.255.255", "172.18.255.255", "224.0.0.5", "127.0.0.1", "172.18.0.1"];
    let v6 = ["::", "::1", "ff02::1", "fd00::1", "::ffff:1.2.3.4"];
    let mut refused = 0;
    for source in v4.into_iter().chain(v6).map(|a| a.parse::<IpAddr>().unwrap()) {
        let (_, gateway, outside) = pair(source.is_ipv6());
        for frame in [
            echo(source, gateway, b"ping"),
            udp_frame((source, 1), (gateway, 9), b"x"),
            tcp_frame((source, 1), (gateway, 9), (0, 0, 2), b""),
            udp_frame((source, 1), (outside, 9), b"x"),
        ] {
            assert_eq!(answered(&bench, &frame), None, "{source}");
            refused += 1;
        }
    }
    for mac in [MacAddr::ZERO, MacAddr::BROADCAST, gateway_mac()] {
        let mut frame = echo(HOST.into(), GATEWAY.into(), b"ping");
        frame[6..12].copy_from_slice(&mac.0);
        assert_eq!(answered(&bench, &frame), None);
        refused += 1;
    }
    assert_eq!(bench.stats.snapshot().bad_source, refused);
}

#[test]
fn wrong_checksums_are_not_answered() {
    let bench = Bench::new();
    for v6 in [false, true] {
        let (host, gateway, _) = pair(v6);
        for frame in [
            echo(host, gateway, b"ping"),
            udp_frame((host, 1), (gateway, 9), b"data"),
            tcp_frame((host, 1), (gateway, 9), (0, 0, 2), b"data"),
        ] {
            let mut bad = frame.clone();
            *bad.last_mut().unwrap() ^= 1;
            assert_eq!(answered(&bench, &bad), None);
        }
    }
    let mut bad = echo(HOST.into(), GATEWAY.into(), b"ping");
    bad[24] ^= 1;
    assert_eq!(answered(&bench, &bad), None);
    assert_eq!(bench.stats.snapshot().bad_checksum, 7);
}

#[test]
fn a_group_is_pinged_over_ipv6_and_not_over_ipv4() {
    let bench = Bench::new();
    let local: Ipv6Addr = "fe80::2".parse().unwrap();
    for (source, expected) in [(HOST6, GATEWAY6), (local, super::super::config::link_local(gateway_mac()))] {
        let mut frame = echo(source.into(), "ff02::1".parse().unwrap(), b"ping");
        frame[..6].copy_from_slice(&[0x33, 0x33, 0, 0, 0, 1]);
        let reply = answered(&bench, &frame).unwrap();
        assert_eq!(reply[22..38], expected.octets());
    }
    let mut frame = echo(HOST.into(), Ipv4Addr::BROADCAST.into(), b"ping");
    frame[..6].fill(0xff);
    assert_eq!(answered(&bench, &frame), None);
}

#[test]
fn a_packet_to_one_address_sent_to_every_station_is_not_answered() {
    let bench = Bench::new();
    for v6 in [false, true] {
        let (host, gateway, _) = pair(v6);
        let mut frame = echo(host, gateway, b"ping");
        frame[..6].fill(0xff);
        assert_eq!(answered(&bench, &frame), None);
    }
}

#[test]
fn source_routes_and_routing_headers_are_not_followed() {
    let bench = Bench::new();
    let mut frame = echo(HOST.into(), GATEWAY.into(), b"ping");
    frame.splice(34..34, [131, 3, 4, 0]);
    frame[14] = 0x46;
    frame[17] += 4;
    fill_ipv4(&mut frame, 14);
    assert_eq!(answered(&bench, &frame), None);
    // Another option is no obstacle, and is not given back.
    frame[34..38].copy_from_slice(&[7, 3, 4, 0]);
    fill_ipv4(&mut frame, 14);
    assert_eq!(answered(&bench, &frame).unwrap()[14], 0x45);
    let routed =
        ip_frame(HOST6.into(), GATEWAY6.into(), 43, &[17, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 2, 0, 8, 0, 0]);
    assert_eq!(answered(&bench, &routed), None);
}

#[test]
fn errors_have_a_limit_and_it_is_not_for_ever() {
    let bench = Bench::new();
    let frame = udp_frame((HOST.into(), 1), (GATEWAY.into(), 9), b"x");
    let told = (0..500).filter(|_| answered(&bench, &frame).is_some()).count();
    assert_eq!((told, bench.stats.snapshot().errors_limited), (100, 400));
    let mut out = [0; 2000];
    assert!(Responder::default().answer(&bench.scene_at(1_000_500), &frame, &mut out).is_some());
}

#[test]
fn link_local_addresses_do_not_leave_the_link() {
    let bench = Bench::new();
    let local: IpAddr = "fe80::2".parse().unwrap();
    assert_eq!(answered(&bench, &udp_frame((local, 1), (OUTSIDE6.into(), 9), b"x")), None);
    assert_eq!(answered(&bench, &udp_frame((HOST6.into(), 1), ("fe80::9".parse().unwrap(), 9), b"x")), None);
}

/// Frames that have something to do with the gateway, to be spoiled.
fn sample() -> impl Strategy<Value = Vec<u8>> {
    (0usize..12, prop::collection::vec(any::<u8>(), 0..80), any::<bool>(), any::<u8>()).prop_map(
        |(which, data, v6, byte)| {
            let (host, gateway, outside) = pair(v6);
            match which {
                0 => echo(host, gateway, &data),
                1 => udp_frame((host, 1), (gateway, u16::from(byte)), &data),
                2 => tcp_frame((host, 1), (gateway, 80), (1, 2, byte), &data),
                3 => udp_frame((host, 1), (outside, 9), &data),
                4 => ip_frame(host, gateway, byte, &data),
                5 => ip_frame(host, outside, byte, &data),
                6 => [&gateway_mac().0[..], &host_mac().0, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1], &data].concat(),
                7 => {
                    let mut ns = vec![135, 0, 0, 0, 0, 0, 0, 0];
                    ns.extend(GATEWAY6.octets());
                    ns.extend(&data[..data.len() / 8 * 8]);
                    packet::wire::Icmpv6Packet::new_checked(&mut ns[..])
                        .unwrap()
                        .fill_checksum(HOST6, GATEWAY6);
                    let mut frame = ip_frame(HOST6.into(), GATEWAY6.into(), 58, &ns);
                    frame[21] = 255;
                    frame
                }
                8 => udp_frame((host, 68), (gateway, 67), &[&dhcp_head()[..], &data].concat()),
                9 => {
                    let mut frame = echo(HOST.into(), GATEWAY.into(), &data);
                    frame[20] |= byte & 0x3f;
                    fill_ipv4(&mut frame, 14);
                    frame
                }
                10 => ip_frame(
                    HOST6.into(),
                    GATEWAY6.into(),
                    44,
                    &[&[58, 0, 0, byte, 0, 0, 0, 1, 128, 0], &data[..]].concat(),
                ),
                _ => [&gateway_mac().0[..], &host_mac().0, &[0x86, 0xdd, 0x60], &data].concat(),
            }
        },
    )
}

fn dhcp_head() -> Vec<u8> {
    let mut m = vec![0; 240];
    m[..3].copy_from_slice(&[1, 1, 6]);
    m[28..34].copy_from_slice(&host_mac().0);
    m[236..].copy_from_slice(&[99, 130, 83, 99]);
    m.extend([53, 1, 1]);
    m
}

proptest! {
    #[test]
    fn any_bytes_are_survived_and_every_answer_is_right(
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..4),
    ) {
        let bench = Bench::with_dns();
        for frame in frames {
            let _ = super::super::classify::classify(&bench.state, &frame);
            answered(&bench, &frame);
        }
    }

    #[test]
    fn spoiled_frames_are_survived_and_every_answer_is_right(
        frame in sample(),
        spoil in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let (bench, mut frame) = (Bench::with_dns(), frame);
        for (at, value) in spoil {
            let at = at.index(frame.len());
            frame[at] = value;
        }
        if let Some(cut) = cut {
            frame.truncate(cut.index(frame.len()));
        }
        let _ = super::super::classify::classify(&bench.state, &frame);
        if let Some(answer) = answered(&bench, &frame) {
            prop_assert_eq!(&answer[6..12], &gateway_mac().0);
            // Broadcast only where the protocol wants it.
            let v6 = answer[12..14] == [0x86, 0xdd];
            let dhcp = answer.get(34..38) == Some(&[0, 67, 0, 68]);
            let arp = answer[12..14] == [8, 6];
            prop_assert!(answer[0] & 1 == 0 || v6 || dhcp || arp);
        }
    }
}
