//! Writes the first inputs of the fuzz targets to `packet/fuzz/corpus`.

use std::{error::Error, fs, path::Path};

use packet::{
    Frame, Offload,
    fuzzing::sample::{Sample, payload},
    pcapng::{
        Direction, Interface, Packet, Section, Statistics, write_interface, write_packet, write_section,
        write_statistics,
    },
    segment,
    wire::tcp::flags::{ACK, CWR, FIN, PSH, SYN},
};

fn main() -> Result<(), Box<dyn Error>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let write = |target: &str, name: &str, bytes: &[u8]| {
        fs::create_dir_all(corpus.join(target))?;
        fs::write(corpus.join(target).join(name), bytes)
    };
    for (name, sample) in super_frames() {
        let (frame, offload) = sample.build()?;
        write("views", name, &frame)?;
        write("vnet_segment", name, &[&offload.to_bytes()[..], &frame].concat())?;
        write("describe", name, &[&offload.to_bytes()[..], &frame].concat())?;
        write("coalesce", name, &records(&[sample])?)?;
    }
    for (name, bytes) in others() {
        write("views", name, &bytes)?;
        write("describe", name, &[&Offload::NONE.to_bytes()[..], &bytes].concat())?;
    }
    let (syn, _) = Sample { flags: SYN, ..Sample::default() }.build()?;
    for (name, filter) in FILTERS {
        write("filter", name, &[filter.as_bytes(), b"\n", &syn].concat())?;
    }
    for (name, capture) in captures(&syn) {
        write("pcapng", name, &[&[16], &capture[..]].concat())?;
    }
    let flow = |port| Sample { port, gso: Some(24), payload: payload(60), ..Sample::default() };
    write("coalesce", "two-flows", &records(&[flow(1), flow(2), flow(1)])?)?;
    let fin = Sample { flags: ACK | FIN, ..flow(1) };
    let syn = Sample { flags: SYN, gso: None, payload: Vec::new(), ..flow(1) };
    write("coalesce", "a-connection", &records(&[syn, flow(1), fin])?)?;
    Ok(())
}

/// One filter of each part of the syntax.
const FILTERS: [(&str, &str); 12] = [
    ("host", "src or dst host 10.0.0.1 or not 10.0.0.2 and ip6 host fe80::1"),
    ("net", "net 10 or net 10.0.0.0/8 or dst net 10.0.0.0 mask 255.0.0.0 or net 2001:db8::/32"),
    ("port", "tcp port (80 or http) or udp portrange 1000-2000 and src and dst port domain"),
    ("ether", "ether src 02:42:ac:11:00:02 or ether proto \\arp or ether proto 0x42 or ether multicast"),
    ("proto", "ip proto tcp or ip6 proto 58 or proto 17 or isis proto 18"),
    ("vlan", "vlan 5 and (ip or vlan and mpls 3 and tcp)"),
    ("lengths", "less 60 or greater 100 and len - 14 <= 0x40"),
    ("flags", "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0 and not icmp[icmptype] = icmp-echo"),
    ("computed", "tcp[((tcp[12:1] & 0xf0) >> 2):4] = 0x47455420 || -ip[8] % (ip[1] / 2) ^ 3 << ip[0] < 1"),
    ("nested", "not (!(not ((tcp and (udp or (arp))))))"),
    ("unfinished", "tcp port (80 or "),
    ("not-a-word", "host \u{e4}"),
];

/// Captures of one packet, whole and spoiled.
fn captures(frame: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut whole = Vec::new();
    write_section(&mut whole, &Section { hardware: Some("a"), os: Some("b"), application: Some("c") });
    write_interface(&mut whole, &Interface { filter: Some("tcp"), ..Interface::ethernet("port1") });
    let packet = Packet {
        interface: 0,
        timestamp: 1_700_000_000_000_000_000,
        data: frame,
        original_len: 1514,
        direction: Direction::Outbound,
        comment: Some("dropped: full"),
    };
    write_packet(&mut whole, &packet);
    write_statistics(
        &mut whole,
        &Statistics { received: Some(1), dropped: Some(2), ..Statistics::default() },
    );
    let spoiled = |at: usize, bytes: &[u8]| {
        let mut capture = whole.clone();
        capture.splice(at..at + bytes.len(), bytes.iter().copied());
        capture
    };
    let section = usize::from(whole[4]);
    let packet = section + usize::from(whole[section + 4]);
    vec![
        ("whole", whole.clone()),
        ("cut", whole[..packet + 30].to_vec()),
        ("long-block", spoiled(packet + 4, &[0xfc, 0xff, 0xff, 0x00])),
        ("long-packet", spoiled(packet + 20, &[0xff; 4])),
        ("other-interface", spoiled(packet + 8, &[1])),
        ("other-byte-order", spoiled(8, &[0x1a, 0x2b, 0x3c, 0x4d])),
    ]
}

/// Super-frames of every kind, of three segments each.
fn super_frames() -> Vec<(&'static str, Sample)> {
    let whole = Sample { gso: Some(24), payload: payload(60), ..Sample::default() };
    let udp = Sample { tcp: false, ..whole.clone() };
    vec![
        ("tcp4", whole.clone()),
        ("tcp4-bare", Sample { timestamps: false, dont_fragment: false, ..whole.clone() }),
        ("tcp4-psh-cwr", Sample { flags: ACK | PSH | CWR, ..whole.clone() }),
        ("tcp4-vlan", Sample { tags: 1, ..whole.clone() }),
        ("tcp4-one-segment", Sample { gso: Some(9000), ..whole.clone() }),
        ("tcp6", Sample { ipv6: true, ..whole.clone() }),
        ("tcp6-extension", Sample { ipv6: true, extension: true, ..whole.clone() }),
        ("tcp6-qinq", Sample { ipv6: true, tags: 2, ..whole }),
        ("udp4", udp.clone()),
        ("udp6-vlan", Sample { ipv6: true, tags: 1, ..udp.clone() }),
        ("udp6-extension", Sample { ipv6: true, extension: true, ..udp }),
    ]
}

/// What is neither TCP nor UDP, and where a header seldom leads.
fn others() -> Vec<(&'static str, Vec<u8>)> {
    let ethernet = |ethertype: [u8; 2], rest: &[u8]| [&[2; 12], &ethertype[..], rest].concat();
    let arp =
        [0, 1, 8, 0, 6, 4, 0, 1, 2, 0x42, 172, 17, 0, 2, 172, 17, 0, 2, 0, 0, 0, 0, 0, 0, 172, 17, 0, 1];
    let ping = [
        0x46, 0, 0, 36, 0, 1, 0x20, 0, 64, 1, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 7, 3, 4, 0, 8, 0, 0, 0, 0, 1,
        0, 1, 1, 2, 3, 4,
    ];
    let mut solicitation = vec![0x60, 0, 0, 0, 0, 32, 58, 255];
    solicitation.extend([0xfe; 32]);
    solicitation.extend([135, 0, 0, 0, 0, 0, 0, 0]);
    solicitation.extend([0xfd; 16]);
    solicitation.extend([1, 1, 2, 0x42, 0, 0, 0, 9]);
    let mut fragment = vec![0x60, 0, 0, 0, 0, 24, 44, 64];
    fragment.extend([0xfd; 32]);
    fragment.extend([60, 0, 0, 8, 0, 0, 0, 1]);
    fragment.extend([0xff; 16]);
    let mut chain = vec![0x60, 0, 0, 0, 0, 80, 60, 64];
    chain.extend([0xfd; 32]);
    chain.extend([60, 0, 1, 4, 0, 0, 0, 0].repeat(10));
    vec![
        ("arp", ethernet([8, 6], &arp)),
        ("icmp-fragment-with-options", ethernet([8, 0], &ping)),
        ("neighbour-solicitation", ethernet([0x86, 0xdd], &solicitation)),
        ("later-fragment", ethernet([0x86, 0xdd], &fragment)),
        ("ten-extensions", ethernet([0x86, 0xdd], &chain)),
        ("three-tags", ethernet([0x81, 0], &[0, 1, 0x81, 0, 0, 2, 0x81, 0, 0, 3, 8, 0])),
        ("802.3", ethernet([0, 3], &[0x42, 0x42, 3])),
    ]
}

/// The segments of `samples` as the coalescer's records.
fn records(samples: &[Sample]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut records = Vec::new();
    let mut frame = Frame::new();
    let mut out = Frame::new();
    for sample in samples {
        let (bytes, offload) = sample.build()?;
        frame.copy_from(&bytes, offload)?;
        segment(&frame, &mut out, |s| {
            let len = u16::try_from(s.len()).unwrap_or(u16::MAX);
            records.push(0);
            records.extend(len.to_be_bytes());
            records.extend(s.bytes());
        })?;
    }
    Ok(records)
}
