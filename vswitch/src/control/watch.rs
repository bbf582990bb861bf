//! A capture as a stream of pcapng: what the workers recorded, written by a thread of its own.

mod sides;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::{Body, Bytes};
use crossbeam_channel::Receiver;
use packet::pcapng;
use tokio::sync::mpsc;

use self::sides::Lookup;
use super::daemon::Daemon;
use crate::dataplane::capture::{CaptureHub, Direction, Record, Session};

/// Bytes after which a chunk is sent though more records wait.
const CHUNK: usize = 256 * 1024;

/// Chunks between the writer and the client.
const CHUNKS: usize = 8;

/// Ends the session when the client goes, which ends the writer.
struct Guard {
    hub: Arc<CaptureHub>,
    session: Arc<Session>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.hub.stop(&self.session);
    }
}

/// The body of a response that lasts until the client goes, or `count` packets were written.
///
/// # Errors
/// When the system refuses a thread.
pub fn body(
    hub: &Arc<CaptureHub>,
    session: Arc<Session>,
    records: Receiver<Record>,
    count: Option<u64>,
    filter: String,
    snaplen: u32,
    daemon: &Arc<Daemon>,
) -> std::io::Result<Body> {
    let (chunks, source) = mpsc::channel(CHUNKS);
    let writer = Writer {
        session: Arc::downgrade(&session),
        chunks,
        interfaces: HashMap::new(),
        filter,
        snaplen,
        reported: 0,
        buf: Vec::new(),
        lookup: Lookup::new(Arc::downgrade(daemon)),
    };
    let guard = Guard { hub: hub.clone(), session };
    std::thread::Builder::new().name("capture".into()).spawn(move || writer.run(&records, count))?;
    let stream = futures_util::stream::unfold((source, guard), |(mut source, guard)| async move {
        let chunk: Bytes = source.recv().await?;
        Some((Ok::<_, Infallible>(chunk), (source, guard)))
    });
    Ok(Body::from_stream(stream))
}

struct Writer {
    session: Weak<Session>,
    chunks: mpsc::Sender<Bytes>,
    /// Interface numbers by port.
    interfaces: HashMap<u64, u32>,
    filter: String,
    snaplen: u32,
    reported: u64,
    buf: Vec<u8>,
    lookup: Lookup,
}

impl Writer {
    fn run(mut self, records: &Receiver<Record>, count: Option<u64>) {
        let section = pcapng::Section {
            hardware: None,
            os: Some("Linux"),
            application: Some(concat!("vswitch ", env!("CARGO_PKG_VERSION"))),
        };
        pcapng::write_section(&mut self.buf, &section);
        let mut left = count.unwrap_or(u64::MAX);
        // The header goes out at once: a reader behind a pipe waits for it.
        while self.flush() && left > 0 {
            // Fails when the session was stopped and the last record is written.
            let Ok(first) = records.recv() else { break };
            self.write(first);
            left -= 1;
            while left > 0 && self.buf.len() < CHUNK {
                let Ok(next) = records.try_recv() else { break };
                self.write(next);
                left -= 1;
            }
            self.write_losses(false);
        }
        self.write_losses(true);
        self.flush();
    }

    fn flush(&mut self) -> bool {
        self.buf.is_empty() || self.chunks.blocking_send(std::mem::take(&mut self.buf).into()).is_ok()
    }

    fn write(&mut self, record: Record) {
        let next = self.interfaces.len() as u32;
        let interface = *self.interfaces.entry(record.port.uid()).or_insert_with(|| {
            let name = record.port.name();
            let description = pcapng::Interface {
                link_type: 1,
                snaplen: self.snaplen,
                name: Some(&name),
                description: None,
                filter: (!self.filter.is_empty()).then_some(self.filter.as_str()),
            };
            pcapng::write_interface(&mut self.buf, &description);
            next
        });
        let gso = record.offload.gso.map(|gso| format!("super-frame, segments of {} bytes", gso.size));
        let dropped = record.dropped.map(|reason| format!("dropped: {}", reason.name()));
        let outside = self.lookup.of(&record);
        let words: Vec<String> = [dropped, gso, outside].into_iter().flatten().collect();
        let comment = (!words.is_empty()).then(|| words.join("; "));
        let packet = pcapng::Packet {
            interface,
            timestamp: record.time,
            data: &record.data,
            original_len: record.original_len as u32,
            direction: match record.direction {
                Direction::Inbound => pcapng::Direction::Inbound,
                Direction::Outbound => pcapng::Direction::Outbound,
            },
            comment: comment.as_deref(),
        };
        pcapng::write_packet(&mut self.buf, &packet);
        if let Some(session) = self.session.upgrade() {
            session.recycle(record);
        }
    }

    /// Says how many records were lost, in the statistics of the first interface.
    fn write_losses(&mut self, last: bool) {
        let Some(session) = self.session.upgrade() else { return };
        let lost = session.lost();
        if self.interfaces.is_empty() || (lost == self.reported && !last) {
            return;
        }
        self.reported = lost;
        let timestamp = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
        let statistics = pcapng::Statistics {
            interface: 0,
            timestamp,
            received: Some(session.seen()),
            dropped: Some(lost),
        };
        pcapng::write_statistics(&mut self.buf, &statistics);
    }
}
