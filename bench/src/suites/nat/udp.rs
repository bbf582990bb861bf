//! UDP throughput, as the suite `udp` has it.

use std::net::{Ipv4Addr, UdpSocket};

use super::{Case, Direction, Setting, server};
use crate::error::Doing as _;
use crate::suites::udp::Flood;
use crate::ways::PORTS;

pub(super) fn settings() -> Vec<Setting> {
    let case = |direction: Direction, run: usize| {
        let how = if run == 1 { "plain, GRO on" } else { "USO, GRO on" };
        Case::new(format!("{}, {how}", direction.name()), move |path, options| {
            let what = || "measure UDP".to_owned();
            let (listen, connect) = server(path, direction, *PORTS.start());
            let (from, to) = match direction {
                Direction::Out => (&path.inside, &path.outside.world),
                Direction::In => (&path.outside.world, &path.inside),
            };
            let receiver = to.within(|| UdpSocket::bind(listen).doing(what))?;
            let sender = from.within(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).doing(what))?;
            sender.connect(connect).doing(what)?;
            Flood { run, coalesce: true, seconds: options.seconds() }.measure(
                &sender,
                &receiver,
                &path.processes(),
            )
        })
    };
    let cases = [1, 44].into_iter().flat_map(|run| Direction::BOTH.map(|direction| case(direction, run)));
    vec![Setting::new(1500, cases.collect())]
}
