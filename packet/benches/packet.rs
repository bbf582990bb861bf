//! What the fast path does to every frame. `cargo bench -p packet`.

use divan::{Bencher, black_box, counter::BytesCount};
use packet::{
    Coalescer, Frame, Offload,
    checksum::Sum,
    fuzzing::sample::{Sample, payload},
    segment,
    wire::Headers,
};

fn main() {
    divan::main();
}

/// 44 segments of 1448 bytes: as much as fits into one IP packet.
fn super_frame(ipv6: bool, tcp: bool) -> Frame {
    let sample = Sample { ipv6, tcp, gso: Some(1448), payload: payload(44 * 1448), ..Sample::default() };
    let mut frame = Frame::new();
    let (bytes, offload) = sample.build().expect("a sample that can be built");
    frame.copy_from(&bytes, offload).expect("a sample that fits");
    frame
}

fn segments(frame: &Frame, offload: Offload) -> Vec<Frame> {
    let mut segments = Vec::new();
    segment(frame, &mut Frame::new(), |s| {
        let mut copy = Frame::with_capacity(2048);
        copy.copy_from(s.bytes(), offload).expect("a segment that fits");
        segments.push(copy);
    })
    .expect("a super-frame that can be cut");
    segments
}

#[divan::bench(args = ["tcp4", "tcp6", "vlan", "extension"])]
fn parse(bencher: Bencher, what: &str) {
    let sample = Sample {
        ipv6: matches!(what, "tcp6" | "extension"),
        tags: usize::from(what == "vlan"),
        extension: what == "extension",
        payload: payload(1448),
        ..Sample::default()
    };
    let (bytes, _) = sample.build().expect("a sample that can be built");
    bencher.bench_local(|| Headers::parse(black_box(&bytes)));
}

#[divan::bench(args = [20, 64, 1500, 65535])]
fn checksum(bencher: Bencher, len: usize) {
    let bytes = payload(len);
    bencher.counter(BytesCount::new(len)).bench_local(|| Sum::of(black_box(&bytes)));
}

#[divan::bench(args = ["tcp4", "tcp6", "udp4"])]
fn segment_64k(bencher: Bencher, what: &str) {
    let frame = super_frame(what == "tcp6", what != "udp4");
    let mut out = Frame::new();
    bencher.counter(BytesCount::new(frame.len())).bench_local(|| {
        segment(black_box(&frame), &mut out, |s| {
            black_box(s.len());
        })
    });
}

/// With `verified` false every checksum is computed, as for what a tunnel delivers.
#[divan::bench(args = [false, true])]
fn coalesce_44(bencher: Bencher, verified: bool) {
    let whole = super_frame(false, true);
    let mut offload = Offload::NONE;
    if verified {
        offload.checksum = packet::Checksum::Verified;
    }
    let mut segments = segments(&whole, offload);
    let mut coalescer = Coalescer::new(8);
    bencher.counter(BytesCount::new(whole.len())).bench_local(|| {
        for frame in &mut segments {
            frame.set_offload(offload);
            coalescer.push(frame, |f| {
                black_box(f.len());
            });
        }
        coalescer.flush(|f| {
            black_box(f.len());
        });
    });
}
