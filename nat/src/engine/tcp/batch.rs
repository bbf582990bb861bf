//! What a batch of frames brought, until it is sent on: the frames themselves are kept, not
//! copied.

use std::io::IoSlice;

use packet::Frame;

use super::flow::{NO_PIECE, Pending};

/// Most frames in a batch. Their data go to a socket with one call.
const FRAMES: usize = 64;

/// Data of one segment, in a frame that is held or in memory of its own.
#[derive(Debug)]
enum Piece {
    Held { frame: u32, from: u32, len: u32 },
    Owned(Vec<u8>),
}

/// The data of many flows, each with a list of its own.
#[derive(Debug, Default)]
pub(super) struct Batch {
    held: Vec<Frame>,
    spare: Vec<Frame>,
    pieces: Vec<(Piece, u32)>,
}

impl Batch {
    /// No further frame can be held.
    pub(super) fn is_full(&self) -> bool {
        self.held.len() >= FRAMES
    }

    /// Keeps `frame`, of which `len` bytes at `from` are data for a flow, and leaves another
    /// buffer in its place.
    pub(super) fn hold(&mut self, frame: &mut Frame, from: usize, len: u32, list: &mut Pending) {
        let spare = self.spare.pop().unwrap_or_default();
        self.held.push(std::mem::replace(frame, spare));
        let index = (self.held.len() - 1) as u32;
        self.append(Piece::Held { frame: index, from: from as u32, len }, len, list);
    }

    /// Keeps data that have memory of their own.
    pub(super) fn own(&mut self, data: Vec<u8>, list: &mut Pending) {
        let len = data.len() as u32;
        self.append(Piece::Owned(data), len, list);
    }

    fn append(&mut self, piece: Piece, len: u32, list: &mut Pending) {
        let index = self.pieces.len() as u32;
        self.pieces.push((piece, NO_PIECE));
        match self.pieces.get_mut(list.last as usize) {
            Some(last) => last.1 = index,
            None => list.first = index,
        }
        list.last = index;
        list.bytes += len;
    }

    /// The data of a list, one piece after the other.
    pub(super) fn pieces<'a>(&'a self, list: &Pending) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut next = list.first;
        std::iter::from_fn(move || {
            let (piece, following) = self.pieces.get(next as usize)?;
            next = *following;
            Some(match piece {
                Piece::Owned(data) => data,
                Piece::Held { frame, from, len } => {
                    let (from, len) = (*from as usize, *len as usize);
                    self.held
                        .get(*frame as usize)
                        .and_then(|f| f.bytes().get(from..from + len))
                        .unwrap_or(&[])
                }
            })
        })
    }

    /// Everything was sent on: the buffers are free again.
    pub(super) fn clear(&mut self) {
        self.pieces.clear();
        self.spare.append(&mut self.held);
    }
}

/// The first slices of `pieces`, without the first `skip` bytes; returns how many there are.
pub(super) fn gather<'a, const N: usize>(
    pieces: impl Iterator<Item = &'a [u8]>,
    skip: usize,
    into: &mut [IoSlice<'a>; N],
) -> usize {
    let (mut count, mut skip) = (0, skip);
    for piece in pieces {
        if skip >= piece.len() {
            skip -= piece.len();
            continue;
        }
        let Some(slot) = into.get_mut(count) else { break };
        *slot = IoSlice::new(piece.get(skip..).unwrap_or(&[]));
        (count, skip) = (count + 1, 0);
    }
    count
}

#[cfg(test)]
mod tests {
    use packet::Offload;

    use super::*;

    #[test]
    fn lists_of_several_flows_keep_their_order() {
        let mut batch = Batch::default();
        let (mut one, mut two) = (Pending::NONE, Pending::NONE);
        let mut frame = Frame::with_capacity(100);
        frame.copy_from(b"0123456789abcdef", Offload::NONE).unwrap();
        batch.hold(&mut frame, 2, 3, &mut one);
        frame.copy_from(b"fedcba9876543210", Offload::NONE).unwrap();
        batch.hold(&mut frame, 10, 6, &mut two);
        batch.own(b"xyz".to_vec(), &mut one);
        assert_eq!(batch.pieces(&one).collect::<Vec<_>>(), [b"234", b"xyz"]);
        assert_eq!(batch.pieces(&two).collect::<Vec<_>>(), [b"543210"]);
        assert_eq!((one.bytes, two.bytes), (6, 6));
        let mut slices = [IoSlice::new(&[]); 4];
        assert_eq!(gather(batch.pieces(&one), 4, &mut slices), 1);
        assert_eq!(&*slices[0], b"yz");
        batch.clear();
        assert_eq!(batch.spare.len(), 2);
    }
}
