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
/// Peers of each host. The first is what the others are compared to.
const PEERS: [u32; 3] = [2, 100, 1000];
/// Stations on the other host. The first is what the others are compared to.
const ADDRESSES: [u32; 3] = [100, 10_000, 100_000];

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
    let sizes = PEERS.map(|peers| (peers, 1)).into_iter().chain(ADDRESSES.map(|addresses| (1, addresses)));
    let sizes: Vec<(u32, u32)> = sizes.collect();
    for round in 0..options.rounds() {
        results.background(machine_load()?);
        for tunnel in tunnels.iter().filter(|tunnel| tunnel.grows()) {
            let mut first: [Option<Flood>; 2] = [None, None];
            for &(peers, addresses) in &sizes {
                let (case, to) = match (peers, addresses) {
                    (1, many) => (format!("{many} remote addresses"), &mut first[1]),
                    (many, _) => (format!("{many} peers"), &mut first[0]),
                };
                match flood(&**tunnel, peers, addresses, options, place) {
                    Ok(flood) => {
                        let figures = figures(flood, to.get_or_insert(flood));
                        results.measured(SCALE, &case, tunnel.name(), round, figures);
                    }
                    Err(error) => results.failed(SCALE, &case, tunnel.name(), round, &error),
                }
                nothing_left(SCALE, round, results)?;
            }
        }
    }
    Ok(())
}

fn flood(
    tunnel: &dyn Tunnel,
    peers: u32,
    addresses: u32,
    options: &Options,
    place: &mut Place,
) -> Result<Flood> {
    let (directory, tag) = place.next()?;
    let (a, b) = (Netns::create(&format!("{tag}a"))?, Netns::create(&format!("{tag}b"))?);
    let mut switch = tunnel.start_with(peers, &directory, &tag)?;
    switch.attach(&a)?;
    switch.attach(&b)?;
    let mut pair = Pair::join(switch, tunnel.mtu(), a, b)?;
    let trial = Duration::from_secs_f64(f64::from(options.seconds()) / 10.0);
    let flood = Generator::open(&pair, 1, addresses)?.flood(&pair, trial)?;
    pair.switch.check()?;
    Ok(flood)
}

fn figures(flood: Flood, first: &Flood) -> Vec<Figure> {
    let mut figures = vec![
        Figure::new("flooded", "kframes/s", flood.arrived / 1e3),
        Figure::new("switch CPU", "ns/frame", flood.switch * 1e9),
        Figure::new("total CPU", "ns/frame", flood.run * 1e9),
        Figure::new("machine CPU", "ns/frame", flood.machine * 1e9),
        Figure::new("machine CPU to the fewest", "x", flood.machine / first.machine),
    ];
    if first.switch > 0.0 {
        figures.push(Figure::new("switch CPU to the fewest", "x", flood.switch / first.switch));
    }
    figures
}
