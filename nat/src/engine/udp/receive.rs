//! How datagrams come in.

use std::{io::IoSliceMut, net::IpAddr};

use packet::{Frame, wire::ipproto};
use rustix::io::Errno;

use super::{
    Udp,
    build::{self, DATA},
};
use crate::{
    counters::Reason,
    engine::{
        Inside,
        build::Route,
        core::Core,
        events::Change,
        fragments::{HOPS, Head, udp_header},
        host::Host,
        view::Direction,
    },
    flow::Endpoint,
    session::{Arrival, Key},
    sys::{AT_ONCE, Received},
};

/// Calls for one socket before others have their turn.
const TURNS: usize = 4;
/// Most bytes of a packet.
const MAX_PACKET: usize = 65_535;

impl Udp {
    /// Passes on what is there for a mapping.
    pub(super) fn receive(&mut self, core: &mut Core, index: u32, out: &mut dyn Inside) {
        for _ in 0..TURNS {
            let Some(mapping) = self.table.mapping(index) else { return };
            let mut areas = self
                .frames
                .iter_mut()
                .map(|frame| IoSliceMut::new(frame.plain_area().get_mut(DATA..).unwrap_or(&mut [])));
            let mut slices: [IoSliceMut<'_>; AT_ONCE] =
                std::array::from_fn(|_| areas.next().unwrap_or(IoSliceMut::new(&mut [])));
            drop(areas);
            match mapping.data.socket.receive(&mut slices, &mut self.received) {
                Ok(()) => {}
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => continue,
                // An earlier datagram has met with something.
                Err(_) => {
                    self.take_troubles(core, index, out);
                    continue;
                }
            }
            let mut frames = std::mem::take(&mut self.frames);
            let received = std::mem::take(&mut self.received);
            for (frame, received) in frames.iter_mut().zip(&received) {
                if let Err(reason) = self.arrive(core, index, frame, received, out) {
                    core.counters.count(reason);
                }
            }
            let all = received.len() < AT_ONCE;
            (self.frames, self.received) = (frames, received);
            if all {
                return;
            }
        }
        if let Some(mapping) = self.table.mapping(index) {
            self.unread.push((index, mapping.generation));
        }
    }

    /// Passes on one datagram, or a run of them, whose data lie in `frame`.
    fn arrive(
        &mut self,
        core: &mut Core,
        index: u32,
        frame: &mut Frame,
        received: &Received,
        out: &mut dyn Inside,
    ) -> Result<(), Reason> {
        if received.cut {
            return Err(Reason::Malformed);
        }
        let filtering = core.config.udp.filtering;
        let session = match self.table.arrival(index, received.from, received.via, filtering) {
            Arrival::Session(session) => Some(session),
            Arrival::Stranger => self.welcome(core, index, received)?,
            Arrival::Filtered => return Err(Reason::Filtered),
        };
        let key = match session.and_then(|session| self.table.session_mut(session)) {
            Some(session) => {
                session.via = session.via.or(received.via);
                session.key
            }
            None => self.stranger(core, index, received)?,
        };
        let sent = deliver(core, &key, frame, received, out)?;
        if let Some(session) = session {
            let published = self.table.session(session).is_some_and(|s| s.direction == Direction::Published);
            let refresh = published || core.config.udp.inbound_refresh;
            let bytes = if sent { received.len } else { 0 };
            if self.table.received(session, bytes, refresh, core.now) {
                self.tell(core, session, Change::State);
            }
        }
        Ok(())
    }

    /// What somebody whom the container has not sent to looks like to it. Nothing is kept of him:
    /// he is not to keep the mapping alive (RFC 4787, section 4.3).
    fn stranger(&self, core: &Core, index: u32, received: &Received) -> Result<Key, Reason> {
        let mapping = self.table.mapping(index).ok_or(Reason::NoFlow)?;
        let host = core.host(mapping.inside).ok_or(Reason::UnknownInside)?;
        let address = visible(host, received.from.ip()).ok_or(Reason::UnseenSource)?;
        let remote = Endpoint { ip: address, port: received.from.port() };
        Ok(Key { inside: mapping.inside, local: mapping.local, remote })
    }
}

/// What `address` is to a container, unless it is nothing that the container could answer to.
fn visible(host: &Host, address: IpAddr) -> Option<IpAddr> {
    host.seen(address, address).filter(|seen| *seen == address || host.stands_for(*seen) == Some(address))
}

/// Sends the container the data in `frame`, as a super-frame where they are many datagrams, in
/// fragments where they are longer than its interface takes. Returns whether its queue took them.
fn deliver(
    core: &mut Core,
    key: &Key,
    frame: &mut Frame,
    received: &Received,
    out: &mut dyn Inside,
) -> Result<bool, Reason> {
    let host = core.host(key.inside).ok_or(Reason::UnknownInside)?;
    let (mtu, link) = (host.config.mtu, host.link().ok_or(Reason::InsideDown)?);
    let head = Head {
        route: Route { source: key.remote.ip, destination: key.local.ip },
        protocol: ipproto::UDP,
        hops: received.hops.map_or(HOPS, |hops| hops.saturating_sub(1).max(1)),
        tos: received.tos,
    };
    let ports = (key.remote.port, key.local.port);
    let (len, headers) = (received.len, build::headers_len(&head));
    let size = received.segment.map_or(len, usize::from).min(len);
    if size + headers <= usize::from(mtu) && len + headers <= MAX_PACKET {
        let run = received.segment.filter(|_| len > size);
        build::datagram(frame, link, &head, ports, len, run).ok_or(Reason::Malformed)?;
        return Ok(Core::send(&mut core.counters, key.inside, frame, out).is_ok());
    }
    let data = frame.plain_area().get(DATA..DATA + len).unwrap_or(&[]);
    for datagram in data.chunks(size.max(1)) {
        let header = udp_header(&head, ports, datagram);
        let Core { splitter, counters, .. } = core;
        if splitter.send(counters, key.inside, link, mtu, &head, [&header, datagram], out).is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}
