//! From a frame to its answer: a function of the frame, the configuration and the time.

use std::net::IpAddr;

use packet::MacAddr;
use packet::checksum::verify_transport;
use packet::wire::{
    EthernetFrame, Headers, Icmpv6Packet, IpHeaders, Ipv4Packet, Ipv6Packet, TcpPacket, ethertype, icmpv6,
    ipproto,
};

use super::build::{self, Link};
use super::config::State;
use super::dhcp::{self, Endpoints};
use super::icmp_error::{self, Fault};
use super::stats::{Counter, Counters};
use super::{arp, echo, ndp, reset};
use crate::dataplane::storm::Limit;

/// How often a gateway does what anybody can make it do, a second.
pub(super) struct Limits {
    /// ICMP errors about packets for itself.
    pub(super) errors: Limit,
    /// ICMP errors about packets for others.
    pub(super) no_route: Limit,
    /// Contradictions to who claims its address.
    pub(super) defence: Limit,
    /// Router advertisements.
    pub(super) advertisements: Limit,
}

impl Default for Limits {
    fn default() -> Self {
        let limit = |per_second| {
            let limit = Limit::default();
            limit.set(per_second);
            limit
        };
        Self { errors: limit(100), no_route: limit(100), defence: limit(1), advertisements: limit(10) }
    }
}

/// Everything an answer depends on besides the frame.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) state: &'a State,
    pub(super) endpoints: &'a Endpoints,
    pub(super) stats: &'a Counters,
    pub(super) limits: &'a Limits,
    /// Milliseconds on a clock that only goes forward; wraps.
    pub(super) now_ms: u32,
}

/// What of earlier frames matters for later ones.
#[derive(Default)]
pub(super) struct Responder {
    requests: echo::Requests,
}

/// An IP packet on its way to an answer.
struct Arrival<'a> {
    frame: &'a [u8],
    ip: IpHeaders,
    /// Back to who sent it.
    link: Link,
    /// It was sent to the gateway's own MAC.
    direct: bool,
}

impl Responder {
    /// Writes the answer to `frame` into `out` and returns its length. `frame` is a wire frame with
    /// complete checksums; `None` where there is no answer, which was counted then.
    pub(super) fn answer(&mut self, scene: &Scene<'_>, frame: &[u8], out: &mut [u8]) -> Option<usize> {
        let stats = scene.stats;
        let Ok(ethernet) = EthernetFrame::new_checked(frame) else { return refused(&stats.malformed) };
        let (from, to) = (ethernet.source(), ethernet.destination());
        if from.is_multicast() || from == MacAddr::ZERO || from == scene.state.mac() {
            return refused(&stats.bad_source);
        }
        match ethernet.ethertype() {
            ethertype::ARP => arp::answer(scene, ethernet.payload(), out),
            ethertype::IPV4 | ethertype::IPV6 => {
                let Some(ip) = Headers::parse(frame).and_then(|h| h.ip) else {
                    return refused(&stats.malformed);
                };
                let link = Link { to: from, from: scene.state.mac() };
                let arrival = Arrival { frame, ip, link, direct: to == scene.state.mac() };
                match ethernet.ethertype() {
                    ethertype::IPV4 => self.answer4(scene, &arrival, out),
                    _ => self.answer6(scene, &arrival, out),
                }
            }
            tag if ethertype::is_vlan(tag) => refused(&stats.tagged),
            _ => refused(&stats.unanswered),
        }
    }

    fn answer4(&mut self, scene: &Scene<'_>, arrival: &Arrival<'_>, out: &mut [u8]) -> Option<usize> {
        let (state, stats, Arrival { frame, ip, link, .. }) = (scene.state, scene.stats, arrival);
        let Ok(packet) = Ipv4Packet::new_checked(frame.get(L3..)?) else { return refused(&stats.malformed) };
        if !packet.verify_checksum() || verify_transport(frame, L3, ip) == Some(false) {
            return refused(&stats.bad_checksum);
        }
        // Source routes (RFC 791) serve nobody but who wants an answer to go elsewhere.
        if packet.options().any(|o| matches!(o.kind, 131 | 137)) {
            return refused(&stats.bad_source);
        }
        if is_dhcp(state, arrival, &packet) {
            return dhcp::answer(scene, link.to, (packet.source(), packet.payload()), out);
        }
        let (own, peer) = (packet.destination(), packet.source());
        if !state.is_peer4(peer) {
            return refused(&stats.bad_source);
        }
        if !arrival.direct || own.is_multicast() || state.is_broadcast(own) {
            return refused(&stats.ignored);
        }
        let fault = if !state.owns4(own) {
            beyond(state, own.into(), packet.ttl())?
        } else if ip.protocol == ipproto::ICMP {
            return match echo::answer4(&mut self.requests, scene.now_ms, *link, &packet, out) {
                Some(len) => Some(counted(&stats.echo_replies, len)),
                None => refused(if ip.fragment { &stats.fragments } else { &stats.unanswered }),
            };
        } else {
            match unwanted(stats, arrival) {
                Unwanted::Segment(segment) => {
                    let len = reset::answer(out, *link, (own.into(), peer.into()), &segment)?;
                    return Some(counted(&stats.resets, len));
                }
                Unwanted::Fault(fault) => fault,
                Unwanted::Refused => return None,
            }
        };
        if !icmp_error::may_answer4(frame, ip, &packet) || !allowed(scene, fault) {
            return None;
        }
        let source = if state.owns4(own) { own } else { state.facing4(peer)? };
        let len = icmp_error::error4(out, *link, source, frame.get(L3..)?, fault)?;
        Some(counted(&stats.errors_sent, len))
    }

    fn answer6(&mut self, scene: &Scene<'_>, arrival: &Arrival<'_>, out: &mut [u8]) -> Option<usize> {
        let (state, stats, Arrival { frame, ip, link, direct }) = (scene.state, scene.stats, arrival);
        let Ok(packet) = Ipv6Packet::new_checked(frame.get(L3..)?) else { return refused(&stats.malformed) };
        if state.link_local.is_none() {
            return refused(&stats.ignored);
        }
        if verify_transport(frame, L3, ip) == Some(false) {
            return refused(&stats.bad_checksum);
        }
        let (own, peer) = (packet.destination(), packet.source());
        let icmp = (ip.protocol == ipproto::ICMPV6).then(|| frame.get(ip.l4..ip.end)).flatten();
        let kind = icmp.and_then(|i| i.first()).copied();
        let whole = !ip.fragment && ip.l4 == build::V6;
        if let Some(icmp) = icmp
            && whole
            && matches!(kind, Some(icmpv6::kind::ROUTER_SOLICITATION..=icmpv6::kind::REDIRECT))
            && (state.owns6(own) || state.listens(own))
        {
            let message = ndp::Message {
                from: link.to,
                source: peer,
                destination: own,
                hops: packet.hop_limit(),
                icmp,
            };
            return ndp::answer(scene, &message, out);
        }
        if !state.is_peer6(peer) {
            return refused(&stats.bad_source);
        }
        if ip.routed {
            return refused(&stats.unanswered);
        }
        if own.is_multicast() {
            // Echo requests to a group may be answered (RFC 4443, section 4.2), from one's own address.
            let asked =
                whole && state.listens(own) && icmp.is_some_and(|i| Icmpv6Packet::new_checked(i).is_ok());
            return match state.facing6(peer) {
                Some(source) if asked => self.echo6(scene, arrival, (&packet, source), out),
                _ => refused(&stats.ignored),
            };
        }
        if !direct {
            return refused(&stats.ignored);
        }
        let fault = if !state.owns6(own) {
            // Never beyond the link (RFC 4291, section 2.5.6).
            if own.is_unicast_link_local() || peer.is_unicast_link_local() {
                return refused(&stats.unanswered);
            }
            beyond(state, own.into(), packet.hop_limit())?
        } else if ip.protocol == ipproto::ICMPV6 {
            return self.echo6(scene, arrival, (&packet, own), out);
        } else {
            match unwanted(stats, arrival) {
                Unwanted::Segment(segment) => {
                    let len = reset::answer(out, *link, (own.into(), peer.into()), &segment)?;
                    return Some(counted(&stats.resets, len));
                }
                Unwanted::Fault(fault) => fault,
                Unwanted::Refused => return None,
            }
        };
        if !icmp_error::may_answer6(frame, ip, &packet) || !allowed(scene, fault) {
            return None;
        }
        let source = if state.owns6(own) { own } else { state.facing6(peer)? };
        let len = icmp_error::error6(out, *link, source, frame.get(L3..)?, fault)?;
        Some(counted(&stats.errors_sent, len))
    }

    fn echo6(
        &mut self,
        scene: &Scene<'_>,
        arrival: &Arrival<'_>,
        (packet, source): (&Ipv6Packet<&[u8]>, std::net::Ipv6Addr),
        out: &mut [u8],
    ) -> Option<usize> {
        let (stats, l4) = (scene.stats, arrival.ip.l4.checked_sub(build::V6)?);
        match echo::answer6(&mut self.requests, scene.now_ms, (arrival.link, source), (packet, l4), out) {
            Some(len) => Some(counted(&stats.echo_replies, len)),
            None => refused(if arrival.ip.fragment { &stats.fragments } else { &stats.unanswered }),
        }
    }
}

/// Where the IP header of an untagged frame begins.
pub(super) const L3: usize = packet::wire::ethernet::HEADER_LEN;

fn is_dhcp(state: &State, arrival: &Arrival<'_>, packet: &Ipv4Packet<&[u8]>) -> bool {
    let ip = &arrival.ip;
    let destination = packet.destination();
    state.config.dhcp.is_some()
        && ip.protocol == ipproto::UDP
        && !ip.fragment
        && ip.ports(arrival.frame).is_some_and(|(_, port)| port == dhcp::SERVER_PORT)
        && (state.owns4(destination) || state.is_broadcast(destination))
}

/// What a packet for the gateway itself is, if nothing of the gateway wants it.
enum Unwanted<'a> {
    Segment(TcpPacket<&'a [u8]>),
    Fault(Fault),
    Refused,
}

fn unwanted<'a>(stats: &Counters, arrival: &Arrival<'a>) -> Unwanted<'a> {
    let ip = &arrival.ip;
    if ip.fragment {
        stats.fragments.add();
        return Unwanted::Refused;
    }
    let segment = || arrival.frame.get(ip.l4..ip.end).and_then(|s| TcpPacket::new_checked(s).ok());
    let unwanted = match ip.protocol {
        ipproto::UDP => ip.payload.map(|_| Unwanted::Fault(Fault::Port)),
        ipproto::TCP => segment().map(Unwanted::Segment),
        _ => Some(Unwanted::Fault(Fault::Protocol)),
    };
    unwanted.unwrap_or_else(|| {
        stats.malformed.add();
        Unwanted::Refused
    })
}

/// Why a packet for others does not go on.
fn beyond(state: &State, destination: IpAddr, hops: u8) -> Option<Fault> {
    state.config.beyond.as_ref().map_or(Some(Fault::NoRoute), |beyond| beyond.fault(destination, hops))
}

/// Whether one more error may be sent. Those about packets for others were allowed before they
/// came this far.
fn allowed(scene: &Scene<'_>, fault: Fault) -> bool {
    let for_others = matches!(fault, Fault::NoRoute | Fault::NoNeighbour | Fault::HopLimit);
    let allowed = for_others || scene.limits.errors.allow(scene.now_ms);
    if !allowed {
        scene.stats.errors_limited.add();
    }
    allowed
}

fn counted(counter: &Counter, len: usize) -> usize {
    counter.add();
    len
}

fn refused(counter: &Counter) -> Option<usize> {
    counter.add();
    None
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
