//! Which datagrams go to a socket as one (`UDP_SEGMENT`, udp(7)).

/// Most datagrams that one call sends as one: what every kernel takes that can do it at all.
const MOST: usize = 64;
/// Most bytes that are joined: with all headers they fit a packet of either IP version.
const BYTES: usize = 65_000;

/// Datagrams to the same destination, one behind the other: all as long as the first, the last may
/// be shorter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    size: usize,
    bytes: usize,
    count: usize,
    /// Nothing may follow.
    closed: bool,
}

impl Run {
    /// A run of `len` bytes: one datagram, or many of `segment` bytes.
    #[must_use]
    pub fn new(len: usize, segment: Option<u16>) -> Self {
        let size = segment.map_or(len, usize::from);
        let count = if size == 0 { 1 } else { len.div_ceil(size).max(1) };
        Self { size, bytes: len, count, closed: len == 0 || !len.is_multiple_of(size.max(1)) }
    }

    /// Takes another run in, if both are one.
    pub fn join(&mut self, other: &Self) -> bool {
        let fits = self.bytes + other.bytes <= BYTES && self.count + other.count <= MOST;
        let same = other.size == self.size || (other.count == 1 && other.size < self.size);
        if self.closed || !fits || !same || other.bytes == 0 {
            return false;
        }
        self.bytes += other.bytes;
        self.count += other.count;
        self.closed = other.closed || other.size < self.size;
        true
    }

    /// Datagrams in it.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Bytes of each datagram but the last; `None` where there is but one.
    #[must_use]
    pub fn segment(&self) -> Option<u16> {
        if self.count > 1 { u16::try_from(self.size).ok() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a kernel makes of a run.
    fn cut(run: &Run) -> Vec<usize> {
        match run.segment() {
            None => vec![run.bytes],
            Some(size) => {
                let size = usize::from(size);
                (0..run.bytes).step_by(size).map(|from| size.min(run.bytes - from)).collect()
            }
        }
    }

    proptest! {
        #[test]
        fn what_goes_as_one_comes_out_as_the_datagrams_it_was(
            runs in prop::collection::vec((0..2000usize, prop::option::of(1..1500u16)), 1..100),
            equal in any::<bool>(),
        ) {
            let runs = runs.into_iter().map(|(len, segment)| {
                if equal { Run::new(700 + len / 1900, None) } else { Run::new(len, segment) }
            });
            let mut joined: Vec<(Run, Vec<usize>)> = Vec::new();
            for run in runs {
                let datagrams = cut(&run);
                let before = joined.last_mut();
                if let Some((last, all)) = before && last.join(&run) {
                    all.extend(datagrams);
                } else {
                    joined.push((run, datagrams));
                }
            }
            for (run, datagrams) in joined {
                prop_assert_eq!(cut(&run), datagrams);
                prop_assert!(run.count() <= 64 || run.segment().is_some_and(|size| size < 40));
                prop_assert!(run.bytes <= BYTES);
            }
        }
    }

    #[test]
    fn equal_datagrams_are_joined_up_to_the_bounds() {
        let mut run = Run::new(1000, None);
        assert_eq!(run.segment(), None);
        assert_eq!((0..200).filter(|_| run.join(&Run::new(1000, None))).count(), 63);
        assert_eq!((run.count(), run.segment()), (64, Some(1000)));
        let mut run = Run::new(1400, None);
        assert_eq!((0..200).filter(|_| run.join(&Run::new(1400, None))).count(), 45);
    }

    #[test]
    fn a_shorter_datagram_is_the_last_and_an_empty_one_stands_alone() {
        let mut run = Run::new(4200, Some(1400));
        assert!(run.join(&Run::new(100, None)));
        assert!(!run.join(&Run::new(1400, None)));
        assert!(!Run::new(0, None).join(&Run::new(0, None)));
        assert!(!Run::new(9, None).join(&Run::new(0, None)));
    }
}
