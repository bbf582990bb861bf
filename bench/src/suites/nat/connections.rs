//! Connections opened, used for one request and one answer of 64 bytes, and closed, four clients at a time.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{Case, Direction, Setting, server};
use crate::error::{Doing as _, Error, Result};
use crate::options::Options;
use crate::report::Figure;
use crate::usage;
use crate::ways::{PORTS, Path};

/// Clients, each with a server of its own.
const CLIENTS: usize = 4;

/// Bytes each way.
const MESSAGE: usize = 64;

/// How long one connection may take.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn settings() -> Vec<Setting> {
    let case = |direction: Direction| {
        Case::new(format!("{}, {CLIENTS} clients", direction.name()), move |path, options| {
            measure(path, direction, options)
        })
    };
    vec![Setting::new(1500, Direction::BOTH.map(case).into())]
}

fn measure(path: &Path, direction: Direction, options: &Options) -> Result<Vec<Figure>> {
    let what = || "measure connections".to_owned();
    let (client, host) = match direction {
        Direction::Out => (&path.inside, &path.outside.world),
        Direction::In => (&path.outside.world, &path.inside),
    };
    let ends: Vec<_> = PORTS.take(CLIENTS).map(|port| server(path, direction, port)).collect();
    let listeners = host.within(|| {
        let bind = |(listen, _): &(SocketAddr, SocketAddr)| TcpListener::bind(listen).doing(what);
        ends.iter().map(bind).collect::<Result<Vec<_>>>()
    })?;
    let done = AtomicBool::new(false);
    let duration = Duration::from_secs(options.seconds().into());
    let processes = path.processes();
    let before = usage::cpu(&processes)?;
    let start = Instant::now();
    let count = std::thread::scope(|scope| {
        for listener in &listeners {
            scope.spawn(|| serve(listener, &done));
        }
        let clients: Vec<_> = ends
            .iter()
            .map(|(_, to)| scope.spawn(|| client.within(|| ask(*to, duration).doing(what))))
            .collect();
        let counts: Vec<_> = clients.into_iter().map(|client| client.join().unwrap_or(Ok(0))).collect();
        done.store(true, Ordering::Release);
        for (listen, _) in &ends {
            // Wakes the server, which then sees that it is over.
            let _ = host.within(|| TcpStream::connect(listen).doing(what));
        }
        counts.into_iter().sum::<Result<u32>>()
    })?;
    let (elapsed, used) = (start.elapsed(), usage::cpu(&processes)?.since(before));
    if count == 0 {
        return Err(Error::sentence("not one connection was made"));
    }
    let count = f64::from(count);
    Ok(vec![
        Figure::new("connections", "1/s", count / elapsed.as_secs_f64()),
        Figure::new("switch CPU", "us each", used.switch / count * 1e6),
        Figure::new("total CPU", "us each", used.run / count * 1e6),
    ])
}

fn serve(listener: &TcpListener, done: &AtomicBool) {
    let mut message = [0; MESSAGE];
    while let Ok((mut stream, _)) = listener.accept() {
        if done.load(Ordering::Acquire) {
            return;
        }
        // A client that fails says so itself.
        let _ = stream
            .read_exact(&mut message)
            .and_then(|()| stream.write_all(&message))
            .and_then(|()| stream.read(&mut message));
    }
}

/// Makes one connection after the other; returns how many.
fn ask(to: SocketAddr, duration: Duration) -> io::Result<u32> {
    let end = Instant::now() + duration;
    let mut message = [0x5a; MESSAGE];
    let mut count = 0;
    while Instant::now() < end {
        let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(&message)?;
        stream.read_exact(&mut message)?;
        count += 1;
    }
    Ok(count)
}
