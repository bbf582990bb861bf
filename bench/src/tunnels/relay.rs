//! The least that a tunnel of a process can be: on each host a TAP and a UDP socket, a thread for each direction.
//!
//! Super-frames of TCP over IPv4 are cut and leave in messages with `UDP_SEGMENT`; those that `UDP_GRO` brings are verified
//! and joined again. No table, no other peer, no counter: it is the measure of what TAPs and sockets cost by themselves.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::net::UdpSocket;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, sendmsg, setsockopt, sockopt,
};

use super::{HOSTS, INNER, Tunnel, VNI, hosts};
use crate::error::{Doing as _, Error, Result};
use crate::netns::Netns;
use crate::peers::{Peer, Switch, address};
use crate::process::Process;
use crate::sys::{Offloads, open_tap};

/// The first argument with which the benchmark's own program is one end.
pub(crate) const ARGUMENT: &str = "tunnel-between-stdin-and-stdout";

/// The UDP port of both ends.
const PORT: u16 = 4789;
/// The virtio-net header as TAPs have it unless told otherwise.
const VIRTIO: usize = 10;
/// The VXLAN header.
const VXLAN: usize = 8;
/// Where IPv4 begins in a frame.
const IP: usize = 14;
/// Where TCP begins behind an IPv4 header without options.
const TCP: usize = IP + 20;
/// Room for the largest frame and its header.
const ROOM: usize = 65_536 + IP + VIRTIO;
/// Datagrams and bytes of one message.
const MOST: (usize, usize) = (64, 65_507);
/// Set in the kind of a super-frame whose sender has seen congestion.
const ECN: u8 = 0x80;
/// Bytes asked for in the socket's buffers.
const BUFFER: usize = 8 << 20;

/// A bare tunnel.
pub(super) struct Relay;

impl Peer for Relay {
    fn name(&self) -> &'static str {
        "vxlan-relay"
    }

    fn description(&self) -> String {
        "a TAP and a UDP socket on each host, UDP_SEGMENT and UDP_GRO, TCP cut and joined, a thread a direction"
            .to_owned()
    }

    fn lacks(&self) -> Option<String> {
        (!Path::new("/dev/net/tun").exists()).then(|| "there is no /dev/net/tun".to_owned())
    }

    fn mtu(&self) -> u64 {
        INNER
    }

    fn limit(&self) -> Option<usize> {
        Some(2)
    }

    fn start(&self, directory: &Path, tag: &str) -> Result<Box<dyn Switch>> {
        self.start_with(1, directory, tag)
    }
}

impl Tunnel for Relay {
    fn start_with(&self, _peers: u32, _directory: &Path, tag: &str) -> Result<Box<dyn Switch>> {
        Ok(Box::new(Running { ends: Vec::new(), hosts: hosts(tag)? }))
    }

    fn grows(&self) -> bool {
        false
    }
}

struct Running {
    ends: Vec<Process>,
    hosts: [Netns; 2],
}

impl Switch for Running {
    fn attach(&mut self, netns: &Netns) -> Result<()> {
        let index = self.ends.len();
        let (host, local, remote) = (&self.hosts[index % 2], HOSTS[index % 2], HOSTS[1 - index % 2]);
        let tap = netns.within(|| open_tap("eth0", Offloads::Tcp4).doing(|| "make a TAP".to_owned()))?;
        netns.ip(&format!("addr add {}/16 dev eth0\nlink set eth0 mtu {INNER} up\n", address(index)))?;
        let socket = host.within(|| {
            let socket = UdpSocket::bind((local, PORT)).doing(|| "bind a socket".to_owned())?;
            let set = [
                setsockopt(&socket, sockopt::UdpGroSegment, &true),
                setsockopt(&socket, sockopt::RcvBufForce, &BUFFER),
                setsockopt(&socket, sockopt::SndBufForce, &BUFFER),
            ];
            set.into_iter().collect::<nix::Result<()>>().doing(|| "prepare a socket".to_owned())?;
            Ok(socket)
        })?;
        socket.connect((remote, PORT)).doing(|| "connect a socket".to_owned())?;
        let own = std::env::current_exe().doing(|| "find the benchmark's own program file".to_owned())?;
        let mut end = Command::new(own);
        end.arg(ARGUMENT).stdin(Stdio::from(tap)).stdout(Stdio::from(OwnedFd::from(socket)));
        self.ends.push(Process::spawn_with_output(end, None)?);
        Ok(())
    }

    fn processes(&self) -> Vec<u32> {
        self.ends.iter().map(Process::id).collect()
    }

    fn check(&mut self) -> Result<()> {
        self.ends.iter_mut().try_for_each(Process::check)
    }
}

/// What the child process does: carries frames between the TAP that is its standard input and the socket that is its
/// standard output.
pub(crate) fn child() -> Result<()> {
    let owned = |descriptor: io::Result<OwnedFd>| descriptor.doing(|| "duplicate a descriptor".to_owned());
    let tap = File::from(owned(io::stdin().as_fd().try_clone_to_owned())?);
    let socket = UdpSocket::from(owned(io::stdout().as_fd().try_clone_to_owned())?);
    let ended = std::thread::scope(|scope| {
        scope.spawn(|| inwards(&socket, &tap));
        outwards(&tap, &socket)
    });
    Err(Error::Io { what: "carry a frame".to_owned(), source: ended })
}

/// The sum of big-endian words, folded (RFC 1071).
fn sum(bytes: &[u8], before: u64) -> u16 {
    let (words, tail) = bytes.as_chunks::<4>();
    let mut sum = words.iter().fold(0u64, |sum, word| sum + u64::from(u32::from_ne_bytes(*word)));
    let mut last = [0; 4];
    last[..tail.len()].copy_from_slice(tail);
    sum += u64::from(u32::from_ne_bytes(last));
    while sum >> 16 != 0 {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    let mut sum = before + u64::from(u16::from_be(sum as u16));
    while sum >> 16 != 0 {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from(word(bytes, at)) << 16 | u32::from(word(bytes, at + 2))
}

fn set(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// The sum of TCP's pseudo-header and of what follows it in a frame.
fn transport(frame: &[u8]) -> u16 {
    let pseudo = u64::from(sum(&frame[IP + 12..TCP], 0)) + 6 + (frame.len() - TCP) as u64;
    sum(&frame[TCP..], pseudo)
}

/// From the TAP to the socket, until reading fails.
fn outwards(mut tap: &File, socket: &UdpSocket) -> io::Error {
    let (mut read, mut out) = (vec![0; ROOM], Vec::with_capacity(2 * ROOM));
    loop {
        let length = match tap.read(&mut read) {
            Ok(length) => length,
            Err(error) => return error,
        };
        let (header, frame) = read[..length].split_at_mut(VIRTIO);
        let (kind, size) = (header[1], usize::from(u16::from_ne_bytes([header[4], header[5]])));
        let start = usize::from(u16::from_ne_bytes([header[6], header[7]]));
        let field = start + usize::from(u16::from_ne_bytes([header[8], header[9]]));
        out.clear();
        if matches!(kind, 0 | ECN) {
            if header[0] & 1 != 0 {
                let checksum = !sum(&frame[start..], 0);
                set(frame, field, checksum);
            }
            datagram(&mut out, frame);
            send(socket, &out, out.len());
            continue;
        }
        let payload = TCP + usize::from(frame[TCP + 12] >> 4) * 4;
        let (headers, data) = frame.split_at(payload);
        let count = data.len().div_ceil(size);
        for (index, data) in data.chunks(size).enumerate() {
            let from = out.len() + VXLAN;
            datagram(&mut out, headers);
            out.extend_from_slice(data);
            let segment = &mut out[from..];
            let length = segment.len() - IP;
            set(segment, IP + 2, length as u16);
            set(segment, IP + 4, word(headers, IP + 4).wrapping_add(index as u16));
            set(segment, IP + 10, 0);
            let checksum = !sum(&segment[IP..TCP], 0);
            set(segment, IP + 10, checksum);
            let sequence = number(headers, TCP + 4).wrapping_add((index * size) as u32);
            segment[TCP + 4..TCP + 8].copy_from_slice(&sequence.to_be_bytes());
            if index + 1 < count {
                segment[TCP + 13] &= !0x09;
            }
            set(segment, TCP + 16, 0);
            let checksum = !transport(segment);
            set(segment, TCP + 16, checksum);
        }
        let whole = VXLAN + payload + size;
        let most = MOST.0.min(MOST.1 / whole) * whole;
        for message in out.chunks(most) {
            send(socket, message, whole);
        }
    }
}

/// Appends the VXLAN header and what is behind it.
fn datagram(out: &mut Vec<u8>, frame: &[u8]) {
    out.extend_from_slice(&[8, 0, 0, 0]);
    out.extend_from_slice(&(VNI << 8).to_be_bytes());
    out.extend_from_slice(frame);
}

/// What cannot be sent is lost, as on a wire.
fn send(socket: &UdpSocket, bytes: &[u8], segment: usize) {
    let segment = segment as u16;
    let control = [ControlMessage::UdpGsoSegments(&segment)];
    let control = if bytes.len() > usize::from(segment) { &control[..] } else { &[] };
    let _ =
        sendmsg::<SockaddrIn>(socket.as_raw_fd(), &[IoSlice::new(bytes)], control, MsgFlags::empty(), None);
}

/// From the socket to the TAP, until receiving fails.
fn inwards(socket: &UdpSocket, tap: &File) -> io::Error {
    let mut received = vec![0; ROOM];
    let mut control = nix::cmsg_space!(i32);
    let mut held = Held { bytes: vec![0; ROOM], ..Held::default() };
    loop {
        let mut into = [IoSliceMut::new(&mut received)];
        let message =
            recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut into, Some(&mut control), MsgFlags::empty());
        let (length, size) = match message {
            Ok(message) => {
                let segments = message.cmsgs().into_iter().flatten().find_map(|control| match control {
                    ControlMessageOwned::UdpGroSegments(size) => usize::try_from(size).ok(),
                    _ => None,
                });
                (message.bytes, segments.unwrap_or(message.bytes))
            }
            Err(nix::Error::EINTR | nix::Error::ECONNREFUSED) => continue,
            Err(errno) => return errno.into(),
        };
        for datagram in received[..length].chunks(size.max(1)) {
            if let Some(frame) = datagram.get(VXLAN..).filter(|frame| frame.len() >= IP) {
                held.take(frame, tap);
            }
        }
        held.release(tap);
    }
}

/// Segments of one connection, joined.
#[derive(Default)]
struct Held {
    /// Behind room for the virtio-net header.
    bytes: Vec<u8>,
    /// Bytes of the frame; 0 if there is none.
    length: usize,
    payload: usize,
    size: usize,
    next: u32,
}

impl Held {
    fn take(&mut self, frame: &[u8], tap: &File) {
        let is_tcp =
            frame.len() > TCP + 20 && word(frame, 12) == 0x0800 && frame[IP] == 0x45 && frame[IP + 9] == 6;
        let payload = if is_tcp { TCP + usize::from(frame[TCP + 12] >> 4) * 4 } else { 0 };
        if !is_tcp || payload >= frame.len() || transport(frame) != 0xffff {
            self.release(tap);
            self.hold(frame, frame.len());
            self.release(tap);
            return;
        }
        let (sequence, data) = (number(frame, TCP + 4), &frame[payload..]);
        let follows = self.length > 0
            && self.payload == payload
            && self.next == sequence
            && data.len() <= self.size
            && self.length + data.len() <= IP + 65_535
            && self.bytes[VIRTIO + IP + 12..][..12] == frame[IP + 12..TCP + 4];
        if follows {
            self.bytes[VIRTIO + self.length..][..data.len()].copy_from_slice(data);
            self.length += data.len();
            self.bytes[VIRTIO + TCP + 13] |= frame[TCP + 13];
        } else {
            self.release(tap);
            self.hold(frame, payload);
        }
        self.next = sequence.wrapping_add(data.len() as u32);
        // A short one, and one that is to be delivered at once, is the last.
        if data.len() < self.size || frame[TCP + 13] & 0x0f != 0 {
            self.release(tap);
        }
    }

    fn hold(&mut self, frame: &[u8], payload: usize) {
        self.bytes[VIRTIO..][..frame.len()].copy_from_slice(frame);
        (self.length, self.payload, self.size) = (frame.len(), payload, frame.len() - payload);
    }

    fn release(&mut self, mut tap: &File) {
        let length = std::mem::take(&mut self.length);
        if length == 0 {
            return;
        }
        let (header, frame) = self.bytes[..VIRTIO + length].split_at_mut(VIRTIO);
        header.fill(0);
        if length > self.payload + self.size {
            set(frame, IP + 2, (length - IP) as u16);
            set(frame, IP + 10, 0);
            let checksum = !sum(&frame[IP..TCP], 0);
            set(frame, IP + 10, checksum);
            let pseudo = sum(&frame[IP + 12..TCP], 6 + (length - TCP) as u64);
            set(frame, TCP + 16, pseudo);
            header[..2].copy_from_slice(&[1, 1]);
            let numbers = [self.payload, self.size, TCP, 16];
            for (field, number) in header[2..].chunks_exact_mut(2).zip(numbers) {
                field.copy_from_slice(&(number as u16).to_ne_bytes());
            }
        } else {
            // Verified where it is TCP with data; the receiver looks at the rest itself.
            header[0] = if self.size > 0 { 2 } else { 0 };
        }
        // A frame that cannot be written is lost, as on a wire.
        let _ = tap.write(&self.bytes[..VIRTIO + length]);
    }
}
