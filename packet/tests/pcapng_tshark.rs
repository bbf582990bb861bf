//! What is written is what tshark and tcpdump read, and what tshark writes is read.

#![allow(clippy::unwrap_used, reason = "a test that fails to unwrap has failed")]

use std::io::Write as _;
use std::process::{Command, Stdio};

use packet::pcapng::{
    Block, Direction, Interface, Packet, Reader, Section, Statistics, write_interface, write_packet,
    write_section, write_statistics,
};

const TIME: u64 = 1_700_000_000_123_456_789;

/// A UDP datagram from 172.17.0.2 to 172.17.0.3 with `payload` bytes, up to the longest.
fn frame(payload: usize) -> Vec<u8> {
    let builder =
        etherparse::PacketBuilder::ethernet2([2, 0x42, 0xac, 0x11, 0, 2], [2, 0x42, 0xac, 0x11, 0, 3])
            .ipv4([172, 17, 0, 2], [172, 17, 0, 3], 64)
            .udp(5000, 6000);
    let mut frame = Vec::new();
    builder.write(&mut frame, &vec![b'x'; payload]).unwrap();
    frame
}

/// Two ports, both directions, a drop with its reason, a cut packet, a super-frame, statistics.
fn capture() -> Vec<u8> {
    let mut out = Vec::new();
    write_section(
        &mut out,
        &Section { hardware: Some("x86_64"), os: Some("Linux 6.1"), application: Some("vswitch 0.1.0") },
    );
    let web = Interface { description: Some("container web"), ..Interface::ethernet("port1") };
    write_interface(&mut out, &web);
    write_interface(&mut out, &Interface { filter: Some("udp"), ..Interface::ethernet("port2") });
    let whole = frame(10);
    let packet = Packet {
        interface: 0,
        timestamp: TIME,
        data: &whole,
        original_len: whole.len() as u32,
        direction: Direction::Inbound,
        comment: None,
    };
    write_packet(&mut out, &packet);
    let out_of_two = Packet { interface: 1, timestamp: TIME + 1, direction: Direction::Outbound, ..packet };
    write_packet(&mut out, &out_of_two);
    write_packet(
        &mut out,
        &Packet { comment: Some("dropped: storm control"), timestamp: TIME + 2, ..packet },
    );
    write_packet(&mut out, &Packet { data: &whole[..40], original_len: 1514, ..out_of_two });
    let long = frame(65_507);
    let long =
        Packet { data: &long, original_len: long.len() as u32, direction: Direction::Unknown, ..packet };
    write_packet(&mut out, &long);
    for interface in [0, 1] {
        let statistics = Statistics {
            interface,
            timestamp: TIME + 9,
            received: Some(1000),
            dropped: Some(interface.into()),
        };
        write_statistics(&mut out, &statistics);
    }
    out
}

/// What the program prints of the capture. Through a pipe: a program started as root, or confined,
/// may not open every file.
fn run(program: &str, arguments: &[&str]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("these tests need {program}, install the package of that name: {error}")
        });
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&capture()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn tshark_reads_ports_directions_and_comments() {
    let fields = [
        "frame.interface_name",
        "frame.interface_description",
        "frame.packet_flags_direction",
        "frame.time_epoch",
        "frame.cap_len",
        "frame.len",
        "frame.comment",
        "udp.dstport",
    ];
    let mut arguments = vec!["-r", "-", "-T", "fields", "-E", "separator=|"];
    arguments.extend(fields.iter().flat_map(|field| ["-e", field]));
    let text = String::from_utf8(run("tshark", &arguments)).unwrap();
    let rows: Vec<_> = text.lines().collect();
    let direction = |row: &str| {
        let field = row.split('|').nth(2).unwrap().to_owned();
        u32::from_str_radix(field.trim_start_matches("0x"), 16).unwrap_or(0)
    };
    assert_eq!(rows.iter().map(|row| direction(row)).collect::<Vec<_>>(), [1, 2, 1, 2, 0]);
    let rest = |row: &str| {
        let mut fields: Vec<_> = row.split('|').collect();
        fields.remove(2);
        fields.join("|")
    };
    assert_eq!(
        rows.iter().map(|row| rest(row)).collect::<Vec<_>>(),
        [
            "port1|container web|1700000000.123456789|52|52||6000",
            "port2||1700000000.123456790|52|52||6000",
            "port1|container web|1700000000.123456791|52|52|dropped: storm control|6000",
            "port2||1700000000.123456790|40|1514||6000",
            "port1|container web|1700000000.123456789|65549|65549||6000",
        ]
    );
}

#[test]
fn capinfos_and_tcpdump_find_nothing_to_complain_of() {
    let text = String::from_utf8(run("capinfos", &["-"])).unwrap();
    for line in [
        "vswitch 0.1.0",
        "Linux 6.1",
        "x86_64",
        "Number of packets:   5",
        "Number of interfaces in file: 2",
        "Number of stat entries = 1",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    let text = String::from_utf8(run("tcpdump", &["-n", "-t", "-r", "-"])).unwrap();
    assert_eq!(text.matches("IP 172.17.0.2.5000 > 172.17.0.3.6000:").count(), 5, "{text}");
}

/// One line a block, for comparison.
fn blocks(bytes: &[u8]) -> Vec<String> {
    let mut reader = Reader::new();
    let mut found = Vec::new();
    for piece in bytes.chunks(1000) {
        reader.feed(piece);
        while let Some(block) = reader.next_block().unwrap() {
            match block {
                Block::Packet(packet) => {
                    let kept = packet.data.len().min(60);
                    let data = &packet.data[..kept];
                    found.push(format!("{:?} of {}", Packet { data, ..packet }, packet.data.len()));
                }
                Block::Interface(interface) => {
                    found.push(format!("{:?} {:?}", interface.name, interface.description));
                }
                // tshark keeps no counters when it copies a stream.
                Block::Statistics(_) | Block::Section(_) | Block::Other { .. } => {}
            }
        }
    }
    assert_eq!(reader.pending(), 0);
    found
}

#[test]
fn what_tshark_writes_is_read() {
    let again = blocks(&run("tshark", &["-r", "-", "-F", "pcapng", "-w", "-"]));
    let ours = blocks(&capture());
    assert_eq!((ours.len(), again), (2 + 5, ours));
}
