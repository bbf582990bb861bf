use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{DNSClass, RecordType};
use proptest::prelude::*;

use super::*;
use crate::names::network::{NetworkNames, Service};
use crate::names::testing::{LOOPBACK, answers, edns_query, ip, message, query, strings, view};
use crate::names::view::Attached;

fn resolver() -> Arc<Resolver> {
    Resolver::new(Config::default())
}

/// The answer to a query about what is known; panics when it would have to be forwarded.
fn ask(view: &View, query: &[u8]) -> Message {
    let mut out = Vec::new();
    let step = resolver().answer_local(view, query, LOOPBACK, &mut out);
    assert!(matches!(step, Step::Answered), "{step:?}");
    Message::from_vec(&out).unwrap()
}

fn data(text: &str, rtype: RecordType) -> Vec<String> {
    let message = ask(&view(), &query(text, rtype));
    assert_eq!(message.response_code, ResponseCode::NoError);
    assert!(message.recursion_available && message.recursion_desired && !message.truncation);
    assert!(!message.authoritative);
    assert!(message.answers.iter().all(|r| r.ttl == 600));
    answers(&message)
}

fn is_forwarded(view: &View, query: &[u8]) -> bool {
    let mut out = Vec::new();
    matches!(resolver().answer_local(view, query, LOOPBACK, &mut out), Step::Forward(_))
}

#[test]
fn a_container_is_found_by_name_alias_and_short_id_alone_and_with_its_network() {
    for name in ["web", "WEB", "www", "0123456789ab", "web.net", "Www.Net.", "0123456789ab.net"] {
        assert_eq!(data(name, RecordType::A), ["172.18.0.2"], "{name}");
        assert_eq!(data(name, RecordType::AAAA), ["fd00::2"], "{name}");
    }
    assert_eq!(data("pool", RecordType::A), ["172.18.0.3", "172.18.0.4"]);
}

#[test]
fn a_known_name_is_answered_empty_for_what_it_has_not() {
    let none: [String; 0] = [];
    assert_eq!(data("db", RecordType::AAAA), none);
    for rtype in [RecordType::MX, RecordType::TXT, RecordType::HTTPS, RecordType::SRV, RecordType::NS] {
        assert_eq!(data("web", rtype), none, "{rtype}");
    }
}

#[test]
fn any_is_all_there_is() {
    assert_eq!(data("web", RecordType::ANY), ["172.18.0.2", "fd00::2"]);
}

#[test]
fn an_address_is_found_under_the_containers_name() {
    assert_eq!(data("2.0.18.172.in-addr.arpa", RecordType::PTR), ["web.net."]);
    let six = "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa";
    assert_eq!(data(six, RecordType::PTR), ["web.net."]);
    assert_eq!(data("4.0.18.172.IN-ADDR.ARPA", RecordType::ANY), ["db2.net."]);
    assert!(data("4.0.18.172.in-addr.arpa", RecordType::A).is_empty());
    assert!(is_forwarded(&view(), &query("5.0.18.172.in-addr.arpa", RecordType::PTR)));
    assert!(is_forwarded(&view(), &query("18.172.in-addr.arpa", RecordType::PTR)));
}

#[test]
fn localhost_is_this_machine() {
    for name in ["localhost", "LocalHost", "some.localhost"] {
        assert_eq!(data(name, RecordType::A), ["127.0.0.1"]);
        assert_eq!(data(name, RecordType::AAAA), ["::1"]);
        assert!(data(name, RecordType::MX).is_empty());
    }
    assert_eq!(data("1.0.0.127.in-addr.arpa", RecordType::PTR), ["localhost."]);
    assert!(is_forwarded(&view(), &query("localhost.example", RecordType::A)));
}

#[test]
fn services_are_found_by_name_and_protocol() {
    let net = NetworkNames::new("net");
    let service =
        |name: &str, protocol: &str, port| Service { name: name.into(), protocol: protocol.into(), port };
    let services = [service("http", "tcp", 80), service("domain", "udp", 53)];
    net.set_with_services("e", "web", &strings(&["web", "a.b"]), &[ip("10.0.0.2")], &services);
    let links = [("front".into(), "web".into())];
    let view = View { networks: vec![Attached::new(net, &links)], ..View::default() };
    let srv = |name| answers(&ask(&view, &query(name, RecordType::SRV)));
    for name in ["_http._tcp.web", "_HTTP._tcp.web.net", "_http._tcp.a.b", "_http._tcp.front"] {
        assert_eq!(srv(name), ["0 0 80 web.net."], "{name}");
    }
    assert_eq!(srv("_domain._udp.web"), ["0 0 53 web.net."]);
    assert!(srv("_http._udp.web").is_empty());
    assert!(is_forwarded(&view, &query("_http._tcp.nobody", RecordType::SRV)));
    assert!(is_forwarded(&view, &query("_http._tcp", RecordType::SRV)));
    assert!(is_forwarded(&view, &query("_http._tcp.web", RecordType::A)));
}

#[test]
fn unknown_names_are_forwarded_also_those_of_one_label() {
    for name in ["example.com", "nobody", "nobody.net", "web.example"] {
        assert!(is_forwarded(&view(), &query(name, RecordType::A)), "{name}");
    }
    let root = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1];
    assert!(is_forwarded(&view(), &root));
}

#[test]
fn where_the_user_set_ndots_a_single_label_stays_in() {
    let view = View { ndots_set: true, ..view() };
    for rtype in [RecordType::A, RecordType::AAAA] {
        let message = ask(&view, &query("nobody", rtype));
        assert_eq!((message.response_code, message.answers.len()), (ResponseCode::NoError, 0));
    }
    assert!(is_forwarded(&view, &query("nobody", RecordType::MX)));
    assert!(is_forwarded(&view, &query("nobody.example", RecordType::A)));
    assert_eq!(answers(&ask(&view, &query("web", RecordType::A))), ["172.18.0.2"]);
}

#[test]
fn nothing_leaves_a_container_that_may_not_ask_outside() {
    let view = View { forward: false, ..view() };
    let message = ask(&view, &edns_query("example.com", RecordType::A, 1232, 0, false));
    assert_eq!(message.response_code, ResponseCode::ServFail);
    assert!(message.edns.is_some());
    assert_eq!(answers(&ask(&view, &query("web", RecordType::A))), ["172.18.0.2"]);
}

#[test]
fn other_classes_are_not_known_here() {
    let mut chaos = message("web", RecordType::TXT);
    chaos.queries[0].set_query_class(DNSClass::CH);
    assert!(is_forwarded(&view(), &chaos.to_vec().unwrap()));
    let mut any = message("web", RecordType::A);
    any.queries[0].set_query_class(DNSClass::ANY);
    assert_eq!(answers(&ask(&view(), &any.to_vec().unwrap())), ["172.18.0.2"]);
}

#[test]
fn edns_is_answered_in_kind() {
    let message = ask(&view(), &edns_query("web", RecordType::A, 4096, 0, true));
    let edns = message.edns.unwrap();
    assert!(edns.flags().dnssec_ok);
    assert_eq!(edns.max_payload(), 1232);
    let message = ask(&view(), &edns_query("web", RecordType::A, 4096, 1, false));
    assert_eq!(u16::from(message.response_code), rcode::BADVERS);
    assert!(message.answers.is_empty());
    assert!(ask(&view(), &query("web", RecordType::A)).edns.is_none());
}

#[test]
fn a_long_answer_depends_on_what_the_client_takes() {
    let net = NetworkNames::new("net");
    for n in 0..100u8 {
        let name = format!("web{n}");
        net.set(&name, &name, &strings(&["web"]), &[IpAddr::from([10, 0, 0, n])]);
    }
    let view = View { networks: vec![net.into()], ..View::default() };
    let resolver = resolver();
    let size = |query: &[u8], transport| {
        let mut out = Vec::new();
        assert!(matches!(resolver.answer_local(&view, query, transport, &mut out), Step::Answered));
        let message = Message::from_vec(&out).unwrap();
        (message.answers.len(), message.truncation, out.len())
    };
    let plain = query("web", RecordType::A);
    let (count, truncated, len) = size(&plain, LOOPBACK);
    assert!(truncated && len <= 512 && count == 30, "{count} {len}");
    let large = edns_query("web", RecordType::A, 4096, 0, false);
    assert_eq!(size(&large, LOOPBACK).0, 100);
    let (count, truncated, len) = size(&large, Transport::Udp(1232));
    assert!(truncated && len <= 1232 && count > 70);
    // A size below 512 means 512 (RFC 6891, 6.2.3).
    assert_eq!(size(&edns_query("web", RecordType::A, 0, 0, false), LOOPBACK).0, 30);
    assert_eq!(size(&plain, Transport::Tcp), (100, false, 12 + 9 + 1600));
    assert_eq!(resolver.counters.get(Counter::Truncated), 3);
}

#[test]
fn what_is_no_query_is_refused_or_dropped_and_counted() {
    let resolver = resolver();
    let view = view();
    let whole = query("web", RecordType::A);
    let answer = |message: &[u8]| {
        let mut out = Vec::new();
        match resolver.answer_local(&view, message, LOOPBACK, &mut out) {
            Step::Answered => Some(Message::from_vec(&out).unwrap()),
            Step::Dropped => None,
            Step::Forward(_) => panic!("forwarded"),
        }
    };
    let spoiled = |at: usize, to: u8| {
        let mut message = whole.clone();
        message[at] = to;
        answer(&message).map(|m| (m.id, m.response_code, m.queries.len()))
    };
    assert_eq!(spoiled(2, 0x81), None);
    assert_eq!(spoiled(2, 0x20), Some((0x1234, ResponseCode::NotImp, 0)));
    assert_eq!(spoiled(5, 2), Some((0x1234, ResponseCode::FormErr, 0)));
    assert_eq!(spoiled(12, 0xc0), Some((0x1234, ResponseCode::FormErr, 0)));
    assert!(answer(&[0; 11]).is_none());
    assert!(answer(&[0; 5000]).is_none());
    let stats = resolver.stats();
    let expected = [
        ("format_error", 2),
        ("is_response", 1),
        ("not_implemented", 1),
        ("oversized", 1),
        ("queries", 6),
        ("too_short", 1),
    ];
    assert_eq!(stats, expected.into());
}

proptest! {
    /// Whatever comes: no panic, an answer that is a response to it, and exactly one outcome.
    #[test]
    fn any_message_has_one_outcome(
        noise in prop::collection::vec(any::<u8>(), 0..80),
        name in prop::sample::select(vec!["web.net", "localhost", "2.0.18.172.in-addr.arpa", "_a._b.web", "x.y"]),
        rtype in any::<u16>(), common in any::<bool>(), edns in any::<Option<(u16, u8)>>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        raw in any::<bool>(), tcp in any::<bool>(),
    ) {
        let rtype = RecordType::from(if common { [1, 12, 28, 33, 255][usize::from(rtype % 5)] } else { rtype });
        let mut bytes = match edns {
            _ if raw => noise,
            Some((size, version)) => edns_query(name, rtype, size, version % 2, size % 2 == 0),
            None => query(name, rtype),
        };
        for (at, to) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = to;
            }
        }
        let resolver = resolver();
        let view = View { forward: false, ..view() };
        let mut out = Vec::new();
        let transport = if tcp { Transport::Tcp } else { LOOPBACK };
        match resolver.answer_local(&view, &bytes, transport, &mut out) {
            Step::Answered => {
                let message = Message::from_vec(&out).unwrap();
                prop_assert_eq!(&out[..2], &bytes[..2]);
                prop_assert_eq!(message.message_type, hickory_proto::op::MessageType::Response);
                prop_assert!(tcp || out.len() <= 65535);
            }
            Step::Dropped => {}
            Step::Forward(_) => prop_assert!(false, "forwarded"),
        }
        let outcomes = resolver.stats();
        let sum: u64 = outcomes.iter().filter(|(name, _)| !["queries", "truncated"].contains(name)).map(|(_, n)| n).sum();
        prop_assert_eq!((outcomes["queries"], sum), (1, 1));
    }
}
