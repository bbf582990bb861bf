//! The descriptor that a worker waits for: all sockets and one timer behind it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::{
    event::epoll::{self, CreateFlags, Event, EventData, EventFlags},
    io::{self, Errno},
    time::{
        ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
        timerfd_create, timerfd_settime,
    },
};

use crate::time::Time;

/// Events taken at once.
const EVENTS: usize = 64;

/// An epoll instance.
pub(crate) struct Poll {
    fd: OwnedFd,
    events: Vec<Event>,
}

impl Poll {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { fd: epoll::create(CreateFlags::CLOEXEC)?, events: Vec::with_capacity(EVENTS) })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub(crate) fn add(&self, source: impl AsFd, flags: EventFlags, token: u64) -> io::Result<()> {
        epoll::add(&self.fd, source, EventData::new_u64(token), flags)
    }

    pub(crate) fn delete(&self, source: impl AsFd) -> io::Result<()> {
        epoll::delete(&self.fd, source)
    }

    /// Watches what is watched already, so that what is ready by now is an event again.
    pub(crate) fn again(&self, source: impl AsFd, flags: EventFlags, token: u64) -> io::Result<()> {
        epoll::modify(&self.fd, source, EventData::new_u64(token), flags)
    }

    /// Replaces `into` by what has happened, as token and flags, without waiting; false when that
    /// was all.
    pub(crate) fn take(&mut self, into: &mut Vec<(u64, EventFlags)>) -> bool {
        into.clear();
        self.events.clear();
        let spare = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.fd, spare, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
            // The descriptor and the arguments are our own: there is nothing but EINTR.
            Err(_) => false,
            Ok(count) => {
                into.extend(self.events.iter().map(|event| (event.data.u64(), event.flags)));
                count == EVENTS
            }
        }
    }
}

#[cfg(any(test, feature = "fuzzing"))]
thread_local! {
    /// How much later it is for tests on this thread.
    static AHEAD: std::cell::Cell<std::time::Duration> = const { std::cell::Cell::new(std::time::Duration::ZERO) };
}

/// A timer descriptor on the monotonic clock.
#[derive(Debug)]
pub(crate) struct Clock {
    fd: OwnedFd,
    /// When it is set to fire.
    armed: Time,
}

impl Clock {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Self { fd: timerfd_create(TimerfdClockId::Monotonic, flags)?, armed: Time::NEVER })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub(crate) fn now() -> Time {
        let now = clock_gettime(ClockId::Monotonic);
        let now =
            Time::from_micros(now.tv_sec.unsigned_abs() * 1_000_000 + now.tv_nsec.unsigned_abs() / 1000);
        #[cfg(any(test, feature = "fuzzing"))]
        let now = now + AHEAD.get();
        now
    }

    /// Lets time pass on this thread: from now on it is `by` later than it is.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn pass(by: std::time::Duration) {
        AHEAD.set(AHEAD.get() + by);
    }

    /// Makes sure that it fires at `at` at the latest.
    pub(crate) fn arm(&mut self, at: Time) {
        if at >= self.armed {
            return;
        }
        // A value of zero would disarm it.
        let micros = at.micros().max(1);
        let value = Timespec {
            tv_sec: (micros / 1_000_000).cast_signed(),
            tv_nsec: (micros % 1_000_000).cast_signed() * 1000,
        };
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let setting = Itimerspec { it_interval: zero, it_value: value };
        if timerfd_settime(&self.fd, TimerfdTimerFlags::ABSTIME, &setting).is_ok() {
            self.armed = at;
        }
    }

    /// It has fired and is not set any more.
    pub(crate) fn fired(&mut self) {
        let mut count = [0; 8];
        // EAGAIN means that it was set anew meanwhile.
        if !matches!(io::read(&self.fd, &mut count), Err(Errno::AGAIN)) {
            self.armed = Time::NEVER;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    #[test]
    fn a_timer_wakes_whoever_waits_for_the_descriptor() {
        let (mut epoll, mut clock) = (Poll::new().unwrap(), Clock::new().unwrap());
        epoll.add(clock.fd(), EventFlags::IN, 77).unwrap();
        let mut events = Vec::new();
        assert!(!epoll.take(&mut events) && events.is_empty());
        let at = Clock::now() + Duration::from_millis(2);
        clock.arm(at);
        clock.arm(at + Duration::from_hours(1));
        poll(&mut [PollFd::new(&epoll.fd(), PollFlags::IN)], None).unwrap();
        assert!(Clock::now() >= at);
        epoll.take(&mut events);
        assert_eq!(events.iter().map(|(token, _)| *token).collect::<Vec<_>>(), [77]);
        clock.fired();
        epoll.take(&mut events);
        assert!(events.is_empty());
    }
}
