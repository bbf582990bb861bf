//! How data move between a container and a socket.
//!
//! To the outside, a batch's data go with one call; what the socket does not take is kept until it
//! does, and acknowledged as soon as it is either taken or kept. To the container, data are looked
//! at in the socket's receive queue, sent as super-frames, and discarded once acknowledged: that
//! queue is the only buffer, for the first transmission and for all that follow.

use std::{
    collections::VecDeque,
    io::{IoSlice, IoSliceMut},
    time::Duration,
};

use packet::{Frame, wire::tcp::flags};
use rustix::io::Errno;

use super::{
    Tcp,
    batch::{Batch, gather},
    flow::{Flow, Pending},
};
use crate::{
    counters::Reason,
    engine::{Inside, SendError, build, core::Core, events::Change, host::Host},
    sys::TcpSocket,
    tcp::{Finished, Outside, Peeked, Plan, Seq, State},
    time::Time,
};

/// Frames that are filled with one look into a socket.
pub(super) const PEEK_FRAMES: usize = 4;
/// Slices that go with one call.
const SLICES: usize = 64;
/// Frames that one flow sends before others have their turn; acknowledgments bring its next.
const FRAMES_A_TURN: usize = 64;
/// How long to wait when a container's queue was full.
const RETRY: Duration = Duration::from_millis(2);
/// How long to wait when a container's interface was down.
const RETRY_DOWN: Duration = Duration::from_millis(200);

/// Why a flow cannot go on.
enum Stop {
    /// The outside has reset it.
    Broken,
}

impl Tcp {
    /// Does for a flow all that can be done now.
    pub(super) fn service(&mut self, core: &mut Core, index: u32, out: &mut dyn Inside) {
        let Self { flows, batch, frames, .. } = self;
        let Some(flow) = flows.get_mut(index as usize) else { return };
        flow.dirty = false;
        send_out(core, flow, batch);
        discard(flow);
        flow.retry_at = Time::NEVER;
        let stopped = send_in(core, flow, frames, out);
        Self::recount(core, flow);
        if let Err(Stop::Broken) = stopped {
            self.give_up(core, index, out);
            return;
        }
        let finished = if flow.finished { flow.conn.finish(core.now) } else { None };
        match finished {
            Some(Finished::Forget) => self.remove(core, index, false),
            Some(Finished::Remember) => {
                self.remember(core, index);
                if let Some(flow) = self.flows.get_mut(index as usize) {
                    Self::schedule(core, flow, index);
                }
            }
            None => {
                flow.conn.settle(core.now, &core.config.tcp);
                Self::tell(core, flow, Change::State);
                Self::schedule(core, flow, index);
            }
        }
    }
}

/// Sends to the socket what it takes of what is kept and of what the batch brought.
fn send_out(core: &mut Core, flow: &mut Flow, batch: &Batch) {
    let pending = std::mem::replace(&mut flow.pending, Pending::NONE);
    let Some(socket) = &mut flow.socket else { return };
    if flow.broken {
        flow.kept = VecDeque::new();
        return;
    }
    if !flow.kept.is_empty() {
        let before = flow.kept.len();
        let (one, two) = flow.kept.as_slices();
        let sent = send(socket, &[IoSlice::new(one), IoSlice::new(two)], &mut flow.broken);
        flow.kept.drain(..sent.min(before));
        if flow.kept.is_empty() {
            // What blocked once may never again: give the memory back.
            flow.kept = VecDeque::new();
        }
        if sent > 0 {
            flow.conn.touch(core.now);
            flow.conn.drained(flow.kept.len() as u32);
        }
    }
    let total = pending.bytes as usize;
    let mut done = 0;
    if flow.kept.is_empty() {
        while done < total && !flow.broken {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = gather(batch.pieces(&pending), done, &mut slices);
            let sent = send(socket, slices.get(..count).unwrap_or(&[]), &mut flow.broken);
            if sent == 0 {
                break;
            }
            done += sent;
        }
        flow.conn.took(done as u32, &core.config.tcp);
    }
    if done < total && !flow.broken {
        flow.conn.blocked(&core.config.tcp);
        keep(core, flow, batch, &pending, done);
    }
    if flow.conn.is_inside_finished() && flow.kept.is_empty() && !flow.finished && !flow.broken {
        flow.finished = true;
        let finished = flow.socket.as_mut().map_or(Ok(()), Outside::finish);
        // A connection that the other side has reset meanwhile cannot be closed.
        flow.broken |= finished.is_err();
    }
}

fn send(socket: &mut TcpSocket, data: &[IoSlice<'_>], broken: &mut bool) -> usize {
    match socket.send(data) {
        Ok(sent) => sent,
        Err(Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM | Errno::INTR) => 0,
        Err(_) => {
            *broken = true;
            0
        }
    }
}

/// Keeps what the socket did not take, or has the container send it again where that is too much.
fn keep(core: &mut Core, flow: &mut Flow, batch: &Batch, pending: &Pending, done: usize) {
    let rest = pending.bytes as usize - done;
    if !Tcp::has_room(core, flow.key.inside, rest) {
        core.counters.count(Reason::Backlog);
        flow.conn.retreat(rest as u32);
        return;
    }
    flow.kept.reserve(rest);
    let mut skip = done;
    for piece in batch.pieces(pending) {
        let new = piece.get(skip..).unwrap_or(&[]);
        skip = skip.saturating_sub(piece.len());
        flow.kept.extend(new);
    }
}

/// Drops what the container has acknowledged from the socket's receive queue.
fn discard(flow: &mut Flow) {
    let Some(socket) = &mut flow.socket else { return };
    while flow.undiscarded > 0 {
        match socket.discard(flow.undiscarded as usize) {
            Ok(0) | Err(Errno::AGAIN | Errno::INTR) => break,
            Ok(done) => flow.undiscarded = flow.undiscarded.saturating_sub(done as u32),
            Err(_) => {
                flow.broken = true;
                break;
            }
        }
    }
}

/// Sends the container what is due: control segments, lost data, new data, the end of the stream.
fn send_in(core: &mut Core, flow: &mut Flow, frames: &mut [Frame], out: &mut dyn Inside) -> Result<(), Stop> {
    let kept = flow.kept();
    let mut budget = FRAMES_A_TURN;
    while budget > 0
        && let Some(plan) = flow.conn.plan()
    {
        let sent = match plan {
            Plan::Finish { seq } => send_fin(core, flow, seq, out),
            Plan::Again { seq, len } => send_data(core, flow, frames, seq, len, true, out),
            Plan::Next { seq, len } => send_data(core, flow, frames, seq, len, false, out),
        };
        match sent {
            Sent::Frames(count) => budget = budget.saturating_sub(count),
            Sent::Nothing => break,
            Sent::Refused(why) => {
                wait(core, flow, why);
                break;
            }
        }
    }
    // What the outside sent before it reset the connection was delivered, if it ever can be.
    if flow.broken && !(flow.conn.is_readable() && flow.conn.state() == State::Established) {
        return Err(Stop::Broken);
    }
    while let Some(header) = flow.conn.control(kept, core.now, &core.config.tcp) {
        if !Tcp::send_header(core, &flow.key, &header, out) {
            flow.conn.repeat(&header);
            wait(core, flow, SendError::Full);
            break;
        }
        flow.traffic.packets_in += 1;
    }
    Ok(())
}

/// What came of an attempt to send data.
enum Sent {
    Frames(usize),
    /// There was nothing to send.
    Nothing,
    /// The container did not take it.
    Refused(SendError),
}

fn wait(core: &Core, flow: &mut Flow, why: SendError) {
    flow.retry_at = core.now
        + match why {
            SendError::Full => RETRY,
            SendError::Down => RETRY_DOWN,
        };
}

fn send_fin(core: &mut Core, flow: &mut Flow, seq: Seq, out: &mut dyn Inside) -> Sent {
    let header = flow.conn.header(seq, true, flow.kept());
    if !Tcp::send_header(core, &flow.key, &header, out) {
        return Sent::Refused(SendError::Full);
    }
    flow.traffic.packets_in += 1;
    flow.conn.sent(seq, 1, core.now, &core.config.tcp);
    Sent::Frames(1)
}

/// Looks for up to `len` bytes from `seq` in the socket and sends them.
fn send_data(
    core: &mut Core,
    flow: &mut Flow,
    frames: &mut [Frame],
    seq: Seq,
    len: u32,
    again: bool,
    out: &mut dyn Inside,
) -> Sent {
    let Some(link) = core.host(flow.key.inside).and_then(Host::link) else { return Sent::Nothing };
    let Some(socket) = &mut flow.socket else { return Sent::Nothing };
    let (v6, mss) = (flow.key.is_v6(), flow.conn.segment_size());
    let (headers, most) = (build::headers_len(v6), build::most_data(v6, mss));
    let offset = seq.since(flow.conn.unacknowledged()) + flow.undiscarded;

    let mut wanted = len as usize;
    let mut areas = frames.iter_mut().map(|frame| {
        let part = wanted.min(most);
        wanted -= part;
        IoSliceMut::new(frame.plain_area().get_mut(headers..headers + part).unwrap_or(&mut []))
    });
    let mut slices: [IoSliceMut<'_>; PEEK_FRAMES] =
        std::array::from_fn(|_| areas.next().unwrap_or(IoSliceMut::new(&mut [])));
    drop(areas);
    let asked = len as usize - wanted;
    let found = match socket.peek(offset, &mut slices) {
        Ok(Peeked::Data(found)) => found,
        Ok(Peeked::Blocked) => return Sent::Nothing,
        Ok(Peeked::Nothing) if again => return Sent::Nothing,
        Ok(Peeked::Nothing) => {
            flow.conn.set_readable(false);
            return Sent::Nothing;
        }
        Ok(Peeked::End) if again || flow.broken => {
            // After a reset nothing more can be had.
            flow.conn.set_readable(false);
            flow.broken = true;
            return Sent::Nothing;
        }
        Ok(Peeked::End) => {
            flow.conn.finish_sending();
            return Sent::Frames(0);
        }
        Err(_) => {
            flow.conn.set_readable(false);
            flow.broken = true;
            return Sent::Nothing;
        }
    };
    // Less than was asked for is all there was, and what comes later is told of.
    let drained = found < asked && !again;
    if drained && !flow.read_on {
        flow.conn.set_readable(false);
    }
    let (mut done, mut count) = (0, 0);
    for frame in frames {
        let part = (found - done).min(most);
        if part == 0 {
            break;
        }
        let at = seq + done as u32;
        let mut header = flow.conn.header(at, false, flow.kept.len() as u32);
        if done + part == found && drained {
            header.flags |= flags::PSH;
        }
        if build::tcp_segment(frame, link, flow.key.route(), flow.key.ports(), &header, part, mss).is_none() {
            break;
        }
        if let Err(why) = Core::send(&mut core.counters, flow.key.inside, frame, out) {
            // What was not sent is looked at again.
            flow.conn.set_readable(true);
            return Sent::Refused(why);
        }
        let repeated = flow.conn.sent(at, part as u32, core.now, &core.config.tcp);
        core.counters.retransmitted_bytes += u64::from(repeated);
        flow.traffic.packets_in += 1;
        flow.traffic.bytes_in += part as u64 - u64::from(repeated);
        done += part;
        count += 1;
    }
    Sent::Frames(count)
}
