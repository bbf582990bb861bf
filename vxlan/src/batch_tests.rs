use std::net::IpAddr;

use packet::{
    Offload,
    fuzzing::sample::{Sample, payload},
    segment,
};
use proptest::prelude::*;

use super::*;
use crate::{
    Counters, Demux, Network, NetworkConfig, Sender, Sink,
    receive::{Datagrams, Inbound},
};

const PEER: &str = "192.0.2.2";

fn vni() -> Vni {
    Vni::new(42).unwrap()
}

fn paths(sender: &Sender, vteps: &[&str]) -> Vec<Arc<Path>> {
    vteps.iter().map(|vtep| sender.path(vtep.parse().unwrap())).collect()
}

fn frame(sample: &Sample) -> Frame {
    let (bytes, offload) = sample.build().unwrap();
    let mut frame = Frame::new();
    frame.copy_from(&bytes, offload).unwrap();
    frame
}

fn targets<'a>(paths: &'a [Arc<Path>], frame: &Frame) -> Targets<'a> {
    Targets { paths, sockets: [Some(3), None], longest: crate::send::longest_frame(frame).unwrap() }
}

/// A message as it is sent: to whom, its bytes, the size of its datagrams.
type Sent = (IpAddr, Vec<u8>, usize);

fn take(batch: &Batch, sent: &mut Vec<Sent>) {
    for message in batch.of_socket(3) {
        let bytes = batch.bytes(message);
        let segment = usize::from(message.segment);
        assert_eq!(bytes.len().div_ceil(segment), usize::from(message.count));
        assert!(message.count <= MAX_SEGMENTS && bytes.len() <= MAX_BYTES);
        sent.push((message.path.vtep(), bytes.to_vec(), segment));
    }
}

fn send(frames: &[Frame], paths: &[Arc<Path>]) -> Vec<Sent> {
    let (mut batch, mut sent) = (Batch::default(), Vec::new());
    for frame in frames {
        batch.add(vni(), frame, &targets(paths, frame), |batch| take(batch, &mut sent)).unwrap();
    }
    take(&batch, &mut sent);
    sent
}

/// The frames that go over the wire for these.
fn wire(frames: &[Frame]) -> Vec<Vec<u8>> {
    let (mut all, mut out) = (Vec::new(), Frame::new());
    for frame in frames {
        segment(frame, &mut out, |segment| all.push(segment.bytes().to_vec())).unwrap();
    }
    all
}

struct Collect(Vec<Frame>);

impl Sink<()> for Collect {
    fn admits(&mut self, (): &(), _: packet::MacAddr) -> bool {
        true
    }

    fn deliver(&mut self, (): &(), frame: &mut Frame) {
        let mut copy = Frame::new();
        copy.copy_from(frame.bytes(), frame.offload()).unwrap();
        self.0.push(copy);
    }
}

/// What the other host makes of what was sent.
fn receive(sent: &[Sent]) -> Vec<Frame> {
    let (sender, demux) = (Sender::without_sockets(), Arc::new(Demux::default()));
    let network = Arc::new(Network::new(vni(), &NetworkConfig::default()));
    let from: IpAddr = "192.0.2.1".parse().unwrap();
    network.add_peer(&sender, from).unwrap();
    demux.add(network.clone(), ());
    let drops = Arc::new(Counters::default());
    let (mut inbound, mut sink) = (Inbound::new(demux, drops.clone()), Collect(Vec::new()));
    for (_, bytes, segment) in sent {
        inbound.message(&Datagrams { bytes, segment: *segment, from, tos: 0 }, 0, &mut sink);
    }
    inbound.flush(&mut sink);
    assert_eq!(drops.total() + network.drops().total(), 0);
    sink.0
}

#[test]
fn a_super_frame_is_one_message_for_each_64_kilobytes() {
    let sender = Sender::without_sockets();
    let big = Sample { gso: Some(1398), payload: payload(46 * 1398), ..Sample::default() };
    let sent = send(&[frame(&big)], &paths(&sender, &[PEER]));
    assert_eq!(sent.len(), 2);
    assert!(sent.iter().all(|(_, _, segment)| *segment == HEADER_LEN + 66 + 1398));
    let received = receive(&sent);
    assert_eq!(received.len(), 1, "joined to one super-frame again");
    assert_eq!(received[0].bytes(), frame(&big).bytes());
    assert_eq!(received[0].offload(), frame(&big).offload());
}

#[test]
fn super_frames_of_one_flow_fill_their_messages() {
    let sender = Sender::without_sockets();
    let big = Sample { gso: Some(1398), payload: payload(46 * 1398), ..Sample::default() };
    let next = Sample { sequence: big.sequence + 46 * 1398, ..big.clone() };
    let sent = send(&[frame(&big), frame(&next)], &paths(&sender, &[PEER]));
    let counts: Vec<_> = sent.iter().map(|(_, bytes, segment)| bytes.len() / segment).collect();
    assert_eq!(counts, [44, 44, 4]);
}

#[test]
fn small_frames_of_one_size_share_a_message() {
    let sender = Sender::without_sockets();
    let small = |len| frame(&Sample { tcp: false, payload: payload(len), ..Sample::default() });
    let frames = [small(100), small(100), small(60), small(100), small(200)];
    let sent = send(&frames, &paths(&sender, &[PEER]));
    assert_eq!(sent.len(), 3, "three and a shorter one, one, a longer one");
    let many: Vec<_> = (0..150).map(|_| small(100)).collect();
    assert_eq!(send(&many, &paths(&sender, &[PEER])).len(), 3);
}

#[test]
fn every_peer_gets_a_copy_but_for_those_it_does_not_fit() {
    let sender = Sender::without_sockets();
    let paths = paths(&sender, &["192.0.2.2", "192.0.2.3", "2001:db8::1", "192.0.2.4"]);
    paths[1].set_mtu(400);
    let frames = [frame(&Sample { payload: payload(1000), ..Sample::default() })];
    let sent = send(&frames, &paths);
    let to: Vec<_> = sent.iter().map(|(to, _, _)| to.to_string()).collect();
    assert_eq!(to, ["192.0.2.2", "192.0.2.4"]);
    assert!(sent.iter().all(|(_, bytes, _)| bytes[HEADER_LEN..] == *frames[0].bytes()));
    assert_eq!(paths[1].drops().get(SendError::TooBig), 1);
    assert_eq!(paths[2].drops().get(SendError::NoSocket), 1);
}

#[test]
fn a_flood_to_a_thousand_peers_fills_several_batches() {
    let sender = Sender::without_sockets();
    let vteps: Vec<_> = (0..1000u32).map(|n| format!("10.1.{}.{}", n / 250, n % 250 + 1)).collect();
    let paths = paths(&sender, &vteps.iter().map(String::as_str).collect::<Vec<_>>());
    let arp = frame(&Sample { tcp: false, payload: payload(20), ..Sample::default() });
    let sent = send(&[arp], &paths);
    assert_eq!(sent.len(), 1000);
    assert_eq!(sent.iter().map(|(to, ..)| *to).collect::<std::collections::HashSet<_>>().len(), 1000);
}

#[test]
fn what_is_no_frame_is_refused() {
    let sender = Sender::without_sockets();
    let paths = paths(&sender, &[PEER]);
    let mut batch = Batch::default();
    let mut add = |frame: &Frame| {
        let targets = Targets { paths: &paths, sockets: [Some(3), None], longest: frame.len() };
        let result = batch.add(vni(), frame, &targets, |_| panic!("nothing to send"));
        (result, batch.is_empty())
    };
    let mut short = Frame::new();
    short.copy_from(&[0; 13], Offload::NONE).unwrap();
    assert_eq!(add(&short), (Err(SendError::Malformed), true));
    let mut arp = frame(&Sample::default());
    arp.set_offload(Sample { gso: Some(10), ..Sample::default() }.build().unwrap().1);
    assert_eq!(add(&arp), (Err(SendError::Malformed), true), "a super-frame without payload");
    arp.set_offload(Offload { checksum: Checksum::Partial { start: 900, offset: 6 }, gso: None });
    assert_eq!(add(&arp), (Err(SendError::Malformed), true), "a checksum outside");
    // What was there before stays.
    let good = frame(&Sample::default());
    assert_eq!(add(&good), (Ok(()), false));
    assert_eq!(add(&arp), (Err(SendError::Malformed), false));
    let mut sent = Vec::new();
    take(&batch, &mut sent);
    assert_eq!(receive(&sent).len(), 1);
}

fn any_sample() -> impl Strategy<Value = Sample> {
    let shape = (any::<bool>(), any::<bool>(), 0..3usize, any::<bool>(), any::<bool>());
    let size = prop_oneof![Just(0usize), 1..200usize, 1000..70_000usize];
    (shape, 0..3u16, prop::option::of(8..3000u16), size, 0..4000u32).prop_map(
        |((ipv6, tcp, tags, extension, timestamps), port, gso, len, sequence)| {
            let len = if gso.is_some() { len.clamp(1, 65_000) } else { len % 1400 };
            // What the kernel would not make either.
            let gso = gso.filter(|size| tcp || len.div_ceil(usize::from(*size)) <= 64);
            let len = if gso.is_none() { len % 1400 } else { len };
            Sample {
                ipv6,
                tcp,
                tags,
                extension,
                timestamps,
                port,
                gso,
                sequence,
                payload: payload(len),
                ..Sample::default()
            }
        },
    )
}

/// What joining may change, see `packet::coalesce`: the ids of packets that are not fragmented, and
/// with them the header checksum.
fn blank(mut frames: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    for frame in &mut frames {
        let Some(headers) = packet::wire::parse(frame) else { continue };
        if headers.ip.is_some_and(|ip| ip.version == packet::wire::IpVersion::V4) {
            frame[headers.l3 + 4..headers.l3 + 6].fill(0);
            frame[headers.l3 + 10..headers.l3 + 12].fill(0);
        }
    }
    frames.sort();
    frames
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_other_host_has_every_frame(samples in prop::collection::vec(any_sample(), 1..8)) {
        let sender = Sender::without_sockets();
        let frames: Vec<_> = samples.iter().map(frame).collect();
        let sent = send(&frames, &paths(&sender, &[PEER]));
        let received = receive(&sent);
        // Sorted, since flows overtake each other.
        prop_assert_eq!(blank(wire(&received)), blank(wire(&frames)));
    }

    #[test]
    fn any_messages_are_received_or_counted(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        crate::fuzzing::decap(&bytes);
    }

    #[test]
    fn any_datagrams_of_the_network_are_received_or_counted(
        datagrams in prop::collection::vec((0..8u8, 0..120u16, prop::collection::vec(any::<u8>(), 0..200)), 0..6),
    ) {
        let mut records = Vec::new();
        for (control, segment, inner) in datagrams {
            let message = [&vni().to_header()[..], &inner].concat();
            records.push(control);
            records.extend(segment.to_be_bytes());
            records.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
            records.extend(message);
        }
        crate::fuzzing::decap(&records);
    }
}
