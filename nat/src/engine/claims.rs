//! Whose a packet is that a container sends to an address which the machine and the engine share.

use std::net::IpAddr;

use packet::{
    Frame,
    wire::{IpVersion, Ipv4Packet, Ipv6Packet, TcpPacket, ipproto, tcp::flags},
};

use super::{Engine, host::InsideId};
use crate::{classify::find_packet, flow::Endpoint, session};

impl Engine {
    /// Whether a frame to one of the gateway's addresses belongs to a flow of this engine, or begins
    /// a connection to what stands for an address of the machine. Everything else is the machine's,
    /// where that has the gateway's addresses too. A new UDP flow cannot be told from an answer to
    /// the machine, and so is none of the engine's.
    #[must_use]
    pub fn claims(&self, inside: InsideId, frame: &Frame) -> bool {
        self.claimed(inside, frame.bytes()).unwrap_or(false)
    }

    fn claimed(&self, inside: InsideId, bytes: &[u8]) -> Option<bool> {
        let (l3, ip) = find_packet(bytes).ok()?;
        if ip.fragment {
            return Some(false);
        }
        let packet = bytes.get(l3..ip.end)?;
        let (source, destination): (IpAddr, IpAddr) = match ip.version {
            IpVersion::V4 => {
                let v4 = Ipv4Packet::new_checked(packet).ok()?;
                (v4.source().into(), v4.destination().into())
            }
            IpVersion::V6 => {
                let v6 = Ipv6Packet::new_checked(packet).ok()?;
                (v6.source().into(), v6.destination().into())
            }
        };
        let (from, to) = ip.ports(bytes)?;
        let (local, remote) = (Endpoint::new(source, from), Endpoint::new(destination, to));
        match ip.protocol {
            ipproto::TCP => {
                let segment = TcpPacket::new_checked(bytes.get(ip.l4..ip.end)?).ok()?;
                let begins = segment.flags() & (flags::SYN | flags::ACK) == flags::SYN;
                let stands_for = || self.core.host(inside)?.stands_for(destination);
                Some(self.tcp.has(inside, local, remote) || begins && stands_for().is_some())
            }
            ipproto::UDP => Some(self.udp.has(&session::Key { inside, local, remote })),
            _ => None,
        }
    }
}
