//! The link to the world: a veth pair, or two TAPs and a process between them that delays and loses frames.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::error::{Doing as _, Error, Result};
use crate::netns::Netns;
use crate::process::Process;
use crate::sys::{Offloads, open_tap};

/// The first argument with which the benchmark's own program is such a process.
pub(crate) const ARGUMENT: &str = "impair-between-stdin-and-stdout";

/// Room for the largest frame: 64 KiB, Ethernet header, VLAN tag, virtio-net header.
const ROOM: usize = 65_536 + 14 + 4 + 12;
/// Most bytes on the way in one direction: what comes then is lost, as in any queue.
const QUEUE: usize = 64 << 20;
/// Frames read before others are let go on.
const BATCH: usize = 64;

/// A link between two namespaces, in each of which it is eth0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// A veth pair.
    Veth,
    /// Two TAPs without offloads, every segment a frame of its own.
    Frames(Impairment),
    /// Two TAPs with all offloads: super-frames pass, and are lost, whole.
    SuperFrames(Impairment),
}

/// How bad a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Impairment {
    /// Milliseconds that a frame takes, each way.
    pub(crate) delay: u32,
    /// One frame in so many is lost, at random, each way; 0 for none.
    pub(crate) random: u32,
    /// Every so manieth frame to the first namespace is lost; 0 for none.
    pub(crate) regular: u32,
}

impl Link {
    /// Makes eth0 in both; gives back the process between them, if there is one.
    pub(crate) fn join(self, a: &Netns, b: &Netns, mtu: u32) -> Result<Option<Process>> {
        let (offloads, how) = match self {
            Self::Veth => {
                a.ip(&format!(
                    "link add eth0 mtu {mtu} type veth peer name eth0 mtu {mtu} netns {}\n",
                    b.name()
                ))?;
                return Ok(None);
            }
            Self::Frames(how) => (Offloads::None, how),
            Self::SuperFrames(how) => (Offloads::All, how),
        };
        let tap = |netns: &Netns| -> Result<File> {
            let tap = netns.within(|| open_tap("eth0", offloads).doing(|| "make a TAP".to_owned()))?;
            netns.ip(&format!("link set eth0 mtu {mtu}\n"))?;
            Ok(tap)
        };
        let own = std::env::current_exe().doing(|| "find the benchmark's own program file".to_owned())?;
        let mut command = Command::new(own);
        command.arg(ARGUMENT).args([how.delay, how.random, how.regular].map(|number| number.to_string()));
        command.stdin(Stdio::from(tap(a)?)).stdout(Stdio::from(tap(b)?));
        Process::spawn_with_output(command, None).map(Some)
    }
}

/// What the process between the TAPs, its standard input and standard output, does.
pub(crate) fn child() -> Result<()> {
    let mut numbers = std::env::args().skip(2).map(|word| word.parse().unwrap_or(0));
    let mut number = || numbers.next().unwrap_or(0);
    let (delay, random, regular) = (number(), number(), number());
    let owned =
        |descriptor: io::Result<OwnedFd>| descriptor.map(File::from).doing(|| "duplicate a TAP".to_owned());
    let a = owned(io::stdin().as_fd().try_clone_to_owned())?;
    let b = owned(io::stdout().as_fd().try_clone_to_owned())?;
    for tap in [&a, &b] {
        use nix::fcntl::{FcntlArg, OFlag, fcntl};
        fcntl(tap, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).doing(|| "set up a TAP".to_owned())?;
    }
    let delay = Duration::from_millis(u64::from(delay));
    let ended = std::thread::scope(|scope| {
        scope.spawn(|| carry(&a, &b, delay, Loss::new(random, 0, 0x9e37_79b9)));
        carry(&b, &a, delay, Loss::new(random, regular, 0x7f4a_7c15))
    });
    Err(Error::Io { what: "carry frames".to_owned(), source: ended })
}

/// Which frames are lost.
struct Loss {
    random: u32,
    regular: u32,
    seen: u32,
    state: u32,
}

impl Loss {
    fn new(random: u32, regular: u32, seed: u32) -> Self {
        Self { random, regular, seen: 0, state: seed }
    }

    fn hits(&mut self) -> bool {
        // Xorshift (Marsaglia, 2003): the same in every run.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 17;
        self.state ^= self.state << 5;
        self.seen = self.seen.wrapping_add(1);
        (self.random > 0 && self.state.is_multiple_of(self.random))
            || (self.regular > 0 && self.seen.is_multiple_of(self.regular))
    }
}

/// Carries frames one way until that fails, and says why it did.
fn carry(mut from: &File, mut to: &File, delay: Duration, mut loss: Loss) -> io::Error {
    let mut frame = vec![0; ROOM];
    let mut queue: VecDeque<(Instant, Box<[u8]>)> = VecDeque::new();
    let mut queued = 0;
    loop {
        let next = queue.front().map(|(at, _)| at.saturating_duration_since(Instant::now()));
        let timeout = next.map_or(PollTimeout::NONE, |left| {
            // Rounded up, or it would be looked at over and over within the last millisecond.
            let millis = u16::try_from(left.as_micros().div_ceil(1000)).unwrap_or(u16::MAX);
            PollTimeout::from(millis)
        });
        if let Err(errno) = poll(&mut [PollFd::new(from.as_fd(), PollFlags::POLLIN)], timeout) {
            return errno.into();
        }
        for _ in 0..BATCH {
            match from.read(&mut frame) {
                Ok(_) if loss.hits() => {}
                // A frame that cannot be written (its TAP is down or full) is lost, as on a wire.
                Ok(length) if delay.is_zero() => drop(to.write(&frame[..length])),
                Ok(length) if queued + length <= QUEUE => {
                    queued += length;
                    queue.push_back((Instant::now() + delay, frame[..length].into()));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Not up yet.
                Err(error) if error.raw_os_error() == Some(libc::EIO) => break,
                Err(error) => return error,
            }
        }
        while queue.front().is_some_and(|(at, _)| *at <= Instant::now()) {
            if let Some((_, bytes)) = queue.pop_front() {
                queued -= bytes.len();
                drop(to.write(&bytes));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_so_manieth_frame_is_lost() {
        let mut loss = Loss::new(0, 3, 1);
        assert_eq!([(); 7].map(|()| loss.hits()), [false, false, true, false, false, true, false]);
    }

    #[test]
    fn one_frame_in_a_hundred_is_lost_at_random() {
        let mut loss = Loss::new(100, 0, 1);
        let lost = (0..100_000).filter(|_| loss.hits()).count();
        assert!((800..1200).contains(&lost), "{lost}");
        let mut none = Loss::new(0, 0, 1);
        assert!(!(0..1000).any(|_| none.hits()));
    }
}
