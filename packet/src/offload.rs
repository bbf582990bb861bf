//! What is still to be done to a frame: its checksum and its segmentation.
//!
//! The form on the wire is `struct virtio_net_hdr_v1` (Virtual I/O Device 1.2, section 5.1.6),
//! 12 bytes, little endian, as a TAP with `IFF_VNET_HDR` and `TUNSETVNETHDRSZ` 12 carries it.

/// Bytes of the virtio-net header in front of a frame, `num_buffers` included.
pub const VNET_HEADER_LEN: usize = 12;

const F_NEEDS_CSUM: u8 = 1;
const F_DATA_VALID: u8 = 2;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_UDP: u8 = 3;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
const GSO_ECN: u8 = 0x80;

/// The state of a frame's transport checksum.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Checksum {
    /// Complete in the frame, nobody has verified it.
    #[default]
    Unverified,
    /// Complete in the frame and known to be right.
    Verified,
    /// The field at `start + offset` holds the folded pseudo-header sum; whoever needs the real
    /// value sums from `start` (bytes from the start of the frame) to the end of the packet.
    Partial {
        /// Where the sum starts: the first byte of the transport header, from the frame's start.
        start: u16,
        /// Where the field lies, from `start`: 16 for TCP, 6 for UDP.
        offset: u16,
    },
}

/// Which kind of super-frame this is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum GsoKind {
    /// TCP over IPv4.
    Tcp4,
    /// TCP over IPv6.
    Tcp6,
    /// Equal UDP datagrams (`UDP_SEGMENT`), over either IP version.
    UdpL4,
}

/// A super-frame: one header, the payload of many segments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gso {
    /// Transport and IP version.
    pub kind: GsoKind,
    /// The first segment has CWR set and the others must not (RFC 3168).
    pub ecn: bool,
    /// Transport payload bytes of every segment but the last, never 0.
    pub size: u16,
    /// Bytes of all headers as the sender says; a hint, never trusted for cutting.
    pub hdr_len: u16,
}

/// Everything the virtio-net header says about a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Offload {
    /// State of the transport checksum.
    pub checksum: Checksum,
    /// Present on a super-frame.
    pub gso: Option<Gso>,
}

/// Why a virtio-net header was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OffloadError {
    /// The header itself is cut short.
    #[error("virtio-net header is shorter than {VNET_HEADER_LEN} bytes")]
    Truncated,
    /// `gso_type` is none of those negotiated.
    #[error("unknown virtio-net gso_type {0}")]
    UnknownGso(u8),
    /// A super-frame of segments without payload.
    #[error("super-frame with gso_size 0")]
    ZeroGsoSize,
    /// A super-frame must have a partial checksum, or its segments could not be right.
    #[error("super-frame without a partial checksum")]
    GsoWithoutPartial,
    /// `csum_start` + `csum_offset` + 2 is past the end of the frame.
    #[error("checksum field at {start}+{offset} is outside a frame of {len} bytes")]
    ChecksumOutside {
        /// csum_start.
        start: u16,
        /// csum_offset.
        offset: u16,
        /// Bytes in the frame.
        len: usize,
    },
    /// `hdr_len` is past the end of the frame.
    #[error("hdr_len {hdr_len} is outside a frame of {len} bytes")]
    HeaderOutside {
        /// hdr_len.
        hdr_len: u16,
        /// Bytes in the frame.
        len: usize,
    },
}

impl Offload {
    /// No work left to do: checksums complete, one segment.
    pub const NONE: Self = Self { checksum: Checksum::Unverified, gso: None };

    /// Reads the header of a frame of `frame_len` bytes and checks every offset against it.
    ///
    /// # Errors
    /// [`OffloadError`] names the first field that cannot be true of such a frame.
    pub fn parse(header: &[u8], frame_len: usize) -> Result<Self, OffloadError> {
        let h: &[u8; VNET_HEADER_LEN] =
            header.get(..VNET_HEADER_LEN).and_then(|h| h.try_into().ok()).ok_or(OffloadError::Truncated)?;
        let le = |i: usize| u16::from_le_bytes([h[i], h[i + 1]]);
        let (flags, gso_type) = (h[0], h[1]);

        let checksum = if flags & F_NEEDS_CSUM != 0 {
            let (start, offset) = (le(6), le(8));
            if usize::from(start) + usize::from(offset) + 2 > frame_len {
                return Err(OffloadError::ChecksumOutside { start, offset, len: frame_len });
            }
            Checksum::Partial { start, offset }
        } else if flags & F_DATA_VALID != 0 {
            Checksum::Verified
        } else {
            Checksum::Unverified
        };

        let kind = match gso_type & !GSO_ECN {
            GSO_NONE => return Ok(Self { checksum, gso: None }),
            GSO_TCPV4 => GsoKind::Tcp4,
            GSO_TCPV6 => GsoKind::Tcp6,
            GSO_UDP_L4 => GsoKind::UdpL4,
            // UFO fragments rather than segments; no kernel since 4.14 sends it unasked.
            GSO_UDP => return Err(OffloadError::UnknownGso(GSO_UDP)),
            other => return Err(OffloadError::UnknownGso(other)),
        };
        let (hdr_len, size) = (le(2), le(4));
        if size == 0 {
            return Err(OffloadError::ZeroGsoSize);
        }
        if !matches!(checksum, Checksum::Partial { .. }) {
            return Err(OffloadError::GsoWithoutPartial);
        }
        if usize::from(hdr_len) > frame_len {
            return Err(OffloadError::HeaderOutside { hdr_len, len: frame_len });
        }
        Ok(Self { checksum, gso: Some(Gso { kind, ecn: gso_type & GSO_ECN != 0, size, hdr_len }) })
    }

    /// The 12 bytes that [`Offload::parse`] reads back as `self`.
    pub fn to_bytes(self) -> [u8; VNET_HEADER_LEN] {
        let mut h = [0u8; VNET_HEADER_LEN];
        match self.checksum {
            Checksum::Unverified => {}
            Checksum::Verified => h[0] = F_DATA_VALID,
            Checksum::Partial { start, offset } => {
                h[0] = F_NEEDS_CSUM;
                h[6..8].copy_from_slice(&start.to_le_bytes());
                h[8..10].copy_from_slice(&offset.to_le_bytes());
            }
        }
        if let Some(gso) = self.gso {
            h[1] = match gso.kind {
                GsoKind::Tcp4 => GSO_TCPV4,
                GsoKind::Tcp6 => GSO_TCPV6,
                GsoKind::UdpL4 => GSO_UDP_L4,
            } | if gso.ecn { GSO_ECN } else { 0 };
            h[2..4].copy_from_slice(&gso.hdr_len.to_le_bytes());
            h[4..6].copy_from_slice(&gso.size.to_le_bytes());
        }
        // One buffer a frame: mergeable receive buffers exist only between a driver and its device.
        h[10..12].copy_from_slice(&1u16.to_le_bytes());
        h
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tso(size: u16, hdr_len: u16) -> Offload {
        Offload {
            checksum: Checksum::Partial { start: 34, offset: 16 },
            gso: Some(Gso { kind: GsoKind::Tcp4, ecn: false, size, hdr_len }),
        }
    }

    #[test]
    fn header_round_trips() {
        let offload = tso(1448, 66);
        assert_eq!(Offload::parse(&offload.to_bytes(), 60_000), Ok(offload));
        assert_eq!(offload.to_bytes()[10..], [1, 0]);
        assert_eq!(Offload::parse(&Offload::NONE.to_bytes(), 60), Ok(Offload::NONE));
    }

    #[test]
    fn impossible_headers_are_refused() {
        let len = 100;
        assert_eq!(Offload::parse(&[0; 11], len), Err(OffloadError::Truncated));
        assert_eq!(Offload::parse(&tso(0, 54).to_bytes(), len), Err(OffloadError::ZeroGsoSize));
        assert_eq!(
            Offload::parse(&tso(10, 101).to_bytes(), len),
            Err(OffloadError::HeaderOutside { hdr_len: 101, len })
        );
        let outside = Offload { checksum: Checksum::Partial { start: 90, offset: 9 }, gso: None };
        assert!(matches!(
            Offload::parse(&outside.to_bytes(), len),
            Err(OffloadError::ChecksumOutside { .. })
        ));
        let mut unknown = tso(10, 54).to_bytes();
        unknown[1] = 3;
        assert_eq!(Offload::parse(&unknown, len), Err(OffloadError::UnknownGso(3)));
        let mut no_partial = tso(10, 54).to_bytes();
        no_partial[0] = 0;
        assert_eq!(Offload::parse(&no_partial, len), Err(OffloadError::GsoWithoutPartial));
    }

    proptest! {
        #[test]
        fn what_parses_is_written_back_the_same(bytes in prop::collection::vec(any::<u8>(), 0..16), len in 0usize..70_000) {
            if let Ok(offload) = Offload::parse(&bytes, len) {
                prop_assert_eq!(Offload::parse(&offload.to_bytes(), len), Ok(offload));
            }
        }
    }
}
