//! The machine itself behind the gateway: it has the gateway's MAC and addresses, and an interface of
//! its own on the network.
//!
//! The gateway goes on doing what must be done once: it answers ARP, IPv6 neighbour and router
//! discovery, DHCP, and DNS on port 53 at its addresses. All else that is sent to those addresses is
//! the host's, echo requests too: a fragment of a reply, which is the host's, does not differ from
//! one of a request. The host also gets the answers to its own questions for neighbours, what
//! neighbours announce, and IP broadcasts and multicasts that the gateway has no use for.

use packet::wire::{
    ArpPacket, EthernetFrame, Headers, IpHeaders, Ipv4Packet, Ipv6Packet, arp, ethertype, icmpv6, ipproto,
};

use super::classify::Class;
use super::config::State;
use super::dhcp;

/// The frame, which is `class` to the gateway, is the host's.
pub(super) fn takes(state: &State, class: Class, frame: &[u8]) -> bool {
    if !matches!(class, Class::Local | Class::Ignored) {
        return false;
    }
    let Ok(ethernet) = EthernetFrame::new_checked(frame) else { return false };
    let direct = ethernet.destination() == state.mac();
    // Another station's, flooded.
    if !direct && !ethernet.destination().is_multicast() {
        return false;
    }
    let unwanted = class == Class::Ignored;
    match ethernet.ethertype() {
        ethertype::ARP => ArpPacket::new_checked(ethernet.payload()).is_ok_and(|arp| {
            unwanted && if direct { arp.operation() == arp::REPLY } else { arp.is_gratuitous() }
        }),
        ethertype::IPV4 => Ipv4Packet::new_checked(ethernet.payload()).is_ok_and(|packet| {
            let to = packet.destination();
            if direct {
                state.owns4(to) && !is_dhcp(state, frame)
            } else {
                unwanted && (to.is_multicast() || state.is_broadcast(to))
            }
        }),
        ethertype::IPV6 if state.link_local.is_some() => {
            let Ok(packet) = Ipv6Packet::new_checked(ethernet.payload()) else { return false };
            let Some(ip) = Headers::parse(frame).and_then(|h| h.ip) else { return false };
            let to = packet.destination();
            let addressed = if direct { state.owns6(to) } else { to.is_multicast() };
            match discovery(&ip, frame) {
                Some(whole) => addressed && is_others_advertisement(state, whole),
                None => addressed && (direct || unwanted),
            }
        }
        _ => false,
    }
}

fn is_dhcp(state: &State, frame: &[u8]) -> bool {
    let ip =
        || Headers::parse(frame).and_then(|h| h.ip).filter(|ip| !ip.fragment && ip.protocol == ipproto::UDP);
    state.config.dhcp.is_some()
        && ip().and_then(|ip| ip.ports(frame)).is_some_and(|(_, port)| port == dhcp::SERVER_PORT)
}

/// The message, if it is one of neighbour discovery (RFC 4861, section 4). A router's advertisement
/// or a redirect from a container must not change the host's routes.
fn discovery<'a>(ip: &IpHeaders, frame: &'a [u8]) -> Option<&'a [u8]> {
    // Only at the beginning of a packet: the first bytes of a later fragment are any.
    ip.payload.filter(|_| ip.protocol == ipproto::ICMPV6)?;
    let message = frame.get(ip.l4..ip.end)?;
    let kinds = icmpv6::kind::ROUTER_SOLICITATION..=icmpv6::kind::REDIRECT;
    kinds.contains(message.first()?).then_some(message)
}

/// A neighbour says where it is, and it does not say that it is the gateway.
fn is_others_advertisement(state: &State, message: &[u8]) -> bool {
    let Some((head, _)) = message.split_first_chunk::<{ icmpv6::NEIGHBOR_LEN }>() else { return false };
    let [kind, _, _, _, _, _, _, _, target @ ..] = head;
    *kind == icmpv6::kind::NEIGHBOR_ADVERTISEMENT && !state.owns6((*target).into())
}

#[cfg(test)]
#[path = "host_tests.rs"]
mod tests;
