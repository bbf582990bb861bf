//! Waiting for what is going to be true.

use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// How long anything may take before the test gives up. No verdict depends on it but that of a hang.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// Between two looks at a condition of which no event tells.
const INTERVAL: Duration = Duration::from_millis(10);

/// Looks until there is an answer.
///
/// # Panics
/// When there is none within [`DEADLINE`].
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = look() {
            return answer;
        }
        assert!(Instant::now() < end, "waited {DEADLINE:?} in vain for: {what}");
        std::thread::sleep(INTERVAL);
    }
}

/// Kills a process that is no child, and waits until it holds nothing any more.
///
/// # Panics
/// When it does not end.
pub fn kill_and_wait(pid: i32) {
    let held = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    let Some(held) = held else { return };
    let _ = pidfd_send_signal(&held, Signal::KILL);
    let timeout = Timespec { tv_sec: DEADLINE.as_secs().cast_signed(), tv_nsec: 0 };
    let ended = poll(&mut [PollFd::new(&held, PollFlags::IN)], Some(&timeout));
    assert!(ended == Ok(1), "process {pid} goes on after SIGKILL");
}

/// Waits for the end of a child process, and buries it; `None` when it lives on past the deadline.
pub fn child_end(child: &mut Child, deadline: Duration) -> Option<ExitStatus> {
    if let Ok(Some(status)) = child.try_wait() {
        return Some(status);
    }
    let held = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).ok()?;
    let end = Instant::now() + deadline;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        let _ = poll(&mut [PollFd::new(&held, PollFlags::IN)], Some(&timeout));
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            _ if left.is_zero() => return None,
            _ => {}
        }
    }
}
