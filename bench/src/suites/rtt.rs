//! TCP round trips of 64 bytes: there and back between blocking sockets, Nagle's algorithm off.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt::TcpCongestion};

use super::{Pair, PairSuite};
use crate::error::{Doing as _, Error, Result};
use crate::netns::Netns;
use crate::options::Options;
use crate::report::Figure;
use crate::stats::percentile;

/// TCP round trips.
pub(super) struct Rtt;

/// Bytes each way.
const MESSAGE: usize = 64;

/// Round trips before those that count.
const WARM_UP: u32 = 200;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

impl PairSuite for Rtt {
    fn name(&self) -> &'static str {
        "rtt"
    }

    fn cases(&self) -> Vec<String> {
        vec!["cubic, 64 bytes there and back".to_owned()]
    }

    fn measure(&self, _case: usize, pair: &Pair, options: &Options) -> Result<Vec<Figure>> {
        let duration = Duration::from_secs(options.seconds().into());
        let to = SocketAddr::from((pair.b.eth0.address, 0));
        figures(&pair.a.netns, &pair.b.netns, to, None, duration)
    }
}

/// Measures from `client` to a server in `server` that listens at `listen`, and is reached at `connect` where that
/// is somewhere else.
pub(super) fn figures(
    client: &Netns,
    server: &Netns,
    listen: SocketAddr,
    connect: Option<SocketAddr>,
    duration: Duration,
) -> Result<Vec<Figure>> {
    let mut trips = round_trips(client, server, listen, connect, duration)?;
    trips.sort_by(f64::total_cmp);
    Ok(vec![
        Figure::new("round trip p50", "us", percentile(&trips, 50.0)),
        Figure::new("round trip p99", "us", percentile(&trips, 99.0)),
    ])
}

/// The round trips of `duration`, in microseconds.
fn round_trips(
    client: &Netns,
    server: &Netns,
    listen: SocketAddr,
    connect: Option<SocketAddr>,
    duration: Duration,
) -> Result<Vec<f64>> {
    let what = || "measure TCP round trips".to_owned();
    let listener = server.within(|| TcpListener::bind(listen).doing(what))?;
    let address = connect.map_or_else(|| listener.local_addr().doing(what), Ok)?;
    let client =
        client.within(|| TcpStream::connect_timeout(&address, PATIENCE).and_then(prepared).doing(what))?;
    std::thread::scope(|scope| {
        let server = scope.spawn(|| {
            let (server, _) = listener.accept()?;
            answer(prepared(server)?)
        });
        let trips = ask(client, duration).doing(what)?;
        server.join().map_err(|_| Error::sentence("the answering thread panicked"))?.doing(what)?;
        Ok(trips)
    })
}

fn prepared(socket: TcpStream) -> io::Result<TcpStream> {
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    setsockopt(&socket, TcpCongestion, &"cubic".into())?;
    Ok(socket)
}

/// Sends back every message until the other side has closed.
fn answer(mut socket: TcpStream) -> io::Result<()> {
    let mut message = [0; MESSAGE];
    loop {
        match socket.read_exact(&mut message) {
            Ok(()) => socket.write_all(&message)?,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// Sends messages one after the other, each when the one before is back.
fn ask(mut socket: TcpStream, duration: Duration) -> io::Result<Vec<f64>> {
    let mut message = [0x5a; MESSAGE];
    let mut trips = Vec::with_capacity(1 << 20);
    for _ in 0..WARM_UP {
        socket.write_all(&message)?;
        socket.read_exact(&mut message)?;
    }
    let end = Instant::now() + duration;
    loop {
        let start = Instant::now();
        socket.write_all(&message)?;
        socket.read_exact(&mut message)?;
        let back = Instant::now();
        trips.push((back - start).as_secs_f64() * 1e6);
        if back >= end {
            return Ok(trips);
        }
    }
}
