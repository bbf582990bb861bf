//! How datagrams go out.

use std::io::IoSlice;

use packet::wire::ipproto;
use rustix::io::Errno;

use super::{
    Outlet, Udp,
    batch::{Batch, NONE, Pending},
};
use crate::{
    counters::Reason,
    engine::{
        Inside,
        core::Core,
        outside::{self, Told, is_full, pass_error, send_one},
    },
    session::Table,
    sys::{AT_ONCE, DatagramSocket, Message, Trouble},
    udp::Run,
};

/// Pieces that go with one call.
const SLICES: usize = 64;

/// Pieces that go as one message.
#[derive(Clone, Copy, Debug)]
struct Unit {
    first: u32,
    pieces: usize,
    run: Run,
}

/// The messages of one call.
struct Units {
    list: [Option<Unit>; AT_ONCE],
    /// The first piece that was left.
    next: u32,
    may_fragment: bool,
}

impl Units {
    fn iter(&self) -> impl Iterator<Item = &Unit> {
        self.list.iter().flatten()
    }
}

/// The pieces of `batch` from `first` on, as messages. Without `cuts` runs of datagrams are left
/// to themselves: whoever meets one has to cut it.
fn gather(batch: &Batch, first: u32, cuts: bool) -> Option<Units> {
    let (piece, _) = batch.piece(first)?;
    let mut gathered = Units { list: [None; AT_ONCE], next: first, may_fragment: piece.packet.may_fragment };
    let (mut slots, mut pieces) = (gathered.list.iter_mut(), 0);
    let mut open: Option<&mut Unit> = None;
    while let Some((piece, next)) = batch.piece(gathered.next) {
        if pieces == SLICES || piece.packet.may_fragment != gathered.may_fragment {
            break;
        }
        let (run, index) = (piece.run(), gathered.next);
        let goes_with = |first| batch.piece(first).is_some_and(|(before, _)| before.goes_with(piece));
        let joined = match &mut open {
            Some(unit) => cuts && goes_with(unit.first) && unit.run.join(&run),
            None => false,
        };
        match &mut open {
            Some(unit) if joined => unit.pieces += 1,
            _ => {
                let Some(slot) = slots.next() else { break };
                open = Some(slot.insert(Unit { first: index, pieces: 1, run }));
            }
        }
        pieces += 1;
        gathered.next = next;
    }
    Some(gathered)
}

impl Udp {
    /// Sends on what the batch brought.
    pub(super) fn send_all(&mut self, core: &mut Core, out: &mut dyn Inside) {
        for index in self.dirty.drain(..) {
            let Some(mapping) = self.table.mapping_mut(index) else { continue };
            let pending = std::mem::replace(&mut mapping.data.pending, Pending::NONE);
            let mut next = pending.first;
            while next != NONE
                && let Some(units) = gather(&self.batch, next, mapping_cuts(&self.table, index))
            {
                next = units.next;
                let Some(mapping) = self.table.mapping_mut(index) else { break };
                let _ = mapping.data.socket.set_may_fragment(units.may_fragment);
                let mut sender = Sender {
                    core,
                    table: &self.table,
                    index,
                    batch: &self.batch,
                    quote: &mut self.quote,
                    out,
                    cannot_cut: false,
                };
                let done = sender.send(&units);
                let cannot_cut = sender.cannot_cut;
                if cannot_cut && let Some(mapping) = self.table.mapping_mut(index) {
                    mapping.data.cuts = false;
                }
                if done == Done::Full {
                    count_rest(core, &self.batch, next);
                    break;
                }
            }
        }
        self.batch.clear();
    }

    /// Takes what a socket has to tell of datagrams that were sent, and passes it on.
    pub(super) fn take_troubles(&mut self, core: &mut Core, index: u32, out: &mut dyn Inside) {
        let Self { table, quote, unread, .. } = self;
        if take_troubles(core, table, index, quote, out).more
            && let Some(mapping) = table.mapping(index)
        {
            unread.push((index, mapping.generation));
        }
    }
}

fn mapping_cuts(table: &Table<Outlet>, index: u32) -> bool {
    table.mapping(index).is_some_and(|mapping| mapping.data.cuts)
}

/// The socket has taken nothing more: the pieces from `next` on are lost.
fn count_rest(core: &mut Core, batch: &Batch, next: u32) {
    let mut next = next;
    while let Some((_, following)) = batch.piece(next) {
        core.counters.count(Reason::OutsideQueueFull);
        next = following;
    }
}

#[derive(PartialEq, Eq)]
enum Done {
    All,
    /// The socket takes nothing more.
    Full,
}

/// Sends the messages of one mapping.
struct Sender<'a> {
    core: &'a mut Core,
    table: &'a Table<Outlet>,
    index: u32,
    batch: &'a Batch,
    quote: &'a mut [u8],
    out: &'a mut dyn Inside,
    /// The kernel has refused to cut a run of datagrams.
    cannot_cut: bool,
}

impl Sender<'_> {
    fn send(&mut self, units: &Units) -> Done {
        let (table, batch) = (self.table, self.batch);
        let Some(mapping) = table.mapping(self.index) else { return Done::All };
        let (socket, cuts) = (&mapping.data.socket, mapping.data.cuts);
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut at = 0;
        for unit in units.iter() {
            let mut piece = unit.first;
            for _ in 0..unit.pieces {
                if let (Some(slot), Some((_, next))) = (slices.get_mut(at), batch.piece(piece)) {
                    *slot = IoSlice::new(batch.data(piece));
                    (at, piece) = (at + 1, next);
                }
            }
        }
        // Messages of nothing where there are no more units.
        let nowhere =
            Message { to: mapping.data.bound, data: &[], hops: 0, tos: 0, segment: None, via: None };
        let mut messages = [nowhere; AT_ONCE];
        let (mut rest, mut count) = (slices.as_slice(), 0);
        for (message, unit) in messages.iter_mut().zip(units.iter()) {
            let (data, others) = rest.split_at(unit.pieces.min(rest.len()));
            rest = others;
            if let Some((piece, _)) = batch.piece(unit.first) {
                *message = Message {
                    to: piece.to,
                    data,
                    hops: piece.packet.hops.saturating_sub(1),
                    tos: piece.packet.tos,
                    segment: unit.run.segment(),
                    via: piece.via,
                };
                count += 1;
            }
        }
        let (mut done, mut again) = (0, false);
        while let Some(left) = messages.get(done..count).filter(|left| !left.is_empty()) {
            let Some(unit) = units.iter().nth(done) else { break };
            // Where the kernel cuts nothing, runs of datagrams are for this process to cut.
            let run = left.iter().position(|message| message.segment.is_some());
            let run = run.filter(|_| !cuts).unwrap_or(left.len());
            match socket.send(left.get(..run).unwrap_or(&[])) {
                _ if run == 0 => {
                    self.send_singly(socket, unit);
                    done += 1;
                }
                Ok(sent) => (done, again) = (done + sent.max(1), false),
                Err(Errno::INTR) => {}
                Err(full) if is_full(full) => {
                    for _ in left {
                        self.core.counters.count(Reason::OutsideQueueFull);
                    }
                    return Done::Full;
                }
                Err(errno) => {
                    // EIO, or a kernel without it: the way has no checksums to offer (udp(7)).
                    self.cannot_cut |=
                        unit.run.count() > 1 && matches!(errno, Errno::IO | Errno::OPNOTSUPP) && cuts;
                    let earlier =
                        !matches!(errno, Errno::IO | Errno::INVAL | Errno::MSGSIZE | Errno::OPNOTSUPP);
                    if earlier && !again {
                        self.take_troubles();
                        again = true;
                        continue;
                    }
                    self.send_singly(socket, unit);
                    (done, again) = (done + 1, false);
                }
            }
        }
        Done::All
    }

    /// Sends each datagram of a unit by itself.
    fn send_singly(&mut self, socket: &DatagramSocket, unit: &Unit) {
        let (table, batch, index) = (self.table, self.batch, self.index);
        let mut next = unit.first;
        for _ in 0..unit.pieces {
            let Some((piece, following)) = batch.piece(next) else { return };
            let (data, packet) = (batch.data(next), batch.packet(next));
            let size = piece.segment.map_or(data.len(), usize::from).max(1);
            let mut rest = data;
            loop {
                let (datagram, others) = rest.split_at(size.min(rest.len()));
                rest = others;
                let message = Message {
                    to: piece.to,
                    data: &[IoSlice::new(datagram)],
                    hops: piece.packet.hops.saturating_sub(1),
                    tos: piece.packet.tos,
                    segment: None,
                    via: piece.via,
                };
                let quote = &mut *self.quote;
                let troubles =
                    |core: &mut Core, out: &mut dyn Inside| take_troubles(core, table, index, quote, out).mtu;
                let sent = send_one(self.core, socket, &message, &piece.packet, packet, self.out, troubles);
                if let Err(reason) = sent {
                    self.core.counters.count(reason);
                    // The rest would meet with the same, and the container is told once.
                    if reason != Reason::OutsideQueueFull {
                        break;
                    }
                }
                if rest.is_empty() {
                    break;
                }
            }
            next = following;
        }
    }

    fn take_troubles(&mut self) {
        take_troubles(self.core, self.table, self.index, self.quote, self.out);
    }
}

/// Takes what a mapping's socket has to tell of datagrams that were sent, and passes it on.
fn take_troubles(
    core: &mut Core,
    table: &Table<Outlet>,
    index: u32,
    quote: &mut [u8],
    out: &mut dyn Inside,
) -> Told {
    let Some(mapping) = table.mapping(index) else { return Told::default() };
    outside::take_troubles(core, &mapping.data.socket, quote, |core, trouble, data| {
        pass(core, table, index, trouble, data, out)
    })
}

fn pass(
    core: &mut Core,
    table: &Table<Outlet>,
    index: u32,
    trouble: &Trouble,
    data: &[u8],
    out: &mut dyn Inside,
) -> Result<(), Reason> {
    let to = trouble.to.ok_or(Reason::IcmpError)?;
    let session = table.find_outside(index, to, trouble.via).ok_or(Reason::IcmpError)?;
    let key = table.session(session).ok_or(Reason::IcmpError)?.key;
    let header = Udp::quoted_header(&key, data);
    pass_error(core, &key, ipproto::UDP, to.is_ipv6(), trouble, [&header, data], out)
}
