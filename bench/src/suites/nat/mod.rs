//! The way outside: this switch beside pasta and slirp4netns, and beside the link without any translation.
//!
//! "Out" is from the inside to the world, "in" from the world to a published port of the inside. Every path has a world
//! of its own, and in each round each way takes its turn with each case.

mod connections;
pub(crate) mod flows;
mod tcp;
mod udp;

use std::net::SocketAddr;
use std::time::Duration;

use super::{Place, machine_load, nothing_left, rtt};
use crate::error::Result;
use crate::options::{Options, Suite};
use crate::report::{Figure, Results};
use crate::ways::{Link, PORTS, Path, WORLD, Way};

/// Which end opens connections and sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Out,
    In,
}

impl Direction {
    const BOTH: [Self; 2] = [Self::Out, Self::In];

    fn name(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::In => "in",
        }
    }
}

/// How something is measured.
type Measure = dyn Fn(&Path, &Options) -> Result<Vec<Figure>>;

/// Something that is measured on a path.
struct Case {
    name: String,
    measure: Box<Measure>,
}

impl Case {
    fn new(
        name: impl Into<String>,
        measure: impl Fn(&Path, &Options) -> Result<Vec<Figure>> + 'static,
    ) -> Self {
        Self { name: name.into(), measure: Box::new(measure) }
    }
}

/// What paths are like, and what is measured on them.
struct Setting {
    link: Link,
    /// What the inside's own interface is replaced by.
    near: Option<Link>,
    mtu: u32,
    /// Whether a way of this name takes part.
    takes: fn(&str) -> bool,
    cases: Vec<Case>,
}

impl Setting {
    fn new(mtu: u32, cases: Vec<Case>) -> Self {
        Self { link: Link::Veth, near: None, mtu, takes: |_| true, cases }
    }
}

fn is_ours(name: &str) -> bool {
    name.starts_with("vswitch")
}

/// Runs one of the suites that are about the outside.
pub(super) fn run(
    suite: Suite,
    options: &Options,
    ways: &[Box<dyn Way>],
    place: &mut Place,
    results: &mut Results,
) -> Result<()> {
    let (name, settings) = match suite {
        Suite::NatTcp => ("nat-tcp", tcp::throughput()),
        Suite::NatImpaired => ("nat-impaired", tcp::impaired()),
        Suite::NatLoss => ("nat-loss", tcp::lossy()),
        Suite::NatUdp => ("nat-udp", udp::settings()),
        Suite::NatRtt => ("nat-rtt", round_trips()),
        Suite::NatConnections => ("nat-connections", connections::settings()),
        Suite::NatFlows => ("nat-flows", flows::settings(options.flows())),
        _ => return Ok(()),
    };
    for round in 0..options.rounds_outside() {
        results.background(machine_load()?);
        for setting in &settings {
            in_turn(name, setting, round, options, ways, place, results)?;
        }
    }
    Ok(())
}

fn in_turn(
    suite: &str,
    setting: &Setting,
    round: u32,
    options: &Options,
    ways: &[Box<dyn Way>],
    place: &mut Place,
    results: &mut Results,
) -> Result<()> {
    let mut paths = Vec::new();
    for way in ways.iter().filter(|way| (setting.takes)(way.name())) {
        let (directory, tag) = place.next()?;
        let links = (setting.link, setting.near);
        let path = Path::start(&**way, links, setting.mtu, &directory, &tag);
        match path {
            Ok(path) => paths.push((way.name(), path)),
            Err(error) => results.failed(suite, "start", way.name(), round, &error),
        }
    }
    for case in &setting.cases {
        for (name, path) in &mut paths {
            let measured = path.check().and_then(|()| (case.measure)(path, options));
            match measured.and_then(|figures| path.check().map(|()| figures)) {
                Ok(figures) => results.measured(suite, &case.name, name, round, figures),
                Err(error) => results.failed(suite, &case.name, name, round, &error),
            }
        }
    }
    drop(paths);
    nothing_left(suite, round, results)
}

/// The address and port at which the server of a direction listens, and those that its clients connect to.
fn server(path: &Path, direction: Direction, port: u16) -> (SocketAddr, SocketAddr) {
    match direction {
        Direction::Out => ((WORLD, port).into(), (WORLD, port).into()),
        Direction::In => ((path.address, port).into(), (path.reached_at(), port).into()),
    }
}

fn round_trips() -> Vec<Setting> {
    let case = |direction: Direction| {
        Case::new(format!("{}, cubic, 64 bytes there and back", direction.name()), move |path, options| {
            let (listen, connect) = server(path, direction, *PORTS.start());
            let (client, host) = match direction {
                Direction::Out => (&path.inside, &path.outside.world),
                Direction::In => (&path.outside.world, &path.inside),
            };
            let duration = Duration::from_secs(options.seconds().into());
            rtt::figures(client, host, listen, Some(connect), duration)
        })
    };
    vec![Setting::new(1500, Direction::BOTH.map(case).into())]
}
