//! TCP throughput, measured by iperf3.

use super::{Case, Direction, Setting, is_ours};
use crate::suites::tcp::{Ends, transfer};
use crate::ways::link::Impairment;
use crate::ways::{Link, WORLD};

/// The MTU that segments have on most wires, and the largest that peers take.
const MTUS: [u32; 2] = [1500, 65_520];

fn case(prefix: &str, direction: Direction, control: &'static str, streams: u32) -> Case {
    let plural = if streams == 1 { "" } else { "s" };
    let name = format!("{}, {prefix}, {control}, {streams} stream{plural}", direction.name());
    Case::new(name, move |path, options| {
        let (inside, world) = (&path.inside, &path.outside.world);
        let ends = match direction {
            Direction::Out => Ends { client: inside, server: world, listen: WORLD, connect: WORLD },
            Direction::In => {
                Ends { client: world, server: inside, listen: path.address, connect: path.reached_at() }
            }
        };
        transfer(&ends, &path.processes(), control, streams, options.seconds())
    })
}

/// Over a good path.
pub(super) fn throughput() -> Vec<Setting> {
    let setting = |mtu: u32| {
        let prefix = format!("MTU {mtu}");
        let both = |control, streams| Direction::BOTH.map(|way| case(&prefix, way, control, streams));
        let mut cases = Vec::new();
        for streams in [1, 4, 64] {
            cases.extend(both("cubic", streams));
        }
        if mtu == 1500 {
            for streams in [1, 4] {
                cases.extend(both("bbr", streams));
            }
        }
        Setting::new(mtu, cases)
    };
    MTUS.map(setting).into()
}

/// Over paths that delay and lose, beside the same path without.
pub(super) fn impaired() -> Vec<Setting> {
    let paths = [
        ("no impairment", Impairment::default()),
        ("50 ms", Impairment { delay: 25, ..Impairment::default() }),
        ("1 % loss", Impairment { random: 100, ..Impairment::default() }),
    ];
    let setting = |(prefix, how): (&str, Impairment)| {
        let both = |streams| Direction::BOTH.map(|way| case(prefix, way, "cubic", streams));
        let cases = [1, 4].into_iter().flat_map(both).collect();
        Setting { link: Link::Frames(how), ..Setting::new(1500, cases) }
    };
    paths.map(setting).into()
}

/// Frames lost between the switch and the inside.
pub(super) fn lossy() -> Vec<Setting> {
    let paths = [("lossless", 0), ("every 5,000th frame lost", 5000), ("every 500th frame lost", 500)];
    let setting = |(prefix, regular): (&str, u32)| {
        let near = Some(Link::SuperFrames(Impairment { regular, ..Impairment::default() }));
        let cases = [1, 4].map(|streams| case(prefix, Direction::In, "cubic", streams)).into();
        Setting { near, takes: is_ours, ..Setting::new(1500, cases) }
    };
    paths.map(setting).into()
}
