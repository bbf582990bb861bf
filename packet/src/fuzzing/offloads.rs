//! Cutting and joining of frames nobody vouches for.

use crate::{
    checksum,
    coalesce::Coalescer,
    frame::Frame,
    offload::{Checksum, Offload, VNET_HEADER_LEN},
    segment::{SegmentError, segment},
    wire::{Headers, IpVersion, ipproto, ipv4, u16_at},
};

/// Takes `bytes` for what a TAP with `IFF_VNET_HDR` reads, and cuts the frame. Whatever comes out
/// must be whole, verify, and carry the payload that went in.
pub fn vnet_segment(bytes: &[u8]) {
    let mut frame = Frame::new();
    let area = frame.vnet_area();
    let n = bytes.len().min(area.len());
    area[..n].copy_from_slice(&bytes[..n]);
    if frame.commit_vnet(n).is_err() {
        assert!(frame.is_empty());
        return;
    }
    let written = frame.with_vnet().map(<[u8]>::to_vec).unwrap_or_default();
    assert_eq!(written[VNET_HEADER_LEN..], bytes[VNET_HEADER_LEN..n]);

    let mut out = Frame::new();
    let mut payload = Vec::new();
    let mut seen = 0;
    let result = segment(&frame, &mut out, |s| {
        seen += 1;
        assert!(s.len() <= frame.len());
        assert!(s.offload().gso.is_none() && !matches!(s.offload().checksum, Checksum::Partial { .. }));
        if frame.offload().gso.is_some() {
            let Some(Headers { l3, ip: Some(ip), .. }) = Headers::parse(s.bytes()) else {
                panic!("a segment lost its headers")
            };
            assert_eq!(ip.end, s.len());
            assert_ne!(checksum::verify_transport(s.bytes(), l3, &ip), Some(false));
            payload.extend_from_slice(&s.bytes()[ip.payload.unwrap_or(ip.end)..]);
        }
    });
    match result {
        Ok(count) => assert_eq!(count, seen),
        Err(SegmentError::NoRoom { .. } | SegmentError::Frame(_)) => {
            panic!("a segment longer than its whole")
        }
        Err(_) => assert_eq!(seen, 0),
    }
    if let (Ok(_), Some(_), Some(Headers { ip: Some(ip), .. })) =
        (result, frame.offload().gso, Headers::parse(frame.bytes()))
    {
        assert_eq!(payload, frame.bytes()[ip.payload.unwrap_or(ip.end)..ip.end]);
    }
}

/// Takes `bytes` for records (control byte, 2 bytes length, a frame), and joins the frames. The
/// super-frames, cut again, must give every flow's frames in their order.
pub fn coalesce(bytes: &[u8]) {
    let mut coalescer = Coalescer::new(3);
    let mut frame = Frame::new();
    let (mut before, mut after) = (Vec::new(), Vec::new());
    let mut rest = bytes;
    while let [control, a, b, tail @ ..] = rest {
        let (bytes, next) = tail.split_at(usize::from(u16::from_be_bytes([*a, *b])).min(tail.len()));
        rest = next;
        let checksum = if control & 1 == 1 { Checksum::Verified } else { Checksum::Unverified };
        if bytes.len() < 14 || frame.copy_from(bytes, Offload { checksum, gso: None }).is_err() {
            continue;
        }
        before.push(bytes.to_vec());
        coalescer.push(&mut frame, |f| after.push(copy(f)));
        if control & 2 == 2 {
            coalescer.flush(|f| after.push(copy(f)));
        }
    }
    coalescer.flush(|f| after.push(copy(f)));
    assert!(coalescer.is_empty());
    let mut cut = Vec::new();
    let mut out = Frame::new();
    for frame in after {
        let result = segment(&frame, &mut out, |s| cut.push(s.bytes().to_vec()));
        assert!(result.is_ok(), "{result:?}");
    }
    assert_eq!(by_flow(before), by_flow(cut));
}

fn copy(frame: &Frame) -> Frame {
    let mut copy = Frame::new();
    let result = copy.copy_from(frame.bytes(), frame.offload());
    assert_eq!(result, Ok(()));
    copy
}

/// Sorts frames by flow, each flow's order kept, and blanks what joining may change: checksums that
/// were only said to be right, and ids that mean nothing.
fn by_flow(mut frames: Vec<Vec<u8>>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut keyed: Vec<_> = frames.drain(..).map(|f| (key(&f), f)).collect();
    for (key, frame) in &mut keyed {
        if !key.is_empty() {
            blank(frame);
        }
    }
    keyed.sort_by(|a, b| a.0.cmp(&b.0));
    keyed
}

/// What tells flows apart; empty for frames that are of none.
fn key(frame: &[u8]) -> Vec<u8> {
    let Some(Headers { l3, ip: Some(ip), .. }) = Headers::parse(frame) else { return Vec::new() };
    if ip.fragment || ip.payload.is_none() || !matches!(ip.protocol, ipproto::TCP | ipproto::UDP) {
        return Vec::new();
    }
    let addresses = match ip.version {
        IpVersion::V4 => l3 + 12..l3 + 20,
        IpVersion::V6 => l3 + 8..l3 + 40,
    };
    let mut key = frame[..l3].to_vec();
    key.push(ip.protocol);
    key.extend_from_slice(&frame[addresses]);
    key.extend_from_slice(&frame[ip.l4..ip.l4 + 4]);
    key
}

fn blank(frame: &mut [u8]) {
    let Some(Headers { l3, ip: Some(ip), .. }) = Headers::parse(frame) else { return };
    if ip.version == IpVersion::V4 {
        if u16_at(frame, l3 + ipv4::field::FRAGMENT) & ipv4::DONT_FRAGMENT != 0 {
            frame[l3 + 4..l3 + 6].fill(0);
        }
        frame[l3 + 10..l3 + 12].fill(0);
    }
    if let Some(offset) = checksum::field_offset(ip.protocol) {
        frame[ip.l4 + offset..ip.l4 + offset + 2].fill(0);
    }
}
