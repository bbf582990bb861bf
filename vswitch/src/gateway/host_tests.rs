use std::net::IpAddr;

use packet::MacAddr;
use packet::wire::Icmpv6Packet;

use super::super::classify::classify;
use super::super::samples::{
    Bench, GATEWAY, GATEWAY6, HOST, HOST6, OUTSIDE, OUTSIDE6, echo, gateway_mac, host_mac, ip_frame,
    tcp_frame, udp_frame,
};
use super::super::{arp as answers, ndp};
use super::*;

/// `frame` is the machine's, on a network with everything.
fn taken(frame: &[u8]) -> bool {
    let bench = Bench::with_dns();
    takes(&bench.state, classify(&bench.state, frame), frame)
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

fn icmp6(kind: u8, target: std::net::Ipv6Addr, to: IpAddr) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, 0, 0, 0, 0];
    message.extend(target.octets());
    let IpAddr::V6(destination) = to else { panic!("{to}") };
    Icmpv6Packet::new_checked(&mut message[..]).unwrap().fill_checksum(HOST6, destination);
    ip_frame(HOST6.into(), to, 58, &message)
}

#[test]
fn what_is_sent_to_the_gateways_addresses_and_not_served_there_is_the_hosts() {
    for frame in [
        udp(GATEWAY, 1),
        udp(GATEWAY6, 67),
        tcp_frame((HOST.into(), 1), (GATEWAY.into(), 80), (0, 0, 2), &[]),
        tcp_frame((HOST6.into(), 53), (GATEWAY6.into(), 80), (0, 0, 2), &[]),
        echo(HOST.into(), GATEWAY.into(), &[]),
        echo(HOST6.into(), GATEWAY6.into(), &[]),
        ip_frame(HOST.into(), GATEWAY.into(), 132, &[0; 20]),
    ] {
        assert!(taken(&frame), "{frame:?}");
    }
}

#[test]
fn what_the_gateway_serves_and_what_goes_beyond_is_not() {
    for frame in [
        udp(GATEWAY, 53),
        udp(GATEWAY6, 53),
        tcp_frame((HOST.into(), 1), (GATEWAY.into(), 53), (0, 0, 2), &[]),
        udp(GATEWAY, 67),
        sent_to(udp("255.255.255.255".parse::<IpAddr>().unwrap(), 67), MacAddr::BROADCAST),
        udp(OUTSIDE, 80),
        udp(OUTSIDE6, 80),
        sent_to(echo(HOST6.into(), "ff02::1".parse().unwrap(), &[]), MacAddr([0x33, 0x33, 0, 0, 0, 1])),
    ] {
        assert!(!taken(&frame), "{frame:?}");
    }
}

#[test]
fn a_fragment_is_the_hosts_whatever_its_bytes_say() {
    for (offset, protocol) in [(0x2000u16, 17), (1, 17), (0x2000, 1), (1, 1)] {
        let mut frame = ip_frame(
            HOST.into(),
            GATEWAY.into(),
            protocol,
            &[0, 67, 0, 67, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        );
        frame[20..22].copy_from_slice(&offset.to_be_bytes());
        assert!(taken(&frame), "{offset:x} {protocol}");
    }
}

#[test]
fn broadcasts_and_multicasts_reach_the_host_and_others_unicasts_do_not() {
    for to in ["255.255.255.255", "172.18.255.255", "224.0.0.251"] {
        assert!(taken(&sent_to(udp(to.parse::<IpAddr>().unwrap(), 5353), MacAddr::BROADCAST)), "{to}");
    }
    let mdns: IpAddr = "ff02::fb".parse().unwrap();
    assert!(taken(&sent_to(udp(mdns, 5353), MacAddr([0x33, 0x33, 0, 0, 0, 0xfb]))));
    assert!(!taken(&sent_to(udp(GATEWAY, 80), host_mac())), "flooded");
    assert!(!taken(&sent_to(udp(GATEWAY, 80), MacAddr::BROADCAST)), "unicast in a broadcast");
    assert!(!taken(&udp("172.18.255.255".parse::<IpAddr>().unwrap(), 1)), "broadcast in a unicast");
}

#[test]
fn answers_of_neighbours_are_the_hosts_and_questions_are_the_gateways() {
    let arp = |kind: u16, to: MacAddr, target| {
        let mut frame = vec![0; answers::FRAME_LEN];
        answers::announcement(&mut frame, host_mac(), (host_mac(), HOST)).unwrap();
        let mut packet = ArpPacket::new_checked(&mut frame[14..]).unwrap();
        packet.set_operation(kind);
        packet.set_target(gateway_mac(), target);
        sent_to(frame, to)
    };
    assert!(taken(&arp(arp::REPLY, gateway_mac(), GATEWAY)));
    assert!(taken(&arp(arp::REQUEST, MacAddr::BROADCAST, HOST)), "an announcement");
    assert!(!taken(&arp(arp::REQUEST, MacAddr::BROADCAST, GATEWAY)));
    assert!(!taken(&arp(arp::REQUEST, gateway_mac(), GATEWAY)));
    assert!(!taken(&arp(arp::REQUEST, MacAddr::BROADCAST, OUTSIDE)));
    assert!(!taken(&arp(arp::REPLY, host_mac(), GATEWAY)), "flooded");

    let advertisement = icmpv6::kind::NEIGHBOR_ADVERTISEMENT;
    assert!(taken(&icmp6(advertisement, HOST6, GATEWAY6.into())));
    let mut frame = vec![0; ndp::FRAME_LEN];
    ndp::announcement(&mut frame, host_mac(), (host_mac(), HOST6), false).unwrap();
    assert!(taken(&frame), "an announcement");
    assert!(!taken(&icmp6(advertisement, GATEWAY6, GATEWAY6.into())), "it claims the gateway's address");
    assert!(!taken(&icmp6(icmpv6::kind::NEIGHBOR_SOLICITATION, GATEWAY6, GATEWAY6.into())));
}

#[test]
fn no_container_changes_the_hosts_routes() {
    for kind in
        [icmpv6::kind::ROUTER_SOLICITATION, icmpv6::kind::ROUTER_ADVERTISEMENT, icmpv6::kind::REDIRECT]
    {
        let group =
            sent_to(icmp6(kind, HOST6, "ff02::1".parse().unwrap()), MacAddr([0x33, 0x33, 0, 0, 0, 1]));
        assert!(!taken(&group) && !taken(&icmp6(kind, HOST6, GATEWAY6.into())), "{kind}");
    }
}

#[test]
fn tagged_cut_and_foreign_frames_are_not_the_hosts() {
    let whole = udp(GATEWAY6, 1);
    for len in 14..whole.len() - 28 {
        assert!(!taken(&whole[..len]), "{len}");
    }
    let mut tagged = whole.clone();
    tagged.splice(12..12, [0x81, 0, 0, 1]);
    assert!(!taken(&tagged));
    let mut foreign = whole;
    foreign[12..14].copy_from_slice(&[0x88, 0xb5]);
    assert!(!taken(&foreign));
}

#[test]
fn where_the_gateway_serves_nothing_everything_is_the_hosts() {
    let bench = Bench::with(|config| config.dhcp = None);
    for port in [53, 67] {
        let frame = udp(GATEWAY, port);
        assert!(takes(&bench.state, classify(&bench.state, &frame), &frame));
    }
}

mod through_a_port {
    use packet::{Checksum, Frame, Gso, GsoKind, Offload};

    use super::super::super::samples::config;
    use super::super::super::{Endpoint, gateway_port_with_host};
    use super::*;
    use crate::dataplane::memory::memory_port;
    use crate::dataplane::{DropReason, Transmit};

    #[test]
    fn a_super_frame_reaches_the_host_whole_with_its_offloads() {
        let (machine, transmit, _) = memory_port(16).unwrap();
        let (_gateway, to, _) = gateway_port_with_host(config(), Box::new(transmit)).unwrap();
        let bytes = tcp_frame((HOST.into(), 1), (GATEWAY.into(), 80), (0, 0, 16), &[7; 9000]);
        let offload = Offload {
            checksum: Checksum::Partial { start: 34, offset: 16 },
            gso: Some(Gso { kind: GsoKind::Tcp4, ecn: false, size: 1360, hdr_len: 54 }),
        };
        let mut frame = Frame::new();
        frame.copy_from(&bytes, offload).unwrap();
        to.send(0, &mut frame, &mut Frame::new()).unwrap();
        assert_eq!(machine.try_recv(), Some((bytes, offload)));
    }

    #[test]
    fn the_host_hears_what_is_announced_of_endpoints_and_nothing_of_the_gateway() {
        let (machine, transmit, _) = memory_port(16).unwrap();
        let (gateway, ..) = gateway_port_with_host(config(), Box::new(transmit)).unwrap();
        assert_eq!(machine.try_recv(), None);
        gateway.set_endpoint(host_mac(), &Endpoint::default());
        gateway.announce(&[HOST.into(), HOST6.into()], host_mac());
        let mut arp = machine.try_recv().unwrap().0;
        assert_eq!(ArpPacket::new_checked(&mut arp[14..]).unwrap().sender_mac(), host_mac());
        assert!(machine.try_recv().is_some());
        assert_eq!(machine.try_recv(), None);
    }

    #[test]
    fn a_host_that_is_down_does_not_take_the_port_down() {
        struct Down;
        impl Transmit for Down {
            fn send(&self, _: usize, _: &mut Frame, _: &mut Frame) -> Result<(), DropReason> {
                Err(DropReason::LinkDown)
            }
        }
        let (_gateway, to, _) = gateway_port_with_host(config(), Box::new(Down)).unwrap();
        let mut frame = Frame::new();
        frame.copy_from(&udp(GATEWAY, 1), Offload::default()).unwrap();
        assert_eq!(to.send(0, &mut frame, &mut Frame::new()), Err(DropReason::Refused));
    }
}
