//! What the demonstration's containers do, so that it needs no program but this one.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use packet::checksum::Sum;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// The port on which [`serve`] listens.
pub(super) const PORT: u16 = 5201;

const PATIENCE: Duration = Duration::from_secs(5);

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// `hold PID`, `ping ADDRESS`, `serve`, `send ADDRESS SECONDS`.
pub fn main(words: &[OsString]) -> i32 {
    let words: Vec<&str> = words.iter().filter_map(|w| w.to_str()).collect();
    let done = match words.as_slice() {
        ["hold", pid] => pid.parse().map(hold).map_err(Into::into),
        ["ping", address] => address.parse().map_err(Into::into).and_then(ping),
        ["serve"] => serve(),
        ["send", address, seconds] => (|| send(address.parse()?, Duration::from_secs(seconds.parse()?)))(),
        _ => Err("unknown act".into()),
    };
    match done {
        Ok(()) => 0,
        Err(e) => {
            eprintln!("vswitch: {e}");
            1
        }
    }
}

/// Stays until the process `pid` has ended, so that nothing outlives a demonstration that is killed.
fn hold(pid: i32) {
    if let Some(fd) = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) {
        while poll(&mut [PollFd::new(&fd, PollFlags::IN)], None) == Err(rustix::io::Errno::INTR) {}
    }
}

/// Three echo requests (RFC 792), and what came of each.
fn ping(to: Ipv4Addr) -> Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4))?;
    let to_addr = SockAddr::from(SocketAddr::new(IpAddr::V4(to), 0));
    let id = (std::process::id() & 0xffff) as u16;
    for sequence in 1..=3u16 {
        let mut request = vec![8, 0, 0, 0];
        request.extend(id.to_be_bytes());
        request.extend(sequence.to_be_bytes());
        request.extend([0x56; 56]);
        let checksum = Sum::of(&request).checksum();
        request[2..4].copy_from_slice(&checksum.to_be_bytes());
        let sent = Instant::now();
        socket.send_to(&request, &to_addr)?;
        loop {
            let left = PATIENCE.checked_sub(sent.elapsed()).filter(|t| !t.is_zero());
            socket.set_read_timeout(Some(left.ok_or_else(|| format!("no answer from {to}"))?))?;
            let mut buf = [0; 2048];
            let Ok(n) = (&socket).read(&mut buf) else { continue };
            let bytes = buf.get(..n).unwrap_or_default();
            let from = bytes.get(12..16).unwrap_or_default();
            let header = usize::from(bytes.first().copied().unwrap_or(0) & 0xf) * 4;
            let answer = bytes.get(header..).unwrap_or_default();
            let ours = answer.starts_with(&[0, 0])
                && answer.get(4..8) == Some(&[id.to_be_bytes(), sequence.to_be_bytes()].concat()[..]);
            if ours && from == to.octets() {
                let ms = sent.elapsed().as_secs_f64() * 1000.0;
                println!("{} bytes from {to}: icmp_seq={sequence} time={ms:.3} ms", answer.len());
                break;
            }
        }
    }
    Ok(())
}

/// Takes one connection and counts what comes; says first that it listens.
fn serve() -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT))?;
    println!("listening");
    std::io::stdout().flush()?;
    let (mut stream, _) = listener.accept()?;
    let start = Instant::now();
    let mut buf = vec![0; 256 * 1024];
    let mut total = 0u64;
    loop {
        match stream.read(&mut buf)? {
            0 => break,
            n => total += n as u64,
        }
    }
    println!("{total} {}", start.elapsed().as_secs_f64());
    Ok(())
}

fn send(to: Ipv4Addr, time: Duration) -> Result<()> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(IpAddr::V4(to), PORT), PATIENCE)?;
    let buf = vec![0x56; 128 * 1024];
    let start = Instant::now();
    while start.elapsed() < time {
        stream.write_all(&buf)?;
    }
    Ok(())
}
