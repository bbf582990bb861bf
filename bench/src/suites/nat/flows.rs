//! Thousands of flows at once: are all alive, what memory does an idle one take, and does a packet cost more than
//! beside few?
//!
//! Ten messages are under way at any time, whatever the number of flows; each flow has its turn.
//!
//! CPU is divided by packets over the container's interface, not by messages: on a flow whose next message comes soon
//! the last one's acknowledgment goes with it, on one of ten thousand it is a packet of its own.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::{Case, Direction, Setting, is_ours, server};
use crate::error::{Doing as _, Result};
use crate::options::Options;
use crate::process::Process;
use crate::report::Figure;
use crate::usage;
use crate::ways::{PORTS, Path};

/// Messages under way at once, and flows of the case with few.
const FEW: usize = 10;

/// Bytes each way; they hold the flow's number.
const MESSAGE: usize = 64;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long memory is let settle.
const SETTLED: Duration = Duration::from_millis(500);

/// "10,000 flows".
fn name(flows: u32) -> String {
    if flows < 1000 {
        format!("{flows} flows")
    } else {
        format!("{},{:03} flows", flows / 1000, flows % 1000)
    }
}

pub(super) fn settings(flows: u32) -> Vec<Setting> {
    more_descriptors();
    let case = Case::new(name(flows), move |path, options| measure(path, flows as usize, options));
    // The peers do not get this far: slirp4netns looks at every flow for every packet, and with 20,000 descriptors
    // pasta opens no more than 9,936 connections.
    vec![Setting { takes: is_ours, ..Setting::new(1500, vec![case]) }]
}

/// The first argument with which the benchmark's own program is the far end: both ends of ten thousand connections are
/// more descriptors than a process may have on many a machine.
pub(crate) const ARGUMENT: &str = "echo-to-connections-of-stdin";

/// What the far end does: sends back whatever comes.
pub(crate) fn child() -> Result<()> {
    let what = || "send back what comes".to_owned();
    more_descriptors();
    let listener = TcpListener::from(io::stdin().as_fd().try_clone_to_owned().doing(what)?);
    let epoll = Epoll::new(EpollCreateFlags::empty()).doing(what)?;
    let watch = |fd: BorrowedFd<'_>, data: usize| {
        epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, data as u64)).doing(what)
    };
    watch(listener.as_fd(), 0)?;
    let mut streams: Vec<TcpStream> = Vec::new();
    let mut events = [EpollEvent::empty(); 64];
    let mut bytes = [0; 4096];
    loop {
        let ready = epoll.wait(&mut events, EpollTimeout::NONE).doing(what)?;
        for event in &events[..ready] {
            let Some(index) = usize::try_from(event.data()).ok().and_then(|data| data.checked_sub(1)) else {
                let (stream, _) = listener.accept().doing(what)?;
                stream.set_nodelay(true).doing(what)?;
                watch(stream.as_fd(), streams.len() + 1)?;
                streams.push(stream);
                continue;
            };
            let stream = &mut streams[index];
            match stream.read(&mut bytes) {
                Ok(0) | Err(_) => drop(epoll.delete(stream.as_fd())),
                Ok(length) => stream.write_all(&bytes[..length]).doing(what)?,
            }
        }
    }
}

/// As many descriptors as the machine lets this process have, and those that it starts.
fn more_descriptors() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

fn open(path: &Path, count: usize) -> Result<Vec<TcpStream>> {
    let (_, to) = server(path, Direction::Out, *PORTS.start());
    let one = || -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    };
    path.inside.within(|| {
        let mut flows = Vec::new();
        for number in 0..count {
            flows.push(one().doing(|| format!("open connection {number} of {count}"))?);
        }
        Ok(flows)
    })
}

/// A message there and back on each of `flows`, whose first has the number `first`.
fn exchange(flows: &mut [TcpStream], first: usize) -> io::Result<()> {
    let message = |number: usize| {
        let mut bytes = [0x5a; MESSAGE];
        bytes[..8].copy_from_slice(&(first + number).to_le_bytes());
        bytes
    };
    for (number, flow) in flows.iter_mut().enumerate() {
        flow.write_all(&message(number))?;
    }
    let mut read = [0; MESSAGE];
    for (number, flow) in flows.iter_mut().enumerate() {
        flow.read_exact(&mut read)?;
        if read != message(number) {
            return Err(io::Error::other("a flow has another's bytes"));
        }
    }
    Ok(())
}

/// What messages there and back cost.
struct Cost {
    /// CPU microseconds of the way's processes for one.
    each: f64,
    /// And for one packet over the container's interface.
    packet: f64,
    /// How many a second.
    rate: f64,
}

/// Packets over the container's interface so far, in both directions.
fn packets(path: &Path) -> Result<u64> {
    path.inside.within(|| {
        let interfaces =
            fs::read_to_string("/proc/thread-self/net/dev").doing(|| "count packets".to_owned())?;
        // Name, then eight figures of what was received and eight of what was sent: bytes, packets.
        let of = |line: &str| {
            let (name, figures) = line.split_once(':')?;
            let figures: Vec<u64> =
                figures.split_whitespace().filter_map(|figure| figure.parse().ok()).collect();
            (name.trim() != "lo")
                .then(|| figures.get(1).zip(figures.get(9)).map_or(0, |(to, from)| to + from))
        };
        Ok(interfaces.lines().skip(2).filter_map(of).sum())
    })
}

fn cost(path: &Path, flows: &mut [TcpStream], seconds: u32) -> Result<Cost> {
    let processes = path.processes();
    let (before, packets_before) = (usage::cpu(&processes)?, packets(path)?);
    let (start, duration) = (Instant::now(), Duration::from_secs(seconds.into()));
    let mut exchanges = 0_u32;
    'time: loop {
        for (turn, some) in flows.chunks_mut(FEW).enumerate() {
            exchange(some, turn * FEW).doing(|| "send through the flows".to_owned())?;
            exchanges += u32::try_from(some.len()).unwrap_or(0);
            if start.elapsed() >= duration {
                break 'time;
            }
        }
    }
    let elapsed = start.elapsed().as_secs_f64();
    let used = usage::cpu(&processes)?.since(before).switch * 1e6;
    #[allow(clippy::cast_precision_loss)]
    let seen = (packets(path)? - packets_before).max(1) as f64;
    let exchanges = f64::from(exchanges);
    Ok(Cost { each: used / exchanges, packet: used / seen, rate: exchanges / elapsed })
}

fn ratio(many: f64, few: f64) -> f64 {
    if few > 0.0 { many / few } else { 0.0 }
}

fn measure(path: &Path, count: usize, options: &Options) -> Result<Vec<Figure>> {
    let (listen, _) = server(path, Direction::Out, *PORTS.start());
    let listener = path.outside.world.within(|| TcpListener::bind(listen).doing(|| "listen".to_owned()))?;
    let own = std::env::current_exe().doing(|| "find the benchmark's own program file".to_owned())?;
    let mut far = Command::new(own);
    far.arg(ARGUMENT).stdin(Stdio::from(OwnedFd::from(listener)));
    let mut far = Process::spawn(far, None)?;
    let processes = path.processes();
    let mut flows = open(path, FEW)?;
    // Once for the processor's caches, once for the figure.
    cost(path, &mut flows, 1)?;
    let few = cost(path, &mut flows, options.seconds())?;
    let before = usage::memory(&processes)?;
    let opening = Instant::now();
    flows.extend(open(path, count - FEW)?);
    let opened = opening.elapsed().as_secs_f64();
    std::thread::sleep(SETTLED);
    let after = usage::memory(&processes)?;
    let many = cost(path, &mut flows, options.seconds())?;
    for (turn, some) in flows.chunks_mut(FEW).enumerate() {
        exchange(some, turn * FEW).doing(|| "find all flows alive".to_owned())?;
    }
    far.check()?;
    #[allow(clippy::cast_precision_loss)]
    let opened_now = (count - FEW) as f64;
    Ok(vec![
        Figure::new("exchanges", "1/s", many.rate),
        Figure::new("exchanges on 10 flows", "1/s", few.rate),
        Figure::new("switch CPU", "us each", many.each),
        Figure::new("switch CPU on 10 flows", "us each", few.each),
        Figure::new("switch CPU a packet", "us", many.packet),
        Figure::new("switch CPU a packet on 10 flows", "us", few.packet),
        Figure::new("CPU an exchange to 10 flows", "x", ratio(many.each, few.each)),
        Figure::new("CPU a packet to 10 flows", "x", ratio(many.packet, few.packet)),
        Figure::new("memory a flow", "KiB", (after.pss_mib - before.pss_mib) * 1024.0 / opened_now),
        Figure::new("opened", "1/s", opened_now / opened),
    ])
}
