//! Packets to a container, in fragments where they are longer than its interface takes.

use std::{collections::hash_map::RandomState, hash::BuildHasher, net::IpAddr};

use packet::{
    Frame,
    checksum::Sum,
    wire::{EthernetFrame, Ipv4Packet, Ipv6Packet, ethernet, ethertype, ipproto, ipv4, ipv6, udp},
};

use crate::{
    counters::Counters,
    engine::{
        Inside, SendError,
        build::{Link, Route},
        core::Core,
        host::InsideId,
    },
    time::Time,
};

/// Hops that a packet of ours may take.
pub(crate) const HOPS: u8 = 64;
/// Bytes of an IPv6 fragment header.
const FRAGMENT_HEADER: usize = 8;
/// The longest packet that is ever cut, and the longest interface.
const LONGEST: usize = 65_535;

/// What the IP header of a packet says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    pub(crate) route: Route,
    pub(crate) protocol: u8,
    pub(crate) hops: u8,
    /// Type of service or traffic class.
    pub(crate) tos: u8,
}

impl Head {
    /// Of a packet that an error quotes. Its hops are those that it had then: who has none left to
    /// give says so.
    pub(crate) const fn quoted(source: IpAddr, destination: IpAddr, protocol: u8) -> Self {
        Self { route: Route { source, destination }, protocol, hops: 1, tos: 0 }
    }

    pub(crate) const fn is_v6(&self) -> bool {
        self.route.source.is_ipv6()
    }

    /// Bytes of the IP header.
    pub(crate) const fn len(&self) -> usize {
        if self.is_v6() { ipv6::HEADER_LEN } else { ipv4::HEADER_LEN }
    }

    /// The sum of the pseudo-header of so many bytes of transport.
    pub(crate) fn pseudo(&self, len: usize) -> Sum {
        match (self.route.source, self.route.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                Sum::pseudo_ipv4(source, destination, self.protocol, len)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                Sum::pseudo_ipv6(source, destination, self.protocol, len)
            }
            _ => Sum::ZERO,
        }
    }
}

/// Which part of a packet this is.
#[derive(Clone, Copy, Debug)]
struct Part {
    id: u32,
    /// In bytes.
    offset: usize,
    more: bool,
}

/// Writes the Ethernet and the IP header of a packet as long as `area`; returns where its
/// transport begins, in bytes from the frame's first. `None` if it does not fit.
pub(crate) fn write_headers(area: &mut [u8], link: Link, head: &Head) -> Option<usize> {
    write(area, link, head, None)
}

fn write(area: &mut [u8], link: Link, head: &Head, part: Option<Part>) -> Option<usize> {
    let mut ethernet = EthernetFrame::new_checked(&mut *area).ok()?;
    ethernet.set_destination(link.container);
    ethernet.set_source(link.gateway);
    ethernet.set_ethertype(if head.is_v6() { ethertype::IPV6 } else { ethertype::IPV4 });
    let packet = area.get_mut(ethernet::HEADER_LEN..)?;
    let mut transport = ethernet::HEADER_LEN + head.len();
    match (head.route.source, head.route.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut ip = Ipv4Packet::new_written(packet).ok()?;
            ip.set_tos(head.tos);
            ip.set_ttl(head.hops);
            ip.set_protocol(head.protocol);
            ip.set_source(source);
            ip.set_destination(destination);
            match part {
                None => ip.set_fragment_word(ipv4::DONT_FRAGMENT),
                Some(Part { id, offset, more }) => {
                    ip.set_id(id as u16);
                    let more = if more { ipv4::MORE_FRAGMENTS } else { 0 };
                    ip.set_fragment_word((offset / 8) as u16 | more);
                }
            }
            ip.fill_checksum();
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut ip = Ipv6Packet::new_written(packet).ok()?;
            ip.set_traffic_class(head.tos);
            ip.set_hop_limit(head.hops);
            ip.set_source(source);
            ip.set_destination(destination);
            ip.set_next_header(head.protocol);
            if let Some(Part { id, offset, more }) = part {
                ip.set_next_header(ipproto::FRAGMENT);
                let [o0, o1] = (offset as u16 | u16::from(more)).to_be_bytes();
                let [i0, i1, i2, i3] = id.to_be_bytes();
                let header: [u8; FRAGMENT_HEADER] = [head.protocol, 0, o0, o1, i0, i1, i2, i3];
                ip.payload_mut().get_mut(..FRAGMENT_HEADER)?.copy_from_slice(&header);
                transport += FRAGMENT_HEADER;
            }
        }
        _ => return None,
    }
    Some(transport)
}

/// The header of a UDP datagram with its checksum.
pub(crate) fn udp_header(head: &Head, ports: (u16, u16), data: &[u8]) -> [u8; udp::HEADER_LEN] {
    let len = udp::HEADER_LEN + data.len();
    let mut header = [0; udp::HEADER_LEN];
    for (field, word) in header.chunks_exact_mut(2).zip([ports.0, ports.1, len as u16, 0]) {
        field.copy_from_slice(&word.to_be_bytes());
    }
    let checksum = (head.pseudo(len) + Sum::of(&header) + Sum::of(data)).udp_checksum();
    let [high, low] = checksum.to_be_bytes();
    let [s0, s1, d0, d1, l0, l1, ..] = header;
    [s0, s1, d0, d1, l0, l1, high, low]
}

/// Sends packets to containers, cut where need be.
#[derive(Debug)]
pub(crate) struct Splitter {
    frame: Frame,
    /// Identification of the next packet that is cut, which nobody can foresee (RFC 7739).
    id: u32,
}

impl Splitter {
    pub(crate) fn new(now: Time) -> Self {
        Self { frame: Frame::new(), id: RandomState::new().hash_one(now.micros()) as u32 }
    }

    /// Sends a packet with the given transport, header and data, whose checksum is complete.
    /// Returns how many frames it took.
    ///
    /// # Errors
    /// What the container's queue said; the rest of the packet is not sent then.
    #[allow(clippy::too_many_arguments, reason = "they come from five places")]
    pub(crate) fn send(
        &mut self,
        counters: &mut Counters,
        inside: InsideId,
        link: Link,
        mtu: u16,
        head: &Head,
        transport: [&[u8]; 2],
        out: &mut dyn Inside,
    ) -> Result<usize, SendError> {
        let len = transport[0].len() + transport[1].len();
        if head.len() + len <= usize::from(mtu) {
            self.part(link, head, transport, 0, len, None);
            return Core::send(counters, inside, &mut self.frame, out).map(|()| 1);
        }
        self.id = self.id.wrapping_add(1);
        let overhead = head.len() + if head.is_v6() { FRAGMENT_HEADER } else { 0 };
        let room = (usize::from(mtu).min(LONGEST).saturating_sub(overhead) & !7).max(8);
        let mut count = 0;
        for offset in (0..len).step_by(room) {
            let size = room.min(len - offset);
            let part = Part { id: self.id, offset, more: offset + size < len };
            self.part(link, head, transport, offset, size, Some(part));
            Core::send(counters, inside, &mut self.frame, out)?;
            count += 1;
        }
        Ok(count)
    }

    /// Makes the frame `len` bytes of the transport from `from` on.
    fn part(
        &mut self,
        link: Link,
        head: &Head,
        transport: [&[u8]; 2],
        from: usize,
        len: usize,
        part: Option<Part>,
    ) {
        let header = if part.is_some() && head.is_v6() { FRAGMENT_HEADER } else { 0 };
        let total = ethernet::HEADER_LEN + head.len() + header + len;
        let area = self.frame.plain_area();
        // A packet of 64 KiB fits, which is more than an interface takes.
        let Some(area) = area.get_mut(..total) else { return };
        let Some(at) = write(area, link, head, part) else { return };
        let mut rest = area.get_mut(at..).unwrap_or(&mut []);
        let mut skip = from;
        for piece in transport {
            let piece = piece.get(skip.min(piece.len())..).unwrap_or(&[]);
            skip = skip.saturating_sub(transport[0].len());
            let (to, next) = rest.split_at_mut(piece.len().min(rest.len()));
            to.copy_from_slice(piece.get(..to.len()).unwrap_or(&[]));
            rest = next;
        }
        let _ = self.frame.commit_plain(total);
    }
}

#[cfg(test)]
#[path = "split_tests.rs"]
mod tests;
