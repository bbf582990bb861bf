//! The engine: containers on one side, the host's sockets on the other.
//!
//! One engine belongs to one thread. It holds no lock, starts no thread and never waits: whoever
//! owns it hands in the frames a container sends to its gateway ([`Engine::from_inside`]), says
//! when a batch of them is over (`Engine::flush`), waits for `Engine::fd` together with
//! whatever else it waits for, and calls `Engine::turn` when that is readable. Frames for
//! containers go to an `Inside`.
//!
//! Each protocol is a module of its own beside `core`, which is what they share: `tcp`,
//! `udp`, `icmp`; `fragments` of any are put together before.
//! Another protocol gets its kind in `token`, its variant of `core::Carries`, and its calls in
//! the five places below where `tcp` has its own.

mod build;
mod claims;
mod core;
mod events;
mod fragments;
mod host;
mod icmp;
mod icmp_error;
mod notice;
mod outside;
#[cfg(test)]
pub(crate) mod rfc;
mod sessions;
mod tcp;
#[cfg(test)]
mod tests;
mod token;
mod udp;
mod view;

use std::{io, os::fd::BorrowedFd};

use packet::Frame;
use rustix::event::epoll::EventFlags;

use self::{
    core::{Carries, Core, Packet},
    fragments::Fragments,
    host::Host,
    icmp::Icmp,
    tcp::Tcp,
    token::{Kind, Token},
    udp::Udp,
};
pub use self::{
    events::{Change, FlowEvent},
    host::InsideId,
    notice::Notice,
    tcp::{ListenError, Listener, PublishId, Publisher},
    udp::{UdpListener, UdpPublishId},
    view::{Direction, FlowInfo, InsideInfo, Sides},
};
use crate::{
    config::{Config, InsideConfig},
    counters::{Counters, Reason},
    flow::{FlowKey, Transport},
    session::Key,
    sys::{self, Clock, Look, Manner, TcpSocket},
};

/// Why a frame was not sent to a container.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SendError {
    /// Its queue is full; it will take frames again soon.
    #[error("the queue is full")]
    Full,
    /// Its interface is down or gone.
    #[error("the interface is down")]
    Down,
}

/// The way to the containers.
pub trait Inside {
    /// Sends a frame to a container, super-frames too. The Ethernet header is filled in.
    ///
    /// # Errors
    /// [`SendError`]; the frame is lost then.
    fn send(&mut self, inside: InsideId, frame: &mut Frame) -> Result<(), SendError>;
}

/// Why there can be no engine.
#[derive(Debug, thiserror::Error)]
pub enum NewEngineError {
    /// A descriptor could not be had.
    #[error("the engine's descriptors cannot be made: {0}")]
    Descriptors(#[from] io::Error),
    /// The kernel has no such congestion control, or does not let this process use it.
    #[error(
        "TCP cannot use the congestion control {name}: {error}; /proc/sys/net/ipv4/tcp_allowed_congestion_control \
         has those that everybody may use"
    )]
    Congestion {
        /// Its name.
        name: Box<str>,
        /// What the kernel says.
        error: io::Error,
    },
}

/// Address translation for some containers.
pub struct Engine {
    core: Core,
    tcp: Tcp,
    udp: Udp,
    icmp: Icmp,
    fragments: Fragments,
    events: Vec<(u64, EventFlags)>,
    fired: Vec<u64>,
    /// The clock was read for the batch under way.
    fresh: bool,
}

impl Engine {
    /// An engine without containers.
    ///
    /// # Errors
    /// [`NewEngineError`] if this kernel lacks what it needs.
    pub fn new(mut config: Config) -> Result<Self, NewEngineError> {
        config.tcp.peek_from_start |= !sys::can_peek_at_offset().map_err(io::Error::from)?;
        let manner = Manner {
            look: if config.tcp.peek_from_start { Look::FromStart } else { Look::AtOffset },
            congestion: config.tcp.congestion.clone(),
        };
        if let (Err(error), Some(name)) = (TcpSocket::new(false, &manner), &manner.congestion) {
            return Err(NewEngineError::Congestion { name: name.clone(), error: error.into() });
        }
        let core = Core::new(config)?;
        Ok(Self {
            core,
            tcp: Tcp::new(manner),
            udp: Udp::new(),
            icmp: Icmp::new(),
            fragments: Fragments::default(),
            events: Vec::new(),
            fired: Vec::new(),
            fresh: false,
        })
    }

    /// Readable when [`Engine::turn`] has something to do: an epoll descriptor, which can be
    /// watched by another.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.core.poll.fd()
    }

    /// Adds a container.
    pub fn add_inside(&mut self, config: InsideConfig) -> InsideId {
        InsideId(self.core.hosts.insert(Host::new(config)) as u32)
    }

    /// Replaces what was set of a container. Connections that exist go on.
    pub fn set_inside(&mut self, inside: InsideId, config: InsideConfig) {
        if let Some(host) = self.core.host_mut(inside) {
            host.reconfigure(config);
        }
    }

    /// Removes a container with its flows and published ports. Their other ends see resets, the
    /// container is told nothing.
    pub fn remove_inside(&mut self, inside: InsideId) {
        self.tcp.remove_inside(&mut self.core, inside);
        self.udp.remove_inside(&mut self.core, inside);
        self.icmp.close_flows(&mut self.core, inside);
        self.fragments.remove_inside(inside);
        self.core.hosts.try_remove(inside.0 as usize);
    }

    /// Ends all flows of a container; both ends see resets.
    pub fn close_flows(&mut self, inside: InsideId, out: &mut dyn Inside) {
        self.refresh();
        self.tcp.close_flows(&mut self.core, inside, out);
        self.udp.close_flows(&mut self.core, inside);
        self.icmp.close_flows(&mut self.core, inside);
        self.rest();
    }

    /// Forwards connections that `listener` gets to a container, which sees their real source.
    ///
    /// # Errors
    /// When the listener cannot be watched.
    pub fn publish(&mut self, listener: Listener, to: Publisher) -> io::Result<PublishId> {
        self.tcp.publish(&mut self.core, listener, to)
    }

    /// Closes a published port. Connections that exist go on.
    pub fn unpublish(&mut self, id: PublishId) {
        self.tcp.unpublish(&mut self.core, id);
    }

    /// Forwards datagrams that `listener` gets to a container, which sees their real source and
    /// answers from the port.
    ///
    /// # Errors
    /// When the listener cannot be watched, or the container has no address.
    pub fn publish_udp(&mut self, listener: UdpListener, to: Publisher) -> io::Result<UdpPublishId> {
        self.udp.publish(&self.core, listener, to)
    }

    /// Closes a published UDP port, and with it the sessions of its clients.
    pub fn unpublish_udp(&mut self, id: UdpPublishId) {
        self.udp.unpublish(&mut self.core, id);
    }

    /// Something that whoever runs the switch has to be told, if there is anything. To be asked
    /// for now and then.
    pub fn notice(&mut self) -> Option<Notice> {
        self.core.notices.take()
    }

    /// Takes a frame that a container has sent to its gateway, super-frames whole. The buffer
    /// comes back with any content, as it may have been exchanged.
    pub fn from_inside(&mut self, inside: InsideId, frame: &mut Frame, out: &mut dyn Inside) {
        self.refresh();
        self.core.counters.frames_in += 1;
        let taken = self.core.admit(inside, frame, out);
        if let Err(reason) = taken.and_then(|packet| self.take(&packet, frame, out)) {
            self.core.counters.count(reason);
        }
    }

    fn take(&mut self, packet: &Packet, frame: &mut Frame, out: &mut dyn Inside) -> Result<(), Reason> {
        match Carries::of(&packet.ip)? {
            Carries::Tcp => self.tcp.take_frame(&mut self.core, packet, frame, out),
            Carries::Udp => self.udp.take_frame(&mut self.core, packet, frame, out),
            Carries::Icmp => self.icmp.take_frame(&mut self.core, &self.udp, packet, frame, out),
            Carries::Fragment => {
                if !self.fragments.take_frame(&mut self.core, packet, frame)? {
                    return Ok(());
                }
                let mut whole = self.core.admit(packet.inside, frame, out)?;
                whole.may_fragment = true;
                // What is whole by now cannot come here again.
                if whole.ip.fragment { Err(Reason::Fragment) } else { self.take(&whole, frame, out) }
            }
        }
    }

    /// The batch of frames is over: sends on what it brought. To be called after one or more
    /// [`Engine::from_inside`], before waiting.
    pub fn flush(&mut self, out: &mut dyn Inside) {
        self.refresh();
        self.flush_all(out);
        self.rest();
    }

    fn flush_all(&mut self, out: &mut dyn Inside) {
        self.tcp.flush(&mut self.core, out);
        self.udp.flush(&mut self.core, out);
        self.icmp.flush(&self.core);
    }

    /// Does what sockets and timers ask for.
    pub fn turn(&mut self, out: &mut dyn Inside) {
        self.fresh = false;
        self.refresh();
        let mut events = std::mem::take(&mut self.events);
        loop {
            let more = self.core.poll.take(&mut events);
            for (word, flags) in &events {
                let Some(token) = Token::unpack(*word) else { continue };
                match token.kind {
                    Kind::Clock => self.core.clock.fired(),
                    Kind::Tcp => self.tcp.on_event(&mut self.core, token, *flags, out),
                    Kind::TcpListener => self.tcp.on_connections(&mut self.core, token),
                    Kind::Udp => self.udp.on_event(&mut self.core, token, *flags, out),
                    Kind::Echo | Kind::Raw => self.icmp.on_event(&mut self.core, token, *flags, out),
                    Kind::UdpSession | Kind::EchoSession | Kind::Fragments => {}
                }
            }
            if !more {
                break;
            }
        }
        self.events = events;
        self.run_timers(out);
        self.flush_all(out);
        self.rest();
    }

    fn run_timers(&mut self, out: &mut dyn Inside) {
        let mut fired = std::mem::take(&mut self.fired);
        self.core.wheel.advance(self.core.now, &mut fired);
        for word in fired.drain(..) {
            let Some(token) = Token::unpack(word) else { continue };
            match token.kind {
                Kind::Clock | Kind::Udp | Kind::Echo | Kind::Raw => {}
                Kind::UdpSession => self.udp.on_timer(&mut self.core, token),
                Kind::EchoSession => self.icmp.on_timer(&mut self.core, token),
                Kind::Fragments => self.fragments.on_timer(&mut self.core, out),
                Kind::Tcp => self.tcp.on_timer(&mut self.core, token, out),
                Kind::TcpListener => self.tcp.resume(&mut self.core, token),
            }
        }
        self.fired = fired;
    }

    /// Reads the clock if this is the first call of a batch.
    fn refresh(&mut self) {
        if !self.fresh {
            self.core.now = Clock::now();
            self.fresh = true;
        }
    }

    /// Nothing is left to do until something happens.
    fn rest(&mut self) {
        self.fresh = false;
        if let Some(next) = self.core.wheel.next() {
            self.core.clock.arm(next);
        }
    }

    /// What was counted so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.core.counters
    }

    /// All flows, in no order.
    pub fn flows(&self) -> impl Iterator<Item = FlowInfo> + '_ {
        let now = Clock::now();
        self.tcp.flows(now).chain(self.udp.flows(now)).chain(self.icmp.flows(now))
    }

    /// How the world knows the flow that a container's packets with this key belong to.
    #[must_use]
    pub fn sides(&self, inside: InsideId, key: &FlowKey) -> Option<Sides> {
        let (local, remote) = (key.source, key.destination);
        match key.transport {
            Transport::Tcp => self.tcp.sides(inside, local, remote),
            Transport::Udp => self.udp.sides(&Key { inside, local, remote }),
            Transport::EchoRequest => self.icmp.sides(&Key { inside, local, remote }),
            Transport::EchoReply => None,
        }
    }

    /// Begins to keep what becomes of flows, or ends it. While it is kept it has to be taken with
    /// [`Engine::take_events`] after each batch and turn.
    pub fn watch(&mut self, on: bool) {
        if on && self.core.journal.is_none() {
            self.tcp.begin_to_tell();
        }
        if on != self.core.journal.is_some() {
            self.core.journal = on.then(Box::default);
        }
    }

    /// Hands out what has become of flows since the last time, the oldest first. Returns how many
    /// events more there were than are kept: those were lost after the ones handed out.
    pub fn take_events(&mut self, each: impl FnMut(FlowEvent)) -> u64 {
        self.core.journal.as_mut().map_or(0, |journal| journal.take(each))
    }

    /// What a container uses; `None` if there is no such container.
    #[must_use]
    pub fn inside(&self, inside: InsideId) -> Option<InsideInfo> {
        self.core.host(inside).map(|host| InsideInfo {
            flows: host.flows,
            half_open: host.half_open,
            backlog: host.backlog,
        })
    }

    /// Counts a frame that never reached the engine.
    pub fn count(&mut self, reason: Reason) {
        self.core.counters.count(reason);
    }
}
