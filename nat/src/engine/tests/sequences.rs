//! Whatever a container sends, in whatever order: nothing panics, and all memory is given back.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// A segment with numbers near those that would be right.
    Segment {
        port: u16,
        seq: i32,
        ack: i32,
        bits: u8,
        window: u16,
        len: usize,
        blocks: Vec<(i32, i32)>,
    },
    /// Any bytes behind an Ethernet header.
    Noise(Vec<u8>),
    /// The host's end of a connection does something.
    Host(u8),
    Turn,
    Full(bool),
}

fn near() -> impl Strategy<Value = i32> {
    prop_oneof![3 => Just(0), 3 => -3i32..3, 1 => -100_000i32..100_000, 1 => any::<i32>()]
}

fn any_step() -> impl Strategy<Value = Step> {
    let bits = prop_oneof![
        3 => Just(flags::ACK),
        2 => Just(flags::SYN),
        1 => Just(flags::FIN | flags::ACK),
        1 => Just(flags::RST),
        1 => any::<u8>(),
    ];
    let blocks = prop::collection::vec((near(), near()), 0..4);
    let segment = (0u16..3, near(), near(), bits, any::<u16>(), 0usize..3000, blocks);
    prop_oneof![
        8 => segment.prop_map(|(port, seq, ack, bits, window, len, blocks)| {
            Step::Segment { port, seq, ack, bits, window, len, blocks }
        }),
        1 => prop::collection::vec(any::<u8>(), 14..200).prop_map(Step::Noise),
        2 => any::<u8>().prop_map(Step::Host),
        3 => Just(Step::Turn),
        1 => any::<bool>().prop_map(Step::Full),
    ]
}

/// What the container knows of each port's connection: the next number of either side.
type Known = [(u32, u32); 3];

fn step(
    bench: &mut Bench,
    known: &mut Known,
    to: (IpAddr, u16),
    hosts: &mut Vec<std::net::TcpStream>,
    step: Step,
) {
    use std::io::{Read, Write};
    match step {
        Step::Segment { port, seq, ack, bits, window, len, blocks } => {
            let (next, expected) = known[usize::from(port)];
            let mut header = Header::plain(
                Seq(next.wrapping_add_signed(seq)),
                Seq(expected.wrapping_add_signed(ack)),
                bits,
                window,
            );
            for (to, (from, end)) in header.blocks.iter_mut().zip(&blocks) {
                *to = (Seq(expected.wrapping_add_signed(*from)), Seq(expected.wrapping_add_signed(*end)));
            }
            header.block_count = blocks.len().min(4) as u8;
            bench.take(&segment(5000 + port, to, &header, &vec![7; len]));
        }
        Step::Noise(bytes) => bench.take_bytes(&bytes),
        Step::Host(what) => {
            if let Some(host) = hosts.get_mut(usize::from(what >> 4)) {
                host.set_nonblocking(true).unwrap();
                match what & 3 {
                    0 => drop(host.write(&vec![9; 10_000])),
                    1 => drop(host.read(&mut vec![0; 10_000])),
                    2 => drop(host.shutdown(std::net::Shutdown::Write)),
                    _ => drop(hosts.remove(usize::from(what >> 4))),
                }
            }
        }
        Step::Turn => bench.engine.turn(&mut bench.container),
        Step::Full(full) => bench.container.full = full,
    }
    for (bytes, _) in std::mem::take(&mut bench.container.frames) {
        let headers = Headers::parse(&bytes).unwrap();
        let Some((_, port)) = headers.ip.unwrap().ports(&bytes) else { continue };
        let ip = headers.ip.unwrap();
        let segment = Segment::parse(&bytes[ip.l4..ip.end]).unwrap();
        if let Some(known) = known.get_mut(usize::from(port.wrapping_sub(5000))) {
            if segment.has(flags::ACK) {
                known.0 = segment.ack.0;
            }
            known.1 = segment.seq.0.wrapping_add(segment.sequence_len());
        }
    }
}

proptest! {
    #[test]
    fn no_sequence_of_frames_does_harm(steps in prop::collection::vec(any_step(), 1..60)) {
        let mut bench = Bench::new();
        let (listener, to) = server();
        listener.set_nonblocking(true).unwrap();
        let (mut known, mut hosts) = ([(1000, 0); 3], Vec::new());
        for each in steps {
            step(&mut bench, &mut known, to, &mut hosts, each);
            hosts.extend(listener.accept().map(|(host, _)| host));
            let info = bench.engine.inside(bench.id).unwrap();
            prop_assert!(info.flows <= 3 && info.half_open <= info.flows);
        }
        bench.engine.close_flows(bench.id, &mut bench.container);
        let info = bench.engine.inside(bench.id).unwrap();
        prop_assert_eq!((info.flows, info.half_open, info.backlog), (0, 0, 0));
        prop_assert_eq!(bench.engine.flows().count(), 0);
    }
}
