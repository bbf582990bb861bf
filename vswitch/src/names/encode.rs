//! Answers from what is known here. Addresses and reverse names, which is nearly all of them,
//! are written by hand behind the client's own question, without an allocation of their own.
//! Whatever is rarer is written by hickory.

use hickory_proto::ProtoError;
use hickory_proto::op::{Message, OpCode};
use hickory_proto::rr::rdata::{A, AAAA, SRV};
use hickory_proto::rr::{Name, RData, Record};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder};
use rand::RngExt;
use rand::seq::SliceRandom;

use super::network::Host;
use super::wire::{self, CLASS_IN, HEADER, Labels, OPT_LEN, Query, UDP_SIZE, flag, rcode, rtype};

/// Seconds for which an answer may be kept by the client; Docker's.
pub const TTL: u32 = 600;
/// Where the question's name is, as a compressed name (RFC 1035, 4.1.4).
const QUESTION_NAME: [u8; 2] = [0xc0, HEADER as u8];
/// Bytes of a record before its data, its name being compressed.
const RECORD: usize = 12;

/// An answer on its way into `out`: header and question are there, records follow.
pub struct Reply<'a> {
    query: &'a Query<'a>,
    out: &'a mut Vec<u8>,
    limit: usize,
    answers: u16,
    additionals: u16,
    truncated: bool,
}

impl<'a> Reply<'a> {
    /// Begins an answer of at most `limit` bytes, which is at least 512.
    pub fn new(query: &'a Query<'a>, limit: usize, out: &'a mut Vec<u8>) -> Self {
        out.clear();
        out.extend_from_slice(&[0; HEADER]);
        out.extend_from_slice(query.question);
        Self { query, out, limit, answers: 0, additionals: 0, truncated: false }
    }

    /// Adds a record of the question's name.
    pub fn record(&mut self, rtype: u16, ttl: u32, data: &[u8]) {
        let before = self.out.len();
        push_record(self.out, rtype, ttl, data);
        if self.out.len() > room(self.query, self.limit) {
            self.out.truncate(before);
            self.truncated = true;
        } else {
            self.answers = self.answers.saturating_add(1);
        }
    }

    /// Adds addresses of `N` bytes in random order, as many as there is room for.
    pub fn addresses<const N: usize>(&mut self, rtype: u16, addresses: impl Iterator<Item = [u8; N]>) {
        let start = self.out.len();
        for address in addresses {
            push_record(self.out, rtype, TTL, &address);
        }
        let size = RECORD + N;
        let records = self.out.get_mut(start..).unwrap_or_default();
        let count = records.len() / size;
        if count > 1 {
            shuffle(records, size, count);
        }
        let fit = count.min(room(self.query, self.limit).saturating_sub(start) / size);
        if fit < count {
            self.out.truncate(start + fit * size);
            self.truncated = true;
        }
        self.answers = self.answers.saturating_add(fit as u16);
    }

    /// Writes the header and the OPT record. True when records were left out.
    pub fn finish(mut self, code: u16) -> bool {
        if let Some(edns) = self.query.edns {
            push_opt(self.out, (code >> 4) as u8, edns.dnssec_ok);
            self.additionals = self.additionals.saturating_add(1);
        }
        let mut flags =
            flag::QR | flag::RA | (self.query.flags & (flag::RD | flag::CD)) | (code & flag::RCODE);
        if self.truncated {
            flags |= flag::TC;
        }
        let numbers = [self.query.id, flags, 1, self.answers, 0, self.additionals];
        if let Some(header) = self.out.first_chunk_mut() {
            *header = header_bytes(numbers);
        }
        self.truncated
    }
}

/// Bytes of an answer that are not for its OPT record.
const fn room(query: &Query<'_>, limit: usize) -> usize {
    limit.saturating_sub(if query.edns.is_some() { OPT_LEN } else { 0 })
}

/// A header on the wire.
pub fn header_bytes(numbers: [u16; 6]) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    for (to, number) in header.chunks_exact_mut(2).zip(numbers) {
        to.copy_from_slice(&number.to_be_bytes());
    }
    header
}

fn push_record(out: &mut Vec<u8>, rtype: u16, ttl: u32, data: &[u8]) {
    let [t0, t1] = rtype.to_be_bytes();
    let [c0, c1] = CLASS_IN.to_be_bytes();
    let [s0, s1, s2, s3] = ttl.to_be_bytes();
    let [l0, l1] = (data.len() as u16).to_be_bytes();
    let [n0, n1] = QUESTION_NAME;
    out.extend_from_slice(&[n0, n1, t0, t1, c0, c1, s0, s1, s2, s3, l0, l1]);
    out.extend_from_slice(data);
}

/// Adds the OPT record of an answer (RFC 6891, 6.1.2).
pub fn push_opt(out: &mut Vec<u8>, upper_rcode: u8, dnssec_ok: bool) {
    let [t0, t1] = rtype::OPT.to_be_bytes();
    let [s0, s1] = UDP_SIZE.to_be_bytes();
    out.extend_from_slice(&[0, t0, t1, s0, s1, upper_rcode, 0, if dnssec_ok { 0x80 } else { 0 }, 0, 0, 0]);
}

/// Shuffles `count` records of `size` bytes (Fisher and Yates).
fn shuffle(records: &mut [u8], size: usize, count: usize) {
    let mut rng = rand::rng();
    for last in (1..count).rev() {
        let other = rng.random_range(0..=last);
        if other != last {
            let (front, back) = records.split_at_mut(last * size);
            front[other * size..(other + 1) * size].swap_with_slice(&mut back[..size]);
        }
    }
}

/// Answers a question without a record, or refuses it.
pub fn empty(query: &Query<'_>, limit: usize, code: u16, out: &mut Vec<u8>) {
    Reply::new(query, limit, out).finish(code);
}

/// Refuses a message whose question is not to be trusted: its identifier, opcode and RD come
/// back, nothing else.
pub fn refuse(id: u16, flags: u16, code: u16, out: &mut Vec<u8>) {
    let flags = flag::QR | flag::RA | (flags & (flag::OPCODE | flag::RD | flag::CD)) | (code & flag::RCODE);
    out.clear();
    out.extend_from_slice(&header_bytes([id, flags, 0, 0, 0, 0]));
}

/// Answers a question about names that are known. True when records were left out.
pub fn hosts<'h>(
    query: &Query<'_>,
    limit: usize,
    hosts: impl Iterator<Item = &'h Host> + Clone,
    out: &mut Vec<u8>,
) -> bool {
    let mut reply = Reply::new(query, limit, out);
    if query.qtype == rtype::A || query.qtype == rtype::ANY {
        reply.addresses(rtype::A, hosts.clone().flat_map(|h| h.v4.iter().map(std::net::Ipv4Addr::octets)));
    }
    if query.qtype == rtype::AAAA || query.qtype == rtype::ANY {
        reply.addresses(rtype::AAAA, hosts.flat_map(|h| h.v6.iter().map(std::net::Ipv6Addr::octets)));
    }
    reply.finish(rcode::NOERROR)
}

/// Answers a question about an address: with its name, on the wire with the root, where that is
/// what was asked for.
pub fn reverse(query: &Query<'_>, limit: usize, name: Option<&[u8]>, out: &mut Vec<u8>) -> bool {
    let mut reply = Reply::new(query, limit, out);
    if let Some(name) = name
        && (query.qtype == rtype::PTR || query.qtype == rtype::ANY)
    {
        reply.record(rtype::PTR, TTL, name);
    }
    reply.finish(rcode::NOERROR)
}

/// Answers a question about a service with a SRV record for each host and port, in random
/// order, and the hosts' addresses beside them. True when records were left out.
///
/// # Errors
/// What hickory says of a name or of the whole.
pub fn services<'h>(
    query: &Query<'_>,
    limit: usize,
    hosts: impl Iterator<Item = (&'h Host, u16)>,
    out: &mut Vec<u8>,
) -> Result<bool, ProtoError> {
    let owner = wire_name(query.question)?;
    let mut asked = hickory_proto::op::Query::query(owner.clone(), query.qtype.into());
    asked.set_query_class(query.qclass.into());
    let mut message = Message::response(query.id, OpCode::Query);
    message.add_query(asked);
    message.metadata.recursion_available = true;
    message.metadata.recursion_desired = query.flags & flag::RD != 0;
    message.metadata.checking_disabled = query.flags & flag::CD != 0;
    for (host, port) in hosts {
        let Some(fqdn) = host.fqdn.as_deref() else { continue };
        let target = wire_name(fqdn)?;
        // Priority and weight 0, as libnetwork.
        let srv = SRV::new(0, 0, port, target.clone());
        message.add_answer(Record::from_rdata(owner.clone(), TTL, RData::SRV(srv)));
        let v4 = host.v4.iter().map(|&a| RData::A(A(a)));
        for data in v4.chain(host.v6.iter().map(|&a| RData::AAAA(AAAA(a)))) {
            message.add_additional(Record::from_rdata(target.clone(), TTL, data));
        }
    }
    message.answers.shuffle(&mut rand::rng());
    out.clear();
    let mut encoder = BinEncoder::new(out);
    encoder.set_max_size(room(query, limit).try_into().unwrap_or(u16::MAX));
    message.emit(&mut encoder)?;
    // What was begun and did not fit is still there.
    encoder.trim();
    if let Some(edns) = query.edns {
        push_opt(out, 0, edns.dnssec_ok);
        let additionals = wire::u16_at(out, 10).unwrap_or_default().saturating_add(1);
        if let Some(at) = out.get_mut(10..HEADER) {
            at.copy_from_slice(&additionals.to_be_bytes());
        }
    }
    Ok(wire::u16_at(out, 2).unwrap_or_default() & flag::TC != 0)
}

/// hickory's form of a name on the wire.
fn wire_name(bytes: &[u8]) -> Result<Name, ProtoError> {
    Name::from_labels(Labels(bytes).take_while(|l| !l.is_empty()))
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
