//! What happens to frames on the way between engine and container.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use nat::SendError;
use packet::{Frame, Offload};
use rustix::time::Timespec;

/// How bad the way is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Impairment {
    /// Every so many frames to the container is lost; 0 for none.
    pub lose_in: u32,
    /// Every so many frames from the container is lost; 0 for none.
    pub lose_out: u32,
    /// Lose at random with that probability rather than regularly.
    pub random: bool,
    /// Each way takes so long.
    pub delay: Duration,
}

type Delayed = VecDeque<(Instant, Vec<u8>, Offload)>;

#[derive(Default)]
pub(super) struct Impaired {
    how: Impairment,
    seen_in: u32,
    seen_out: u32,
    random: u32,
    to_container: Delayed,
    from_container: Delayed,
}

impl Impaired {
    pub(super) fn new(how: Impairment) -> Self {
        Self { how, random: 0x9e37_79b9, ..Self::default() }
    }

    fn is_lost(how: Impairment, every: u32, seen: &mut u32, random: &mut u32) -> bool {
        if every == 0 {
            return false;
        }
        *seen += 1;
        if how.random {
            // Xorshift (Marsaglia, 2003): the same in every run.
            *random ^= *random << 13;
            *random ^= *random >> 17;
            *random ^= *random << 5;
            random.is_multiple_of(every)
        } else {
            seen.is_multiple_of(every)
        }
    }

    pub(super) fn pass_in(
        &mut self,
        frame: &mut Frame,
        send: impl FnOnce(&mut Frame) -> Result<(), SendError>,
    ) -> Result<(), SendError> {
        if Self::is_lost(self.how, self.how.lose_in, &mut self.seen_in, &mut self.random) {
            return Ok(());
        }
        if self.how.delay.is_zero() {
            return send(frame);
        }
        let at = Instant::now() + self.how.delay;
        self.to_container.push_back((at, frame.bytes().to_vec(), frame.offload()));
        Ok(())
    }

    /// Whether a frame from the container goes on at once.
    pub(super) fn pass_out(&mut self, frame: &Frame) -> bool {
        if Self::is_lost(self.how, self.how.lose_out, &mut self.seen_out, &mut self.random) {
            return false;
        }
        if self.how.delay.is_zero() {
            return true;
        }
        let at = Instant::now() + self.how.delay;
        self.from_container.push_back((at, frame.bytes().to_vec(), frame.offload()));
        false
    }

    fn next(queue: &mut Delayed, frame: &mut Frame) -> bool {
        match queue.front() {
            Some((at, _, _)) if *at <= Instant::now() => {}
            _ => return false,
        }
        let Some((_, bytes, offload)) = queue.pop_front() else { return false };
        frame.copy_from(&bytes, offload).is_ok()
    }

    pub(super) fn next_to_container(&mut self, frame: &mut Frame) -> bool {
        Self::next(&mut self.to_container, frame)
    }

    pub(super) fn next_from_container(&mut self, frame: &mut Frame) -> bool {
        Self::next(&mut self.from_container, frame)
    }

    /// How long until something is to be let go on.
    pub(super) fn timeout(&self) -> Option<Timespec> {
        let next = [self.to_container.front(), self.from_container.front()];
        let at = next.into_iter().flatten().map(|(at, _, _)| *at).min()?;
        let left = at.saturating_duration_since(Instant::now());
        Timespec::try_from(left).ok()
    }
}
