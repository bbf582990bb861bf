//! Writes the first inputs of the fuzz targets to `nat/fuzz/corpus`.

use std::{error::Error, fs, path::Path};

use etherparse::{
    IpFragOffset, IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header, Ipv6Extensions, Ipv6FragmentHeader,
    Ipv6Header, PacketBuilder,
};
use nat::fuzzing::{
    PORT,
    control::{FULL, GSO, HOST, MORE, OTHER, PASS, TURN, VERIFIED},
    host,
};

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// The container's address, and what it sees for the host's loopback.
const SOURCE: [u8; 4] = [10, 0, 2, 2];
const SEEN: [u8; 4] = [198, 18, 0, 1];
const GATEWAY: [u8; 4] = [10, 0, 2, 1];
const SOURCE6: [u8; 16] = [0xfd, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
const SEEN6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

fn main() -> Result<(), Box<dyn Error>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for target in ["engine", "conn", "fragments"] {
        fs::create_dir_all(corpus.join(target))?;
    }
    connections(&corpus.join("engine"))?;
    datagrams(&corpus.join("engine"))?;
    fragments(&corpus.join("fragments"))?;
    conn(&corpus.join("conn"))
}

/// What is taken and answered.
const GOOD: u8 = VERIFIED | TURN;

fn act(what: &[u8]) -> Vec<u8> {
    record(HOST | TURN, 0, what)
}

fn connections(corpus: &Path) -> Result<(), Box<dyn Error>> {
    let write = |name: &str, records: &[Vec<u8>]| fs::write(corpus.join(name), records.concat());

    // A connection is opened, used and closed, over both versions.
    for v6 in [false, true] {
        let tcp = |seq, ack, bits, data: &[u8]| record(GOOD, 0, &tcp(v6, 5000, seq, ack, bits, data));
        let name = if v6 { "connection-v6" } else { "connection" };
        let opened = [tcp(1000, 0, SYN, b""), act(&[host::ACCEPT]), tcp(1001, 0, ACK, b"")];
        let used = [
            tcp(1001, 0, ACK, b"question"),
            act(&[host::READ]),
            act(&[&[host::WRITE][..], &[7; 3000]].concat()),
            tcp(1009, 0, ACK, b""),
        ];
        let closed = [act(&[host::SHUTDOWN]), tcp(1009, 0, FIN | ACK, b""), tcp(1010, 0, ACK, b"")];
        write(name, &[&opened[..], &used, &closed].concat())?;
        // Data ahead, twice, half of them again, with every control bit and none.
        let nonsense = [
            tcp(1101, 0, ACK, &[1; 100]),
            tcp(1051, 0, ACK, &[2; 100]),
            tcp(1101, 0, 0xff, &[1; 100]),
            tcp(1001, 0, 0, b"x"),
            tcp(1001, 0, SYN | FIN, b"x"),
            tcp(1001, 0, SYN | RST, b""),
            tcp(1001, 500_000, ACK, b""),
            tcp(1001, 0, FIN, b""),
            tcp(1201, 0, FIN | ACK, b""),
            tcp(1001, 0, ACK, &[3; 100]),
            tcp(9_000_000, 0, RST, b""),
            tcp(1001, 0, RST, b""),
        ];
        let name = if v6 { "nonsense-flags-v6" } else { "nonsense-flags" };
        write(name, &[&opened[..], &nonsense].concat())?;
    }
    let syn = |port| tcp(false, port, 1000, 0, SYN, b"");
    write("syn-flood", &(0..40).map(|i| record(VERIFIED | MORE, 0, &syn(5000 + i))).collect::<Vec<_>>())?;
    let ack = tcp(false, 5000, 1001, 0, ACK, b"");
    let queue = [
        record(GOOD, 0, &syn(5000)),
        act(&[host::ACCEPT]),
        record(GOOD, 0, &ack),
        record(HOST | TURN | FULL, 0, &[&[host::WRITE][..], &vec![7; 60_000]].concat()),
        record(HOST | TURN | FULL | PASS, 0, &[host::READ]),
        record(GOOD, 0, &ack),
        record(GOOD | PASS, 0, &ack),
        act(&[host::CLOSE]),
    ];
    write("full-queue", &queue)?;
    let published = [
        act(&[host::CONNECT]),
        record(GOOD, 0, &from_server(&tcp_segment(false, (80, 0), 700, 0, SYN | ACK, b""))),
        act(&[&[host::WRITE][..], b"question"].concat()),
        record(GOOD, 0, &from_server(&tcp_segment(false, (80, 0), 701, 0, ACK, b"answer"))),
        act(&[&[host::ASK][..], b"question"].concat()),
        record(GOOD, 0, &from_server(&udp_datagram(false, (53, 0), b"answer"))),
        act(&[host::CLOSE]),
    ];
    write("published", &published)?;
    let large = tcp(false, 5000, 1001, 0, ACK, &[5; 4000]);
    write(
        "super-frame",
        &[record(GOOD, 0, &syn(5000)), act(&[host::ACCEPT]), record(GSO | TURN, 1400, &large)],
    )?;

    Ok(())
}

fn datagrams(corpus: &Path) -> Result<(), Box<dyn Error>> {
    let write = |name: &str, records: &[Vec<u8>]| fs::write(corpus.join(name), records.concat());
    for v6 in [false, true] {
        let suffix = if v6 { "-v6" } else { "" };
        let question = udp(v6, 40_000, b"question");
        let talk = [
            record(GOOD, 0, &question),
            act(&[&[host::ANSWER][..], b"answer"].concat()),
            record(OTHER | GOOD, 0, &question),
            record(GSO | TURN, 100, &udp(v6, 40_000, &[7; 950])),
            record(PASS | TURN | HOST, 0, &[host::ANSWER, 1, 2, 3]),
            record(PASS | TURN | HOST, 0, &[host::ANSWER]),
        ];
        write(&format!("datagrams{suffix}"), &talk)?;
        let pings: Vec<_> = (0..3).map(|sequence| record(GOOD, 0, &ping(v6, 77, sequence))).collect();
        write(&format!("echo{suffix}"), &pings)?;
        // About a datagram and a segment of no flow, and about what is no packet at all.
        let about = [udp(v6, 40_000, b"question"), tcp(v6, 5000, 1, 1, ACK, b""), vec![0xff; 60]];
        let errors: Vec<_> = about
            .iter()
            .flat_map(|packet| {
                (0..16).map(|code| record(GOOD, 0, &error(v6, code, packet.get(14..).unwrap_or(&[]))))
            })
            .collect();
        write(&format!("errors-about-nothing{suffix}"), &errors)?;
        let mut about_a_client = vec![act(&[&[host::ASK][..], b"question"].concat())];
        about_a_client.extend(errors.iter().take(4).cloned());
        write(&format!("errors-about-a-client{suffix}"), &about_a_client)?;

        let part = |offset, more, len| record(GOOD, 0, &fragment(v6, 9, offset, more, len));
        let whole = [part(1480, true, 1480), part(2960, false, 40), part(0, true, 1480)];
        write(&format!("fragments{suffix}"), &whole)?;
        let overlap =
            [part(0, true, 1480), part(1472, true, 1480), part(1480, false, 100), part(0, false, 8)];
        write(&format!("overlapping-fragments{suffix}"), &overlap)?;
        let late = [
            part(0, true, 1480),
            record(PASS | TURN | HOST, 0, &[]),
            part(1480, false, 8),
            part(65_528, false, 100),
        ];
        write(&format!("late-fragments{suffix}"), &late)?;
    }
    let cut: Vec<_> = (0..60)
        .map(|len| record(GOOD, 0, tcp(false, 5000, 1, 1, SYN, b"").get(..len).unwrap_or(&[])))
        .collect();
    write("cut-short", &cut)?;

    Ok(())
}

fn fragments(corpus: &Path) -> Result<(), Box<dyn Error>> {
    const MORE_PARTS: u8 = 0x20;
    const TIME: u8 = 0x40;
    let write = |name: &str, records: &[Vec<u8>]| fs::write(corpus.join(name), records.concat());
    // Container and packet, hops, offset / 8, length.
    let part = |what: u8, offset: u16, len: u16| {
        [&[what, 7][..], &offset.to_be_bytes(), &len.to_be_bytes()].concat()
    };
    write("in-order", &[part(MORE_PARTS, 0, 800), part(MORE_PARTS, 100, 800), part(0, 200, 13)])?;
    write("backwards", &[part(0, 200, 13), part(MORE_PARTS, 100, 800), part(MORE_PARTS, 0, 800)])?;
    write("twice", &[part(MORE_PARTS, 0, 800), part(MORE_PARTS, 0, 800), part(0, 100, 8)])?;
    write("overlap", &[part(MORE_PARTS, 0, 800), part(MORE_PARTS, 50, 800), part(0, 100, 8)])?;
    write("two-ends", &[part(0, 100, 8), part(0, 200, 8), part(MORE_PARTS, 0, 800)])?;
    write("too-long", &[part(MORE_PARTS, 8191, 800), part(0, 8191, 7), part(0, 0x1fff, 65_535)])?;
    let many: Vec<_> = (0..32).map(|what| part(MORE_PARTS | what, 0, 8)).collect();
    write("many-packets", &many)?;
    let old = [
        part(MORE_PARTS, 0, 800),
        part(TIME | 4, 0, 8),
        [TIME | 8, 200, 0, 0, 0, 8].to_vec(),
        part(0, 100, 8),
    ];
    write("old", &old)?;
    let parts: Vec<_> = (0..20).map(|at| part(MORE_PARTS, at * 2, 8)).collect();
    write("many-parts", &parts)?;
    Ok(())
}

/// A segment for the target `conn`: control bits, window, numbers, length, no options.
fn segment(bits: u8, window: u16, seq: u8, ack: u8, len: u16) -> Vec<u8> {
    let (window, len) = (window.to_be_bytes(), len.to_be_bytes());
    [&[0, bits][..], &window, &[seq, ack], &len, &[0]].concat()
}

fn conn(corpus: &Path) -> Result<(), Box<dyn Error>> {
    const CONNECTED: &[u8] = &[6];
    const CONTROL: &[u8] = &[9, 0, 0];
    const SEND: &[u8] = &[7, 0x05, 0xb4];
    const TIMER: &[u8] = &[10];
    const FINISH: &[u8] = &[14];
    // The first number, who opens it, and the container's SYN: all options.
    let accepted = [&[0, 0, 0][..], &[SYN, 0xff, 0xff, 0, 0, 0, 0, 7, 5, 0xb4, 7]].concat();
    let opened = [0, 0, 1].to_vec();
    let ack = |seq, acked, len| segment(ACK, 0x1000, seq, acked, len);
    let write = |name: &str, parts: &[&[u8]]| fs::write(corpus.join(name), parts.concat());
    let begin = [&accepted[..], CONNECTED, CONTROL, &ack(0, 0, 0)].concat();
    write(
        "data-both-ways",
        &[&begin, &ack(0, 0, 100), CONTROL, SEND, &ack(0, 0, 0), SEND, SEND, &ack(0, 0, 50)],
    )?;
    write(
        "lost",
        &[&begin, SEND, SEND, TIMER, CONTROL, SEND, TIMER, SEND, TIMER, TIMER, SEND, &ack(0, 0, 0)],
    )?;
    // Ahead of a gap, over it, and into it.
    let gap =
        [ack(80, 0, 10), ack(40, 0, 10), ack(40, 0, 3), ack(0, 0, 7), ack(0, 0, 4), ack(0, 0, 20)].concat();
    write("gaps", &[&begin, &gap, CONTROL])?;
    let nonsense: Vec<u8> = (0..=255).flat_map(|bits| segment(bits, 9, 0, 0, u16::from(bits & 1))).collect();
    write("all-flags", &[&begin, &nonsense])?;
    write("all-flags-while-connecting", &[&accepted, &nonsense])?;
    write("all-flags-to-a-syn", &[&opened, CONTROL, &nonsense])?;
    write(
        "simultaneous-open",
        &[&opened, CONTROL, &segment(SYN, 9, 0, 0, 0), CONTROL, &segment(SYN | ACK, 9, 248, 0, 0)],
    )?;
    let fin = segment(FIN | ACK, 9, 0, 0, 5);
    write("closed-by-the-container", &[&begin, &fin, CONTROL, FINISH, SEND, &ack(0, 0, 0), &[15], TIMER])?;
    write(
        "closed-outside-first",
        &[&begin, FINISH, SEND, &fin, CONTROL, &ack(0, 0, 0), &[15], CONTROL, &fin, TIMER],
    )?;
    let shut = segment(ACK, 0, 0, 0, 0);
    write(
        "shut-window",
        &[&begin, SEND, &shut, TIMER, CONTROL, SEND, &shut, TIMER, CONTROL, &ack(0, 0, 0), SEND],
    )?;
    write(
        "blocked",
        &[&begin, &ack(0, 0, 100), &[13, 0, 40, 0, 90], &ack(0, 0, 40), &fin, &[13, 0, 3, 0, 0], CONTROL],
    )?;
    write(
        "silent",
        &[&begin, TIMER, CONTROL, TIMER, CONTROL, TIMER, TIMER, TIMER, TIMER, TIMER, TIMER, TIMER, TIMER],
    )?;
    Ok(())
}

fn record(control: u8, segment: u16, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(body.len()).unwrap_or(u16::MAX);
    [&[control][..], &segment.to_be_bytes(), &len.to_be_bytes(), body].concat()
}

fn ethernet(v6: bool) -> Vec<u8> {
    let ether = if v6 { [0x86, 0xdd] } else { [8, 0] };
    [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 1, 2][..], &ether].concat()
}

fn ip(v6: bool) -> IpHeaders {
    if v6 {
        let ip = Ipv6Header { hop_limit: 64, source: SOURCE6, destination: SEEN6, ..Ipv6Header::default() };
        IpHeaders::Ipv6(ip, Ipv6Extensions::default())
    } else {
        let ip = Ipv4Header { time_to_live: 64, source: SOURCE, destination: SEEN, ..Ipv4Header::default() };
        IpHeaders::Ipv4(ip, Ipv4Extensions::default())
    }
}

/// Whatever can be written to memory is.
fn tcp_segment(v6: bool, ports: (u16, u16), seq: u32, ack: u32, bits: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = ethernet(v6);
    let mut header = etherparse::TcpHeader::new(ports.0, ports.1, seq, 64_000);
    header.acknowledgment_number = ack;
    (header.fin, header.syn, header.rst) = (bits & FIN != 0, bits & SYN != 0, bits & RST != 0);
    (header.psh, header.ack, header.urg) = (bits & 8 != 0, bits & ACK != 0, bits & 32 != 0);
    let _ = PacketBuilder::ip(ip(v6)).tcp_header(header).write(&mut bytes, data);
    bytes
}

fn tcp(v6: bool, port: u16, seq: u32, ack: u32, bits: u8, data: &[u8]) -> Vec<u8> {
    tcp_segment(v6, (port, PORT), seq, ack, bits, data)
}

/// A frame to the gateway, as which clients on the host are seen.
fn from_server(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame.splice(30..34, GATEWAY);
    frame
}

fn udp_datagram(v6: bool, ports: (u16, u16), data: &[u8]) -> Vec<u8> {
    let mut bytes = ethernet(v6);
    let _ = PacketBuilder::ip(ip(v6)).udp(ports.0, ports.1).write(&mut bytes, data);
    bytes
}

fn udp(v6: bool, port: u16, data: &[u8]) -> Vec<u8> {
    udp_datagram(v6, (port, PORT), data)
}

fn ping(v6: bool, ident: u16, sequence: u16) -> Vec<u8> {
    let (mut bytes, builder) = (ethernet(v6), PacketBuilder::ip(ip(v6)));
    let _ = if v6 {
        builder.icmpv6_echo_request(ident, sequence).write(&mut bytes, b"ping")
    } else {
        builder.icmpv4_echo_request(ident, sequence).write(&mut bytes, b"ping")
    };
    bytes
}

/// Unreachable, in both versions, about `packet`.
fn error(v6: bool, code: u8, packet: &[u8]) -> Vec<u8> {
    let (mut bytes, builder) = (ethernet(v6), PacketBuilder::ip(ip(v6)));
    let _ = if v6 {
        builder.icmpv6_raw(1, code, [0; 4]).write(&mut bytes, packet)
    } else {
        builder.icmpv4_raw(3, code, [0, 0, 5, 0]).write(&mut bytes, packet)
    };
    bytes
}

/// A part of a datagram.
fn fragment(v6: bool, id: u16, offset: u16, more: bool, len: usize) -> Vec<u8> {
    let mut data: Vec<u8> = (0..len).map(|at| (at as u8) ^ (offset as u8)).collect();
    if offset == 0 {
        let datagram = [40_000_u16, PORT, 3000, 0].map(u16::to_be_bytes).concat();
        data.splice(..8, datagram);
    }
    let (mut bytes, units) = (ethernet(v6), IpFragOffset::try_new(offset / 8).unwrap_or_default());
    if v6 {
        let next = Ipv6FragmentHeader::new(IpNumber::UDP, units, more, id.into());
        let len = u16::try_from(data.len() + 8).unwrap_or(0);
        let ip = Ipv6Header {
            payload_length: len,
            next_header: IpNumber::IPV6_FRAGMENTATION_HEADER,
            hop_limit: 64,
            source: SOURCE6,
            destination: SEEN6,
            ..Ipv6Header::default()
        };
        bytes.extend(ip.to_bytes());
        bytes.extend(next.to_bytes());
    } else {
        let len = u16::try_from(data.len()).unwrap_or(0);
        let mut ip = Ipv4Header::new(len, 64, IpNumber::UDP, SOURCE, SEEN).unwrap_or_default();
        (ip.identification, ip.fragment_offset, ip.more_fragments, ip.dont_fragment) =
            (id, units, more, false);
        ip.header_checksum = ip.calc_header_checksum();
        bytes.extend(ip.to_bytes());
    }
    bytes.extend(data);
    bytes
}
