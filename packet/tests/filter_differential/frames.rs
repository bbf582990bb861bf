//! A varied corpus of frames, the same at every run.

/// One captured frame: the bytes that were kept, and how many there were.
pub(crate) struct Captured {
    pub(crate) data: Vec<u8>,
    pub(crate) wire_len: usize,
}

/// xorshift64*: repeatable, and enough to choose from small sets.
pub(crate) struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).unwrap()
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

pub(crate) const MACS: [[u8; 6]; 5] = [
    [0x02, 0x42, 0xac, 0x11, 0, 2],
    [0x02, 0x42, 0xac, 0x11, 0, 3],
    [0xff; 6],
    [0x01, 0, 0x5e, 0, 0, 1],
    [0x33, 0x33, 0, 0, 0, 1],
];
pub(crate) const IPV4: [[u8; 4]; 7] = [
    [172, 17, 0, 2],
    [172, 17, 0, 3],
    [172, 17, 255, 255],
    [10, 0, 0, 1],
    [10, 1, 2, 3],
    [224, 0, 0, 251],
    [0, 0, 0, 10],
];
pub(crate) const IPV6: [&str; 6] = ["fe80::1", "fe80::2", "2001:db8::5", "2001:db8:1::5", "ff02::1", "::1"];
pub(crate) const PORTS: [u16; 9] = [22, 53, 80, 443, 5201, 8000, 8080, 40000, 65535];

/// Frames of every kind the filter looks into, whole and cut.
pub(crate) fn corpus() -> Vec<Captured> {
    let mut random = Random(0x5eed_0bad_cafe_f00d);
    let mut frames = Vec::new();
    for _ in 0..450 {
        let data = frame(&mut random);
        frames.push(Captured { wire_len: data.len(), data });
    }
    for i in 0..350 {
        let mut data = frame(&mut random);
        let wire_len = data.len();
        // Every length up to where the deepest header ends, so that each load is once too far.
        data.truncate(if i < 100 { i } else { 14 + random.below(80) });
        let wire_len = if random.one_in(3) { data.len() } else { wire_len };
        frames.push(Captured { data, wire_len });
    }
    for _ in 0..100 {
        let n = random.below(120);
        let mut data = random.bytes(n);
        if let (Some(kind), false) = (data.get_mut(12..14), random.one_in(3)) {
            kind.copy_from_slice(&random.pick(&[
                [8, 0],
                [0x86, 0xdd],
                [8, 6],
                [0x81, 0],
                [0, 38],
                [0x88, 0x47],
            ]));
        }
        frames.push(Captured { wire_len: data.len(), data });
    }
    // A super-frame of nearly 65,535 bytes of IP, behind two tags.
    let payload = vec![7; 65_535 - 80];
    let segment = tcp(&mut random, &payload);
    let ip = ipv4(&mut random, 6, &segment);
    let data = ethernet(&mut random, &[0x88a8, 0x8100], 0x0800, &ip);
    frames.push(Captured { wire_len: data.len(), data });
    frames
}

fn frame(random: &mut Random) -> Vec<u8> {
    let tags: Vec<u16> = match random.below(10) {
        0..6 => vec![],
        6 | 7 => vec![0x8100],
        8 => vec![0x88a8, 0x8100],
        _ => vec![0x9100, 0x8100, 0x8100],
    };
    let (kind, payload) = match random.below(20) {
        0..9 => (0x0800, over_ipv4(random)),
        9..14 => (0x86dd, over_ipv6(random)),
        14 => (0x0806, arp(random)),
        15 => (0x8035, arp(random)),
        16 => (0x8847, mpls(random)),
        17 => llc(random),
        18 => (
            random.pick(&[0x8863, 0x809b, 0x80f3, 0x6003, 0x6004, 0x8137, 0x88cc, 1500, 1501]),
            random.bytes(60),
        ),
        _ => {
            let kind = u16::try_from(random.below(0x1_0000)).unwrap();
            (kind, random.bytes(50))
        }
    };
    ethernet(random, &tags, kind, &payload)
}

fn ethernet(random: &mut Random, tags: &[u16], kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = random.pick(&MACS).to_vec();
    frame.extend(random.pick(&MACS));
    for tag in tags {
        frame.extend(tag.to_be_bytes());
        let priority = random.pick(&[0u16, 0x2000, 0xf000]);
        frame.extend((priority | random.pick(&[1u16, 5, 100, 0xfff])).to_be_bytes());
    }
    frame.extend(kind.to_be_bytes());
    frame.extend(payload);
    frame
}

fn over_ipv4(random: &mut Random) -> Vec<u8> {
    let length = random.below(40);
    let payload = random.bytes(length);
    match random.below(8) {
        0..3 => {
            let tcp = tcp(random, &payload);
            ipv4(random, 6, &tcp)
        }
        3 | 4 => {
            let udp = udp(random, &payload);
            ipv4(random, 17, &udp)
        }
        5 => {
            let mut icmp = vec![random.pick(&[0u8, 3, 8, 11]), random.pick(&[0u8, 1, 3])];
            icmp.extend(random.bytes(10));
            ipv4(random, 1, &icmp)
        }
        6 => {
            let mut sctp = ports(random);
            sctp.extend(random.bytes(12));
            ipv4(random, 132, &sctp)
        }
        _ => {
            let number = random.pick(&[2u8, 9, 44, 47, 50, 51, 58, 89, 103, 112]);
            ipv4(random, number, &payload)
        }
    }
}

fn ipv4(random: &mut Random, number: u8, payload: &[u8]) -> Vec<u8> {
    let words = if random.one_in(4) { 5 + u8::try_from(random.below(11)).unwrap() } else { 5 };
    // A header length below 20 and versions other than 4 are for the filter to take as they are.
    let first = if random.one_in(20) { random.next().to_le_bytes()[0] } else { 0x40 | words };
    let fragment = random.pick(&[0u16, 0, 0x4000, 0x4000, 0x2000, 0x2001, 0x00b9, 0x1fff]);
    let length = u16::try_from((usize::from(words) * 4 + payload.len()).min(65_535)).unwrap();
    let mut packet = vec![first, random.pick(&[0, 0x10, 0xb8])];
    packet.extend(length.to_be_bytes());
    packet.extend(random.bytes(2));
    packet.extend(fragment.to_be_bytes());
    packet.extend([random.pick(&[1, 64, 255]), number, 0, 0]);
    packet.extend(random.pick(&IPV4));
    packet.extend(random.pick(&IPV4));
    packet.extend(random.bytes(usize::from(words) * 4 - 20));
    packet.extend(payload);
    packet
}

fn over_ipv6(random: &mut Random) -> Vec<u8> {
    let length = random.below(40);
    let payload = random.bytes(length);
    let (number, payload) = match random.below(8) {
        0..3 => (6, tcp(random, &payload)),
        3 | 4 => (17, udp(random, &payload)),
        5 => {
            let mut icmp = vec![random.pick(&[1u8, 128, 129, 133, 135, 136]), 0];
            icmp.extend(random.bytes(22));
            (58, icmp)
        }
        6 => {
            let mut fragment = vec![random.pick(&[6u8, 17, 58]), 0, 0, random.pick(&[0, 1, 8]), 1, 2, 3, 4];
            fragment.extend(udp(random, &payload));
            (44, fragment)
        }
        _ => (random.pick(&[0u8, 43, 50, 51, 60, 103, 132]), payload),
    };
    let address = |random: &mut Random| random.pick(&IPV6).parse::<std::net::Ipv6Addr>().unwrap().octets();
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
    packet.extend([number, 64]);
    packet.extend(address(random));
    packet.extend(address(random));
    packet.extend(payload);
    packet
}

fn ports(random: &mut Random) -> Vec<u8> {
    let mut header = random.pick(&PORTS).to_be_bytes().to_vec();
    header.extend(random.pick(&PORTS).to_be_bytes());
    header
}

fn tcp(random: &mut Random, payload: &[u8]) -> Vec<u8> {
    let mut segment = ports(random);
    segment.extend(random.bytes(8));
    segment.extend([0x50, random.pick(&[0x02, 0x12, 0x10, 0x18, 0x11, 0x04, 0xc2, 0x29])]);
    segment.extend(random.bytes(6));
    segment.extend(payload);
    segment
}

fn udp(random: &mut Random, payload: &[u8]) -> Vec<u8> {
    let mut datagram = ports(random);
    datagram.extend(u16::try_from(8 + payload.len()).unwrap().to_be_bytes());
    datagram.extend(random.bytes(2));
    datagram.extend(payload);
    datagram
}

fn arp(random: &mut Random) -> Vec<u8> {
    let mut packet = vec![0, 1, 8, 0, 6, 4, 0, random.pick(&[1, 2])];
    packet.extend(random.pick(&MACS));
    packet.extend(random.pick(&IPV4));
    packet.extend([0; 6]);
    packet.extend(random.pick(&IPV4));
    packet
}

fn mpls(random: &mut Random) -> Vec<u8> {
    let mut packet = Vec::new();
    let depth = 1 + random.below(3);
    for i in 0..depth {
        let bottom = u32::from(i + 1 == depth);
        packet.extend((random.pick(&[3u32, 1024, 100_000]) << 12 | bottom << 8 | 64).to_be_bytes());
    }
    packet.extend(if random.one_in(3) { over_ipv6(random) } else { over_ipv4(random) });
    packet
}

/// 802.3 with 802.2: spanning tree, IS-IS, IPX, NetBEUI, SNAP.
fn llc(random: &mut Random) -> (u16, Vec<u8>) {
    let mut payload = random
        .pick(&[
            &[0x42, 0x42, 3, 0, 0][..],
            &[0xfe, 0xfe, 3, 0x83, 1, 2, 3, 18],
            &[0xfe, 0xfe, 3, 0x81, 1, 2, 3, 20],
            &[0xfe, 0xfe, 3, 0x82],
            &[0xe0, 0xe0, 3],
            &[0xff, 0xff, 0, 1],
            &[0xf0, 0xf0, 3],
            &[6, 6, 3],
            &[0xaa, 0xaa, 3, 0, 0, 0, 0x81, 0x37],
            &[0xaa, 0xaa, 3, 8, 0, 7, 0x80, 0x9b],
            &[0xaa, 0xaa, 3, 0, 0, 0, 0x80, 0xf3],
            &[0xaa, 0xaa, 3, 0, 0, 0, 8, 0],
        ])
        .to_vec();
    payload.extend(random.bytes(35));
    (u16::try_from(payload.len()).unwrap(), payload)
}
