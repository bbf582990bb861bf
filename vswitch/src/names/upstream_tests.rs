use std::collections::HashSet;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

use super::super::wire;
use super::*;
use crate::names::testing::{Behaviour, Servers, address, always, error, query, response, silent};

const WAIT: Duration = Duration::from_secs(4);

fn key() -> Key {
    let bytes = crate::names::testing::edns_query("www.example", RecordType::A, 4096, 0, true);
    Key::new(&wire::Query::parse(&bytes).unwrap(), [].into())
}

struct Asked {
    result: Result<Response, Failure>,
    counters: Counters,
    servers: Servers,
}

async fn asked(udp: Behaviour, tcp: Option<Behaviour>, whole: bool) -> Asked {
    let servers = Servers::with_tcp(vec![udp], tcp.into_iter().collect()).await;
    let counters = Counters::default();
    let server = SocketAddr::new(servers.addresses[0], servers.port);
    let result = ask(server, &key(), whole, WAIT, &counters).await;
    Asked { result, counters, servers }
}

#[tokio::test(start_paused = true)]
async fn the_query_has_its_own_identifier_and_nothing_of_the_clients_but_what_it_wants() {
    let asked = asked(address([192, 0, 2, 1]), None, false).await;
    assert!(asked.result.unwrap().is_answer());
    let (bytes, _) = asked.servers.asked[0].lock()[0].clone();
    let sent = Message::from_vec(&bytes).unwrap();
    assert!(sent.recursion_desired && !sent.checking_disabled && !sent.authentic_data);
    assert_eq!(sent.queries[0].to_string(), "www.example. IN A");
    let edns = sent.edns.unwrap();
    assert!(edns.flags().dnssec_ok && edns.max_payload() == UDP_SIZE);
    assert!(edns.options().as_ref().is_empty());
}

#[tokio::test(start_paused = true)]
async fn identifiers_and_ports_cannot_be_guessed() {
    let servers = Servers::new(vec![address([192, 0, 2, 1])]).await;
    let counters = Counters::default();
    let server = SocketAddr::new(servers.addresses[0], servers.port);
    for _ in 0..100 {
        ask(server, &key(), false, WAIT, &counters).await.unwrap();
    }
    let asked = servers.asked[0].lock();
    let ids: HashSet<_> = asked.iter().map(|(q, _)| [q[0], q[1]]).collect();
    let ports: HashSet<_> = asked.iter().map(|(_, from)| from.port()).collect();
    assert!(ids.len() > 90 && ports.len() > 90, "{} {}", ids.len(), ports.len());
}

/// A server whose answer comes after forged ones.
fn late(mut forged: impl FnMut(Message) -> Message + Send + 'static, count: usize) -> Behaviour {
    Box::new(move |q| {
        let good = response(q, [192, 0, 2, 1], 300);
        let bad = forged(good.clone()).to_vec().unwrap();
        let mut all = vec![bad; count];
        all.push(good.to_vec().unwrap());
        all
    })
}

#[tokio::test(start_paused = true)]
async fn forged_answers_are_counted_and_waited_past() {
    let wrong_id = |mut m: Message| {
        m.metadata.id ^= 1;
        m
    };
    let wrong_name = |mut m: Message| {
        m.queries[0].set_name(crate::names::testing::name("evil.example"));
        m
    };
    let no_response = |mut m: Message| {
        m.metadata.message_type = MessageType::Query;
        m
    };
    for behaviour in [late(wrong_id, 3), late(wrong_name, 3), late(no_response, 3)] {
        let asked = asked(behaviour, None, false).await;
        assert!(asked.result.unwrap().is_answer());
        assert_eq!(asked.counters.get(Counter::Forged), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_from_elsewhere_is_forged_however_right_it_is() {
    let servers = Servers::new(vec![silent()]).await;
    let counters = Counters::default();
    let server = SocketAddr::new(servers.addresses[0], servers.port);
    let elsewhere = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let other_address = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 9), servers.port)).await.unwrap();
    let forge = async {
        let (query, from) = loop {
            let first = servers.asked[0].lock().first().cloned();
            match first {
                Some(asked) => break asked,
                None => tokio::task::yield_now().await,
            }
        };
        let answer = response(&query, [6, 6, 6, 6], 300).to_vec().unwrap();
        elsewhere.send_to(&answer, from).await.unwrap();
        other_address.send_to(&answer, from).await.unwrap();
        std::future::pending::<()>().await;
    };
    let key = key();
    tokio::select! {
        result = ask(server, &key, false, WAIT, &counters) => {
            assert_eq!(result.unwrap_err(), Failure::Timeout);
        }
        () = forge => {}
    }
    assert_eq!(counters.get(Counter::Forged), 2);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_forged_answers_is_escaped_over_tcp() {
    let wrong_id = |mut m: Message| {
        m.metadata.id ^= 1;
        m
    };
    let asked = asked(late(wrong_id, 40), Some(address([192, 0, 2, 7])), false).await;
    assert!(asked.result.unwrap().is_answer());
    assert_eq!(asked.counters.get(Counter::Forged), 33);
    assert_eq!(asked.counters.get(Counter::UpstreamTcp), 1);
}

fn truncated() -> Behaviour {
    always(|q| {
        let mut m = response(q, [192, 0, 2, 1], 300);
        m.metadata.truncation = true;
        m
    })
}

#[tokio::test(start_paused = true)]
async fn a_truncated_answer_is_fetched_whole_only_when_wanted() {
    let short = asked(truncated(), Some(address([192, 0, 2, 2])), false).await;
    assert!(short.result.unwrap().truncated());
    assert_eq!(short.counters.get(Counter::UpstreamTcp), 0);
    let whole = asked(truncated(), Some(address([192, 0, 2, 2])), true).await;
    assert!(!whole.result.unwrap().truncated());
    assert_eq!(whole.servers.counts(), [2]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_left_after_four_seconds() {
    let start = tokio::time::Instant::now();
    let udp = asked(silent(), None, false).await;
    assert_eq!(udp.result.unwrap_err(), Failure::Timeout);
    assert_eq!(start.elapsed().as_secs(), 4);
    assert_eq!(udp.counters.get(Counter::UpstreamTimeout), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_nobody_runs_is_left_at_once() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server = socket.local_addr().unwrap();
    drop(socket);
    let counters = Counters::default();
    let start = tokio::time::Instant::now();
    let result = ask(server, &key(), false, WAIT, &counters).await;
    assert_eq!(result.unwrap_err(), Failure::Unreachable);
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(counters.get(Counter::UpstreamUnreachable), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_message_is_malformed() {
    let cut: Behaviour = Box::new(|q| {
        let mut bytes = response(q, [1; 4], 300).to_vec().unwrap();
        bytes.truncate(bytes.len() - 3);
        vec![bytes]
    });
    let udp = asked(cut, None, false).await;
    assert_eq!(udp.result.unwrap_err(), Failure::Malformed);
    assert_eq!(udp.counters.get(Counter::UpstreamMalformed), 1);
    let bare = always(|q| {
        let mut m = error(q, ResponseCode::Refused);
        m.queries.clear();
        m
    });
    let refused = asked(bare, None, false).await;
    assert_eq!(refused.result.unwrap_err(), Failure::Refused);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_early_or_never_is_no_answer() {
    let nothing = asked(truncated(), Some(silent()), true).await;
    assert_eq!(nothing.result.unwrap_err(), Failure::Malformed);
    let wrong = always(|_| response(&query("evil.example", RecordType::A), [6; 4], 1));
    let other = asked(truncated(), Some(wrong), true).await;
    assert_eq!(other.result.unwrap_err(), Failure::Malformed);
    let none = asked(truncated(), None, true).await;
    assert_eq!(none.result.unwrap_err(), Failure::Unreachable);
}
