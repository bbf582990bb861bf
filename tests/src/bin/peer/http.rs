//! HTTP/1.1, as much of it as curl needs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use tests::random::Random;

use super::Outcome;

const SEED: u64 = 5;
const CHUNK: usize = 64 * 1024;

/// Serves GET /BYTES, and PUT, which it compares with what GET would have given.
pub(super) fn serve(at: SocketAddr) -> Outcome {
    let listener = TcpListener::bind(at)?;
    println!("listening");
    loop {
        let (stream, client) = listener.accept()?;
        std::thread::spawn(move || {
            if let Err(error) = converse(stream, client) {
                println!("error of {client}: {error}");
            }
        });
    }
}

fn converse(mut stream: TcpStream, client: SocketAddr) -> Outcome {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let (mut length, mut waits) = (0usize, false);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            waits |= line == "expect: 100-continue";
        }
        let mut words = request.split_whitespace();
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        println!("{method} {path} from {client}");
        if method == "GET" {
            let size: usize = path.trim_start_matches('/').parse()?;
            stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").as_bytes())?;
            let (mut bytes, mut left, mut chunk) = (Random::new(SEED), size, vec![0; CHUNK]);
            while left > 0 {
                bytes.fill(&mut chunk);
                let part = chunk.get(..left.min(CHUNK)).unwrap_or(&[]);
                stream.write_all(part)?;
                left -= part.len();
            }
            continue;
        }
        if waits {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let (mut bytes, mut left) = (Random::new(SEED), length);
        let (mut chunk, mut wanted, mut same) = (vec![0; CHUNK], vec![0; CHUNK], true);
        while left > 0 {
            let part = chunk.get_mut(..left.min(CHUNK)).unwrap_or(&mut []);
            reader.read_exact(part)?;
            bytes.fill(&mut wanted);
            same &= wanted.starts_with(part);
            left -= part.len();
        }
        let said = format!("{length} bytes from {client}, as sent: {same}\n");
        let head = format!("HTTP/1.1 201 Created\r\nContent-Length: {}\r\n\r\n", said.len());
        stream.write_all(format!("{head}{said}").as_bytes())?;
    }
}
