//! The header of a segment to a container.

use packet::wire::tcp::{HEADER_LEN, flags, option};

use super::{
    segment::{Block, MAX_SACKS, Segment},
    seq::Seq,
};

/// What a SYN says beside its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SynOptions {
    /// The largest segment that is taken, in bytes of data.
    pub mss: u16,
    /// How far windows will be shifted.
    pub scale: Option<u8>,
    /// Selective acknowledgments are understood.
    pub sack: bool,
}

/// A segment's header, ports and checksum not included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Of the first byte of data, or of SYN or FIN.
    pub seq: Seq,
    /// What is expected next.
    pub ack: Seq,
    /// The control bits, see [`flags`].
    pub flags: u8,
    /// As it stands there, scaled.
    pub window: u16,
    /// The options of a SYN.
    pub syn: Option<SynOptions>,
    /// The first [`Header::block_count`] are blocks received out of order.
    pub blocks: [Block; MAX_SACKS],
    /// How many blocks there are.
    pub block_count: u8,
}

impl Header {
    /// A header without options.
    #[must_use]
    pub const fn plain(seq: Seq, ack: Seq, flags: u8, window: u16) -> Self {
        let blocks = [(Seq(0), Seq(0)); MAX_SACKS];
        Self { seq, ack, flags, window, syn: None, blocks, block_count: 0 }
    }

    /// The reset that answers a segment of no connection (RFC 9293, section 3.10.7.1).
    #[must_use]
    pub const fn reset_for(segment: &Segment) -> Self {
        if segment.has(flags::ACK) {
            Self::plain(segment.ack, Seq(0), flags::RST, 0)
        } else {
            let end = Seq(segment.seq.0.wrapping_add(segment.sequence_len()));
            Self::plain(Seq(0), end, flags::RST | flags::ACK, 0)
        }
    }

    /// Bytes of the header with its options, 20 to 56.
    #[must_use]
    pub fn header_len(&self) -> usize {
        HEADER_LEN + self.options().1
    }

    /// The options, padded, and how many of the bytes they are.
    pub(crate) fn options(&self) -> ([u8; 40], usize) {
        let mut options = Options { bytes: [0; 40], len: 0 };
        if let Some(syn) = self.syn {
            let [a, b] = syn.mss.to_be_bytes();
            options.push(&[option::MSS, 4, a, b]);
            if syn.sack {
                options.push(&[option::NOP, option::NOP, option::SACK_PERMITTED, 2]);
            }
            if let Some(scale) = syn.scale {
                options.push(&[option::NOP, option::WINDOW_SCALE, 3, scale]);
            }
        }
        if self.block_count > 0 {
            options.push(&[option::NOP, option::NOP, option::SACK, 2 + 8 * self.block_count]);
            for (from, to) in self.blocks.iter().take(self.block_count.into()) {
                options.push(&from.0.to_be_bytes());
                options.push(&to.0.to_be_bytes());
            }
        }
        (options.bytes, options.len)
    }
}

struct Options {
    bytes: [u8; 40],
    len: usize,
}

impl Options {
    /// What does not fit is left out whole.
    fn push(&mut self, bytes: &[u8]) {
        if let Some(to) = self.bytes.get_mut(self.len..self.len + bytes.len()) {
            to.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }
}
