//! What the world knows a captured packet's flow by.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Weak;
use std::time::{Duration, Instant};

use nat::engine::Sides;
use nat::flow::FlowKey;
use nat::{Class, classify};

use crate::control::daemon::Daemon;
use crate::dataplane::capture::{Direction, Record};
use crate::outside::Outside;

/// How long an answer is taken for true.
const FRESH: Duration = Duration::from_secs(1);
/// Answers that are kept.
const ANSWERS: usize = 8192;

#[derive(Clone, Copy)]
struct Answer {
    since: Instant,
    sides: Option<Sides>,
}

impl Answer {
    fn holds(&self) -> bool {
        // The address may be known any moment.
        let complete = self.sides.is_none_or(|sides| !sides.outside.ip().is_unspecified());
        complete && self.since.elapsed() < FRESH
    }
}

/// Asks the workers for flows, each about once a second at most. For the writer of a capture, which
/// waits for them; the workers wait for nobody.
pub(super) struct Lookup {
    daemon: Weak<Daemon>,
    known: HashMap<(u64, FlowKey), Answer>,
    whole: Vec<u8>,
}

impl Lookup {
    pub(super) fn new(daemon: Weak<Daemon>) -> Self {
        Self { daemon, known: HashMap::new(), whole: Vec::new() }
    }

    /// Both ends of a record's flow in the packet's direction, where it is a translated one.
    pub(super) fn of(&mut self, record: &Record) -> Option<String> {
        if record.port.is_trusted() {
            return None;
        }
        let inbound = record.direction == Direction::Inbound;
        let key = self.key(record)?;
        // As the container sends.
        let key = if inbound { key } else { key.reversed() };
        let sides = self.sides(record, key)?;
        let (outside, remote) = (show(sides.outside), show(sides.remote));
        Some(if inbound {
            format!("outside: {outside} > {remote}")
        } else {
            format!("outside: {remote} > {outside}")
        })
    }

    /// The flow that a packet's headers name; they are there, but not all that they speak of.
    fn key(&mut self, record: &Record) -> Option<FlowKey> {
        let class = if record.data.len() < record.original_len {
            self.whole.clear();
            self.whole.extend_from_slice(&record.data);
            self.whole.resize(record.original_len, 0);
            classify(&self.whole)
        } else {
            classify(&record.data)
        };
        match class {
            Class::Flow(key) => Some(key),
            Class::Fragment(fragment) => fragment.flow,
            Class::Other(_) => None,
        }
    }

    fn sides(&mut self, record: &Record, key: FlowKey) -> Option<Sides> {
        let known = self.known.get(&(record.port.uid(), key)).copied();
        if let Some(answer) = known.filter(Answer::holds) {
            return answer.sides;
        }
        let daemon = self.daemon.upgrade()?;
        let now = Outside::sides(daemon.switch(), &record.port, key);
        // The last packets of a flow come when it is gone.
        let sides = now.or(known.and_then(|answer| answer.sides));
        if self.known.len() >= ANSWERS {
            self.known.clear();
        }
        self.known.insert((record.port.uid(), key), Answer { since: Instant::now(), sides });
        sides
    }
}

/// An endpoint; an echo's far end has no port, and an address that is not known yet is a star.
fn show(end: SocketAddr) -> String {
    match (end.ip(), end.port()) {
        (ip, port) if ip.is_unspecified() => format!("*:{port}"),
        (ip, 0) => ip.to_string(),
        _ => end.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_shown_as_far_as_they_are_known() {
        for (end, text) in [
            ("192.0.2.1:80", "192.0.2.1:80"),
            ("[2001:db8::1]:80", "[2001:db8::1]:80"),
            ("[2001:db8::1]:0", "2001:db8::1"),
            ("0.0.0.0:4000", "*:4000"),
        ] {
            assert_eq!(show(end.parse().unwrap()), text);
        }
    }
}
