//! A super-frame while it grows.

use super::{Flow, Joined, LAST, MAX_PACKET, MAX_UDP_DATAGRAMS, Segment};
use crate::{
    checksum::{Sum, fill_ipv4},
    frame::Frame,
    offload::{Checksum, Gso, GsoKind, Offload},
    segment::MAX_TCP_SEGMENTS,
    wire::{IpHeaders, IpVersion, ipproto, ipv4, ipv6, put, slice, tcp, u8_at, u16_at, udp},
};

/// How the ids of IPv4 packets go on, known from the second on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ids {
    Unknown,
    Fixed,
    Counting,
}

/// Consecutive segments of one flow, joined.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) flow: Flow,
    /// The first segment; its `len` is that of all but the last.
    head: Segment,
    /// Sequence number of the byte after the last.
    next: u32,
    count: u16,
    ids: Ids,
}

impl Run {
    pub(super) fn new(flow: Flow, head: Segment) -> Self {
        let next = head.sequence.wrapping_add(u32::from(head.len));
        Self { flow, head, next, count: 1, ids: Ids::Unknown }
    }

    /// `other`, of an equal [`Flow`], has the same Ethernet header and IP addresses as `frame`.
    pub(super) fn matches(&self, frame: &Frame, other: &[u8]) -> bool {
        let l3 = self.flow.l3;
        let (from, len) = match self.flow.version {
            IpVersion::V4 => (l3 + ipv4::field::SOURCE, 8),
            IpVersion::V6 => (l3 + ipv6::field::SOURCE, 32),
        };
        let same = |from, to| slice(frame.bytes(), from, to) == slice(other, from, to);
        same(from, from + len) && same(0, l3)
    }

    /// Appends `segment`, which lies in `bytes`, to the super-frame in `frame` if the rules allow.
    pub(super) fn join(&mut self, frame: &mut Frame, bytes: &[u8], segment: &Segment) -> Option<Joined> {
        let ids = self.next_ids(frame, segment)?;
        let fits = segment.l4 == self.head.l4
            && segment.header == self.head.header
            && segment.len <= self.head.len
            && frame.len() - self.flow.l3 + usize::from(segment.len) <= MAX_PACKET
            && self.same_network(frame, bytes)
            && match self.flow.protocol {
                ipproto::TCP => self.follows_tcp(frame, bytes, segment),
                _ => true,
            };
        if !fits {
            return None;
        }
        frame.append(slice(bytes, usize::from(segment.header), bytes.len())).ok()?;
        let mut full = segment.len < self.head.len;
        if self.flow.protocol == ipproto::TCP {
            let at = usize::from(self.head.l4) + tcp::field::FLAGS;
            let flags = u8_at(frame.bytes(), at) | segment.flags & (tcp::flags::FIN | tcp::flags::PSH);
            put(frame.bytes_mut(), at, [flags]);
            full |= segment.flags & LAST != 0;
        }
        self.ids = ids;
        self.count += 1;
        self.next = self.next.wrapping_add(u32::from(segment.len));
        let most = if self.flow.protocol == ipproto::UDP { MAX_UDP_DATAGRAMS } else { MAX_TCP_SEGMENTS };
        full |= usize::from(self.count) >= most;
        Some(if full { Joined::Full } else { Joined::More })
    }

    /// IPv4 ids count up; where fragmenting is forbidden they may also stand still.
    fn next_ids(&self, frame: &Frame, segment: &Segment) -> Option<Ids> {
        if self.flow.version == IpVersion::V6 {
            return Some(Ids::Unknown);
        }
        let word = u16_at(frame.bytes(), self.flow.l3 + ipv4::field::FRAGMENT);
        let step = segment.id.wrapping_sub(self.head.id);
        match self.ids {
            Ids::Unknown | Ids::Fixed if step == 0 && word & ipv4::DONT_FRAGMENT != 0 => Some(Ids::Fixed),
            Ids::Unknown | Ids::Counting if step == self.count => Some(Ids::Counting),
            _ => None,
        }
    }

    /// The IP headers are equal but for lengths, ids and checksums.
    fn same_network(&self, frame: &Frame, bytes: &[u8]) -> bool {
        let l3 = self.flow.l3;
        let same = |from, to| slice(frame.bytes(), from, to) == slice(bytes, from, to);
        match self.flow.version {
            IpVersion::V4 => {
                same(l3, l3 + ipv4::field::TOTAL_LEN)
                    && same(l3 + ipv4::field::FRAGMENT, l3 + ipv4::field::CHECKSUM)
            }
            IpVersion::V6 => {
                same(l3, l3 + ipv6::field::PAYLOAD_LEN)
                    && same(l3 + ipv6::field::NEXT_HEADER, usize::from(self.head.l4))
            }
        }
    }

    /// The segment is next in sequence, and its header equal but for checksum, FIN and PSH. CWR
    /// begins a new super-frame, since cutting one leaves it on the first segment only.
    fn follows_tcp(&self, frame: &Frame, bytes: &[u8], segment: &Segment) -> bool {
        const MAY_DIFFER: u8 = tcp::flags::FIN | tcp::flags::PSH | tcp::flags::CWR;
        let (l4, header) = (usize::from(self.head.l4), usize::from(self.head.header));
        let same = |from, to| slice(frame.bytes(), from, to) == slice(bytes, from, to);
        segment.sequence == self.next
            && segment.flags & tcp::flags::CWR == 0
            && (segment.flags ^ self.head.flags) & !MAY_DIFFER == 0
            && same(l4 + tcp::field::ACKNOWLEDGMENT, l4 + tcp::field::FLAGS)
            && same(l4 + tcp::field::WINDOW, l4 + tcp::field::CHECKSUM)
            && same(l4 + tcp::field::URGENT, header)
    }

    /// Makes the headers true of the whole: lengths, pseudo-header sum, offload metadata. A frame
    /// that nothing was joined to stays as it came.
    pub(super) fn finish(&self, frame: &mut Frame) {
        if self.count < 2 {
            return;
        }
        let Flow { l3, version, protocol, .. } = self.flow;
        let (l4, header) = (usize::from(self.head.l4), usize::from(self.head.header));
        let end = frame.len();
        let ip =
            IpHeaders { version, protocol, l4, payload: Some(header), end, fragment: false, routed: false };
        let bytes = frame.bytes_mut();
        let be16 = |len: usize| u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes();
        match version {
            IpVersion::V4 => {
                put(bytes, l3 + ipv4::field::TOTAL_LEN, be16(end - l3));
                fill_ipv4(bytes, l3);
            }
            IpVersion::V6 => put(bytes, l3 + ipv6::field::PAYLOAD_LEN, be16(end - l3 - ipv6::HEADER_LEN)),
        }
        let (kind, offset) = match (protocol, version) {
            (ipproto::TCP, IpVersion::V4) => (GsoKind::Tcp4, tcp::field::CHECKSUM),
            (ipproto::TCP, IpVersion::V6) => (GsoKind::Tcp6, tcp::field::CHECKSUM),
            _ => {
                put(bytes, l4 + udp::field::LEN, be16(end - l4));
                (GsoKind::UdpL4, udp::field::CHECKSUM)
            }
        };
        let partial = Sum::pseudo(bytes, l3, &ip, end - l4).fold();
        put(bytes, l4 + offset, partial.to_be_bytes());
        let ecn = self.head.flags & tcp::flags::CWR != 0;
        frame.set_offload(Offload {
            checksum: Checksum::Partial {
                start: self.head.l4,
                offset: u16::try_from(offset).unwrap_or_default(),
            },
            gso: Some(Gso { kind, ecn, size: self.head.len, hdr_len: self.head.header }),
        });
    }
}
