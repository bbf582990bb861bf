//! What switches a network and answers on it: one bridge with a gateway for each of its segments.
//!
//! A network of one host is one segment, whatever subnets it has. One that spans hosts has a segment for
//! each IPv4 subnet, with a VNI of its own; a router stands behind the gateways of several.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use packet::MacAddr;
use parking_lot::Mutex;

use super::advertise::Advertiser;
use super::directory::name_service;
use super::host_interface::HostInterface;
use crate::control::error::ControlError;
use crate::control::id;
use crate::control::net::{IpamConfig, NetError, NetworkRecord};
use crate::control::record::{Container, Endpoint};
use crate::dataplane::fdb::Station;
use crate::dataplane::policy::Policy;
use crate::dataplane::{Bridge, BridgeConfig, Port, PortConfig, Receive, Switch};
use crate::gateway::{self, Beyond, DhcpConfig, Gateway, GatewayConfig};
use crate::names::{NetworkNames, Resolver, View};
use crate::overlay::{OverlayNetwork, Router};

/// What each station of a network may resolve at its gateway, by its Ethernet address.
#[derive(Default)]
pub(super) struct Askers(Mutex<HashMap<MacAddr, Arc<View>>>);

impl Askers {
    fn set(&self, endpoint: &Endpoint, view: &Arc<View>) {
        if let Ok(mac) = endpoint.mac.parse() {
            self.0.lock().insert(mac, view.clone());
        }
    }

    pub(super) fn get(&self, mac: MacAddr) -> Option<Arc<View>> {
        self.0.lock().get(&mac).cloned()
    }
}

/// One broadcast domain of a network.
pub(super) struct Segment {
    subnets: Vec<IpNet>,
    pub(super) bridge: Arc<Bridge>,
    pub(super) gateway: Arc<Gateway>,
    _advertiser: Option<Advertiser>,
    gateway_port: Arc<Port>,
    /// Its tunnels to other hosts, where it spans some.
    pub(super) overlay: Option<OverlayNetwork>,
}

impl Segment {
    /// Its first subnet, by which it is known.
    pub(super) fn subnet(&self) -> Option<IpNet> {
        self.subnets.first().copied()
    }
}

/// What switches a network, and what answers on it.
pub(super) struct Fabric {
    segments: Vec<Segment>,
    /// What is between several segments.
    pub(super) router: Option<Arc<Router>>,
    host: Option<HostInterface>,
    pub(super) names: Arc<NetworkNames>,
    askers: Arc<Askers>,
}

impl Fabric {
    /// Sets a network's switching up, with an interface of the host's on it or not.
    pub(super) fn new(
        switch: &Switch,
        resolver: &Arc<Resolver>,
        beyond: Option<Arc<dyn Beyond>>,
        record: &NetworkRecord,
        host_interface: bool,
    ) -> Result<Self, ControlError> {
        let names = NetworkNames::new(&record.name);
        let mut fabric = Self {
            segments: Vec::new(),
            router: router(switch, record)?,
            host: None,
            names,
            askers: Arc::default(),
        };
        let beyond = beyond.filter(|_| record.has_way_out());
        for (number, configs) in record.segments().iter().enumerate() {
            let routed = fabric.router.as_ref().map(|router| router.beyond(number));
            let gateway = GatewayConfig {
                dns: name_service(resolver, record, &fabric.names, &fabric.askers),
                beyond: routed.or_else(|| beyond.clone()),
                ..gateway_configuration(record, configs)
            };
            if let Err(error) = fabric.add_segment(switch, record, configs, gateway, host_interface) {
                fabric.tear_down(switch);
                return Err(error);
            }
        }
        Ok(fabric)
    }

    fn add_segment(
        &mut self,
        switch: &Switch,
        record: &NetworkRecord,
        configs: &[&IpamConfig],
        config: GatewayConfig,
        host_interface: bool,
    ) -> Result<(), ControlError> {
        let failed =
            |e: &dyn std::fmt::Display| ControlError::Failed(format!("network {}: {e}", record.name));
        let bridge = switch.add_bridge(&BridgeConfig::default());
        bridge.fdb().set_ageing(record.ageing);
        if !record.icc() {
            bridge.set_policy(Some(Policy::default()));
        }
        let subnets: Vec<IpNet> = configs.iter().map(|config| config.subnet).collect();
        let name = record.bridge_name_of(self.segments.len());
        let (mac, with_v6) = (config.mac, !config.v6.is_empty());
        let mut queues: Vec<Box<dyn Receive>> = Vec::new();
        let made = if host_interface {
            let (host, transmit, queue) = HostInterface::make(&name, &config, &subnets)?;
            queues.extend(queue);
            self.host = Some(host);
            gateway::gateway_port_with_host(config, Box::new(transmit))
        } else {
            gateway::gateway_port(config)
        };
        let (gateway, transmit, receive) = made.map_err(|e| failed(&e))?;
        queues.insert(0, Box::new(receive));
        let port = PortConfig { owner: "gateway".into(), interface: name, mtu: record.mtu(), trusted: true };
        let gateway_port =
            switch.add_port(&bridge, port, Box::new(transmit), queues).map_err(|e| failed(&e))?;
        // Nobody else is ever taken for the gateway, or for the router behind it.
        for mac in [Some(mac), self.router.as_ref().map(|router| router.mac())].into_iter().flatten() {
            bridge.fdb().set_static(Station { mac, vlan: 0 }, gateway_port.no(), Switch::now());
        }
        let gateway = Arc::new(gateway);
        let runtime = tokio::runtime::Handle::try_current().ok().filter(|_| with_v6);
        let advertiser = runtime.map(|runtime| Advertiser::start(&runtime, &gateway));
        let overlay = None;
        self.segments.push(Segment {
            subnets,
            bridge,
            gateway,
            _advertiser: advertiser,
            gateway_port,
            overlay,
        });
        Ok(())
    }

    /// Joins every segment to its other hosts.
    ///
    /// # Errors
    /// Those of `join`; what was joined stays so until the network is torn down.
    pub(super) fn join(
        &mut self,
        mut join: impl FnMut(&Segment) -> Result<OverlayNetwork, String>,
    ) -> Result<(), String> {
        for (number, segment) in self.segments.iter_mut().enumerate() {
            let overlay = join(segment)?;
            if let Some(router) = &self.router {
                router.set_segment(number, &segment.bridge, &overlay);
            }
            segment.overlay = Some(overlay);
        }
        Ok(())
    }

    pub(super) fn tear_down(&self, switch: &Switch) {
        // It holds the bridges, which through their gateways hold it.
        if let Some(router) = &self.router {
            router.close();
        }
        for segment in &self.segments {
            switch.remove_port(&segment.bridge, &segment.gateway_port);
        }
        // After the port: an interface that goes by itself is worth a warning.
        if let Some(host) = &self.host {
            host.remove();
        }
    }

    /// Its segments, of which there is at least one.
    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The segment in which an address is; a network's only one has all.
    pub(super) fn segment_of(&self, address: IpAddr) -> Option<&Segment> {
        match self.segments.as_slice() {
            [only] => Some(only),
            several => {
                several.iter().find(|segment| segment.subnets.iter().any(|net| net.contains(&address)))
            }
        }
    }

    /// The segment that an endpoint is on.
    pub(super) fn segment(&self, endpoint: &Endpoint) -> Option<&Segment> {
        match self.segments.as_slice() {
            [only] => Some(only),
            _ => self.segment_of(endpoint.addresses().first().copied()?),
        }
    }

    /// An endpoint is about to come up: whoever asks for it meanwhile is not told that nobody is there.
    pub(super) fn expect(&self, endpoint: &Endpoint) {
        if let (Some(router), Ok(mac)) = (&self.router, endpoint.mac.parse()) {
            router.set_station(mac, &endpoint.addresses());
        }
    }

    /// An endpoint does not come up.
    pub(super) fn expect_no_more(&self, endpoint: &Endpoint) {
        self.names.remove(&endpoint.id);
        if let (Some(router), Ok(mac)) = (&self.router, endpoint.mac.parse()) {
            router.remove_station(mac, &endpoint.addresses());
        }
    }

    /// An endpoint has come up.
    pub(super) fn enter(&self, record: &Container, endpoint: &Endpoint) {
        self.name(record, endpoint);
        self.expect(endpoint);
        let Ok(mac) = endpoint.mac.parse::<MacAddr>() else { return };
        let Some(Segment { gateway, .. }) = self.segment(endpoint) else { return };
        gateway.set_endpoint(
            mac,
            &gateway::Endpoint {
                address: endpoint.v4.map(|net| net.addr()),
                hostname: Some(record.hostname.clone()),
                search: record.dns.search.clone(),
            },
        );
        gateway.announce(&endpoint.addresses(), mac);
    }

    /// Sets the names of an endpoint.
    pub(super) fn name(&self, record: &Container, endpoint: &Endpoint) {
        let mut names = vec![record.name.clone(), id::short(&record.id).to_owned()];
        names.extend(endpoint.wished.aliases.iter().cloned());
        self.names.set(&endpoint.id, &record.name, &names, &endpoint.addresses());
    }

    /// Whether an endpoint may have an Ethernet address.
    ///
    /// # Errors
    /// [`NetError::MacOfGateway`].
    pub(super) fn check_mac(&self, record: &NetworkRecord, mac: MacAddr) -> Result<(), NetError> {
        record.check_mac(mac)?;
        match &self.router {
            Some(router) if router.mac() == mac => Err(NetError::MacOfGateway(mac, record.name.clone())),
            _ => Ok(()),
        }
    }

    /// What an endpoint may resolve at its gateway.
    pub(super) fn show(&self, endpoint: &Endpoint, view: &Arc<View>) {
        self.askers.set(endpoint, view);
    }

    /// An endpoint has gone.
    pub(super) fn leave(&self, endpoint: &Endpoint) {
        self.expect_no_more(endpoint);
        if let Ok(mac) = endpoint.mac.parse() {
            if let Some(segment) = self.segment(endpoint) {
                segment.gateway.remove_endpoint(mac);
            }
            self.askers.0.lock().remove(&mac);
        }
    }
}

/// What routes between a network's segments, where it has several.
fn router(switch: &Switch, record: &NetworkRecord) -> Result<Option<Arc<Router>>, ControlError> {
    let segments = record.segments();
    if segments.len() < 2 {
        return Ok(None);
    }
    // Locally administered, and of no container: theirs begin with 02 (RFC 9542, section 2.1).
    let random = id::new_id()?;
    let digits = random.get(..10).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(1);
    let [_, _, _, a, b, c, d, e] = digits.to_be_bytes();
    let gateways = segments.iter().map(|configs| configs.iter().filter_map(|c| gateway_net(c)).collect());
    Ok(Some(Router::new(switch, MacAddr([6, a, b, c, d, e]), gateways)))
}

/// The gateway's address with its subnet's prefix.
fn gateway_net(config: &IpamConfig) -> Option<IpNet> {
    config.gateway.and_then(|a| IpNet::new(a, config.subnet.prefix_len()).ok())
}

/// What a segment's gateway is told.
pub(super) fn gateway_configuration(record: &NetworkRecord, configs: &[&IpamConfig]) -> GatewayConfig {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for config in configs {
        match gateway_net(config) {
            Some(IpNet::V4(net)) => v4.push(net),
            Some(IpNet::V6(net)) => v6.push(net),
            None => {}
        }
    }
    GatewayConfig {
        mac: record.gateway_mac(configs),
        v4,
        v6,
        mtu: record.mtu(),
        router: record.has_way_out(),
        dns: None,
        dhcp: Some(DhcpConfig::default()),
        beyond: None,
    }
}
