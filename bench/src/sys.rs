//! The system calls that the crates in use have no safe form of: opening a TAP, packet sockets, many datagrams a call.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::fs::{File, OpenOptions};
use std::io;
use std::mem;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;

/// What a TAP may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offloads {
    /// Frames with the virtio-net header: partial checksums, TCP and UDP super-frames of up to 64 KiB.
    All,
    /// Frames with that header: partial checksums, super-frames of TCP over IPv4.
    Tcp4,
    /// Frames as on a wire, without a header.
    None,
}

mod ioctls {
    nix::ioctl_write_ptr_bad!(
        set_interface,
        nix::request_code_write!(b'T', 202, size_of::<libc::c_int>()),
        libc::ifreq
    );
    nix::ioctl_write_int_bad!(set_offload, nix::request_code_write!(b'T', 208, size_of::<libc::c_uint>()));
}

/// Makes a TAP of this name in the present network namespace.
pub(crate) fn open_tap(name: &str, offloads: Offloads) -> io::Result<File> {
    const CHECKSUM_TSO4: libc::c_int = 0x01 | 0x02;
    const TSO6_USO4_USO6: libc::c_int = 0x04 | 0x20 | 0x40;
    let tap = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
    // SAFETY: an ifreq is plain data for which all zeroes is a value.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes().take(libc::IFNAMSIZ - 1)) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    let (header, wanted) = match offloads {
        Offloads::All => (libc::IFF_VNET_HDR, CHECKSUM_TSO4 | TSO6_USO4_USO6),
        Offloads::Tcp4 => (libc::IFF_VNET_HDR, CHECKSUM_TSO4),
        Offloads::None => (0, 0),
    };
    let flags = libc::IFF_TAP | libc::IFF_NO_PI | header;
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(flags).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open and `request` outlives the call.
    unsafe { ioctls::set_interface(tap.as_raw_fd(), &raw const request) }?;
    if wanted != 0 {
        // SAFETY: the descriptor is open; the argument is passed by value.
        unsafe { ioctls::set_offload(tap.as_raw_fd(), wanted) }?;
    }
    Ok(tap)
}

/// A packet socket in the present network namespace, bound to an interface and an Ethernet protocol number.
#[derive(Debug)]
pub(crate) struct PacketSocket(OwnedFd);

impl PacketSocket {
    /// Opens a socket that sees the frames of one protocol on the interface with this index; `None` sees nothing and
    /// only sends.
    pub(crate) fn open(interface: i32, protocol: Option<u16>) -> io::Result<Self> {
        // SAFETY: socket(2) takes no pointers.
        let descriptor = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just given the descriptor to us alone.
        let socket = Self(unsafe { OwnedFd::from_raw_fd(descriptor) });
        // SAFETY: a sockaddr_ll is plain data for which all zeroes is a value.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        address.sll_family = u16::try_from(libc::AF_PACKET).map_err(io::Error::other)?;
        address.sll_protocol = protocol.unwrap_or(0).to_be();
        address.sll_ifindex = interface;
        // SAFETY: `address` is a whole sockaddr_ll and its length is given.
        let bound = unsafe {
            libc::bind(socket.0.as_raw_fd(), (&raw const address).cast(), size_u32::<libc::sockaddr_ll>())
        };
        if bound < 0 { Err(io::Error::last_os_error()) } else { Ok(socket) }
    }

    fn set(&self, level: i32, option: i32, value: i32) -> io::Result<()> {
        // SAFETY: the pointer is to a live integer of the length given.
        let done = unsafe {
            libc::setsockopt(self.0.as_raw_fd(), level, option, (&raw const value).cast(), size_u32::<i32>())
        };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Sends past the queueing discipline, straight into the driver: a frame that does not fit its queue is lost.
    pub(crate) fn bypass_queueing(&self) -> io::Result<()> {
        self.set(libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, 1)
    }

    /// Gives the socket's receive queue the least room, so that the frames it counts cost next to nothing.
    pub(crate) fn keep_nothing(&self) -> io::Result<()> {
        self.set(libc::SOL_SOCKET, libc::SO_RCVBUF, 1)
    }

    /// How many frames have arrived since the last call, whether or not they found room in the receive queue.
    pub(crate) fn arrived(&self) -> io::Result<u64> {
        // SAFETY: the statistics are plain data for which all zeroes is a value.
        let mut statistics: libc::tpacket_stats = unsafe { mem::zeroed() };
        let mut length = size_u32::<libc::tpacket_stats>();
        // SAFETY: both pointers are to live values; the length is that of the buffer.
        let done = unsafe {
            libc::getsockopt(
                self.0.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut statistics).cast(),
                &raw mut length,
            )
        };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(u64::from(statistics.tp_packets)) }
    }
}

fn size_u32<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).unwrap_or(libc::socklen_t::MAX)
}

/// Buffers and the lists of headers that sendmmsg(2) and recvmmsg(2) take. The headers point into the buffers, whose
/// heap memory stays where it is when the value moves.
struct Batch {
    buffers: Vec<Box<[u8]>>,
    /// Pointed to by `headers`.
    _vectors: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
}

// SAFETY: the raw pointers lead only to heap memory that the value itself owns.
unsafe impl Send for Batch {}

impl Batch {
    fn new(mut buffers: Vec<Box<[u8]>>) -> Self {
        let mut vectors: Box<[libc::iovec]> = buffers
            .iter_mut()
            .map(|buffer| libc::iovec {
                iov_base: buffer.as_mut_ptr().cast::<c_void>(),
                iov_len: buffer.len(),
            })
            .collect();
        let headers = vectors
            .iter_mut()
            .map(|vector| {
                // SAFETY: an mmsghdr is plain data for which all zeroes is a value.
                let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
                header.msg_hdr.msg_iov = vector;
                header.msg_hdr.msg_iovlen = 1;
                header
            })
            .collect();
        Self { buffers, _vectors: vectors, headers }
    }
}

/// Sends a fixed list of frames over and over.
pub(crate) struct FrameSender {
    socket: PacketSocket,
    batch: Batch,
    next: usize,
}

impl FrameSender {
    /// Will send `frames` in this order, again and again, over `socket`.
    pub(crate) fn new(socket: PacketSocket, frames: Vec<Box<[u8]>>) -> Self {
        Self { socket, batch: Batch::new(frames), next: 0 }
    }

    /// Offers at most `count` frames in one system call and says how many were offered: those sent, and one that the
    /// interface had no room for.
    pub(crate) fn offer(&mut self, count: usize) -> io::Result<usize> {
        let total = self.batch.headers.len();
        let run = count.min(total - self.next).max(1);
        let headers = &mut self.batch.headers[self.next..self.next + run];
        let length = libc::c_uint::try_from(run).unwrap_or(1);
        // SAFETY: `headers` holds `length` headers, each leading to one live buffer of the length it gives.
        let sent = unsafe { libc::sendmmsg(self.socket.0.as_raw_fd(), headers.as_mut_ptr(), length, 0) };
        let offered = match usize::try_from(sent) {
            Ok(sent) => sent,
            Err(_) => match io::Error::last_os_error() {
                error if error.raw_os_error() == Some(libc::ENOBUFS) => 1,
                error => return Err(error),
            },
        };
        self.next = (self.next + offered) % total;
        Ok(offered)
    }
}

/// Receives many datagrams a system call and only counts their bytes.
pub(crate) struct DatagramCounter {
    batch: Batch,
}

impl DatagramCounter {
    /// With room for `count` datagrams (or runs of them) of 64 KiB.
    pub(crate) fn new(count: usize) -> Self {
        Self { batch: Batch::new((0..count).map(|_| vec![0; 65_536].into_boxed_slice()).collect()) }
    }

    /// Waits for at least one datagram, within the socket's read timeout, and gives back the bytes of all that were
    /// there.
    pub(crate) fn receive(&mut self, socket: &UdpSocket) -> io::Result<u64> {
        let length = libc::c_uint::try_from(self.batch.buffers.len()).unwrap_or(1);
        // SAFETY: there are `length` headers, each leading to one live buffer of the length it gives; no timeout.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.batch.headers.as_mut_ptr(),
                length,
                libc::MSG_WAITFORONE,
                ptr::null_mut(),
            )
        };
        let count = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        Ok(self.batch.headers[..count].iter().map(|header| u64::from(header.msg_len)).sum())
    }
}
