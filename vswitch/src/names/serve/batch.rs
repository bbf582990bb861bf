//! Many datagrams with few system calls: recvmmsg(2) and sendmmsg(2).

use std::cell::RefCell;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::names::wire::MAX_QUERY;

/// Datagrams that are received at once.
pub const BATCH: usize = 32;
/// Bytes an answer's buffer keeps between batches.
const KEEP: usize = 2048;

/// A datagram that could not be sent at once.
pub type Unsent = (Vec<u8>, SockaddrStorage);

/// What came of a batch.
#[derive(Debug, Default)]
pub struct Round {
    /// How many datagrams came. Fewer than [`BATCH`]: there were no more.
    pub received: usize,
    /// How many of them were too long, and were not looked at.
    pub oversized: u64,
    /// How many answers the kernel would not have.
    pub refused: u64,
    /// Answers there is no room for now.
    pub unsent: Vec<Unsent>,
}

/// Buffers of a batch. They belong to the thread, not to a socket: a batch never waits.
struct Buffers {
    input: Vec<[u8; MAX_QUERY + 1]>,
    output: Vec<Vec<u8>>,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::new(Buffers {
        input: vec![[0; MAX_QUERY + 1]; BATCH],
        output: vec![Vec::new(); BATCH],
    });
}

/// Receives what has come, at most [`BATCH`] datagrams, and sends an answer to each for which
/// `handle` writes one and says true.
///
/// # Errors
/// When nothing could be received; `WouldBlock` when nothing has come.
pub fn exchange(
    socket: &UdpSocket,
    mut handle: impl FnMut(&[u8], SockaddrStorage, &mut Vec<u8>) -> bool,
) -> io::Result<Round> {
    BUFFERS.with_borrow_mut(|Buffers { input, output }| {
        let mut received = [(0, None); BATCH];
        let count = socket.try_io(Interest::READABLE, || receive(socket, input, &mut received))?;
        let mut round = Round { received: count, ..Round::default() };
        let mut to = Vec::with_capacity(count);
        for (&(len, from), buf) in received.iter().zip(input.iter()).take(count) {
            let (Some(from), Some(message)) = (from, buf.get(..len)) else { continue };
            if len > MAX_QUERY {
                round.oversized += 1;
            } else if let Some(out) = output.get_mut(to.len())
                && handle(message, from, out)
            {
                to.push(Some(from));
            }
        }
        send(socket, output, &to, &mut round);
        for out in output.iter_mut().take(to.len()).filter(|o| o.capacity() > KEEP) {
            *out = Vec::new();
        }
        Ok(round)
    })
}

/// Lengths and sources of what has come, and how many they are.
fn receive(
    socket: &UdpSocket,
    input: &mut [[u8; MAX_QUERY + 1]],
    received: &mut [(usize, Option<SockaddrStorage>); BATCH],
) -> io::Result<usize> {
    // Made anew each time, for recvmmsg leaves the length of the last address in them.
    let mut headers = MultiHeaders::preallocate(BATCH, None);
    let mut slices: Vec<_> = input.iter_mut().map(|buf| [IoSliceMut::new(buf)]).collect();
    let results =
        recvmmsg(socket.as_raw_fd(), &mut headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None)?;
    let mut count = 0;
    for (to, message) in received.iter_mut().zip(results) {
        *to = (message.bytes, message.address);
        count += 1;
    }
    Ok(count)
}

/// Sends the answers; what there is no room for goes to `round.unsent`.
fn send(socket: &UdpSocket, output: &[Vec<u8>], to: &[Option<SockaddrStorage>], round: &mut Round) {
    let mut sent = 0;
    while let (Some(output), Some(to)) = (output.get(sent..), to.get(sent..))
        && !to.is_empty()
    {
        let result = socket.try_io(Interest::WRITABLE, || {
            let mut headers = MultiHeaders::preallocate(to.len(), None);
            let slices: Vec<_> = output.iter().take(to.len()).map(|out| [IoSlice::new(out)]).collect();
            let results =
                sendmmsg(socket.as_raw_fd(), &mut headers, &slices, to, [], MsgFlags::MSG_DONTWAIT)?;
            Ok(results.count())
        });
        match result {
            Ok(0) => break,
            Ok(n) => sent += n,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                let rest = output.iter().cloned().zip(to.iter().copied());
                round.unsent.extend(rest.filter_map(|(out, to)| Some((out, to?))));
                break;
            }
            Err(e) if e.raw_os_error() == Some(Errno::EINTR as i32) => {}
            Err(_) => {
                // The first of them was refused, such as one to port 0; the next may go.
                round.refused += 1;
                sent += 1;
            }
        }
    }
}
