//! What becomes of flows, for those who watch.
//!
//! Nothing is kept while nobody watches. Whoever does takes what there is after each batch; beyond
//! [`ROOM`] in one batch events are lost, and counted.

use super::view::FlowInfo;

/// Events that are kept between two takings.
const ROOM: usize = 1024;

/// What has become of a flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// It is new.
    New,
    /// Its state is another than it was.
    State,
    /// It is gone, and was last like this.
    Gone,
}

/// Something that has happened to a flow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FlowEvent {
    /// What.
    pub change: Change,
    /// The flow just after it, or just before it went.
    pub flow: FlowInfo,
}

/// Events that nobody has taken yet.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    events: Vec<FlowEvent>,
    lost: u64,
}

impl Journal {
    pub(crate) fn note(&mut self, change: Change, flow: FlowInfo) {
        if self.events.len() < ROOM {
            self.events.push(FlowEvent { change, flow });
        } else {
            self.lost += 1;
        }
    }

    /// Hands out what has happened, the oldest first. Returns how many more were lost after these.
    pub(crate) fn take(&mut self, mut each: impl FnMut(FlowEvent)) -> u64 {
        self.events.drain(..).for_each(&mut each);
        std::mem::take(&mut self.lost)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        engine::{Direction, InsideId},
        flow::{Endpoint, Protocol},
    };

    #[test]
    fn what_is_too_much_is_counted() {
        let flow = FlowInfo {
            protocol: Protocol::Tcp,
            inside: InsideId(1),
            direction: Direction::Outbound,
            local: Endpoint::new([10, 0, 0, 1], 7),
            outside: None,
            remote: Endpoint::new([10, 0, 0, 2], 7),
            state: "SYN_SENT",
            age: Duration::ZERO,
            idle: Duration::ZERO,
            bytes_out: 0,
            bytes_in: 0,
            packets_out: 0,
            packets_in: 0,
        };
        let mut journal = Journal::default();
        for _ in 0..ROOM + 3 {
            journal.note(Change::New, flow.clone());
        }
        let mut count = 0;
        assert_eq!(journal.take(|_| count += 1), 3);
        assert_eq!(count, ROOM);
        assert_eq!(journal.take(|_| panic!("it was taken")), 0);
    }
}
