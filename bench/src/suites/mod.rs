//! The measurements, and the rounds in which the peers take turns.

mod attach;
mod control;
pub(crate) mod nat;
mod pps;
mod rtt;
mod scale;
mod tcp;
mod udp;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::{Doing as _, Error, Result};
use crate::netns::{Eth0, Netns};
use crate::options::{Options, Suite};
use crate::peers::{Peer, Switch, await_eth0};
use crate::process::wait_for;
use crate::report::{Figure, Results};
use crate::usage;
use crate::ways::Way;

/// How long it may take until a frame crosses a switch that has just started.
const REACHABLE: Duration = Duration::from_secs(15);

/// A group of measurements between two namespaces.
trait PairSuite {
    /// Its name.
    fn name(&self) -> &'static str;

    /// What it measures, one after the other.
    fn cases(&self) -> Vec<String>;

    /// Whether a case is measured with a peer.
    fn takes(&self, _case: usize, _peer: &str) -> bool {
        true
    }

    /// Measures one case. The first figure is the one that peers are compared by.
    fn measure(&self, case: usize, pair: &Pair, options: &Options) -> Result<Vec<Figure>>;
}

/// Two namespaces joined through a running switch.
struct Pair {
    switch: Box<dyn Switch>,
    a: End,
    b: End,
}

/// One of the two.
struct End {
    netns: Netns,
    eth0: Eth0,
}

impl Pair {
    /// Starts `peer`, attaches two namespaces and waits until a packet has gone both ways.
    fn start(peer: &dyn Peer, place: &mut Place) -> Result<Self> {
        let (directory, tag) = place.next()?;
        let a = Netns::create(&format!("{tag}a"))?;
        let b = Netns::create(&format!("{tag}b"))?;
        let mut switch = peer.start(&directory, &tag)?;
        switch.attach(&a)?;
        switch.attach(&b)?;
        let (a, b) = (End { eth0: await_eth0(&a)?, netns: a }, End { eth0: await_eth0(&b)?, netns: b });
        await_reachable(&a.netns, b.eth0.address)?;
        Ok(Self { switch, a, b })
    }
}

/// Waits until `to` answers `from`: to a connection to a port where nobody listens the answer is a refusal.
fn await_reachable(from: &Netns, to: Ipv4Addr) -> Result<()> {
    let nobody = SocketAddr::from((to, 1));
    from.within(|| {
        wait_for(&format!("{nobody} to be reachable from {from}"), REACHABLE, || {
            match TcpStream::connect_timeout(&nobody, Duration::from_millis(250)) {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(Some(())),
                _ => Ok(None),
            }
        })
    })
}

/// Gives every switch a directory and a short name of its own.
struct Place {
    directory: PathBuf,
    used: u32,
}

impl Place {
    fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), used: 0 }
    }

    fn next(&mut self) -> Result<(PathBuf, String)> {
        self.used += 1;
        let tag = format!("s{}", self.used);
        let directory = self.directory.join(&tag);
        std::fs::create_dir(&directory).doing(|| format!("make {}", directory.display()))?;
        Ok((directory, tag))
    }
}

/// Runs all suites that the options ask for.
pub(crate) fn run(
    options: &Options,
    peers: &[Box<dyn Peer>],
    ways: &[Box<dyn Way>],
    results: &mut Results,
) -> Result<()> {
    let directory =
        options.inside.clone().ok_or_else(|| Error::sentence("there is no directory to work in"))?;
    let mut place = Place::new(&directory);
    for suite in options.suites() {
        match suite {
            Suite::Tcp => in_turn(&tcp::Tcp, options, peers, &mut place, results),
            Suite::Rtt => in_turn(&rtt::Rtt, options, peers, &mut place, results),
            Suite::Udp => in_turn(&udp::Udp, options, peers, &mut place, results),
            Suite::Pps => in_turn(&pps::Pps, options, peers, &mut place, results),
            Suite::Attach => attach::run(options, peers, &mut place, results),
            Suite::Scale => scale::run(options, peers, &mut place, results),
            Suite::Control => control::run(options, peers, &mut place, results),
            outside => nat::run(outside, options, ways, &mut place, results),
        }?;
    }
    Ok(())
}

/// Runs one suite: in every round every peer is started, then for each case each takes its turn, so that those who are
/// compared are measured within seconds of each other. A peer that waits uses no CPU worth the name.
fn in_turn(
    suite: &dyn PairSuite,
    options: &Options,
    peers: &[Box<dyn Peer>],
    place: &mut Place,
    results: &mut Results,
) -> Result<()> {
    for round in 0..options.rounds() {
        results.background(machine_load()?);
        let mut pairs = Vec::new();
        for peer in peers {
            match Pair::start(&**peer, place) {
                Ok(pair) => pairs.push((peer.name(), pair)),
                Err(error) => results.failed(suite.name(), "start", peer.name(), round, &error),
            }
        }
        for (index, case) in suite.cases().iter().enumerate() {
            for (name, pair) in &mut pairs {
                if !suite.takes(index, name) {
                    continue;
                }
                let measured = pair.switch.check().and_then(|()| suite.measure(index, pair, options));
                match measured.and_then(|figures| pair.switch.check().map(|()| figures)) {
                    Ok(figures) => results.measured(suite.name(), case, name, round, figures),
                    Err(error) => results.failed(suite.name(), case, name, round, &error),
                }
            }
        }
        drop(pairs);
        nothing_left(suite.name(), round, results)?;
    }
    Ok(())
}

/// How long processes that a switch has started may outlive it.
const GONE: Duration = Duration::from_secs(10);

/// Checks that no process of the switches that were just stopped is left. One that is counts as a failure of the suite
/// and is ended, by its id, so that the next round starts clean.
fn nothing_left(suite: &str, round: u32, results: &mut Results) -> Result<()> {
    let none = || Ok(usage::others()?.is_empty().then_some(()));
    if wait_for("the switches' processes to be gone", GONE, none).is_ok() {
        return Ok(());
    }
    let left = usage::others()?;
    if let Some(first) = left.first() {
        let command = std::fs::read_to_string(format!("/proc/{first}/comm")).unwrap_or_default();
        let error = Error::sentence(format!("left {} processes behind", left.len()));
        results.failed(suite, "stop", command.trim(), round, &error);
    }
    for id in left {
        if let Ok(id) = i32::try_from(id) {
            // It may have ended in this very moment.
            let _ = kill(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
    Ok(())
}

/// Which part of the machine's processors is busy while the benchmark does nothing, 0 to 1.
fn machine_load() -> Result<f64> {
    let watched = Duration::from_millis(300);
    let before = usage::cpu(&[])?;
    std::thread::sleep(watched);
    let used = usage::cpu(&[])?.since(before).machine;
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    #[allow(clippy::cast_precision_loss)]
    Ok(used / watched.as_secs_f64() / processors as f64)
}
