//! What a container has and what it misses, from its selective acknowledgments (RFC 2018, 6675).

use super::{segment::Block, seq::Seq};

/// Most blocks that are remembered. What does not fit is sent again for nothing.
const MAX_KNOWN: usize = 256;

/// The holes in what a container has received, and how far they were filled.
#[derive(Debug, Default)]
pub struct Loss {
    /// What the container has, in order, none touching another.
    known: Vec<Block>,
    /// The end of what counts as lost when it is missing; `None` when nothing does yet.
    active: Option<Active>,
}

#[derive(Debug)]
struct Active {
    /// Everything sent when the loss was found was acknowledged: it is over.
    point: Seq,
    /// Holes are filled up to here in this pass.
    next: Seq,
    /// The first number that was sent after the last hole was filled. Frames keep their order, so
    /// when the container has something behind it, what it still misses was lost again.
    mark: Seq,
    /// The container does not tell its holes: one is known to be at the front.
    blind: bool,
}

impl Loss {
    /// Adds a block; true if something in it was not known.
    pub fn add(&mut self, (from, to): Block) -> bool {
        let first = self.known.partition_point(|block| block.1 < from);
        let last = first + self.known[first..].partition_point(|block| block.0 <= to);
        let joined = self.known[first..last]
            .iter()
            .fold((from, to), |joined, block| (joined.0.min(block.0), joined.1.max(block.1)));
        if last == first + 1 && self.known[first] == joined {
            return false;
        }
        if first == last {
            if self.known.len() >= MAX_KNOWN {
                return false;
            }
            self.known.insert(first, joined);
        } else {
            self.known[first] = joined;
            self.known.drain(first + 1..last);
        }
        true
    }

    /// Bytes that the container has behind the first hole.
    #[must_use]
    pub fn known(&self) -> u32 {
        self.known.iter().map(|(from, to)| to.since(*from)).fold(0, u32::saturating_add)
    }

    /// The end of what the container has.
    #[must_use]
    pub fn highest(&self) -> Option<Seq> {
        self.known.last().map(|block| block.1)
    }

    /// The container has everything before `ack`; `max` is the first number never sent.
    pub fn acknowledged(&mut self, ack: Seq, max: Seq) {
        let gone = self.known.partition_point(|block| block.1 <= ack);
        self.known.drain(..gone);
        if let Some(first) = self.known.first_mut() {
            first.0 = first.0.max(ack);
        }
        if let Some(active) = &mut self.active {
            active.next = active.next.max(ack);
            if ack >= active.point {
                self.active = None;
            } else if active.blind {
                // A partial acknowledgment shows the next hole (RFC 6582, section 3.2).
                (active.next, active.mark) = (ack, max);
            }
        }
    }

    /// Nothing is missing, as far as is known.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.active.is_none() && self.known.is_empty()
    }

    /// Something is being sent again.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        self.active.is_some()
    }

    /// What is missing counts as lost from now on. `una` is the first number not acknowledged, `max`
    /// the first never sent.
    pub fn begin(&mut self, una: Seq, max: Seq) {
        let Some(highest) = self.highest() else { return };
        match &mut self.active {
            None => self.active = Some(Active { point: max, next: una, mark: max, blind: false }),
            Some(active) => {
                if highest > active.mark {
                    (active.next, active.mark, active.point) = (una, max, max);
                }
            }
        }
    }

    /// As [`Loss::begin`], for a container that does not tell its holes.
    pub fn begin_blind(&mut self, una: Seq, max: Seq) {
        if self.active.is_none() {
            self.active = Some(Active { point: max, next: una, mark: max, blind: true });
        }
    }

    /// Fills all holes once more.
    pub fn restart(&mut self, una: Seq) {
        if let Some(active) = &mut self.active {
            active.next = una;
        }
    }

    /// The next hole to fill: from `una` on, before `nxt`, at most `most` bytes where its end is
    /// not known.
    #[must_use]
    pub fn hole(&self, una: Seq, nxt: Seq, most: u32) -> Option<Block> {
        let active = self.active.as_ref()?;
        let from = active.next.max(una);
        if active.blind {
            return (from == una && from < nxt).then(|| (from, (from + most).min(nxt)));
        }
        let from = self.skip_known(from);
        let to = self.next_known(from)?.min(nxt);
        (from < to).then_some((from, to))
    }

    /// Where the first block behind `from` begins.
    #[must_use]
    pub fn next_known(&self, from: Seq) -> Option<Seq> {
        let index = self.known.partition_point(|block| block.1 <= from);
        self.known.get(index).map(|block| block.0)
    }

    /// The first number from `from` on that is not in a block.
    #[must_use]
    pub fn skip_known(&self, from: Seq) -> Seq {
        let index = self.known.partition_point(|block| block.1 <= from);
        match self.known.get(index) {
            Some(block) if block.0 <= from => block.1,
            _ => from,
        }
    }

    /// Everything from `from` to before `to` was sent once more; `max` is the first number never
    /// sent.
    pub fn sent_again(&mut self, una: Seq, (from, to): Block, max: Seq) {
        let Some(active) = &self.active else { return };
        let next = active.next.max(una);
        let next = if active.blind { next } else { self.skip_known(next) };
        if let Some(active) = &mut self.active
            && from == next
        {
            (active.next, active.mark) = (to, max);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn loss(known: &[(u32, u32)]) -> Loss {
        let mut loss = Loss::default();
        for (from, to) in known {
            assert!(loss.add((Seq(*from), Seq(*to))));
        }
        loss
    }

    /// All holes of one pass, filled whole.
    fn fill(loss: &mut Loss, una: u32, max: u32) -> Vec<(u32, u32)> {
        let mut filled = Vec::new();
        while let Some(hole) = loss.hole(Seq(una), Seq(max), 100) {
            loss.sent_again(Seq(una), hole, Seq(max));
            filled.push((hole.0.0, hole.1.0));
        }
        filled
    }

    #[test]
    fn rfc6675_only_what_is_missing_is_sent_again_and_once() {
        let mut loss = loss(&[(200, 300), (400, 500)]);
        loss.begin(Seq(100), Seq(600));
        assert_eq!(fill(&mut loss, 100, 600), [(100, 200), (300, 400)]);
        loss.begin(Seq(100), Seq(600));
        assert_eq!(fill(&mut loss, 100, 600), []);
        loss.acknowledged(Seq(600), Seq(600));
        assert!(loss.is_over());
    }

    #[test]
    fn what_is_lost_twice_is_sent_a_third_time_when_later_data_arrived() {
        let mut loss = loss(&[(200, 300), (400, 500)]);
        loss.begin(Seq(100), Seq(600));
        fill(&mut loss, 100, 600);
        // Sent after the holes were filled, and arrived: the first hole was filled, the second not.
        loss.acknowledged(Seq(300), Seq(700));
        loss.add((Seq(650), Seq(700)));
        loss.begin(Seq(300), Seq(700));
        assert_eq!(fill(&mut loss, 300, 700), [(300, 400), (500, 650)]);
    }

    #[test]
    fn rfc6582_without_selective_acknowledgments_the_front_is_sent_again() {
        let mut loss = Loss::default();
        loss.begin_blind(Seq(100), Seq(900));
        assert_eq!(fill(&mut loss, 100, 900), [(100, 200)]);
        loss.acknowledged(Seq(450), Seq(900));
        assert_eq!(fill(&mut loss, 450, 900), [(450, 550)]);
        loss.acknowledged(Seq(900), Seq(900));
        assert!(loss.is_over());
    }

    proptest! {
        #[test]
        fn blocks_are_what_a_set_of_numbers_is(
            start in any::<u32>(),
            blocks in prop::collection::vec((0u32..500, 1u32..60), 1..40),
            ack in 0u32..600,
        ) {
            let (mut loss, mut model) = (Loss::default(), BTreeSet::new());
            for (from, len) in blocks {
                let before = model.len();
                model.extend(from..from + len);
                let news = loss.add((Seq(start) + from, Seq(start) + from + len));
                prop_assert_eq!(news, model.len() > before);
                prop_assert_eq!(loss.known() as usize, model.len());
            }
            loss.acknowledged(Seq(start) + ack, Seq(start) + 1000);
            model.retain(|n| *n >= ack);
            prop_assert_eq!(loss.known() as usize, model.len());
            prop_assert!(loss.known.iter().zip(loss.known.iter().skip(1)).all(|(a, b)| a.1 < b.0));
            for n in 0..600 {
                let known = loss.skip_known(Seq(start) + n) != Seq(start) + n;
                prop_assert_eq!(known, model.contains(&n));
            }
        }
    }
}
