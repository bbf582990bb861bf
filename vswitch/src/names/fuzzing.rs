//! Body of the fuzz target `dns`, so that tests run it too. Not part of the public interface.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use hickory_proto::op::{Message, MessageType};

use super::network::{NetworkNames, Service};
use super::resolver::{Config, Resolver, Step, Transport};
use super::response::{Expected, Response};
use super::view::{Attached, View};
use super::wire::{self, HEADER, LowerName, Query, rtype};

/// A resolver without servers, and a view of a network that has some of everything.
static KNOWN: LazyLock<(Arc<Resolver>, View)> = LazyLock::new(|| {
    let net = NetworkNames::new("net");
    let http = Service { name: "http".into(), protocol: "tcp".into(), port: 80 };
    for n in 1..=40u8 {
        let name = format!("web{n}");
        let addresses = [IpAddr::from([172, 18, 0, n]), [0xfd00, 0, 0, 0, 0, 0, 0, n.into()].into()];
        let names = [name.clone(), "web".into()];
        net.set_with_services(&name, &name, &names, &addresses, std::slice::from_ref(&http));
    }
    let links = [("db".to_string(), "web1".to_string())];
    let view = View {
        networks: vec![Attached::new(net, &links)],
        servers: vec![IpAddr::from([127, 0, 0, 1])],
        ..View::default()
    };
    (Resolver::new(Config::default()), view)
});

/// The first byte's lowest bit says whether the rest is a server's answer or a client's query,
/// the next whether that came over TCP.
///
/// # Panics
/// When an answer is no response to its query, is too long, or cannot be read.
pub fn dns(bytes: &[u8]) {
    let Some((&how, message)) = bytes.split_first() else { return };
    if how & 1 == 0 { query(message, how & 2 != 0) } else { response(message) }
}

fn query(message: &[u8], tcp: bool) {
    let (resolver, view) = &*KNOWN;
    let mut out = Vec::new();
    let transport = if tcp { Transport::Tcp } else { Transport::Udp(1232) };
    match resolver.answer_local(view, message, transport, &mut out) {
        Step::Answered => {
            assert!(message.starts_with(&out[..2]));
            assert!(tcp || out.len() <= 1232);
            let answer = Message::from_vec(&out);
            assert!(answer.is_ok_and(|a| a.message_type == MessageType::Response));
        }
        Step::Dropped => assert!(Query::parse(message).is_err()),
        Step::Forward(_) => assert!(Query::parse(message).is_ok()),
    }
}

/// A message as the answer to the question that it repeats itself.
fn response(message: &[u8]) {
    let Some([id, ..]) = wire::header(message) else { return };
    let Some((name, end)) = LowerName::read(message, HEADER) else { return };
    let (Some(qtype), Some(qclass)) = (wire::u16_at(message, end), wire::u16_at(message, end + 2)) else {
        return;
    };
    let expected = Expected { id, name: name.as_bytes(), qtype, qclass };
    let Ok(response) = Response::parse(message.to_vec(), &expected) else { return };
    // Of other types hickory knows names that are not looked into here.
    let checked =
        [rtype::A, rtype::AAAA, rtype::CNAME, rtype::MX, rtype::NS, rtype::PTR, rtype::SOA, rtype::SRV];
    let readable = Message::from_vec(message)
        .is_ok_and(|m| m.all_sections().all(|r| checked.contains(&r.record_type().into())));
    let question = &message[HEADER..end + 4];
    let plain = [&[0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0], question].concat();
    let mut edns = [&plain[..], &[0, 0, 41, 2, 0, 0, 0, 0, 0, 0, 0]].concat();
    edns[11] = 1;
    for query in [plain, edns] {
        let Ok(query) = Query::parse(&query) else { return };
        for limit in [512, 1232, 65535] {
            let mut out = Vec::new();
            let cut = response.render(&query, 5, limit, &mut out);
            assert!(out.len() <= limit);
            let again = Response::parse(out.clone(), &Expected { id: query.id, ..expected });
            assert!(again.is_ok_and(|again| !cut || again.truncated()));
            assert!(!readable || Message::from_vec(&out).is_ok());
        }
    }
}
