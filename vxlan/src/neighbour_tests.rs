use std::net::Ipv4Addr;

use etherparse::{Icmpv6Type, PacketBuilder};
use proptest::prelude::*;

use super::*;
use crate::{NetworkConfig, Remote, Sender, Vni};

const ASKER: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const KNOWN: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

fn network() -> Network {
    let network = Network::new(Vni::new(1).unwrap(), &NetworkConfig::default());
    let vtep = "192.0.2.1".parse().unwrap();
    network.add_peer(&Sender::without_sockets(), vtep).unwrap();
    let addresses = vec!["10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()];
    network.set_remote(&Remote { mac: KNOWN, addresses, vtep }).unwrap();
    network
}

fn ask(network: &Network, bytes: &[u8]) -> Option<Vec<u8>> {
    let (mut frame, mut out) = (Frame::new(), Frame::new());
    frame.copy_from(bytes, Offload::NONE).unwrap();
    answer(network, &frame, &mut out).then(|| out.bytes().to_vec())
}

fn arp(operation: u16, from: [u8; 4], wanted: [u8; 4]) -> Vec<u8> {
    let mut bytes = [&[0xff; 6][..], &ASKER.0, &[8, 6], &[0; 46]].concat();
    let mut packet = ArpPacket::new_written(&mut bytes[14..]).unwrap();
    packet.set_operation(operation);
    packet.set_sender(ASKER, from.into());
    packet.set_target(MacAddr::ZERO, wanted.into());
    bytes
}

/// As RFC 4861, section 4.3, draws it, with the checksum of an independent hand.
fn solicitation(from: Ipv6Addr, target: Ipv6Addr, hop_limit: u8) -> Vec<u8> {
    let group = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 2];
    let body = [&target.octets()[..], &[1, 1], &ASKER.0].concat();
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2(ASKER.0, [0x33, 0x33, 0xff, 0, 0, 2])
        .ipv6(from.octets(), group, hop_limit)
        .icmpv6(Icmpv6Type::NeighborSolicitation)
        .write(&mut bytes, &body)
        .unwrap();
    bytes
}

fn v6(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

#[test]
fn a_request_for_a_known_address_is_answered() {
    let reply = ask(&network(), &arp(arp::REQUEST, [10, 0, 0, 1], [10, 0, 0, 2])).unwrap();
    let ethernet = EthernetFrame::new_checked(&reply[..]).unwrap();
    assert_eq!((ethernet.destination(), ethernet.source()), (ASKER, KNOWN));
    let packet = ArpPacket::new_checked(&reply[14..]).unwrap();
    assert_eq!(packet.operation(), arp::REPLY);
    assert_eq!((packet.sender_mac(), packet.sender_ip()), (KNOWN, Ipv4Addr::new(10, 0, 0, 2)));
    assert_eq!((packet.target_mac(), packet.target_ip()), (ASKER, Ipv4Addr::new(10, 0, 0, 1)));
}

#[test]
fn who_probes_for_a_taken_address_hears_of_it() {
    // RFC 5227: a probe has no sender address.
    let reply = ask(&network(), &arp(arp::REQUEST, [0; 4], [10, 0, 0, 2])).unwrap();
    assert_eq!(ArpPacket::new_checked(&reply[14..]).unwrap().sender_mac(), KNOWN);
}

#[test]
fn what_is_not_known_or_no_question_is_not_answered() {
    let network = network();
    assert_eq!(ask(&network, &arp(arp::REQUEST, [10, 0, 0, 1], [10, 0, 0, 3])), None);
    assert_eq!(ask(&network, &arp(arp::REPLY, [10, 0, 0, 1], [10, 0, 0, 2])), None);
    assert_eq!(ask(&network, &arp(arp::REQUEST, [10, 0, 0, 2], [10, 0, 0, 2])), None, "an announcement");
    let question = arp(arp::REQUEST, [10, 0, 0, 1], [10, 0, 0, 2]);
    let mut single = question.clone();
    single[..6].copy_from_slice(&KNOWN.0);
    assert_eq!(ask(&network, &single), None, "to the station itself");
    let mut forged = question.clone();
    forged[11] = 9;
    assert_eq!(ask(&network, &forged), None, "the two sender addresses differ");
    let mut own = question;
    own[6..12].copy_from_slice(&KNOWN.0);
    own[22..28].copy_from_slice(&KNOWN.0);
    assert_eq!(ask(&network, &own), None, "the station asks for its own address");
}

#[test]
fn a_solicitation_for_a_known_address_is_answered() {
    let reply = ask(&network(), &solicitation(v6("fd00::1"), v6("fd00::2"), 255)).unwrap();
    let sliced = etherparse::SlicedPacket::from_ethernet(&reply).unwrap();
    let Some(etherparse::NetSlice::Ipv6(ip)) = sliced.net else { panic!("no IPv6") };
    assert_eq!((ip.header().hop_limit(), ip.header().source_addr()), (255, v6("fd00::2")));
    assert_eq!(ip.header().destination_addr(), v6("fd00::1"));
    let Some(etherparse::TransportSlice::Icmpv6(message)) = sliced.transport else { panic!("no ICMPv6") };
    assert!(message.is_checksum_valid(ip.header().source(), ip.header().destination()));
    assert_eq!(&reply[..12], [ASKER.0, KNOWN.0].concat());
    let message = Icmpv6Packet::new_checked(&reply[54..]).unwrap();
    assert_eq!(message.kind(), icmpv6::kind::NEIGHBOR_ADVERTISEMENT);
    assert_eq!(message.neighbor_flags(), 0x60);
    assert_eq!(message.target(), Some(v6("fd00::2")));
    let option = message.ndp_options().next().unwrap();
    assert_eq!((option.kind, option.mac()), (icmpv6::option::TARGET_LINK_LAYER, Some(KNOWN)));
}

#[test]
fn duplicate_address_detection_is_answered_to_all() {
    let reply = ask(&network(), &solicitation(Ipv6Addr::UNSPECIFIED, v6("fd00::2"), 255)).unwrap();
    assert_eq!(reply[..6], [0x33, 0x33, 0, 0, 0, 1]);
    let message = Icmpv6Packet::new_checked(&reply[54..]).unwrap();
    assert_eq!(message.neighbor_flags(), icmpv6::neighbor_flags::OVERRIDE);
    assert!(message.verify_checksum(v6("fd00::2"), ALL_NODES));
}

#[test]
fn solicitations_that_are_not_valid_are_not_answered() {
    let network = network();
    assert_eq!(ask(&network, &solicitation(v6("fd00::1"), v6("fd00::3"), 255)), None);
    assert_eq!(ask(&network, &solicitation(v6("fd00::1"), v6("fd00::2"), 254)), None, "from beyond the link");
    let mut wrong = solicitation(v6("fd00::1"), v6("fd00::2"), 255);
    wrong[56] ^= 1;
    assert_eq!(ask(&network, &wrong), None, "a wrong checksum");
}

proptest! {
    #[test]
    fn any_frame_is_answered_or_not(
        ethertype in prop::sample::select(vec![[8u8, 6], [0x86, 0xdd], [8, 0]]),
        rest in prop::collection::vec(any::<u8>(), 0..120),
    ) {
        let bytes = [&[0xff; 6][..], &ASKER.0, &ethertype, &rest].concat();
        let _ = ask(&network(), &bytes);
    }

    #[test]
    fn a_spoiled_question_is_answered_or_not(at in 0..86usize, by in 1..=255u8, cut in 14..=86usize) {
        let mut bytes = solicitation(v6("fd00::1"), v6("fd00::2"), 255);
        bytes[at] ^= by;
        bytes.truncate(cut);
        if let Some(reply) = ask(&network(), &bytes) {
            let Some(Headers { l3, ip: Some(ip), .. }) = Headers::parse(&reply) else { panic!("no answer") };
            prop_assert_eq!(packet::checksum::verify_transport(&reply, l3, &ip), Some(true));
        }
    }
}
