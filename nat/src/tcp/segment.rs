//! What a segment says, apart from its data.

use packet::wire::{
    TcpPacket,
    tcp::{HEADER_LEN, flags, option},
};

use super::seq::Seq;

/// Most blocks that a selective acknowledgment has room for (RFC 2018, section 3).
pub const MAX_SACKS: usize = 4;

/// Bytes that were received out of order: from the first sequence number to before the second.
pub type Block = (Seq, Seq);

/// The header of a segment and the length of its data.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Segment {
    /// Of the first byte of data, or of SYN.
    pub seq: Seq,
    /// What the sender expects next, where ACK is set.
    pub ack: Seq,
    /// The control bits, see [`flags`].
    pub flags: u8,
    /// The window as it stands there, not scaled.
    pub window: u16,
    /// The maximum segment size option.
    pub mss: Option<u16>,
    /// The window scale option.
    pub scale: Option<u8>,
    /// The option that permits selective acknowledgments.
    pub sack_permitted: bool,
    /// The first [`Segment::sack_count`] are blocks that were received.
    pub sacks: [Block; MAX_SACKS],
    /// How many blocks there are.
    pub sack_count: u8,
    /// Bytes of data, those of a whole super-frame.
    pub len: u32,
}

impl Segment {
    /// Reads the header of `segment`, which ends where the IP packet does. `None` if it is cut
    /// short. Options that are not understood or malformed are passed over (RFC 9293, section 3.1).
    #[must_use]
    pub fn parse(segment: &[u8]) -> Option<Self> {
        let tcp = TcpPacket::new_checked(segment).ok()?;
        let mut parsed = Self {
            seq: Seq(tcp.sequence()),
            ack: Seq(tcp.acknowledgment()),
            flags: tcp.flags(),
            window: tcp.window(),
            len: u32::try_from(segment.len() - tcp.header_len()).ok()?,
            ..Self::default()
        };
        if tcp.header_len() > HEADER_LEN {
            parsed.read_options(&tcp);
        }
        Some(parsed)
    }

    #[cold]
    fn read_options(&mut self, tcp: &TcpPacket<&[u8]>) {
        for option in tcp.options() {
            match (option.kind, option.data) {
                (option::MSS, [a, b]) => self.mss = Some(u16::from_be_bytes([*a, *b])),
                (option::WINDOW_SCALE, [scale]) => self.scale = Some(*scale),
                (option::SACK_PERMITTED, []) => self.sack_permitted = true,
                (option::SACK, data) => {
                    let (blocks, _) = data.as_chunks::<8>();
                    for (to, [a, b, c, d, e, f, g, h]) in self.sacks.iter_mut().zip(blocks) {
                        *to = (
                            Seq(u32::from_be_bytes([*a, *b, *c, *d])),
                            Seq(u32::from_be_bytes([*e, *f, *g, *h])),
                        );
                    }
                    self.sack_count = blocks.len().min(MAX_SACKS) as u8;
                }
                _ => {}
            }
        }
    }

    /// All of `bits` are set.
    #[must_use]
    pub const fn has(&self, bits: u8) -> bool {
        self.flags & bits == bits
    }

    /// The blocks that were received out of order.
    #[must_use]
    pub fn blocks(&self) -> &[Block] {
        self.sacks.get(..usize::from(self.sack_count)).unwrap_or(&[])
    }

    /// Sequence numbers that the segment takes: its data, SYN and FIN.
    #[must_use]
    pub const fn sequence_len(&self) -> u32 {
        self.len + self.has(flags::SYN) as u32 + self.has(flags::FIN) as u32
    }

    /// Whether the control bits can be together at all. No bits, SYN with FIN or RST, and the like
    /// are what scanners send.
    #[must_use]
    pub const fn is_sane(&self) -> bool {
        const SYN_ACK: u8 = flags::SYN | flags::ACK;
        const FIN_ACK: u8 = flags::FIN | flags::ACK;
        const RST_ACK: u8 = flags::RST | flags::ACK;
        let control = self.flags & (flags::SYN | flags::FIN | flags::RST | flags::ACK);
        matches!(control, flags::SYN | flags::ACK | flags::RST | SYN_ACK | FIN_ACK | RST_ACK)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn options_are_read_wherever_they_stand() {
        let mut bytes = vec![0; 20];
        bytes[4..12].copy_from_slice(&[0, 0, 0, 9, 0, 0, 0, 7]);
        bytes[13] = flags::SYN | flags::ACK;
        bytes.extend([1, 3, 3, 7, 4, 2, 1, 1, 2, 4, 5, 0xb4, 5, 10, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0]);
        bytes[12] = 0xb0;
        bytes.extend(b"data");
        let segment = Segment::parse(&bytes).unwrap();
        assert_eq!((segment.seq, segment.ack, segment.len), (Seq(9), Seq(7), 4));
        assert_eq!((segment.scale, segment.mss, segment.sack_permitted), (Some(7), Some(1460), true));
        assert_eq!(segment.blocks(), [(Seq(1), Seq(5))]);
        assert_eq!(segment.sequence_len(), 5);
    }

    #[test]
    fn control_bits_that_make_no_sense_are_told() {
        let sane = |bits| Segment { flags: bits, ..Segment::default() }.is_sane();
        for bits in [
            flags::SYN,
            flags::ACK,
            flags::RST,
            flags::SYN | flags::ACK,
            flags::FIN | flags::ACK,
            flags::RST | flags::ACK,
            flags::ACK | flags::PSH | flags::URG,
        ] {
            assert!(sane(bits), "{bits:#x}");
        }
        for bits in [
            0,
            flags::FIN,
            flags::SYN | flags::FIN,
            flags::SYN | flags::RST,
            flags::FIN | flags::PSH | flags::URG,
            flags::SYN | flags::FIN | flags::ACK,
            0xff,
        ] {
            assert!(!sane(bits), "{bits:#x}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Some(segment) = Segment::parse(&bytes) {
                prop_assert!(segment.len as usize + HEADER_LEN <= bytes.len());
                prop_assert!(segment.blocks().len() <= MAX_SACKS);
            }
        }
    }
}
