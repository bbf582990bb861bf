//! What a capture reads and shows: pcapng, filters, described frames.

use std::hint::black_box;

use crate::filter::{Filter, MAX_TEXT};
use crate::offload::VNET_HEADER_LEN;
use crate::pcapng::{Block, PcapngError, Reader, write_packet};
use crate::{Offload, describe as line};

/// Reads a capture whole and in pieces of the size that the first byte says: the blocks must be
/// the same, and every packet must be fit to be written again.
pub fn pcapng(bytes: &[u8]) {
    let Some((step, capture)) = bytes.split_first() else { return };
    let whole = blocks(capture, usize::MAX);
    assert_eq!(whole, blocks(capture, usize::from(*step) + 1));
}

/// What a reader gives, and how it ends.
fn blocks(capture: &[u8], step: usize) -> (Vec<String>, Result<usize, PcapngError>) {
    let (mut reader, mut found) = (Reader::new(), Vec::new());
    for piece in capture.chunks(step) {
        reader.feed(piece);
        loop {
            match reader.next_block() {
                Ok(Some(block)) => {
                    if let Block::Packet(packet) = block {
                        let mut out = Vec::new();
                        write_packet(&mut out, &packet);
                        assert!(packet.original_len as usize >= packet.data.len());
                        assert!(out.len() >= packet.data.len() + 32 && out.len().is_multiple_of(4));
                    }
                    found.push(format!("{block:?}"));
                }
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(reader.next_block(), Err(error));
                    return (found, Err(error));
                }
            }
        }
    }
    (found, Ok(reader.pending()))
}

/// Compiles the first line and runs it on the rest.
pub fn filter(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |&byte| byte == b'\n');
    let (Some(text), frame) = (parts.next(), parts.next().unwrap_or_default()) else { return };
    let Ok(text) = str::from_utf8(text) else { return };
    match Filter::compile(text) {
        Ok(filter) => {
            black_box((filter.matches(frame, frame.len()), filter.matches(frame, usize::MAX)));
        }
        Err(error) => {
            assert!(text.len() > MAX_TEXT || text[error.offset..].starts_with(&error.word));
            assert!(!error.to_string().is_empty());
        }
    }
}

/// Describes a frame behind a virtio-net header, and the first half of it.
pub fn describe(bytes: &[u8]) {
    let Some((header, frame)) = bytes.split_at_checked(VNET_HEADER_LEN) else { return };
    let offload = Offload::parse(header, frame.len()).unwrap_or(Offload::NONE);
    for kept in [frame.len(), frame.len() / 2] {
        let line = line(&frame[..kept], offload);
        assert!(!line.is_empty() && !line.contains(char::is_control), "{line:?}");
    }
}
