//! A VXLAN tunnel endpoint: the sockets, the networks behind them, and the ways to the peers.

use std::{net::IpAddr, sync::Arc};

use crate::{
    PORT,
    counters::Counters,
    demux::Demux,
    drop_reason::DropReason,
    mtu::inner_mtu,
    receive::Receiver,
    send::{MAX_SENDERS, Sender},
    socket::{Family, Probe, SocketError},
};

/// How a VTEP is set up.
#[derive(Clone, Debug)]
pub struct VtepConfig {
    /// The addresses that peers know this host by, one of each IP version at most. An unspecified
    /// address leaves the choice to the routing table; peers then must know what it will choose.
    pub addresses: Vec<IpAddr>,
    /// The UDP port of this host and of all peers. 0 takes any that is free, which is of use only
    /// where nobody sends to it.
    pub port: u16,
    /// Receiving sockets of each IP version, each for one thread. The kernel spreads flows
    /// over them by the outer source port.
    pub receivers: usize,
    /// Sending sockets of each IP version, at most [`MAX_SENDERS`]: so many outer source ports there
    /// are for the flows inside (RFC 7348, section 5).
    pub senders: usize,
    /// Threads that send, numbered from 0.
    pub workers: usize,
}

impl Default for VtepConfig {
    fn default() -> Self {
        Self {
            addresses: vec![std::net::Ipv4Addr::UNSPECIFIED.into()],
            port: PORT,
            receivers: 1,
            senders: 16,
            workers: 1,
        }
    }
}

/// A tunnel endpoint. `A` is what the caller wants to have beside a received frame.
pub struct Vtep<A> {
    sender: Arc<Sender>,
    demux: Arc<Demux<A>>,
    drops: Arc<Counters<DropReason>>,
    port: u16,
}

impl<A> std::fmt::Debug for Vtep<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vtep")
            .field("port", &self.port)
            .field("sender", &self.sender)
            .field("networks", &self.demux)
            .finish_non_exhaustive()
    }
}

impl<A> Vtep<A> {
    /// Opens the sockets in the network namespace of the calling thread. The receivers are the
    /// caller's to poll.
    ///
    /// # Errors
    /// [`SocketError`] says what is taken or missing.
    pub fn new(config: &VtepConfig) -> Result<(Self, Vec<Receiver<A>>), SocketError> {
        let twice = |v4: bool| config.addresses.iter().filter(|a| a.is_ipv4() == v4).count() > 1;
        if config.addresses.is_empty() || twice(true) || twice(false) {
            return Err(SocketError::Addresses);
        }
        let senders = config.senders.clamp(1, MAX_SENDERS);
        let mut port = config.port;
        let mut families = Vec::new();
        for address in &config.addresses {
            let family = Family::open(*address, port, config.receivers, senders)?;
            // Where any port will do it is the same for both versions.
            port = family.port().unwrap_or(port);
            families.push(family);
        }
        let probe = Probe::new(config.addresses.iter().copied())?;
        let sender = Arc::new(Sender::new(port, config.workers, &mut families, Some(probe)));
        let demux = Arc::new(Demux::default());
        let drops = Arc::new(Counters::default());
        let receivers = families
            .into_iter()
            .flat_map(|family| family.receivers)
            .map(|socket| Receiver::new(socket, demux.clone(), drops.clone()))
            .collect();
        Ok((Self { sender, demux, drops, port }, receivers))
    }

    /// The UDP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The sending side.
    pub fn sender(&self) -> &Arc<Sender> {
        &self.sender
    }

    /// The networks.
    pub fn demux(&self) -> &Demux<A> {
        &self.demux
    }

    /// Received datagrams that named no known network, by reason. Those that did are counted there.
    pub fn drops(&self) -> &Counters<DropReason> {
        &self.drops
    }

    /// Asks the kernel anew for the MTU of every path, and has networks forget what has aged. To be
    /// called every few seconds: a path's MTU that went down is noticed by sending as well, but one
    /// that went up again is not. `now` is in seconds, on the clock of the frames.
    pub fn refresh(&self, now: u32) {
        for path in self.sender.paths() {
            path.refresh();
        }
        for member in self.demux.members() {
            member.network.sweep(now);
        }
    }

    /// The MTU in bytes that the inner packets of a network with these peers may have, as far as
    /// the underlay's path MTUs are known: the smallest. `None` where an underlay is too narrow for
    /// any network, or there is no peer.
    pub fn inner_mtu(&self, peers: impl IntoIterator<Item = IpAddr>) -> Option<u32> {
        let mtus = peers.into_iter().map(|vtep| {
            let path = self.sender.path(vtep);
            inner_mtu(path.mtu(), path.version())
        });
        mtus.min().flatten()
    }
}
