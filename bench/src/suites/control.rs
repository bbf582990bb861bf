//! The control side: how long until a namespace is there, attached and found by its name, and how long the lists take
//! when there are many networks and containers. Only this switch is measured.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::Place;
use crate::error::{Doing as _, Error, Result};
use crate::netns::Netns;
use crate::options::Options;
use crate::peers::{Peer, Switch, await_eth0};
use crate::process::wait_for;
use crate::report::{Figure, Results};
use crate::stats::percentile;

const SUITE: &str = "control";
const NETWORK: &str = "lab";
/// Its name service answers at its gateway's address.
const NAME_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 1);
/// How many networks there are besides the one on which the containers are.
const NETWORKS: u32 = 199;
/// How often each list is asked for.
const ASKED: usize = 21;

/// Runs the suite.
pub(super) fn run(
    options: &Options,
    peers: &[Box<dyn Peer>],
    place: &mut Place,
    results: &mut Results,
) -> Result<()> {
    for round in 0..options.rounds() {
        results.background(super::machine_load()?);
        for peer in peers.iter().filter(|peer| peer.name().starts_with("vswitch")) {
            if let Err(error) = measure(&**peer, round, options, place, results) {
                results.failed(SUITE, "attach and list", peer.name(), round, &error);
            }
            super::nothing_left(SUITE, round, results)?;
        }
    }
    Ok(())
}

fn measure(
    peer: &dyn Peer,
    round: u32,
    options: &Options,
    place: &mut Place,
    results: &mut Results,
) -> Result<()> {
    let (directory, tag) = place.next()?;
    let mut switch = peer.start(&directory, &tag)?;
    switch.ask(&["network", "create", "--subnet", "10.200.0.0/16", NETWORK])?;
    let observer = Netns::create(&format!("{tag}o"))?;
    attach(&*switch, &observer, "observer")?;
    await_eth0(&observer)?;

    let mut namespaces = Vec::new();
    let mut times = Vec::new();
    let containers = options.ports();
    for index in 1..containers {
        let name = format!("c{index}");
        let start = Instant::now();
        let netns = Netns::create(&format!("{tag}n{index}"))?;
        attach(&*switch, &netns, &name)?;
        await_name(&observer, &name)?;
        times.push(milliseconds(start.elapsed()));
        namespaces.push(netns);
    }
    let case = format!("{containers} namespaces, made, attached and found by name");
    results.measured(SUITE, &case, peer.name(), round, spread("attach p50", "attach p99", &mut times));

    for index in 0..NETWORKS {
        let subnet = format!("10.{}.{}.0/24", index / 256, index % 256);
        switch.ask(&["network", "create", "--subnet", &subnet, &format!("net{index}")])?;
    }
    for arguments in [&["network", "ls"][..], &["network", "inspect", NETWORK], &["ps"], &["inspect", "c1"]] {
        let mut times = Vec::new();
        for _ in 0..ASKED {
            let start = Instant::now();
            switch.ask(arguments)?;
            times.push(milliseconds(start.elapsed()));
        }
        let case = format!("{}, {} networks, {containers} containers", arguments.join(" "), NETWORKS + 1);
        results.measured(SUITE, &case, peer.name(), round, spread("p50", "p99", &mut times));
    }
    switch.check()
}

fn attach(switch: &dyn Switch, netns: &Netns, name: &str) -> Result<()> {
    let path = netns.path().to_string_lossy();
    switch.ask(&["attach", "--netns", &path, "--name", name, "--network", NETWORK]).map(drop)
}

/// Asks for `name` until it has an address (RFC 1035, section 4).
fn await_name(from: &Netns, name: &str) -> Result<()> {
    from.within(|| {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).doing(|| "open a socket".to_owned())?;
        socket.set_read_timeout(Some(Duration::from_secs(1))).doing(|| "set a timeout".to_owned())?;
        let label = u8::try_from(name.len()).map_err(|_| Error::sentence("the name is too long"))?;
        let mut query = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, label];
        query.extend_from_slice(name.as_bytes());
        query.extend_from_slice(&[0, 0, 1, 0, 1]);
        wait_for(&format!("{name} to have an address"), Duration::from_secs(5), || {
            let mut answer = [0; 512];
            let server = SocketAddr::from((NAME_SERVICE, 53));
            let asked = socket.send_to(&query, server).and_then(|_| socket.recv(&mut answer));
            let found =
                asked.is_ok() && answer[3] % 16 == 0 && u16::from_be_bytes([answer[6], answer[7]]) > 0;
            Ok(found.then_some(()))
        })
    })
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn spread(middle: &'static str, most: &'static str, times: &mut [f64]) -> Vec<Figure> {
    times.sort_by(f64::total_cmp);
    vec![Figure::new(middle, "ms", percentile(times, 50.0)), Figure::new(most, "ms", percentile(times, 99.0))]
}
