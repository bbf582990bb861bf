//! Receiving: datagrams taken apart, checked, and joined into super-frames again.

use std::{
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
};

use packet::{Coalescer, Frame, MacAddr};
use socket2::Socket;

use crate::{
    counters::Counters,
    demux::{Demux, Member},
    drop_reason::DropReason,
    ecn,
    encap::decap,
    header::Vni,
    path::Path,
    sys::{Inbox, Incoming, MAX_RECEIVED},
    unfinished::recognise,
};

/// Flows of which frames are joined at once, 64 KiB each.
const FLOWS: usize = 8;

/// Who gets the frames.
pub trait Sink<A> {
    /// A station on another host may have the address `source`. Only asked where learning is on.
    fn admits(&mut self, to: &A, source: MacAddr) -> bool;

    /// Takes a frame, often a super-frame. Its checksum is partial, verified, or as it came.
    fn deliver(&mut self, to: &A, frame: &mut Frame);
}

/// One received UDP message: datagrams of one sender, side by side.
#[derive(Clone, Copy, Debug)]
pub struct Datagrams<'a> {
    /// Their payload.
    pub bytes: &'a [u8],
    /// Bytes of every datagram but the last; 0 for one datagram.
    pub segment: usize,
    /// The outer source address.
    pub from: IpAddr,
    /// The outer TOS or traffic class.
    pub tos: u8,
}

/// What becomes of received datagrams, without the socket they come from.
pub struct Inbound<A> {
    demux: Arc<Demux<A>>,
    drops: Arc<Counters<DropReason>>,
    coalescer: Coalescer,
    scratch: Frame,
    /// The network that everything in the coalescer is of.
    current: Option<Arc<Member<A>>>,
}

impl<A> Inbound<A> {
    /// Datagrams that name no known network are counted in `drops`.
    pub fn new(demux: Arc<Demux<A>>, drops: Arc<Counters<DropReason>>) -> Self {
        Self { demux, drops, coalescer: Coalescer::new(FLOWS), scratch: Frame::new(), current: None }
    }

    /// Takes the datagrams of one message. `now` is in seconds, on any clock that only goes forward.
    /// What can be joined with what comes next is held until [`Inbound::flush`].
    pub fn message(&mut self, message: &Datagrams<'_>, now: u32, sink: &mut impl Sink<A>) {
        let size = if message.segment == 0 { message.bytes.len() } else { message.segment };
        let mut sender = Sender::default();
        if message.bytes.is_empty() {
            self.drops.add(DropReason::Truncated, 1);
        }
        for datagram in message.bytes.chunks(size.max(1)) {
            match self.datagram(datagram, message, &mut sender, now, sink) {
                Ok(()) => {}
                Err((Some(member), reason)) => member.network.drops().add(reason, 1),
                Err((None, reason)) => self.drops.add(reason, 1),
            }
        }
    }

    fn datagram(
        &mut self,
        datagram: &[u8],
        message: &Datagrams<'_>,
        sender: &mut Sender,
        now: u32,
        sink: &mut impl Sink<A>,
    ) -> Result<(), Refused<A>> {
        let vni = Vni::from_header(datagram).map_err(|reason| (None, reason))?;
        if self.current.as_ref().is_none_or(|current| current.network.vni() != vni) {
            // Flows of two networks may look alike and must not be joined.
            self.flush(sink);
            *sender = Sender::default();
            self.current = self.demux.get(vni);
        }
        let Some(member) = &self.current else { return Err((None, DropReason::UnknownVni)) };
        let refuse = |reason| (Some(member.clone()), reason);
        let path = match &sender.path {
            Some(path) => path,
            None => sender.path.insert(member.network.check_source(message.from).map_err(refuse)?),
        };
        let (_, inner) = decap(datagram).map_err(refuse)?;
        let offload = recognise(inner, path.room()).map_err(refuse)?;
        if member.network.learning() {
            let source =
                inner.get(6..12).and_then(|mac| mac.first_chunk()).map_or(MacAddr::ZERO, |m| MacAddr(*m));
            if sender.learned != source && sink.admits(&member.to, source) {
                member.network.learn(source, path, now);
                sender.learned = source;
            }
        }
        let deliver = |frame: &mut Frame| sink.deliver(&member.to, frame);
        if ecn::is_marked(message.tos) {
            self.scratch.copy_from(inner, offload).map_err(|_| refuse(DropReason::Oversized))?;
            ecn::carry_over(message.tos, self.scratch.bytes_mut()).map_err(refuse)?;
            self.coalescer.push(&mut self.scratch, deliver);
            return Ok(());
        }
        let pushed = self.coalescer.push_bytes(inner, offload, &mut self.scratch, deliver);
        pushed.map_err(|_| refuse(DropReason::Oversized))
    }

    /// Hands over what is held.
    pub fn flush(&mut self, sink: &mut impl Sink<A>) {
        if let Some(member) = self.current.take() {
            self.coalescer.flush(|frame| sink.deliver(&member.to, frame));
        }
    }
}

/// A datagram that goes no further, and the network it named if there is one.
type Refused<A> = (Option<Arc<Member<A>>>, DropReason);

/// What is known of a message's sender after its first datagram.
#[derive(Default)]
struct Sender {
    path: Option<Arc<Path>>,
    learned: MacAddr,
}

/// One of the sockets that datagrams arrive at. Made by [`crate::Vtep::new`].
pub struct Receiver<A> {
    socket: Socket,
    inbox: Inbox,
    inbound: Inbound<A>,
    drops: Arc<Counters<DropReason>>,
}

impl<A> Receiver<A> {
    pub(crate) fn new(socket: Socket, demux: Arc<Demux<A>>, drops: Arc<Counters<DropReason>>) -> Self {
        let inbound = Inbound::new(demux, drops.clone());
        Self { socket, inbox: Inbox::new(MAX_RECEIVED), inbound, drops }
    }

    /// Readable when [`Receiver::receive`] has something to do.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The local address and port.
    pub fn address(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()?.as_socket()
    }

    /// Takes one batch of what has arrived, without waiting, and hands over all frames in it. Returns
    /// the number of messages, 0 if there were none. Call again while there are more: the
    /// socket stays readable.
    pub fn receive(&mut self, now: u32, sink: &mut impl Sink<A>) -> usize {
        // EAGAIN, EINTR, or an error that somebody sent to the socket: taking it has cleared it.
        let Ok(count) = self.inbox.receive(self.socket.as_fd()) else { return 0 };
        for Incoming { bytes, segment, from, tos, truncated } in self.inbox.messages() {
            if truncated {
                self.drops.add(DropReason::Oversized, 1);
                continue;
            }
            self.inbound.message(&Datagrams { bytes, segment, from: from.ip(), tos }, now, sink);
        }
        self.inbound.flush(sink);
        count
    }
}

impl<A> std::fmt::Debug for Receiver<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver").field("address", &self.address()).finish_non_exhaustive()
    }
}
