use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket as Client};

use super::*;
use crate::names::Config;
use crate::names::testing::{
    Servers, address, always, answers, ip, name, network, query, response, silent, view,
};

struct Served {
    service: Service,
    view: Arc<ArcSwap<View>>,
    udp: SocketAddr,
    tcp: SocketAddr,
}

fn serve(resolver: &Arc<Resolver>, view: View) -> Served {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let (udp_at, tcp_at) = (udp.local_addr().unwrap(), tcp.local_addr().unwrap());
    let view = Arc::new(ArcSwap::from_pointee(view));
    let service = resolver.serve(view.clone(), udp, tcp).unwrap();
    Served { service, view, udp: udp_at, tcp: tcp_at }
}

fn local() -> (Arc<Resolver>, Served) {
    let resolver = Resolver::new(Config::default());
    let served = serve(&resolver, view());
    (resolver, served)
}

async fn client(served: &Served) -> Client {
    let client = Client::bind("127.0.0.1:0").await.unwrap();
    client.connect(served.udp).await.unwrap();
    client
}

async fn receive(client: &Client) -> Message {
    let mut buf = [0; 4096];
    let len = client.recv(&mut buf).await.unwrap();
    Message::from_vec(&buf[..len]).unwrap()
}

async fn write(stream: &mut TcpStream, queries: &[Vec<u8>]) {
    let mut framed = Vec::new();
    for query in queries {
        framed.extend((query.len() as u16).to_be_bytes());
        framed.extend(query);
    }
    stream.write_all(&framed).await.unwrap();
}

async fn read(stream: &mut TcpStream) -> Message {
    let mut message = vec![0; stream.read_u16().await.unwrap().into()];
    stream.read_exact(&mut message).await.unwrap();
    Message::from_vec(&message).unwrap()
}

/// Whether the other side has closed.
async fn closed(stream: &mut TcpStream) -> bool {
    !matches!(stream.read(&mut [0]).await, Ok(1..))
}

fn numbered(n: u16, query: &[u8]) -> Vec<u8> {
    let mut query = query.to_vec();
    query[..2].copy_from_slice(&n.to_be_bytes());
    query
}

#[tokio::test]
async fn datagrams_are_answered_every_one() {
    let (resolver, served) = local();
    let client = client(&served).await;
    let web = query("web", RecordType::A);
    let mut ids = HashSet::new();
    for burst in 0..10 {
        for n in 0..100 {
            client.send(&numbered(burst * 100 + n, &web)).await.unwrap();
        }
        for _ in 0..100 {
            let message = receive(&client).await;
            assert_eq!(answers(&message), ["172.18.0.2"]);
            ids.insert(message.id);
        }
    }
    assert_eq!(ids.len(), 1000);
    assert_eq!(resolver.stats(), [("local", 1000), ("queries", 1000)].into());
}

#[tokio::test]
async fn each_client_of_a_batch_has_its_own_answer() {
    let (_resolver, served) = local();
    let mut clients = Vec::new();
    for n in 0..20u16 {
        let client = client(&served).await;
        let name = if n % 2 == 0 { "web" } else { "db" };
        client.send(&numbered(n, &query(name, RecordType::A))).await.unwrap();
        clients.push(client);
    }
    for (n, client) in clients.iter().enumerate() {
        let message = receive(client).await;
        assert_eq!(usize::from(message.id), n);
        assert_eq!(answers(&message), [if n % 2 == 0 { "172.18.0.2" } else { "172.18.0.3" }]);
    }
}

#[tokio::test]
async fn bad_datagrams_are_dropped_or_refused_and_the_good_ones_answered() {
    let (resolver, served) = local();
    let client = client(&served).await;
    for bad in [vec![], vec![0; 5], vec![0xff; 600], vec![0; 4096], vec![0; 4097], vec![0; 60_000]] {
        client.send(&bad).await.unwrap();
    }
    client.send(&query("web", RecordType::A)).await.unwrap();
    // All zeros is a query without a question.
    assert_eq!(receive(&client).await.response_code, ResponseCode::FormErr);
    assert_eq!(answers(&receive(&client).await), ["172.18.0.2"]);
    let expected = [
        ("format_error", 1),
        ("is_response", 1),
        ("local", 1),
        ("oversized", 2),
        ("queries", 7),
        ("too_short", 2),
    ];
    assert_eq!(resolver.stats(), expected.into());
}

#[tokio::test]
async fn a_changed_view_is_in_effect_with_the_next_query() {
    let (_resolver, served) = local();
    let client = client(&served).await;
    let ask = query("web", RecordType::A);
    client.send(&ask).await.unwrap();
    assert_eq!(answers(&receive(&client).await), ["172.18.0.2"]);
    served.view.store(Arc::new(View { forward: false, ..View::default() }));
    client.send(&ask).await.unwrap();
    assert_eq!(receive(&client).await.response_code, ResponseCode::ServFail);
    let net = network();
    served.view.store(Arc::new(View {
        networks: vec![net.clone().into()],
        forward: false,
        ..View::default()
    }));
    net.set("e1", "web", &["web".into()], &[ip("172.18.0.99")]);
    client.send(&ask).await.unwrap();
    assert_eq!(answers(&receive(&client).await), ["172.18.0.99"]);
}

#[tokio::test(start_paused = true)]
async fn unknown_names_are_fetched_while_known_ones_are_answered() {
    let servers = Servers::new(vec![silent(), address([192, 0, 2, 1])]).await;
    let resolver = servers.resolver();
    let served = serve(&resolver, servers.view());
    let client = client(&served).await;
    client.send(&numbered(1, &query("www.example", RecordType::A))).await.unwrap();
    let start = tokio::time::Instant::now();
    client.send(&numbered(2, &query("web", RecordType::A))).await.unwrap();
    assert_eq!(receive(&client).await.id, 2);
    assert_eq!(start.elapsed(), Duration::ZERO);
    let fetched = receive(&client).await;
    assert_eq!((fetched.id, answers(&fetched)), (1, vec!["192.0.2.1".to_string()]));
    assert_eq!(start.elapsed().as_secs(), 4);
    // From the cache, on the spot.
    client.send(&numbered(3, &query("www.example", RecordType::A))).await.unwrap();
    assert_eq!(answers(&receive(&client).await), ["192.0.2.1"]);
    assert_eq!(resolver.stats()["cached"], 1);
}

#[tokio::test(start_paused = true)]
async fn one_container_cannot_have_all_servers_wait_for_it() {
    let servers = Servers::new(vec![silent()]).await;
    let resolver = servers.resolver_with(Config { in_flight_each: 5, ..Config::default() });
    let greedy = serve(&resolver, servers.view());
    let other = serve(&resolver, servers.view());
    let client = client(&greedy).await;
    for n in 0..8 {
        client.send(&query(&format!("n{n}.example"), RecordType::A)).await.unwrap();
    }
    let start = tokio::time::Instant::now();
    for _ in 0..3 {
        assert_eq!(receive(&client).await.response_code, ResponseCode::ServFail);
    }
    let mut stream = TcpStream::connect(greedy.tcp).await.unwrap();
    write(&mut stream, &[query("tcp.example", RecordType::A)]).await;
    assert_eq!(read(&mut stream).await.response_code, ResponseCode::ServFail);
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(resolver.stats()["forward_limit"], 4);
    let client = self::client(&other).await;
    client.send(&query("other.example", RecordType::A)).await.unwrap();
    assert_eq!(receive(&client).await.response_code, ResponseCode::ServFail);
    assert_eq!(start.elapsed().as_secs(), 4);
    assert_eq!(servers.counts(), [6]);
}

#[tokio::test]
async fn a_stream_carries_many_queries_and_long_answers() {
    let net = network();
    for n in 0..100u8 {
        let name = format!("many{n}");
        net.set(&name, &name, &["many".into()], &[[10, 0, 0, n].into()]);
    }
    let resolver = Resolver::new(Config::default());
    let served = serve(&resolver, View { networks: vec![net.into()], ..View::default() });
    let mut stream = TcpStream::connect(served.tcp).await.unwrap();
    let queries: Vec<_> =
        (0..50).map(|n| numbered(n, &query(if n % 2 == 0 { "many" } else { "db" }, RecordType::A))).collect();
    write(&mut stream, &queries).await;
    for n in 0..50 {
        let message = read(&mut stream).await;
        assert_eq!((message.id, message.truncation), (n, false));
        assert_eq!(message.answers.len(), if n % 2 == 0 { 100 } else { 1 });
    }
    assert_eq!(resolver.stats()["tcp_connections"], 1);
}

#[tokio::test]
async fn a_query_may_come_in_pieces_and_the_client_may_be_done_after_it() {
    let (_resolver, served) = local();
    let mut stream = TcpStream::connect(served.tcp).await.unwrap();
    let query = query("web", RecordType::A);
    for byte in [&[0, query.len() as u8], &query[..]].concat() {
        stream.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    stream.shutdown().await.unwrap();
    assert_eq!(answers(&read(&mut stream).await), ["172.18.0.2"]);
    assert!(closed(&mut stream).await);
}

#[tokio::test(start_paused = true)]
async fn on_a_stream_too_known_names_wait_for_no_server() {
    let servers = Servers::new(vec![silent(), always(|q| response(q, [192, 0, 2, 1], 300))]).await;
    let resolver = servers.resolver();
    let served = serve(&resolver, servers.view());
    let mut stream = TcpStream::connect(served.tcp).await.unwrap();
    let unknown = numbered(1, &query("www.example", RecordType::A));
    write(&mut stream, &[unknown, numbered(2, &query("web", RecordType::A))]).await;
    stream.shutdown().await.unwrap();
    let start = tokio::time::Instant::now();
    assert_eq!(read(&mut stream).await.id, 2);
    assert_eq!(start.elapsed(), Duration::ZERO);
    let fetched = read(&mut stream).await;
    assert_eq!((fetched.id, answers(&fetched)), (1, vec!["192.0.2.1".to_string()]));
    assert!(closed(&mut stream).await);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_also_one_that_dribbles() {
    let (resolver, served) = local();
    let start = tokio::time::Instant::now();
    let mut idle = TcpStream::connect(served.tcp).await.unwrap();
    assert!(closed(&mut idle).await);
    assert_eq!(start.elapsed().as_secs(), 10);
    let mut slow = TcpStream::connect(served.tcp).await.unwrap();
    for byte in [0, 30, 1] {
        slow.write_all(&[byte]).await.unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    assert!(closed(&mut slow).await);
    assert_eq!(start.elapsed().as_secs(), 20);
    assert_eq!(resolver.stats()["tcp_idle"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_no_answer_is_left() {
    let net = network();
    for n in 0..1000u16 {
        let name = format!("many{n}");
        let [a, b] = n.to_be_bytes();
        net.set(&name, &name, &["many".into()], &[[10, 0, a, b].into()]);
    }
    let resolver = Resolver::new(Config::default());
    let served = serve(&resolver, View { networks: vec![net.into()], ..View::default() });
    let mut stream = TcpStream::connect(served.tcp).await.unwrap();
    let queries = vec![query("many", RecordType::A); 200];
    for _ in 0..20 {
        // It stops reading as well, so that this may not be taken either.
        let written = tokio::time::timeout(Duration::from_secs(1), write(&mut stream, &queries)).await;
        if written.is_err() {
            break;
        }
    }
    while resolver.stats().get("tcp_idle") != Some(&1) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test]
async fn connections_are_bounded_for_one_container_and_for_all() {
    let config = Config { tcp: 3, tcp_each: 2, ..Config::default() };
    let resolver = Resolver::new(config);
    let (one, two) = (serve(&resolver, view()), serve(&resolver, view()));
    let ask = [query("web", RecordType::A)];
    let mut open = Vec::new();
    for (served, taken) in [(&one, true), (&one, true), (&one, false), (&two, true), (&two, false)] {
        let mut stream = TcpStream::connect(served.tcp).await.unwrap();
        if taken {
            write(&mut stream, &ask).await;
            assert_eq!(answers(&read(&mut stream).await), ["172.18.0.2"]);
            open.push(stream);
        } else {
            assert!(closed(&mut stream).await);
        }
    }
    assert_eq!(resolver.stats()["tcp_limit"], 2);
    drop(open.remove(0));
    while resolver.connections.available_permits() == 0 {
        tokio::task::yield_now().await;
    }
    let mut stream = TcpStream::connect(two.tcp).await.unwrap();
    write(&mut stream, &ask).await;
    assert_eq!(answers(&read(&mut stream).await), ["172.18.0.2"]);
}

#[tokio::test]
async fn a_stream_that_is_none_of_dns_is_closed() {
    let (resolver, served) = local();
    for bad in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0, 0], &[0, 3, 1, 2, 3], &[0xff, 0xff]] {
        let mut stream = TcpStream::connect(served.tcp).await.unwrap();
        stream.write_all(bad).await.unwrap();
        assert!(closed(&mut stream).await);
    }
    let stats = resolver.stats();
    assert_eq!((stats["oversized"], stats["too_short"], stats["queries"]), (2, 2, 4));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_service_closes_its_sockets_and_ends_what_waits() {
    let servers = Servers::new(vec![silent()]).await;
    let resolver = servers.resolver();
    let served = serve(&resolver, servers.view());
    let client = client(&served).await;
    client.send(&query("www.example", RecordType::A)).await.unwrap();
    let mut stream = TcpStream::connect(served.tcp).await.unwrap();
    write(&mut stream, &[query("www2.example", RecordType::A)]).await;
    while servers.counts() != [2] {
        tokio::task::yield_now().await;
    }
    served.service.close().await;
    assert!(closed(&mut stream).await);
    assert_eq!(resolver.stats()["abandoned"], 2);
    UdpSocket::bind(served.udp).unwrap();
    TcpStream::connect(served.tcp).await.unwrap_err();
    let dropped = serve(&resolver, view());
    drop(dropped.service);
    while UdpSocket::bind(dropped.udp).is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn it_serves_ipv6_clients_alike() {
    let resolver = Resolver::new(Config::default());
    let udp = UdpSocket::bind("[::1]:0").unwrap();
    let tcp = TcpListener::bind("[::1]:0").unwrap();
    let at = udp.local_addr().unwrap();
    let _service = resolver.serve(Arc::new(ArcSwap::from_pointee(view())), udp, tcp).unwrap();
    let client = Client::bind("[::1]:0").await.unwrap();
    client.connect(at).await.unwrap();
    client.send(&query("web", RecordType::AAAA)).await.unwrap();
    let message = receive(&client).await;
    assert_eq!(answers(&message), ["fd00::2"]);
    assert_eq!(message.queries[0].name(), &name("web"));
}
