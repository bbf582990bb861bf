//! Streams whose every byte is known.

use std::{
    io::{Read, Write},
    time::Duration,
};

/// The eight bytes at a place that is a multiple of eight (SplitMix64).
fn word(at: u64) -> [u8; 8] {
    let mut z = (at / 8).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)).to_ne_bytes()
}

fn fill(buffer: &mut [u8], at: u64) {
    for (i, chunk) in buffer.chunks_mut(8).enumerate() {
        chunk.copy_from_slice(&word(at + i as u64 * 8)[..chunk.len()]);
    }
}

/// Writes the first `len` bytes of the stream.
pub fn send(to: &mut impl Write, len: u64) {
    let mut buffer = vec![0; 1 << 17];
    let mut at = 0;
    while at < len {
        let part = buffer.len().min((len - at) as usize);
        fill(&mut buffer[..part], at);
        to.write_all(&buffer[..part]).unwrap_or_else(|e| panic!("at {at} of {len}: {e}"));
        at += part as u64;
    }
}

/// Reads the stream to its end, resting after each read; panics at the first wrong byte. Returns
/// its length.
pub fn receive(from: &mut impl Read, rest: Duration) -> u64 {
    let mut buffer = vec![0; 1 << 17];
    let mut expected = vec![0; buffer.len() + 16];
    let mut at = 0;
    loop {
        let n = from.read(&mut buffer).unwrap_or_else(|e| panic!("at {at}: {e}"));
        if n == 0 {
            return at;
        }
        let aligned = at / 8 * 8;
        fill(&mut expected, aligned);
        let skip = (at - aligned) as usize;
        assert!(buffer[..n] == expected[skip..skip + n], "wrong bytes from {at} on");
        at += n as u64;
        if !rest.is_zero() {
            std::thread::sleep(rest);
        }
    }
}
