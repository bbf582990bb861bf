use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use proptest::prelude::*;

use super::*;
use crate::names::testing::{edns_query, query};

#[test]
fn a_query_is_read_as_it_was_written() {
    let bytes = query("Web.NET", RecordType::AAAA);
    let query = Query::parse(&bytes).unwrap();
    assert_eq!((query.id, query.flags, query.qtype, query.qclass), (0x1234, flag::RD, rtype::AAAA, 1));
    assert_eq!(query.name.as_bytes(), b"\x03web\x03net");
    assert_eq!(query.question, b"\x03Web\x03NET\0\0\x1c\0\x01");
    assert_eq!(query.edns, None);
    assert_eq!(query.name.label_count(), 2);
}

#[test]
fn an_opt_record_is_read() {
    let bytes = edns_query("web", RecordType::A, 4096, 0, true);
    let edns = Query::parse(&bytes).unwrap().edns;
    assert_eq!(edns, Some(Edns { size: 4096, version: 0, dnssec_ok: true }));
}

#[test]
fn an_opt_record_may_have_options() {
    let mut bytes = edns_query("web", RecordType::A, 1232, 0, false);
    let len = bytes.len();
    bytes[len - 1] = 12;
    bytes.extend([0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert!(Query::parse(&bytes).is_ok());
    for wrong in [7, 9, 0xff] {
        bytes[len + 3] = wrong;
        assert_eq!(Query::parse(&bytes).unwrap_err(), Reject::Malformed);
    }
}

#[test]
fn what_is_no_query_is_told_apart() {
    let whole = query("web.net", RecordType::A);
    let spoiled = |at: usize, bytes: &[u8]| {
        let mut message = whole.clone();
        message[at..at + bytes.len()].copy_from_slice(bytes);
        Query::parse(&message).map(|_| ()).unwrap_err()
    };
    assert_eq!(Query::parse(&whole[..11]).unwrap_err(), Reject::TooShort);
    assert_eq!(spoiled(2, &[0x81]), Reject::IsResponse);
    // Status, notify, update.
    for opcode in [2u8, 4, 5, 15] {
        assert_eq!(spoiled(2, &[opcode << 3]), Reject::NotImplemented);
    }
    for counts in [[0, 0, 0, 0], [2, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1], [1, 0, 0, 2]] {
        let counts: Vec<u8> = counts.into_iter().flat_map(u16::to_be_bytes).collect();
        assert_eq!(spoiled(4, &counts), Reject::Malformed, "{counts:?}");
    }
    // A pointer to itself, a pointer to the header, a label of a kind that is none.
    for name in [[0xc0, 12], [0xc0, 0], [0x40, 1], [0x80, 1]] {
        assert_eq!(spoiled(12, &name), Reject::Malformed, "{name:?}");
    }
    let types = whole.len() - 4;
    assert_eq!(spoiled(types, &[0, 252]), Reject::NotImplemented);
    assert_eq!(spoiled(types, &[0, 250]), Reject::NotImplemented);
    assert_eq!(spoiled(types, &[0, 41]), Reject::Malformed);
    assert_eq!(spoiled(types, &[0, 0]), Reject::Malformed);
    for cut in 12..whole.len() {
        assert_eq!(Query::parse(&whole[..cut]).unwrap_err(), Reject::Malformed);
    }
    let mut longer = whole.clone();
    longer.push(0);
    assert_eq!(Query::parse(&longer).unwrap_err(), Reject::Malformed);
    longer.resize(MAX_QUERY + 1, 0);
    assert_eq!(Query::parse(&longer).unwrap_err(), Reject::Oversized);
}

#[test]
fn two_opt_records_are_refused() {
    let mut bytes = edns_query("web", RecordType::A, 1232, 0, false);
    bytes.extend_from_within(bytes.len() - OPT_LEN..);
    bytes[11] = 2;
    assert_eq!(Query::parse(&bytes).unwrap_err(), Reject::Malformed);
}

#[test]
fn a_name_has_255_bytes_at_most() {
    let read = |lens: &[usize]| {
        let mut bytes = vec![0; HEADER];
        for &len in lens {
            bytes.push(len as u8);
            bytes.extend(vec![b'a'; len]);
        }
        bytes.push(0);
        LowerName::read(&bytes, HEADER).map(|(name, end)| (name.as_bytes().len(), end))
    };
    assert_eq!(read(&[63, 63, 63, 61]), Some((254, 12 + 255)));
    assert_eq!(read(&[63, 63, 63, 62]), None);
    assert_eq!(read(&[1; 127]), Some((254, 12 + 255)));
    assert_eq!(read(&[1; 128]), None);
    assert_eq!(read(&[]), Some((0, 13)));
}

fn reverse(text: &str) -> Option<IpAddr> {
    let bytes = query(text, RecordType::PTR);
    Query::parse(&bytes).unwrap().name.reverse_address()
}

#[test]
fn reverse_names_are_those_of_whole_addresses() {
    assert_eq!(reverse("2.0.18.172.IN-ADDR.arpa"), Some("172.18.0.2".parse().unwrap()));
    let six = "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.D.f.ip6.arpa";
    assert_eq!(reverse(six), Some("fd00::2".parse().unwrap()));
    for none in [
        "18.172.in-addr.arpa",
        "1.2.0.18.172.in-addr.arpa",
        "02.0.18.172.in-addr.arpa",
        "+2.0.18.172.in-addr.arpa",
        "256.0.18.172.in-addr.arpa",
        "x.0.18.172.in-addr.arpa",
        "in-addr.arpa",
        "0.0.0.d.f.ip6.arpa",
        "web.net",
    ] {
        assert_eq!(reverse(none), None, "{none}");
    }
}

#[test]
fn a_label_that_looks_like_the_end_of_a_reverse_name_is_none() {
    let mut bytes = vec![0; HEADER];
    bytes.extend(b"\x012\x010\x0218\x03172\x0d\x07in-addr\x04arpa\0");
    let (name, _) = LowerName::read(&bytes, HEADER).unwrap();
    assert_eq!(name.label_count(), 5);
    assert_eq!(name.reverse_address(), None);
}

#[test]
fn names_that_dns_cannot_carry_have_no_key() {
    assert_eq!(to_key("Web.Net").unwrap().as_ref(), b"\x03web\x03net");
    assert_eq!(to_key("web."), to_key("web"));
    for none in ["", ".", "a..b", &"a".repeat(64), &"abc.".repeat(64)] {
        assert_eq!(to_key(none), None, "{none}");
    }
    assert!(to_key(&"a".repeat(63)).is_some());
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _whatever = Query::parse(&bytes);
    }

    /// Whatever is taken for a query is one in hickory's eyes, and the same.
    #[test]
    fn hickory_agrees(
        at in 2usize..60, to in any::<u8>(), len in 12usize..70, edns in any::<bool>(), extra in any::<u8>(),
    ) {
        let mut bytes = if edns {
            edns_query("some.where.example", RecordType::A, 1232, 0, extra & 1 == 0)
        } else {
            query("some.where.example", RecordType::A)
        };
        if at < bytes.len() {
            bytes[at] = to;
        }
        bytes.truncate(len);
        if let Ok(ours) = Query::parse(&bytes) {
            let theirs = Message::from_vec(&bytes).unwrap();
            let asked = &theirs.queries[0];
            prop_assert_eq!(theirs.queries.len(), 1);
            prop_assert_eq!(u16::from(asked.query_type), ours.qtype);
            prop_assert_eq!(u16::from(asked.query_class), ours.qclass);
            let labels: Vec<_> = asked.name.iter().map(<[u8]>::to_ascii_lowercase).collect();
            prop_assert_eq!(labels, ours.name.labels().map(<[u8]>::to_vec).collect::<Vec<_>>());
            prop_assert_eq!(theirs.edns.map(|e| e.version()), ours.edns.map(|e| e.version));
        }
    }

    #[test]
    fn every_address_is_found_by_its_reverse_name(address in any::<IpAddr>()) {
        let text = match address {
            IpAddr::V4(a) => {
                let [a, b, c, d] = a.octets();
                format!("{d}.{c}.{b}.{a}.in-addr.arpa")
            }
            IpAddr::V6(a) => {
                let digits = format!("{:032x}", u128::from(a));
                digits.chars().rev().flat_map(|c| [c, '.']).chain("ip6.arpa".chars()).collect()
            }
        };
        prop_assert_eq!(reverse(&text), Some(address));
    }
}
