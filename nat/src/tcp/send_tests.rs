use std::time::Duration;

use packet::wire::tcp::flags;

use super::*;

const MSS: u16 = 1000;

fn at(ms: u64) -> Time {
    Time::from_micros(ms * 1000)
}

fn ack(number: u32, window: u16) -> Segment {
    Segment { seq: Seq(1), ack: Seq(number), flags: flags::ACK, window, ..Segment::default() }
}

fn sacked(number: u32, blocks: &[(u32, u32)]) -> Segment {
    let mut segment = ack(number, 60_000);
    for (to, (from, end)) in segment.sacks.iter_mut().zip(blocks) {
        *to = (Seq(*from), Seq(*end));
    }
    segment.sack_count = blocks.len() as u8;
    segment
}

/// A sender whose first byte is number 0, with a window of 60,000 bytes.
fn sender(sack: bool) -> Sender {
    let mut send = Sender::new(Seq(0), MSS, 0, sack, Rtt::default());
    send.set_window(&ack(0, 60_000), true);
    send
}

/// Sends `len` new bytes.
fn send_next(send: &mut Sender, len: u32) {
    let Some(Plan::Next { seq, len: room }) = send.plan(true, false) else { panic!("no room") };
    assert!(len <= room);
    assert_eq!(send.sent(seq, len, at(0)), 0);
}

#[test]
fn the_containers_window_bounds_what_is_under_way() {
    let mut send = sender(true);
    assert_eq!(send.plan(true, false), Some(Plan::Next { seq: Seq(0), len: 60_000 }));
    send_next(&mut send, 59_500);
    assert_eq!(send.plan(true, false), None, "half a segment is not worth it");
    assert_eq!(send.plan(true, true), Some(Plan::Next { seq: Seq(59_500), len: 500 }));
    assert_eq!(send.plan(false, true), None, "there is nothing to read");
    assert_eq!(send.acknowledge(&ack(59_500, 10_000), at(1)).bytes, 59_500);
    assert_eq!(send.plan(true, false), Some(Plan::Next { seq: Seq(59_500), len: 10_000 }));
}

#[test]
fn rfc9293_what_was_never_sent_cannot_be_acknowledged() {
    let mut send = sender(true);
    send_next(&mut send, 100);
    assert!(send.acknowledge(&ack(101, 9000), at(1)).impossible);
    assert_eq!(send.una(), Seq(0));
}

#[test]
fn rfc6675_a_hole_is_filled_when_enough_lies_behind_it() {
    let mut send = sender(true);
    send_next(&mut send, 20_000);
    send.acknowledge(&sacked(0, &[(5000, 6000)]), at(1));
    assert!(!send.is_recovering(), "one segment may have overtaken another");
    send.acknowledge(&sacked(0, &[(5000, 8000)]), at(1));
    assert_eq!(send.plan(true, false), Some(Plan::Again { seq: Seq(0), len: 5000 }));
    assert_eq!(send.sent(Seq(0), 5000, at(1)), 5000);
    // Then new data, as the window allows.
    assert_eq!(send.plan(true, false), Some(Plan::Next { seq: Seq(20_000), len: 40_000 }));
    let done = send.acknowledge(&sacked(8000, &[]), at(2));
    assert_eq!((done.bytes, done.progress), (8000, true));
}

#[test]
fn rfc6582_without_selective_acknowledgments_three_duplicates_say_it() {
    let mut send = sender(false);
    send_next(&mut send, 20_000);
    for _ in 0..3 {
        assert!(!send.is_recovering());
        send.acknowledge(&ack(0, 60_000), at(1));
    }
    assert_eq!(send.plan(false, false), Some(Plan::Again { seq: Seq(0), len: 20_000 }));
}

#[test]
fn a_change_of_the_window_is_no_duplicate() {
    let mut send = sender(false);
    send_next(&mut send, 20_000);
    for window in 0..5 {
        send.acknowledge(&ack(0, 50_000 + window), at(1));
    }
    assert!(!send.is_recovering());
}

#[test]
fn rfc6298_after_a_timeout_everything_is_sent_again_slowly() {
    let mut send = sender(true);
    send_next(&mut send, 1000);
    send.acknowledge(&ack(1000, 60_000), at(1));
    send.set_window(&Segment { window: 60_000, ..ack(1000, 0) }, true);
    send_next(&mut send, 60_000);
    send.timed_out();
    assert_eq!(send.plan(true, false), Some(Plan::Again { seq: Seq(1000), len: 60_000 }));
    send.sent(Seq(1000), 30_000, at(300));
    // The container had the rest all along.
    let done = send.acknowledge(&ack(61_000, 60_000), at(301));
    assert_eq!(done.bytes, 60_000);
    assert_eq!(send.in_flight(), 0);
    assert!(matches!(send.plan(true, false), Some(Plan::Next { seq: Seq(61_000), .. })));
}

#[test]
fn rfc2018_what_the_container_has_is_not_sent_again_after_a_timeout() {
    let mut send = sender(true);
    send_next(&mut send, 30_000);
    send.timed_out();
    send.sent(Seq(0), 1000, at(300));
    send.acknowledge(&sacked(1000, &[(5000, 9000)]), at(301));
    assert_eq!(send.plan(true, false), Some(Plan::Again { seq: Seq(1000), len: 4000 }));
    send.sent(Seq(1000), 4000, at(301));
    assert_eq!(send.plan(true, false), Some(Plan::Again { seq: Seq(9000), len: 21_000 }));
}

#[test]
fn rfc8985_the_last_segment_tells_whether_the_tail_was_lost() {
    let mut send = sender(true);
    send_next(&mut send, 1000);
    send.acknowledge(&ack(1000, 60_000), at(5));
    send_next(&mut send, 10_000);
    assert!(send.can_probe_tail());
    assert_eq!(send.tail(), Some(Plan::Again { seq: Seq(10_000), len: 1000 }));
    assert_eq!(send.tail(), None, "once");
    // Only the probe arrived.
    send.acknowledge(&sacked(1000, &[(10_000, 11_000)]), at(20));
    assert_eq!(send.plan(false, false), Some(Plan::Again { seq: Seq(1000), len: 9000 }));
}

#[test]
fn the_end_is_sent_behind_the_data_and_again_with_them() {
    let mut send = sender(true);
    send_next(&mut send, 3000);
    send.finish_at(send.max());
    assert_eq!(send.plan(false, false), Some(Plan::Finish { seq: Seq(3000) }));
    send.sent(Seq(3000), 1, at(0));
    assert!(send.is_fin_sent() && !send.is_fin_acknowledged());
    assert_eq!(send.plan(false, false), None);
    send.timed_out();
    assert_eq!(send.plan(false, false), Some(Plan::Again { seq: Seq(0), len: 3000 }));
    send.sent(Seq(0), 3000, at(300));
    assert_eq!(send.plan(false, false), Some(Plan::Finish { seq: Seq(3000) }));
    send.sent(Seq(3000), 1, at(300));
    assert_eq!(send.acknowledge(&ack(3001, 60_000), at(301)).bytes, 3000, "the FIN is no byte");
    assert!(send.is_fin_acknowledged());
}

#[test]
fn rfc6298_the_round_trip_is_measured_by_new_data() {
    let mut send = sender(true);
    send_next(&mut send, 1000);
    send.acknowledge(&ack(1000, 60_000), at(50));
    assert_eq!(send.rtt.smoothed(), Some(Duration::from_millis(50)));
}

#[test]
fn nonsense_blocks_are_passed_over() {
    let mut send = sender(true);
    send_next(&mut send, 20_000);
    send.acknowledge(&sacked(0, &[(30_000, 40_000), (9000, 8000), (0, 5000), (19_000, 20_001)]), at(1));
    assert!(!send.is_recovering());
    assert_eq!(send.plan(false, false), None);
}

#[test]
fn a_block_beyond_what_was_sent_says_nothing() {
    let mut send = sender(true);
    send_next(&mut send, 20_000);
    // Its end is so far away that it counts as before everything that was sent.
    send.acknowledge(&sacked(0, &[(0x7000_0000, 0x9000_0000)]), at(1));
    assert!(!send.is_recovering());
    assert_eq!(send.plan(true, false), Some(Plan::Next { seq: Seq(20_000), len: 40_000 }));
}

#[test]
fn after_a_timeout_what_the_container_has_is_passed_over_whole() {
    let mut send = sender(true);
    send_next(&mut send, 20_000);
    send.timed_out();
    assert_eq!(send.sent(Seq(0), 5000, at(1)), 5000);
    // What goes next is in the middle of what it turns out to have.
    send.acknowledge(&sacked(0, &[(3000, 9000)]), at(1));
    assert_eq!(send.plan(true, false), Some(Plan::Again { seq: Seq(9000), len: 11_000 }));
}

#[test]
fn after_a_timeout_what_is_on_its_way_again_is_not_taken_for_lost() {
    let mut send = sender(true);
    send_next(&mut send, 20_000);
    send.timed_out();
    assert_eq!(send.sent(Seq(0), 5000, at(1)), 5000);
    // It had all the rest already; nothing tells that the front was lost again.
    send.acknowledge(&sacked(0, &[(3000, 20_000)]), at(1));
    assert!(!send.is_recovering());
    assert_eq!(send.plan(true, false), Some(Plan::Next { seq: Seq(20_000), len: 40_000 }));
    // What was first sent after that arrives, and the front still does not.
    send_next(&mut send, 10_000);
    send.acknowledge(&sacked(0, &[(3000, 30_000)]), at(2));
    assert!(send.is_recovering());
    assert_eq!(send.plan(true, false), Some(Plan::Again { seq: Seq(0), len: 3000 }));
}
