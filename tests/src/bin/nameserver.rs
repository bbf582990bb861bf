//! A name server (RFC 1035) for tests: `nameserver ADDRESS [NAME=VALUE]...`.
//!
//! Values are an address, `many` (as many addresses as need TCP), `servfail`, `refused` and `mute`,
//! which never answers. The name `*` stands for all others; without it they do not exist. Prints a line for
//! each question: transport, type, name. `nameserver ask ADDRESS NAME` asks one, and waits for no answer.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;

type Zone = Arc<Vec<(String, String)>>;

/// Seconds an answer may be kept.
const TTL: u32 = 300;

fn main() -> std::io::Result<()> {
    let mut words = std::env::args().skip(1);
    let address = words.next().unwrap_or_default();
    if address == "ask" {
        let (address, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let server: IpAddr = address.parse().map_err(std::io::Error::other)?;
        let own = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        UdpSocket::bind(own)?.send_to(&question(&name), (server, 53))?;
        return Ok(());
    }
    let address: IpAddr = address.parse().map_err(std::io::Error::other)?;
    let zone: Vec<_> =
        words.filter_map(|w| w.split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned()))).collect();
    let zone = Arc::new(zone);
    let udp = UdpSocket::bind((address, 53))?;
    let tcp = TcpListener::bind((address, 53))?;
    println!("listening");
    let of_tcp = zone.clone();
    std::thread::spawn(move || {
        for stream in tcp.incoming().flatten() {
            let zone = of_tcp.clone();
            std::thread::spawn(move || serve(stream, &zone));
        }
    });
    let mut buf = [0; 4096];
    loop {
        let (len, from) = udp.recv_from(&mut buf)?;
        if let Some(answer) = answer(&buf[..len], &zone, Some(512)) {
            udp.send_to(&answer, from)?;
        }
    }
}

fn serve(mut stream: TcpStream, zone: &Zone) -> Option<()> {
    loop {
        let mut len = [0; 2];
        stream.read_exact(&mut len).ok()?;
        let mut query = vec![0; u16::from_be_bytes(len).into()];
        stream.read_exact(&mut query).ok()?;
        let answer = answer(&query, zone, None)?;
        stream.write_all(&(answer.len() as u16).to_be_bytes()).ok()?;
        stream.write_all(&answer).ok()?;
    }
}

fn question(name: &str) -> Vec<u8> {
    let mut bytes = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.extend_from_slice(&[0, 0, 1, 0, 1]);
    bytes
}

/// The name of the first question, and where its type begins.
fn name(query: &[u8]) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    let mut at = 12;
    loop {
        let len = usize::from(*query.get(at)?);
        at += 1;
        if len == 0 {
            return Some((labels.join("."), at));
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + len)?).to_ascii_lowercase());
        at += len;
    }
}

/// `limit` is that of UDP.
fn answer(query: &[u8], zone: &Zone, limit: Option<usize>) -> Option<Vec<u8>> {
    let (name, at) = name(query)?;
    let qtype = u16::from_be_bytes([*query.get(at)?, *query.get(at + 1)?]);
    let transport = if limit.is_some() { "udp" } else { "tcp" };
    let kind = match qtype {
        1 => "A".to_owned(),
        12 => "PTR".to_owned(),
        15 => "MX".to_owned(),
        28 => "AAAA".to_owned(),
        33 => "SRV".to_owned(),
        other => format!("TYPE{other}"),
    };
    println!("{transport} {kind} {name}");
    let known = |wanted: &str| zone.iter().find(|(n, _)| n == wanted).map(|(_, v)| v.as_str());
    let value = known(&name).or_else(|| known("*")).unwrap_or("nxdomain");
    let (code, addresses): (u8, Vec<IpAddr>) = match value {
        "mute" => return None,
        "servfail" => (2, Vec::new()),
        "nxdomain" => (3, Vec::new()),
        "refused" => (5, Vec::new()),
        "many" => (0, (1..=100).map(|n| IpAddr::from([192, 0, 2, n])).collect()),
        address => (0, address.parse().into_iter().collect()),
    };
    let addresses: Vec<IpAddr> =
        addresses.into_iter().filter(|a| qtype == if a.is_ipv4() { 1 } else { 28 }).collect();
    let mut out = query.get(..2)?.to_vec();
    let count = (addresses.len() as u16).to_be_bytes();
    out.extend_from_slice(&[0x81, 0x80 | code, 0, 1, count[0], count[1], 0, 0, 0, 0]);
    out.extend_from_slice(query.get(12..at + 4)?);
    for address in addresses {
        out.extend_from_slice(&[0xc0, 12]);
        out.extend_from_slice(&qtype.to_be_bytes());
        out.extend_from_slice(&[0, 1]);
        out.extend_from_slice(&TTL.to_be_bytes());
        let data = match address {
            IpAddr::V4(a) => a.octets().to_vec(),
            IpAddr::V6(a) => a.octets().to_vec(),
        };
        out.extend_from_slice(&(data.len() as u16).to_be_bytes());
        out.extend_from_slice(&data);
    }
    if limit.is_some_and(|limit| out.len() > limit) {
        out.truncate(at + 4);
        out[2] |= 2;
        out[6..8].fill(0);
    }
    Some(out)
}
