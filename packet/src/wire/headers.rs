//! Where the layers of a frame lie, found in one pass from its first byte.

use super::{ethernet, ethertype, ipproto, ipv4, ipv6, tcp, u8_at, u16_at, udp, vlan};

/// Which IP a packet is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum IpVersion {
    /// IPv4, RFC 791.
    V4,
    /// IPv6, RFC 8200.
    V6,
}

/// The offsets of a frame's layers, all in bytes from the frame's first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Headers {
    /// The type behind all VLAN tags; below 0x0600 the length of an 802.3 frame.
    pub ethertype: u16,
    /// Tag control information of the outer VLAN tag.
    pub vlan: Option<u16>,
    /// Where layer 3 begins: bytes of the Ethernet header with its VLAN tags.
    pub l3: usize,
    /// The IP packet, if it is one and its headers are whole.
    pub ip: Option<IpHeaders>,
}

/// The offsets within an IP packet, all in bytes from the frame's first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IpHeaders {
    /// Which IP.
    pub version: IpVersion,
    /// The transport's protocol, behind all extension headers. Of an IPv6 fragment other than
    /// the first: what its fragment header says.
    pub protocol: u8,
    /// Where layer 4 begins; of a fragment other than the first, where its data do.
    pub l4: usize,
    /// Where the payload of TCP, UDP or ICMP begins. `None` for other protocols, in fragments
    /// other than the first, and where the transport header is cut short or contradicts itself.
    pub payload: Option<usize>,
    /// Where the packet ends by its length field; what follows is padding.
    pub end: usize,
    /// A fragment, the first one included.
    pub fragment: bool,
    /// An IPv6 routing header has addresses left: the transport checksum covers another
    /// destination than the fixed header's.
    pub routed: bool,
}

/// See [`Headers::parse`].
#[inline]
pub fn parse(frame: &[u8]) -> Option<Headers> {
    Headers::parse(frame)
}

impl Headers {
    /// Finds the layers of `frame`. `None` if its Ethernet header or a VLAN tag is cut short; at
    /// most [`vlan::MAX_TAGS`] tags are walked over. Allocates nothing.
    #[inline]
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let mut l3 = ethernet::HEADER_LEN;
        if frame.len() < l3 {
            return None;
        }
        let mut ethertype = u16_at(frame, l3 - 2);
        let mut vlan = None;
        for _ in 0..vlan::MAX_TAGS {
            if !ethertype::is_vlan(ethertype) {
                break;
            }
            if frame.len() < l3 + vlan::TAG_LEN {
                return None;
            }
            vlan = vlan.or(Some(u16_at(frame, l3)));
            ethertype = u16_at(frame, l3 + 2);
            l3 += vlan::TAG_LEN;
        }
        let ip = match ethertype {
            ethertype::IPV4 => IpHeaders::parse_v4(frame, l3),
            ethertype::IPV6 => IpHeaders::parse_v6(frame, l3),
            _ => None,
        };
        Some(Self { ethertype, vlan, l3, ip })
    }
}

impl IpHeaders {
    /// Finds the layers of an IPv4 packet that begins at `l3`. `None` if it is none, or not whole.
    #[inline]
    pub fn parse_v4(frame: &[u8], l3: usize) -> Option<Self> {
        let packet = ipv4::Packet::new_checked(frame.get(l3..)?).ok()?;
        let mut ip = Self {
            version: IpVersion::V4,
            protocol: packet.protocol(),
            l4: l3 + packet.header_len(),
            payload: None,
            end: l3 + packet.total_len(),
            fragment: packet.is_fragment(),
            routed: false,
        };
        if packet.fragment_offset() == 0 {
            ip.payload = ip.find_payload(frame);
        }
        Some(ip)
    }

    /// Finds the layers of an IPv6 packet that begins at `l3`. `None` if it is none, not whole, or
    /// its extension headers cannot be walked.
    #[inline]
    pub fn parse_v6(frame: &[u8], l3: usize) -> Option<Self> {
        let packet = ipv6::Packet::new_checked(frame.get(l3..)?).ok()?;
        let (mut fragment, mut first, mut routed) = (false, true, false);
        let mut extensions = packet.extensions();
        for extension in &mut extensions {
            routed |= extension.is_active_routing();
            if let Some(word) = extension.fragment_word() {
                // RFC 6946: a fragment header with neither offset nor more fragments is a whole packet.
                fragment |= word & 0xfff9 != 0;
                first &= word & 0xfff8 == 0;
            }
        }
        let (protocol, offset) = extensions.position()?;
        let mut ip = Self {
            version: IpVersion::V6,
            protocol,
            l4: l3 + ipv6::HEADER_LEN + offset,
            payload: None,
            end: l3 + packet.total_len(),
            fragment,
            routed,
        };
        if first {
            ip.payload = ip.find_payload(frame);
        }
        Some(ip)
    }

    /// Bytes of the transport header with its options, where [`IpHeaders::payload`] is known.
    #[inline]
    pub fn l4_header_len(&self) -> Option<usize> {
        self.payload?.checked_sub(self.l4)
    }

    /// Source and destination port of TCP or UDP.
    #[inline]
    pub fn ports(&self, frame: &[u8]) -> Option<(u16, u16)> {
        self.payload?;
        matches!(self.protocol, ipproto::TCP | ipproto::UDP)
            .then(|| (u16_at(frame, self.l4), u16_at(frame, self.l4 + 2)))
    }

    #[inline]
    fn find_payload(&self, frame: &[u8]) -> Option<usize> {
        let len = match self.protocol {
            ipproto::TCP => {
                let len = usize::from(u8_at(frame, self.l4 + tcp::field::DATA_OFFSET) >> 4) * 4;
                (len >= tcp::HEADER_LEN).then_some(len)?
            }
            ipproto::UDP => udp::HEADER_LEN,
            ipproto::ICMP | ipproto::ICMPV6 => super::icmpv4::HEADER_LEN,
            _ => return None,
        };
        let payload = self.l4 + len;
        (payload <= self.end).then_some(payload)
    }
}
