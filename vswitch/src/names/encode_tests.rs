use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::op::{MessageType, ResponseCode};
use hickory_proto::rr::{DNSClass, RecordType};
use proptest::prelude::*;

use super::*;
use crate::names::network::{NetworkNames, Service};
use crate::names::testing::{answers, edns_query, ip, name, query, strings};
use crate::names::wire::to_key;

fn encoded(bytes: &[u8], limit: usize, addresses: &[IpAddr]) -> (Vec<u8>, bool) {
    let net = NetworkNames::new("net");
    net.set("e", "web", &strings(&["web"]), addresses);
    let query = Query::parse(bytes).unwrap();
    let mut out = vec![1, 2, 3];
    let found = net.hosts(&to_key("web").unwrap()).unwrap();
    let truncated = hosts(&query, limit, found.iter().map(|h| &**h), &mut out);
    (out, truncated)
}

/// The same answer, made by hickory.
fn oracle(bytes: &[u8], data: impl Iterator<Item = RData>) -> Message {
    let query = Message::from_vec(bytes).unwrap();
    let mut message = Message::response(query.id, OpCode::Query);
    message.metadata.recursion_desired = query.recursion_desired;
    message.metadata.checking_disabled = query.checking_disabled;
    message.metadata.recursion_available = true;
    message.add_query(query.queries[0].clone());
    for data in data {
        message.add_answer(Record::from_rdata(query.queries[0].name().clone(), TTL, data));
    }
    if let Some(asked) = query.edns {
        let mut edns = hickory_proto::op::Edns::new();
        edns.set_max_payload(UDP_SIZE).set_dnssec_ok(asked.flags().dnssec_ok);
        message.set_edns(edns);
    }
    message
}

fn sorted(mut message: Message) -> Message {
    message.answers.sort_by_key(|r| r.data.to_string());
    message
}

fn fields(bytes: &[u8]) -> [u16; 6] {
    wire::header(bytes).unwrap()
}

proptest! {
    /// The hand-written encoder says what hickory would, for any name, letter case, addresses,
    /// flags and EDNS.
    #[test]
    fn hickory_would_say_the_same(
        labels in prop::collection::vec("[a-zA-Z0-9_-]{1,20}", 1..5),
        v4 in prop::collection::btree_set(any::<Ipv4Addr>(), 0..6),
        v6 in prop::collection::btree_set(any::<Ipv6Addr>(), 0..6),
        rtype in prop::sample::select(vec![RecordType::A, RecordType::AAAA, RecordType::ANY, RecordType::MX, RecordType::TXT]),
        edns in any::<Option<bool>>(),
        (desired, disabled, id) in any::<(bool, bool, u16)>(),
    ) {
        let mut bytes = match edns {
            Some(dnssec_ok) => edns_query(&labels.join("."), rtype, 1232, 0, dnssec_ok),
            None => query(&labels.join("."), rtype),
        };
        bytes[..2].copy_from_slice(&id.to_be_bytes());
        bytes[2] = u8::from(desired);
        bytes[3] = if disabled { 0x10 } else { 0 };
        let addresses: Vec<IpAddr> =
            v4.iter().map(|&a| a.into()).chain(v6.iter().map(|&a| a.into())).collect();
        let (out, truncated) = encoded(&bytes, 4096, &addresses);
        prop_assert!(!truncated);
        let four = v4.iter().map(|&a| RData::A(A(a))).filter(|_| matches!(rtype, RecordType::A | RecordType::ANY));
        let six = v6.iter().map(|&a| RData::AAAA(AAAA(a))).filter(|_| matches!(rtype, RecordType::AAAA | RecordType::ANY));
        let expected = oracle(&bytes, four.chain(six));
        let ours = Message::from_vec(&out).unwrap();
        prop_assert_eq!(sorted(ours), sorted(expected));
        // The question is echoed to the letter.
        let question = Query::parse(&bytes).unwrap().question;
        prop_assert_eq!(&out[HEADER..HEADER + question.len()], question);
    }

    #[test]
    fn a_reverse_answer_is_hickorys_too(host in "[a-z0-9_.-]{1,30}", address in any::<Ipv4Addr>(), edns in any::<Option<bool>>()) {
        let Some(mut fqdn) = wire::to_wire(&format!("{host}.net"), 0) else { return Ok(()) };
        fqdn.push(0);
        let [a, b, c, d] = address.octets();
        let asked = format!("{d}.{c}.{b}.{a}.in-addr.arpa");
        let bytes = match edns {
            Some(dnssec_ok) => edns_query(&asked, RecordType::PTR, 1232, 0, dnssec_ok),
            None => query(&asked, RecordType::PTR),
        };
        let mut out = Vec::new();
        reverse(&Query::parse(&bytes).unwrap(), 512, Some(&fqdn), &mut out);
        let ptr = hickory_proto::rr::rdata::PTR(name(&format!("{host}.net")));
        prop_assert_eq!(Message::from_vec(&out).unwrap(), oracle(&bytes, std::iter::once(RData::PTR(ptr))));
    }

    /// However many addresses, the answer fits, says TC if it is not whole, and is in order.
    #[test]
    fn an_answer_is_never_longer_than_allowed(
        count in 0u32..300, limit in 512usize..5000, edns in any::<bool>(), any_type in any::<bool>(),
    ) {
        let rtype = if any_type { RecordType::ANY } else { RecordType::A };
        let bytes = if edns { edns_query("web", rtype, 4096, 0, false) } else { query("web", rtype) };
        let four = (0..count).map(|n| IpAddr::from(Ipv4Addr::from(0x0a00_0000 + n)));
        let six = (0..count).map(|n| IpAddr::from(Ipv6Addr::from(u128::from(n))));
        let addresses: Vec<IpAddr> = four.chain(six).collect();
        let (out, truncated) = encoded(&bytes, limit, &addresses);
        let message = Message::from_vec(&out).unwrap();
        let whole = if any_type { 2 * count } else { count } as usize;
        prop_assert!(out.len() <= limit);
        prop_assert_eq!(message.truncation, truncated);
        prop_assert_eq!(truncated, message.answers.len() < whole);
        prop_assert_eq!(message.edns.is_some(), edns);
        // No record was left out that there was room for.
        prop_assert!(!truncated || limit - out.len() < 28);
    }
}

#[test]
fn each_address_comes_first_now_and_then() {
    let addresses = [ip("10.0.0.1"), ip("10.0.0.2"), ip("10.0.0.3")];
    let bytes = query("web", RecordType::A);
    let first: BTreeSet<String> = (0..300)
        .map(|_| {
            let (out, _) = encoded(&bytes, 512, &addresses);
            Message::from_vec(&out).unwrap().answers[0].data.to_string()
        })
        .collect();
    assert_eq!(first.len(), 3);
}

#[test]
fn which_addresses_are_cut_is_left_to_chance() {
    let addresses: Vec<IpAddr> = (0..100).map(|n| Ipv4Addr::new(10, 0, 0, n).into()).collect();
    let bytes = query("web", RecordType::A);
    let seen: BTreeSet<String> = (0..300)
        .flat_map(|_| answers(&Message::from_vec(&encoded(&bytes, 512, &addresses).0).unwrap()))
        .collect();
    assert_eq!(seen.len(), 100);
}

#[test]
fn bad_version_is_said_in_both_halves() {
    let bytes = edns_query("web", RecordType::A, 1232, 1, true);
    let mut out = Vec::new();
    empty(&Query::parse(&bytes).unwrap(), 512, rcode::BADVERS, &mut out);
    let message = Message::from_vec(&out).unwrap();
    // hickory calls this code by the other name it has, BADSIG.
    assert_eq!(u16::from(message.response_code), rcode::BADVERS);
    let edns = message.edns.unwrap();
    assert_eq!((edns.version(), edns.flags().dnssec_ok, edns.max_payload()), (0, true, UDP_SIZE));
}

#[test]
fn a_refusal_has_a_header_only() {
    let mut out = Vec::new();
    refuse(7, 0x2901, rcode::NOTIMP, &mut out);
    assert_eq!(out.len(), HEADER);
    assert_eq!(fields(&out), [7, 0xa984, 0, 0, 0, 0]);
    let message = Message::from_vec(&out).unwrap();
    assert_eq!(message.message_type, MessageType::Response);
    assert_eq!(message.response_code, ResponseCode::NotImp);
}

fn with_services(count: u8) -> std::sync::Arc<NetworkNames> {
    let net = NetworkNames::new("Net");
    for n in 1..=count {
        let http = Service { name: "http".into(), protocol: "tcp".into(), port: 8000 + u16::from(n) };
        let name = format!("web{n}");
        let addresses = [Ipv4Addr::new(10, 0, 0, n).into(), ip(&format!("fd00::{n}"))];
        net.set_with_services(&name, &name, &strings(&["web"]), &addresses, &[http]);
    }
    net
}

fn service_answer(bytes: &[u8], limit: usize, count: u8) -> (Vec<u8>, bool) {
    let net = with_services(count);
    let found = net.hosts(&to_key("web").unwrap()).unwrap();
    let pairs = found.iter().flat_map(|h| h.services.iter().map(|s| (&**h, s.1)));
    let mut out = Vec::new();
    let truncated = services(&Query::parse(bytes).unwrap(), limit, pairs, &mut out).unwrap();
    (out, truncated)
}

#[test]
fn a_service_is_a_port_at_a_name_and_the_names_addresses() {
    let bytes = edns_query("_http._tcp.Web", RecordType::SRV, 1232, 0, false);
    let (out, truncated) = service_answer(&bytes, 1232, 2);
    let message = Message::from_vec(&out).unwrap();
    assert!(!truncated);
    assert_eq!(answers(&message), ["0 0 8001 web1.Net.", "0 0 8002 web2.Net."]);
    assert!(message.answers.iter().all(|r| r.ttl == TTL && r.dns_class == DNSClass::IN));
    let mut more: Vec<_> = message.additionals.iter().map(|r| format!("{} {}", r.name, r.data)).collect();
    more.sort();
    assert_eq!(more, ["web1.Net. 10.0.0.1", "web1.Net. fd00::1", "web2.Net. 10.0.0.2", "web2.Net. fd00::2"]);
    assert_eq!(message.edns.as_ref().unwrap().max_payload(), UDP_SIZE);
    assert!(message.recursion_desired && message.recursion_available);
}

#[test]
fn services_are_cut_to_size_and_keep_their_opt_record() {
    for limit in [512, 600, 1232, 4000] {
        let bytes = edns_query("_http._tcp.web", RecordType::SRV, 4096, 0, false);
        let (out, truncated) = service_answer(&bytes, limit, 200);
        let message = Message::from_vec(&out).unwrap();
        assert!(truncated && message.truncation);
        assert!(out.len() <= limit && message.edns.is_some());
        assert!(!message.answers.is_empty());
    }
    let (out, truncated) = service_answer(&query("_http._tcp.web", RecordType::SRV), 65535, 200);
    assert!(!truncated);
    assert_eq!(Message::from_vec(&out).unwrap().answers.len(), 200);
}
