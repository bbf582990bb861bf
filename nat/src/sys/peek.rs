//! Looking into a TCP socket's receive queue from its start, for kernels that keep no offset
//! (`SO_PEEK_OFF` came to TCP with Linux 6.9): what lies before the place in question is copied to
//! memory that nobody reads.
#![allow(unsafe_code)]

use std::{
    cell::RefCell,
    io::IoSliceMut,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::{self, Errno, ioctl_fionread},
    net::sockopt,
    time::Timespec,
};

use crate::tcp::outside::Peeked;

/// Memory for what is skipped, in bytes: it is filled as often as need be.
const SKIPPED: usize = 64 << 10;
/// How often at most.
const SKIPS: usize = 16;
/// Most parts that a look is divided into.
const PARTS: usize = 8;
const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

thread_local! {
    static SKIP: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Copies what lies `offset` bytes behind the first that was not discarded; of parts beyond the
/// eighth nothing. What is a MiB behind is [`Peeked::Blocked`].
///
/// # Errors
/// What ended the connection.
pub(super) fn peek_from_start(
    fd: BorrowedFd<'_>,
    offset: usize,
    into: &mut [IoSliceMut<'_>],
) -> io::Result<Peeked> {
    if offset > SKIPPED * SKIPS {
        return Ok(Peeked::Blocked);
    }
    let seen = match SKIP.with_borrow_mut(|skip| receive(fd, offset, skip, into)) {
        Ok(seen) => seen,
        Err(Errno::AGAIN | Errno::INTR) => return Ok(Peeked::Nothing),
        Err(error) => return Err(error),
    };
    if seen > offset {
        return Ok(Peeked::Data(seen - offset));
    }
    // Nothing behind the offset; or it is not shown, for a look ends where urgent data begin.
    let mut states = [PollFd::from_borrowed_fd(fd, PollFlags::RDHUP)];
    let _ = poll(&mut states, Some(&NOW));
    let state = states[0].revents();
    // After the state, so that nothing can come between the two unseen.
    if ioctl_fionread(fd)? > offset as u64 {
        return Ok(Peeked::Blocked);
    }
    if state.contains(PollFlags::ERR) {
        sockopt::socket_error(fd)??;
    }
    Ok(if seen == 0 || state.contains(PollFlags::RDHUP) { Peeked::End } else { Peeked::Nothing })
}

fn receive(
    fd: BorrowedFd<'_>,
    offset: usize,
    skip: &mut Vec<u8>,
    into: &mut [IoSliceMut<'_>],
) -> io::Result<usize> {
    if skip.is_empty() && offset > 0 {
        skip.resize(SKIPPED, 0);
    }
    let mut vectors = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; SKIPS + PARTS];
    let (mut left, mut count) = (offset, 0);
    for vector in &mut vectors {
        if left == 0 {
            break;
        }
        let part = left.min(skip.len());
        *vector = libc::iovec { iov_base: skip.as_mut_ptr().cast(), iov_len: part };
        (left, count) = (left - part, count + 1);
    }
    for (vector, part) in vectors.iter_mut().skip(count).zip(into.iter_mut().take(PARTS)) {
        *vector = libc::iovec { iov_base: part.as_mut_ptr().cast(), iov_len: part.len() };
        count += 1;
    }
    // SAFETY: a msghdr is plain data for which all zeroes is a value.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = vectors.as_mut_ptr();
    message.msg_iovlen = count as _;
    // SAFETY: the first `count` vectors each lead to live memory of the length they give, borrowed
    // exclusively for the call; that several lead to the same is no concern of the kernel's.
    let seen = unsafe {
        libc::recvmsg(fd.as_fd().as_raw_fd(), &raw mut message, libc::MSG_PEEK | libc::MSG_DONTWAIT)
    };
    usize::try_from(seen).map_err(|_| super::tcp::last_error())
}
