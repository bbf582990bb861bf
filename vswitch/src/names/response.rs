//! Answers of servers: checked whole, then passed on as they are but for identifier, question,
//! lifetimes and size.

use super::encode::push_opt;
use super::wire::{
    self, CLASS_IN, HEADER, LowerName, MAX_NAME, OPT_LEN, Query, UDP_SIZE, flag, rcode, rtype,
};

/// Seconds an answer is kept at most.
const MAX_TTL: u32 = 86_400;
/// Seconds a "there is none" is kept at most (RFC 2308, section 5).
const MAX_NEGATIVE_TTL: u32 = 3600;

/// Why a message is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bad {
    /// It answers something else, or nothing: not from who was asked, or long after.
    Forged,
    /// It answers the query, but is none that could be passed on.
    Malformed,
    /// It says that the server will not answer, and no more.
    Refused,
}

/// What was asked.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Identifier of the query.
    pub id: u16,
    /// Name, in small letters on the wire without the root.
    pub name: &'a [u8],
    /// Type.
    pub qtype: u16,
    /// Class.
    pub qclass: u16,
}

/// A record's place in a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    /// Where its TTL is.
    ttl: usize,
    /// Where it ends.
    end: usize,
}

/// An answer that is in order.
#[derive(Debug)]
pub struct Response {
    bytes: Vec<u8>,
    question_end: usize,
    answers: Vec<Place>,
    others: Vec<Place>,
    opt: Option<Place>,
    max_ttl: u32,
    lifetime: Option<u32>,
}

impl Response {
    /// Checks a message against what was asked. Bytes after its last record are cut off.
    ///
    /// # Errors
    /// When it is not an answer, or not to this.
    pub fn parse(mut bytes: Vec<u8>, expected: &Expected<'_>) -> Result<Self, Bad> {
        let [id, flags, questions, answers, authorities, additionals] =
            wire::header(&bytes).ok_or(Bad::Forged)?;
        if id != expected.id || flags & (flag::QR | flag::OPCODE) != flag::QR {
            return Err(Bad::Forged);
        }
        // Some servers refuse without repeating the question.
        if questions == 0 && flags & flag::RCODE != 0 && (answers, authorities) == (0, 0) {
            return Err(Bad::Refused);
        }
        if questions != 1 {
            return Err(Bad::Forged);
        }
        let (name, at) = LowerName::read(&bytes, HEADER).ok_or(Bad::Forged)?;
        let qtype = wire::u16_at(&bytes, at);
        let qclass = wire::u16_at(&bytes, at + 2);
        if name.as_bytes() != expected.name
            || (qtype, qclass) != (Some(expected.qtype), Some(expected.qclass))
        {
            return Err(Bad::Forged);
        }
        let question_end = at + 4;
        let mut reader = Reader::new(&bytes, question_end, expected);
        let sections = [
            (answers, Section::Answer),
            (authorities, Section::Authority),
            (additionals, Section::Additional),
        ];
        let Some([answers, mut others, more]) = reader.sections(sections) else {
            // Some servers cut in the middle of a record.
            return if flags & flag::TC == 0 {
                Err(Bad::Malformed)
            } else {
                Ok(Self::only_truncated(bytes, question_end))
            };
        };
        others.extend(more);
        let (end, opt) = (reader.at, reader.opt);
        let (max_ttl, lifetime) = reader.lifetime(flags);
        bytes.truncate(end);
        Ok(Self { bytes, question_end, answers, others, opt, max_ttl, lifetime })
    }

    /// A truncated answer of which nothing but the question is of use.
    fn only_truncated(mut bytes: Vec<u8>, question_end: usize) -> Self {
        bytes.truncate(question_end);
        put(&mut bytes, 6, &[0; 6]);
        Self {
            bytes,
            question_end,
            answers: Vec::new(),
            others: Vec::new(),
            opt: None,
            max_ttl: 0,
            lifetime: None,
        }
    }

    fn flags(&self) -> u16 {
        wire::u16_at(&self.bytes, 2).unwrap_or_default()
    }

    /// The response code, without the bits that are in an OPT record.
    pub fn rcode(&self) -> u16 {
        self.flags() & flag::RCODE
    }

    /// Whether the server had more to say than the datagram took.
    pub fn truncated(&self) -> bool {
        self.flags() & flag::TC != 0
    }

    /// Whether it says what is asked for, or that there is no such thing; all else is an error.
    pub fn is_answer(&self) -> bool {
        matches!(self.rcode(), rcode::NOERROR | rcode::NXDOMAIN)
            && self.opt.is_none_or(|o| self.bytes.get(o.ttl) == Some(&0))
    }

    /// Seconds it may be kept (RFC 1035, RFC 2308); `None` when it may not.
    pub const fn lifetime(&self) -> Option<u32> {
        self.lifetime
    }

    /// Bytes it takes in memory, about.
    pub const fn weight(&self) -> usize {
        self.bytes.capacity()
            + (self.answers.capacity() + self.others.capacity()) * size_of::<Place>()
            + size_of::<Self>()
    }

    /// Writes it as the answer to `query`, `age` seconds after it came, in at most `limit` bytes
    /// (512 or more). True when records had to be left out.
    pub fn render(&self, query: &Query<'_>, age: u32, limit: usize, out: &mut Vec<u8>) -> bool {
        out.clear();
        out.extend_from_slice(&self.bytes);
        put(out, 0, &query.id.to_be_bytes());
        // RD and CD are what this client sent; the question is written as it wrote it.
        let copied = flag::RD | flag::CD;
        let flags = (self.flags() & !copied) | (query.flags & copied);
        put(out, 2, &flags.to_be_bytes());
        put(out, HEADER, query.question);
        for place in self.answers.iter().chain(&self.others) {
            let ttl = wire::u32_at(&self.bytes, place.ttl).unwrap_or_default();
            let ttl = if ttl > u32::MAX / 2 { 0 } else { ttl.min(self.max_ttl) };
            put(out, place.ttl, &ttl.saturating_sub(age).to_be_bytes());
        }
        let mut additionals = wire::u16_at(&self.bytes, 10).unwrap_or_default();
        match (self.opt, query.edns) {
            // The class is where the size is, four bytes before the end of the TTL.
            (Some(opt), Some(_)) => put(out, opt.ttl - 2, &UDP_SIZE.to_be_bytes()),
            (Some(opt), None) if opt.end == out.len() => {
                out.truncate(opt.ttl - 5);
                additionals = additionals.saturating_sub(1);
            }
            (None, Some(edns)) => {
                push_opt(out, 0, edns.dnssec_ok);
                additionals = additionals.saturating_add(1);
            }
            _ => {}
        }
        put(out, 10, &additionals.to_be_bytes());
        let cut = out.len() > limit;
        if cut {
            self.cut(query, flags, limit, out);
        }
        cut
    }

    /// Leaves as many answers as fit, and nothing behind them.
    fn cut(&self, query: &Query<'_>, flags: u16, limit: usize, out: &mut Vec<u8>) {
        let room = limit.saturating_sub(if query.edns.is_some() { OPT_LEN } else { 0 });
        let fit = self.answers.iter().take_while(|p| p.end <= room).count();
        let end = fit.checked_sub(1).and_then(|i| self.answers.get(i)).map_or(self.question_end, |p| p.end);
        out.truncate(end);
        if let Some(edns) = query.edns {
            push_opt(out, 0, edns.dnssec_ok);
        }
        put(out, 2, &(flags | flag::TC).to_be_bytes());
        put(out, 6, &(fit as u16).to_be_bytes());
        put(out, 8, &[0, 0, 0, query.edns.is_some().into()]);
    }
}

/// Overwrites bytes; what does not fit is left as it is.
fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(to) = out.get_mut(at..at + bytes.len()) {
        to.copy_from_slice(bytes);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Answer,
    Authority,
    Additional,
}

/// Goes through the records, and gathers what their lifetimes come to.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    expected: &'a Expected<'a>,
    opt: Option<Place>,
    /// Where the TTLs are that were passed, which will be changed.
    ttls: Vec<usize>,
    least: u32,
    negative: Option<u32>,
    answered: bool,
}

impl<'a> Reader<'a> {
    const fn new(bytes: &'a [u8], at: usize, expected: &'a Expected<'a>) -> Self {
        let ttls = Vec::new();
        Self { bytes, at, expected, opt: None, ttls, least: u32::MAX, negative: None, answered: false }
    }

    fn sections(&mut self, sections: [(u16, Section); 3]) -> Option<[Vec<Place>; 3]> {
        let [answers, authorities, additionals] = sections.map(|(count, s)| self.section(count, s));
        Some([answers?, authorities?, additionals?])
    }

    fn section(&mut self, count: u16, section: Section) -> Option<Vec<Place>> {
        // A record takes 11 bytes or more, so that the count cannot ask for much memory.
        let possible = self.bytes.len().saturating_sub(self.at) / 11;
        if usize::from(count) > possible {
            return None;
        }
        let mut places = Vec::with_capacity(count.into());
        for _ in 0..count {
            let place = self.record(section)?;
            if self.opt != Some(place) {
                places.push(place);
            }
        }
        Some(places)
    }

    /// The place of the next record.
    fn record(&mut self, section: Section) -> Option<Place> {
        let start = self.at;
        let fixed = self.skip_name(start)?;
        let rtype = wire::u16_at(self.bytes, fixed)?;
        let class = wire::u16_at(self.bytes, fixed + 2)?;
        let ttl = wire::u32_at(self.bytes, fixed + 4)?;
        let data = fixed + 10;
        let end = data + usize::from(wire::u16_at(self.bytes, fixed + 8)?);
        self.bytes.get(data..end)?;
        let place = Place { ttl: fixed + 4, end };
        self.ttls.push(place.ttl);
        self.at = end;
        if rtype == rtype::OPT {
            if section != Section::Additional || self.opt.is_some() || fixed != start + 1 {
                return None;
            }
            self.opt = Some(place);
            return Some(place);
        }
        self.check_data(rtype, class, data, end)?;
        let ttl = if ttl > u32::MAX / 2 { 0 } else { ttl };
        self.least = self.least.min(ttl);
        if section == Section::Answer && (rtype == self.expected.qtype || self.expected.qtype == rtype::ANY) {
            self.answered = true;
        }
        if section == Section::Authority && rtype == rtype::SOA {
            let minimum = wire::u32_at(self.bytes, end.checked_sub(4)?)?;
            self.negative = Some(ttl.min(minimum));
        }
        Some(place)
    }

    /// The most any TTL may be, and how long the whole may be kept.
    fn lifetime(&self, flags: u16) -> (u32, Option<u32>) {
        let code = flags & flag::RCODE;
        let keep = flags & flag::TC == 0 && matches!(code, rcode::NOERROR | rcode::NXDOMAIN);
        if self.answered && code == rcode::NOERROR {
            return (MAX_TTL, Some(self.least.min(MAX_TTL)).filter(|&t| keep && t > 0));
        }
        // "There is none" is kept only where a SOA record says how long (RFC 2308, section 5).
        let Some(negative) = self.negative else { return (MAX_TTL, None) };
        let most = negative.min(MAX_NEGATIVE_TTL);
        (most, Some(most.min(self.least)).filter(|&t| keep && t > 0))
    }

    /// Where the name at `at` ends. It may be compressed: every pointer must lead to a piece that
    /// lies whole before the one it stands in, so that there is no loop, and all must be as short
    /// as a name is. Nor may a TTL be part of it, which would change the name with it.
    fn skip_name(&self, at: usize) -> Option<usize> {
        let mut end = None;
        let mut piece = at;
        let mut before = self.bytes.len();
        let mut at = at;
        let mut total = 1;
        loop {
            let len = *self.bytes.get(at)?;
            let next = match len {
                0 => at + 1,
                1..=63 => at + usize::from(len) + 1,
                0xc0.. => at + 2,
                _ => return None,
            };
            if next > before || self.is_changed(at, next) {
                return None;
            }
            match len {
                0 => return Some(end.unwrap_or(next)),
                1..=63 => {
                    total += next - at;
                    if total > MAX_NAME {
                        return None;
                    }
                    at = next;
                }
                _ => {
                    let to = usize::from(wire::u16_at(self.bytes, at)? & 0x3fff);
                    if to >= piece || to < HEADER {
                        return None;
                    }
                    end.get_or_insert(next);
                    before = piece;
                    piece = to;
                    at = to;
                }
            }
        }
    }

    /// Whether a TTL that was passed, or the class before it, lies in these bytes.
    fn is_changed(&self, start: usize, end: usize) -> bool {
        let behind = self.ttls.partition_point(|&ttl| ttl + 4 <= start);
        self.ttls.get(behind).is_some_and(|&ttl| ttl - 2 < end)
    }

    /// Holds data that has names or a fixed size against its length. Only types whose names may
    /// be compressed are looked into (RFC 3597, section 4); of the rest no reader needs the
    /// message.
    fn check_data(&self, rtype: u16, class: u16, data: usize, end: usize) -> Option<()> {
        let ends = match rtype {
            rtype::A if class == CLASS_IN => data + 4,
            rtype::AAAA if class == CLASS_IN => data + 16,
            rtype::NS | rtype::CNAME | rtype::PTR | rtype::DNAME => self.skip_name(data)?,
            rtype::MX => self.skip_name(data + 2)?,
            rtype::SRV => self.skip_name(data + 6)?,
            rtype::SOA => self.skip_name(self.skip_name(data)?)? + 20,
            _ => end,
        };
        (ends == end).then_some(())
    }
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
