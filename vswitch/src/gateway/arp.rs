//! ARP (RFC 826) and address conflict detection (RFC 5227).

use std::net::Ipv4Addr;

use packet::MacAddr;
use packet::wire::{ArpPacket, arp, ethernet, ethertype};

use super::answer::Scene;
use super::build::{self, Link};

/// Bytes of a frame with an ARP packet.
pub(super) const FRAME_LEN: usize = ethernet::HEADER_LEN + arp::PACKET_LEN;

/// A station and its address.
pub(super) type Party = (MacAddr, Ipv4Addr);

/// The answer to an ARP packet in `payload`: a reply to requests and probes for the gateway's own
/// addresses, an announcement to who claims one of them, nothing else.
pub(super) fn answer(scene: &Scene<'_>, payload: &[u8], out: &mut [u8]) -> Option<usize> {
    let (state, stats) = (scene.state, scene.stats);
    let Ok(request) = ArpPacket::new_checked(payload) else {
        stats.malformed.add();
        return None;
    };
    let (mac, sender, target) = (request.sender_mac(), request.sender_ip(), request.target_ip());
    if mac.is_multicast() || mac == MacAddr::ZERO || mac == state.mac() {
        stats.bad_source.add();
        return None;
    }
    if state.owns4(sender) {
        stats.arp_conflicts.add();
        return scene
            .limits
            .defence
            .allow(scene.now_ms)
            .then(|| announcement(out, state.mac(), (state.mac(), sender)))?;
    }
    if request.operation() != arp::REQUEST || !state.owns4(target) {
        stats.ignored.add();
        return None;
    }
    if !sender.is_unspecified() && !state.is_peer4(sender) {
        stats.bad_source.add();
        return None;
    }
    stats.arp_replies.add();
    let link = Link { to: mac, from: state.mac() };
    packet(out, link, arp::REPLY, (state.mac(), target), (mac, sender))
}

/// An announcement of `who` to everybody (RFC 5227, section 2.3), sent by the station `from`.
pub(super) fn announcement(out: &mut [u8], from: MacAddr, who: Party) -> Option<usize> {
    let link = Link { to: MacAddr::BROADCAST, from };
    packet(out, link, arp::REQUEST, who, (MacAddr::ZERO, who.1))
}

fn packet(out: &mut [u8], link: Link, operation: u16, sender: Party, target: Party) -> Option<usize> {
    let mut packet = ArpPacket::new_written(build::ethernet(out, link, ethertype::ARP)?).ok()?;
    packet.set_operation(operation);
    packet.set_sender(sender.0, sender.1);
    packet.set_target(target.0, target.1);
    Some(FRAME_LEN)
}

#[cfg(test)]
mod tests {
    use super::super::samples::{self, GATEWAY, HOST, gateway_mac, host_mac};
    use super::*;

    /// An ARP packet by hand.
    fn arp(operation: u8, sender: ([u8; 6], [u8; 4]), target: ([u8; 6], [u8; 4])) -> Vec<u8> {
        let mut bytes = vec![0, 1, 8, 0, 6, 4, 0, operation];
        for (mac, ip) in [sender, target] {
            bytes.extend(mac);
            bytes.extend(ip);
        }
        bytes
    }

    fn answered(request: &[u8]) -> Option<Vec<u8>> {
        let bench = samples::Bench::new();
        let mut out = [0xaa; 100];
        answer(&bench.scene(), request, &mut out).map(|len| out[..len].to_vec())
    }

    #[test]
    fn a_request_for_its_address_is_answered() {
        let (host, gateway) = (host_mac().0, gateway_mac().0);
        let reply = answered(&arp(1, (host, HOST.octets()), ([0; 6], GATEWAY.octets()))).unwrap();
        let expected =
            [&host[..], &gateway, &[8, 6], &arp(2, (gateway, GATEWAY.octets()), (host, HOST.octets()))];
        assert_eq!(reply, expected.concat());
        let parsed = etherparse::SlicedPacket::from_ethernet(&reply).unwrap();
        assert!(matches!(parsed.net, Some(etherparse::NetSlice::Arp(_))));
    }

    #[test]
    fn a_probe_is_answered() {
        let (host, gateway) = (host_mac().0, gateway_mac().0);
        let reply = answered(&arp(1, (host, [0; 4]), ([0; 6], GATEWAY.octets()))).unwrap();
        assert_eq!(reply[14..], arp(2, (gateway, GATEWAY.octets()), (host, [0; 4])));
    }

    #[test]
    fn others_addresses_are_none_of_its_business() {
        let host = host_mac().0;
        assert_eq!(answered(&arp(1, (host, HOST.octets()), ([0; 6], [172, 18, 0, 9]))), None);
        assert_eq!(answered(&arp(2, (host, HOST.octets()), (gateway_mac().0, GATEWAY.octets()))), None);
        assert_eq!(answered(&arp(1, (host, HOST.octets()), ([0; 6], HOST.octets()))), None);
    }

    #[test]
    fn nobody_and_everybody_get_no_answer() {
        let gateway = GATEWAY.octets();
        for mac in [[0; 6], [0xff; 6], [1, 0, 0, 0, 0, 1], gateway_mac().0] {
            assert_eq!(answered(&arp(1, (mac, HOST.octets()), ([0; 6], gateway))), None, "{mac:?}");
        }
        for ip in [[255; 4], [224, 0, 0, 1], [127, 0, 0, 1], [172, 18, 255, 255]] {
            assert_eq!(answered(&arp(1, (host_mac().0, ip), ([0; 6], gateway))), None, "{ip:?}");
        }
        for len in 0..28 {
            assert_eq!(answered(&arp(1, (host_mac().0, HOST.octets()), ([0; 6], gateway))[..len]), None);
        }
    }

    #[test]
    fn who_claims_its_address_is_contradicted_now_and_then() {
        let bench = samples::Bench::new();
        let claim = arp(1, (host_mac().0, GATEWAY.octets()), ([0; 6], GATEWAY.octets()));
        let mut out = [0; 100];
        let len = answer(&bench.scene(), &claim, &mut out).unwrap();
        let announced = arp(1, (gateway_mac().0, GATEWAY.octets()), ([0; 6], GATEWAY.octets()));
        assert_eq!(out[..len], [&[0xff; 6][..], &gateway_mac().0, &[8, 6], &announced].concat());
        assert_eq!(answer(&bench.scene(), &claim, &mut out), None);
        assert_eq!(bench.stats.snapshot().arp_conflicts, 2);
    }
}
