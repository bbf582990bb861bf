//! What becomes of a large message that the kernel refuses. Other refusals are in tests/sockets.rs.
#![allow(unsafe_code)]

use std::{
    net::{Ipv4Addr, UdpSocket},
    os::fd::AsRawFd,
    time::Duration,
};

use packet::fuzzing::sample::{Sample, payload};

use super::*;
use crate::{Vtep, VtepConfig};

/// Datagrams of one message here.
const COUNT: usize = 5;

/// An endpoint, a peer that reads what arrives, and the way to it.
fn ends() -> (Vtep<()>, UdpSocket, Arc<Path>) {
    let addresses = vec![Ipv4Addr::LOCALHOST.into()];
    let config = VtepConfig { addresses, port: 0, senders: 1, ..VtepConfig::default() };
    let (vtep, _) = Vtep::new(&config).unwrap();
    let at = Ipv4Addr::new(127, 0, 0, 2);
    let peer = UdpSocket::bind((at, vtep.port())).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let path = vtep.sender().path(at.into());
    (vtep, peer, path)
}

fn super_frame() -> Frame {
    let sample = Sample { gso: Some(1000), payload: payload(COUNT * 1000), ..Sample::default() };
    let (bytes, offload) = sample.build().unwrap();
    let mut frame = Frame::new();
    frame.copy_from(&bytes, offload).unwrap();
    frame
}

/// Reads the datagrams of one message; the peer does not ask for several at once.
fn read(peer: &UdpSocket) {
    for _ in 0..COUNT {
        let mut bytes = [0; 2000];
        assert!(peer.recv(&mut bytes).unwrap() > 1000);
    }
    peer.set_nonblocking(true).unwrap();
    assert!(peer.recv(&mut [0; 2000]).is_err(), "one more than there were");
    peer.set_nonblocking(false).unwrap();
}

/// The kernel cuts nothing for a socket without checksums: EINVAL (`udp_send_skb`).
fn set_checksums(socket: &Socket, on: bool) {
    let off = libc::c_int::from(!on);
    // SAFETY: the option's value is an int, of which the pointer and the length are.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NO_CHECK,
            (&raw const off).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    assert_eq!(set, 0);
}

#[test]
fn where_the_kernel_cuts_nothing_datagrams_go_one_by_one_from_then_on() {
    let (vtep, peer, path) = ends();
    let sender = vtep.sender();
    let other = sender.path(Ipv4Addr::new(127, 0, 0, 3).into());
    set_checksums(&sender.v4[0], false);
    for _ in 0..2 {
        sender.send(0, Vni::MAX, &super_frame(), std::slice::from_ref(&path)).unwrap();
        sender.flush(0);
        read(&peer);
        assert!(!path.segmentation() && other.segmentation());
    }
    assert_eq!(path.drops().total(), 0);
}

#[test]
fn what_was_refused_for_a_moment_goes_whole_and_nothing_is_remembered() {
    let (vtep, peer, path) = ends();
    let sender = vtep.sender();
    let mut batch = Batch::default();
    let paths = [path.clone()];
    let targets = Targets { paths: &paths, sockets: [Some(0), None], longest: 1054 };
    batch.add(Vni::MAX, &super_frame(), &targets, |_| {}).unwrap();
    let message = batch.of_socket(0).next().unwrap();
    let outgoing =
        Outgoing { bytes: batch.bytes(message), segment: message.segment, to: Some(message.path.to()) };
    // A route that was not there is by now.
    Group::new(&sender.v4[0], &batch).refused(message, &outgoing, Errno::EINVAL);
    read(&peer);
    assert!(path.segmentation());
    assert_eq!(path.drops().total(), 0);
}
