//! Networks that span hosts: a VXLAN port in each bridge, one set of UDP sockets for all.
//!
//! A frame for a station that is known to be on another host goes to that host alone; one to many or
//! to nobody known goes to every peer. ARP and neighbour discovery for known addresses are answered
//! by the port, so that no broadcast crosses for them. What comes from other hosts stays on this one.

mod answers;
mod port;
mod router;
mod trunk;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;
use vxlan::{
    Network, NetworkConfig, PeerError, Receiver, Remote, SocketError, Vni, Vtep, VtepConfig,
    counters::Counters,
};

use crate::dataplane::{AddPortError, Bridge, Port, PortConfig, Receive, Switch, TrunkId};
use answers::Answers;
use port::VxlanTransmit;
pub use router::Router;
use trunk::{Attachment, VxlanTrunk};

/// Why an overlay could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum OverlayError {
    /// No sockets.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// No port.
    #[error(transparent)]
    Port(#[from] AddPortError),
    /// Two networks cannot have one number.
    #[error("VNI {0} belongs to another network")]
    VniInUse(Vni),
    /// The system has no descriptor left.
    #[error("the system refused an event descriptor: {0}")]
    System(#[from] std::io::Error),
}

/// How the sockets are set up.
#[derive(Clone, Debug)]
pub struct OverlayConfig {
    /// The addresses that peers know this host by, one of each IP version at most.
    pub addresses: Vec<IpAddr>,
    /// The UDP port of all hosts.
    pub port: u16,
    /// Sending sockets of each IP version: so many outer source ports there are.
    pub senders: usize,
}

impl Default for OverlayConfig {
    fn default() -> Self {
        let VtepConfig { addresses, port, senders, .. } = VtepConfig::default();
        Self { addresses, port, senders }
    }
}

/// The sockets, and the networks that use them.
pub struct Overlay {
    vtep: Vtep<Attachment>,
    trunks: Vec<TrunkId>,
    change: Mutex<()>,
}

impl Overlay {
    /// Opens the sockets in the network namespace of the calling thread and has the workers of
    /// `switch` read them.
    ///
    /// # Errors
    /// [`OverlayError::Socket`], [`OverlayError::Port`].
    pub fn new(switch: &Switch, config: &OverlayConfig) -> Result<Self, OverlayError> {
        let (vtep, receivers) = Vtep::new(&VtepConfig {
            addresses: config.addresses.clone(),
            port: config.port,
            receivers: switch.workers(),
            senders: config.senders,
            workers: switch.workers(),
        })?;
        let mut overlay = Self { vtep, trunks: Vec::new(), change: Mutex::new(()) };
        for receiver in receivers {
            match switch.add_trunk(Box::new(VxlanTrunk::new(receiver))) {
                Ok(trunk) => overlay.trunks.push(trunk),
                Err(error) => {
                    overlay.close(switch);
                    return Err(error.into());
                }
            }
        }
        Ok(overlay)
    }

    /// Makes `bridge` the network `vni`: gives it a VXLAN port. A bridge has one at most.
    ///
    /// # Errors
    /// [`OverlayError::VniInUse`], [`OverlayError::Port`], [`OverlayError::System`].
    pub fn attach(
        &self,
        switch: &Switch,
        bridge: &Arc<Bridge>,
        vni: Vni,
        config: &NetworkConfig,
    ) -> Result<OverlayNetwork, OverlayError> {
        let _changing = self.change.lock();
        if self.vtep.demux().get(vni).is_some() {
            return Err(OverlayError::VniInUse(vni));
        }
        let network = Arc::new(Network::new(vni, config));
        let (answers, queue) = Answers::new()?;
        let (sender, router) = (self.vtep.sender().clone(), Arc::new(AtomicU64::new(0)));
        let transmit = VxlanTransmit::new(sender.clone(), network.clone(), answers, router.clone());
        // The underlay's MTU is each path's own; the port checks it by itself.
        let port = PortConfig {
            owner: "overlay".to_owned(),
            interface: format!("vxlan{vni}"),
            mtu: u16::MAX.into(),
            trusted: false,
        };
        let queue: Box<dyn Receive> = Box::new(queue);
        let port = switch.add_port(bridge, port, Box::new(transmit), vec![queue])?;
        let attachment = Attachment { bridge: bridge.clone(), port: port.clone() };
        self.vtep.demux().add(network.clone(), attachment);
        Ok(OverlayNetwork { network, bridge: bridge.clone(), port, sender, router })
    }

    /// Takes the VXLAN port away again. When this returns no frame of the network is under way.
    pub fn detach(&self, switch: &Switch, network: &OverlayNetwork) {
        let _changing = self.change.lock();
        self.vtep.demux().remove(network.vni());
        switch.remove_port(&network.bridge, &network.port);
    }

    /// Looks after what changes by itself: MTUs of paths, stations that have aged. To be called every
    /// few seconds.
    pub fn refresh(&self) {
        self.vtep.refresh(Switch::now());
    }

    /// The UDP port.
    pub fn udp_port(&self) -> u16 {
        self.vtep.port()
    }

    /// Received datagrams that named no network of this host, by reason.
    pub fn drops(&self) -> &Counters<vxlan::DropReason> {
        self.vtep.drops()
    }

    /// The way to a peer: its MTU, and what it did not take.
    pub fn path(&self, vtep: IpAddr) -> Arc<vxlan::Path> {
        self.vtep.sender().path(vtep)
    }

    /// The MTU that containers of a network with these peers should have, as far as the underlay is
    /// known: the smallest of all. `None` without peers, and where an underlay is too narrow.
    pub fn inner_mtu(&self, peers: impl IntoIterator<Item = IpAddr>) -> Option<u32> {
        self.vtep.inner_mtu(peers)
    }

    /// Closes the sockets. Networks are to be detached before.
    pub fn close(self, switch: &Switch) {
        self.shut(switch);
    }

    /// The same for sockets that are shared: frames no longer come in by them.
    pub fn shut(&self, switch: &Switch) {
        for trunk in &self.trunks {
            switch.remove_trunk(*trunk);
        }
    }
}

/// A network that spans hosts, as the control side handles it.
pub struct OverlayNetwork {
    network: Arc<Network>,
    bridge: Arc<Bridge>,
    port: Arc<Port>,
    sender: Arc<vxlan::Sender>,
    /// Whose frames the router behind the gateway sends; 0 where there is none.
    router: Arc<AtomicU64>,
}

impl OverlayNetwork {
    /// Its number.
    pub fn vni(&self) -> Vni {
        self.network.vni()
    }

    /// The VXLAN port of the bridge, with its counters.
    pub fn port(&self) -> &Arc<Port> {
        &self.port
    }

    /// Stations and peers, and the datagrams of this network that were dropped, by reason.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Makes exactly these the peers; this host is none. Stations behind former peers are forgotten.
    ///
    /// # Errors
    /// [`PeerError::NotUnicast`]; nothing was changed then.
    pub fn set_peers(&self, vteps: impl IntoIterator<Item = IpAddr>) -> Result<(), PeerError> {
        self.network.set_peers(&self.sender, vteps)
    }

    /// Makes `vtep` a peer; `Ok(false)` if it was.
    ///
    /// # Errors
    /// [`PeerError::NotUnicast`].
    pub fn add_peer(&self, vtep: IpAddr) -> Result<bool, PeerError> {
        self.network.add_peer(&self.sender, vtep)
    }

    /// Forgets a peer with all stations behind it; `false` if it was none.
    pub fn remove_peer(&self, vtep: IpAddr) -> bool {
        self.network.remove_peer(vtep)
    }

    /// Puts a station of another host in its place; the VTEP it was behind before.
    ///
    /// # Errors
    /// [`PeerError::NotAStation`], [`PeerError::NoSuchPeer`].
    pub fn set_remote(&self, remote: &Remote) -> Result<Option<IpAddr>, PeerError> {
        self.network.set_remote(remote)
    }

    /// Forgets a station of another host; the VTEP it was behind.
    pub fn remove_remote(&self, mac: packet::MacAddr) -> Option<IpAddr> {
        self.network.remove_remote(mac)
    }
}

/// What the trunk reads.
type OverlayReceiver = Receiver<Attachment>;
