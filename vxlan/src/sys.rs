//! `sendmmsg` and `recvmmsg` with segmentation offload (udp(7): `UDP_SEGMENT`, `UDP_GRO`), which
//! no library wraps for messages of different sizes. All `unsafe` of this crate is here.
#![allow(unsafe_code)]

use std::{
    mem,
    net::{IpAddr, SocketAddr},
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
};

use nix::errno::Errno;
use socket2::{SockAddr, SockAddrStorage};

/// Most messages sent by one call.
pub const MAX_MESSAGES: usize = 32;

/// Most messages received by one call.
pub const MAX_RECEIVED: usize = 16;

/// Bytes of a buffer that takes whatever `UDP_GRO` joins: the kernel stops at one IP packet.
pub const MAX_MESSAGE: usize = 65_535;

/// One message to be sent: datagrams side by side.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outgoing<'a> {
    /// The datagrams' payload.
    pub bytes: &'a [u8],
    /// Bytes of every datagram but the last; 0 if there is one only.
    pub segment: u16,
    /// To whom. Without it the kernel refuses.
    pub to: Option<&'a SockAddr>,
}

// SAFETY: CMSG_SPACE only computes.
const SEGMENT_SPACE: usize = unsafe { libc::CMSG_SPACE(mem::size_of::<u16>() as u32) } as usize;
// SAFETY: as above. Room for UDP_GRO's int and for the TOS or traffic class.
const RECEIVE_SPACE: usize = unsafe { libc::CMSG_SPACE(mem::size_of::<libc::c_int>() as u32) } as usize * 2;

/// Bytes for control messages, aligned as their header wants it.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control<const N: usize>([u8; N]);

fn empty_header() -> libc::mmsghdr {
    // SAFETY: mmsghdr is plain data, for which all zeroes is a valid value.
    unsafe { mem::zeroed() }
}

const NO_BYTES: libc::iovec = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };

/// Sends up to [`MAX_MESSAGES`] messages, in order and without waiting; how many were taken.
///
/// # Errors
/// What the kernel says of the first message; nothing was sent then.
pub fn send_messages(fd: BorrowedFd<'_>, messages: &[Outgoing<'_>]) -> Result<usize, Errno> {
    let count = messages.len().min(MAX_MESSAGES);
    let mut parts = [NO_BYTES; MAX_MESSAGES];
    let mut controls = [Control([0; SEGMENT_SPACE]); MAX_MESSAGES];
    let mut headers: [libc::mmsghdr; MAX_MESSAGES] = [empty_header(); MAX_MESSAGES];
    let slots = headers.iter_mut().zip(&mut parts).zip(&mut controls);
    for (message, ((header, part), control)) in messages.iter().zip(slots) {
        part.iov_base = message.bytes.as_ptr().cast_mut().cast();
        part.iov_len = message.bytes.len();
        let header = &mut header.msg_hdr;
        if let Some(to) = message.to {
            header.msg_name = to.as_ptr().cast_mut().cast();
            header.msg_namelen = to.len();
        }
        header.msg_iov = part;
        header.msg_iovlen = 1;
        if message.segment > 0 {
            header.msg_control = control.0.as_mut_ptr().cast();
            header.msg_controllen = SEGMENT_SPACE as _;
            // SAFETY: the control buffer is aligned, zeroed and has room for one header with two
            // bytes of data, so that the first header and its data lie within.
            unsafe {
                let first = libc::CMSG_FIRSTHDR(header);
                (*first).cmsg_level = libc::SOL_UDP;
                (*first).cmsg_type = libc::UDP_SEGMENT;
                (*first).cmsg_len = libc::CMSG_LEN(mem::size_of::<u16>() as u32) as _;
                ptr::write_unaligned(libc::CMSG_DATA(first).cast::<u16>(), message.segment);
            }
        }
    }
    // SAFETY: the first `count` headers point to bytes, addresses and control messages that
    // outlive the call; the kernel writes to none of them but `msg_len`.
    let sent = unsafe {
        libc::sendmmsg(fd.as_raw_fd(), headers.as_mut_ptr(), count as u32, libc::MSG_DONTWAIT as _)
    };
    usize::try_from(sent).map_err(|_| Errno::last())
}

/// One received message.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// One datagram's payload, or those of several side by side.
    pub bytes: &'a [u8],
    /// Bytes of every datagram but the last; never 0.
    pub segment: usize,
    /// Who sent it.
    pub from: SocketAddr,
    /// The last byte of the outer IP header's differentiated services and ECN field.
    pub tos: u8,
    /// There was more than the buffer took.
    pub truncated: bool,
}

#[derive(Clone, Copy)]
struct Arrived {
    len: usize,
    segment: usize,
    from: SocketAddr,
    tos: u8,
    truncated: bool,
}

/// Buffers for received messages.
pub struct Inbox {
    bytes: Box<[u8]>,
    arrived: Vec<Arrived>,
    capacity: usize,
}

impl Inbox {
    /// Room for `messages` messages of [`MAX_MESSAGE`] bytes, at most [`MAX_RECEIVED`].
    pub fn new(messages: usize) -> Self {
        let capacity = messages.clamp(1, MAX_RECEIVED);
        Self {
            bytes: vec![0; capacity * MAX_MESSAGE].into_boxed_slice(),
            arrived: Vec::with_capacity(capacity),
            capacity,
        }
    }

    /// Replaces what is inside by what has arrived, without waiting; how many messages that is.
    ///
    /// # Errors
    /// What the kernel says; EAGAIN if there is nothing. The inbox is empty then.
    pub fn receive(&mut self, fd: BorrowedFd<'_>) -> Result<usize, Errno> {
        self.arrived.clear();
        let mut parts = [NO_BYTES; MAX_RECEIVED];
        let mut controls = [Control([0; RECEIVE_SPACE]); MAX_RECEIVED];
        let mut names: [SockAddrStorage; MAX_RECEIVED] = std::array::from_fn(|_| SockAddrStorage::zeroed());
        let mut headers: [libc::mmsghdr; MAX_RECEIVED] = [empty_header(); MAX_RECEIVED];
        let slots = headers.iter_mut().zip(&mut parts).zip(&mut controls).zip(&mut names);
        for (buffer, (((header, part), control), name)) in self.bytes.chunks_exact_mut(MAX_MESSAGE).zip(slots)
        {
            part.iov_base = buffer.as_mut_ptr().cast();
            part.iov_len = buffer.len();
            let header = &mut header.msg_hdr;
            header.msg_namelen = name.size_of();
            header.msg_name = ptr::from_mut(name).cast();
            header.msg_iov = part;
            header.msg_iovlen = 1;
            header.msg_control = control.0.as_mut_ptr().cast();
            header.msg_controllen = RECEIVE_SPACE as _;
        }
        // SAFETY: the first `capacity` headers point to buffers of the lengths they say, which
        // outlive the call and which nothing else refers to.
        let count = unsafe {
            libc::recvmmsg(
                fd.as_raw_fd(),
                headers.as_mut_ptr(),
                self.capacity as u32,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).map_err(|_| Errno::last())?;
        for (header, name) in headers.iter().zip(names).take(count) {
            // SAFETY: the kernel has filled `msg_namelen` bytes of the name.
            let name = unsafe { SockAddr::new(name, header.msg_hdr.msg_namelen) };
            let from = name.as_socket().unwrap_or(NOBODY);
            let len = (header.msg_len as usize).min(MAX_MESSAGE);
            let (segment, tos) = read_control(&header.msg_hdr);
            let truncated = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
            self.arrived.push(Arrived { len, segment: segment.unwrap_or(len).max(1), from, tos, truncated });
        }
        Ok(self.arrived.len())
    }

    /// What arrived, in order.
    pub fn messages(&self) -> impl Iterator<Item = Incoming<'_>> {
        self.arrived.iter().zip(self.bytes.chunks_exact(MAX_MESSAGE)).map(|(a, buffer)| Incoming {
            bytes: buffer.get(..a.len).unwrap_or_default(),
            segment: a.segment,
            from: a.from,
            tos: a.tos,
            truncated: a.truncated,
        })
    }
}

/// Stands for an address of another family, which the sockets here cannot meet.
const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

/// The segment size, if datagrams were joined, and the TOS or traffic class.
fn read_control(header: &libc::msghdr) -> (Option<usize>, u8) {
    let (mut segment, mut tos) = (None, 0);
    // SAFETY: the kernel has written whole control messages and their length to the header; the
    // macros stay within it. An int is read only where there is room for one.
    unsafe {
        let mut next = libc::CMSG_FIRSTHDR(header);
        while let Some(control) = next.as_ref() {
            let data = libc::CMSG_DATA(next);
            let len = control.cmsg_len.saturating_sub(libc::CMSG_LEN(0) as usize);
            let int = (len >= mem::size_of::<libc::c_int>())
                .then(|| ptr::read_unaligned(data.cast::<libc::c_int>()));
            match (control.cmsg_level, control.cmsg_type) {
                (libc::SOL_UDP, libc::UDP_GRO) => segment = int.and_then(|n| usize::try_from(n).ok()),
                (libc::IPPROTO_IP, libc::IP_TOS) if len >= 1 => tos = *data,
                (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => tos = int.unwrap_or(0).to_le_bytes()[0],
                _ => {}
            }
            next = libc::CMSG_NXTHDR(header, next);
        }
    }
    (segment.filter(|n| *n > 0), tos)
}
