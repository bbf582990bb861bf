//! Queries in datagrams.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::SockaddrStorage;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use super::batch::{self, BATCH, Round};
use super::{Done, Server};
use crate::names::resolver::{Resolver, Transport};
use crate::names::stats::Counter;

/// Batches after which other tasks of the thread have their turn.
const TURN: usize = 8;
/// How long a socket that fails is left alone.
const REST: Duration = Duration::from_millis(100);

/// Answers queries until it is aborted. What must be forwarded waits in tasks of its own, so
/// that names which are known never wait for a server.
pub async fn run(server: Arc<Server>, socket: Arc<UdpSocket>) {
    let resolver = &server.resolver;
    let mut waiting = JoinSet::new();
    loop {
        tokio::select! {
            ready = socket.readable() => match ready {
                Ok(()) => {}
                Err(error) => failed(resolver, &error).await,
            },
            Some(_) = waiting.join_next() => continue,
        }
        for _ in 0..TURN {
            match turn(&server, &socket, &mut waiting) {
                Ok(round) => {
                    let last = round.received < BATCH;
                    send_later(resolver, &socket, round).await;
                    if last {
                        break;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    failed(resolver, &error).await;
                    break;
                }
            }
        }
        while waiting.try_join_next().is_some() {}
        tokio::task::yield_now().await;
    }
}

/// Answers one batch.
fn turn(server: &Arc<Server>, socket: &Arc<UdpSocket>, waiting: &mut JoinSet<()>) -> io::Result<Round> {
    let view = server.view.load();
    batch::exchange(socket, |message, from, out| {
        match server.answer(&view, message, Transport::Udp(u16::MAX), out) {
            Done::Answered => true,
            Done::Dropped => false,
            Done::Waits(pending, permit) => {
                let (server, socket) = (server.clone(), socket.clone());
                waiting.spawn(async move {
                    let answer = server.resolver.forward(pending).await;
                    drop(permit);
                    send(&server.resolver, &socket, &answer, from).await;
                });
                false
            }
        }
    })
}

async fn send_later(resolver: &Resolver, socket: &UdpSocket, round: Round) {
    // Counted here, as it never came to the resolver.
    resolver.counters.add(Counter::Queries, round.oversized);
    resolver.counters.add(Counter::Oversized, round.oversized);
    resolver.counters.add(Counter::SendFailed, round.refused);
    for (answer, to) in round.unsent {
        send(resolver, socket, &answer, to).await;
    }
}

async fn send(resolver: &Resolver, socket: &UdpSocket, answer: &[u8], to: SockaddrStorage) {
    let sent = match address(&to) {
        Some(to) => socket.send_to(answer, to).await.is_ok(),
        None => false,
    };
    if !sent {
        resolver.counters.count(Counter::SendFailed);
    }
}

fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = storage.as_sockaddr_in().map(|&a| SocketAddr::V4(a.into()));
    v4.or_else(|| storage.as_sockaddr_in6().map(|&a| SocketAddr::V6(a.into())))
}

async fn failed(resolver: &Resolver, error: &io::Error) {
    resolver.counters.count(Counter::ReceiveFailed);
    tracing::debug!(%error, "a name service's socket");
    tokio::time::sleep(REST).await;
}
