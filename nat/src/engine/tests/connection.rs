use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use super::*;
use crate::{config::Limits, counters::Reason, tcp::header::SynOptions};

const PORT: u16 = 4321;

/// The container's end of a connection, and the host's.
struct Opened {
    bench: Bench,
    to: (IpAddr, u16),
    host: TcpStream,
    /// The next number to send, and the next expected.
    seq: u32,
    ack: u32,
}

fn options() -> SynOptions {
    SynOptions { mss: 1000, scale: Some(7), sack: true }
}

fn open(config: Config) -> Opened {
    let mut bench = Bench::with(config);
    let (listener, to) = server();
    bench.take(&segment(PORT, to, &Header { syn: Some(options()), ..syn(100) }, b""));
    let (answer, _) = bench.next_segment();
    assert_eq!((answer.flags, answer.ack), (flags::SYN | flags::ACK, Seq(101)));
    assert_eq!(answer.mss, Some(MTU - 40));
    assert!(answer.scale.is_some() && answer.sack_permitted);
    let (host, _) = listener.accept().unwrap();
    let mut opened = Opened { bench, to, host, seq: 101, ack: answer.seq.0.wrapping_add(1) };
    opened.send(flags::ACK, b"");
    opened
}

impl Opened {
    fn send(&mut self, bits: u8, data: &[u8]) {
        self.send_at(self.seq, bits, data);
        let fin = u32::from(bits & (flags::FIN | flags::SYN) != 0);
        self.seq = self.seq.wrapping_add(data.len() as u32 + fin);
    }

    fn send_at(&mut self, seq: u32, bits: u8, data: &[u8]) {
        let header = Header::plain(Seq(seq), Seq(self.ack), bits, 500);
        self.bench.take(&segment(PORT, self.to, &header, data));
    }

    fn acknowledged(&mut self) -> u32 {
        let (answer, _) = self.bench.next_segment();
        assert_eq!(answer.flags, flags::ACK);
        answer.ack.0
    }
}

#[test]
fn data_are_acknowledged_when_the_host_has_them_and_repeats_once_more() {
    let mut it = open(Config::default());
    it.send(flags::ACK | flags::PSH, b"hello");
    assert_eq!(it.acknowledged(), 106);
    let mut text = [0; 5];
    it.host.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"hello");
    it.send_at(101, flags::ACK, b"hello");
    assert_eq!(it.acknowledged(), 106);
    assert_eq!(it.bench.count(Reason::Duplicate), 1);
    // Half of it is new.
    it.send_at(104, flags::ACK, b"lo, you");
    assert_eq!(it.acknowledged(), 111);
    it.host.read_exact(&mut text).unwrap();
    assert_eq!(&text, b", you");
}

#[test]
fn rfc2018_what_lies_behind_a_gap_is_kept_and_told_of() {
    let mut it = open(Config::default());
    it.send_at(111, flags::ACK, b"0123456789");
    let (answer, _) = it.bench.next_segment();
    assert_eq!((answer.ack, answer.blocks()), (Seq(101), &[(Seq(111), Seq(121))][..]));
    it.send_at(101, flags::ACK, b"abcdefghij");
    let (answer, _) = it.bench.next_segment();
    assert_eq!((answer.ack, answer.blocks()), (Seq(121), &[][..]));
    let mut text = [0; 20];
    it.host.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"abcdefghij0123456789");
}

#[test]
fn data_for_the_container_are_sent_again_until_acknowledged() {
    let mut it = open(Config::default());
    it.host.write_all(b"answer").unwrap();
    let (first, data) = it.bench.next_segment();
    assert_eq!((first.seq, &data[..]), (Seq(it.ack), &b"answer"[..]));
    let (again, data) = it.bench.next_segment();
    assert_eq!((again.seq, &data[..]), (Seq(it.ack), &b"answer"[..]));
    assert_eq!(it.bench.engine.counters().retransmitted_bytes, 6);
    it.ack = it.ack.wrapping_add(6);
    it.send(flags::ACK, b"");
    it.host.write_all(b" two").unwrap();
    let (next, data) = it.bench.next_segment();
    assert_eq!((next.seq, &data[..]), (Seq(it.ack), &b" two"[..]));
}

#[test]
fn a_connection_at_rest_is_not_looked_at_before_its_time() {
    let mut it = open(Config::default());
    let soon = |it: &Opened| {
        let core = &it.bench.engine.core;
        core.wheel.next().unwrap().since(core.now) < Duration::from_mins(1)
    };
    for _ in 0..3 {
        it.host.write_all(b"answer").unwrap();
        it.bench.next_segment();
        assert!(soon(&it), "what is under way may be lost");
        it.ack = it.ack.wrapping_add(6);
        it.send(flags::ACK, b"");
        assert!(!soon(&it), "nothing is");
        assert_eq!(it.bench.engine.core.wheel.len(), 1);
    }
}

#[test]
fn a_full_queue_is_tried_again() {
    let mut it = open(Config::default());
    it.bench.container.full = true;
    it.host.write_all(b"answer").unwrap();
    while it.bench.count(Reason::InsideQueueFull) < 2 {
        it.bench.turn();
    }
    it.bench.container.full = false;
    let (_, data) = it.bench.next_segment();
    assert_eq!(&data[..], b"answer");
    assert_eq!(it.bench.engine.counters().retransmitted_bytes, 0);
}

#[test]
fn super_frames_are_made_of_whole_segments() {
    let mut it = open(Config::default());
    it.host.write_all(&vec![7; 60_000]).unwrap();
    let mut left = 60_000;
    while left > 0 {
        if it.bench.container.frames.is_empty() {
            it.bench.turn();
            continue;
        }
        let offload = it.bench.container.frames[0].1;
        let (_, data) = it.bench.next_segment();
        if let Some(gso) = offload.gso {
            assert_eq!(gso.size, 1000, "the container's own segment size");
        } else {
            assert!(data.len() <= 1000);
        }
        left -= data.len();
    }
}

#[test]
fn rfc9293_a_keepalive_is_answered() {
    let mut it = open(Config::default());
    it.send_at(100, flags::ACK, b"");
    assert_eq!(it.acknowledged(), 101);
}

#[test]
fn rfc5961_a_reset_must_hit_the_very_number() {
    let mut it = open(Config::default());
    it.send_at(111, flags::RST, b"");
    assert_eq!(it.acknowledged(), 101, "a challenge");
    assert_eq!(it.bench.engine.flows().count(), 1);
    it.send_at(101, flags::RST, b"");
    assert_eq!(it.bench.engine.flows().count(), 0);
    let error = it.host.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn repeated_syns_are_one_connection() {
    let mut bench = Bench::new();
    let (listener, to) = server();
    for _ in 0..5 {
        bench.take(&segment(PORT, to, &syn(100), b""));
    }
    assert_eq!(bench.engine.flows().count(), 1);
    bench.next_segment();
    listener.accept().unwrap();
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err());
}

#[test]
fn a_container_without_options_is_served_without_them() {
    let mut bench = Bench::new();
    let (listener, to) = server();
    bench.take(&segment(PORT, to, &syn(100), b""));
    let (answer, _) = bench.next_segment();
    assert!(answer.scale.is_none() && !answer.sack_permitted);
    let (mut host, _) = listener.accept().unwrap();
    bench.take(&segment(PORT, to, &Header::plain(Seq(101), answer.seq + 1, flags::ACK, 600), b""));
    host.write_all(&[7; 2000]).unwrap();
    let (_, data) = bench.next_segment();
    assert!(
        (536..=600).contains(&data.len()),
        "{}: one default segment, and no more than the window",
        data.len()
    );
}

#[test]
fn rfc9293_the_end_is_remembered_where_the_host_closed_first_and_bounded() {
    let limits = Limits { time_wait: 0, ..Limits::default() };
    for (config, remembered) in [(Config::default(), 1), (Config { limits, ..Config::default() }, 0)] {
        let mut it = open(config);
        it.host.shutdown(std::net::Shutdown::Write).unwrap();
        let (fin, _) = it.bench.next_segment();
        assert_eq!(fin.flags, flags::FIN | flags::ACK);
        it.ack = it.ack.wrapping_add(1);
        it.send(flags::FIN | flags::ACK, b"");
        while it.bench.engine.inside(it.bench.id).unwrap().flows > 0 {
            it.bench.turn();
        }
        assert_eq!(it.bench.engine.flows().count(), remembered);
        if remembered == 1 {
            assert_eq!(it.acknowledged(), 102);
            // The container has not seen that, and closes once more.
            it.send_at(101, flags::FIN | flags::ACK, b"");
            assert_eq!(it.acknowledged(), 102);
            // It may begin anew with the same port at once.
            it.send_at(200_000, flags::SYN, b"");
            assert_eq!(it.bench.engine.flows().next().unwrap().state, "SYN_SENT");
        }
    }
}

#[test]
fn an_idle_flow_costs_less_than_2_kib() {
    let table = super::super::tcp::FLOW_SIZE;
    println!("{table}");
    // Twice for tables that have just grown, as slabs, maps and wheels do.
    assert!(2 * table < 2048, "{table} bytes");
}
