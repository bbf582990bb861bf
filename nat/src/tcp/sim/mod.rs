//! Two connections of ours that talk to each other over a bad path, in simulated time.

mod end;
mod tests;

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use proptest::prelude::*;

use self::end::{End, Wire};
use super::{State, conn_tests::tuning};
use crate::{config::Timeouts, time::Time};

/// What the path does to each segment.
#[derive(Clone, Debug)]
struct Path {
    /// One of so many is lost; 0 for none.
    lose: u32,
    /// One of so many arrives twice.
    repeat: u32,
    /// One of so many arrives late, behind those sent after it.
    delay: u32,
    latency: Duration,
    seed: u64,
}

/// What the ends have and do.
#[derive(Clone, Debug)]
struct Scene {
    path: Path,
    /// Bytes that the opening end sends, and the other.
    bytes: (usize, usize),
    /// How many bytes the sockets take at once, and how long they rest then.
    takes: (usize, Duration),
    mss: u16,
    /// Selective acknowledgments are used.
    sack: bool,
    /// The end that closes only when the other has.
    waits: Option<usize>,
}

fn any_path() -> impl Strategy<Value = Path> {
    let one_in = || prop_oneof![2 => Just(0u32), 1 => 3u32..200];
    let latency = prop_oneof![Just(50u64), 1000u64..300_000];
    (one_in(), one_in(), one_in(), latency, 1u64..).prop_map(|(lose, repeat, delay, latency, seed)| Path {
        lose,
        repeat,
        delay,
        latency: Duration::from_micros(latency),
        seed,
    })
}

fn any_scene() -> impl Strategy<Value = Scene> {
    let bytes = || prop_oneof![Just(0usize), 1usize..5000, 5000usize..800_000];
    let takes = prop_oneof![
        2 => Just((usize::MAX, Duration::ZERO)),
        1 => (1usize..100_000, 1u64..500).prop_map(|(n, ms)| (n, Duration::from_millis(ms))),
    ];
    let mss = prop_oneof![Just(1460u16), Just(65480), 88u16..9000];
    (any_path(), (bytes(), bytes()), takes, mss, any::<bool>(), prop::option::of(0usize..2))
        .prop_map(|(path, bytes, takes, mss, sack, waits)| Scene { path, bytes, takes, mss, sack, waits })
}

/// Something that happens at a time; the number keeps the order of what happens at once.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Event(Time, u64, What);

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Arrival {
        to: usize,
        wire: Wire,
    },
    /// The socket of an end takes more.
    Takes(usize),
}

struct World {
    scene: Scene,
    now: Time,
    ends: [End; 2],
    events: BinaryHeap<Reverse<Event>>,
    count: u64,
    random: u64,
    timeouts: Timeouts,
}

/// Segments that both ends may send in all: more is a storm.
const MOST_SEGMENTS: u64 = 400_000;

impl World {
    fn new(scene: Scene) -> Self {
        let now = Time::from_micros(1_000_000_000);
        let mut ends = [End::opening(&scene, now), End::accepting(&scene)];
        if let Some(waits) = scene.waits {
            ends[waits].eager = false;
        }
        let random = scene.path.seed;
        let events = BinaryHeap::new();
        Self { scene, now, ends, events, count: 0, random, timeouts: Timeouts::default() }
    }

    fn chance(&mut self, one_in: u32) -> bool {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        one_in != 0 && (self.random >> 20).is_multiple_of(one_in.into())
    }

    fn push(&mut self, at: Time, what: What) {
        self.count += 1;
        self.events.push(Reverse(Event(at, self.count, what)));
    }

    fn send(&mut self, to: usize, wire: Wire) {
        let path = self.scene.path.clone();
        if self.chance(path.lose) {
            return;
        }
        let at = self.now + path.latency;
        if self.chance(path.repeat) {
            self.push(at, What::Arrival { to, wire: wire.clone() });
        }
        let late = if self.chance(path.delay) { path.latency / 2 } else { Duration::ZERO };
        self.push(at + late, What::Arrival { to, wire });
    }

    /// Lets an end do all it can.
    fn drive(&mut self, index: usize) {
        let mut sent = Vec::new();
        let rests = self.ends[index].drive(self.now, &self.timeouts, &mut sent);
        for wire in sent {
            self.send(1 - index, wire);
        }
        if rests {
            self.push(self.now + self.scene.takes.1, What::Takes(index));
        }
    }

    /// Runs until both ends have forgotten the connection.
    fn run(&mut self) {
        let limit = self.now + Duration::from_hours(3);
        self.drive(0);
        while !self.ends.iter().all(End::is_over) {
            assert!(self.count < MOST_SEGMENTS, "a storm: {:?}", self.ends);
            let timer = self.ends.iter().map(|end| end.deadline(&self.timeouts)).min().unwrap_or(Time::NEVER);
            let event = self.events.peek().map_or(Time::NEVER, |Reverse(event)| event.0);
            assert!(timer.min(event) < limit, "stuck: {:?}", self.ends);
            if timer < event {
                self.now = self.now.max(timer);
                for index in 0..2 {
                    if self.ends[index].deadline(&self.timeouts) <= self.now {
                        self.ends[index].on_timer(self.now, &self.timeouts);
                        self.drive(index);
                    }
                }
                continue;
            }
            let Some(Reverse(Event(at, _, what))) = self.events.pop() else { continue };
            self.now = self.now.max(at);
            match what {
                What::Arrival { to, wire } => {
                    if let Some(answer) = self.ends[to].arrival(&wire, self.now, &self.timeouts) {
                        self.send(1 - to, answer);
                    }
                    self.drive(to);
                }
                What::Takes(index) => {
                    self.ends[index].rests = false;
                    self.drive(index);
                }
            }
        }
    }

    fn check(&self) {
        let (first, second) = self.scene.bytes;
        assert_eq!(self.ends[1].delivered, first, "{:?}", self.ends);
        assert_eq!(self.ends[0].delivered, second, "{:?}", self.ends);
        for end in &self.ends {
            assert!(end.finished, "the end of the stream was passed on: {end:?}");
            assert!(!end.was_reset, "{end:?}");
            let state = end.conn.as_ref().map(super::Conn::state);
            assert!(state.is_none_or(|state| state == State::TimeWait));
        }
    }
}
