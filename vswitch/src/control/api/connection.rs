//! Connections: how many there are, and how long a client may take.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use hyper::body::Body as _;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::Sleep;

use super::idle::{Answer, Idle, Seat};
use super::{Api, ClientPid};
use crate::control::daemon::Daemon;
use crate::sys::asyncfd;

/// Bytes of the longest request line with all headers, and of what is read ahead.
const MAX_HEAD: usize = 64 << 10;

/// What a client may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time. For one more the one that has had no request for longest is closed; where
    /// each has one, it waits.
    pub connections: usize,
    /// Time to send the whole head of the next request; an idle connection is closed after it too.
    pub head: Duration,
    /// Time to send the whole body.
    pub body: Duration,
    /// Time without taking anything of an answer whose length was known.
    pub stall: Duration,
}

impl Limits {
    /// Those of a daemon that may have so many descriptors. A client takes two of them, and must leave
    /// enough for containers.
    pub fn within(descriptors: u64) -> Self {
        let minute = Duration::from_mins(1);
        let connections = usize::try_from(descriptors / 8).unwrap_or(usize::MAX).clamp(16, 4096);
        Self { connections, head: minute, body: minute, stall: minute }
    }
}

/// Serves everybody who connects, until it is dropped.
pub async fn serve(listener: UnixListener, daemon: Arc<Daemon>, limits: Limits) {
    let api = Api::new(daemon, limits.body);
    let places = Arc::new(Semaphore::new(limits.connections));
    let idle = Arc::new(Idle::default());
    loop {
        let accepted = match listener.accept().await {
            Ok((stream, _)) => Connection::new(stream),
            Err(error) => Err(error),
        };
        let connection = match accepted {
            Ok(connection) => connection,
            Err(error) => {
                // Out of descriptors: those who are served give some back.
                tracing::warn!("a connection cannot be accepted: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        if places.available_permits() == 0 {
            idle.close_oldest();
        }
        // Who comes after this one waits in the kernel, where it costs nothing here.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let (api, seat) = (api.clone(), Seat::new(idle.clone()));
        tokio::spawn(async move {
            connection.serve(api, limits, seat).await;
            drop(place);
        });
    }
}

struct Connection {
    stream: UnixStream,
    hung_up: asyncfd::HangUp,
    client: ClientPid,
}

impl Connection {
    fn new(stream: UnixStream) -> io::Result<Self> {
        let hung_up = asyncfd::HangUp::watch(&stream)?;
        let client = ClientPid(stream.peer_cred().ok().and_then(|c| c.pid()));
        Ok(Self { stream, hung_up, client })
    }

    async fn serve(self, api: Api, limits: Limits, seat: Arc<Seat>) {
        let Self { stream, hung_up, client } = self;
        let endless = Arc::new(AtomicBool::new(false));
        let io = Patient { stream, stall: limits.stall, endless: endless.clone(), timer: None };
        let worker = seat.clone();
        let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let (api, endless, seat) = (api.clone(), endless.clone(), worker.clone());
            seat.work();
            async move {
                let response = api.call(request.map(Body::new), client).await;
                // Events, a capture: their reader may be a person who has stopped to think.
                endless.store(response.body().size_hint().exact().is_none(), Ordering::Relaxed);
                Ok::<_, std::convert::Infallible>(response.map(|body| Answer::wrap(body, seat)))
            }
        });
        // Who has sent all and closed that half is answered, as by Docker. Who has closed both is
        // not waited for, whatever was asked.
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            .max_header_size(MAX_HEAD)
            .max_buf_size(MAX_HEAD)
            .half_close(true)
            .serve_connection(TokioIo::new(io), service);
        tokio::select! {
            biased;
            _ = connection => {}
            () = hung_up.happened() => {}
            () = seat.closed() => {}
        }
    }
}

/// A connection that fails when its reader takes nothing for too long.
struct Patient {
    stream: UnixStream,
    stall: Duration,
    /// The present answer has no end that could be waited for.
    endless: Arc<AtomicBool>,
    /// Runs while a write waits.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    fn or_stalled<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() || self.endless.load(Ordering::Relaxed) {
            self.timer = None;
            return result;
        }
        let stall = self.stall;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(stall)));
        timer.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.or_stalled(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.or_stalled(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
