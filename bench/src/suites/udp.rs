//! UDP throughput: as much as one sender can offer, with and without segmentation offload on either side.
//!
//! "plain" hands the kernel one datagram a call; "USO" hands it 44 in one (`UDP_SEGMENT`), which stay one super-frame for
//! as long as every device on the way takes it. The receiver counts bytes, with `UDP_GRO` off or on. Nothing paces the
//! sender, so what the path cannot carry is lost; throughput is what arrived.

use std::io;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::socket::{
    setsockopt,
    sockopt::{RcvBufForce, SndBuf, UdpGroSegment, UdpGsoSegment},
};

use super::{End, Pair, PairSuite};
use crate::error::{Doing as _, Error, Result};
use crate::options::Options;
use crate::peers::MTU;
use crate::report::Figure;
use crate::sys::DatagramCounter;
use crate::usage;

/// UDP throughput.
pub(super) struct Udp;

struct Case {
    name: &'static str,
    /// Datagrams in one send.
    run: usize,
    /// Whether the receiver takes runs of datagrams.
    coalesce: bool,
}

const CASES: [Case; 4] = [
    Case { name: "plain, GRO off", run: 1, coalesce: false },
    Case { name: "plain, GRO on", run: 1, coalesce: true },
    Case { name: "USO, GRO off", run: 44, coalesce: false },
    Case { name: "USO, GRO on", run: 44, coalesce: true },
];

/// Bytes in a datagram: what fits the MTU after the headers of IPv4 and UDP.
const PAYLOAD: u16 = MTU as u16 - 20 - 8;

/// Bytes of receive buffer, before the kernel doubles it for its own use.
const RECEIVE_BUFFER: usize = 4 << 20;

/// After this long without a datagram the path is taken to be empty.
const SILENCE: Duration = Duration::from_millis(100);

impl PairSuite for Udp {
    fn name(&self) -> &'static str {
        "udp"
    }

    fn cases(&self) -> Vec<String> {
        CASES.iter().map(|case| case.name.to_owned()).collect()
    }

    fn measure(&self, case: usize, pair: &Pair, options: &Options) -> Result<Vec<Figure>> {
        let what = || "measure UDP".to_owned();
        let case = &CASES[case];
        let open = |end: &End| {
            let address = end.eth0.address;
            end.netns.within(|| UdpSocket::bind((address, 0)).doing(what))
        };
        let (sender, receiver) = (open(&pair.a)?, open(&pair.b)?);
        sender.connect(receiver.local_addr().doing(what)?).doing(what)?;
        let flood = Flood { run: case.run, coalesce: case.coalesce, seconds: options.seconds() };
        flood.measure(&sender, &receiver, &pair.switch.processes())
    }
}

/// How datagrams are sent and received.
pub(super) struct Flood {
    /// Datagrams in one send.
    pub(super) run: usize,
    /// Whether the receiver takes runs of datagrams.
    pub(super) coalesce: bool,
    /// For how long.
    pub(super) seconds: u32,
}

impl Flood {
    /// Sends from a connected socket to the other; `processes` are those of what lies between.
    pub(super) fn measure(
        &self,
        sender: &UdpSocket,
        receiver: &UdpSocket,
        processes: &[u32],
    ) -> Result<Vec<Figure>> {
        let what = || "measure UDP".to_owned();
        receiver.set_read_timeout(Some(SILENCE)).doing(what)?;
        setsockopt(receiver, RcvBufForce, &RECEIVE_BUFFER).doing(what)?;
        setsockopt(receiver, UdpGroSegment, &self.coalesce).doing(what)?;
        setsockopt(sender, SndBuf, &RECEIVE_BUFFER).doing(what)?;
        if self.run > 1 {
            setsockopt(sender, UdpGsoSegment, &i32::from(PAYLOAD)).doing(what)?;
        }
        let before = usage::cpu(processes)?;
        let done = AtomicBool::new(false);
        let (sent, received) = std::thread::scope(|scope| {
            let counting = scope.spawn(|| count(receiver, &done));
            let sent = flood(sender, self.run, Duration::from_secs(self.seconds.into()));
            done.store(true, Ordering::Release);
            let received = counting.join().map_err(|_| Error::sentence("the counting thread panicked"))?;
            Ok::<_, Error>((sent.doing(what)?, received.doing(what)?))
        })?;
        let used = usage::cpu(processes)?.since(before);
        if received.bytes == 0 {
            return Err(Error::sentence("not one datagram arrived"));
        }
        #[allow(clippy::cast_precision_loss)]
        let (sent, arrived) = (sent as f64, received.bytes as f64);
        let gigabits = arrived * 8.0 / 1e9;
        Ok(vec![
            Figure::new("received", "Gb/s", gigabits / received.span.as_secs_f64()),
            Figure::new("loss", "%", (1.0 - arrived / sent).max(0.0) * 100.0),
            Figure::new("switch CPU", "s/Gb", used.switch / gigabits),
            Figure::new("total CPU", "s/Gb", used.run / gigabits),
            Figure::new("machine CPU", "s/Gb", used.machine / gigabits),
        ])
    }
}

/// Sends as fast as it goes for `duration`; gives back the bytes sent.
fn flood(socket: &UdpSocket, run: usize, duration: Duration) -> io::Result<u64> {
    let data = vec![0x5a; usize::from(PAYLOAD) * run];
    let end = Instant::now() + duration;
    let mut bytes = 0;
    while Instant::now() < end {
        match socket.send(&data) {
            Ok(sent) => bytes += sent as u64,
            // A full queue on the way is loss like any other.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => bytes += data.len() as u64,
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

/// What a receiver saw.
struct Received {
    bytes: u64,
    /// From the first datagram to the last.
    span: Duration,
}

/// Counts until nothing comes any more after `done`.
fn count(socket: &UdpSocket, done: &AtomicBool) -> io::Result<Received> {
    let mut counter = DatagramCounter::new(32);
    let mut bytes = 0;
    let mut first = None;
    let mut last = Instant::now();
    loop {
        match counter.receive(socket) {
            Ok(more) => {
                bytes += more;
                last = Instant::now();
                first.get_or_insert(last);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if done.load(Ordering::Acquire) {
                    let span = last.saturating_duration_since(first.unwrap_or(last));
                    return Ok(Received { bytes, span: span.max(Duration::from_micros(1)) });
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
