//! What the tests of this module share: queries, names, and servers to ask.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinHandle;

use super::network::NetworkNames;
use super::resolver::{Config, Resolver};
use super::view::View;

/// Most of loopback's own room.
pub const LOOPBACK: super::Transport = super::Transport::Udp(u16::MAX);

pub fn name(text: &str) -> Name {
    Name::from_labels(text.trim_end_matches('.').split('.').map(str::as_bytes)).unwrap()
}

/// A query as a client sends it: recursion desired, no EDNS.
pub fn query(text: &str, rtype: RecordType) -> Vec<u8> {
    message(text, rtype).to_vec().unwrap()
}

pub fn message(text: &str, rtype: RecordType) -> Message {
    let mut message = Message::new(0x1234, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name(text), rtype));
    message
}

/// As [`query`], with an OPT record.
pub fn edns_query(text: &str, rtype: RecordType, size: u16, version: u8, dnssec_ok: bool) -> Vec<u8> {
    let mut message = message(text, rtype);
    let mut edns = Edns::new();
    edns.set_max_payload(size).set_version(version).set_dnssec_ok(dnssec_ok);
    message.set_edns(edns);
    message.to_vec().unwrap()
}

pub fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|&n| n.into()).collect()
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The network `net`: web with an alias and two addresses, db with IPv4 only, two called pool.
pub fn network() -> Arc<NetworkNames> {
    let net = NetworkNames::new("net");
    net.set("e1", "web", &strings(&["web", "www", "0123456789ab"]), &[ip("172.18.0.2"), ip("fd00::2")]);
    net.set("e2", "db", &strings(&["db", "pool"]), &[ip("172.18.0.3")]);
    net.set("e3", "db2", &strings(&["db2", "pool"]), &[ip("172.18.0.4")]);
    net
}

pub fn view() -> View {
    View { networks: vec![network().into()], ..View::default() }
}

/// The data of the answers, in order of their text.
pub fn answers(message: &Message) -> Vec<String> {
    let mut data: Vec<_> = message.answers.iter().map(|r| r.data.to_string()).collect();
    data.sort();
    data
}

/// A response to `query` with one IPv4 address.
pub fn response(query: &[u8], address: [u8; 4], ttl: u32) -> Message {
    let query = Message::from_vec(query).unwrap();
    let mut response = Message::response(query.id, OpCode::Query);
    response.metadata.recursion_desired = query.recursion_desired;
    response.metadata.recursion_available = true;
    let asked = query.queries[0].clone();
    let data = RData::A(A(Ipv4Addr::from(address)));
    response.add_answer(Record::from_rdata(asked.name().clone(), ttl, data));
    response.add_query(asked);
    response
}

/// A response to `query` with no answer, but an error.
pub fn error(query: &[u8], code: ResponseCode) -> Message {
    let mut response = response(query, [0; 4], 0);
    response.answers.clear();
    response.metadata.response_code = code;
    response
}

/// As [`error`], with a SOA record of these TTL and minimum.
pub fn negative(query: &[u8], code: ResponseCode, ttl: u32, minimum: u32) -> Message {
    let mut response = error(query, code);
    let soa = SOA::new(name("ns.example"), name("admin.example"), 1, 2, 3, 4, minimum);
    response.add_authority(Record::from_rdata(name("example"), ttl, RData::SOA(soa)));
    response
}

/// A server's behaviour: for each query it gets, the datagrams it answers.
pub type Behaviour = Box<dyn FnMut(&[u8]) -> Vec<Vec<u8>> + Send>;

/// One that answers with one message.
pub fn always(mut make: impl FnMut(&[u8]) -> Message + Send + 'static) -> Behaviour {
    Box::new(move |query| vec![make(query).to_vec().unwrap()])
}

/// One that says nothing.
pub fn silent() -> Behaviour {
    Box::new(|_| Vec::new())
}

/// One that answers with an address, TTL 300.
pub fn address(a: [u8; 4]) -> Behaviour {
    always(move |q| response(q, a, 300))
}

/// Servers at 127.0.0.1, 127.0.0.2 and so on, all at one port.
pub struct Servers {
    pub addresses: Vec<IpAddr>,
    pub port: u16,
    /// For each server, the queries it got and where they came from.
    pub asked: Vec<Asked>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Servers {
    pub async fn new(udp: Vec<Behaviour>) -> Self {
        Self::with_tcp(udp, Vec::new()).await
    }

    /// The first servers have `tcp` as well.
    pub async fn with_tcp(udp: Vec<Behaviour>, tcp: Vec<Behaviour>) -> Self {
        let (port, sockets, listeners) = loop {
            if let Some(bound) = bind(udp.len(), tcp.len()).await {
                break bound;
            }
        };
        let mut servers = Self { addresses: Vec::new(), port, asked: Vec::new(), tasks: Vec::new() };
        for (socket, behaviour) in sockets.into_iter().zip(udp) {
            let asked = Asked::default();
            servers.addresses.push(socket.local_addr().unwrap().ip());
            servers.asked.push(asked.clone());
            servers.tasks.push(tokio::spawn(over_udp(socket, behaviour, asked)));
        }
        for ((listener, behaviour), asked) in listeners.into_iter().zip(tcp).zip(&servers.asked) {
            servers.tasks.push(tokio::spawn(over_tcp(listener, behaviour, asked.clone())));
        }
        servers
    }

    /// A resolver that asks at their port.
    pub fn resolver(&self) -> Arc<Resolver> {
        self.resolver_with(Config::default())
    }

    pub fn resolver_with(&self, mut config: Config) -> Arc<Resolver> {
        config.port = self.port;
        config.resolv_conf = "/nonexistent".into();
        Resolver::new(config)
    }

    /// The view of a container that has them all.
    pub fn view(&self) -> View {
        View { servers: self.addresses.clone(), ..view() }
    }

    /// How many queries each got.
    pub fn counts(&self) -> Vec<usize> {
        self.asked.iter().map(|a| a.lock().len()).collect()
    }
}

async fn bind(udp: usize, tcp: usize) -> Option<(u16, Vec<UdpSocket>, Vec<TcpListener>)> {
    let mut port = 0;
    let mut sockets = Vec::new();
    let mut listeners = Vec::new();
    for i in 1..=udp.max(1) {
        let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, i as u8), port)).await.ok()?;
        port = socket.local_addr().ok()?.port();
        sockets.push(socket);
    }
    for i in 1..=tcp {
        listeners.push(TcpListener::bind((Ipv4Addr::new(127, 0, 0, i as u8), port)).await.ok()?);
    }
    Some((port, sockets, listeners))
}

/// Queries, and where they came from.
type Asked = Arc<Mutex<Vec<(Vec<u8>, SocketAddr)>>>;

async fn over_udp(socket: UdpSocket, mut behaviour: Behaviour, asked: Asked) {
    let mut buf = [0; 4096];
    loop {
        // Errors here are ICMP's, from clients that are gone.
        let Ok((len, from)) = socket.recv_from(&mut buf).await else { continue };
        asked.lock().push((buf[..len].to_vec(), from));
        for answer in behaviour(&buf[..len]) {
            socket.send_to(&answer, from).await.unwrap();
        }
    }
}

async fn over_tcp(listener: TcpListener, mut behaviour: Behaviour, asked: Asked) {
    loop {
        let (mut stream, from) = listener.accept().await.unwrap();
        let mut query = vec![0; stream.read_u16().await.unwrap().into()];
        stream.read_exact(&mut query).await.unwrap();
        for answer in behaviour(&query) {
            stream.write_u16(answer.len() as u16).await.unwrap();
            stream.write_all(&answer).await.unwrap();
        }
        asked.lock().push((query, from));
    }
}
