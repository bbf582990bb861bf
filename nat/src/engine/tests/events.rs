use std::{
    io::Write,
    net::{TcpStream, UdpSocket},
};

use super::*;
use crate::{
    engine::{Change, FlowEvent, Sides},
    flow::Transport,
    samples::{self, Sample},
};

const PORT: u16 = 4321;

/// What has happened, with the state after it; nothing was lost.
fn events(bench: &mut Bench) -> Vec<(Change, &'static str)> {
    taken(bench).into_iter().map(|event| (event.change, event.flow.state)).collect()
}

fn taken(bench: &mut Bench) -> Vec<FlowEvent> {
    let mut events = Vec::new();
    assert_eq!(bench.engine.take_events(|event| events.push(event)), 0);
    events
}

/// A connection of the container, and its next sequence numbers.
fn connect(bench: &mut Bench) -> (TcpStream, (IpAddr, u16), Seq, Seq) {
    let (listener, to) = server();
    bench.take(&segment(PORT, to, &syn(100), b""));
    let (answer, _) = bench.next_segment();
    let (seq, ack) = (Seq(101), answer.seq + 1);
    bench.take(&segment(PORT, to, &Header::plain(seq, ack, flags::ACK, 500), b""));
    (listener.accept().unwrap().0, to, seq, ack)
}

#[test]
fn a_connection_is_told_of_from_its_beginning_to_its_end() {
    let mut bench = Bench::new();
    bench.engine.watch(true);
    let (host, to, seq, ack) = connect(&mut bench);
    let begun = taken(&mut bench);
    let steps: Vec<_> = begun.iter().map(|event| (event.change, event.flow.state)).collect();
    let expected = [(Change::New, "SYN_SENT"), (Change::State, "SYN_RECV"), (Change::State, "ESTABLISHED")];
    assert_eq!(steps, expected);
    let outside = host.peer_addr().unwrap();
    assert_eq!(begun[0].flow.outside, Some(outside));
    let key = samples::key(Transport::Tcp, (CONTAINER.into(), PORT), to);
    let sides = Sides { outside, remote: host.local_addr().unwrap() };
    assert_eq!(bench.engine.sides(bench.id, &key), Some(sides));
    assert_eq!(bench.engine.sides(bench.id, &key.reversed()), None);
    // Data are no news.
    bench.take(&segment(PORT, to, &Header::plain(seq, ack, flags::ACK, 500), b"data"));
    assert_eq!(events(&mut bench), []);
    drop(host);
    let (fin, _) = loop {
        let (segment, data) = bench.next_segment();
        if segment.has(flags::RST) || segment.has(flags::FIN) {
            break (segment, data);
        }
    };
    // It had unread data, so it is a reset.
    assert!(fin.has(flags::RST));
    let gone = taken(&mut bench);
    assert_eq!((gone[0].change, gone[0].flow.bytes_out), (Change::Gone, 4));
    assert_eq!(gone.len(), 1);
}

#[test]
fn each_side_that_closes_is_a_change_and_what_is_remembered_goes_later() {
    let mut bench = Bench::new();
    bench.engine.watch(true);
    let (mut host, to, seq, ack) = connect(&mut bench);
    events(&mut bench);
    host.write_all(b"x").unwrap();
    drop(host);
    while !bench.next_segment().0.has(flags::FIN) {}
    assert_eq!(events(&mut bench), [(Change::State, "HALF_CLOSED_IN")]);
    // The one byte and the end of the stream are acknowledged.
    bench.take(&segment(PORT, to, &Header::plain(seq, ack + 2, flags::FIN | flags::ACK, 500), b""));
    assert_eq!(events(&mut bench), [(Change::State, "TIME_WAIT")]);
    let id = bench.id;
    bench.engine.remove_inside(id);
    assert_eq!(events(&mut bench), [(Change::Gone, "TIME_WAIT")]);
}

#[test]
fn who_begins_to_watch_is_told_of_what_happens_from_then_on() {
    let mut bench = Bench::new();
    let (_host, to, seq, ack) = connect(&mut bench);
    assert_eq!(events(&mut bench), []);
    bench.engine.watch(true);
    bench.take(&segment(PORT, to, &Header::plain(seq, ack, flags::ACK, 500), b"data"));
    assert_eq!(events(&mut bench), []);
    bench.take(&segment(PORT, to, &Header::plain(seq + 4, ack, flags::RST, 500), b""));
    assert_eq!(events(&mut bench), [(Change::Gone, "ESTABLISHED")]);
    // And nobody once nobody watches.
    bench.engine.watch(false);
    let _again = connect(&mut bench);
    assert_eq!(events(&mut bench), []);
}

#[test]
fn a_session_is_new_then_replied_then_gone() {
    let mut bench = Bench::new();
    bench.engine.watch(true);
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    let key = samples::key(Transport::Udp, (CONTAINER.into(), PORT), (GATEWAY.into(), port));
    let hello = Sample { key, ..Sample::default() }.build();
    for _ in 0..2 {
        bench.take(&hello);
    }
    assert_eq!(events(&mut bench), [(Change::New, "UNREPLIED")]);
    let mut bytes = [0; 16];
    let (_, from) = socket.recv_from(&mut bytes).unwrap();
    for _ in 0..2 {
        socket.send_to(b"answer", from).unwrap();
        bench.next();
    }
    assert_eq!(events(&mut bench), [(Change::State, "REPLIED")]);
    let sides = Sides { outside: from, remote: socket.local_addr().unwrap() };
    assert_eq!(bench.engine.sides(bench.id, &key), Some(sides));
    let id = bench.id;
    bench.engine.close_flows(id, &mut bench.container);
    let gone = taken(&mut bench);
    assert_eq!((gone.len(), gone[0].change), (1, Change::Gone));
    assert_eq!((gone[0].flow.packets_out, gone[0].flow.packets_in), (2, 2));
    assert_eq!(gone[0].flow.outside, Some(from));
}
