use std::net::IpAddr;

use packet::MacAddr;

use super::super::samples::{
    Bench, GATEWAY, GATEWAY6, HOST, HOST6, OUTSIDE, OUTSIDE6, echo, host_mac, ip_frame, tcp_frame, udp_frame,
};
use super::*;

fn class(frame: &[u8]) -> Class {
    classify(&Bench::with_dns().state, frame)
}

fn sent_to(mut frame: Vec<u8>, mac: MacAddr) -> Vec<u8> {
    frame[..6].copy_from_slice(&mac.0);
    frame
}

fn udp(to: impl Into<IpAddr>, port: u16) -> Vec<u8> {
    let to = to.into();
    let from: IpAddr = if to.is_ipv4() { HOST.into() } else { HOST6.into() };
    udp_frame((from, 4000), (to, port), &[0; 20])
}

#[test]
fn what_is_for_others_is_ignored() {
    assert_eq!(class(&sent_to(udp(GATEWAY, 53), host_mac())), Class::Ignored);
    for to in ["255.255.255.255", "172.18.255.255", "224.0.0.251", "172.18.0.1"] {
        let to: IpAddr = to.parse().unwrap();
        assert_eq!(class(&sent_to(udp(to, 5353), MacAddr::BROADCAST)), Class::Ignored, "{to}");
    }
    assert_eq!(class(&udp("172.18.255.255".parse::<IpAddr>().unwrap(), 1)), Class::Ignored);
    let mdns: IpAddr = "ff02::fb".parse().unwrap();
    assert_eq!(class(&sent_to(udp(mdns, 5353), MacAddr([0x33, 0x33, 0, 0, 0, 0xfb]))), Class::Ignored);
    assert_eq!(class(&[0xff; 60]), Class::Ignored);
}

#[test]
fn what_is_for_its_addresses_is_local() {
    for frame in [
        udp(GATEWAY, 67),
        udp(GATEWAY6, 1),
        echo(HOST.into(), GATEWAY.into(), &[]),
        echo(HOST6.into(), GATEWAY6.into(), &[]),
        tcp_frame((HOST.into(), 1), (GATEWAY.into(), 54), (0, 0, 2), &[]),
        sent_to(udp("255.255.255.255".parse::<IpAddr>().unwrap(), 67), MacAddr::BROADCAST),
        sent_to(echo(HOST6.into(), "ff02::1".parse().unwrap(), &[]), MacAddr([0x33, 0x33, 0, 0, 0, 1])),
    ] {
        assert_eq!(class(&frame), Class::Local, "{frame:?}");
    }
}

#[test]
fn dns_is_told_apart_where_there_is_any() {
    for to in [GATEWAY.into(), GATEWAY6.into()] {
        let from: IpAddr = if IpAddr::is_ipv4(&to) { HOST.into() } else { HOST6.into() };
        let syn = tcp_frame((from, 1), (to, 53), (0, 0, 2), &[]);
        assert_eq!((class(&udp(to, 53)), class(&syn)), (Class::DnsUdp, Class::DnsTcp));
        let bench = Bench::new();
        assert_eq!(classify(&bench.state, &udp(to, 53)), Class::Local);
        assert_eq!(classify(&bench.state, &syn), Class::Local);
    }
    let mut fragment = udp(GATEWAY, 53);
    fragment[20] = 0x20;
    assert_eq!(class(&fragment), Class::Local);
}

#[test]
fn everything_else_sent_to_its_mac_goes_beyond() {
    assert_eq!(class(&udp(OUTSIDE, 53)), Class::Beyond);
    assert_eq!(class(&udp(OUTSIDE6, 53)), Class::Beyond);
    assert_eq!(class(&udp(IpAddr::from([169, 254, 169, 254]), 80)), Class::Beyond);
    assert_eq!(class(&udp(IpAddr::from([172, 18, 0, 9]), 80)), Class::Beyond);
}

#[test]
fn addresses_without_a_place_do_not_travel() {
    for to in ["127.0.0.1", "0.0.0.0", "224.0.0.1", "240.0.0.1", "::1", "fe80::9", "::ffff:192.0.2.9", "::"] {
        assert_eq!(class(&udp(to.parse::<IpAddr>().unwrap(), 80)), Class::Martian, "{to}");
    }
    let from = ip_frame(IpAddr::from([127, 0, 0, 1]), OUTSIDE.into(), 17, &[0; 8]);
    assert_eq!(class(&from), Class::Martian);
    let from = ip_frame("fe80::2".parse().unwrap(), OUTSIDE6.into(), 17, &[0; 8]);
    assert_eq!(class(&from), Class::Martian);
}

#[test]
fn tags_and_headers_cut_short_are_named() {
    let mut tagged = udp(GATEWAY, 53);
    tagged.splice(12..12, [0x81, 0, 0, 5]);
    assert_eq!(class(&tagged), Class::Tagged);
    assert_eq!(class(&udp(GATEWAY, 53)[..33]), Class::Malformed);
    assert_eq!(class(&udp(GATEWAY6, 53)[..53]), Class::Malformed);
    assert_eq!(class(&[0; 13]), Class::Malformed);
}

#[test]
fn without_an_ipv6_subnet_there_is_no_ipv6() {
    let bench = Bench::with(|config| config.v6.clear());
    assert_eq!(classify(&bench.state, &udp(OUTSIDE6, 53)), Class::Ignored);
    assert_eq!(classify(&bench.state, &echo(HOST6.into(), GATEWAY6.into(), &[])), Class::Ignored);
}
