//! IPv4 packets byte by byte, as no honest sender makes them.

use std::net::Ipv4Addr;

use tests::Lab;

const UDP: u8 = 17;
const TCP: u8 = 6;
const ICMP: u8 = 1;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const PSH: u8 = 8;
const ACK: u8 = 16;
const URG: u8 = 32;

const MORE_FRAGMENTS: u16 = 0x2000;

/// Where packets are sent to.
pub(crate) type To = (Ipv4Addr, u16);

/// Sends packets out of a container's interface.
pub(crate) struct Forger<'a> {
    lab: &'a Lab,
    container: &'a str,
    own: Ipv4Addr,
    ethernet: Vec<u8>,
}

impl<'a> Forger<'a> {
    /// Out of `eth0` of a container on the default network.
    #[track_caller]
    pub(crate) fn new(lab: &'a Lab, container: &'a str) -> Self {
        let seen = lab.daemon.container(container);
        lab.daemon.ping(container, "172.17.0.1");
        let neighbour = lab.daemon.exec(container, &["ip", "neigh", "show", "172.17.0.1"]).ok();
        let words: Vec<&str> = neighbour.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "lladdr").unwrap();
        let mac = |text: &str| -> Vec<u8> {
            text.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
        };
        let ethernet = [mac(words[at + 1]), mac(&seen.mac), vec![8, 0]].concat();
        Self { lab, container, own: seen.ip.parse().unwrap(), ethernet }
    }

    /// Sends packets to the gateway.
    #[track_caller]
    pub(crate) fn send(&self, packets: &[Vec<u8>]) {
        let hex = |packet: &Vec<u8>| {
            let frame = self.ethernet.iter().chain(packet);
            frame.fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
        };
        let frames: Vec<String> = packets.iter().map(hex).collect();
        let words: Vec<&str> = ["hex", "eth0"].into_iter().chain(frames.iter().map(String::as_str)).collect();
        self.lab.daemon.exec_own(self.container, "frames", &words).ok();
    }

    /// A SYN that is as it should be.
    pub(crate) fn syn(&self, to: To) -> Vec<u8> {
        self.tcp(to, SYN)
    }

    fn tcp(&self, to: To, flags: u8) -> Vec<u8> {
        Ip::new(self.own, to.0, TCP).carrying(&tcp(self.own, to, flags))
    }

    fn udp(&self, to: To) -> Vec<u8> {
        Ip::new(self.own, to.0, UDP).carrying(&udp(self.own, to, b"forged!!"))
    }
}

/// What makes no sense, under the names by which it is counted.
pub(crate) fn nonsense(by: &Forger<'_>, to: To) -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let (own, ip) = (by.own, |protocol| Ip::new(by.own, to.0, protocol));
    let other = Ipv4Addr::from(u32::from(own) + 77);
    let wrong = |mut packet: Vec<u8>, at: usize| {
        packet[at] ^= 0x55;
        packet
    };
    let datagram = udp(own, to, &[b'f'; 40]);
    let overlap = [
        ip(UDP).fragment(0, true).carrying(&datagram[..24]),
        ip(UDP).fragment(16, true).carrying(&datagram[16..40]),
        ip(UDP).fragment(40, false).carrying(&datagram[40..]),
    ];
    let unknown = Ip::new(to.0, own, UDP).carrying(&udp(to.0, (own, 999), b"nobody asked"));
    let about_nothing = with_checksum(&[&[3, 3, 0, 0, 0, 0, 0, 0], &unknown[..]].concat(), 2, 0);
    vec![
        ("spoofed_source", vec![Ip::new(other, to.0, UDP).carrying(&udp(other, to, b"forged"))]),
        ("bad_checksum", vec![wrong(by.syn(to), 36), wrong(by.udp(to), 26), wrong(by.syn(to), 10)]),
        (
            "bad_flags",
            [0, SYN | FIN, SYN | RST, FIN | PSH | URG, 0x3f].map(|flags| by.tcp(to, flags)).to_vec(),
        ),
        ("no_flow", vec![by.tcp(to, ACK), by.tcp(to, RST | ACK)]),
        ("fragment_overlap", overlap.to_vec()),
        ("fragment", vec![ip(UDP).fragment(0xfff8, false).carrying(&[0; 64])]),
        ("source_routed", vec![ip(UDP).source_route(other).carrying(&udp(own, to, b"forged"))]),
        ("icmp_error", vec![ip(ICMP).carrying(&about_nothing)]),
        ("forbidden_destination", vec![by.tcp((other, to.1), SYN)]),
        ("protocol", vec![ip(132).carrying(&[0; 32])]),
        ("hops_exhausted", vec![ip(UDP).hops(1).carrying(&udp(own, to, b"forged"))]),
        ("malformed", vec![by.udp((to.0, 0))]),
    ]
}

/// An IPv4 header (RFC 791).
struct Ip {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    fragment: u16,
    hops: u8,
    options: Vec<u8>,
}

impl Ip {
    fn new(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8) -> Self {
        Self { source, destination, protocol, fragment: 0, hops: 64, options: Vec::new() }
    }

    /// The part that begins at `offset`, in bytes.
    fn fragment(mut self, offset: u16, more: bool) -> Self {
        self.fragment = (offset / 8) | if more { MORE_FRAGMENTS } else { 0 };
        self
    }

    fn hops(mut self, hops: u8) -> Self {
        self.hops = hops;
        self
    }

    /// A loose source route by way of `via`.
    fn source_route(mut self, via: Ipv4Addr) -> Self {
        self.options = [&[0x83, 7, 4], &via.octets()[..], &[0]].concat();
        self
    }

    fn carrying(&self, payload: &[u8]) -> Vec<u8> {
        let header = 20 + self.options.len();
        let mut bytes = vec![0x40 | (header / 4) as u8, 0];
        bytes.extend(((header + payload.len()) as u16).to_be_bytes());
        bytes.extend([0x12, 0x34]);
        bytes.extend(self.fragment.to_be_bytes());
        bytes.extend([self.hops, self.protocol, 0, 0]);
        bytes.extend(self.source.octets());
        bytes.extend(self.destination.octets());
        bytes.extend(&self.options);
        [with_checksum(&bytes, 10, 0), payload.to_vec()].concat()
    }
}

/// The Internet checksum (RFC 1071) put where it belongs, over the bytes and a pseudo-header's sum.
fn with_checksum(bytes: &[u8], at: usize, pseudo: u32) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum = pseudo + words.sum::<u32>();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    bytes[at..at + 2].copy_from_slice(&(!sum as u16).to_be_bytes());
    bytes
}

fn pseudo(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, len: usize) -> u32 {
    let halves = |ip: Ipv4Addr| (u32::from(ip) >> 16) + (u32::from(ip) & 0xffff);
    halves(source) + halves(destination) + u32::from(protocol) + len as u32
}

fn tcp(source: Ipv4Addr, to: To, flags: u8) -> Vec<u8> {
    let port = to.1.to_be_bytes();
    let bytes = [&[0xa0, 0], &port[..], &[0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0xff, 0, 0, 0, 0, 0]].concat();
    with_checksum(&bytes, 16, pseudo(source, to.0, TCP, bytes.len()))
}

fn udp(source: Ipv4Addr, to: To, data: &[u8]) -> Vec<u8> {
    let len = 8 + data.len();
    let bytes = [&[0xa0, 1], &to.1.to_be_bytes()[..], &(len as u16).to_be_bytes(), &[0, 0], data].concat();
    with_checksum(&bytes, 6, pseudo(source, to.0, UDP, len))
}
