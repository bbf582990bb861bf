//! Cuts super-frames into the frames that go on the wire: what a network card does for TSO and
//! USO, in software.

use crate::{
    checksum::{ChecksumError, Sum, complete_partial},
    frame::{Frame, FrameError},
    offload::{Checksum, Gso, GsoKind, Offload},
    wire::{Headers, IpHeaders, IpVersion, ipproto, ipv4, ipv6, put, slice, tcp, u8_at, u16_at, u32_at, udp},
};

/// Most datagrams in a UDP super-frame, as the kernel has it (`UDP_MAX_SEGMENTS`).
pub const MAX_UDP_SEGMENTS: usize = 128;

/// Most segments in a TCP super-frame: 8 bytes each, the least the kernel makes
/// (`TCP_MIN_GSO_SIZE`). Bounds what one hostile frame can become.
pub const MAX_TCP_SEGMENTS: usize = 65_535 / 8;

/// Why a super-frame cannot be cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SegmentError {
    /// Its headers are cut short or contradict themselves.
    #[error("super-frame whose headers cannot be read")]
    Headers,
    /// The IP version or the transport is not what the offload metadata say.
    #[error("super-frame of kind {0:?} with other headers")]
    Mismatch(GsoKind),
    /// It is an IP fragment.
    #[error("super-frame that is a fragment")]
    Fragment,
    /// There is nothing behind the headers.
    #[error("super-frame without payload")]
    NoPayload,
    /// `gso_size` is 0.
    #[error("super-frame with segments of 0 bytes")]
    ZeroSize,
    /// Its segments are absurdly small.
    #[error("super-frame of {count} segments, more than {max}")]
    TooMany {
        /// Segments it would become.
        count: usize,
        /// Segments allowed for its transport.
        max: usize,
    },
    /// The place for a segment is too small.
    #[error("segment of {needed} bytes for {len} bytes of room")]
    NoRoom {
        /// Bytes of the segment.
        needed: usize,
        /// Bytes there are for it.
        len: usize,
    },
    /// A frame that is no super-frame has an impossible partial checksum.
    #[error(transparent)]
    Checksum(#[from] ChecksumError),
    /// The output buffer is too small.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// Cuts `frame` and calls `emit` with each segment in `out`, in order; returns how many there were.
/// The segments' checksums are complete and [`Checksum::Verified`]. A frame that is no super-frame
/// is copied once, a partial checksum completed. Allocates nothing.
///
/// # Errors
/// [`SegmentError`]; nothing was emitted then, unless `out` is smaller than a segment.
pub fn segment(
    frame: &Frame,
    out: &mut Frame,
    mut emit: impl FnMut(&mut Frame),
) -> Result<usize, SegmentError> {
    let Some(gso) = frame.offload().gso else {
        out.copy_from(frame.bytes(), frame.offload())?;
        complete_partial(out)?;
        emit(out);
        return Ok(1);
    };
    let mut segments = Segmenter::new(frame.bytes(), gso)?;
    let count = segments.remaining();
    while let Some(len) = segments.next_into(out.plain_area())? {
        out.commit_plain(len)?;
        out.set_offload(Offload { checksum: Checksum::Verified, gso: None });
        emit(out);
    }
    Ok(count)
}

/// Cuts one super-frame, a segment at a time, into any bytes: for a tunnel that puts its own
/// headers between them.
#[derive(Debug, Clone)]
pub struct Segmenter<'a> {
    frame: &'a [u8],
    l3: usize,
    ip: IpHeaders,
    /// Where the payload begins.
    header: usize,
    /// Payload bytes of every segment but the last.
    size: usize,
    /// Payload bytes cut so far.
    done: usize,
    /// Segments cut so far.
    index: u16,
    /// The transport's pseudo-header with length 0.
    pseudo: Sum,
}

impl<'a> Segmenter<'a> {
    /// Prepares to cut `frame`. Its header lengths, checksums and `gso.hdr_len` are not trusted:
    /// everything is computed from the headers themselves.
    ///
    /// # Errors
    /// [`SegmentError`] says what is wrong with the super-frame.
    pub fn new(frame: &'a [u8], gso: Gso) -> Result<Self, SegmentError> {
        let Headers { l3, ip, .. } = Headers::parse(frame).ok_or(SegmentError::Headers)?;
        let ip = ip.ok_or(SegmentError::Headers)?;
        if ip.fragment {
            return Err(SegmentError::Fragment);
        }
        let fits = match gso.kind {
            GsoKind::Tcp4 => ip.version == IpVersion::V4 && ip.protocol == ipproto::TCP,
            GsoKind::Tcp6 => ip.version == IpVersion::V6 && ip.protocol == ipproto::TCP,
            GsoKind::UdpL4 => ip.protocol == ipproto::UDP,
        };
        if !fits {
            return Err(SegmentError::Mismatch(gso.kind));
        }
        let header = ip.payload.ok_or(SegmentError::Headers)?;
        let payload = ip.end.saturating_sub(header);
        if payload == 0 {
            return Err(SegmentError::NoPayload);
        }
        let size = usize::from(gso.size);
        if size == 0 {
            return Err(SegmentError::ZeroSize);
        }
        let count = payload.div_ceil(size);
        let max = if gso.kind == GsoKind::UdpL4 { MAX_UDP_SEGMENTS } else { MAX_TCP_SEGMENTS };
        if count > max {
            return Err(SegmentError::TooMany { count, max });
        }
        let pseudo = pseudo_without_len(frame, l3, &ip);
        Ok(Self { frame, l3, ip, header, size, done: 0, index: 0, pseudo })
    }

    /// Segments that are still to come.
    pub fn remaining(&self) -> usize {
        self.left().div_ceil(self.size)
    }

    /// Bytes of the next segment, headers included; all have as many but the last, which may be
    /// shorter. 0 after the last.
    pub fn next_len(&self) -> usize {
        match self.left() {
            0 => 0,
            left => self.header + left.min(self.size),
        }
    }

    /// Writes the next segment to the front of `out` and returns its length in bytes; `None` after
    /// the last.
    ///
    /// # Errors
    /// [`SegmentError::NoRoom`] if `out` is too short; the segment is still to come then.
    pub fn next_into(&mut self, out: &mut [u8]) -> Result<Option<usize>, SegmentError> {
        let needed = self.next_len();
        if needed == 0 {
            return Ok(None);
        }
        let len = out.len();
        let out = out.get_mut(..needed).ok_or(SegmentError::NoRoom { needed, len })?;
        let from = self.header + self.done;
        let size = needed - self.header;
        let (headers, payload) = out.split_at_mut(self.header);
        headers.copy_from_slice(slice(self.frame, 0, self.header));
        payload.copy_from_slice(slice(self.frame, from, from + size));
        self.patch_ip(out);
        match self.ip.protocol {
            ipproto::TCP => self.patch_tcp(out, size == self.left()),
            _ => self.patch_udp(out),
        }
        self.done += size;
        self.index = self.index.wrapping_add(1);
        Ok(Some(needed))
    }

    fn left(&self) -> usize {
        (self.ip.end - self.header).saturating_sub(self.done)
    }

    fn patch_ip(&self, out: &mut [u8]) {
        let len = out.len() - self.l3;
        match self.ip.version {
            IpVersion::V4 => {
                let id = u16_at(out, self.l3 + ipv4::field::ID).wrapping_add(self.index);
                put(out, self.l3 + ipv4::field::TOTAL_LEN, be16(len));
                put(out, self.l3 + ipv4::field::ID, id.to_be_bytes());
                put(out, self.l3 + ipv4::field::CHECKSUM, [0; 2]);
                let checksum = Sum::of(slice(out, self.l3, self.ip.l4)).checksum();
                put(out, self.l3 + ipv4::field::CHECKSUM, checksum.to_be_bytes());
            }
            IpVersion::V6 => put(out, self.l3 + ipv6::field::PAYLOAD_LEN, be16(len - ipv6::HEADER_LEN)),
        }
    }

    fn patch_tcp(&self, out: &mut [u8], last: bool) {
        let l4 = self.ip.l4;
        // A super-frame has less than 2^16 bytes of payload, so the cast is exact.
        let done = u32::try_from(self.done).unwrap_or(0);
        let sequence = u32_at(out, l4 + tcp::field::SEQUENCE).wrapping_add(done);
        put(out, l4 + tcp::field::SEQUENCE, sequence.to_be_bytes());
        let mut flags = u8_at(out, l4 + tcp::field::FLAGS);
        if !last {
            flags &= !(tcp::flags::FIN | tcp::flags::PSH);
        }
        // RFC 3168, section 6.1.2: CWR on the first new data only, whether or not gso.ecn says so.
        if self.index > 0 {
            flags &= !tcp::flags::CWR;
        }
        put(out, l4 + tcp::field::FLAGS, [flags]);
        put(out, l4 + tcp::field::CHECKSUM, [0; 2]);
        let checksum = self.transport_sum(out).checksum();
        put(out, l4 + tcp::field::CHECKSUM, checksum.to_be_bytes());
    }

    fn patch_udp(&self, out: &mut [u8]) {
        let l4 = self.ip.l4;
        let len = out.len() - l4;
        put(out, l4 + udp::field::LEN, be16(len));
        put(out, l4 + udp::field::CHECKSUM, [0; 2]);
        let checksum = self.transport_sum(out).udp_checksum();
        put(out, l4 + udp::field::CHECKSUM, checksum.to_be_bytes());
    }

    fn transport_sum(&self, out: &[u8]) -> Sum {
        let transport = slice(out, self.ip.l4, out.len());
        self.pseudo + u16::from_be_bytes(be16(transport.len())) + Sum::of(transport)
    }
}

/// The pseudo-header's sum with length 0. Behind an IPv6 routing header only the sender's partial
/// sum knows the final destination, so its length is taken off that.
fn pseudo_without_len(frame: &[u8], l3: usize, ip: &IpHeaders) -> Sum {
    if !ip.routed {
        return Sum::pseudo(frame, l3, ip, 0);
    }
    let field = if ip.protocol == ipproto::TCP { tcp::field::CHECKSUM } else { udp::field::CHECKSUM };
    Sum::ZERO + u16_at(frame, ip.l4 + field) + !u16::from_be_bytes(be16(ip.end - ip.l4))
}

/// A length within an IP packet, which never exceeds 16 bits.
#[inline]
fn be16(len: usize) -> [u8; 2] {
    u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes()
}

#[cfg(test)]
#[path = "segment_tests.rs"]
pub(crate) mod tests;
