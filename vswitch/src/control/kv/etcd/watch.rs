//! A watch: one answer that does not end, a line for each message.

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Incoming};
use serde_json::Value;
use tokio::sync::mpsc;

use super::super::{Event, KvError, Watch};
use super::messages::{Failure, Streamed, Watched, WatchedEvent};
use super::{Member, Refusal, http};

/// Bytes of the longest message.
const MAX_MESSAGE: usize = 256 << 20;

/// Batches that wait for whoever watches.
const BATCHES: usize = 64;

/// The lines of an answer as they come.
pub(super) struct Lines<B = Incoming> {
    body: B,
    received: Vec<u8>,
    /// Where the next line begins.
    begin: usize,
    /// No end of a line lies before this.
    searched: usize,
}

impl<B: Body<Data = Bytes> + Unpin> Lines<B>
where
    B::Error: std::fmt::Display,
{
    fn new(body: B) -> Self {
        Self { body, received: Vec::new(), begin: 0, searched: 0 }
    }

    /// The next line; `None` at the end.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, String> {
        loop {
            let unseen = self.received.get(self.searched..).unwrap_or_default();
            if let Some(at) = unseen.iter().position(|byte| *byte == b'\n') {
                let end = self.searched + at + 1;
                let line = self.received.get(self.begin..end).unwrap_or_default().to_vec();
                (self.begin, self.searched) = (end, end);
                return Ok(Some(line));
            }
            // Once for all lines that came together.
            self.received.drain(..self.begin);
            (self.begin, self.searched) = (0, self.received.len());
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            if let Ok(data) = frame.map_err(|e| e.to_string())?.into_data() {
                self.received.extend_from_slice(&data);
            }
            if self.received.len() > MAX_MESSAGE {
                return Err(format!("a message of more than {MAX_MESSAGE} bytes"));
            }
        }
    }

    async fn message(&mut self) -> Result<Watched, KvError> {
        let line = self.next().await.map_err(KvError::Unreachable)?;
        let line = line.ok_or_else(|| KvError::Unreachable("it has ended the watch".into()))?;
        serde_json::from_slice::<Streamed<Watched>>(&line).map(|message| message.result).map_err(|error| {
            match serde_json::from_slice::<Failure>(&line) {
                Ok(failure) if !failure.error.is_null() => KvError::Refused(failure.error.to_string()),
                _ => KvError::Malformed(error.to_string()),
            }
        })
    }
}

/// Begins a watch at one member; it is there when this returns.
pub(super) async fn begin(member: &Member, token: Option<&str>, body: &Value) -> Result<Lines, Refusal> {
    let response = http::send(member, token, "/v3/watch", body).await?;
    let mut lines = Lines::new(response.into_body());
    match lines.message().await {
        Ok(message) if message.canceled => Err(Refusal::Final(KvError::Refused(message.cancel_reason))),
        Ok(message) if message.created => Ok(lines),
        Ok(_) => Err(Refusal::Final(KvError::Malformed("a watch that was not created".into()))),
        Err(KvError::Unreachable(why)) => Err(Refusal::Elsewhere(why)),
        Err(error) => Err(Refusal::Final(error)),
    }
}

/// Hands on what comes, until somebody has enough of it.
pub(super) fn follow(mut lines: Lines, after: u64) -> Watch {
    let (events, watch) = mpsc::channel(BATCHES);
    tokio::spawn(async move {
        loop {
            let message = tokio::select! {
                message = lines.message() => message,
                () = events.closed() => return,
            };
            let batch = message.and_then(|message| batch(&message, after));
            let ended = batch.is_err();
            if batch.as_ref().is_ok_and(Vec::is_empty) {
                continue;
            }
            if events.send(batch).await.is_err() || ended {
                return;
            }
        }
    });
    watch
}

fn batch(message: &Watched, after: u64) -> Result<Vec<Event>, KvError> {
    if message.compact_revision > 0 {
        return Err(KvError::Compacted(after));
    }
    if message.canceled {
        return Err(KvError::Refused(format!("it has ended the watch: {}", message.cancel_reason)));
    }
    let mut events = Vec::new();
    for WatchedEvent { kind, kv } in &message.events {
        let event = match kind.as_str() {
            "" | "PUT" => kv.entry()?.map(Event::Put),
            "DELETE" => kv.key()?.map(|key| Event::Deleted(key, kv.mod_revision)),
            other => return Err(KvError::Malformed(format!("an event of the kind {other:?}"))),
        };
        events.extend(event);
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lines_are_the_same_however_they_are_cut(
            lines in prop::collection::vec("[a-z{}\"]{0,30}", 0..20),
            cuts in prop::collection::vec(1usize..40, 0..30),
        ) {
            let whole: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
            let (mut rest, mut frames) = (whole.as_bytes(), Vec::new());
            for cut in cuts {
                let (frame, after) = rest.split_at(cut.min(rest.len()));
                frames.push(Ok::<_, String>(Frame::data(Bytes::copy_from_slice(frame))));
                rest = after;
            }
            frames.push(Ok(Frame::data(Bytes::copy_from_slice(rest))));
            let mut read = Lines::new(StreamBody::new(stream::iter(frames)));
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            for line in &lines {
                let next = runtime.block_on(read.next()).unwrap().unwrap();
                prop_assert_eq!(next, format!("{line}\n").into_bytes());
            }
            prop_assert_eq!(runtime.block_on(read.next()), Ok(None));
        }
    }
}
