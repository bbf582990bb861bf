//! DHCP for IPv4 (RFC 2131, RFC 2132): gives every station the address that is its own already.
//!
//! There is no pool and no lease database here. Which address belongs to which station is decided
//! elsewhere and told by [`Endpoints::set`]; DHCP only says it. Whom it was not told of gets no
//! answer, so that another server on the network may give one.

mod endpoints;
mod message;
mod options;
mod server;

use std::net::{Ipv4Addr, SocketAddr};

use packet::MacAddr;
use packet::wire::{UdpPacket, ipproto, udp};

pub(super) use endpoints::Endpoints;
use message::Request;
use server::{Outcome, Reply};

use super::answer::Scene;
use super::build::{self, Header4, Link};
use super::stats::Counters;

/// The port of servers.
pub(super) const SERVER_PORT: u16 = 67;
/// The port of clients.
const CLIENT_PORT: u16 = 68;

/// The answer to a DHCP message in a UDP datagram that `from` sent; its checksum is right.
pub(super) fn answer(
    scene: &Scene<'_>,
    from: MacAddr,
    (source, datagram): (Ipv4Addr, &[u8]),
    out: &mut [u8],
) -> Option<usize> {
    let stats = scene.stats;
    let udp = UdpPacket::new_checked(datagram).ok();
    let request = udp.as_ref().and_then(|udp| Request::parse(udp.payload()));
    // Only for itself: relays there are none, and nobody asks on another's behalf.
    let Some(request) = request.filter(|r| r.chaddr == from && r.giaddr.is_unspecified()) else {
        stats.dhcp_invalid.add();
        return None;
    };
    let endpoint = scene.endpoints.find(from);
    let outcome = match &endpoint {
        None => Outcome::Unknown,
        Some(endpoint) if !endpoint.limit.allow(scene.now_ms) => Outcome::Limited,
        Some(endpoint) => server::respond(scene.state, endpoint, &request, source),
    };
    count(stats, &outcome);
    match outcome {
        Outcome::Reply(reply) => send(&request, &reply, scene.state.mac(), out),
        _ => None,
    }
}

fn count(stats: &Counters, outcome: &Outcome<'_>) {
    use message::Kind::{Ack, Nak, Offer};
    let counter = match outcome {
        Outcome::Unknown => &stats.dhcp_unknown,
        Outcome::Limited => &stats.dhcp_limited,
        Outcome::Invalid => &stats.dhcp_invalid,
        Outcome::OtherServer => &stats.dhcp_other_server,
        Outcome::Released => &stats.dhcp_releases,
        Outcome::Declined => &stats.dhcp_declines,
        Outcome::Reply(reply) => match reply.kind {
            Offer => &stats.dhcp_offers,
            Ack => &stats.dhcp_acks,
            Nak => &stats.dhcp_naks,
            _ => return,
        },
    };
    counter.add();
}

/// The frame of a reply, to where RFC 2131, section 4.1 wants it: a client that has an address
/// gets it there; one that has none at the address it is about to have, unless it asks for
/// broadcast; a refusal is for everybody.
fn send(request: &Request<'_>, reply: &Reply<'_>, from: MacAddr, out: &mut [u8]) -> Option<usize> {
    let (to, destination) = if reply.kind == message::Kind::Nak {
        (MacAddr::BROADCAST, Ipv4Addr::BROADCAST)
    } else if !reply.ciaddr.is_unspecified() {
        (request.chaddr, reply.ciaddr)
    } else if request.broadcast {
        (MacAddr::BROADCAST, Ipv4Addr::BROADCAST)
    } else {
        (request.chaddr, reply.yiaddr)
    };
    let mut message = [0; message::MAX];
    let len = message::write(&mut message, request, reply)?;
    let len = udp::HEADER_LEN + len;
    let header = Header4::whole(reply.server, destination, ipproto::UDP);
    let datagram = build::ipv4(out, Link { to, from }, &header, len)?;
    datagram.get_mut(udp::HEADER_LEN..)?.copy_from_slice(message.get(..len - udp::HEADER_LEN)?);
    let (source, destination) = ((reply.server, SERVER_PORT), (destination, CLIENT_PORT));
    super::udp::fill(datagram, SocketAddr::from(source), SocketAddr::from(destination))?;
    Some(build::V4 + len)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
