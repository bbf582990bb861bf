use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use tokio::time::advance;

use crate::names::resolver::{Config, Resolver, Transport};
use crate::names::testing::{
    Behaviour, LOOPBACK, Servers, address, always, answers, edns_query, error, ip, negative, query, response,
    silent,
};
use crate::names::view::View;

async fn ask(resolver: &Resolver, view: &View, query: &[u8], transport: Transport) -> Message {
    Message::from_vec(&resolver.answer(view, query, transport).await.unwrap()).unwrap()
}

fn www() -> Vec<u8> {
    query("www.example", RecordType::A)
}

fn code(code: ResponseCode) -> Behaviour {
    always(move |q| error(q, code))
}

fn garbage() -> Behaviour {
    Box::new(|q| {
        let mut bytes = response(q, [1; 4], 300).to_vec().unwrap();
        bytes.truncate(bytes.len() - 1);
        vec![bytes]
    })
}

/// The answer with these servers, and how often each was asked.
async fn with(udp: Vec<Behaviour>) -> (Message, Vec<usize>) {
    let servers = Servers::new(udp).await;
    let message = ask(&servers.resolver(), &servers.view(), &www(), LOOPBACK).await;
    (message, servers.counts())
}

#[tokio::test(start_paused = true)]
async fn the_first_server_is_asked_first() {
    let (message, counts) = with(vec![address([192, 0, 2, 1]), address([192, 0, 2, 2])]).await;
    assert_eq!(answers(&message), ["192.0.2.1"]);
    assert_eq!(counts, [1, 0]);
}

#[tokio::test(start_paused = true)]
async fn whoever_fails_is_followed_by_the_next() {
    let failing: [fn() -> Behaviour; 6] = [
        || code(ResponseCode::ServFail),
        || code(ResponseCode::Refused),
        || code(ResponseCode::NotImp),
        || code(ResponseCode::FormErr),
        silent,
        garbage,
    ];
    for first in failing {
        let (message, counts) = with(vec![first(), address([192, 0, 2, 2])]).await;
        assert_eq!(answers(&message), ["192.0.2.2"]);
        assert_eq!(counts, [1, 1]);
    }
}

#[tokio::test(start_paused = true)]
async fn that_there_is_no_such_name_is_an_answer() {
    let (message, counts) = with(vec![code(ResponseCode::NXDomain), address([192, 0, 2, 2])]).await;
    assert_eq!(message.response_code, ResponseCode::NXDomain);
    assert_eq!(counts, [1, 0]);
}

#[tokio::test(start_paused = true)]
async fn three_servers_are_asked_four_seconds_each_and_no_fourth() {
    let start = tokio::time::Instant::now();
    let (message, counts) = with(vec![silent(), silent(), silent(), address([192, 0, 2, 4])]).await;
    assert_eq!(message.response_code, ResponseCode::ServFail);
    assert_eq!(start.elapsed().as_secs(), 12);
    assert_eq!(counts, [1, 1, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn when_all_fail_the_last_error_is_passed_on() {
    let (message, _) = with(vec![code(ResponseCode::ServFail), code(ResponseCode::Refused), silent()]).await;
    assert_eq!(message.response_code, ResponseCode::Refused);
    let (message, _) = with(vec![silent(), garbage()]).await;
    assert_eq!(message.response_code, ResponseCode::ServFail);
}

#[tokio::test(start_paused = true)]
async fn dead_servers_delay_no_known_name() {
    let servers = Servers::new(vec![silent(), silent(), silent()]).await;
    let (resolver, view) = (servers.resolver(), servers.view());
    let start = tokio::time::Instant::now();
    let unknown = (0..50).map(|n| {
        let (resolver, view) = (&resolver, &view);
        async move {
            let query = query(&format!("n{n}.example"), RecordType::A);
            resolver.answer(view, &query, LOOPBACK).await
        }
    });
    let mut waiting = Box::pin(join_all(unknown));
    assert!((&mut waiting).now_or_never().is_none());
    for _ in 0..1000 {
        let known = ask(&resolver, &view, &query("web", RecordType::A), LOOPBACK).await;
        assert_eq!(answers(&known), ["172.18.0.2"]);
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    waiting.await;
    assert_eq!(start.elapsed().as_secs(), 12);
    assert_eq!(resolver.stats()["upstream_failed"], 50);
}

#[tokio::test(start_paused = true)]
async fn the_hosts_servers_are_asked_where_there_are_no_others_and_followed() {
    let servers = Servers::new(vec![address([192, 0, 2, 1]), address([192, 0, 2, 2])]).await;
    let dir = tempfile::tempdir().unwrap();
    let resolv_conf = dir.path().join("resolv.conf");
    let resolver =
        Resolver::new(Config { resolv_conf: resolv_conf.clone(), port: servers.port, ..Config::default() });
    let view = View::default();
    for (server, expected) in [("127.0.0.1", "192.0.2.1"), ("127.0.0.2", "192.0.2.2")] {
        std::fs::write(&resolv_conf, format!("nameserver {server}\n")).unwrap();
        // Not from the cache, though the query is the same: it was other servers' answer.
        assert_eq!(answers(&ask(&resolver, &view, &www(), LOOPBACK).await), [expected]);
    }
    std::fs::write(&resolv_conf, "nameserver 127.0.0.1\n").unwrap();
    ask(&resolver, &view, &www(), LOOPBACK).await;
    assert_eq!(servers.counts(), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_kept_and_grows_old() {
    let servers = Servers::new(vec![address([192, 0, 2, 1])]).await;
    let (resolver, view) = (servers.resolver(), servers.view());
    let mut ttls = Vec::new();
    for _ in 0..4 {
        let message = ask(&resolver, &view, &www(), LOOPBACK).await;
        ttls.push(message.answers[0].ttl);
        advance(Duration::from_mins(2)).await;
    }
    assert_eq!(ttls, [300, 180, 60, 300]);
    assert_eq!(servers.counts(), [2]);
    let stats = resolver.stats();
    assert_eq!((stats["cached"], stats["forwarded"]), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn that_there_is_none_is_kept_too() {
    let servers = Servers::new(vec![always(|q| negative(q, ResponseCode::NXDomain, 900, 60))]).await;
    let (resolver, view) = (servers.resolver(), servers.view());
    for (seconds, asked) in [(0, 1), (59, 1), (1, 2)] {
        advance(Duration::from_secs(seconds)).await;
        let message = ask(&resolver, &view, &www(), LOOPBACK).await;
        assert_eq!(message.response_code, ResponseCode::NXDomain);
        assert_eq!(servers.counts(), [asked]);
    }
}

#[tokio::test(start_paused = true)]
async fn errors_are_not_kept() {
    let mut first = true;
    let once = always(move |q| {
        if std::mem::take(&mut first) { error(q, ResponseCode::ServFail) } else { response(q, [1; 4], 300) }
    });
    let servers = Servers::new(vec![once]).await;
    let (resolver, view) = (servers.resolver(), servers.view());
    assert_eq!(ask(&resolver, &view, &www(), LOOPBACK).await.response_code, ResponseCode::ServFail);
    assert_eq!(answers(&ask(&resolver, &view, &www(), LOOPBACK).await), ["1.1.1.1"]);
}

#[tokio::test(start_paused = true)]
async fn containers_with_other_servers_do_not_share_answers() {
    let servers = Servers::new(vec![address([192, 0, 2, 1]), address([192, 0, 2, 2])]).await;
    let resolver = servers.resolver();
    for (server, expected) in [("127.0.0.1", "192.0.2.1"), ("127.0.0.2", "192.0.2.2")] {
        let view = View { servers: vec![ip(server)], ..View::default() };
        assert_eq!(answers(&ask(&resolver, &view, &www(), LOOPBACK).await), [expected]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_query_is_asked_once_at_a_time() {
    let servers = Servers::new(vec![silent(), address([192, 0, 2, 2])]).await;
    let (resolver, view) = (servers.resolver(), servers.view());
    let queries: Vec<_> = (0..10u16)
        .map(|n| {
            let mut query = query(if n % 2 == 0 { "www.example" } else { "WWW.EXAMPLE" }, RecordType::A);
            query[..2].copy_from_slice(&n.to_be_bytes());
            query
        })
        .collect();
    let all = join_all(queries.iter().map(|q| ask(&resolver, &view, q, LOOPBACK))).await;
    for (n, message) in all.iter().enumerate() {
        assert_eq!(usize::from(message.id), n);
        assert_eq!(answers(message), ["192.0.2.2"]);
        let name = message.queries[0].name().to_string();
        assert_eq!(name, if n % 2 == 0 { "www.example." } else { "WWW.EXAMPLE." });
    }
    assert_eq!(servers.counts(), [1, 1]);
    let stats = resolver.stats();
    assert_eq!((stats["forwarded"], stats["merged"]), (1, 9));
    assert_eq!(resolver.forwarder().in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn too_many_queries_are_refused_at_once() {
    let servers = Servers::new(vec![silent()]).await;
    let resolver = servers.resolver_with(Config { in_flight: 2, ..Config::default() });
    let view = servers.view();
    let queries: Vec<_> = (0..5).map(|n| query(&format!("n{n}.example"), RecordType::A)).collect();
    let all = join_all(queries.iter().map(|q| ask(&resolver, &view, q, LOOPBACK))).await;
    assert!(all.iter().all(|m| m.response_code == ResponseCode::ServFail));
    let stats = resolver.stats();
    assert_eq!((stats["forward_limit"], stats["upstream_failed"]), (3, 2));
    assert_eq!(servers.counts(), [2]);
    assert_eq!(resolver.forwarder().in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_asks_may_go_and_the_next_has_the_answer() {
    let servers = Servers::new(vec![silent(), address([192, 0, 2, 2])]).await;
    let (resolver, view) = (servers.resolver(), servers.view());
    let query = www();
    let mut gone = Box::pin(ask(&resolver, &view, &query, LOOPBACK));
    assert!((&mut gone).now_or_never().is_none());
    drop(gone);
    assert_eq!(resolver.stats()["abandoned"], 1);
    assert_eq!(answers(&ask(&resolver, &view, &www(), LOOPBACK).await), ["192.0.2.2"]);
    assert_eq!(servers.counts(), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_truncated_answer_is_passed_on_over_udp_and_fetched_over_tcp() {
    let many = |q: &[u8]| {
        let mut message = response(q, [10, 0, 0, 0], 300);
        for n in 1..100 {
            message.answers.push(response(q, [10, 0, 0, n], 300).answers.remove(0));
        }
        message
    };
    let short = always(move |q| {
        let mut message = many(q);
        message.answers.truncate(20);
        message.metadata.truncation = true;
        message
    });
    let servers = Servers::with_tcp(vec![short], vec![always(many)]).await;
    let (resolver, view) = (servers.resolver(), servers.view());
    let message = ask(&resolver, &view, &www(), LOOPBACK).await;
    assert!(message.truncation);
    assert_eq!(message.answers.len(), 20);
    let message = ask(&resolver, &view, &www(), Transport::Tcp).await;
    assert!(!message.truncation);
    assert_eq!(message.answers.len(), 100);
    // Kept now, and cut for whoever comes over UDP.
    let message = ask(&resolver, &view, &www(), LOOPBACK).await;
    assert!(message.truncation);
    assert_eq!(message.answers.len(), 30);
    assert_eq!(servers.counts(), [3]);
}

#[tokio::test(start_paused = true)]
async fn edns_goes_to_the_server_only_if_it_came() {
    let servers = Servers::new(vec![address([192, 0, 2, 1])]).await;
    let (resolver, view) = (servers.resolver(), servers.view());
    assert!(ask(&resolver, &view, &www(), LOOPBACK).await.edns.is_none());
    let with = edns_query("www.example", RecordType::A, 4096, 0, true);
    assert!(ask(&resolver, &view, &with, LOOPBACK).await.edns.unwrap().flags().dnssec_ok);
    let asked = servers.asked[0].lock();
    let sent: Vec<_> = asked.iter().map(|(q, _)| Message::from_vec(q).unwrap().edns.is_some()).collect();
    assert_eq!(sent, [false, true]);
}
