//! VXLAN between two hosts: this switch on each, beside the kernel's VXLAN device and Open vSwitch in userspace.
//!
//! Throughput, UDP and round trips are measured as between two namespaces on one switch. `vxlan-scale` asks what a
//! 64-byte frame to a known station costs when hosts have many peers, and when many stations are behind one.

use std::time::Duration;

use super::pps::{Flood, Generator};
use super::{Pair, PairSuite, Place, in_turn, machine_load, nothing_left, rtt, tcp, udp};
use crate::error::Result;
use crate::netns::Netns;
use crate::options::{Options, Suite};
use crate::peers::Peer;
use crate::report::{Figure, Results};
use crate::tunnels::Tunnel;

const SCALE: &str = "vxlan-scale";

/// What is large, and how large.
struct Size {
    name: &'static str,
    /// Peers of each host, of which one is there.
    peers: u32,
    /// Stations on the other host.
    addresses: u32,
}

/// Each is compared to the first of its row.
const SIZES: [[Size; 3]; 2] = [
    [
        Size { name: "2 peers", peers: 2, addresses: 1 },
        Size { name: "100 peers", peers: 100, addresses: 1 },
        Size { name: "1,000 peers", peers: 1000, addresses: 1 },
    ],
    [
        Size { name: "100 remote addresses", peers: 1, addresses: 100 },
        Size { name: "10,000 remote addresses", peers: 1, addresses: 10_000 },
        Size { name: "100,000 remote addresses", peers: 1, addresses: 100_000 },
    ],
];

/// A suite under another name.
struct Named<S>(&'static str, S);

impl<S: PairSuite> PairSuite for Named<S> {
    fn name(&self) -> &'static str {
        self.0
    }

    fn cases(&self) -> Vec<String> {
        self.1.cases()
    }

    fn measure(&self, case: usize, pair: &Pair, options: &Options) -> Result<Vec<Figure>> {
        self.1.measure(case, pair, options)
    }
}

/// Runs one of the suites that are about VXLAN.
pub(super) fn run(
    suite: Suite,
    options: &Options,
    tunnels: &[Box<dyn Tunnel>],
    place: &mut Place,
    results: &mut Results,
) -> Result<()> {
    let peers: Vec<&dyn Peer> = tunnels.iter().map(|tunnel| &**tunnel as &dyn Peer).collect();
    match suite {
        Suite::VxlanTcp => in_turn(&Named("vxlan-tcp", tcp::Tcp), options, &peers, place, results),
        Suite::VxlanUdp => in_turn(&Named("vxlan-udp", udp::Udp), options, &peers, place, results),
        Suite::VxlanRtt => in_turn(&Named("vxlan-rtt", rtt::Rtt), options, &peers, place, results),
        Suite::VxlanScale => scale(options, tunnels, place, results),
        _ => Ok(()),
    }
}

fn scale(
    options: &Options,
    tunnels: &[Box<dyn Tunnel>],
    place: &mut Place,
    results: &mut Results,
) -> Result<()> {
    for round in 0..options.rounds() {
        results.background(machine_load()?);
        for tunnel in tunnels.iter().filter(|tunnel| tunnel.grows()) {
            for row in &SIZES {
                let mut fewest = None;
                for size in row {
                    match flood(&**tunnel, size, options, place) {
                        Ok(flood) => {
                            let figures = figures(flood, fewest.get_or_insert(flood));
                            results.measured(SCALE, size.name, tunnel.name(), round, figures);
                        }
                        Err(error) => results.failed(SCALE, size.name, tunnel.name(), round, &error),
                    }
                    nothing_left(SCALE, round, results)?;
                }
            }
        }
    }
    Ok(())
}

fn flood(tunnel: &dyn Tunnel, size: &Size, options: &Options, place: &mut Place) -> Result<Flood> {
    let (directory, tag) = place.next()?;
    let (a, b) = (Netns::create(&format!("{tag}a"))?, Netns::create(&format!("{tag}b"))?);
    let mut switch = tunnel.start_with(size.peers, &directory, &tag)?;
    switch.attach(&a)?;
    switch.attach(&b)?;
    let mut pair = Pair::join(switch, tunnel.mtu(), a, b)?;
    let trial = Duration::from_secs_f64(f64::from(options.seconds()) / 10.0);
    let flood = Generator::open(&pair, 1, size.addresses)?.flood(&pair, trial)?;
    pair.switch.check()?;
    Ok(flood)
}

fn figures(flood: Flood, fewest: &Flood) -> Vec<Figure> {
    let mut figures = vec![
        Figure::new("flooded", "kframes/s", flood.arrived / 1e3),
        Figure::new("switch CPU", "ns/frame", flood.switch * 1e9),
        Figure::new("total CPU", "ns/frame", flood.run * 1e9),
        Figure::new("machine CPU", "ns/frame", flood.machine * 1e9),
        Figure::new("machine CPU to the fewest", "x", flood.machine / fewest.machine),
    ];
    if fewest.switch > 0.0 {
        figures.push(Figure::new("switch CPU to the fewest", "x", flood.switch / fewest.switch));
    }
    figures
}
