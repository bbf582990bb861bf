//! IPv6 neighbour discovery (RFC 4861): addresses and routers.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;
use packet::MacAddr;
use packet::wire::icmpv6::{NEIGHBOR_LEN, kind, neighbor_flags, option};
use packet::wire::{Icmpv6Packet, ipproto};

use super::answer::Scene;
use super::build::{self, Header6, Link, put};
use super::config::{ALL_NODES, State, is_solicited_node, multicast_mac};

/// Hops of every neighbour discovery packet: none was forwarded.
pub(super) const HOPS: u8 = 255;
/// Seconds a router advertisement makes the gateway a default router: three times the longest
/// interval at which they are to be repeated (RFC 4861, section 6.2.1).
const ROUTER_LIFETIME: u16 = 1800;
/// Name servers in one router advertisement.
const MAX_SERVERS: usize = 4;
/// Prefixes in one router advertisement.
const MAX_PREFIXES: usize = 8;
/// Bytes of the longest router advertisement's frame.
pub(super) const MAX_ADVERTISEMENT: usize = build::V6 + 16 + 8 + 8 + MAX_PREFIXES * 32 + 8 + MAX_SERVERS * 16;

/// One neighbour discovery message as it came.
pub(super) struct Message<'a> {
    pub(super) from: MacAddr,
    pub(super) source: Ipv6Addr,
    pub(super) destination: Ipv6Addr,
    pub(super) hops: u8,
    /// The ICMPv6 message; its checksum is right.
    pub(super) icmp: &'a [u8],
}

/// The answer to a neighbour or router solicitation.
pub(super) fn answer(scene: &Scene<'_>, message: &Message<'_>, out: &mut [u8]) -> Option<usize> {
    let stats = scene.stats;
    let Ok(icmp) = Icmpv6Packet::new_checked(message.icmp) else {
        stats.malformed.add();
        return None;
    };
    let options = match icmp.kind() {
        kind::ROUTER_SOLICITATION => message.icmp.get(8..),
        _ => message.icmp.get(NEIGHBOR_LEN..),
    };
    let anonymous = message.source.is_unspecified();
    let named = icmp.ndp_options().any(|o| o.kind == option::SOURCE_LINK_LAYER);
    if message.hops != HOPS || icmp.code() != 0 || !options.is_some_and(are_whole) || anonymous && named {
        stats.malformed.add();
        return None;
    }
    if !anonymous && !scene.state.is_peer6(message.source) {
        stats.bad_source.add();
        return None;
    }
    match icmp.kind() {
        kind::NEIGHBOR_SOLICITATION => solicited(scene, message, icmp.target()?, out),
        kind::ROUTER_SOLICITATION if scene.limits.advertisements.allow(scene.now_ms) => {
            let to = if anonymous { None } else { Some((message.from, message.source)) };
            stats.router_advertisements.add();
            router_advertisement(out, scene.state, to)
        }
        _ => None,
    }
}

fn solicited(scene: &Scene<'_>, message: &Message<'_>, target: Ipv6Addr, out: &mut [u8]) -> Option<usize> {
    let state = scene.state;
    if !state.owns6(target) {
        scene.stats.ignored.add();
        return None;
    }
    let router = if state.config.router { neighbor_flags::ROUTER } else { 0 };
    let (to, destination, flags) = if message.source.is_unspecified() {
        // Duplicate address detection asks in the group only (section 7.1.1).
        if !is_solicited_node(message.destination) {
            scene.stats.malformed.add();
            return None;
        }
        (multicast_mac(ALL_NODES), ALL_NODES, 0)
    } else {
        (message.from, message.source, neighbor_flags::SOLICITED)
    };
    scene.stats.neighbor_advertisements.add();
    let link = Link { to, from: state.mac() };
    let flags = flags | router | neighbor_flags::OVERRIDE;
    advertisement(out, link, (target, destination), (state.mac(), target), flags)
}

/// An unsolicited advertisement to everybody that `who` has an address, sent by the station
/// `from` (RFC 4861, section 7.2.6).
pub(super) fn announcement(
    out: &mut [u8],
    from: MacAddr,
    who: (MacAddr, Ipv6Addr),
    router: bool,
) -> Option<usize> {
    let link = Link { to: multicast_mac(ALL_NODES), from };
    let flags = neighbor_flags::OVERRIDE | if router { neighbor_flags::ROUTER } else { 0 };
    advertisement(out, link, (who.1, ALL_NODES), who, flags)
}

/// Bytes of a frame with a neighbour advertisement.
pub(super) const FRAME_LEN: usize = build::V6 + NEIGHBOR_LEN + 8;

fn advertisement(
    out: &mut [u8],
    link: Link,
    (source, destination): (Ipv6Addr, Ipv6Addr),
    (mac, target): (MacAddr, Ipv6Addr),
    flags: u8,
) -> Option<usize> {
    let header = Header6 { source, destination, next: ipproto::ICMPV6, class: 0, hops: HOPS };
    let body = build::ipv6(out, link, &header, NEIGHBOR_LEN + 8)?;
    body.fill(0);
    put(body, 0, [kind::NEIGHBOR_ADVERTISEMENT]);
    put(body, NEIGHBOR_LEN, [option::TARGET_LINK_LAYER, 1]);
    put(body, NEIGHBOR_LEN + 2, mac.0);
    let mut icmp = Icmpv6Packet::new_checked(body).ok()?;
    icmp.set_neighbor_flags(flags);
    icmp.set_target(target);
    icmp.fill_checksum(source, destination);
    Some(FRAME_LEN)
}

/// A router advertisement to one host or, without one, to everybody: the subnets as on-link
/// prefixes that nobody makes addresses from, the MTU, and the gateway as name server where it
/// answers DNS (RFC 8106). The lifetime is 0 where it is no way out.
pub(super) fn router_advertisement(
    out: &mut [u8],
    state: &State,
    to: Option<(MacAddr, Ipv6Addr)>,
) -> Option<usize> {
    let source = state.link_local?;
    let (mac, destination) = to.unwrap_or((multicast_mac(ALL_NODES), ALL_NODES));
    let prefixes = state.config.v6.get(..MAX_PREFIXES).unwrap_or(&state.config.v6);
    let servers = match &state.config.dns {
        Some(_) => state.config.v6.get(..MAX_SERVERS).unwrap_or(&state.config.v6),
        None => &[],
    };
    let rdnss = if servers.is_empty() { 0 } else { 8 + servers.len() * 16 };
    let len = 16 + 8 + 8 + prefixes.len() * 32 + rdnss;
    let header = Header6 { source, destination, next: ipproto::ICMPV6, class: 0, hops: HOPS };
    let body = build::ipv6(out, Link { to: mac, from: state.mac() }, &header, len)?;
    body.fill(0);
    put(body, 0, [kind::ROUTER_ADVERTISEMENT]);
    put(body, 4, [build::TTL]);
    put(body, 6, if state.config.router { ROUTER_LIFETIME } else { 0 }.to_be_bytes());
    put(body, 16, [option::SOURCE_LINK_LAYER, 1]);
    put(body, 18, state.mac().0);
    put(body, 24, [option::MTU, 1]);
    put(body, 28, state.config.mtu.to_be_bytes());
    let mut at = 32;
    for net in prefixes {
        put_prefix(body, at, net);
        at += 32;
    }
    if !servers.is_empty() {
        put(body, at, [option::RDNSS, (1 + servers.len() * 2) as u8]);
        put(body, at + 4, u32::MAX.to_be_bytes());
        for (i, net) in servers.iter().enumerate() {
            put(body, at + 8 + i * 16, net.addr().octets());
        }
    }
    Icmpv6Packet::new_checked(body).ok()?.fill_checksum(source, destination);
    Some(build::V6 + len)
}

/// A prefix option (RFC 4861, section 4.6.2): on-link, not autonomous, for ever.
fn put_prefix(body: &mut [u8], at: usize, net: &Ipv6Net) {
    const ON_LINK: u8 = 0x80;
    put(body, at, [option::PREFIX, 4, net.prefix_len(), ON_LINK]);
    put(body, at + 4, u32::MAX.to_be_bytes());
    put(body, at + 8, u32::MAX.to_be_bytes());
    put(body, at + 16, net.network().octets());
}

/// Every option has a length, and the last one ends where the message does (section 7.1.1).
fn are_whole(mut options: &[u8]) -> bool {
    while let [_, words, ..] = *options {
        match options.get(usize::from(words) * 8..) {
            Some(rest) if words > 0 => options = rest,
            _ => return false,
        }
    }
    options.is_empty()
}

#[cfg(test)]
#[path = "ndp_tests.rs"]
mod tests;
