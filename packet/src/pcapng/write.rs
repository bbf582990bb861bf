//! Blocks appended to a buffer, little endian, every one complete when the call returns.

use super::block::{Direction, Interface, Packet, Section, Statistics};
use super::code;

/// Options carry at most this many bytes (a 16-bit length).
const MAX_OPTION: usize = u16::MAX as usize;

/// 10^-9 s, the value of `if_tsresol` in every interface written here.
const NANOSECONDS: u8 = 9;

/// Appends a Section Header Block, the first of every capture.
pub fn write_section(out: &mut Vec<u8>, section: &Section<'_>) {
    block(out, code::SECTION, |out| {
        u32(out, code::BYTE_ORDER_MAGIC);
        u16(out, code::VERSION.0);
        u16(out, code::VERSION.1);
        // The length of the section is not known while it is written.
        out.extend_from_slice(&u64::MAX.to_le_bytes());
        let texts = [
            (code::SHB_HARDWARE, section.hardware),
            (code::SHB_OS, section.os),
            (code::SHB_USERAPPL, section.application),
        ];
        write_texts(out, &texts);
        end_of_options(out);
    });
}

/// Appends an Interface Description Block. The caller numbers interfaces in the order of these
/// calls, from 0. Time stamps of its packets are nanoseconds (`if_tsresol` 9).
pub fn write_interface(out: &mut Vec<u8>, interface: &Interface<'_>) {
    block(out, code::INTERFACE, |out| {
        u16(out, interface.link_type);
        u16(out, 0);
        u32(out, interface.snaplen);
        write_texts(out, &[(code::IF_NAME, interface.name), (code::IF_DESCRIPTION, interface.description)]);
        option(out, code::IF_TSRESOL, &[], &[NANOSECONDS]);
        if let Some(filter) = interface.filter {
            // A leading 0 says that the filter is text and not BPF code.
            option(out, code::IF_FILTER, &[0], text(filter, MAX_OPTION - 1));
        }
        end_of_options(out);
    });
}

/// Appends an Enhanced Packet Block. `original_len` below `data.len()` is raised to it.
pub fn write_packet(out: &mut Vec<u8>, packet: &Packet<'_>) {
    // A frame is far below 4 GiB; one that is not would make a file nobody can read.
    let captured = u32::try_from(packet.data.len()).unwrap_or(u32::MAX);
    let data = packet.data.get(..captured as usize).unwrap_or(packet.data);
    block(out, code::ENHANCED_PACKET, |out| {
        u32(out, packet.interface);
        timestamp(out, packet.timestamp);
        u32(out, captured);
        u32(out, packet.original_len.max(captured));
        out.extend_from_slice(data);
        pad(out, data.len());
        write_texts(out, &[(code::OPT_COMMENT, packet.comment)]);
        let flags: u32 = match packet.direction {
            Direction::Unknown => 0,
            Direction::Inbound => 1,
            Direction::Outbound => 2,
        };
        if flags != 0 {
            option(out, code::EPB_FLAGS, &[], &flags.to_le_bytes());
        }
        if flags != 0 || packet.comment.is_some() {
            end_of_options(out);
        }
    });
}

/// Appends an Interface Statistics Block, usually at the end of a capture.
pub fn write_statistics(out: &mut Vec<u8>, statistics: &Statistics) {
    block(out, code::STATISTICS, |out| {
        u32(out, statistics.interface);
        timestamp(out, statistics.timestamp);
        for (code, count) in [(code::ISB_IFRECV, statistics.received), (code::ISB_IFDROP, statistics.dropped)]
        {
            if let Some(count) = count {
                option(out, code, &[], &count.to_le_bytes());
            }
        }
        end_of_options(out);
    });
}

/// Block type, total length, body, total length again.
fn block(out: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    u32(out, kind);
    u32(out, 0);
    body(out);
    let total = u32::try_from(out.len() - start + 4).unwrap_or(u32::MAX);
    u32(out, total);
    if let Some(length) = out.get_mut(start + 4..start + 8) {
        length.copy_from_slice(&total.to_le_bytes());
    }
}

fn write_texts(out: &mut Vec<u8>, texts: &[(u16, Option<&str>)]) {
    for &(code, value) in texts {
        if let Some(value) = value {
            option(out, code, &[], text(value, MAX_OPTION));
        }
    }
}

/// One option whose value is `head` then `tail`, at most [`MAX_OPTION`] bytes together.
fn option(out: &mut Vec<u8>, code: u16, head: &[u8], tail: &[u8]) {
    let len = head.len() + tail.len();
    u16(out, code);
    u16(out, u16::try_from(len).unwrap_or(u16::MAX));
    out.extend_from_slice(head);
    out.extend_from_slice(tail);
    pad(out, len);
}

fn end_of_options(out: &mut Vec<u8>) {
    u16(out, code::OPT_END);
    u16(out, 0);
}

/// The longest prefix of `value` that has at most `max` bytes and ends between characters.
fn text(value: &str, max: usize) -> &[u8] {
    value.get(..value.floor_char_boundary(max)).unwrap_or_default().as_bytes()
}

/// Nanoseconds as the two halves that both packet and statistics blocks have.
fn timestamp(out: &mut Vec<u8>, nanoseconds: u64) {
    let (high, low) = ((nanoseconds >> 32) as u32, nanoseconds as u32);
    u32(out, high);
    u32(out, low);
}

fn pad(out: &mut Vec<u8>, len: usize) {
    out.resize(out.len() + len.wrapping_neg() % 4, 0);
}

fn u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}
