//! Queries and names as they are on the wire (RFC 1035, section 4).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of a message's header.
pub const HEADER: usize = 12;
/// Bytes a name has at most, the root's length byte included (RFC 1035, 2.3.4).
pub const MAX_NAME: usize = 255;
/// Bytes of a label at most.
pub const MAX_LABEL: usize = 63;
/// Bytes of a query at most. One has a single question and an OPT record, so this leaves much.
pub const MAX_QUERY: usize = 4096;
/// Bytes of a datagram that any client takes (RFC 1035, 4.2.1).
pub const MIN_UDP: usize = 512;
/// Bytes of a datagram this server takes, in its OPT records: what fits an Ethernet frame of
/// IPv6 whatever the way (RFC 9715).
pub const UDP_SIZE: u16 = 1232;
/// Bytes of an OPT record without options.
pub const OPT_LEN: usize = 11;

/// Types of records that are treated in some way of their own.
pub mod rtype {
    /// IPv4 address.
    pub const A: u16 = 1;
    /// Name server.
    pub const NS: u16 = 2;
    /// Alias.
    pub const CNAME: u16 = 5;
    /// Start of authority.
    pub const SOA: u16 = 6;
    /// Name of an address.
    pub const PTR: u16 = 12;
    /// Mail exchange.
    pub const MX: u16 = 15;
    /// IPv6 address.
    pub const AAAA: u16 = 28;
    /// Service (RFC 2782).
    pub const SRV: u16 = 33;
    /// Alias of a whole subtree (RFC 6672).
    pub const DNAME: u16 = 39;
    /// EDNS (RFC 6891).
    pub const OPT: u16 = 41;
    /// Key agreement (RFC 2930).
    pub const TKEY: u16 = 249;
    /// Signature of a message (RFC 8945).
    pub const TSIG: u16 = 250;
    /// Zone transfers, incremental and whole.
    pub const IXFR: u16 = 251;
    /// See [`IXFR`].
    pub const AXFR: u16 = 252;
    /// Everything there is.
    pub const ANY: u16 = 255;
}

/// The Internet.
pub const CLASS_IN: u16 = 1;
/// Whatever class.
pub const CLASS_ANY: u16 = 255;

/// Bits of the header's third and fourth byte.
pub mod flag {
    /// A response.
    pub const QR: u16 = 0x8000;
    /// Where the opcode is.
    pub const OPCODE: u16 = 0x7800;
    /// Truncated.
    pub const TC: u16 = 0x0200;
    /// Recursion desired.
    pub const RD: u16 = 0x0100;
    /// Recursion available.
    pub const RA: u16 = 0x0080;
    /// Authentic data (RFC 6840, 5.7).
    pub const AD: u16 = 0x0020;
    /// Checking disabled (RFC 4035).
    pub const CD: u16 = 0x0010;
    /// Where the response code is.
    pub const RCODE: u16 = 0x000f;
}

/// Response codes.
pub mod rcode {
    /// All is well.
    pub const NOERROR: u16 = 0;
    /// The query makes no sense.
    pub const FORMERR: u16 = 1;
    /// Nobody could be asked, or nobody knew.
    pub const SERVFAIL: u16 = 2;
    /// There is no such name.
    pub const NXDOMAIN: u16 = 3;
    /// Not that kind of query.
    pub const NOTIMP: u16 = 4;
    /// A version of EDNS that is not known here; its upper bits are in the OPT record.
    pub const BADVERS: u16 = 16;
}

/// Why a message is no query that could be answered with its question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reject {
    /// Shorter than a header.
    TooShort,
    /// A response, which is never answered.
    IsResponse,
    /// Longer than [`MAX_QUERY`].
    Oversized,
    /// Another opcode than QUERY, or a type that is none of a question.
    NotImplemented,
    /// Anything else.
    Malformed,
}

/// What a query's OPT record says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Edns {
    /// Bytes of a datagram the client takes.
    pub size: u16,
    /// Version; there is only 0.
    pub version: u8,
    /// The client wants DNSSEC's records (RFC 3225).
    pub dnssec_ok: bool,
}

/// A query that is in order: one question, and at most an OPT record after it.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// Identifier, chosen by the client.
    pub id: u16,
    /// The header's flags.
    pub flags: u16,
    /// Name, type and class as they came.
    pub question: &'a [u8],
    /// The name in small letters.
    pub name: LowerName,
    /// Type asked for.
    pub qtype: u16,
    /// Class asked for.
    pub qclass: u16,
    /// The OPT record.
    pub edns: Option<Edns>,
}

impl<'a> Query<'a> {
    /// Reads a message whole; bytes left over are a fault.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Reject> {
        let [id, flags, questions, answers, authorities, additionals] =
            header(bytes).ok_or(Reject::TooShort)?;
        if flags & flag::QR != 0 {
            return Err(Reject::IsResponse);
        }
        if bytes.len() > MAX_QUERY {
            return Err(Reject::Oversized);
        }
        if flags & flag::OPCODE != 0 {
            return Err(Reject::NotImplemented);
        }
        if (questions, answers, authorities) != (1, 0, 0) || additionals > 1 {
            return Err(Reject::Malformed);
        }
        let (name, end) = LowerName::read(bytes, HEADER).ok_or(Reject::Malformed)?;
        let qtype = u16_at(bytes, end).ok_or(Reject::Malformed)?;
        let qclass = u16_at(bytes, end + 2).ok_or(Reject::Malformed)?;
        let question = bytes.get(HEADER..end + 4).ok_or(Reject::Malformed)?;
        let rest = bytes.get(end + 4..).ok_or(Reject::Malformed)?;
        let edns = match additionals {
            0 if rest.is_empty() => None,
            1 => Some(read_opt(rest).ok_or(Reject::Malformed)?),
            _ => return Err(Reject::Malformed),
        };
        match qtype {
            0 | rtype::OPT => Err(Reject::Malformed),
            rtype::TKEY | rtype::TSIG | rtype::IXFR | rtype::AXFR => Err(Reject::NotImplemented),
            _ => Ok(Self { id, flags, question, name, qtype, qclass, edns }),
        }
    }

    /// Whether the question is about the Internet.
    pub const fn is_internet(&self) -> bool {
        self.qclass == CLASS_IN || self.qclass == CLASS_ANY
    }
}

/// The six numbers of a message's header; `None` of less than a header.
pub fn header(bytes: &[u8]) -> Option<[u16; 6]> {
    let bytes = bytes.first_chunk::<HEADER>()?;
    Some(std::array::from_fn(|i| u16::from_be_bytes([bytes[2 * i], bytes[2 * i + 1]])))
}

/// An OPT record that fills `bytes`, options and all.
fn read_opt(bytes: &[u8]) -> Option<Edns> {
    let (&fixed, mut options) = bytes.split_first_chunk::<OPT_LEN>()?;
    let [0, t0, t1, s0, s1, _, version, z, _, l0, l1] = fixed else { return None };
    if u16::from_be_bytes([t0, t1]) != rtype::OPT
        || usize::from(u16::from_be_bytes([l0, l1])) != options.len()
    {
        return None;
    }
    while !options.is_empty() {
        let (_, rest) = options.split_first_chunk::<2>()?;
        let (&len, rest) = rest.split_first_chunk::<2>()?;
        options = rest.get(usize::from(u16::from_be_bytes(len))..)?;
    }
    Some(Edns { size: u16::from_be_bytes([s0, s1]), version, dnssec_ok: z & 0x80 != 0 })
}

/// Two bytes at `at`.
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Four bytes at `at`.
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// A name in small letters: labels behind their lengths, without the root's.
#[derive(Clone, Copy)]
pub struct LowerName {
    bytes: [u8; MAX_NAME],
    len: u8,
    labels: u8,
}

impl std::fmt::Debug for LowerName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for label in self.labels() {
            write!(f, "{}.", label.escape_ascii())?;
        }
        Ok(())
    }
}

impl LowerName {
    /// Reads the name at `at`, which must not be compressed, and says where it ends.
    pub fn read(message: &[u8], at: usize) -> Option<(Self, usize)> {
        let mut name = Self { bytes: [0; MAX_NAME], len: 0, labels: 0 };
        let mut at = at;
        loop {
            let len = usize::from(*message.get(at)?);
            if len == 0 {
                return Some((name, at + 1));
            }
            if len > MAX_LABEL {
                return None;
            }
            let label = message.get(at..=at + len)?;
            let start = usize::from(name.len);
            // One byte is kept for the root.
            let end = start + label.len();
            if end >= MAX_NAME {
                return None;
            }
            for (to, from) in name.bytes.get_mut(start..end)?.iter_mut().zip(label) {
                *to = from.to_ascii_lowercase();
            }
            name.len = end as u8;
            name.labels += 1;
            at += len + 1;
        }
    }

    /// The name on the wire, without the root's length byte. Lengths are below the letters, so
    /// making letters small has left them as they were.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// How many labels there are.
    pub const fn label_count(&self) -> usize {
        self.labels as usize
    }

    /// Its labels, from the first.
    pub fn labels(&self) -> Labels<'_> {
        Labels(self.as_bytes())
    }

    /// The address whose reverse name this is (RFC 1035, 3.5; RFC 3596, 2.5).
    pub fn reverse_address(&self) -> Option<IpAddr> {
        let bytes = self.as_bytes();
        if let Some(digits) = bytes.strip_suffix(b"\x07in-addr\x04arpa") {
            let mut octets = [0u8; 4];
            let mut labels = Labels(digits);
            for octet in octets.iter_mut().rev() {
                *octet = decimal(labels.next()?)?;
            }
            return labels.0.is_empty().then(|| Ipv4Addr::from(octets).into());
        }
        let digits = bytes.strip_suffix(b"\x03ip6\x04arpa")?;
        let mut address = 0u128;
        let mut labels = Labels(digits);
        for nibble in 0..32 {
            let &[digit] = labels.next()? else { return None };
            address |= u128::from(char::from(digit).to_digit(16)?) << (4 * nibble);
        }
        labels.0.is_empty().then(|| Ipv6Addr::from(address).into())
    }
}

/// One byte's number as a reverse name has it: no sign, no zero in front.
fn decimal(label: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(label).ok()?;
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

/// Labels of a name on the wire.
#[derive(Clone, Debug)]
pub struct Labels<'a>(pub &'a [u8]);

impl<'a> Iterator for Labels<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (&len, rest) = self.0.split_first()?;
        let (label, rest) = rest.split_at_checked(len.into())?;
        self.0 = rest;
        Some(label)
    }
}

/// A name such as `web` or `web.net` on the wire, as it is written and without the root; `None`
/// for one that DNS cannot carry (RFC 1035, 2.3.4). `room` bytes are kept free.
pub fn to_wire(name: &str, room: usize) -> Option<Vec<u8>> {
    let mut wire = Vec::with_capacity(name.len() + 1);
    for label in name.strip_suffix('.').unwrap_or(name).split('.') {
        if label.is_empty() || label.len() > MAX_LABEL {
            return None;
        }
        wire.push(label.len() as u8);
        wire.extend_from_slice(label.as_bytes());
    }
    (wire.len() + room < MAX_NAME).then_some(wire)
}

/// As [`to_wire`], in small letters: what names are looked up by.
pub fn to_key(name: &str) -> Option<Box<[u8]>> {
    let mut wire = to_wire(name, 0)?;
    wire.make_ascii_lowercase();
    Some(wire.into_boxed_slice())
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
