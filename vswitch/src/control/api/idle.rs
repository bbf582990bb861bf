//! Connections without a request, which make room for others when there are too many.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Those that are idle, from the one that has been so for longest.
#[derive(Default)]
pub(super) struct Idle {
    next: AtomicU64,
    all: Mutex<BTreeMap<u64, Arc<Notify>>>,
}

impl Idle {
    /// Tells the one that has been idle for longest to close, if there is one.
    pub(super) fn close_oldest(&self) {
        if let Some((_, oldest)) = self.all.lock().pop_first() {
            oldest.notify_one();
        }
    }
}

/// One connection among them.
pub(super) struct Seat {
    idle: Arc<Idle>,
    number: AtomicU64,
    close: Arc<Notify>,
}

impl Seat {
    /// A connection that is idle.
    pub(super) fn new(idle: Arc<Idle>) -> Arc<Self> {
        let seat = Self { idle, number: AtomicU64::new(0), close: Arc::default() };
        seat.rest();
        Arc::new(seat)
    }

    /// Waits until it is to be closed.
    pub(super) async fn closed(&self) {
        self.close.notified().await;
    }

    /// It has a request.
    pub(super) fn work(&self) {
        self.idle.all.lock().remove(&self.number.load(Ordering::Relaxed));
    }

    /// It has none.
    fn rest(&self) {
        let number = self.idle.next.fetch_add(1, Ordering::Relaxed);
        self.number.store(number, Ordering::Relaxed);
        self.idle.all.lock().insert(number, self.close.clone());
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.work();
    }
}

/// The body of an answer, after which a connection is idle again.
pub(super) struct Answer {
    body: Body,
    seat: Arc<Seat>,
}

impl Answer {
    pub(super) fn wrap(body: Body, seat: Arc<Seat>) -> Body {
        Body::new(Self { body, seat })
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.seat.rest();
    }
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
