//! Datagrams of a batch of frames until they are sent on: the frames are kept, not copied.

use std::net::{IpAddr, SocketAddr};

use packet::Frame;

use crate::{engine::core::Packet, udp::Run};

/// Most frames in a batch.
const FRAMES: usize = 64;
/// No piece.
pub(super) const NONE: u32 = u32::MAX;

/// What one frame has for a socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) packet: Packet,
    pub(super) to: SocketAddr,
    pub(super) via: Option<IpAddr>,
    /// The data are many datagrams of so many bytes.
    pub(super) segment: Option<u16>,
    /// Where the data lie in the frame.
    pub(super) from: usize,
    pub(super) len: usize,
}

impl Piece {
    pub(super) fn run(&self) -> Run {
        Run::new(self.len, self.segment)
    }

    /// Both can go as one if their lengths let them.
    pub(super) fn goes_with(&self, other: &Self) -> bool {
        self.to == other.to
            && self.via == other.via
            && self.packet.tos == other.packet.tos
            && self.packet.hops == other.packet.hops
            && self.packet.may_fragment == other.packet.may_fragment
    }
}

/// The pieces of the batch that are for one socket, a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub(super) first: u32,
    last: u32,
}

impl Pending {
    pub(super) const NONE: Self = Self { first: NONE, last: NONE };

    pub(super) const fn is_empty(self) -> bool {
        self.first == NONE
    }
}

/// The pieces for all sockets.
#[derive(Debug, Default)]
pub(super) struct Batch {
    held: Vec<Frame>,
    spare: Vec<Frame>,
    /// A piece for each frame that is held, and the next one for the same socket.
    pieces: Vec<(Piece, u32)>,
}

impl Batch {
    /// No further frame can be held.
    pub(super) fn is_full(&self) -> bool {
        self.held.len() >= FRAMES
    }

    /// Keeps `frame` with its piece, and leaves another buffer in its place.
    pub(super) fn hold(&mut self, frame: &mut Frame, piece: Piece, list: &mut Pending) {
        let spare = self.spare.pop().unwrap_or_default();
        self.held.push(std::mem::replace(frame, spare));
        let index = self.pieces.len() as u32;
        self.pieces.push((piece, NONE));
        match self.pieces.get_mut(list.last as usize) {
            Some(last) => last.1 = index,
            None => list.first = index,
        }
        list.last = index;
    }

    /// A piece, and the next one for the same socket.
    pub(super) fn piece(&self, index: u32) -> Option<(&Piece, u32)> {
        self.pieces.get(index as usize).map(|(piece, next)| (piece, *next))
    }

    /// A piece's data.
    pub(super) fn data(&self, index: u32) -> &[u8] {
        let (Some((piece, _)), Some(frame)) = (self.piece(index), self.held.get(index as usize)) else {
            return &[];
        };
        frame.bytes().get(piece.from..piece.from + piece.len).unwrap_or(&[])
    }

    /// The packet that a piece came in, from its IP header on.
    pub(super) fn packet(&self, index: u32) -> &[u8] {
        let (Some((piece, _)), Some(frame)) = (self.piece(index), self.held.get(index as usize)) else {
            return &[];
        };
        frame.bytes().get(piece.packet.l3..piece.packet.ip.end).unwrap_or(&[])
    }

    /// Everything was sent on: the buffers are free again.
    pub(super) fn clear(&mut self) {
        self.pieces.clear();
        self.spare.append(&mut self.held);
    }
}
