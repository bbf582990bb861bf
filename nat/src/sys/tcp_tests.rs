use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
};

use rustix::event::{PollFd, PollFlags, poll};

use super::*;

/// A socket of ours and the other end.
fn pair() -> (TcpSocket, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let socket = TcpSocket::new(false).unwrap();
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
    let (mut socket, mut peer) = pair();
    peer.write_all(b"0123456789").unwrap();
    assert_eq!(peek(&mut socket, 0, 10), b"0123456789");
    assert_eq!(peek(&mut socket, 4, 3), b"456");
    assert_eq!(peek(&mut socket, 7, 3), b"789");
    assert_eq!(socket.peek(10, &mut [IoSliceMut::new(&mut [0; 9])]).unwrap(), Peeked::Nothing);
    assert_eq!(socket.discard(6).unwrap(), 6);
    assert_eq!(peek(&mut socket, 0, 4), b"6789");
    assert_eq!(socket.discard(4).unwrap(), 4);
    peer.write_all(b"ab").unwrap();
    assert_eq!(peek(&mut socket, 0, 2), b"ab");
    drop(peer);
    assert_eq!(socket.discard(2).unwrap(), 2);
    wait(&socket, PollFlags::RDHUP);
    assert_eq!(socket.peek(0, &mut [IoSliceMut::new(&mut [0; 9])]).unwrap(), Peeked::End);
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
    let first = TcpSocket::new(false).unwrap();
    first.bind(local, 0, false).unwrap();
    let port = first.local().unwrap().port();
    first.share_port().unwrap();
    let second = TcpSocket::new(false).unwrap();
    assert_eq!(second.bind(local, port, false), Err(Errno::ADDRINUSE));
    second.bind(local, port, true).unwrap();
}
