//! Asking one server.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::ProtoError;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::Name;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, UdpSocket};
use tokio::time::timeout;

use super::cache::Key;
use super::response::{Bad, Expected, Response};
use super::stats::{Counter, Counters};
use super::wire::{Labels, UDP_SIZE, flag};

/// Bytes of a datagram that are taken of a server, which was told [`UDP_SIZE`].
const MAX_DATAGRAM: usize = 4096;
/// After so many forged answers to one query the server is asked over TCP, which cannot be
/// forged from elsewhere (RFC 5452, section 9.3).
const MAX_FORGED: usize = 32;

/// Why a server gave no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// Not in time.
    Timeout,
    /// Not reached: no route, nobody listening, no descriptors left.
    Unreachable,
    /// With what is no DNS message.
    Malformed,
    /// Others answered in its place.
    Forged,
    /// It would not, and did not say more.
    Refused,
}

impl Failure {
    /// What it is counted as.
    const fn counter(self) -> Counter {
        match self {
            Self::Timeout => Counter::UpstreamTimeout,
            Self::Unreachable => Counter::UpstreamUnreachable,
            Self::Malformed | Self::Forged => Counter::UpstreamMalformed,
            Self::Refused => Counter::UpstreamError,
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof { Self::Malformed } else { Self::Unreachable }
    }
}

/// Asks a server over UDP, and over TCP where its answer is truncated and `whole` is wanted.
/// Each takes `wait` at most.
///
/// # Errors
/// When no answer came. It is counted.
pub async fn ask(
    server: SocketAddr,
    key: &Key,
    whole: bool,
    wait: Duration,
    counters: &Counters,
) -> Result<Response, Failure> {
    let exchange = async {
        let udp = within(wait, over_udp(server, key, counters)).await;
        match udp {
            Ok(response) if response.truncated() && whole => {}
            Err(Failure::Forged) => {}
            other => return other,
        }
        within(wait, over_tcp(server, key, counters)).await
    };
    exchange.await.inspect_err(|failure| counters.count(failure.counter()))
}

async fn within(
    wait: Duration,
    exchange: impl Future<Output = Result<Response, Failure>>,
) -> Result<Response, Failure> {
    timeout(wait, exchange).await.unwrap_or(Err(Failure::Timeout))
}

/// The query as it is sent, with an identifier of its own. An OPT record goes with it if the
/// client sent one, with nothing of the client's in it but DO.
fn query(key: &Key, id: u16) -> Result<Vec<u8>, ProtoError> {
    let mut query = Query::query(Name::from_labels(Labels(&key.name))?, key.qtype.into());
    query.set_query_class(key.qclass.into());
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = key.flags & flag::RD != 0;
    message.metadata.authentic_data = key.flags & flag::AD != 0;
    message.metadata.checking_disabled = key.flags & flag::CD != 0;
    message.add_query(query);
    if let Some(dnssec_ok) = key.edns {
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_SIZE).set_dnssec_ok(dnssec_ok);
        message.set_edns(edns);
    }
    message.to_vec()
}

const fn expected(key: &Key, id: u16) -> Expected<'_> {
    Expected { id, name: &key.name, qtype: key.qtype, qclass: key.qclass }
}

/// A new socket for every query: its port is random (RFC 5452, section 9.2). It is not
/// connected, so that what others send is seen and counted; errors of the way are still told
/// (IP_RECVERR, ip(7)).
async fn over_udp(server: SocketAddr, key: &Key, counters: &Counters) -> Result<Response, Failure> {
    let socket = match server {
        SocketAddr::V4(_) => {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
            setsockopt(&socket, sockopt::Ipv4RecvErr, &true).map_err(io::Error::from)?;
            socket
        }
        SocketAddr::V6(_) => {
            let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await?;
            setsockopt(&socket, sockopt::Ipv6RecvErr, &true).map_err(io::Error::from)?;
            socket
        }
    };
    let id = rand::random();
    let bytes = query(key, id).map_err(|_| Failure::Malformed)?;
    counters.count(Counter::UpstreamUdp);
    socket.send_to(&bytes, server).await?;
    let mut buf = vec![0; MAX_DATAGRAM];
    for _ in 0..=MAX_FORGED {
        let (len, from) = socket.recv_from(&mut buf).await?;
        let message = buf.get(..len).unwrap_or_default();
        // Not the whole address: of IPv6 the kernel fills in the scope.
        if (from.ip(), from.port()) == (server.ip(), server.port()) {
            match Response::parse(message.to_vec(), &expected(key, id)) {
                Ok(response) => return Ok(response),
                Err(Bad::Malformed) => return Err(Failure::Malformed),
                Err(Bad::Refused) => return Err(Failure::Refused),
                Err(Bad::Forged) => {}
            }
        }
        counters.count(Counter::Forged);
    }
    Err(Failure::Forged)
}

async fn over_tcp(server: SocketAddr, key: &Key, counters: &Counters) -> Result<Response, Failure> {
    let socket = if server.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    let id = rand::random();
    let bytes = query(key, id).map_err(|_| Failure::Malformed)?;
    let mut stream = socket.connect(server).await?;
    counters.count(Counter::UpstreamTcp);
    let mut framed = (bytes.len() as u16).to_be_bytes().to_vec();
    framed.extend(bytes);
    stream.write_all(&framed).await?;
    let mut message = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut message).await?;
    Response::parse(message, &expected(key, id)).map_err(|bad| match bad {
        Bad::Refused => Failure::Refused,
        Bad::Malformed | Bad::Forged => Failure::Malformed,
    })
}

#[cfg(test)]
#[path = "upstream_tests.rs"]
mod tests;
