use proptest::prelude::*;

use super::*;
use crate::frame::MAX_FRAME;

/// Everything of a reader's blocks, owned.
#[derive(Clone, PartialEq, Debug)]
enum Owned {
    Section(Option<String>),
    Interface(u32, Option<String>),
    Packet(u32, u64, Vec<u8>, u32, Direction, Option<String>),
    Statistics(Statistics),
    Other(u32),
}

fn owned(block: &Block<'_>) -> Owned {
    let text = |text: Option<&str>| text.map(str::to_owned);
    match *block {
        Block::Section(section) => Owned::Section(text(section.application)),
        Block::Interface(interface) => Owned::Interface(interface.snaplen, text(interface.name)),
        Block::Packet(p) => Owned::Packet(
            p.interface,
            p.timestamp,
            p.data.to_vec(),
            p.original_len,
            p.direction,
            text(p.comment),
        ),
        Block::Statistics(statistics) => Owned::Statistics(statistics),
        Block::Other { kind } => Owned::Other(kind),
    }
}

/// Reads `bytes` in pieces of `step`; an error ends it.
fn read(bytes: &[u8], step: usize) -> (Vec<Owned>, Result<usize, PcapngError>) {
    let (mut reader, mut blocks) = (Reader::new(), Vec::new());
    for piece in bytes.chunks(step.max(1)) {
        reader.feed(piece);
        loop {
            match reader.next_block() {
                Ok(Some(block)) => blocks.push(owned(&block)),
                Ok(None) => break,
                Err(error) => return (blocks, Err(error)),
            }
        }
    }
    (blocks, Ok(reader.pending()))
}

fn packet(data: &[u8]) -> Packet<'_> {
    Packet {
        interface: 0,
        timestamp: 1_700_000_000_123_456_789,
        data,
        original_len: data.len() as u32,
        direction: Direction::Inbound,
        comment: Some("dropped: storm control"),
    }
}

fn capture(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_section(&mut out, &Section { application: Some("vswitch"), ..Section::default() });
    write_interface(&mut out, &Interface { snaplen: 96, ..Interface::ethernet("port0") });
    write_packet(&mut out, &packet(data));
    let statistics = Statistics { interface: 0, timestamp: 5, received: Some(u64::MAX), dropped: Some(3) };
    write_statistics(&mut out, &statistics);
    out
}

#[test]
fn blocks_lie_as_the_draft_says() {
    let mut out = Vec::new();
    let packet = Packet { timestamp: 0x0102_0304_0506_0708, original_len: 60, ..packet(&[1, 2, 3]) };
    write_packet(&mut out, &Packet { direction: Direction::Outbound, comment: Some("why"), ..packet });
    let expected: &[&[u8]] = &[
        &[6, 0, 0, 0, 56, 0, 0, 0],
        &[0, 0, 0, 0],
        &[4, 3, 2, 1, 8, 7, 6, 5],
        &[3, 0, 0, 0, 60, 0, 0, 0],
        &[1, 2, 3, 0],
        &[1, 0, 3, 0, b'w', b'h', b'y', 0],
        &[2, 0, 4, 0, 2, 0, 0, 0],
        &[0, 0, 0, 0],
        &[56, 0, 0, 0],
    ];
    assert_eq!(out, expected.concat());
}

#[test]
fn what_is_written_is_read_back() {
    let (blocks, end) = read(&capture(&[7; 61]), 1);
    assert_eq!(end, Ok(0));
    assert_eq!(
        blocks,
        [
            Owned::Section(Some("vswitch".into())),
            Owned::Interface(96, Some("port0".into())),
            Owned::Packet(
                0,
                1_700_000_000_123_456_789,
                vec![7; 61],
                61,
                Direction::Inbound,
                Some("dropped: storm control".into())
            ),
            Owned::Statistics(Statistics {
                interface: 0,
                timestamp: 5,
                received: Some(u64::MAX),
                dropped: Some(3)
            }),
        ]
    );
}

#[test]
fn the_longest_super_frame_fits() {
    let data = vec![9; MAX_FRAME];
    let (blocks, end) = read(&capture(&data), 4096);
    assert_eq!(end, Ok(0));
    assert!(matches!(&blocks[2], Owned::Packet(_, _, read, len, ..) if *read == data && *len == 65_557));
}

#[test]
fn long_texts_are_cut_between_characters() {
    let comment = "\u{e4}".repeat(40_000);
    let mut out = capture(&[]);
    write_packet(&mut out, &Packet { comment: Some(&comment), ..packet(&[1]) });
    let (blocks, end) = read(&out, 1 << 20);
    assert_eq!(end, Ok(0));
    let Some(Owned::Packet(.., Some(read))) = blocks.last() else { panic!("{blocks:?}") };
    assert_eq!(read.len(), 65_534);
    assert!(comment.starts_with(read.as_str()));
}

#[test]
fn a_capture_cut_anywhere_is_incomplete_and_not_wrong() {
    let whole = capture(&[7; 61]);
    for len in 0..whole.len() {
        let (blocks, end) = read(&whole[..len], len);
        let pending = end.unwrap();
        assert!(blocks.len() < 4 && pending < 200, "{len}");
    }
}

/// Blocks by hand, in either byte order.
struct Raw(bool, Vec<u8>);

impl Raw {
    fn u16(&self, value: u16) -> [u8; 2] {
        if self.0 { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn u32(&self, value: u32) -> [u8; 4] {
        if self.0 { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn block(&mut self, kind: u32, body: &[u8]) {
        let length = self.u32(u32::try_from(body.len() + 12).unwrap());
        self.1 = [&self.1[..], &self.u32(kind), &length, body, &length].concat();
    }

    fn section(&mut self) {
        let (magic, major, minor) = (self.u32(0x1a2b_3c4d), self.u16(1), self.u16(0));
        self.block(0x0a0d_0d0a, &[&magic[..], &major, &minor, &[0xff; 8]].concat());
    }

    fn option(&self, code: u16, value: &[u8]) -> Vec<u8> {
        let length = self.u16(u16::try_from(value.len()).unwrap());
        let mut option = [&self.u16(code)[..], &length, value].concat();
        option.resize(option.len().next_multiple_of(4), 0);
        option
    }

    fn interface(&mut self, snaplen: u32, options: &[Vec<u8>]) {
        let head = [&self.u16(1)[..], &[0, 0], &self.u32(snaplen)].concat();
        self.block(1, &[head, options.concat()].concat());
    }

    fn words(&self, words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|&word| self.u32(word)).collect()
    }
}

#[test]
fn both_byte_orders_and_every_clock_are_read() {
    for big in [false, true] {
        let mut raw = Raw(big, Vec::new());
        raw.section();
        let offset = if big { 10i64.to_be_bytes() } else { 10i64.to_le_bytes() };
        let clocks: [(&[Vec<u8>], u64); 5] = [
            (&[], 1_000),
            (&[raw.option(9, &[9])], 1),
            (&[raw.option(9, &[3])], 1_000_000),
            (&[raw.option(9, &[0x8a])], 976_562),
            (&[raw.option(9, &[0]), raw.option(14, &offset)], 11_000_000_000),
        ];
        for (options, _) in &clocks {
            raw.interface(0, options);
        }
        for i in 0..5 {
            let body = [raw.words(&[i, 0, 1, 3, 60]), vec![1, 2, 3, 0]].concat();
            raw.block(6, &body);
        }
        let (blocks, end) = read(&raw.1, 7);
        assert_eq!(end, Ok(0));
        for (i, (block, (_, nanoseconds))) in (0..).zip(blocks[6..].iter().zip(clocks)) {
            assert_eq!(
                *block,
                Owned::Packet(i, nanoseconds, vec![1, 2, 3], 60, Direction::Unknown, None),
                "big endian: {big}"
            );
        }
    }
}

#[test]
fn older_and_foreign_blocks_are_read_or_passed_over() {
    let mut raw = Raw(false, Vec::new());
    raw.section();
    raw.interface(4, &[]);
    let simple = [raw.words(&[60]), vec![1, 2, 3, 4]].concat();
    raw.block(3, &simple);
    let obsolete = [vec![0, 0, 9, 0], raw.words(&[0, 7, 2, 2]), vec![5, 6, 0, 0]].concat();
    raw.block(2, &obsolete);
    raw.block(0x0000_0bad, &[0; 8]);
    raw.section();
    let (blocks, end) = read(&raw.1, usize::MAX);
    assert_eq!(end, Ok(0));
    assert_eq!(
        blocks[2..],
        [
            Owned::Packet(0, 0, vec![1, 2, 3, 4], 60, Direction::Unknown, None),
            Owned::Packet(0, 7_000, vec![5, 6], 2, Direction::Unknown, None),
            Owned::Other(0xbad),
            Owned::Section(None),
        ]
    );
}

#[test]
fn lengths_that_cannot_be_are_refused() {
    let error = |change: &dyn Fn(&mut Raw)| {
        let mut raw = Raw(false, Vec::new());
        raw.section();
        raw.interface(0, &[]);
        change(&mut raw);
        read(&raw.1, 64).1.unwrap_err()
    };
    let block = |kind: u32, words: &'static [u32]| {
        error(&move |raw| {
            let body = raw.words(words);
            raw.block(kind, &body);
        })
    };
    for len in [0, 8, 11, 13, MAX_BLOCK_LEN + 4, u32::MAX - 3] {
        let found = error(&move |raw| raw.1.extend([6u32.to_le_bytes(), len.to_le_bytes()].concat()));
        assert_eq!(found, PcapngError::BlockLength { kind: 6, len });
    }
    let trailer = error(&|raw| raw.1.extend([9, 0, 0, 0, 12, 0, 0, 0, 16, 0, 0, 0]));
    assert_eq!(trailer, PcapngError::TrailerMismatch { kind: 9, len: 12, trailer: 16 });
    let cut = |kind| PcapngError::TruncatedBody { kind };
    // Captured length, option length and a fixed field past the end.
    assert_eq!(block(6, &[0, 0, 0, u32::MAX, 0]), cut(6));
    assert_eq!(block(6, &[0, 0, 0, 5, 5, 0]), cut(6));
    assert_eq!(block(6, &[0, 0, 0, 0, 0, 0xffff_0001]), cut(6));
    assert_eq!(block(3, &[4]), cut(3));
    assert_eq!(block(5, &[0]), cut(5));
    assert_eq!(block(1, &[1]), cut(1));
    assert_eq!(block(6, &[1, 0, 0, 0, 0]), PcapngError::NoInterface(1));
    assert_eq!(block(5, &[7, 0, 0]), PcapngError::NoInterface(7));
    assert_eq!(
        block(6, &[0, 0, 0, 0, 0, 0x0002_0002, 0]),
        PcapngError::OptionLength { kind: 6, code: 2, len: 2 }
    );
    assert_eq!(block(1, &[1, 0, 0x0001_0009, 20]), PcapngError::Resolution(20));
    assert_eq!(block(0x0a0d_0d0a, &[1, 0, 0, 0]), PcapngError::ByteOrder(1));
    assert_eq!(block(0x0a0d_0d0a, &[0x1a2b_3c4d, 2, 0, 0]), PcapngError::Version(2, 0));
    assert_eq!(read(&[0xd4, 0xc3, 0xb2, 0xa1], 4).1, Err(PcapngError::NotPcapng(0xa1b2_c3d4)));
}

proptest! {
    #[test]
    fn packets_round_trip_in_any_pieces(
        packets in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..200), any::<u64>(), 0u32..400, 0usize..3, prop::option::of("\\PC{0,20}")),
            0..8,
        ),
        step in 1usize..300,
    ) {
        let mut out = capture(&[]);
        let mut expected = Vec::new();
        for (data, timestamp, more, direction, comment) in &packets {
            let direction = [Direction::Unknown, Direction::Inbound, Direction::Outbound][*direction];
            let original_len = data.len() as u32 + more;
            write_packet(&mut out, &Packet {
                interface: 0, timestamp: *timestamp, data, original_len, direction, comment: comment.as_deref(),
            });
            expected.push(Owned::Packet(0, *timestamp, data.clone(), original_len, direction, comment.clone()));
        }
        let (blocks, end) = read(&out, step);
        prop_assert_eq!(end, Ok(0));
        prop_assert_eq!(&blocks[4..], &expected);
    }

    #[test]
    fn no_bytes_panic(
        start in 0usize..200,
        change in prop::collection::vec((0usize..400, any::<u8>()), 0..8),
        noise in prop::collection::vec(any::<u8>(), 0..100),
        step in 1usize..64,
    ) {
        let mut out = capture(&[7; 61]);
        out.extend_from_within(start..);
        out.extend(noise);
        for (at, byte) in change {
            if let Some(place) = out.get_mut(at) {
                *place = byte;
            }
        }
        let (_, _) = read(&out, step);
    }
}
