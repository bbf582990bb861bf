//! TCP.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
};

use super::Outcome;

/// Says who has come, tells each, and echoes.
pub(super) fn serve(at: &[SocketAddr]) -> Outcome {
    let listeners: Vec<TcpListener> = at.iter().map(TcpListener::bind).collect::<Result<_, _>>()?;
    println!("listening");
    let threads: Vec<_> = listeners
        .into_iter()
        .map(|listener| {
            std::thread::spawn(move || {
                while let Ok((stream, client)) = listener.accept() {
                    std::thread::spawn(move || {
                        if let Ok(local) = stream.local_addr() {
                            println!("tcp {client} at {local}");
                        }
                        let _ = echo(stream, client);
                        println!("over {client}");
                    });
                }
            })
        })
        .collect();
    for thread in threads {
        let _ = thread.join();
    }
    Ok(())
}

fn echo(mut stream: TcpStream, client: SocketAddr) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.write_all(format!("{client} ").as_bytes())?;
    let mut buf = vec![0; 64 * 1024];
    loop {
        let n = stream.read(&mut buf)?;
        if n == 0 {
            return stream.shutdown(Shutdown::Write);
        }
        stream.write_all(buf.get(..n).unwrap_or(&[]))?;
    }
}

fn connected(to: SocketAddr, from: Option<SocketAddr>) -> Result<TcpStream, Box<dyn std::error::Error>> {
    let Some(from) = from else { return Ok(TcpStream::connect(to)?) };
    let family = if to.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let fd = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    let raw = std::os::fd::AsRawFd::as_raw_fd(&fd);
    bind(raw, &SockaddrStorage::from(from))?;
    connect(raw, &SockaddrStorage::from(to))?;
    Ok(fd.into())
}

/// Sends a text, closes its half, and prints its own port and all that comes back.
pub(super) fn ask(to: SocketAddr, text: &str, from: Option<SocketAddr>) -> Outcome {
    let mut stream = connected(to, from)?;
    stream.write_all(text.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    println!("{answer} from {}", stream.local_addr()?);
    Ok(())
}

/// Sends lines, one answer for each.
pub(super) fn talk(to: SocketAddr) -> Outcome {
    let mut stream = TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    println!("connected from {}", stream.local_addr()?);
    let mut answers = BufReader::new(stream.try_clone()?);
    for line in std::io::stdin().lines() {
        stream.write_all(format!("{}\n", line?).as_bytes())?;
        let mut answer = String::new();
        if answers.read_line(&mut answer)? == 0 {
            return Err("the other side has closed".into());
        }
        print!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// Opens connections one after the other and holds them until its standard input ends.
pub(super) fn open(to: SocketAddr, count: usize) -> Outcome {
    let mut held = Vec::new();
    let mut refused = 0;
    for _ in 0..count {
        match TcpStream::connect(to) {
            Ok(stream) => held.push(stream),
            Err(_) => refused += 1,
        }
    }
    println!("{} open, {refused} refused", held.len());
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

/// Writes as much as they take to so many connections, and reads nothing, until its standard input ends.
pub(super) fn push(to: SocketAddr, count: usize) -> Outcome {
    let mut held = Vec::new();
    for _ in 0..count {
        let stream = TcpStream::connect(to)?;
        stream.set_nonblocking(true)?;
        held.push(stream);
    }
    let data = vec![7; 256 * 1024];
    let stdin = std::io::stdin();
    loop {
        let mut waits = vec![PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        waits.extend(held.iter().map(|stream| PollFd::new(stream.as_fd(), PollFlags::POLLOUT)));
        poll(&mut waits, PollTimeout::NONE)?;
        if waits.first().and_then(PollFd::any).unwrap_or(true) {
            return Ok(());
        }
        for stream in &held {
            match (&mut &*stream).write(&data) {
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}

/// Begins connections, all at once, and holds them until its standard input ends.
pub(super) fn flood(to: SocketAddr, count: usize) -> Outcome {
    let family = if to.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let to = SockaddrStorage::from(to);
    let mut begun = Vec::new();
    for _ in 0..count {
        let fd = socket(family, SockType::Stream, flags, None)?;
        match connect(std::os::fd::AsRawFd::as_raw_fd(&fd), &to) {
            Ok(()) | Err(nix::errno::Errno::EINPROGRESS) => begun.push(fd),
            Err(error) => return Err(error.into()),
        }
    }
    println!("{} begun", begun.len());
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}
