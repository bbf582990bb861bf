//! Fragments: those of containers are put together before anything else looks at them, packets to
//! containers are cut where their interface takes no more.

mod split;

use std::net::IpAddr;

use packet::{
    Checksum, Frame,
    wire::{EthernetFrame, ethernet, ipproto},
};

pub(crate) use self::split::{HOPS, Head, Splitter, udp_header, write_headers};
use super::{
    Inside,
    build::{Link, Route},
    core::{Core, Packet},
    host::InsideId,
    icmp_error::Trouble,
    token::{Kind, Token},
};
use crate::{
    classify::{Class, classify},
    counters::Reason,
    fragments::{Expired, PacketId, Part, Reassembler, Whole},
};

/// Bytes of an error's quote and an Ethernet header.
const QUOTE: usize = 128;

/// Packets of containers of which fragments are missing.
#[derive(Debug, Default)]
pub(crate) struct Fragments {
    packets: Reassembler,
    /// The timer is set.
    waiting: bool,
}

fn token() -> Token {
    Token { kind: Kind::Fragments, generation: 0, index: 0 }
}

impl Fragments {
    /// Takes a fragment from a container; true if it was the last that was missing: `frame` is the
    /// whole packet then.
    pub(crate) fn take_frame(
        &mut self,
        core: &mut Core,
        packet: &Packet,
        frame: &mut Frame,
    ) -> Result<bool, Reason> {
        // No kernel cuts what is still to be finished.
        if frame.offload().gso.is_some() || matches!(frame.offload().checksum, Checksum::Partial { .. }) {
            return Err(Reason::BadOffload);
        }
        let bytes = frame.bytes();
        let Class::Fragment(fragment) = classify(bytes) else { return Err(Reason::Fragment) };
        let part = Part {
            head: crate::fragments::Head { protocol: packet.ip.protocol, tos: packet.tos, hops: packet.hops },
            offset: fragment.offset,
            more: fragment.more,
            data: bytes.get(packet.ip.l4..packet.ip.end).ok_or(Reason::Malformed)?,
        };
        let id = PacketId { inside: packet.inside, key: fragment.key };
        let whole = self.packets.take(id, &part, core.now, &core.config.fragments)?;
        if !std::mem::replace(&mut self.waiting, true) {
            core.wheel.set(core.now + core.config.fragments.timeout, token().pack());
        }
        let Some(whole) = whole else { return Ok(false) };
        let written = write_whole(frame, packet, &whole);
        self.packets.recycle(whole);
        written.map(|()| true).ok_or(Reason::Fragment)
    }

    /// Gives up what has waited for too long, and tells its senders.
    pub(crate) fn on_timer(&mut self, core: &mut Core, out: &mut dyn Inside) {
        let timeout = core.config.fragments.timeout;
        while let Some(expired) = self.packets.expire(core.now, timeout) {
            core.counters.count(Reason::FragmentTimeout);
            complain(core, &expired, out);
        }
        let oldest = self.packets.oldest();
        self.waiting = oldest.is_some();
        if let Some(oldest) = oldest {
            core.wheel.set(oldest + timeout, token().pack());
        }
    }

    /// Forgets a container's packets.
    pub(crate) fn remove_inside(&mut self, inside: InsideId) {
        self.packets.remove_inside(inside);
    }
}

/// Makes `frame` the whole packet, without the headers that only mattered on the way.
fn write_whole(frame: &mut Frame, packet: &Packet, whole: &Whole) -> Option<()> {
    let ethernet = EthernetFrame::new_checked(frame.bytes()).ok()?;
    let link = Link { gateway: ethernet.source(), container: ethernet.destination() };
    let head = Head {
        route: Route { source: packet.source, destination: packet.destination },
        protocol: whole.head().protocol,
        hops: whole.head().hops,
        tos: whole.head().tos,
    };
    let total = ethernet::HEADER_LEN + head.len() + whole.data().len();
    let area = frame.plain_area().get_mut(..total)?;
    let at = write_headers(area, link, &head)?;
    area.get_mut(at..)?.copy_from_slice(whole.data());
    frame.commit_plain(total).ok()
}

/// Tells a container that fragments are missing of a packet whose first fragment has come.
fn complain(core: &mut Core, expired: &Expired, out: &mut dyn Inside) {
    let Some((head, data)) = &expired.first else { return };
    let (source, destination) = (expired.id.key.source, expired.id.key.destination);
    let head = Head {
        route: Route { source, destination },
        protocol: head.protocol,
        hops: head.hops,
        tos: head.tos,
    };
    let mut quote = [0; QUOTE];
    if let Some(len) = write_quote(&mut quote, &head, [&[], data]) {
        let quote = quote.get(..len).unwrap_or(&[]);
        core.tell(expired.id.inside, Trouble::Reassembly, source, destination, quote, out);
    }
}

/// Writes the beginning of a packet as an error quotes it: its IP header, the header of its
/// transport, and data as far as they fit. Returns its length in bytes.
pub(crate) fn write_quote(quote: &mut [u8], head: &Head, transport: [&[u8]; 2]) -> Option<usize> {
    let room = quote.len().checked_sub(ethernet::HEADER_LEN + head.len() + transport[0].len())?;
    let data = transport[1].get(..transport[1].len().min(room))?;
    let total = ethernet::HEADER_LEN + head.len() + transport[0].len() + data.len();
    let area = quote.get_mut(..total)?;
    let at = write_headers(area, Link::default(), head)?;
    let (front, back) = area.get_mut(at..)?.split_at_mut_checked(transport[0].len())?;
    front.copy_from_slice(transport[0]);
    back.copy_from_slice(data);
    quote.copy_within(ethernet::HEADER_LEN..total, 0);
    Some(total - ethernet::HEADER_LEN)
}

/// The protocol number of ICMP for the IP version of `like`.
pub(crate) const fn icmp_for(like: IpAddr) -> u8 {
    if like.is_ipv6() { ipproto::ICMPV6 } else { ipproto::ICMP }
}
