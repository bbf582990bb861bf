//! Connections over which queries come (RFC 7766), each with a TCP/IP stack of its own.
//!
//! One stack for all would look through all its sockets for every segment and would need a socket
//! waiting for every connection to come. A stack a connection is found by its addresses and ports,
//! knows one socket only, and goes with it.

mod connection;
mod wire;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Instant;

use packet::wire::tcp::flags;
use packet::wire::{IpVersion, Ipv4Packet, Ipv6Packet, TcpPacket};

use super::Head;
use crate::gateway::build::Link;
use crate::gateway::pool::Buffer;
use crate::gateway::port::Shared;
use crate::gateway::reset;
use connection::Connection;

/// Connections of one gateway.
const MAX: usize = 64;
/// Connections of one address, and of one station.
const MAX_PER_PEER: usize = 16;

/// All connections of a gateway.
pub(super) struct Connections {
    all: Vec<Connection>,
    next_id: u64,
    /// What initial sequence numbers come from (RFC 6528: nobody outside can guess them).
    secret: RandomState,
}

impl Default for Connections {
    fn default() -> Self {
        let secret = RandomState::new();
        // Answers for connections of an earlier life must not meet one of this.
        let next_id = secret.hash_one(0);
        Self { all: Vec::new(), next_id, secret }
    }
}

impl Connections {
    /// When [`Connections::tick`] has something to do.
    pub(super) fn due(&self) -> Option<Instant> {
        self.all.iter().map(Connection::due).min()
    }

    /// Takes a segment, in an IP packet whose checksums are right.
    pub(super) fn segment(&mut self, shared: &Arc<Shared>, head: Head, packet: Buffer, now: Instant) {
        let known = self.all.iter().position(|c| c.head() == head);
        let at = match known {
            Some(at) => at,
            None if is_opening(&packet) => match self.open(shared, head, now) {
                Some(at) => at,
                None => return,
            },
            None => return refuse(shared, &head, &packet),
        };
        if let Some(connection) = self.all.get_mut(at) {
            connection.receive(shared, packet, now);
            self.sweep(shared, at);
        }
    }

    /// Takes the answer to a query, or that there will be none.
    pub(super) fn answer(&mut self, shared: &Arc<Shared>, id: u64, message: Option<&[u8]>, now: Instant) {
        let Some(at) = self.all.iter().position(|c| c.id() == id) else { return };
        if let Some(connection) = self.all.get_mut(at) {
            connection.answer(shared, message, now);
            self.sweep(shared, at);
        }
    }

    /// Lets timers run out.
    pub(super) fn tick(&mut self, shared: &Arc<Shared>, now: Instant) {
        // From the back, since a connection that ends gives its place to the last.
        for at in (0..self.all.len()).rev() {
            if let Some(connection) = self.all.get_mut(at).filter(|c| c.due() <= now) {
                connection.tick(shared, now);
                self.sweep(shared, at);
            }
        }
    }

    /// Ends every connection without a word.
    pub(super) fn end_all(&mut self) {
        self.all.clear();
    }

    fn sweep(&mut self, shared: &Shared, at: usize) {
        if let Some(connection) = self.all.get(at).filter(|c| c.is_over()) {
            if connection.was_cut() {
                shared.stats.dns_connections_ended.add();
            }
            self.all.swap_remove(at);
        }
    }

    /// Makes room for a connection, if there may be one more; where it is.
    fn open(&mut self, shared: &Arc<Shared>, head: Head, now: Instant) -> Option<usize> {
        let is_peers = |c: &&Connection| c.head().source.ip() == head.source.ip() || c.head().mac == head.mac;
        let of_peer = self.all.iter().filter(is_peers).count();
        if self.all.len() >= MAX && of_peer < MAX_PER_PEER {
            // Who never finishes opening makes room for who may.
            let half_open = |c: &&(usize, &Connection)| c.1.is_half_open();
            let oldest = self
                .all
                .iter()
                .enumerate()
                .filter(|c| half_open(&c))
                .min_by_key(|(_, c)| c.id())
                .map(|(at, _)| at);
            if let Some(at) = oldest {
                self.all.swap_remove(at);
                shared.stats.dns_connections_ended.add();
            }
        }
        if self.all.len() >= MAX || of_peer >= MAX_PER_PEER {
            shared.stats.dns_connections_refused.add();
            return None;
        }
        self.next_id = self.next_id.wrapping_add(1);
        let seed = self.secret.hash_one((self.next_id, now));
        self.all.push(Connection::new(shared, head, (self.next_id, seed), now));
        shared.stats.dns_connections.add();
        Some(self.all.len() - 1)
    }
}

/// The segment in an IP packet.
fn segment_of(packet: &[u8]) -> Option<TcpPacket<&[u8]>> {
    let l4 = if packet.first()? >> 4 == 4 {
        Ipv4Packet::new_checked(packet).ok()?.header_len()
    } else {
        let (_, offset) = Ipv6Packet::new_checked(packet).ok()?.extensions().finish()?;
        packet::wire::ipv6::HEADER_LEN + offset
    };
    TcpPacket::new_checked(packet.get(l4..)?).ok()
}

fn is_opening(packet: &[u8]) -> bool {
    let opening = flags::SYN;
    segment_of(packet)
        .is_some_and(|s| s.flags() & (flags::SYN | flags::ACK | flags::RST | flags::FIN) == opening)
}

/// Resets a segment of no connection.
fn refuse(shared: &Arc<Shared>, head: &Head, packet: &[u8]) {
    let Some(segment) = segment_of(packet) else { return };
    let link = Link { to: head.mac, from: shared.state.load().mac() };
    let mut frame = shared.pool.zeroed(reset::MAX_FRAME);
    if let Some(len) = reset::answer(&mut frame, link, (head.server.ip(), head.source.ip()), &segment) {
        frame.truncate(len);
        shared.stats.resets.add();
        shared.send(frame);
    }
}

/// The version of a connection's packets.
fn version(head: &Head) -> IpVersion {
    if head.source.is_ipv4() { IpVersion::V4 } else { IpVersion::V6 }
}

#[cfg(test)]
mod tests;
