use std::net::Ipv6Addr;

use etherparse::{Icmpv6Type, NetSlice, SlicedPacket, TransportSlice};
use smoltcp::wire::{NdiscRepr, NdiscRouterFlags};

use super::super::samples::{Bench, GATEWAY6, HOST6, gateway_mac, host_mac};
use super::*;

/// A solicitation by hand, its checksum right.
fn solicitation(target: Ipv6Addr, source: Ipv6Addr, destination: Ipv6Addr, slla: bool) -> Vec<u8> {
    let mut bytes = vec![135, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend(target.octets());
    if slla {
        bytes.extend([1, 1]);
        bytes.extend(host_mac().0);
    }
    Icmpv6Packet::new_checked(&mut bytes[..]).unwrap().fill_checksum(source, destination);
    bytes
}

fn message(icmp: &[u8], source: Ipv6Addr, destination: Ipv6Addr) -> Message<'_> {
    Message { from: host_mac(), source, destination, hops: 255, icmp }
}

fn answered(bench: &Bench, message: &Message<'_>) -> Option<Vec<u8>> {
    let mut out = [0xaa; MAX_ADVERTISEMENT];
    answer(&bench.scene(), message, &mut out).map(|len| out[..len].to_vec())
}

fn sol_node() -> Ipv6Addr {
    super::super::config::solicited_node(GATEWAY6)
}

/// What an advertisement says: Ethernet and IP destination, flags, target, link-layer address.
fn read(frame: &[u8]) -> (MacAddr, Ipv6Addr, u8, Ipv6Addr, MacAddr) {
    let packet = SlicedPacket::from_ethernet(frame).unwrap();
    let Some(NetSlice::Ipv6(ip)) = &packet.net else { panic!("{packet:?}") };
    let header = ip.header();
    assert_eq!(header.hop_limit(), 255);
    let Some(TransportSlice::Icmpv6(icmp)) = packet.transport else { panic!("{packet:?}") };
    assert!(icmp.is_checksum_valid(header.source(), header.destination()));
    assert!(matches!(icmp.icmp_type(), Icmpv6Type::NeighborAdvertisement(_)));
    let view = Icmpv6Packet::new_checked(icmp.slice()).unwrap();
    let mac = view.ndp_options().next().and_then(|o| o.mac()).unwrap();
    let to = MacAddr(frame[..6].try_into().unwrap());
    assert_eq!(frame[6..12], gateway_mac().0);
    (to, header.destination().into(), view.neighbor_flags(), view.target().unwrap(), mac)
}

#[test]
fn a_solicitation_for_its_address_is_answered_to_who_asked() {
    let bench = Bench::new();
    let icmp = solicitation(GATEWAY6, HOST6, sol_node(), true);
    let reply = answered(&bench, &message(&icmp, HOST6, sol_node())).unwrap();
    assert_eq!(read(&reply), (host_mac(), HOST6, 0xe0, GATEWAY6, gateway_mac()));
    let link_local = super::super::config::link_local(gateway_mac());
    let icmp = solicitation(link_local, HOST6, link_local, false);
    let reply = answered(&bench, &message(&icmp, HOST6, link_local)).unwrap();
    assert_eq!(read(&reply).3, link_local);
}

#[test]
fn duplicate_address_detection_is_answered_to_everybody() {
    let bench = Bench::new();
    let icmp = solicitation(GATEWAY6, Ipv6Addr::UNSPECIFIED, sol_node(), false);
    let reply = answered(&bench, &message(&icmp, Ipv6Addr::UNSPECIFIED, sol_node())).unwrap();
    assert_eq!(read(&reply), (MacAddr([0x33, 0x33, 0, 0, 0, 1]), ALL_NODES, 0xa0, GATEWAY6, gateway_mac()));
}

#[test]
fn where_there_is_no_way_out_it_is_no_router() {
    let bench = Bench::with(|config| config.router = false);
    let icmp = solicitation(GATEWAY6, HOST6, sol_node(), true);
    let reply = answered(&bench, &message(&icmp, HOST6, sol_node())).unwrap();
    assert_eq!(read(&reply).2, 0x60);
}

#[test]
fn solicitations_that_break_the_rules_are_not_answered() {
    let bench = Bench::new();
    let whole = solicitation(GATEWAY6, HOST6, sol_node(), true);
    let other = solicitation("fd00::9".parse().unwrap(), HOST6, sol_node(), true);
    assert_eq!(answered(&bench, &message(&other, HOST6, sol_node())), None);
    let forwarded = Message { hops: 254, ..message(&whole, HOST6, sol_node()) };
    assert_eq!(answered(&bench, &forwarded), None);
    let mut endless = whole.clone();
    endless[25] = 0;
    assert_eq!(answered(&bench, &message(&endless, HOST6, sol_node())), None);
    let mut long = whole.clone();
    long[25] = 2;
    assert_eq!(answered(&bench, &message(&long, HOST6, sol_node())), None);
    let mut code = whole.clone();
    code[1] = 1;
    assert_eq!(answered(&bench, &message(&code, HOST6, sol_node())), None);
    // Detection of duplicates neither names a station nor asks one directly.
    assert_eq!(answered(&bench, &message(&whole, Ipv6Addr::UNSPECIFIED, sol_node())), None);
    let bare = solicitation(GATEWAY6, Ipv6Addr::UNSPECIFIED, GATEWAY6, false);
    assert_eq!(answered(&bench, &message(&bare, Ipv6Addr::UNSPECIFIED, GATEWAY6)), None);
    for source in [ALL_NODES, GATEWAY6, Ipv6Addr::LOCALHOST] {
        assert_eq!(answered(&bench, &message(&whole, source, sol_node())), None, "{source}");
    }
    for len in 0..24 {
        assert_eq!(answered(&bench, &message(&whole[..len], HOST6, sol_node())), None);
    }
}

#[test]
fn a_router_solicitation_brings_prefix_mtu_and_name_server() {
    let bench = Bench::with_dns();
    let icmp = [133, 0, 0, 0, 0, 0, 0, 0];
    let reply = answered(&bench, &message(&icmp, HOST6, ALL_NODES)).unwrap();
    assert_eq!(reply[..6], host_mac().0);
    let packet = smoltcp::wire::Icmpv6Packet::new_checked(&reply[54..]).unwrap();
    let NdiscRepr::RouterAdvert { hop_limit, flags, router_lifetime, lladdr, mtu, prefix_info, .. } =
        NdiscRepr::parse(&packet).unwrap()
    else {
        panic!("{packet:?}")
    };
    assert_eq!((hop_limit, flags, router_lifetime.secs()), (64, NdiscRouterFlags::empty(), 1800));
    assert_eq!(lladdr.unwrap().as_bytes(), gateway_mac().0);
    assert_eq!(mtu, Some(1400));
    let prefix = prefix_info.unwrap();
    assert_eq!((prefix.prefix_len, prefix.prefix), (64, "fd00::".parse().unwrap()));
    assert_eq!(prefix.flags, smoltcp::wire::NdiscPrefixInfoFlags::ON_LINK);
    let view = Icmpv6Packet::new_checked(&reply[54..]).unwrap();
    let rdnss = view.ndp_options().find(|o| o.kind == option::RDNSS).unwrap();
    assert_eq!(rdnss.data[6..], GATEWAY6.octets());
    assert!(view.verify_checksum(super::super::config::link_local(gateway_mac()), HOST6));
}

#[test]
fn without_a_way_out_or_dns_the_advertisement_says_so() {
    let bench = Bench::with(|config| config.router = false);
    let icmp = [133, 0, 0, 0, 0, 0, 0, 0];
    let reply = answered(&bench, &message(&icmp, Ipv6Addr::UNSPECIFIED, ALL_NODES)).unwrap();
    assert_eq!(reply[..6], [0x33, 0x33, 0, 0, 0, 1]);
    assert_eq!(reply[54 + 6..54 + 8], [0, 0]);
    let view = Icmpv6Packet::new_checked(&reply[54..]).unwrap();
    assert!(view.ndp_options().all(|o| o.kind != option::RDNSS));
    assert!(view.verify_checksum(super::super::config::link_local(gateway_mac()), ALL_NODES));
}

#[test]
fn an_announcement_names_the_endpoint() {
    let mut out = [0; FRAME_LEN];
    let len = announcement(&mut out, gateway_mac(), (host_mac(), HOST6), false).unwrap();
    assert_eq!(read(&out[..len]), (MacAddr([0x33, 0x33, 0, 0, 0, 1]), ALL_NODES, 0x20, HOST6, host_mac()));
}
