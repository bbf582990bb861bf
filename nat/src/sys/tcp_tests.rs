use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
};

use rustix::event::{PollFd, PollFlags, poll};

use super::*;

/// A socket of ours and the other end.
fn pair() -> (TcpSocket, TcpStream) {
    pair_that_looks(Look::AtOffset)
}

fn pair_that_looks(look: Look) -> (TcpSocket, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let socket = TcpSocket::new(false, &Manner { look, ..Manner::default() }).unwrap();
    // Room for what the tests leave there, as far as the machine's limit allows.
    sockopt::set_socket_recv_buffer_size(&socket, 1 << 20).unwrap();
    socket.connect(listener.local_addr().unwrap()).unwrap();
    let (peer, _) = listener.accept().unwrap();
    wait(&socket, PollFlags::OUT);
    socket.error().unwrap();
    (socket, peer)
}

fn wait(socket: &TcpSocket, flags: PollFlags) {
    poll(&mut [PollFd::new(socket, flags)], None).unwrap();
}

/// Peeks `len` bytes at `offset`; waits until they are all there.
fn peek(socket: &mut TcpSocket, offset: u32, len: usize) -> Vec<u8> {
    loop {
        let mut bytes = vec![0; len];
        let (one, two) = bytes.split_at_mut(len / 2);
        match socket.peek(offset, &mut [IoSliceMut::new(one), IoSliceMut::new(two)]).unwrap() {
            Peeked::Data(n) if n == len => return bytes,
            _ => wait(socket, PollFlags::IN),
        }
    }
}

#[test]
fn bytes_are_seen_at_any_offset_until_they_are_discarded() {
    assert!(can_peek_at_offset().unwrap());
    for look in [Look::AtOffset, Look::FromStart] {
        let (mut socket, mut peer) = pair_that_looks(look);
        peer.write_all(b"0123456789").unwrap();
        assert_eq!(peek(&mut socket, 0, 10), b"0123456789");
        assert_eq!(peek(&mut socket, 4, 3), b"456");
        assert_eq!(peek(&mut socket, 7, 3), b"789");
        assert_eq!(socket.peek(10, &mut [IoSliceMut::new(&mut [0; 9])]).unwrap(), Peeked::Nothing);
        assert_eq!(socket.discard(6).unwrap(), 6);
        assert_eq!(peek(&mut socket, 0, 4), b"6789");
        assert_eq!(socket.discard(4).unwrap(), 4);
        assert_eq!(socket.peek(0, &mut [IoSliceMut::new(&mut [0; 9])]).unwrap(), Peeked::Nothing);
        peer.write_all(b"ab").unwrap();
        assert_eq!(peek(&mut socket, 0, 2), b"ab");
        drop(peer);
        wait(&socket, PollFlags::RDHUP);
        assert_eq!(socket.peek(2, &mut [IoSliceMut::new(&mut [0; 9])]).unwrap(), Peeked::End);
        assert_eq!(socket.discard(2).unwrap(), 2);
        assert_eq!(socket.peek(0, &mut [IoSliceMut::new(&mut [0; 9])]).unwrap(), Peeked::End);
    }
}

#[test]
fn far_into_a_queue_bytes_are_seen_from_its_start_too() {
    let (mut socket, mut peer) = pair_that_looks(Look::FromStart);
    let sent: Vec<u8> = (0..150_000_u32).map(|at| (at % 251) as u8).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| peer.write_all(&sent).unwrap());
        assert_eq!(peek(&mut socket, 0, 150_000), sent);
        for (offset, len) in [(65_535, 3), (65_536, 70_000), (131_073, 18_927)] {
            assert_eq!(peek(&mut socket, offset as u32, len), sent[offset..offset + len]);
        }
    });
    let far = socket.peek(1 + (1 << 20), &mut [IoSliceMut::new(&mut [0; 9])]).unwrap();
    assert_eq!(far, Peeked::Blocked);
}

#[test]
fn what_lies_behind_urgent_data_is_not_taken_for_the_end() {
    let (mut socket, peer) = pair_that_looks(Look::FromStart);
    rustix::net::send(&peer, b"plain", SendFlags::NOSIGNAL).unwrap();
    rustix::net::send(&peer, b"!", SendFlags::OOB).unwrap();
    rustix::net::send(&peer, b"more", SendFlags::NOSIGNAL).unwrap();
    drop(peer);
    wait(&socket, PollFlags::RDHUP);
    assert_eq!(peek(&mut socket, 0, 5), b"plain");
    let mut rest = [0; 9];
    assert_eq!(socket.peek(5, &mut [IoSliceMut::new(&mut rest)]).unwrap(), Peeked::Blocked);
    assert_eq!(socket.discard(5).unwrap(), 5);
    assert_eq!(socket.peek(0, &mut [IoSliceMut::new(&mut rest)]).unwrap(), Peeked::Data(5));
    assert_eq!(&rest[..5], b"!more");
    assert_eq!(socket.peek(5, &mut [IoSliceMut::new(&mut rest)]).unwrap(), Peeked::End);
}

#[test]
fn a_reset_is_an_error_and_not_the_end() {
    for look in [Look::AtOffset, Look::FromStart] {
        let (mut socket, peer) = pair_that_looks(look);
        (&peer).write_all(b"last words").unwrap();
        assert_eq!(peek(&mut socket, 0, 10), b"last words");
        sockopt::set_socket_linger(&peer, Some(Duration::ZERO)).unwrap();
        drop(peer);
        wait(&socket, PollFlags::RDHUP);
        assert_eq!(peek(&mut socket, 0, 10), b"last words");
        let behind = socket.peek(10, &mut [IoSliceMut::new(&mut [0; 9])]);
        assert_eq!(behind, Err(Errno::CONNRESET), "{look:?}");
    }
}

#[test]
fn rfc7857_a_reset_is_passed_on() {
    let (socket, mut peer) = pair();
    socket.reset();
    assert_eq!(peer.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn half_closed_it_still_receives() {
    let (mut socket, mut peer) = pair();
    socket.send(&[IoSlice::new(b"que"), IoSlice::new(b"stion")]).unwrap();
    socket.finish().unwrap();
    let mut question = Vec::new();
    peer.read_to_end(&mut question).unwrap();
    assert_eq!(question, b"question");
    peer.write_all(b"answer").unwrap();
    assert_eq!(peek(&mut socket, 0, 6), b"answer");
    assert!(socket.send(&[IoSlice::new(b"more")]).is_err());
}

#[test]
fn a_port_is_bound_alone_or_shared() {
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let first = TcpSocket::new(false, &Manner::default()).unwrap();
    first.bind(local, 0, false).unwrap();
    let port = first.local().unwrap().port();
    first.share_port().unwrap();
    let second = TcpSocket::new(false, &Manner::default()).unwrap();
    assert_eq!(second.bind(local, port, false), Err(Errno::ADDRINUSE));
    second.bind(local, port, true).unwrap();
}

#[test]
fn a_socket_has_the_congestion_control_that_is_asked_for() {
    // Everybody may use reno.
    let manner = Manner { congestion: Some("reno".into()), ..Manner::default() };
    let socket = TcpSocket::new(false, &manner).unwrap();
    assert_eq!(sockopt::tcp_congestion(&socket.fd).unwrap(), "reno");
    let manner = Manner { congestion: Some("nonsense".into()), ..Manner::default() };
    assert_eq!(TcpSocket::new(false, &manner).unwrap_err(), Errno::NOENT);
}
