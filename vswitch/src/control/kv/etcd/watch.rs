//! A watch: one answer that does not end, a line for each message.

use http_body_util::BodyExt;
use hyper::body::Incoming;
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
pub(super) struct Lines {
    body: Incoming,
    rest: Vec<u8>,
    /// No end of a line lies before this.
    searched: usize,
}

impl Lines {
    /// The next line; `None` at the end.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, String> {
        loop {
            let unseen = self.rest.get(self.searched..).unwrap_or_default();
            if let Some(at) = unseen.iter().position(|byte| *byte == b'\n') {
                let rest = self.rest.split_off(self.searched + at + 1);
                self.searched = 0;
                return Ok(Some(std::mem::replace(&mut self.rest, rest)));
            }
            self.searched = self.rest.len();
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            if let Ok(data) = frame.map_err(|e| e.to_string())?.into_data() {
                self.rest.extend_from_slice(&data);
            }
            if self.rest.len() > MAX_MESSAGE {
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
    let mut lines = Lines { body: response.into_body(), rest: Vec::new(), searched: 0 };
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
