//! How flows begin and end.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use packet::wire::{TcpPacket, ethernet, ipproto, tcp};
use rustix::io::{self, Errno};

use super::{
    Tcp, WATCHED,
    flow::{Flow, Key, Pending},
    token,
};
use crate::{
    counters::Reason,
    engine::{
        Inside,
        build::{self, Link, Route},
        core::{Core, Target},
        events::Change,
        host::{InsideId, Way},
        icmp_error::Trouble,
        view::Direction,
    },
    sys::{TcpSocket, leave_room},
    tcp::{Conn, Header, Segment, State},
    time::Time,
};

/// How early a timer may fire. To move it whenever something is acknowledged would cost more than to
/// find now and then that nothing is due; but what is due in hours must not be looked at in a moment,
/// or each of many flows that are seldom used is looked at once more for each time it was.
const EARLY: Duration = Duration::from_secs(1);

/// Connections that are over and only remembered, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    queue: VecDeque<(u32, u32)>,
    /// How many of them are still there.
    pub(super) count: usize,
}

/// What a container is told when its connection cannot be made.
fn trouble_of(errno: Errno) -> Trouble {
    match errno {
        Errno::NETUNREACH | Errno::NETDOWN => Trouble::Network,
        Errno::ACCESS | Errno::PERM => Trouble::Prohibited,
        _ => Trouble::Host,
    }
}

/// Why a flow did not begin.
fn reason_of(errno: Errno) -> Option<Reason> {
    match errno {
        Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM => Some(Reason::Descriptors),
        Errno::ADDRINUSE | Errno::ADDRNOTAVAIL | Errno::AGAIN => Some(Reason::Ports),
        _ => None,
    }
}

impl Tcp {
    /// Begins a connection that a container opens: outwards first, its SYN is answered when that
    /// is done.
    pub(super) fn open(
        &mut self,
        core: &mut Core,
        way: Way,
        key: Key,
        syn: &Segment,
        out: &mut dyn Inside,
    ) -> Result<(), Reason> {
        let remote = match core.target(way) {
            Target::Outside(remote) => remote,
            Target::Nobody => {
                Self::refuse(core, &key, &Header::reset_for(syn), out);
                return Err(Reason::NoFlow);
            }
            Target::Forbidden => {
                Self::complain(core, &key, syn, Trouble::Prohibited, out);
                return Err(Reason::NoOutbound);
            }
        };
        let (mss, outside) = match core.host(key.inside) {
            Some(host) => (host.mss(key.is_v6()), host.outside(remote)),
            None => return Err(Reason::UnknownInside),
        };
        if let Err(reason) = self.check_limits(core, key.inside) {
            Self::complain(core, &key, syn, Trouble::Host, out);
            return Err(reason);
        }
        let remote = SocketAddr::new(remote, key.remote.port);
        match self.connect(core, key, outside, remote) {
            Ok((socket, mapped)) => {
                let conn = Conn::accept(syn, self.isn(&key, core.now), mss, core.now, &core.config.tcp);
                let index = self.insert(core, key, Direction::Outbound, conn, socket);
                if let Some(flow) = self.flows.get_mut(index as usize) {
                    flow.mapped = mapped;
                }
                if let Err(errno) = self.watch(core, index) {
                    self.fail_to_connect(core, index, errno, out);
                } else {
                    self.mark(index);
                }
                Ok(())
            }
            Err(Errno::CONNREFUSED) => {
                Self::send_header(core, &key, &Header::reset_for(syn), out);
                Ok(())
            }
            Err(errno) => {
                Self::complain(core, &key, syn, trouble_of(errno), out);
                reason_of(errno).map_or(Ok(()), Err)
            }
        }
    }

    /// A socket that begins to connect, and whether its port is to be released.
    fn connect(
        &mut self,
        core: &Core,
        Key { inside, local, .. }: Key,
        outside: std::net::IpAddr,
        remote: SocketAddr,
    ) -> io::Result<(TcpSocket, bool)> {
        let socket = TcpSocket::new(remote.is_ipv6(), &self.manner)?;
        leave_room(&socket, core.config.limits.descriptors)?;
        match self.mappings.bind(&socket, inside, local, outside) {
            Ok(()) => match socket.connect(remote) {
                Ok(()) => return Ok((socket, true)),
                Err(errno) => {
                    self.mappings.release(inside, local);
                    if errno != Errno::ADDRNOTAVAIL {
                        return Err(errno);
                    }
                }
            },
            // No port is left for the endpoint alone.
            Err(Errno::ADDRINUSE) => {}
            Err(errno) => return Err(errno),
        }
        // The kernel still remembers a connection between these very ends, or has no port left:
        // let it find one that is free for this destination.
        drop(socket);
        let socket = TcpSocket::new(remote.is_ipv6(), &self.manner)?;
        leave_room(&socket, core.config.limits.descriptors)?;
        if !outside.is_unspecified() {
            socket.bind_address(outside)?;
        }
        socket.connect(remote)?;
        Ok((socket, false))
    }

    /// Whether one more half-open flow is within the limits.
    pub(super) fn check_limits(&self, core: &Core, inside: InsideId) -> Result<(), Reason> {
        let limits = &core.config.limits;
        let host = core.host(inside).ok_or(Reason::UnknownInside)?;
        if host.flows >= limits.flows_per_inside {
            Err(Reason::InsideFlows)
        } else if self.flows.len() - self.remembered.count >= limits.flows {
            Err(Reason::Flows)
        } else if host.half_open >= limits.half_open_per_inside {
            Err(Reason::InsideHalfOpen)
        } else if self.half_open >= limits.half_open {
            Err(Reason::HalfOpen)
        } else {
            Ok(())
        }
    }

    /// Enters a flow in the table. One that is only remembered makes room.
    pub(super) fn insert(
        &mut self,
        core: &mut Core,
        key: Key,
        direction: Direction,
        conn: Conn,
        socket: TcpSocket,
    ) -> u32 {
        if let Some(old) = self.by_key.get(&key).copied() {
            self.remove(core, old, false);
        }
        self.generation = self.generation.wrapping_add(1) & 0xff_ffff;
        let mut flow = Flow::new(key, direction, conn, socket, core.now);
        flow.generation = self.generation;
        Self::tell(core, &mut flow, Change::New);
        let index = self.flows.insert(flow) as u32;
        self.by_key.insert(key, index);
        core.counters.flows_opened += 1;
        self.half_open += 1;
        if let Some(host) = core.host_mut(key.inside) {
            host.flows += 1;
            host.half_open += 1;
        }
        index
    }

    /// Watches a flow's socket.
    pub(super) fn watch(&mut self, core: &Core, index: u32) -> io::Result<()> {
        match self.flows.get(index as usize) {
            Some(flow) => match &flow.socket {
                Some(socket) => core.poll.add(socket, WATCHED, token(flow, index).pack()),
                None => Ok(()),
            },
            None => Ok(()),
        }
    }

    /// Counts a flow among the half-open ones of its container, or no longer.
    pub(super) fn count_half_open(core: &mut Core, flow: &mut Flow, half_open: bool) {
        if flow.half_open && !half_open {
            flow.half_open = false;
            if let Some(host) = core.host_mut(flow.key.inside) {
                host.half_open = host.half_open.saturating_sub(1);
            }
        }
    }

    /// The outside is connected, or is known not to be.
    pub(super) fn on_connected(&mut self, core: &mut Core, index: u32, out: &mut dyn Inside) {
        let now = core.now;
        let Some(flow) = self.flows.get_mut(index as usize) else { return };
        match flow.socket.as_ref().map_or(Ok(()), TcpSocket::error) {
            Ok(()) => {
                flow.conn.connected(now);
                flow.heard = now;
                self.mark(index);
            }
            Err(errno) => self.fail_to_connect(core, index, errno, out),
        }
    }

    fn fail_to_connect(&mut self, core: &mut Core, index: u32, errno: Errno, out: &mut dyn Inside) {
        let Some(flow) = self.flows.get(index as usize) else { return };
        let (key, reset, syn) = (flow.key, flow.conn.reset(), flow.conn.syn_received());
        self.remove(core, index, true);
        match errno {
            Errno::CONNREFUSED | Errno::CONNRESET => {
                Self::send_header(core, &key, &reset, out);
            }
            // A path that loses everything says nothing either.
            Errno::TIMEDOUT => {}
            errno => Self::complain(core, &key, &syn, trouble_of(errno), out),
        }
    }

    /// Tells the container with an ICMP error that its SYN led nowhere.
    fn complain(core: &mut Core, key: &Key, syn: &Segment, trouble: Trouble, out: &mut dyn Inside) {
        let mut packet = [0; ethernet::HEADER_LEN + 40 + tcp::HEADER_LEN];
        let len = build::headers_len(key.is_v6());
        let route = Route { source: key.local.ip, destination: key.remote.ip };
        let Some(area) = packet.get_mut(..len) else { return };
        let Some(segment) = build::network(area, Link::default(), route, ipproto::TCP) else { return };
        if let Ok(mut tcp) = TcpPacket::new_written(segment) {
            tcp.set_source_port(key.local.port);
            tcp.set_destination_port(key.remote.port);
            tcp.set_sequence(syn.seq.0);
            tcp.set_flags(tcp::flags::SYN);
        }
        let quote = packet.get(ethernet::HEADER_LEN..len).unwrap_or(&[]);
        core.tell(key.inside, trouble, key.local.ip, key.remote.ip, quote, out);
    }

    /// Ends a flow with a reset to both sides.
    pub(super) fn give_up(&mut self, core: &mut Core, index: u32, out: &mut dyn Inside) {
        let Some(flow) = self.flows.get(index as usize) else { return };
        // The container was told nothing yet of a connection that is not made: it never will.
        if !matches!(flow.conn.state(), State::Connecting | State::TimeWait) {
            Self::send_header(core, &flow.key, &flow.conn.reset(), out);
        }
        self.remove(core, index, true);
    }

    /// Forgets a flow. `reset`: the outside is reset rather than closed.
    pub(super) fn remove(&mut self, core: &mut Core, index: u32, reset: bool) {
        let Some(mut flow) = self.flows.try_remove(index as usize) else { return };
        if self.by_key.get(&flow.key) == Some(&index) {
            self.by_key.remove(&flow.key);
        }
        if let Some(timer) = flow.timer.take() {
            core.wheel.cancel(timer);
        }
        Self::tell(core, &mut flow, Change::Gone);
        if flow.conn.state() == State::TimeWait {
            self.remembered.count -= 1;
        } else {
            self.release(core, &mut flow, reset);
        }
    }

    /// Gives back all that a flow uses but its place in the table.
    fn release(&mut self, core: &mut Core, flow: &mut Flow, reset: bool) {
        match flow.socket.take() {
            Some(socket) if reset => socket.reset(),
            _ => {}
        }
        if std::mem::take(&mut flow.mapped) {
            self.mappings.release(flow.key.inside, flow.key.local);
        }
        self.half_open -= usize::from(flow.half_open);
        Self::count_half_open(core, flow, false);
        flow.kept = VecDeque::new();
        flow.conn.forget_stored();
        flow.pending = Pending::NONE;
        Self::recount(core, flow);
        if let Some(host) = core.host_mut(flow.key.inside) {
            host.flows = host.flows.saturating_sub(1);
        }
    }

    /// Keeps of a flow, which has just ended, only what is needed to answer its last segments.
    pub(super) fn remember(&mut self, core: &mut Core, index: u32) {
        let Some(mut flow) = self.flows.try_remove(index as usize) else { return };
        Self::tell(core, &mut flow, Change::State);
        self.release(core, &mut flow, false);
        let generation = flow.generation;
        // The place that has just become free is the next to be used.
        let again = self.flows.insert(flow);
        debug_assert_eq!(again, index as usize);
        let Remembered { queue, count } = &mut self.remembered;
        *count += 1;
        queue.push_back((index, generation));
        let is_there = |flows: &slab::Slab<Flow>, (index, generation): (u32, u32)| {
            flows.get(index as usize).is_some_and(|flow| flow.generation == generation)
        };
        let mut oldest = None;
        while let Some(front) = queue.front().copied() {
            let there = is_there(&self.flows, front);
            if there && *count <= core.config.limits.time_wait {
                break;
            }
            queue.pop_front();
            if there {
                oldest = Some(front.0);
                break;
            }
        }
        if let Some(oldest) = oldest {
            self.remove(core, oldest, false);
        }
    }

    /// Sets the flow's timer, unless it fires a little early at the most: then it is set anew.
    pub(super) fn schedule(core: &mut Core, flow: &mut Flow, index: u32) {
        let at = flow.due(&core.config.timeouts);
        if at == Time::NEVER || (at >= flow.timer_at && at.since(flow.timer_at) <= EARLY) {
            return;
        }
        if let Some(timer) = flow.timer.take() {
            core.wheel.cancel(timer);
        }
        flow.timer = Some(core.wheel.set(at, token(flow, index).pack()));
        flow.timer_at = at;
    }
}
