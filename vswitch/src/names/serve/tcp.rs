//! Queries in streams (RFC 7766).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::{Done, Server};
use crate::names::resolver::Transport;
use crate::names::stats::Counter;
use crate::names::wire::MAX_QUERY;

/// Queries of one connection that wait for servers at once; the next are read when one is done.
const WAITING: usize = 16;
/// How long a listener that fails is left alone.
const REST: Duration = Duration::from_millis(100);

/// Takes connections until it is aborted.
pub async fn run(server: Arc<Server>, listener: TcpListener) {
    let resolver = &server.resolver;
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                resolver.counters.count(Counter::ReceiveFailed);
                tracing::debug!(%error, "a name service's listener");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        let permit = resolver.connections.clone().try_acquire_owned();
        let Ok(permit) = permit else {
            resolver.counters.count(Counter::TcpLimit);
            continue;
        };
        if connections.len() >= resolver.config.tcp_each {
            resolver.counters.count(Counter::TcpLimit);
            continue;
        }
        resolver.counters.count(Counter::TcpConnections);
        let connection = Connection { server: server.clone(), stream, input: Vec::new() };
        connections.spawn(async move {
            // How it ended is nobody's concern: the client asks again.
            let _ended = connection.run().await;
            drop(permit);
        });
    }
}

struct Connection {
    server: Arc<Server>,
    stream: TcpStream,
    /// What has come and is not yet a whole query.
    input: Vec<u8>,
}

impl Connection {
    /// Answers in the order in which answers are there, which RFC 7766, 6.2.1.1, asks for.
    async fn run(mut self) -> io::Result<()> {
        let idle = self.server.resolver.config.tcp_idle;
        let mut waiting = JoinSet::new();
        let mut ended = false;
        // Not put off by parts of a query, or a client could hold a connection with one byte
        // every now and then.
        let mut deadline = Instant::now() + idle;
        loop {
            // Written together, as far as they are there together.
            let mut output = Vec::new();
            while waiting.len() < WAITING
                && let Some(query) = self.take()?
            {
                deadline = Instant::now() + idle;
                let mut answer = Vec::new();
                let view = self.server.view.load();
                match self.server.answer(&view, &query, Transport::Tcp, &mut answer) {
                    Done::Answered => frame(&mut output, &answer),
                    // Whoever sends this speaks no DNS.
                    Done::Dropped => return Ok(()),
                    Done::Waits(pending, permit) => {
                        let server = self.server.clone();
                        waiting.spawn(async move {
                            let answer = server.resolver.forward(pending).await;
                            drop(permit);
                            answer
                        });
                    }
                }
            }
            self.write(&output).await?;
            if ended && waiting.is_empty() {
                return Ok(());
            }
            let room = !ended && waiting.len() < WAITING;
            tokio::select! {
                read = timeout_at(deadline, self.stream.read_buf(&mut self.input)), if room => match read {
                    Ok(read) => ended = read? == 0,
                    // While servers are asked, it is not the client that is idle.
                    Err(_) if !waiting.is_empty() => deadline += idle,
                    Err(_) => {
                        self.server.resolver.counters.count(Counter::TcpIdle);
                        return Ok(());
                    }
                },
                Some(answered) = waiting.join_next() => {
                    deadline = Instant::now() + idle;
                    let mut output = Vec::new();
                    frame(&mut output, &answered.map_err(io::Error::other)?);
                    self.write(&output).await?;
                }
            }
        }
    }

    /// The next whole query of what has come.
    fn take(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some(&len) = self.input.first_chunk::<2>() else { return Ok(None) };
        let len = usize::from(u16::from_be_bytes(len));
        if len > MAX_QUERY {
            self.server.resolver.counters.count(Counter::Queries);
            self.server.resolver.counters.count(Counter::Oversized);
            return Err(io::ErrorKind::InvalidData.into());
        }
        let Some(query) = self.input.get(2..2 + len) else { return Ok(None) };
        let query = query.to_vec();
        self.input.drain(..2 + len);
        Ok(Some(query))
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let writing = self.stream.write_all(bytes);
        timeout(self.server.resolver.config.tcp_idle, writing).await.unwrap_or_else(|_| {
            self.server.resolver.counters.count(Counter::TcpIdle);
            Err(io::ErrorKind::TimedOut.into())
        })
    }
}

/// Adds a message behind its length. None is longer than a length can say.
fn frame(output: &mut Vec<u8>, message: &[u8]) {
    if let Ok(len) = u16::try_from(message.len()) {
        output.extend_from_slice(&len.to_be_bytes());
        output.extend_from_slice(message);
    }
}
