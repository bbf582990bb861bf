//! 64-byte frames per second without loss, in the manner of RFC 2544.
//!
//! The same generator for every peer: a packet socket on eth0 of namespace a sends frames in batches, past the queueing
//! discipline, at a set rate; a packet socket in namespace b has the kernel count what arrives. A rate counts as carried
//! when in one of three short trials less than 0.1 % is lost, and the highest such rate is searched by halving. The
//! trials are short and three so that the machine's other work does not decide the result.
//!
//! 64 bytes are a frame's length on a wire; 4 of them are the checksum, which these interfaces do without.

use std::time::{Duration, Instant};

use super::{End, Pair, PairSuite};
use crate::error::{Doing as _, Error, Result};
use crate::options::Options;
use crate::report::Figure;
use crate::stats::Spread;
use crate::sys::{FrameSender, PacketSocket};
use crate::usage;

/// Frames per second.
pub(super) struct Pps;

struct Case {
    name: &'static str,
    /// Source addresses on each side.
    each_side: u32,
}

const CASES: [Case; 2] =
    [Case { name: "2 addresses", each_side: 1 }, Case { name: "8,000 addresses", each_side: 4000 }];

/// Bytes of a frame without its checksum.
const LENGTH: usize = 60;

/// The Ethernet protocol number kept free for local experiments.
const PROTOCOL: u16 = 0x88b5;

/// Frames in one system call.
const BATCH: usize = 32;

/// What part of the frames a trial may lose.
const LOSS: f64 = 0.001;

/// The search ends when it knows the rate this well.
const PRECISION: f64 = 0.02;

/// Trials at one rate of which one must succeed.
const TRIALS: usize = 3;

/// Floods of which the median counts.
const FLOODS: usize = 5;

/// Frames a second at which addresses are made known.
const TEACHING: f64 = 50_000.0;

/// After this long without a frame the path is taken to be empty.
const SILENCE: Duration = Duration::from_millis(30);

impl PairSuite for Pps {
    fn name(&self) -> &'static str {
        "pps"
    }

    fn cases(&self) -> Vec<String> {
        CASES.iter().map(|case| case.name.to_owned()).collect()
    }

    /// The many addresses are a question to this switch; the kernel's bridge stands by for comparison.
    fn takes(&self, case: usize, peer: &str) -> bool {
        case == 0 || peer == "bridge" || peer.starts_with("vswitch")
    }

    fn measure(&self, case: usize, pair: &Pair, options: &Options) -> Result<Vec<Figure>> {
        let each_side = CASES[case].each_side;
        let trial = Duration::from_secs_f64(f64::from(options.seconds()) / 10.0);
        // The cost with few addresses, taken right before the many are made known.
        let few = if each_side > 1 { Some(Generator::open(pair, 1, 1)?.flood(pair, trial)?) } else { None };
        let mut generator = Generator::open(pair, each_side, each_side)?;
        let learned = pair.switch.learned()?;
        if let Some(learned) = learned.filter(|learned| *learned < each_side as usize * 2) {
            let wanted = each_side * 2;
            return Err(Error::sentence(format!("the switch has learned {learned} of {wanted} addresses")));
        }
        let many = generator.flood(pair, trial)?;
        let carried = generator.search(&many, trial)?;
        let mut figures = vec![
            Figure::new("without loss", "kframes/s", carried / 1e3),
            Figure::new("flooded", "kframes/s", many.arrived / 1e3),
            Figure::new("offered", "kframes/s", many.offered / 1e3),
            Figure::new("switch CPU", "ns/frame", many.switch * 1e9),
            Figure::new("total CPU", "ns/frame", many.run * 1e9),
            Figure::new("machine CPU", "ns/frame", many.machine * 1e9),
        ];
        if let Some(few) = few.filter(|few| few.switch > 0.0) {
            figures.push(Figure::new(COST, "x", many.switch / few.switch));
        }
        Ok(figures)
    }
}

/// The figure that says what many addresses cost: CPU time a frame, as a multiple of that with two.
const COST: &str = "CPU to 2 addresses";

/// What a path did with more frames than it can carry. All of it is the median of some floods.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flood {
    /// Frames offered a second.
    offered: f64,
    /// Frames that arrived a second.
    pub(super) arrived: f64,
    /// CPU seconds of the switch's processes for each that arrived.
    pub(super) switch: f64,
    /// CPU seconds of the generator and the switch for each that arrived.
    pub(super) run: f64,
    /// CPU seconds of the machine for each that arrived.
    pub(super) machine: f64,
}

/// What a trial showed.
#[derive(Debug, Clone, Copy)]
struct Trial {
    /// Frames offered.
    offered: f64,
    /// Frames that arrived.
    arrived: f64,
    /// Seconds of offering.
    seconds: f64,
}

impl Trial {
    fn passes(&self) -> bool {
        self.arrived >= self.offered * (1.0 - LOSS)
    }
}

/// The two ends.
pub(super) struct Generator {
    sender: FrameSender,
    counter: PacketSocket,
}

impl Generator {
    /// Opens both ends and makes so many addresses on the sender's and on the receiver's side known to the switch.
    pub(super) fn open(pair: &Pair, near: u32, far: u32) -> Result<Self> {
        let a = Side { end: &pair.a, letter: b'a', stations: near.max(1) };
        let b = Side { end: &pair.b, letter: b'b', stations: far.max(1) };
        let what = || "open packet sockets".to_owned();
        let send = |side: Side<'_>| {
            let socket = PacketSocket::open(side.end.eth0.index, None)?;
            socket.bypass_queueing()?;
            Ok::<_, std::io::Error>(socket)
        };
        let count = |side: Side<'_>| {
            let socket = PacketSocket::open(side.end.eth0.index, Some(PROTOCOL))?;
            socket.keep_nothing()?;
            Ok::<_, std::io::Error>(socket)
        };
        let frames = |from: Side<'_>, to: Side<'_>| {
            // Many frames a turn even where there are few addresses, so that a system call sends a whole batch.
            let turns = near.max(far).next_multiple_of(BATCH as u32);
            (0..turns)
                .map(|turn| frame(from.station(turn % from.stations), to.station(turn % to.stations)))
                .collect::<Vec<_>>()
        };
        let mut back = Self {
            sender: FrameSender::new(b.end.netns.within(|| send(b).doing(what))?, frames(b, a)),
            counter: a.end.netns.within(|| count(a).doing(what))?,
        };
        let mut forth = Self {
            sender: FrameSender::new(a.end.netns.within(|| send(a).doing(what))?, frames(a, b)),
            counter: b.end.netns.within(|| count(b).doing(what))?,
        };
        let lesson =
            Duration::from_secs_f64(f64::from(near.max(far)) * 2.5 / TEACHING).max(Duration::from_millis(20));
        for _ in 0..2 {
            back.trial(TEACHING, lesson)?;
            forth.trial(TEACHING, lesson)?;
        }
        Ok(forth)
    }

    /// Offers frames at `rate` a second for `duration` and counts those that arrive.
    fn trial(&mut self, rate: f64, duration: Duration) -> Result<Trial> {
        let what = || "send and count frames".to_owned();
        self.counter.arrived().doing(what)?;
        let start = Instant::now();
        let mut offered: u64 = 0;
        let elapsed = loop {
            let elapsed = start.elapsed();
            if elapsed >= duration {
                break elapsed;
            }
            let behind = rate * elapsed.as_secs_f64() - float(offered);
            if behind < 1.0 {
                pause(start, Duration::from_secs_f64(float(offered + 1) / rate));
                continue;
            }
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let whole = behind as usize;
            offered += self.sender.offer(whole.min(BATCH)).doing(what)? as u64;
        };
        let arrived = self.drain(offered).doing(what)?;
        Ok(Trial { offered: float(offered), arrived: float(arrived), seconds: elapsed.as_secs_f64() })
    }

    /// Offers as many frames as can be, a few times.
    pub(super) fn flood(&mut self, pair: &Pair, duration: Duration) -> Result<Flood> {
        let processes = pair.switch.processes();
        let (mut offered, mut arrived) = (vec![], vec![]);
        let (mut switch, mut run, mut machine) = (vec![], vec![], vec![]);
        for _ in 0..FLOODS {
            let before = usage::cpu(&processes)?;
            let trial = self.trial(f64::INFINITY, duration)?;
            let used = usage::cpu(&processes)?.since(before);
            if trial.arrived == 0.0 {
                return Err(Error::sentence("not one frame arrived"));
            }
            offered.push(trial.offered / trial.seconds);
            arrived.push(trial.arrived / trial.seconds);
            switch.push(used.switch / trial.arrived);
            run.push(used.run / trial.arrived);
            machine.push(used.machine / trial.arrived);
        }
        let [offered, arrived, switch, run, machine] = [offered, arrived, switch, run, machine]
            .map(|values| Spread::of(&values).map_or(0.0, |spread| spread.median));
        Ok(Flood { offered, arrived, switch, run, machine })
    }

    /// Waits until all have arrived or nothing comes any more; gives back how many arrived.
    fn drain(&self, offered: u64) -> std::io::Result<u64> {
        let mut arrived = self.counter.arrived()?;
        let mut last = Instant::now();
        while arrived < offered && last.elapsed() < SILENCE {
            std::thread::sleep(Duration::from_millis(1));
            let more = self.counter.arrived()?;
            if more > 0 {
                arrived += more;
                last = Instant::now();
            }
        }
        Ok(arrived)
    }

    /// Searches the highest rate that is carried, in frames a second; 0 when none is.
    fn search(&mut self, flood: &Flood, duration: Duration) -> Result<f64> {
        if flood.arrived >= flood.offered * (1.0 - LOSS) {
            return Ok(flood.arrived);
        }
        // A little above what arrives of a flood, because a switch that is not flooded may carry more.
        let top = flood.offered.min(flood.arrived * 1.25);
        let (mut low, mut high, mut best) = (0.0, top, 0.0);
        while high - low > top * PRECISION {
            let rate = f64::midpoint(low, high);
            match self.carried(rate, duration)? {
                Some(carried) => (low, best) = (rate, carried),
                None => high = rate,
            }
        }
        Ok(best)
    }

    /// The frames a second that arrived at this rate, if one trial of three lost next to none.
    fn carried(&mut self, rate: f64, duration: Duration) -> Result<Option<f64>> {
        for _ in 0..TRIALS {
            let trial = self.trial(rate, duration)?;
            if trial.passes() {
                return Ok(Some(trial.arrived / trial.seconds));
            }
        }
        Ok(None)
    }
}

/// Waits until `at` after `start`: asleep while that is far, spinning when it is near.
fn pause(start: Instant, at: Duration) {
    const NEAR: Duration = Duration::from_micros(100);
    if let Some(far) = at.saturating_sub(start.elapsed()).checked_sub(NEAR) {
        std::thread::sleep(far);
    }
    while start.elapsed() < at {
        std::hint::spin_loop();
    }
}

/// A number of frames to calculate with.
#[allow(clippy::cast_precision_loss)]
fn float(frames: u64) -> f64 {
    frames as f64
}

/// A side: where frames come from or go to.
#[derive(Clone, Copy)]
struct Side<'a> {
    end: &'a End,
    /// Tells the two sides' addresses apart.
    letter: u8,
    /// How many stations it has.
    stations: u32,
}

impl Side<'_> {
    /// The address of one of the side's stations; number 0 is eth0 itself.
    fn station(self, number: u32) -> [u8; 6] {
        if number == 0 {
            return self.end.eth0.mac;
        }
        let [_, high, middle, low] = number.to_be_bytes();
        // The first byte marks an address as locally administered.
        [0x06, 0xbe, self.letter, high, middle, low]
    }
}

/// A frame of zeroes between two stations.
fn frame(from: [u8; 6], to: [u8; 6]) -> Box<[u8]> {
    let mut frame = vec![0; LENGTH].into_boxed_slice();
    frame[..6].copy_from_slice(&to);
    frame[6..12].copy_from_slice(&from);
    frame[12..14].copy_from_slice(&PROTOCOL.to_be_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_passes_below_a_thousandth_of_loss() {
        let trial = |arrived| Trial { offered: 10_000.0, arrived, seconds: 1.0 };
        assert!(trial(10_000.0).passes());
        assert!(trial(9_990.0).passes());
        assert!(!trial(9_989.0).passes());
    }

    #[test]
    fn a_frame_holds_destination_source_and_protocol() {
        let frame = frame([1; 6], [2; 6]);
        assert_eq!(frame.len(), LENGTH);
        assert_eq!(frame[..15], [2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 0x88, 0xb5, 0]);
    }
}
