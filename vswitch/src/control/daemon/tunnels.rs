//! The daemon's end of the tunnels between hosts, open as long as some network needs it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use vxlan::{NetworkConfig, SocketError, Vni};

use crate::control::net::overlay_options::ByHand;
use crate::dataplane::{Bridge, Switch};
use crate::overlay::{Overlay, OverlayConfig, OverlayError, OverlayNetwork};

/// How often the kernel is asked for the MTUs of paths, and aged stations are forgotten.
const REFRESH: Duration = Duration::from_secs(5);

/// How other hosts reach this one.
#[derive(Clone, Debug)]
pub struct TunnelConfig {
    /// The address they know it by; without one the routing table chooses.
    pub advertise: Option<IpAddr>,
    /// The UDP port of all of them.
    pub port: u16,
}

impl Default for TunnelConfig {
    fn default() -> Self {
        Self { advertise: None, port: vxlan::PORT }
    }
}

/// The sockets, and how many networks use them.
#[derive(Default)]
struct Open {
    overlay: Option<Arc<Overlay>>,
    networks: usize,
}

/// The tunnels. There are no sockets while there is no network for them: several daemons of one
/// host get along as long as one of them has overlays.
pub struct Tunnels {
    config: TunnelConfig,
    open: Mutex<Open>,
}

impl Tunnels {
    /// Nothing is opened yet.
    pub fn new(config: TunnelConfig) -> Self {
        Self { config, open: Mutex::default() }
    }

    /// How other hosts reach this one.
    pub fn config(&self) -> &TunnelConfig {
        &self.config
    }

    /// Why a network cannot have this peer, in a sentence.
    pub(super) fn check_peer(&self, peer: IpAddr) -> Result<(), String> {
        match self.config.advertise {
            Some(own) if own == peer => {
                Err(format!("{peer} is this host's own address: its peers are the other hosts"))
            }
            Some(own) if own.is_ipv4() != peer.is_ipv4() => Err(format!(
                "peer {peer} cannot be reached from {own}, the address that this daemon was told to advertise"
            )),
            _ => Ok(()),
        }
    }

    /// Makes `bridge` a part of the network `vni`.
    pub(super) fn attach(
        &self,
        switch: &Switch,
        bridge: &Arc<Bridge>,
        vni: Vni,
        learning: bool,
    ) -> Result<OverlayNetwork, OverlayError> {
        let mut open = self.open.lock();
        let overlay = if let Some(overlay) = &open.overlay {
            overlay.clone()
        } else {
            let overlay = Arc::new(self.open(switch)?);
            look_after(&overlay);
            open.overlay = Some(overlay.clone());
            overlay
        };
        let config = NetworkConfig { learning, ..NetworkConfig::default() };
        match overlay.attach(switch, bridge, vni, &config) {
            Ok(network) => {
                open.networks += 1;
                Ok(network)
            }
            Err(error) => {
                drop(overlay);
                Self::close_idle(&mut open, switch);
                Err(error)
            }
        }
    }

    /// The same for peers by hand.
    pub(super) fn attach_by_hand(
        &self,
        switch: &Switch,
        bridge: &Arc<Bridge>,
        hand: &ByHand,
    ) -> Result<OverlayNetwork, String> {
        hand.peers.iter().try_for_each(|peer| self.check_peer(*peer))?;
        let network =
            self.attach(switch, bridge, hand.vni, hand.learning).map_err(|error| error.to_string())?;
        match network.set_peers(hand.peers.iter().copied()) {
            Ok(()) => Ok(network),
            Err(error) => {
                self.detach(switch, &network);
                Err(error.to_string())
            }
        }
    }

    fn open(&self, switch: &Switch) -> Result<Overlay, OverlayError> {
        let with = |addresses| {
            let config = OverlayConfig { addresses, port: self.config.port, ..OverlayConfig::default() };
            Overlay::new(switch, &config)
        };
        let any4 = IpAddr::from(Ipv4Addr::UNSPECIFIED);
        let any6 = IpAddr::from(Ipv6Addr::UNSPECIFIED);
        match self.config.advertise {
            Some(address) => with(vec![address]),
            None => match with(vec![any4, any6]) {
                // A host without IPv6.
                Err(OverlayError::Socket(
                    SocketError::System { address: IpAddr::V6(_), .. } | SocketError::NotLocal(IpAddr::V6(_)),
                )) => with(vec![any4]),
                result => result,
            },
        }
    }

    /// Takes a network's bridge out of it again; after the last one the sockets are closed.
    pub(super) fn detach(&self, switch: &Switch, network: &OverlayNetwork) {
        let mut open = self.open.lock();
        if let Some(overlay) = &open.overlay {
            overlay.detach(switch, network);
            open.networks = open.networks.saturating_sub(1);
        }
        Self::close_idle(&mut open, switch);
    }

    fn close_idle(open: &mut Open, switch: &Switch) {
        if open.networks == 0
            && let Some(overlay) = open.overlay.take()
        {
            overlay.shut(switch);
        }
    }
}

/// Asks the kernel for what changes by itself, as long as the sockets are open.
fn look_after(overlay: &Arc<Overlay>) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    let overlay: Weak<Overlay> = Arc::downgrade(overlay);
    runtime.spawn(async move {
        loop {
            tokio::time::sleep(REFRESH).await;
            let Some(overlay) = overlay.upgrade() else { return };
            overlay.refresh();
        }
    });
}
