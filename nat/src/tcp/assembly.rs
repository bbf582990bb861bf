//! Bytes that came out of order, until what lies before them has come.

use std::collections::VecDeque;

use super::{
    segment::{Block, MAX_SACKS},
    seq::Seq,
};

/// Most pieces kept: bounds the work that a hostile sender can cause.
const MAX_PIECES: usize = 512;
/// What a piece costs beyond its bytes.
const PIECE_COST: usize = 64;

/// Pieces in the order of their numbers, none overlapping another.
#[derive(Debug, Default)]
pub struct Assembly {
    pieces: VecDeque<(Seq, Vec<u8>)>,
    bytes: usize,
    /// Where the FIN is, if that has come.
    finish: Option<Seq>,
    /// Where the latest piece lies.
    latest: Seq,
}

fn end((seq, data): &(Seq, Vec<u8>)) -> Seq {
    *seq + data.len() as u32
}

impl Assembly {
    /// Nothing is kept, and no FIN has come.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.finish.is_none()
    }

    /// Bytes of memory, about.
    #[must_use]
    pub fn cost(&self) -> usize {
        self.bytes + self.pieces.len() * PIECE_COST
    }

    /// The FIN is at `seq`.
    pub fn finish_at(&mut self, seq: Seq) {
        self.finish = Some(seq);
    }

    /// Where the FIN is.
    #[must_use]
    pub const fn finish(&self) -> Option<Seq> {
        self.finish
    }

    /// Keeps what is new of `data`, which belongs at `seq`. Some is left out where there are too
    /// many pieces.
    pub fn insert(&mut self, seq: Seq, data: &[u8]) {
        let (mut seq, mut data) = (seq, data);
        self.latest = seq;
        let mut index = self.pieces.partition_point(|piece| end(piece) <= seq);
        while !data.is_empty() {
            let next = self.pieces.get(index);
            if let Some(piece) = next
                && piece.0 <= seq
            {
                // The front is there already.
                let known = end(piece).since(seq) as usize;
                seq = end(piece);
                data = data.get(known..).unwrap_or(&[]);
                index += 1;
                continue;
            }
            let room = next.map_or(data.len(), |piece| (piece.0.since(seq) as usize).min(data.len()));
            let (new, rest) = data.split_at(room);
            if self.pieces.len() >= MAX_PIECES {
                return;
            }
            self.pieces.insert(index, (seq, new.to_vec()));
            self.bytes += new.len();
            seq += room as u32;
            data = rest;
            index += 1;
        }
    }

    /// Takes the piece that begins at `nxt`, or lies across it; drops what lies before.
    pub fn take(&mut self, nxt: Seq) -> Option<Vec<u8>> {
        while let Some(piece) = self.pieces.front() {
            if piece.0 > nxt {
                return None;
            }
            let known = nxt.since(piece.0) as usize;
            let (_, mut data) = self.pieces.pop_front()?;
            self.bytes -= data.len();
            if known < data.len() {
                data.drain(..known);
                return Some(data);
            }
        }
        None
    }

    /// The pieces joined to blocks, that of the latest first; returns how many.
    pub fn blocks(&self, into: &mut [Block; MAX_SACKS]) -> usize {
        let mut count = 0;
        let mut push = |block: Block| {
            if let Some(to) = into.get_mut(count) {
                *to = block;
                count += 1;
            }
        };
        let latest = self.joined().find(|(from, to)| *from <= self.latest && self.latest < *to);
        latest.into_iter().for_each(&mut push);
        self.joined().filter(|block| Some(*block) != latest).take(MAX_SACKS).for_each(&mut push);
        count
    }

    fn joined(&self) -> impl Iterator<Item = Block> + '_ {
        let mut pieces = self.pieces.iter().peekable();
        std::iter::from_fn(move || {
            let first = pieces.next()?;
            let mut to = end(first);
            while let Some(piece) = pieces.next_if(|piece| piece.0 == to) {
                to = end(piece);
            }
            Some((first.0, to))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// The byte that belongs at `seq`.
    fn byte(seq: Seq) -> u8 {
        (seq.0 ^ (seq.0 >> 8)) as u8
    }

    proptest! {
        #[test]
        fn pieces_come_out_in_order_however_they_went_in(
            start in any::<u32>(),
            pieces in prop::collection::vec((0u32..2000, 1u32..300), 1..60),
        ) {
            let start = Seq(start);
            let (mut assembly, mut model) = (Assembly::default(), BTreeMap::new());
            for (offset, len) in pieces {
                let seq = start + offset;
                let data: Vec<u8> = (0..len).map(|i| byte(seq + i)).collect();
                assembly.insert(seq, &data);
                model.extend((offset..offset + len).zip(data));
                prop_assert_eq!(assembly.bytes, model.len());
                prop_assert!(assembly.pieces.iter().zip(assembly.pieces.iter().skip(1)).all(|(a, b)| end(a) <= b.0));

                let mut blocks = [(Seq(0), Seq(0)); MAX_SACKS];
                let count = assembly.blocks(&mut blocks);
                prop_assert!(count >= 1);
                prop_assert!(blocks[0].0 <= seq && seq < blocks[0].1, "the latest is first");
                for (from, to) in &blocks[..count] {
                    let (from, to) = (from.since(start), to.since(start));
                    prop_assert!((from..to).all(|offset| model.contains_key(&offset)));
                    prop_assert!(!model.contains_key(&to));
                    prop_assert!(from == 0 || !model.contains_key(&(from - 1)));
                }
            }
            let mut at = start;
            while !assembly.is_empty() {
                while let Some(data) = assembly.take(at) {
                    for each in data {
                        prop_assert_eq!(Some(each), model.remove(&at.since(start)));
                        at += 1;
                    }
                }
                at += 1;
            }
            prop_assert!(model.is_empty() && assembly.bytes == 0);
        }
    }
}
