//! Answers to echo requests (RFC 792, RFC 4443). Nothing is put together again: each fragment of a
//! long request becomes the same fragment of the reply, since neither the data nor their place
//! differ, and the checksum only by the message type.

use std::net::IpAddr;

use packet::checksum::update_u16;
use packet::wire::{Icmpv4Packet, Icmpv6Packet, Ipv4Packet, Ipv6Packet, icmpv4, icmpv6, ipproto, ipv4, ipv6};

use super::build::{self, Header4, Header6, Link, get, put};

/// Long requests under way at once; a new one takes the place of the oldest.
const REQUESTS: usize = 16;
/// Milliseconds within which the fragments of a request follow the first.
const PATIENCE_MS: u32 = 15_000;

/// Which packet a fragment is of (RFC 791, section 3.2).
#[derive(Clone, Copy, PartialEq, Eq)]
struct Whole {
    source: IpAddr,
    destination: IpAddr,
    id: u32,
}

/// Echo requests whose first fragment was answered. Without it any fragment would have to be
/// thrown back, also between two that both do so.
#[derive(Default)]
pub(super) struct Requests {
    slots: [Option<(Whole, u32)>; REQUESTS],
    oldest: usize,
}

impl Requests {
    /// Whether to answer a fragment: the first of an echo request, or one that follows it.
    fn follow(&mut self, whole: Whole, first_is_echo: Option<bool>, last: bool, now_ms: u32) -> bool {
        let known = |slot: &Option<(Whole, u32)>| slot.is_some_and(|(w, _)| w == whole);
        match first_is_echo {
            Some(false) => false,
            Some(true) => {
                let at = self.slots.iter().position(known).unwrap_or(self.oldest);
                if at == self.oldest {
                    self.oldest = (self.oldest + 1) % REQUESTS;
                }
                if let Some(slot) = self.slots.get_mut(at) {
                    *slot = Some((whole, now_ms));
                }
                true
            }
            None => {
                let Some(slot) = self.slots.iter_mut().find(|slot| known(slot)) else { return false };
                let fresh = slot.is_some_and(|(_, since)| now_ms.wrapping_sub(since) < PATIENCE_MS);
                if last || !fresh {
                    *slot = None;
                }
                fresh
            }
        }
    }
}

/// The reply to an IPv4 echo request or a fragment of one. Options are not answered. `packet` is
/// from a peer to the gateway; if it is whole its ICMP checksum is right.
pub(super) fn answer4(
    requests: &mut Requests,
    now_ms: u32,
    link: Link,
    packet: &Ipv4Packet<&[u8]>,
    out: &mut [u8],
) -> Option<usize> {
    let (request, offset) = (packet.payload(), packet.fragment_offset());
    let head = (offset == 0).then(|| Icmpv4Packet::new_checked(request).ok());
    let is_echo = head
        .map(|icmp| icmp.is_some_and(|icmp| icmp.kind() == icmpv4::kind::ECHO_REQUEST && icmp.code() == 0));
    if packet.is_fragment() {
        let whole = Whole {
            source: packet.source().into(),
            destination: packet.destination().into(),
            id: packet.id().into(),
        };
        if !requests.follow(whole, is_echo, !packet.more_fragments(), now_ms) {
            return None;
        }
    } else if is_echo != Some(true) {
        return None;
    }
    let flags = if packet.dont_fragment() { ipv4::DONT_FRAGMENT } else { 0 }
        | if packet.more_fragments() { ipv4::MORE_FRAGMENTS } else { 0 };
    let header = Header4 {
        source: packet.destination(),
        destination: packet.source(),
        protocol: ipproto::ICMP,
        tos: packet.tos(),
        id: packet.id(),
        fragment: flags | u16::try_from(offset / 8).ok()?,
    };
    let reply = build::ipv4(out, link, &header, request.len())?;
    reply.copy_from_slice(request);
    if offset == 0 {
        let mut icmp = Icmpv4Packet::new_checked(reply).ok()?;
        icmp.set_kind(icmpv4::kind::ECHO_REPLY);
        if packet.is_fragment() {
            icmp.set_checksum(turned(icmp.checksum(), icmpv4::kind::ECHO_REQUEST, icmpv4::kind::ECHO_REPLY));
        } else {
            icmp.fill_checksum();
        }
    }
    Some(build::V4 + request.len())
}

/// [`answer4`] for IPv6. A fragment header is answered, other extension headers are not. `source`
/// is the gateway's address: not the packet's destination where that is a group.
pub(super) fn answer6(
    requests: &mut Requests,
    now_ms: u32,
    (link, source): (Link, std::net::Ipv6Addr),
    (packet, l4): (&Ipv6Packet<&[u8]>, usize),
    out: &mut [u8],
) -> Option<usize> {
    let request = packet.payload().get(l4..)?;
    let fragment = packet.extensions().find_map(|e| Some((e.fragment_word()?, e)));
    let mut header = Header6 {
        source,
        destination: packet.source(),
        next: ipproto::ICMPV6,
        class: packet.traffic_class(),
        hops: build::TTL,
    };
    let is_echo = |icmp: &[u8]| {
        Icmpv6Packet::new_checked(icmp).is_ok_and(|i| i.kind() == icmpv6::kind::ECHO_REQUEST && i.code() == 0)
    };
    let Some((word, extension)) = fragment else {
        if !is_echo(request) {
            return None;
        }
        let reply = build::ipv6(out, link, &header, request.len())?;
        reply.copy_from_slice(request);
        let mut icmp = Icmpv6Packet::new_checked(reply).ok()?;
        icmp.set_kind(icmpv6::kind::ECHO_REPLY);
        icmp.fill_checksum(header.source, header.destination);
        return Some(build::V6 + request.len());
    };
    // What follows the fragment header belongs to the data, other headers too; and the reply's sum
    // is the request's only between the same two addresses.
    if extension.offset + ipv6::FRAGMENT_HEADER_LEN != l4 || source != packet.destination() {
        return None;
    }
    let id = get(extension.bytes, 4)?;
    let first = (word & 0xfff8 == 0).then(|| is_echo(request));
    let whole = Whole {
        source: packet.source().into(),
        destination: packet.destination().into(),
        id: u32::from_be_bytes(id),
    };
    if !requests.follow(whole, first, word & 1 == 0, now_ms) {
        return None;
    }
    header.next = ipproto::FRAGMENT;
    let len = ipv6::FRAGMENT_HEADER_LEN + request.len();
    let reply = build::ipv6(out, link, &header, len)?;
    put(reply, 0, [ipproto::ICMPV6, 0]);
    put(reply, 2, (word & 0xfff9).to_be_bytes());
    put(reply, 4, id);
    let body = reply.get_mut(ipv6::FRAGMENT_HEADER_LEN..)?;
    body.copy_from_slice(request);
    if first.is_some() {
        let mut icmp = Icmpv6Packet::new_checked(body).ok()?;
        icmp.set_kind(icmpv6::kind::ECHO_REPLY);
        icmp.set_checksum(turned(icmp.checksum(), icmpv6::kind::ECHO_REQUEST, icmpv6::kind::ECHO_REPLY));
    }
    Some(build::V6 + len)
}

/// The checksum after the type changed, code 0 as it was.
fn turned(checksum: u16, from: u8, to: u8) -> u16 {
    match update_u16(checksum, u16::from_be_bytes([from, 0]), u16::from_be_bytes([to, 0])) {
        // Both are the same number, but only this one is right where all that is summed is zero.
        0 => 0xffff,
        checksum => checksum,
    }
}

#[cfg(test)]
#[path = "echo_tests.rs"]
mod tests;
