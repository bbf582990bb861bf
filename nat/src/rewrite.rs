//! Addresses, ports and hops of a frame, changed in place.
//!
//! Checksums are patched with what changes under them (RFC 1624), not summed anew: a super-frame
//! costs what a short frame costs, and a checksum that was wrong stays wrong for its receiver to
//! find. A partial checksum stays partial: only the addresses count in its pseudo-header sum, the
//! ports lie under the sum that is still to come.

use std::net::IpAddr;

use packet::{
    Checksum, Frame,
    checksum::{Delta, field_offset},
    wire::{IpHeaders, IpVersion, Ipv4Packet, Ipv6Packet},
};

use crate::{
    classify::{Untranslatable, find_packet, find_transport},
    flow::{Endpoint, Transport},
};

/// What is to be changed in a packet. The Ethernet header is not: that is the next hop's business.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rewrite {
    /// The new source; of an echo reply only its address counts.
    pub source: Option<Endpoint>,
    /// The new destination; of an echo request only its address counts.
    pub destination: Option<Endpoint>,
    /// The packet is forwarded: it has one hop less to go (RFC 1812, section 5.3.1).
    pub forward: bool,
}

/// Why a frame was not rewritten.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RewriteError {
    /// It belongs to no flow.
    #[error(transparent)]
    Untranslatable(#[from] Untranslatable),
    /// It is a part of a packet: reassemble that first.
    #[error("fragment of a packet")]
    Fragment,
    /// A new address is of the other IP version.
    #[error("an address of the other IP version")]
    AddressFamily,
    /// It has no hop left; its sender is owed an ICMP time exceeded.
    #[error("no hops left")]
    HopsExhausted,
    /// The offload metadata place the checksum elsewhere than the headers do.
    #[error("partial checksum at {start}+{offset} is not that of the transport header")]
    ForeignPartial {
        /// Where the sum starts, in bytes from the frame's first.
        start: u16,
        /// Where the field lies, in bytes from `start`.
        offset: u16,
    },
}

/// Applies `change` to the packet in `frame`, a super-frame or not, behind VLAN tags or not. The
/// offload metadata stay true. Allocates nothing.
///
/// # Errors
/// [`RewriteError`]; the frame is unchanged then.
#[inline]
pub fn rewrite(frame: &mut Frame, change: &Rewrite) -> Result<(), RewriteError> {
    let (l3, ip) = find_packet(frame.bytes())?;
    if ip.fragment {
        return Err(RewriteError::Fragment);
    }
    let transport = find_transport(frame.bytes(), l3, &ip)?;
    for end in [change.source, change.destination].into_iter().flatten() {
        if end.ip.is_ipv4() != (ip.version == IpVersion::V4) {
            return Err(RewriteError::AddressFamily);
        }
    }
    let field = field_offset(ip.protocol).ok_or(Untranslatable::Protocol(ip.protocol))?;
    let partial = is_partial(frame.offload().checksum, &ip, field)?;

    // The headers of both layers side by side; whatever can fail does so before the first write.
    let packet = frame.bytes_mut().get_mut(l3..ip.end).ok_or(Untranslatable::Malformed)?;
    let (network, segment) = packet.split_at_mut_checked(ip.l4 - l3).ok_or(Untranslatable::Malformed)?;
    let addresses = match ip.version {
        IpVersion::V4 => patch_ipv4(network, change)?,
        IpVersion::V6 => patch_ipv6(network, change)?,
    };
    // ICMP for IPv4 is the one without a pseudo-header.
    let echo = matches!(transport, Transport::EchoRequest | Transport::EchoReply);
    let pseudo = if echo && ip.version == IpVersion::V4 { Delta::NONE } else { addresses };
    let all = patch_ports(segment, transport, change, pseudo);
    let checksum = u16_at(segment, field);
    let checksum = match (partial, transport) {
        (true, _) => pseudo.apply_partial(checksum),
        (false, Transport::Udp) => all.apply_udp(checksum),
        (false, _) => all.apply(checksum),
    };
    put_u16(segment, field, checksum);
    Ok(())
}

/// The checksum in the field at `ip.l4 + field` is a partial one.
fn is_partial(checksum: Checksum, ip: &IpHeaders, field: usize) -> Result<bool, RewriteError> {
    match checksum {
        Checksum::Unverified | Checksum::Verified => Ok(false),
        Checksum::Partial { start, offset }
            if usize::from(start) == ip.l4 && usize::from(offset) == field =>
        {
            Ok(true)
        }
        Checksum::Partial { start, offset } => Err(RewriteError::ForeignPartial { start, offset }),
    }
}

/// Changes an IPv4 header; returns what changed under a pseudo-header's sum.
fn patch_ipv4(header: &mut [u8], change: &Rewrite) -> Result<Delta, RewriteError> {
    let mut ip = Ipv4Packet::new_truncated(header).map_err(|_| Untranslatable::Malformed)?;
    let hops = hops_after(ip.ttl(), change)?;
    let mut addresses = Delta::NONE;
    if let Some(Endpoint { ip: IpAddr::V4(new), .. }) = change.source {
        addresses = addresses.replace_u32(ip.source().to_bits(), new.to_bits());
        ip.set_source(new);
    }
    if let Some(Endpoint { ip: IpAddr::V4(new), .. }) = change.destination {
        addresses = addresses.replace_u32(ip.destination().to_bits(), new.to_bits());
        ip.set_destination(new);
    }
    let word = |hops| u16::from_be_bytes([hops, ip.protocol()]);
    let header = addresses.replace_u16(word(ip.ttl()), word(hops));
    ip.set_ttl(hops);
    ip.set_checksum(header.apply(ip.checksum()));
    Ok(addresses)
}

/// Changes an IPv6 header, which has no checksum; returns what changed under a pseudo-header's sum.
fn patch_ipv6(header: &mut [u8], change: &Rewrite) -> Result<Delta, RewriteError> {
    let mut ip = Ipv6Packet::new_truncated(header).map_err(|_| Untranslatable::Malformed)?;
    let hops = hops_after(ip.hop_limit(), change)?;
    let mut addresses = Delta::NONE;
    if let Some(Endpoint { ip: IpAddr::V6(new), .. }) = change.source {
        addresses = addresses.replace_u128(ip.source().to_bits(), new.to_bits());
        ip.set_source(new);
    }
    if let Some(Endpoint { ip: IpAddr::V6(new), .. }) = change.destination {
        addresses = addresses.replace_u128(ip.destination().to_bits(), new.to_bits());
        ip.set_destination(new);
    }
    ip.set_hop_limit(hops);
    Ok(addresses)
}

/// The hops left after the change.
fn hops_after(hops: u8, change: &Rewrite) -> Result<u8, RewriteError> {
    match hops {
        hops if !change.forward => Ok(hops),
        0 | 1 => Err(RewriteError::HopsExhausted),
        hops => Ok(hops - 1),
    }
}

/// Changes ports or an echo's identifier; returns `delta` with that added.
fn patch_ports(segment: &mut [u8], transport: Transport, change: &Rewrite, delta: Delta) -> Delta {
    let (source, destination) = match transport {
        Transport::Tcp | Transport::Udp => (Some(0), Some(2)),
        Transport::EchoRequest => (Some(4), None),
        Transport::EchoReply => (None, Some(4)),
    };
    let mut delta = delta;
    for (end, at) in [(change.source, source), (change.destination, destination)] {
        if let (Some(end), Some(at)) = (end, at) {
            delta = delta.replace_u16(u16_at(segment, at), end.port);
            put_u16(segment, at, end.port);
        }
    }
    delta
}

/// The field at `at`, which is within a transport header known to be whole.
#[inline]
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(|b| b.first_chunk()).map_or(0, |field| u16::from_be_bytes(*field))
}

#[inline]
fn put_u16(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(field) = bytes.get_mut(at..).and_then(|b| b.first_chunk_mut()) {
        *field = value.to_be_bytes();
    }
}

#[cfg(test)]
#[path = "rewrite_tests.rs"]
mod tests;
