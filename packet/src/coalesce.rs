//! Joins frames of one flow into super-frames: what the kernel's GRO does, with its rules.
//!
//! Frames are joined only if cutting the super-frame again gives the same frames back. One
//! exception is the kernel's own: the id of IPv4 packets that may not be fragmented and all carry
//! the same one counts up afterwards, which RFC 6864 allows since it means nothing there.

mod run;

use crate::{
    checksum,
    frame::{Frame, FrameError},
    offload::{Checksum, Offload},
    wire::{
        Headers, IpHeaders, IpVersion, ethertype, ipproto, ipv4, ipv6, slice, tcp, u8_at, u16_at, u32_at, udp,
    },
};
use run::Run;

/// Most datagrams joined into one UDP super-frame, as the kernel has it (`UDP_GRO_CNT_MAX`).
pub const MAX_UDP_DATAGRAMS: usize = 64;

/// Most bytes of an IP packet that a super-frame holds.
pub const MAX_PACKET: usize = 65_535;

/// Control bits after which nothing may follow in one super-frame.
const LAST: u8 = tcp::flags::FIN | tcp::flags::SYN | tcp::flags::RST | tcp::flags::PSH | tcp::flags::URG;

/// Joins frames of a bounded number of flows. All memory is taken at the start.
///
/// Frames of one flow (same Ethernet header and VLAN tags, addresses, protocol and ports) come out
/// in the order they went in, merged or not. What arrived in one batch is held no longer than
/// until [`Coalescer::flush`], which belongs at the batch's end.
#[derive(Debug)]
pub struct Coalescer {
    /// Flows held, oldest first.
    held: Vec<Held>,
    spare: Vec<Frame>,
    udp: bool,
}

#[derive(Debug)]
struct Held {
    frame: Frame,
    run: Run,
}

impl Coalescer {
    /// Holds up to `flows` flows at once (at least 1), 64 KiB each. UDP is joined as well.
    pub fn new(flows: usize) -> Self {
        let flows = flows.max(1);
        Self {
            held: Vec::with_capacity(flows),
            spare: std::iter::repeat_with(Frame::new).take(flows).collect(),
            udp: true,
        }
    }

    /// Whether equal UDP datagrams are joined too: only where the receiver takes USO.
    #[must_use]
    pub fn with_udp(mut self, udp: bool) -> Self {
        self.udp = udp;
        self
    }

    /// Frames held, at most one super-frame a flow.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Nothing is held.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Takes `frame`: joins it to its flow, holds a copy, or hands it to `emit` as it is, after
    /// whatever its flow had held. A frame whose checksum turned out right is marked
    /// [`Checksum::Verified`]. The caller's buffer is free again when this returns.
    pub fn push(&mut self, frame: &mut Frame, mut emit: impl FnMut(&mut Frame)) {
        if let Some(offload) = self.offer(frame.bytes(), frame.offload(), &mut emit) {
            frame.set_offload(offload);
            emit(frame);
        }
    }

    /// [`Coalescer::push`] for a frame that lies in somebody else's buffer, as a received datagram
    /// does: what is joined is copied once. `spare` is used for a frame that is handed on at once.
    ///
    /// # Errors
    /// [`FrameError::Oversized`] if the frame is longer than `spare`, and it would be needed.
    pub fn push_bytes(
        &mut self,
        bytes: &[u8],
        offload: Offload,
        spare: &mut Frame,
        mut emit: impl FnMut(&mut Frame),
    ) -> Result<(), FrameError> {
        if let Some(offload) = self.offer(bytes, offload, &mut emit) {
            spare.copy_from(bytes, offload)?;
            emit(spare);
        }
        Ok(())
    }

    /// Joins or holds the frame, or leaves it to the caller to hand on, with these metadata.
    fn offer(
        &mut self,
        bytes: &[u8],
        mut offload: Offload,
        emit: &mut impl FnMut(&mut Frame),
    ) -> Option<Offload> {
        let (flow, segment) = match classify(bytes, offload, self.udp) {
            Class::Alone => return Some(offload),
            Class::Unknown => {
                self.flush(emit);
                return Some(offload);
            }
            Class::Flow(flow, segment) => (flow, segment),
        };
        let found = self.held.iter().position(|h| h.run.flow == flow && h.run.matches(&h.frame, bytes));
        if let Some(i) = found {
            let merged = segment
                .as_ref()
                .zip(self.held.get_mut(i))
                .and_then(|(segment, held)| held.run.join(&mut held.frame, bytes, segment));
            match merged {
                Some(Joined::More) => return None,
                Some(Joined::Full) => {
                    self.release(i, emit);
                    return None;
                }
                None => self.release(i, emit),
            }
        }
        let Some(segment) = segment else { return Some(offload) };
        if offload.checksum == Checksum::Unverified {
            offload = Offload { checksum: Checksum::Verified, gso: None };
        }
        if segment.flags & LAST != 0 {
            return Some(offload);
        }
        if self.spare.is_empty() {
            self.release(0, emit);
        }
        let Some(mut buffer) = self.spare.pop() else { return Some(offload) };
        if buffer.copy_from(bytes, offload).is_ok() {
            let run = Run::new(flow, segment);
            self.held.push(Held { frame: buffer, run });
            None
        } else {
            self.spare.push(buffer);
            Some(offload)
        }
    }

    /// Hands everything held to `emit`, oldest flow first.
    pub fn flush(&mut self, mut emit: impl FnMut(&mut Frame)) {
        for mut held in self.held.drain(..) {
            held.run.finish(&mut held.frame);
            emit(&mut held.frame);
            self.spare.push(held.frame);
        }
    }

    fn release(&mut self, i: usize, emit: &mut impl FnMut(&mut Frame)) {
        let mut held = self.held.remove(i);
        held.run.finish(&mut held.frame);
        emit(&mut held.frame);
        self.spare.push(held.frame);
    }
}

/// What a join made of the super-frame.
enum Joined {
    /// More may follow.
    More,
    /// It is complete.
    Full,
}

enum Class {
    /// Of no flow whose order counts here: neither TCP nor UDP.
    Alone,
    /// Could be of any flow: fragments, and headers cut short.
    Unknown,
    /// Of a flow; `None` if it can neither be joined nor joined to.
    Flow(Flow, Option<Segment>),
}

/// What is compared first of two flows; the addresses follow in [`Run::matches`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Flow {
    ports: u32,
    l3: usize,
    version: IpVersion,
    protocol: u8,
}

/// A frame that may be joined.
#[derive(Clone, Copy, Debug)]
struct Segment {
    /// Where layer 4 begins.
    l4: u16,
    /// Where the payload begins.
    header: u16,
    /// Payload bytes, never 0.
    len: u16,
    /// TCP's sequence number.
    sequence: u32,
    /// TCP's control bits, 0 for UDP.
    flags: u8,
    /// IPv4's identification.
    id: u16,
}

fn classify(bytes: &[u8], offload: Offload, udp: bool) -> Class {
    let Some(Headers { ethertype, l3, ip, .. }) = Headers::parse(bytes) else { return Class::Alone };
    let Some(ip) = ip else {
        let is_ip = matches!(ethertype, ethertype::IPV4 | ethertype::IPV6);
        return if is_ip { Class::Unknown } else { Class::Alone };
    };
    if !matches!(ip.protocol, ipproto::TCP | ipproto::UDP) {
        // Data of a later fragment may follow any header its first fragment had.
        return if ip.fragment { Class::Unknown } else { Class::Alone };
    }
    if ip.fragment || ip.payload.is_none() {
        return Class::Unknown;
    }
    let ports = u32_at(bytes, ip.l4);
    let flow = Flow { ports, l3, version: ip.version, protocol: ip.protocol };
    let wanted = udp || ip.protocol == ipproto::TCP;
    Class::Flow(flow, if wanted { Segment::read(bytes, offload, l3, &ip) } else { None })
}

impl Segment {
    /// The frame as a segment, its checksums verified. `None` if it is unfit for joining.
    fn read(bytes: &[u8], offload: Offload, l3: usize, ip: &IpHeaders) -> Option<Self> {
        let header = ip.payload?;
        let len = ip.end.checked_sub(header)?;
        // Padding, super-frames and lone acknowledgments stay as they are.
        if len == 0 || ip.end != bytes.len() || offload.gso.is_some() || ip.routed {
            return None;
        }
        match ip.version {
            IpVersion::V4 if ip.l4 - l3 != ipv4::HEADER_LEN => return None,
            IpVersion::V4 if !checksum::Sum::of(slice(bytes, l3, ip.l4)).is_valid() => return None,
            IpVersion::V6 if ip.l4 - l3 != ipv6::HEADER_LEN && !plain_extensions(bytes, l3) => return None,
            _ => {}
        }
        let mut segment = Self {
            l4: u16::try_from(ip.l4).ok()?,
            header: u16::try_from(header).ok()?,
            len: u16::try_from(len).ok()?,
            sequence: 0,
            flags: 0,
            id: if ip.version == IpVersion::V4 { u16_at(bytes, l3 + ipv4::field::ID) } else { 0 },
        };
        if ip.protocol == ipproto::TCP {
            segment.sequence = u32_at(bytes, ip.l4 + tcp::field::SEQUENCE);
            segment.flags = u8_at(bytes, ip.l4 + tcp::field::FLAGS);
        } else {
            let datagram = usize::from(u16_at(bytes, ip.l4 + udp::field::LEN));
            // Without a checksum the segments could not be told from ones that must have one.
            if datagram != ip.end - ip.l4 || u16_at(bytes, ip.l4 + udp::field::CHECKSUM) == 0 {
                return None;
            }
        }
        let right = match offload.checksum {
            Checksum::Verified => true,
            Checksum::Partial { start, offset } => {
                start == segment.l4 && checksum::field_offset(ip.protocol) == Some(usize::from(offset))
            }
            Checksum::Unverified => checksum::verify_transport(bytes, l3, ip) == Some(true),
        };
        right.then_some(segment)
    }
}

/// Only extension headers that may stand in every segment alike.
fn plain_extensions(bytes: &[u8], l3: usize) -> bool {
    let Some(Ok(packet)) = bytes.get(l3..).map(ipv6::Packet::new_checked) else { return false };
    packet
        .extensions()
        .all(|e| matches!(e.kind, ipproto::HOP_BY_HOP | ipproto::DESTINATION | ipproto::ROUTING))
}

#[cfg(test)]
mod tests;
