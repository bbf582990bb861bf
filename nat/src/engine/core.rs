//! What all protocols of an engine share.

use std::{io, net::IpAddr};

use packet::{
    Checksum, Frame,
    checksum::Sum,
    wire::{EthernetFrame, IpHeaders, IpVersion, Ipv4Packet, Ipv6Packet, ipproto},
};
use slab::Slab;

use super::{
    Inside, SendError,
    build::Route,
    events::Journal,
    fragments::Splitter,
    host::{Host, InsideId, Way},
    icmp_error::{self, Trouble},
    notice::Notices,
    token::{Kind, Token},
};
use crate::{
    classify::{Untranslatable, find_packet},
    config::Config,
    counters::{Counters, Reason},
    sys::{Clock, Poll},
    time::Time,
    wheel::Wheel,
};

/// A packet of a container, as far as it is the same for all protocols.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    pub(crate) inside: InsideId,
    /// Where the IP header begins, in bytes from the frame's first.
    pub(crate) l3: usize,
    pub(crate) ip: IpHeaders,
    pub(crate) source: IpAddr,
    /// As the container addresses it.
    pub(crate) destination: IpAddr,
    /// Where it shall go.
    pub(crate) way: Way,
    /// Type of service or traffic class.
    pub(crate) tos: u8,
    /// Hops it has left here.
    pub(crate) hops: u8,
    /// It may be sent on in fragments.
    pub(crate) may_fragment: bool,
}

/// Where a new flow goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    /// To this address.
    Outside(IpAddr),
    /// To the gateway, where nobody listens.
    Nobody,
    /// The container may open none.
    Forbidden,
}

/// The state that is nobody's own.
pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) counters: Counters,
    pub(crate) hosts: Slab<Host>,
    pub(crate) poll: Poll,
    pub(crate) clock: Clock,
    pub(crate) wheel: Wheel,
    /// The present time, as of the beginning of this batch or turn.
    pub(crate) now: Time,
    /// Bytes kept for all connections.
    pub(crate) backlog: usize,
    /// For frames without data of their own.
    pub(crate) scratch: Frame,
    /// For packets that may need fragments.
    pub(crate) splitter: Splitter,
    /// UDP and echo sessions of all containers.
    pub(crate) sessions: usize,
    /// What people have to be told, and were not yet.
    pub(crate) notices: Notices,
    /// What becomes of flows, while somebody watches.
    pub(crate) journal: Option<Box<Journal>>,
}

impl Core {
    pub(crate) fn new(config: Config) -> io::Result<Self> {
        let (poll, clock, now) = (Poll::new()?, Clock::new()?, Clock::now());
        let token = Token { kind: Kind::Clock, generation: 0, index: 0 };
        poll.add(clock.fd(), rustix::event::epoll::EventFlags::IN, token.pack())?;
        Ok(Self {
            config,
            counters: Counters::default(),
            hosts: Slab::new(),
            poll,
            clock,
            wheel: Wheel::new(now),
            now,
            backlog: 0,
            scratch: Frame::with_capacity(2048),
            splitter: Splitter::new(now),
            sessions: 0,
            notices: Notices::default(),
            journal: None,
        })
    }

    pub(crate) fn host(&self, inside: InsideId) -> Option<&Host> {
        self.hosts.get(inside.0 as usize)
    }

    pub(crate) fn host_mut(&mut self, inside: InsideId) -> Option<&mut Host> {
        self.hosts.get_mut(inside.0 as usize)
    }

    /// Reads the headers of a frame and decides whether it may pass at all. A packet whose fate
    /// the container must be told of is answered here.
    pub(crate) fn admit(
        &mut self,
        inside: InsideId,
        frame: &Frame,
        out: &mut dyn Inside,
    ) -> Result<Packet, Reason> {
        let bytes = frame.bytes();
        let host = self.hosts.get_mut(inside.0 as usize).ok_or(Reason::UnknownInside)?;
        let (l3, ip) = find_packet(bytes).map_err(|why| match why {
            Untranslatable::NotIp(_) => Reason::NotIp,
            Untranslatable::SourceRouted => Reason::SourceRouted,
            _ => Reason::Malformed,
        })?;
        let packet = bytes.get(l3..ip.end).ok_or(Reason::Malformed)?;
        let (source, destination, hops, tos, may_fragment) = match ip.version {
            IpVersion::V4 => {
                let v4 = Ipv4Packet::new_checked(packet).map_err(|_| Reason::Malformed)?;
                if !v4.verify_checksum() {
                    return Err(Reason::BadChecksum);
                }
                (v4.source().into(), v4.destination().into(), v4.ttl(), v4.tos(), !v4.dont_fragment())
            }
            IpVersion::V6 => {
                let v6 = Ipv6Packet::new_checked(packet).map_err(|_| Reason::Malformed)?;
                (v6.source().into(), v6.destination().into(), v6.hop_limit(), v6.traffic_class(), false)
            }
        };
        if !host.may_send_from(source) {
            return Err(Reason::SpoofedSource);
        }
        if let Ok(ethernet) = EthernetFrame::new_checked(bytes) {
            host.heard(ethernet.source());
        }
        let way = host.way(destination);
        let reason = match way {
            Ok(Way::Out(_) | Way::Answer) if hops <= 1 => Reason::HopsExhausted,
            Ok(way) => {
                return Ok(Packet { inside, l3, ip, source, destination, way, tos, hops, may_fragment });
            }
            Err(reason) => reason,
        };
        let trouble = match reason {
            Reason::HopsExhausted => Trouble::HopsExhausted,
            // Nobody is told of a packet to a group (RFC 1122, section 3.2.2).
            _ => return Err(reason),
        };
        self.tell(inside, trouble, source, destination, packet, out);
        Err(reason)
    }

    /// Where a flow goes that a container opens now.
    pub(crate) fn target(&self, way: Way) -> Target {
        let to = match way {
            Way::Out(any) if any.is_unspecified() => {
                self.config.own_address.and_then(|own| own(any.is_ipv6()))
            }
            Way::Out(real) => Some(real),
            Way::Gateway => None,
            Way::Answer => return Target::Forbidden,
        };
        to.map_or(Target::Nobody, Target::Outside)
    }

    /// Checks the checksum of the transport, where it is complete and was not verified yet.
    pub(crate) fn check_transport(frame: &Frame, packet: &Packet, field: u16) -> Result<(), Reason> {
        let ip = &packet.ip;
        match frame.offload().checksum {
            Checksum::Verified => Ok(()),
            Checksum::Partial { start, offset } => {
                if usize::from(start) == ip.l4 && offset == field {
                    Ok(())
                } else {
                    Err(Reason::BadOffload)
                }
            }
            Checksum::Unverified => {
                let segment = frame.bytes().get(ip.l4..ip.end).ok_or(Reason::Malformed)?;
                let pseudo = Sum::pseudo(frame.bytes(), packet.l3, ip, segment.len());
                let valid = (pseudo + Sum::of(segment)).is_valid();
                if valid { Ok(()) } else { Err(Reason::BadChecksum) }
            }
        }
    }

    /// Sends the container an ICMP error about its packet `quote`, unless it has had enough of them.
    pub(crate) fn tell(
        &mut self,
        inside: InsideId,
        trouble: Trouble,
        source: IpAddr,
        destination: IpAddr,
        quote: &[u8],
        out: &mut dyn Inside,
    ) {
        let Some(host) = self.hosts.get_mut(inside.0 as usize) else { return };
        if !icmp_error::may_be_told(quote) {
            return;
        }
        if !host.may_send_error(self.now, self.config.limits.errors_per_second) {
            self.counters.count(Reason::ErrorRate);
            return;
        }
        let Some(link) = host.link() else { return };
        let Route { source, destination } = host.gateway_route(destination, source);
        let route = Route { source, destination };
        if icmp_error::write(&mut self.scratch, link, route, trouble, quote).is_some() {
            let _ = Self::send(&mut self.counters, inside, &mut self.scratch, out);
        }
    }

    /// Whether one more session of UDP or ICMP is within the limits (RFC 6888, requirements 4 and 5).
    pub(crate) fn room_for_session(&self, inside: InsideId) -> Result<(), Reason> {
        let limits = &self.config.limits;
        let host = self.host(inside).ok_or(Reason::UnknownInside)?;
        if host.flows >= limits.flows_per_inside {
            Err(Reason::InsideFlows)
        } else if self.sessions >= limits.flows {
            Err(Reason::Flows)
        } else {
            Ok(())
        }
    }

    /// Counts a session of a container.
    pub(crate) fn session_opened(&mut self, inside: InsideId) {
        self.sessions += 1;
        self.counters.flows_opened += 1;
        if let Some(host) = self.host_mut(inside) {
            host.flows += 1;
        }
    }

    /// Counts it no longer.
    pub(crate) fn session_closed(&mut self, inside: InsideId) {
        self.sessions = self.sessions.saturating_sub(1);
        if let Some(host) = self.host_mut(inside) {
            host.flows = host.flows.saturating_sub(1);
        }
    }

    /// Sends a frame to a container and counts it.
    pub(crate) fn send(
        counters: &mut Counters,
        inside: InsideId,
        frame: &mut Frame,
        out: &mut dyn Inside,
    ) -> Result<(), SendError> {
        let sent = out.send(inside, frame);
        match sent {
            Ok(()) => counters.frames_out += 1,
            Err(SendError::Full) => counters.count(Reason::InsideQueueFull),
            Err(SendError::Down) => counters.count(Reason::InsideDown),
        }
        sent
    }
}

/// The protocols that are translated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Carries {
    Tcp,
    Udp,
    Icmp,
    /// A part of anything.
    Fragment,
}

impl Carries {
    pub(crate) fn of(ip: &IpHeaders) -> Result<Self, Reason> {
        match ip.protocol {
            _ if ip.fragment => Ok(Self::Fragment),
            ipproto::TCP | ipproto::UDP if ip.payload.is_none() => Err(Reason::Malformed),
            ipproto::TCP => Ok(Self::Tcp),
            ipproto::UDP => Ok(Self::Udp),
            ipproto::ICMP if ip.version == IpVersion::V4 => Ok(Self::Icmp),
            ipproto::ICMPV6 if ip.version == IpVersion::V6 => Ok(Self::Icmp),
            _ => Err(Reason::Protocol),
        }
    }
}
