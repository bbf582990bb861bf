//! Frames made to order, for tests, benchmarks and the fuzz corpus.

use crate::{
    checksum::Sum,
    mac::MacAddr,
    offload::{Checksum, Gso, GsoKind, Offload},
    wire::{EthernetFrame, Ipv4Packet, Ipv6Packet, TcpPacket, UdpPacket, WireError, ethertype, ipproto, tcp},
};

/// What a frame shall look like. All frames of one `port` are one flow.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "switches that are free of each other")]
pub struct Sample {
    /// IPv6 rather than IPv4.
    pub ipv6: bool,
    /// TCP rather than UDP.
    pub tcp: bool,
    /// VLAN tags, 0 to 2.
    pub tags: usize,
    /// An IPv6 destination options header of 8 bytes.
    pub extension: bool,
    /// TCP time stamps, 12 bytes.
    pub timestamps: bool,
    /// TCP's control bits.
    pub flags: u8,
    /// TCP's sequence number.
    pub sequence: u32,
    /// IPv4's identification.
    pub id: u16,
    /// IPv4's don't-fragment bit.
    pub dont_fragment: bool,
    /// The source port.
    pub port: u16,
    /// Makes it a super-frame of segments with so many bytes.
    pub gso: Option<u16>,
    /// The payload.
    pub payload: Vec<u8>,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            ipv6: false,
            tcp: true,
            tags: 0,
            extension: false,
            timestamps: true,
            flags: tcp::flags::ACK,
            sequence: 1000,
            id: 1,
            dont_fragment: true,
            port: 40_000,
            gso: None,
            payload: Vec::new(),
        }
    }
}

/// `len` bytes that differ from their neighbours.
pub fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from((i * 31 + i / 256) % 256).unwrap_or(0)).collect()
}

impl Sample {
    /// The frame and its offload metadata: a partial checksum for a super-frame, else a complete one.
    ///
    /// # Errors
    /// None in truth: every header is given its room.
    pub fn build(&self) -> Result<(Vec<u8>, Offload), WireError> {
        let protocol = if self.tcp { ipproto::TCP } else { ipproto::UDP };
        let transport = self.transport()?;
        let mut frame = vec![0u8; 14];
        let mut eth = EthernetFrame::new_checked(&mut frame)?;
        eth.set_destination(MacAddr([2, 0x42, 0xac, 0x11, 0, 3]));
        eth.set_source(MacAddr([2, 0x42, 0xac, 0x11, 0, 2]));
        frame.truncate(12);
        for (tag, vid) in [(ethertype::QINQ, 7u16), (ethertype::VLAN, 5)].iter().skip(2 - self.tags.min(2)) {
            frame.extend(tag.to_be_bytes());
            frame.extend(vid.to_be_bytes());
        }
        let ether = if self.ipv6 { ethertype::IPV6 } else { ethertype::IPV4 };
        frame.extend(ether.to_be_bytes());
        let l3 = frame.len();
        let pseudo = if self.ipv6 {
            self.ipv6(&mut frame, &transport, protocol)?
        } else {
            self.ipv4(&mut frame, &transport, protocol)?
        };
        let l4 = frame.len() - transport.len();
        debug_assert!(l3 < l4);

        let offset = if self.tcp { 16 } else { 6 };
        let kind = match (self.tcp, self.ipv6) {
            (true, false) => GsoKind::Tcp4,
            (true, true) => GsoKind::Tcp6,
            (false, _) => GsoKind::UdpL4,
        };
        let header = l4 + if self.tcp { self.tcp_header_len() } else { 8 };
        let (field, offload) = match self.gso {
            None => {
                let sum = pseudo + Sum::of(&transport);
                let complete = if self.tcp { sum.checksum() } else { sum.udp_checksum() };
                (complete, Offload::NONE)
            }
            Some(size) => {
                let start = u16::try_from(l4).unwrap_or(0);
                let hdr_len = u16::try_from(header).unwrap_or(0);
                let ecn = self.tcp && self.flags & tcp::flags::CWR != 0;
                let gso = Some(Gso { kind, ecn, size, hdr_len });
                (pseudo.fold(), Offload { checksum: Checksum::Partial { start, offset }, gso })
            }
        };
        if let Some(to) = frame.get_mut(l4 + usize::from(offset)..).and_then(|b| b.first_chunk_mut()) {
            *to = field.to_be_bytes();
        }
        Ok((frame, offload))
    }

    fn tcp_header_len(&self) -> usize {
        if self.timestamps { 32 } else { 20 }
    }

    fn transport(&self) -> Result<Vec<u8>, WireError> {
        if !self.tcp {
            let mut bytes = vec![0u8; 8];
            bytes.extend(&self.payload);
            let mut udp = UdpPacket::new_written(&mut bytes)?;
            udp.set_source_port(self.port);
            udp.set_destination_port(443);
            return Ok(bytes);
        }
        let mut bytes = vec![0u8; self.tcp_header_len()];
        bytes.extend(&self.payload);
        let mut tcp = TcpPacket::new_written(&mut bytes)?;
        tcp.set_source_port(self.port);
        tcp.set_destination_port(5201);
        tcp.set_sequence(self.sequence);
        tcp.set_acknowledgment(77);
        tcp.set_flags(self.flags);
        tcp.set_window(501);
        if self.timestamps {
            tcp.set_header_len(32);
            tcp.options_mut().copy_from_slice(&[1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 8]);
        }
        Ok(bytes)
    }

    fn ipv4(&self, frame: &mut Vec<u8>, transport: &[u8], protocol: u8) -> Result<Sum, WireError> {
        let mut bytes = vec![0u8; 20];
        bytes.extend(transport);
        let mut ip = Ipv4Packet::new_written(&mut bytes)?;
        ip.set_id(self.id);
        ip.set_fragment_word(if self.dont_fragment { 0x4000 } else { 0 });
        ip.set_ttl(64);
        ip.set_protocol(protocol);
        ip.set_source([172, 17, 0, 2].into());
        ip.set_destination([172, 17, 0, 3].into());
        ip.fill_checksum();
        let pseudo = Sum::pseudo_ipv4(ip.source(), ip.destination(), protocol, transport.len());
        frame.extend(bytes);
        Ok(pseudo)
    }

    fn ipv6(&self, frame: &mut Vec<u8>, transport: &[u8], protocol: u8) -> Result<Sum, WireError> {
        let mut bytes = vec![0u8; 40];
        if self.extension {
            bytes.extend([protocol, 0, 1, 4, 0, 0, 0, 0]);
        }
        bytes.extend(transport);
        let mut ip = Ipv6Packet::new_written(&mut bytes)?;
        ip.set_next_header(if self.extension { ipproto::DESTINATION } else { protocol });
        ip.set_hop_limit(64);
        ip.set_flow_label(0x12345);
        ip.set_source(std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2));
        ip.set_destination(std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 3));
        let pseudo = Sum::pseudo_ipv6(ip.source(), ip.destination(), protocol, transport.len());
        frame.extend(bytes);
        Ok(pseudo)
    }
}
