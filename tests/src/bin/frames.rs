//! Frames no honest sender makes, out of an interface of the namespace it runs in.

use std::error::Error;

use tests::packet_socket::{HEADER_LEN, PacketSocket};
use tests::random::Random;

const USAGE: &str = "frames reserved INTERFACE COUNT          to 01:80:c2:00:00:00
frames multicast-source INTERFACE COUNT  from a group address
frames sources INTERFACE COUNT           each from another address
frames unknown INTERFACE COUNT           to an address nobody has
frames random INTERFACE COUNT SEED       any bytes
frames headers INTERFACE                 super-frames whose headers lie
frames hex INTERFACE HEX...              these bytes, each a frame";

/// IEEE's number for local experiments.
const ETHERTYPE: [u8; 2] = [0x88, 0xb5];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [what, interface, ref rest @ ..] = arguments[..] else { return Err(USAGE.into()) };
    let socket = PacketSocket::open(interface, what == "headers")?;
    match (what, rest) {
        ("reserved", [count]) => {
            repeat(&socket, count, |_| frame([1, 0x80, 0xc2, 0, 0, 0], socket.address()))
        }
        ("multicast-source", [count]) => repeat(&socket, count, |_| frame([0xff; 6], [1, 0, 0x5e, 0, 0, 1])),
        ("sources", [count]) => repeat(&socket, count, |n| frame([2, 0xff, 0, 0, 0, 1], numbered(n))),
        ("unknown", [count]) => repeat(&socket, count, |_| frame([2, 0xff, 0, 0, 0, 1], socket.address())),
        ("random", [count, seed]) => {
            let mut random = Random::new(seed.parse()?);
            repeat(&socket, count, |_| {
                let mut bytes = vec![0; 14 + random.below(1500)];
                random.fill(&mut bytes);
                bytes
            })
        }
        ("headers", []) => {
            headers(&socket);
            Ok(())
        }
        ("hex", texts) => {
            for text in texts {
                socket.send_all(&bytes_of(text)?)?;
            }
            Ok(())
        }
        _ => Err(USAGE.into()),
    }
}

fn repeat(
    socket: &PacketSocket,
    count: &str,
    mut make: impl FnMut(u32) -> Vec<u8>,
) -> Result<(), Box<dyn Error>> {
    let count: u32 = count.parse()?;
    for n in 0..count {
        socket.send_all(&make(n))?;
    }
    println!("sent {count}");
    Ok(())
}

fn frame(destination: [u8; 6], source: [u8; 6]) -> Vec<u8> {
    let mut frame = [&destination[..], &source, &ETHERTYPE].concat();
    frame.resize(60, 0);
    frame
}

/// A unicast address of one's own, another for each number.
fn numbered(n: u32) -> [u8; 6] {
    let [a, b, c, d] = n.to_be_bytes();
    [2, 0xee, a, b, c, d]
}

fn bytes_of(text: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?)).collect()
}

/// Every combination of lies; the kernel sees through some of them.
fn headers(socket: &PacketSocket) {
    let frames = [tcp(0), tcp(100), tcp(9000), tcp(60_000), tcp(9000)[..20].to_vec()];
    let (mut sent, mut refused) = (0, 0);
    for frame in &frames {
        for kind in [0u8, 1, 3, 4, 5, 0x81, 0x84, 0xff] {
            for [gso_size, hdr_len] in pairs(&[0, 1, 8, 1448, 65535], &[0, 14, 54, 200, 65535]) {
                for [start, offset] in pairs(&[0, 14, 34, 65535], &[0, 6, 16, 65534]) {
                    for flags in [0u8, 1, 3] {
                        let header = header(flags, kind, [hdr_len, gso_size, start, offset]);
                        match socket.send(&[&header, frame]) {
                            Ok(()) => sent += 1,
                            Err(_) => refused += 1,
                        }
                    }
                }
            }
        }
    }
    println!("sent {sent} refused {refused}");
}

fn pairs(a: &[u16], b: &[u16]) -> Vec<[u16; 2]> {
    a.iter().flat_map(|&x| b.iter().map(move |&y| [x, y])).collect()
}

fn header(flags: u8, kind: u8, words: [u16; 4]) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[0] = flags;
    header[1] = kind;
    for (to, word) in header[2..].chunks_mut(2).zip(words) {
        to.copy_from_slice(&word.to_le_bytes());
    }
    header
}

/// A TCP segment to nobody, from nobody.
fn tcp(payload: usize) -> Vec<u8> {
    let mut frame = [&[2, 0xff, 0, 0, 0, 1][..], &[2, 0xee, 0, 0, 0, 1], &[8, 0]].concat();
    let total = (40 + payload) as u16;
    let [high, low] = total.to_be_bytes();
    frame.extend([0x45, 0, high, low, 0, 0, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
    frame.extend([0, 80, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0]);
    frame.resize(frame.len() + payload, 0x5a);
    frame
}
