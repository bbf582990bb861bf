use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};

use rustix::event::{PollFd, PollFlags, poll};

use super::*;

fn loopback(v6: bool) -> IpAddr {
    if v6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() }
}

fn bound(v6: bool) -> (DatagramSocket, SocketAddr) {
    let socket = DatagramSocket::udp(v6).unwrap();
    socket.bind(loopback(v6), 0).unwrap();
    let address = socket.local().unwrap();
    (socket, address)
}

fn wait(socket: &DatagramSocket, flags: PollFlags) {
    poll(&mut [PollFd::new(socket, flags)], None).unwrap();
}

fn message<'a>(to: SocketAddr, data: &'a [IoSlice<'a>]) -> Message<'a> {
    Message { to, data, hops: 64, tos: 0, segment: None, via: None }
}

/// What is there, with its data.
fn receive(socket: &DatagramSocket) -> Vec<(Received, Vec<u8>)> {
    wait(socket, PollFlags::IN);
    let mut bytes = vec![vec![0; 70_000]; 3];
    let mut slices: Vec<_> = bytes.iter_mut().map(|b| IoSliceMut::new(b)).collect();
    let mut received = Vec::new();
    socket.receive(&mut slices, &mut received).unwrap();
    received.iter().copied().zip(bytes).map(|(r, b)| (r, b[..r.len].to_vec())).collect()
}

#[test]
fn a_run_of_datagrams_goes_as_one_and_comes_as_one() {
    for v6 in [false, true] {
        let ((one, from), (two, to)) = (bound(v6), bound(v6));
        let data = [IoSlice::new(&[1; 1000]), IoSlice::new(&[2; 1700])];
        let run = Message { segment: Some(1000), ..message(to, &data) };
        assert_eq!(one.send(&[run]).unwrap(), 1);
        let received = receive(&two);
        assert_eq!(received.len(), 1);
        let (about, bytes) = &received[0];
        assert_eq!((about.from, about.len, about.segment), (from, 2700, Some(1000)));
        assert_eq!(bytes[..1000], [1; 1000]);
        assert!(!about.cut);
    }
}

#[test]
fn hops_service_and_addresses_are_carried() {
    for v6 in [false, true] {
        let ((one, _), (two, to)) = (bound(v6), bound(v6));
        let data = [IoSlice::new(b"hello")];
        let first = Message { hops: 7, tos: 0x2d, via: Some(loopback(v6)), ..message(to, &data) };
        assert_eq!(one.send(&[first, message(to, &[])]).unwrap(), 2);
        let received = receive(&two);
        assert_eq!(received.len(), 2);
        let (about, bytes) = &received[0];
        assert_eq!((about.hops, about.tos, about.via), (Some(7), 0x2d, Some(loopback(v6))));
        assert_eq!((bytes.as_slice(), about.segment), (b"hello".as_slice(), None));
        assert_eq!((received[1].0.len, received[1].0.tos), (0, 0));
        let error = two.receive(&mut [IoSliceMut::new(&mut [0])], &mut Vec::new());
        assert_eq!(error, Err(Errno::AGAIN));
    }
}

#[test]
fn a_datagram_longer_than_the_buffer_is_told() {
    let ((one, _), (two, to)) = (bound(false), bound(false));
    one.send(&[message(to, &[IoSlice::new(b"hello")])]).unwrap();
    wait(&two, PollFlags::IN);
    let mut received = Vec::new();
    two.receive(&mut [IoSliceMut::new(&mut [0; 3])], &mut received).unwrap();
    assert!(received[0].cut);
}

#[test]
fn an_icmp_error_comes_back_with_what_was_sent() {
    for v6 in [false, true] {
        let (one, _) = bound(v6);
        let nobody = UdpSocket::bind((loopback(v6), 0)).unwrap().local_addr().unwrap();
        one.send(&[message(nobody, &[IoSlice::new(b"is anybody there")])]).unwrap();
        wait(&one, PollFlags::ERR);
        let mut quote = [0; 100];
        let trouble = one.next_trouble(&mut quote).unwrap();
        let port_unreachable = if v6 { (1, 4) } else { (3, 3) };
        assert_eq!((trouble.kind, trouble.code), port_unreachable);
        assert_eq!((trouble.to, trouble.offender), (Some(nobody), Some(loopback(v6))));
        assert_eq!(&quote[..trouble.len], b"is anybody there");
        assert_eq!(one.next_trouble(&mut quote), Err(Errno::AGAIN));
    }
}

#[test]
fn what_is_too_long_for_the_path_says_the_mtu_or_goes_in_fragments() {
    for v6 in [false, true] {
        let ((mut one, _), (two, to)) = (bound(v6), bound(v6));
        // The longest there is does not fit the loopback's 65,536 bytes in IPv6.
        let len = if v6 { 65_527 } else { 65_508 };
        let long = vec![7; len];
        let data = [IoSlice::new(&long)];
        one.set_may_fragment(false).unwrap();
        assert_eq!(one.send(&[message(to, &data)]), Err(Errno::MSGSIZE));
        if v6 {
            let trouble = one.next_trouble(&mut [0; 9]).unwrap();
            assert!(trouble.too_big && trouble.info == 65_536 && trouble.offender.is_none());
            one.set_may_fragment(true).unwrap();
            assert_eq!(one.send(&[message(to, &data)]), Ok(1));
            assert_eq!(receive(&two)[0].1, long);
        }
    }
}
