//! A TCP stream whose every byte is known: what arrives is compared with what was to be sent.
//!
//! `stream serve PORT` takes one connection, prints how far it is, and answers with the length.
//! `stream send ADDRESS PORT` sends until its standard input ends.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tests::random::Random;

const SEED: u64 = 17;
const CHUNK: usize = 32 * 1024;
/// A pause after every chunk: the stream is to last, not to be fast.
const PACE: Duration = Duration::from_millis(2);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", port] => serve(port.parse()?),
        ["send", address, port] => send(address, port.parse()?),
        _ => Err("stream serve PORT | stream send ADDRESS PORT".into()),
    }
}

fn serve(port: u16) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
    println!("listening");
    let (mut stream, _) = listener.accept()?;
    let mut expected = Random::new(SEED);
    let (mut total, mut told) = (0u64, 0);
    let mut rest = Vec::new();
    let mut buf = vec![0; CHUNK];
    loop {
        let n = stream.read(&mut buf)?;
        if n == 0 {
            break;
        }
        rest.extend_from_slice(&buf[..n]);
        let whole = rest.len() - rest.len() % 8;
        let mut wanted = vec![0; whole];
        expected.fill(&mut wanted);
        if rest[..whole] != wanted {
            return Err(format!("the bytes after {total} are not those that were sent").into());
        }
        rest.drain(..whole);
        total += whole as u64;
        if total - told >= 256 * 1024 {
            told = total;
            println!("at {total}");
        }
    }
    if !rest.is_empty() {
        return Err(format!("{} bytes are left over at the end", rest.len()).into());
    }
    stream.write_all(&total.to_le_bytes())?;
    println!("done {total}");
    Ok(())
}

fn send(address: &str, port: u16) -> Result<(), Box<dyn Error>> {
    let mut stream = TcpStream::connect((address, port))?;
    println!("connected");
    let ended = Arc::new(AtomicBool::new(false));
    let seen = ended.clone();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        seen.store(true, Ordering::Relaxed);
    });
    let mut bytes = Random::new(SEED);
    let mut chunk = vec![0; CHUNK];
    let mut total = 0;
    while !ended.load(Ordering::Relaxed) {
        bytes.fill(&mut chunk);
        stream.write_all(&chunk)?;
        total += chunk.len() as u64;
        std::thread::sleep(PACE);
    }
    stream.shutdown(Shutdown::Write)?;
    let mut answer = [0; 8];
    stream.read_exact(&mut answer)?;
    if u64::from_le_bytes(answer) != total {
        return Err(format!("sent {total} bytes, {} arrived", u64::from_le_bytes(answer)).into());
    }
    println!("sent {total}");
    Ok(())
}
