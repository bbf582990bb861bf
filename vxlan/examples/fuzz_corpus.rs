//! Writes the first inputs of the fuzz target to `vxlan/fuzz/corpus`.

use std::{error::Error, fs, path::Path};

use packet::{
    Checksum, Frame,
    fuzzing::sample::{Sample, payload},
    segment,
};
use vxlan::{
    Vni,
    fuzzing::{VNI, control},
};

fn main() -> Result<(), Box<dyn Error>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/decap");
    fs::create_dir_all(&corpus)?;
    let header = Vni::try_from(VNI)?.to_header();
    let datagram = |inner: &[u8]| [&header[..], inner].concat();
    let write = |name: &str, records: &[Vec<u8>]| fs::write(corpus.join(name), records.concat());

    let (small, _) = Sample::default().build()?;
    let small = datagram(&small);
    write("one-frame", &[record(0, 0, &small)])?;
    write("a-stranger", &[record(control::STRANGER, 0, &small)])?;
    write("congestion", &[record(control::CONGESTION | control::FLUSH, 0, &small)])?;
    write("too-short", &[record(0, 0, &[]), record(0, 0, &small[..7]), record(0, 0, &small[..21])])?;
    let mut other = small.clone();
    other[6] = 9;
    write("another-network", &[record(0, 0, &small), record(0, 0, &other), record(0, 0, &small)])?;
    other[0] = 0;
    write("no-network", &[record(0, 0, &other)])?;

    for (name, ipv6, tcp) in [("tcp4", false, true), ("tcp6", true, true), ("udp4", false, false)] {
        let sample = Sample { ipv6, tcp, gso: Some(24), payload: payload(60), ..Sample::default() };
        let (bytes, offload) = sample.build()?;
        let mut frame = Frame::new();
        frame.copy_from(&bytes, offload)?;
        let mut message = Vec::new();
        segment(&frame, &mut Frame::new(), |s| message.extend(datagram(s.bytes())))?;
        let size = bytes.len() - 60 + 24 + header.len();
        write(name, &[record(0, u16::try_from(size)?, &message)])?;
        // What a kernel device on the same machine sends: one datagram, the checksum not finished.
        assert!(matches!(offload.checksum, Checksum::Partial { .. }));
        let long = Sample { payload: payload(400), ..sample }.build()?.0;
        write(&format!("{name}-unfinished"), &[record(0, 0, &datagram(&long))])?;
    }
    Ok(())
}

fn record(control: u8, segment: u16, message: &[u8]) -> Vec<u8> {
    let len = u16::try_from(message.len()).unwrap_or(u16::MAX);
    [&[control][..], &segment.to_be_bytes(), &len.to_be_bytes(), message].concat()
}
