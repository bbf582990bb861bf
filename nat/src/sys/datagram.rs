//! The host's UDP and ICMP sockets, as the outside of datagrams: many at once, with what the
//! headers around them say, and with the errors that come back (udp(7), icmp(7), ip(7), ipv6(7)).
#![allow(unsafe_code)]

use std::{
    io::{IoSlice, IoSliceMut},
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use rustix::{
    io::{self, Errno},
    net::{
        AddressFamily, Protocol, SocketFlags, SocketType, bind, getsockname, ipproto, socket_with, sockopt,
    },
};

use super::{
    control::Control,
    name::{Name, packet_info, parse, parse_packet_info},
};

/// Most messages that one call sends or receives.
pub(crate) const AT_ONCE: usize = 16;
/// What a socket's buffers are asked to be, in bytes; the kernel keeps it to `rmem_max` and
/// `wmem_max`. A batch of super-frames fits.
const BUFFER: usize = 1 << 20;

/// `UDP_SEGMENT` of linux/udp.h.
const UDP_SEGMENT: i32 = 103;
/// `UDP_GRO` of linux/udp.h.
const UDP_GRO: i32 = 104;
/// `ICMP_FILTER` of linux/icmp.h, and `ICMPV6_FILTER` of linux/icmpv6.h.
const ICMP_FILTER: i32 = 1;
const ECHO_REPLY: u32 = 0;
const ECHO_REPLY_V6: usize = 129;

/// TTL, type of service, segment size and packet info: 24 bytes each, and 40.
type SendControl = Control<128>;
/// The same, and an error with an address: 56 bytes.
type ReceiveControl = Control<RECEIVE_CONTROL>;
const RECEIVE_CONTROL: usize = 192;

/// Something to send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) to: SocketAddr,
    pub(crate) data: &'a [IoSlice<'a>],
    /// Hops it may still go.
    pub(crate) hops: u8,
    /// Type of service or traffic class.
    pub(crate) tos: u8,
    /// The data are many datagrams of so many bytes, the last may have fewer (`UDP_SEGMENT`).
    pub(crate) segment: Option<u16>,
    /// The host's address that it leaves from; `None` to leave that to the routes.
    pub(crate) via: Option<IpAddr>,
}

/// Something received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Received {
    pub(crate) from: SocketAddr,
    /// Bytes of data.
    pub(crate) len: usize,
    /// The data are many datagrams of so many bytes, the last may have fewer (`UDP_GRO`).
    pub(crate) segment: Option<u16>,
    /// Hops it could still go.
    pub(crate) hops: Option<u8>,
    /// Type of service or traffic class.
    pub(crate) tos: u8,
    /// The host's address that it was for.
    pub(crate) via: Option<IpAddr>,
    /// It was longer than the buffer.
    pub(crate) cut: bool,
}

/// An error that came back, or that the host itself found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Trouble {
    /// Where the datagram was sent to.
    pub(crate) to: Option<SocketAddr>,
    /// The host's address that the error was sent to.
    pub(crate) via: Option<IpAddr>,
    /// Who sent the error; `None` if this host found it.
    pub(crate) offender: Option<IpAddr>,
    /// Type and code of the ICMP or ICMPv6 message.
    pub(crate) kind: u8,
    pub(crate) code: u8,
    /// The path's MTU in bytes where it is too small, or where in the header the problem is.
    pub(crate) info: u32,
    /// The datagram was too long for the path.
    pub(crate) too_big: bool,
    /// Bytes of the datagram that were quoted.
    pub(crate) len: usize,
}

/// A UDP, ping or raw ICMP socket of the host that never blocks.
#[derive(Debug)]
pub(crate) struct DatagramSocket {
    fd: OwnedFd,
    v6: bool,
    /// What the kernel was told last.
    may_fragment: Option<bool>,
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

impl DatagramSocket {
    /// A UDP socket that is not bound. It hands over runs of datagrams (`UDP_GRO`) where the
    /// kernel can.
    pub(crate) fn udp(v6: bool) -> io::Result<Self> {
        let socket = Self::new(v6, SocketType::DGRAM, None)?;
        if v6 {
            sockopt::set_ipv6_v6only(&socket.fd, true)?;
        }
        // Without it datagrams come one by one.
        let _ = socket.set(libc::SOL_UDP, UDP_GRO, 1);
        socket.report()?;
        Ok(socket)
    }

    /// A socket for echo requests with an identifier of its own, for those whose group is in
    /// `net.ipv4.ping_group_range` (icmp(7)).
    pub(crate) fn ping(v6: bool) -> io::Result<Self> {
        let protocol = if v6 { ipproto::ICMPV6 } else { ipproto::ICMP };
        let socket = Self::new(v6, SocketType::DGRAM, Some(protocol))?;
        socket.report()?;
        Ok(socket)
    }

    /// A socket for ICMP messages of any kind, for those with `CAP_NET_RAW`. It receives echo
    /// replies or, without `replies`, nothing.
    pub(crate) fn raw(v6: bool, replies: bool) -> io::Result<Self> {
        let protocol = if v6 { ipproto::ICMPV6 } else { ipproto::ICMP };
        let socket = Self::new(v6, SocketType::RAW, Some(protocol))?;
        // A bit that is set keeps a type out, in both versions.
        let mut blocked = [u32::MAX; 8];
        if v6 {
            if replies && let Some(word) = blocked.get_mut(ECHO_REPLY_V6 / 32) {
                *word &= !(1 << (ECHO_REPLY_V6 % 32));
            }
            socket.set_bytes(libc::IPPROTO_ICMPV6, ICMP_FILTER, &blocked)?;
        } else {
            blocked[0] = if replies { !(1 << ECHO_REPLY) } else { u32::MAX };
            socket.set_bytes(libc::SOL_RAW, ICMP_FILTER, &blocked[..1])?;
        }
        if replies {
            socket.report()?;
        }
        Ok(socket)
    }

    fn new(v6: bool, kind: SocketType, protocol: Option<Protocol>) -> io::Result<Self> {
        let family = if v6 { AddressFamily::INET6 } else { AddressFamily::INET };
        let fd = socket_with(family, kind, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, protocol)?;
        let _ = sockopt::set_socket_recv_buffer_size(&fd, BUFFER);
        let _ = sockopt::set_socket_send_buffer_size(&fd, BUFFER);
        Ok(Self { fd, v6, may_fragment: None })
    }

    /// Has the kernel keep ICMP errors, and tell of every datagram its hops, its type of service
    /// and the address it was for.
    fn report(&self) -> io::Result<()> {
        let (level, options) = if self.v6 {
            let options =
                [libc::IPV6_RECVERR, libc::IPV6_RECVHOPLIMIT, libc::IPV6_RECVTCLASS, libc::IPV6_RECVPKTINFO];
            (libc::SOL_IPV6, options)
        } else {
            (libc::SOL_IP, [libc::IP_RECVERR, libc::IP_RECVTTL, libc::IP_RECVTOS, libc::IP_PKTINFO])
        };
        options.into_iter().try_for_each(|option| self.set(level, option, 1))
    }

    fn set(&self, level: i32, option: i32, value: i32) -> io::Result<()> {
        self.set_bytes(level, option, &[value.cast_unsigned()])
    }

    fn set_bytes(&self, level: i32, option: i32, value: &[u32]) -> io::Result<()> {
        // SAFETY: the value and its length are those of a slice, which outlives the call.
        let done = unsafe {
            let len = size_of_val(value) as libc::socklen_t;
            libc::setsockopt(self.fd.as_raw_fd(), level, option, value.as_ptr().cast(), len)
        };
        if done == 0 { Ok(()) } else { Err(last_error()) }
    }

    /// Binds to `port` of `address`, which nobody else may have; for a ping socket the port is
    /// the identifier. 0 leaves it to the kernel.
    pub(crate) fn bind(&self, address: IpAddr, port: u16) -> io::Result<()> {
        bind(&self.fd, &SocketAddr::new(address, port))
    }

    /// Where it is bound to.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        getsockname(&self.fd).ok().and_then(|address| SocketAddr::try_from(address).ok())
    }

    /// Whether datagrams that are too long for the path are sent in fragments. If not, sending
    /// them fails with `MSGSIZE`, and the path's MTU is the next trouble.
    pub(crate) fn set_may_fragment(&mut self, may: bool) -> io::Result<()> {
        if self.may_fragment == Some(may) {
            return Ok(());
        }
        if self.v6 {
            let value = if may { libc::IPV6_PMTUDISC_DONT } else { libc::IPV6_PMTUDISC_DO };
            self.set(libc::SOL_IPV6, libc::IPV6_MTU_DISCOVER, value)?;
        } else {
            let value = if may { libc::IP_PMTUDISC_DONT } else { libc::IP_PMTUDISC_DO };
            self.set(libc::SOL_IP, libc::IP_MTU_DISCOVER, value)?;
        }
        self.may_fragment = Some(may);
        Ok(())
    }

    /// Sends the first of `messages`, at most [`AT_ONCE`]; returns how many were sent.
    ///
    /// # Errors
    /// What is wrong with the first one, or what an earlier one met with since the last call.
    pub(crate) fn send(&self, messages: &[Message<'_>]) -> io::Result<usize> {
        let mut names = [Name::EMPTY; AT_ONCE];
        let mut controls = [SendControl::EMPTY; AT_ONCE];
        // SAFETY: these are integers and pointers, for which zero is a value.
        let mut headers: [libc::mmsghdr; AT_ONCE] = unsafe { std::mem::zeroed() };
        let places = names.iter_mut().zip(&mut controls).zip(&mut headers);
        for (message, ((name, control), header)) in messages.iter().zip(places) {
            self.describe(message, control);
            let header = &mut header.msg_hdr;
            header.msg_namelen = name.set(message.to);
            header.msg_name = name.as_mut_ptr();
            header.msg_iov = message.data.as_ptr().cast_mut().cast();
            header.msg_iovlen = message.data.len() as _;
            header.msg_controllen = control.len() as _;
            header.msg_control = control.as_mut_ptr();
        }
        let count = messages.len().min(AT_ONCE) as libc::c_uint;
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: the first `count` headers point to names, controls and slices that outlive the
        // call, with their lengths; the kernel writes to the headers only. An `IoSlice` is an iovec.
        let sent = unsafe { libc::sendmmsg(self.fd.as_raw_fd(), headers.as_mut_ptr(), count, flags as _) };
        usize::try_from(sent).map_err(|_| last_error())
    }

    fn describe(&self, message: &Message<'_>, control: &mut SendControl) {
        let hops = i32::from(message.hops.max(1)).to_ne_bytes();
        let tos = i32::from(message.tos).to_ne_bytes();
        let level = if self.v6 { libc::SOL_IPV6 } else { libc::SOL_IP };
        let [hops_kind, tos_kind, via_kind] = if self.v6 {
            [libc::IPV6_HOPLIMIT, libc::IPV6_TCLASS, libc::IPV6_PKTINFO]
        } else {
            [libc::IP_TTL, libc::IP_TOS, libc::IP_PKTINFO]
        };
        control.push(level, hops_kind, &hops);
        if message.tos != 0 {
            control.push(level, tos_kind, &tos);
        }
        if let Some(via) = message.via.filter(|via| via.is_ipv6() == self.v6) {
            let (info, len) = packet_info(via);
            control.push(level, via_kind, info.get(..len).unwrap_or(&[]));
        }
        if let Some(segment) = message.segment {
            control.push(libc::SOL_UDP, UDP_SEGMENT, &segment.to_ne_bytes());
        }
    }

    /// Receives into the first of `buffers`, at most [`AT_ONCE`], one datagram or run of them
    /// each, and replaces `into` by what they are. As many as there are buffers means that there
    /// may be more.
    ///
    /// # Errors
    /// `AGAIN` if nothing is there; what a datagram that was sent earlier met with.
    #[allow(clippy::unnecessary_cast, reason = "not every libc has these lengths as usize")]
    pub(crate) fn receive(&self, buffers: &mut [IoSliceMut<'_>], into: &mut Vec<Received>) -> io::Result<()> {
        into.clear();
        let mut names = [Name::EMPTY; AT_ONCE];
        let mut controls = [ReceiveControl::EMPTY; AT_ONCE];
        // SAFETY: these are integers and pointers, for which zero is a value.
        let mut headers: [libc::mmsghdr; AT_ONCE] = unsafe { std::mem::zeroed() };
        let count = buffers.len().min(AT_ONCE) as libc::c_uint;
        let places = names.iter_mut().zip(&mut controls).zip(&mut headers);
        for (buffer, ((name, control), header)) in buffers.iter_mut().zip(places) {
            let header = &mut header.msg_hdr;
            header.msg_name = name.as_mut_ptr();
            header.msg_namelen = Name::LEN;
            header.msg_iov = std::ptr::from_mut(buffer).cast();
            header.msg_iovlen = 1;
            header.msg_control = control.as_mut_ptr();
            header.msg_controllen = RECEIVE_CONTROL as _;
        }
        // SAFETY: the first `count` headers point to names, controls and buffers that outlive the
        // call and are nobody else's, with their lengths. An `IoSliceMut` is an iovec.
        let received = unsafe {
            let headers = headers.as_mut_ptr();
            let flags = libc::MSG_DONTWAIT;
            libc::recvmmsg(self.fd.as_raw_fd(), headers, count, flags as _, std::ptr::null_mut())
        };
        let received = usize::try_from(received).map_err(|_| last_error())?;
        for ((name, control), header) in names.iter().zip(&controls).zip(&headers).take(received) {
            // Whoever sends to a socket of this kind has an address.
            let nobody = SocketAddr::from(([0; 4], 0));
            into.push(Received {
                from: name.get(header.msg_hdr.msg_namelen).unwrap_or(nobody),
                len: header.msg_len as usize,
                segment: None,
                hops: None,
                tos: 0,
                via: None,
                cut: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            });
            if let Some(last) = into.last_mut() {
                self.read_controls(control, header.msg_hdr.msg_controllen, last);
            }
        }
        Ok(())
    }

    fn read_controls(&self, control: &ReceiveControl, len: usize, received: &mut Received) {
        for (level, kind, data) in control.messages(len) {
            let word = data.first_chunk().map_or(0, |word| i32::from_ne_bytes(*word));
            match (level, kind) {
                (libc::SOL_UDP, UDP_GRO) => received.segment = u16::try_from(word).ok().filter(|s| *s > 0),
                (libc::SOL_IP, libc::IP_TTL) | (libc::SOL_IPV6, libc::IPV6_HOPLIMIT) => {
                    received.hops = u8::try_from(word).ok();
                }
                // One byte in IPv4, an integer in IPv6.
                (libc::SOL_IP, libc::IP_TOS) => received.tos = data.first().copied().unwrap_or(0),
                (libc::SOL_IPV6, libc::IPV6_TCLASS) => received.tos = u8::try_from(word).unwrap_or(0),
                (libc::SOL_IP, libc::IP_PKTINFO) | (libc::SOL_IPV6, libc::IPV6_PKTINFO) => {
                    received.via = parse_packet_info(data, self.v6);
                }
                _ => {}
            }
        }
    }

    /// The next trouble that a datagram met with; the beginning of its data goes to `buffer`:
    /// behind the UDP header, or the ICMP message.
    ///
    /// # Errors
    /// `AGAIN` if there is none.
    #[allow(clippy::unnecessary_cast, reason = "not every libc has these lengths as usize")]
    pub(crate) fn next_trouble(&self, buffer: &mut [u8]) -> io::Result<Trouble> {
        let (mut name, mut control) = (Name::EMPTY, ReceiveControl::EMPTY);
        let mut slice = IoSliceMut::new(buffer);
        // SAFETY: these are integers and pointers, for which zero is a value.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_name = name.as_mut_ptr();
        header.msg_namelen = Name::LEN;
        header.msg_iov = std::ptr::from_mut(&mut slice).cast();
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr();
        header.msg_controllen = RECEIVE_CONTROL as _;
        // SAFETY: the header points to a name, a control and a buffer that outlive the call and
        // are nobody else's, with their lengths. An `IoSliceMut` is an iovec.
        let received = unsafe {
            let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
            libc::recvmsg(self.fd.as_raw_fd(), &raw mut header, flags)
        };
        let len = usize::try_from(received).map_err(|_| last_error())?;
        let mut trouble = Trouble {
            to: name.get(header.msg_namelen),
            via: None,
            offender: None,
            kind: 0,
            code: 0,
            info: 0,
            too_big: false,
            len,
        };
        for (level, kind, data) in control.messages(header.msg_controllen as usize) {
            match (level, kind) {
                (libc::SOL_IP, libc::IP_RECVERR) | (libc::SOL_IPV6, libc::IPV6_RECVERR) => {
                    read_error(data, &mut trouble);
                }
                (libc::SOL_IP, libc::IP_PKTINFO) | (libc::SOL_IPV6, libc::IPV6_PKTINFO) => {
                    trouble.via = parse_packet_info(data, self.v6);
                }
                _ => {}
            }
        }
        Ok(trouble)
    }
}

/// Reads `struct sock_extended_err` and the address behind it.
fn read_error(data: &[u8], trouble: &mut Trouble) {
    let Some((error, offender)) = data.split_first_chunk::<16>() else { return };
    let [e0, e1, e2, e3, origin, kind, code, _, i0, i1, i2, i3, ..] = *error;
    trouble.too_big = i32::from_ne_bytes([e0, e1, e2, e3]) == libc::EMSGSIZE;
    (trouble.kind, trouble.code) = (kind, code);
    trouble.info = u32::from_ne_bytes([i0, i1, i2, i3]);
    if matches!(origin, libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6) {
        trouble.offender = parse(offender).map(|offender| offender.ip());
    }
}

impl AsFd for DatagramSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
#[path = "datagram_tests.rs"]
mod tests;
