//! One connection against segments made by hand, with time handed in.

use std::time::Duration;

use packet::wire::tcp::flags;

use super::{Arrival, Conn, Ended, Finished, Outcome, Plan, Segment, Seq, State, Timing, header::SynOptions};
use crate::{
    config::{TcpTuning, Timeouts},
    counters::Reason,
    time::Time,
};

/// More patient than the default, for paths that are worse than any real one.
pub(super) fn tuning() -> TcpTuning {
    TcpTuning { retries: 60, syn_retries: 30, ..TcpTuning::default() }
}

const ISN: Seq = Seq(5000);
const START: Time = Time::from_micros(1_000_000_000);

/// A connection, the present time, and what is set.
struct Bench {
    conn: Conn,
    now: Time,
    tuning: TcpTuning,
    timeouts: Timeouts,
}

fn syn() -> Segment {
    let options = Segment { mss: Some(1460), scale: Some(7), sack_permitted: true, ..Segment::default() };
    Segment { seq: Seq(99), flags: flags::SYN, window: 64_000, ..options }
}

fn segment(seq: u32, ack: u32, bits: u8, len: u32) -> Segment {
    Segment { seq: Seq(seq), ack: Seq(ack), flags: bits, window: 500, len, ..Segment::default() }
}

impl Bench {
    /// A container has sent its SYN, number 99.
    fn connecting() -> Self {
        let tuning = TcpTuning::default();
        let conn = Conn::accept(&syn(), ISN, 1460, START, &tuning);
        Self { conn, now: START, tuning, timeouts: Timeouts::default() }
    }

    /// The handshake is done: the container's next number is 100, ours 5001.
    fn established() -> Self {
        let mut bench = Self::connecting();
        bench.conn.connected(bench.now);
        bench.control();
        assert_eq!(bench.take(&segment(100, 5001, flags::ACK, 0)).dropped, None);
        assert_eq!(bench.conn.state(), State::Established);
        bench
    }

    fn take(&mut self, segment: &Segment) -> Outcome {
        let timing = Timing { tuning: &self.tuning, timeouts: &self.timeouts };
        self.conn.on_segment(segment, self.now, timing)
    }

    /// Everything that is to be sent without data: control bits, number, acknowledgment.
    fn control(&mut self) -> Vec<(u8, u32, u32)> {
        std::iter::from_fn(|| self.conn.control(0, self.now, &self.tuning))
            .map(|header| (header.flags, header.seq.0, header.ack.0))
            .collect()
    }

    /// Sends `len` bytes of new data.
    fn send(&mut self, len: u32) {
        let Some(Plan::Next { seq, .. }) = self.conn.plan() else { panic!("no room") };
        self.conn.sent(seq, len, self.now, &self.tuning);
    }

    /// Lets time pass until something is due.
    fn wait(&mut self) -> Option<Ended> {
        self.conn.settle(self.now, &self.tuning);
        self.now = self.conn.deadline(&self.timeouts);
        assert!(self.now < Time::NEVER);
        self.conn.on_timer(self.now, Timing { tuning: &self.tuning, timeouts: &self.timeouts })
    }
}

#[test]
fn a_syn_is_answered_when_the_outside_is_connected_and_not_before() {
    let mut bench = Bench::connecting();
    for _ in 0..3 {
        assert_eq!(bench.take(&syn()).dropped, None, "absorbed");
        assert_eq!(bench.control(), []);
    }
    bench.conn.connected(bench.now);
    let header = bench.conn.control(0, bench.now, &bench.tuning).unwrap();
    assert_eq!((header.flags, header.ack), (flags::SYN | flags::ACK, Seq(100)));
    assert_eq!(header.syn, Some(SynOptions { mss: 1460, scale: Some(7), sack: true }));
}

#[test]
fn rfc5382_req5_a_connection_that_is_not_made_lasts_four_minutes() {
    let mut bench = Bench::connecting();
    assert_eq!(bench.wait(), Some(Ended::GivenUp));
    assert_eq!(bench.now.since(START), Duration::from_mins(4));
}

#[test]
fn a_syn_of_ours_is_sent_again_and_given_up_in_the_end() {
    let mut bench = Bench::connecting();
    bench.conn = Conn::open(ISN, 1460, START);
    let mut sent = 0;
    let ended = loop {
        sent += bench.control().len();
        if let Some(ended) = bench.wait() {
            break ended;
        }
    };
    assert_eq!((ended, sent), (Ended::GivenUp, 6));
    assert_eq!(bench.now.since(START), Duration::from_secs(1 + 2 + 4 + 8 + 16 + 32));
}

#[test]
fn rfc5382_req2_simultaneous_open() {
    let mut bench = Bench::connecting();
    bench.conn = Conn::open(ISN, 1460, START);
    assert_eq!(bench.control(), [(flags::SYN, 5000, 0)]);
    bench.take(&syn());
    assert_eq!(bench.control(), [(flags::SYN | flags::ACK, 5000, 100)]);
    bench.take(&segment(99, 5001, flags::SYN | flags::ACK, 0));
    assert_eq!(bench.conn.state(), State::Established);
    assert_eq!(bench.control(), [(flags::ACK, 5001, 100)]);
}

#[test]
fn a_container_that_refuses_ends_it() {
    let mut bench = Bench::connecting();
    bench.conn = Conn::open(ISN, 1460, START);
    bench.control();
    let stray = bench.take(&segment(0, 4999, flags::RST | flags::ACK, 0));
    assert_eq!(stray.ended, None, "it answers another SYN");
    let refused = bench.take(&segment(0, 5001, flags::RST | flags::ACK, 0));
    assert_eq!(refused.ended, Some(Ended::ByInside));
}

#[test]
fn rfc9293_an_answer_to_another_syn_is_reset() {
    let mut bench = Bench::connecting();
    bench.conn.connected(bench.now);
    bench.control();
    assert!(bench.take(&segment(100, 4711, flags::ACK, 0)).reset);
    assert_eq!(bench.conn.state(), State::SynReceived);
}

#[test]
fn rfc5961_syns_and_inexact_resets_are_challenged_at_a_bounded_rate() {
    let mut bench = Bench::established();
    for wrong in
        [segment(100, 0, flags::SYN, 0), segment(101, 0, flags::RST, 0), segment(100, 9999, flags::ACK, 0)]
    {
        bench.now = bench.now + Duration::from_secs(1);
        assert!(bench.take(&wrong).dropped.is_some());
        assert_eq!(bench.control(), [(flags::ACK, 5001, 100)]);
        bench.take(&wrong);
        assert_eq!(bench.control(), [], "not twice at once");
    }
    assert_eq!(bench.take(&segment(100, 0, flags::RST, 0)).ended, Some(Ended::ByInside));
}

#[test]
fn rfc9293_a_shut_window_is_asked_for_ever_more_seldom() {
    let mut bench = Bench::established();
    bench.send(64_000);
    bench.take(&Segment { window: 0, ..segment(100, 69_001, flags::ACK, 0) });
    assert_eq!(bench.conn.plan(), None);
    let mut pauses = Vec::new();
    for _ in 0..12 {
        let before = bench.now;
        assert_eq!(bench.wait(), None);
        pauses.push(bench.now.since(before));
        assert_eq!(bench.control(), [(flags::ACK, 69_000, 100)], "a number that was acknowledged");
        bench.take(&Segment { window: 0, ..segment(100, 69_001, flags::ACK, 0) });
    }
    assert!(pauses.is_sorted() && pauses[11] == bench.tuning.rto_max, "{pauses:?}");
    bench.take(&segment(100, 69_001, flags::ACK, 0));
    assert!(matches!(bench.conn.plan(), Some(Plan::Next { seq: Seq(69_001), .. })));
}

#[test]
fn a_container_that_does_not_answer_for_its_window_is_given_up() {
    let mut bench = Bench::established();
    bench.send(64_000);
    bench.take(&Segment { window: 0, ..segment(100, 69_001, flags::ACK, 0) });
    let ended = std::iter::repeat_with(|| bench.wait()).find_map(|ended| ended);
    assert_eq!(ended, Some(Ended::GivenUp));
    assert!(bench.now.since(START) >= Duration::from_secs(100), "RFC 9293, section 3.8.3");
}

#[test]
fn rfc9293_data_without_an_answer_are_sent_again_for_100_s_at_least() {
    let mut bench = Bench::established();
    bench.send(1000);
    let ended = loop {
        if let Some(ended) = bench.wait() {
            break ended;
        }
        if let Some(Plan::Again { seq, len }) = bench.conn.plan() {
            assert_eq!((seq, len), (Seq(5001), 1000));
            bench.conn.sent(seq, len, bench.now, &bench.tuning);
        }
    };
    assert_eq!(ended, Ended::GivenUp);
    assert!(bench.now.since(START) >= Duration::from_secs(100));
}

#[test]
fn rfc5382_req5_an_idle_connection_is_asked_after_2_h_4_min_and_lives_on_if_it_answers() {
    let mut bench = Bench::established();
    bench.conn.set_readable(false);
    for _ in 0..3 {
        let before = bench.now;
        assert_eq!(bench.wait(), None);
        assert_eq!(bench.now.since(before), Duration::from_mins(124));
        assert_eq!(bench.control(), [(flags::ACK, 5000, 100)]);
        bench.take(&segment(100, 5001, flags::ACK, 0));
    }
    let before = bench.now;
    let ended = std::iter::repeat_with(|| bench.wait()).find_map(|ended| ended);
    assert_eq!(ended, Some(Ended::GivenUp));
    assert_eq!(bench.now.since(before), Duration::from_mins(124) + 9 * Duration::from_secs(75));
}

/// Both halves closed, the container's first or ours.
fn closed(inside_first: bool) -> (Bench, Finished) {
    let mut bench = Bench::established();
    if inside_first {
        bench.take(&segment(100, 5001, flags::FIN | flags::ACK, 0));
        assert_eq!(bench.control(), [(flags::ACK, 5001, 101)]);
    }
    bench.conn.finish_sending();
    assert_eq!(bench.conn.plan(), Some(Plan::Finish { seq: Seq(5001) }));
    bench.conn.header(Seq(5001), true, 0);
    bench.conn.sent(Seq(5001), 1, bench.now, &bench.tuning);
    if inside_first {
        bench.take(&segment(101, 5002, flags::ACK, 0));
    } else {
        bench.take(&segment(100, 5002, flags::FIN | flags::ACK, 0));
    }
    let finished = bench.conn.finish(bench.now).unwrap();
    (bench, finished)
}

#[test]
fn rfc9293_who_closes_first_remembers() {
    let (_, finished) = closed(true);
    assert_eq!(finished, Finished::Forget);
    let (mut bench, finished) = closed(false);
    assert_eq!(finished, Finished::Remember);
    assert_eq!(bench.control(), [(flags::ACK, 5002, 101)]);
    bench.take(&segment(100, 5002, flags::FIN | flags::ACK, 0));
    assert_eq!(bench.control(), [(flags::ACK, 5002, 101)]);
    assert_eq!(bench.take(&segment(50, 0, flags::SYN, 0)).ended, None, "an old SYN");
    assert_eq!(bench.take(&segment(500, 0, flags::SYN, 0)).ended, Some(Ended::Reopened));
    assert_eq!(bench.wait(), Some(Ended::Quietly));
    assert_eq!(bench.now.since(START), Duration::from_mins(1));
}

#[test]
fn rfc9293_both_may_close_at_once() {
    let mut bench = Bench::established();
    bench.conn.finish_sending();
    bench.conn.header(Seq(5001), true, 0);
    bench.conn.sent(Seq(5001), 1, bench.now, &bench.tuning);
    // The container's FIN crosses ours.
    bench.take(&segment(100, 5001, flags::FIN | flags::ACK, 0));
    assert_eq!(bench.control(), [(flags::ACK, 5002, 101)]);
    assert_eq!(bench.conn.finish(bench.now), None);
    bench.take(&segment(101, 5002, flags::ACK, 0));
    assert_eq!(bench.conn.finish(bench.now), Some(Finished::Remember));
}

#[test]
fn rfc5382_req5_a_connection_that_both_have_closed_lasts_four_minutes() {
    let mut bench = Bench::established();
    bench.take(&segment(100, 5001, flags::FIN | flags::ACK, 0));
    bench.conn.finish_sending();
    bench.conn.sent(Seq(5001), 1, bench.now, &bench.tuning);
    bench.tuning.retries = 250;
    let ended = std::iter::repeat_with(|| bench.wait()).find_map(|ended| ended);
    assert_eq!(ended, Some(Ended::GivenUp));
    assert_eq!(bench.now.since(START), Duration::from_mins(4));
}

#[test]
fn rfc5382_req5_half_closed_is_not_closed() {
    let mut bench = Bench::established();
    bench.conn.set_readable(false);
    bench.take(&segment(100, 5001, flags::FIN | flags::ACK, 0));
    assert_eq!(bench.wait(), None);
    assert_eq!(bench.now.since(START), Duration::from_mins(124));
}

#[test]
fn urgent_data_are_data() {
    let mut bench = Bench::established();
    let outcome = bench.take(&segment(100, 5001, flags::ACK | flags::URG | flags::PSH, 7));
    assert_eq!(outcome.arrival, Arrival::Next { skip: 0, len: 7 });
}

#[test]
fn segments_outside_the_window_are_told_what_is_expected() {
    let mut bench = Bench::established();
    let outcome = bench.take(&segment(100_000_000, 5001, flags::ACK, 7));
    assert_eq!((outcome.arrival, outcome.dropped), (Arrival::Nothing, Some(Reason::OutOfWindow)));
    assert_eq!(bench.control(), [(flags::ACK, 5001, 100)]);
}
