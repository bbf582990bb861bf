use std::collections::BTreeMap;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, MX, TXT};
use hickory_proto::rr::{RData, Record, RecordType};
use proptest::prelude::*;

use super::*;
use crate::names::testing::{answers, edns_query, error, name, negative, query, response};

const ID: u16 = 0x1234;

fn asked(name: &[u8]) -> Expected<'_> {
    Expected { id: ID, name, qtype: rtype::A, qclass: 1 }
}

const WWW: &[u8] = b"\x03www\x07example";

fn parse(message: &Message) -> Result<Response, Bad> {
    Response::parse(message.to_vec().unwrap(), &asked(WWW))
}

fn www() -> Vec<u8> {
    query("www.example", RecordType::A)
}

fn rendered(response: &Response, query: &[u8], age: u32, limit: usize) -> (Vec<u8>, bool) {
    let mut out = vec![9; 3];
    let cut = response.render(&Query::parse(query).unwrap(), age, limit, &mut out);
    (out, cut)
}

#[test]
fn an_answer_is_passed_on_with_the_clients_question_and_identifier() {
    let parsed = parse(&response(&www(), [192, 0, 2, 1], 300)).unwrap();
    assert_eq!(parsed.lifetime(), Some(300));
    let mut other = query("WWW.eXample", RecordType::A);
    other[..2].copy_from_slice(&[0xab, 0xcd]);
    let (out, cut) = rendered(&parsed, &other, 100, 512);
    assert!(!cut);
    let message = Message::from_vec(&out).unwrap();
    assert_eq!(message.id, 0xabcd);
    assert_eq!(message.queries[0].name().to_string(), "WWW.eXample.");
    assert_eq!(answers(&message), ["192.0.2.1"]);
    assert_eq!(message.answers[0].ttl, 200);
    let (out, _) = rendered(&parsed, &other, 1000, 512);
    assert_eq!(Message::from_vec(&out).unwrap().answers[0].ttl, 0);
}

#[test]
fn answers_to_something_else_are_forged() {
    let good = response(&www(), [192, 0, 2, 1], 300);
    let mut wrong = good.clone();
    wrong.metadata.id = 1;
    assert_eq!(parse(&wrong).unwrap_err(), Bad::Forged);
    let mut wrong = good.clone();
    wrong.queries[0].set_name(name("www.example.org"));
    assert_eq!(parse(&wrong).unwrap_err(), Bad::Forged);
    let mut wrong = good.clone();
    wrong.queries[0].set_query_type(RecordType::AAAA);
    assert_eq!(parse(&wrong).unwrap_err(), Bad::Forged);
    let mut wrong = good.clone();
    wrong.queries.clear();
    assert_eq!(parse(&wrong).unwrap_err(), Bad::Forged);
    assert_eq!(Response::parse(www(), &asked(WWW)).unwrap_err(), Bad::Forged);
    for len in 0..HEADER {
        assert_eq!(Response::parse(vec![0; len], &asked(WWW)).unwrap_err(), Bad::Forged);
    }
}

#[test]
fn a_refusal_may_do_without_the_question() {
    let mut bare = error(&www(), ResponseCode::Refused);
    bare.queries.clear();
    assert_eq!(parse(&bare).unwrap_err(), Bad::Refused);
    let whole = parse(&error(&www(), ResponseCode::ServFail)).unwrap();
    assert!(!whole.is_answer());
    assert_eq!((whole.rcode(), whole.lifetime()), (rcode::SERVFAIL, None));
}

#[test]
fn the_shortest_ttl_is_the_lifetime() {
    let mut message = response(&www(), [192, 0, 2, 1], 300);
    let alias = RData::CNAME(CNAME(name("www.example")));
    message.add_answer(Record::from_rdata(name("www.example"), 60, alias));
    assert_eq!(parse(&message).unwrap().lifetime(), Some(60));
    assert_eq!(parse(&response(&www(), [1; 4], 0)).unwrap().lifetime(), None);
    // The sign bit makes it zero (RFC 2181, section 8).
    assert_eq!(parse(&response(&www(), [1; 4], 0x8000_0001)).unwrap().lifetime(), None);
}

#[test]
fn nothing_is_kept_longer_than_a_day() {
    let parsed = parse(&response(&www(), [1; 4], 1_000_000)).unwrap();
    assert_eq!(parsed.lifetime(), Some(86_400));
    let (out, _) = rendered(&parsed, &www(), 400, 512);
    assert_eq!(Message::from_vec(&out).unwrap().answers[0].ttl, 86_000);
}

#[test]
fn that_there_is_none_is_kept_as_the_soa_record_says() {
    for code in [ResponseCode::NXDomain, ResponseCode::NoError] {
        let lifetime = |ttl, minimum| parse(&negative(&www(), code, ttl, minimum)).unwrap().lifetime();
        assert_eq!(lifetime(900, 60), Some(60));
        assert_eq!(lifetime(30, 60), Some(30));
        assert_eq!(lifetime(1_000_000, 1_000_000), Some(3600));
        assert_eq!(parse(&error(&www(), code)).unwrap().lifetime(), None);
    }
    let parsed = parse(&negative(&www(), ResponseCode::NXDomain, 900, 60)).unwrap();
    let (out, _) = rendered(&parsed, &www(), 10, 512);
    assert_eq!(Message::from_vec(&out).unwrap().authorities[0].ttl, 50);
}

#[test]
fn an_alias_to_a_name_without_addresses_is_negative() {
    let mut message = negative(&www(), ResponseCode::NoError, 900, 60);
    let alias = RData::CNAME(CNAME(name("other.example")));
    message.add_answer(Record::from_rdata(name("www.example"), 300, alias));
    assert_eq!(parse(&message).unwrap().lifetime(), Some(60));
    message.authorities.clear();
    assert_eq!(parse(&message).unwrap().lifetime(), None);
}

#[test]
fn the_opt_record_is_there_when_asked_for_and_says_our_size() {
    let plain = parse(&response(&www(), [1; 4], 300)).unwrap();
    let with = |edns: bool| {
        let mut message = response(&www(), [1; 4], 300);
        if edns {
            let mut opt = hickory_proto::op::Edns::new();
            opt.set_max_payload(4096);
            message.set_edns(opt);
        }
        parse(&message).unwrap()
    };
    for parsed in [plain, with(true)] {
        let (out, _) = rendered(&parsed, &edns_query("www.example", RecordType::A, 1232, 0, true), 0, 1232);
        let message = Message::from_vec(&out).unwrap();
        assert_eq!(message.edns.unwrap().max_payload(), UDP_SIZE);
        let (out, _) = rendered(&parsed, &www(), 0, 512);
        assert!(Message::from_vec(&out).unwrap().edns.is_none());
    }
}

#[test]
fn a_long_answer_is_cut_between_records() {
    let mut message = response(&www(), [1; 4], 300);
    for n in 0..100 {
        message.add_answer(Record::from_rdata(name("www.example"), 300, RData::A(A::new(10, 0, 0, n))));
    }
    message.add_authority(Record::from_rdata(name("example"), 9, RData::TXT(TXT::new(vec!["x".into()]))));
    let parsed = parse(&message).unwrap();
    for limit in 512..600 {
        for query in [www(), edns_query("www.example", RecordType::A, 512, 0, false)] {
            let edns = query.len() > www().len();
            let (out, cut) = rendered(&parsed, &query, 0, limit);
            let message = Message::from_vec(&out).unwrap();
            assert!(cut && message.truncation);
            assert!(out.len() <= limit && out.len() + 16 > limit);
            assert_eq!(message.edns.is_some(), edns);
            assert!(message.authorities.is_empty() && message.answers.len() > 20);
        }
    }
    assert!(!rendered(&parsed, &www(), 0, 65535).1);
}

#[test]
fn a_truncated_answer_may_end_anywhere() {
    let mut message = response(&www(), [1; 4], 300);
    message.metadata.truncation = true;
    let bytes = message.to_vec().unwrap();
    for end in 12 + 17..bytes.len() {
        let parsed = Response::parse(bytes[..end].to_vec(), &asked(WWW)).unwrap();
        assert!(parsed.truncated() && parsed.is_answer());
        assert_eq!(parsed.lifetime(), None);
        let (out, _) = rendered(&parsed, &www(), 0, 512);
        assert!(Message::from_vec(&out).unwrap().truncation);
    }
}

#[test]
fn broken_records_are_malformed() {
    let good = response(&www(), [192, 0, 2, 1], 300).to_vec().unwrap();
    let record = 12 + 17;
    let spoiled = |at: usize, bytes: &[u8]| {
        let mut message = good.clone();
        message[at..at + bytes.len()].copy_from_slice(bytes);
        Response::parse(message, &asked(WWW)).map(|_| ()).unwrap_err()
    };
    // A pointer to itself, forwards, into the header; a length past the end; counts of what is not there.
    assert_eq!(good[record], 0xc0);
    for pointer in [[0xc0, record as u8], [0xc0, 40], [0xc0, 3], [0xff, 0xff], [0x40, 1]] {
        assert_eq!(spoiled(record, &pointer), Bad::Malformed, "{pointer:?}");
    }
    assert_eq!(spoiled(record + 10, &[0, 5]), Bad::Malformed);
    assert_eq!(spoiled(record + 10, &[0, 3]), Bad::Malformed);
    assert_eq!(spoiled(6, &[0xff, 0xff]), Bad::Malformed);
    assert_eq!(spoiled(10, &[0, 1]), Bad::Malformed);
    for cut in record..good.len() {
        assert_eq!(Response::parse(good[..cut].to_vec(), &asked(WWW)).unwrap_err(), Bad::Malformed);
    }
}

#[test]
fn names_in_data_may_not_loop_or_leave_it() {
    let mut message = response(&www(), [1; 4], 300);
    message.answers.clear();
    message.add_answer(Record::from_rdata(
        name("www.example"),
        60,
        RData::MX(MX::new(1, name("mail.example"))),
    ));
    let bytes = message.to_vec().unwrap();
    assert!(Response::parse(bytes.clone(), &asked(WWW)).is_ok());
    let len = bytes.len();
    let mut looped = bytes.clone();
    looped[len - 2..].copy_from_slice(&[0xc0, (len - 7) as u8]);
    assert_eq!(Response::parse(looped, &asked(WWW)).unwrap_err(), Bad::Malformed);
    let mut longer = bytes;
    longer[len - 7] = 6;
    assert_eq!(Response::parse(longer, &asked(WWW)).unwrap_err(), Bad::Malformed);
}

#[test]
fn a_name_may_not_be_read_from_a_ttl() {
    let mut bytes = response(&www(), [1; 4], 0x0461_6263).to_vec().unwrap();
    let ttl = 12 + 17 + 6;
    assert_eq!(bytes[ttl..ttl + 4], [4, b'a', b'b', b'c']);
    bytes[7] = 2;
    for to in 12 + 17 - 1..bytes.len() {
        let mut message = bytes.clone();
        message.extend([0xc0, to as u8, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4]);
        let is_name = Response::parse(message, &asked(WWW)).is_ok();
        // What may be pointed at: the record's name, and zeros that are the root's.
        let changed = ttl - 2..ttl + 4;
        assert!(!is_name || !changed.contains(&to), "{to}");
        assert_eq!(is_name, [29, 31, 39].contains(&to), "{to}");
    }
}

#[test]
fn a_name_may_not_lead_into_itself() {
    let mut bytes = response(&www(), [1, 1, 1, 2], 300).to_vec().unwrap();
    bytes[7] = 2;
    let end = bytes.len();
    let record = [0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4];
    // The first record's last byte is the length of a label, which would be the pointer to it.
    for (name, is_name) in
        [(vec![0xc0, end as u8 - 1], false), (vec![0xc0, 12], true), (vec![1, b'x', 0], true)]
    {
        let message = [&bytes[..], &name, &record].concat();
        assert_eq!(Response::parse(message, &asked(WWW)).is_ok(), is_name, "{name:?}");
    }
}

#[test]
fn bytes_behind_the_last_record_are_not_passed_on() {
    let mut bytes = response(&www(), [1; 4], 300).to_vec().unwrap();
    let len = bytes.len();
    bytes.extend([1; 9]);
    let parsed = Response::parse(bytes, &asked(WWW)).unwrap();
    assert_eq!(rendered(&parsed, &www(), 0, 512).0.len(), len);
}

/// Whether hickory looks for names only where this module does.
fn only_checked_types(message: &Message) -> bool {
    let checked =
        [rtype::A, rtype::AAAA, rtype::CNAME, rtype::MX, rtype::NS, rtype::PTR, rtype::SOA, rtype::SRV];
    message.all_sections().all(|r| checked.contains(&r.record_type().into()))
}

proptest! {
    #[test]
    fn no_bytes_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300), like in any::<bool>()) {
        if like {
            let start = response(&www(), [1; 4], 300).to_vec().unwrap();
            let end = bytes.len().min(29);
            bytes.splice(..end, start[..29].iter().copied());
        }
        if let Ok(parsed) = Response::parse(bytes, &asked(WWW)) {
            rendered(&parsed, &www(), 5, 512);
        }
    }

    /// An answer that a mistake on the way has changed is refused, or passed on as one that
    /// reads the same: never worse than it came.
    #[test]
    fn what_is_passed_on_is_as_good_as_what_came(
        changes in prop::collection::btree_map(29usize..140, any::<u8>(), 0..4), limit in 512usize..600, edns in any::<bool>(),
    ) {
        let mut message = negative(&www(), ResponseCode::NoError, 900, 60);
        let alias = RData::CNAME(CNAME(name("other.example")));
        message.add_answer(Record::from_rdata(name("www.example"), 300, alias));
        message.add_answer(Record::from_rdata(name("other.example"), 300, RData::A(A::new(1, 2, 3, 4))));
        let mut bytes = message.to_vec().unwrap();
        for (at, to) in changes {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = to;
            }
        }
        let theirs = Message::from_vec(&bytes);
        if let Ok(parsed) = Response::parse(bytes, &asked(WWW)) {
            let query = if edns { edns_query("www.example", RecordType::A, 1232, 0, false) } else { www() };
            let (out, cut) = rendered(&parsed, &query, 7, limit);
            prop_assert!(out.len() <= limit || !cut);
            prop_assert!(Response::parse(out.clone(), &asked(WWW)).is_ok());
            if let Ok(theirs) = theirs && only_checked_types(&theirs) {
                let ours = Message::from_vec(&out).unwrap();
                let data = |m: &Message| -> BTreeMap<String, usize> {
                    let mut seen = BTreeMap::new();
                    for r in m.answers.iter().chain(&m.authorities) {
                        *seen.entry(format!("{} {}", r.name, r.data)).or_default() += 1;
                    }
                    seen
                };
                prop_assert_eq!(data(&ours), data(&theirs));
            }
        }
    }
}
