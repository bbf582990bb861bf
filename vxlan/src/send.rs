//! Sending: which socket, when, and what to do when the kernel refuses.

use std::{net::IpAddr, os::fd::AsFd, sync::Arc};

use crossbeam_utils::{CachePadded, atomic::AtomicCell};
use nix::errno::Errno;
use packet::{Frame, segment::Segmenter};
use socket2::Socket;

use crate::{
    batch::{Batch, Message, Targets},
    drop_reason::SendError,
    entropy::flow_hash,
    header::{HEADER_LEN, Vni},
    path::{Path, Paths},
    socket::{Family, Probe},
    sys::{MAX_MESSAGES, Outgoing, send_messages},
};

/// Most sending sockets of one IP version.
pub const MAX_SENDERS: usize = 32;

/// Where a worker keeps its batch.
type Slot = AtomicCell<Option<Box<Batch>>>;

/// The sending side of a VTEP. Every worker has a batch of its own; the sockets are everybody's,
/// since the kernel takes datagrams for one socket from several threads at once.
pub struct Sender {
    v4: Box<[Socket]>,
    v6: Box<[Socket]>,
    /// Taken out while in use, so that no worker ever waits for another.
    batches: Box<[CachePadded<Slot>]>,
    paths: Paths,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender")
            .field("v4", &self.v4.len())
            .field("v6", &self.v6.len())
            .finish_non_exhaustive()
    }
}

impl Sender {
    /// For `workers` threads; the families' sending sockets are taken out of them.
    pub(crate) fn new(port: u16, workers: usize, families: &mut [Family], probe: Option<Probe>) -> Self {
        let mut take = |v4: bool| {
            let family = families.iter_mut().find(|family| family.local.is_ipv4() == v4);
            family.map(|family| std::mem::take(&mut family.senders)).unwrap_or_default()
        };
        Self {
            v4: take(true),
            v6: take(false),
            batches: (0..workers.max(1))
                .map(|_| CachePadded::new(AtomicCell::new(Some(Box::default()))))
                .collect(),
            paths: Paths::new(port, probe),
        }
    }

    /// One that sends nothing.
    pub(crate) fn without_sockets() -> Self {
        Self::new(crate::PORT, 1, &mut [], None)
    }

    /// The way to a peer.
    pub fn path(&self, vtep: IpAddr) -> Arc<Path> {
        self.paths.get(vtep)
    }

    /// All paths in use.
    pub fn paths(&self) -> Vec<Arc<Path>> {
        self.paths.all()
    }

    /// The local ports datagrams are sent from.
    pub fn source_ports(&self) -> Vec<u16> {
        let port = |socket: &Socket| Some(socket.local_addr().ok()?.as_socket()?.port());
        self.v4.iter().chain(&self.v6).filter_map(port).collect()
    }

    /// Takes `frame`, which is only read, as a frame of `vni` for each of `paths`; what it becomes
    /// is sent by [`Sender::flush`] with the same `worker`, or before when there is much. Super-frames
    /// are cut and checksums completed.
    ///
    /// # Errors
    /// [`SendError`]: [`SendError::TooBig`] only if there is one path, and it has no room for the
    /// frame or its longest segment. Of several paths those that cannot take it count it.
    pub fn send(&self, worker: usize, vni: Vni, frame: &Frame, paths: &[Arc<Path>]) -> Result<(), SendError> {
        let longest = longest_frame(frame).ok_or(SendError::Malformed)?;
        match paths {
            [] => return Err(SendError::NoPeer),
            [path] if longest > path.room() => return Err(SendError::TooBig),
            [path] if self.sockets(path.vtep()).is_empty() => return Err(SendError::NoSocket),
            _ => {}
        }
        let hash = flow_hash(frame.bytes());
        let choose = |sockets: &[Socket], first: u8| {
            // The high bits of the hash are the best mixed ones.
            let chosen = (u64::from(hash) * sockets.len() as u64) >> 32;
            (!sockets.is_empty()).then_some(first + chosen as u8)
        };
        let sockets = [choose(&self.v4, 0), choose(&self.v6, MAX_SENDERS as u8)];
        let targets = Targets { paths, sockets, longest };
        let Some(cell) = self.batches.get(worker) else { return Err(SendError::Refused) };
        // Empty only after a panic while the batch was out.
        let mut batch = cell.take().unwrap_or_default();
        let result = batch.add(vni, frame, &targets, |batch| self.send_batch(batch));
        cell.store(Some(batch));
        result
    }

    /// Sends what `worker` has taken since the last time. What the kernel then refuses is counted
    /// at its [`Path`].
    pub fn flush(&self, worker: usize) {
        let Some(cell) = self.batches.get(worker) else { return };
        let Some(mut batch) = cell.take() else { return };
        if !batch.is_empty() {
            self.send_batch(&batch);
            batch.clear();
        }
        cell.store(Some(batch));
    }

    fn sockets(&self, vtep: IpAddr) -> &[Socket] {
        if vtep.is_ipv4() { &self.v4 } else { &self.v6 }
    }

    fn socket(&self, number: u8) -> Option<&Socket> {
        let number = usize::from(number);
        self.v4.get(number).or_else(|| self.v6.get(number.checked_sub(MAX_SENDERS)?))
    }

    fn send_batch(&self, batch: &Batch) {
        let mut left = batch.sockets();
        while left != 0 {
            let number = left.trailing_zeros() as u8;
            left &= left - 1;
            let Some(socket) = self.socket(number) else { continue };
            let mut group = Group::new(socket, batch);
            for message in batch.of_socket(number) {
                group.push(message);
            }
            group.send();
        }
    }
}

/// Messages for one socket.
struct Group<'a> {
    socket: &'a Socket,
    batch: &'a Batch,
    messages: [Option<&'a Message>; MAX_MESSAGES],
    outgoing: [Outgoing<'a>; MAX_MESSAGES],
    len: usize,
}

impl<'a> Group<'a> {
    fn new(socket: &'a Socket, batch: &'a Batch) -> Self {
        let outgoing = [Outgoing::default(); MAX_MESSAGES];
        Self { socket, batch, messages: [None; MAX_MESSAGES], outgoing, len: 0 }
    }

    fn push(&mut self, message: &'a Message) {
        let bytes = self.batch.bytes(message);
        if message.count == 1 {
            self.add(message, bytes, 0);
        } else if message.path.segmentation() {
            self.add(message, bytes, message.segment);
        } else {
            for datagram in bytes.chunks(message.segment.into()) {
                self.add(message, datagram, 0);
            }
        }
    }

    fn add(&mut self, message: &'a Message, bytes: &'a [u8], segment: u16) {
        if self.len == MAX_MESSAGES {
            self.send();
        }
        self.messages[self.len] = Some(message);
        self.outgoing[self.len] = Outgoing { bytes, segment, to: Some(message.path.to()) };
        self.len += 1;
    }

    fn send(&mut self) {
        let mut left = 0..std::mem::take(&mut self.len);
        while !left.is_empty() {
            match send_messages(self.socket.as_fd(), &self.outgoing[left.clone()]) {
                Ok(0) => return,
                Ok(sent) => left.start += sent,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    // The socket's buffer is as full for the rest.
                    for (message, outgoing) in
                        left.filter_map(|i| Some((self.messages[i]?, self.outgoing[i])))
                    {
                        message.path.drops().add(SendError::QueueFull, datagrams(&outgoing));
                    }
                    return;
                }
                Err(errno) => {
                    if let Some(message) = self.messages[left.start] {
                        self.refused(message, &self.outgoing[left.start], errno);
                    }
                    left.start += 1;
                }
            }
        }
    }

    /// The kernel did not take `outgoing`, which is all of `message` or one datagram of it.
    #[cold]
    fn refused(&self, message: &Message, outgoing: &Outgoing<'_>, errno: Errno) {
        let path = &message.path;
        let reason = match errno {
            // A route that swallows says EINVAL, one that forbids EACCES.
            Errno::EINVAL | Errno::EACCES if !path.find_route() => SendError::Unreachable,
            Errno::EMSGSIZE | Errno::EINVAL | Errno::EIO => {
                // EINVAL has just asked.
                if errno != Errno::EINVAL {
                    path.refresh();
                }
                let longest = usize::from(message.segment).saturating_sub(HEADER_LEN);
                if longest > path.room() {
                    // Known from now on, so that the next sender is told.
                    SendError::TooBig
                } else if outgoing.segment > 0 {
                    // Once more: the route may be back by now, and nothing is wrong with segments.
                    let again = send_messages(self.socket.as_fd(), &[*outgoing]);
                    // udp(7): no checksum offload on the way out, or a kernel without UDP_SEGMENT.
                    if again.is_err()
                        && self.send_singly(message, outgoing)
                        && again == Err(errno)
                        && errno != Errno::EMSGSIZE
                    {
                        path.set_segmentation(false);
                    }
                    return;
                } else if errno == Errno::EMSGSIZE {
                    SendError::TooBig
                } else {
                    SendError::Refused
                }
            }
            Errno::EAGAIN | Errno::ENOBUFS | Errno::ENOMEM => SendError::QueueFull,
            Errno::ENETUNREACH
            | Errno::EHOSTUNREACH
            | Errno::ENETDOWN
            | Errno::EHOSTDOWN
            | Errno::ECONNREFUSED => SendError::Unreachable,
            _ => SendError::Refused,
        };
        path.drops().add(reason, datagrams(outgoing));
    }

    /// Sends the datagrams of a refused message one by one; whether the kernel took any.
    fn send_singly(&self, message: &Message, outgoing: &Outgoing<'_>) -> bool {
        let mut any = false;
        for bytes in outgoing.bytes.chunks(outgoing.segment.into()) {
            let single = Outgoing { bytes, segment: 0, to: outgoing.to };
            loop {
                match send_messages(self.socket.as_fd(), &[single]) {
                    Ok(_) => any = true,
                    Err(Errno::EINTR) => continue,
                    Err(errno) => self.refused(message, &single, errno),
                }
                break;
            }
        }
        any
    }
}

fn datagrams(outgoing: &Outgoing<'_>) -> u64 {
    match outgoing.segment {
        0 => 1,
        segment => outgoing.bytes.len().div_ceil(segment.into()) as u64,
    }
}

/// Bytes of the longest frame this becomes on the wire. `None` for a super-frame that cannot be cut.
pub(crate) fn longest_frame(frame: &Frame) -> Option<usize> {
    match frame.offload().gso {
        None => Some(frame.len()),
        Some(gso) => Some(Segmenter::new(frame.bytes(), gso).ok()?.next_len()),
    }
}

#[cfg(test)]
#[path = "send_tests.rs"]
mod tests;
