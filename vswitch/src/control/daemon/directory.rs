//! What networks and the name service are told of endpoints: whole entries, as they come and go.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use arc_swap::ArcSwap;
use nat::config::InsideConfig;

use super::fabric::{Askers, gateway_configuration};
use super::{Books, Daemon};
use crate::control::net::NetworkRecord;
use crate::control::record::{Container, Endpoint};
use crate::dataplane::policy::{Opening, Policy};
use crate::gateway::{self, DnsConfig, DnsQuery, DnsReply};
use crate::names::{self, Attached, NetworkNames, Resolver, Service, View};

/// Bytes of the headers of a UDP datagram over IPv6, and so more than over IPv4.
const UDP_OVER_IPV6: u32 = 48;

/// Who answers DNS at a network's gateway: a container as its own name service would, others with the
/// network's names and what is known outside.
pub(super) fn name_service(
    resolver: &Arc<Resolver>,
    record: &NetworkRecord,
    names: &Arc<NetworkNames>,
    askers: &Arc<Askers>,
) -> Option<DnsConfig> {
    let runtime = tokio::runtime::Handle::try_current().ok()?;
    let networks = if record.is_default_bridge() { Vec::new() } else { vec![Attached::from(names.clone())] };
    let view = Arc::new(View { networks, forward: !record.internal, ..View::default() });
    let (resolver, tasks, askers) = (resolver.clone(), runtime.clone(), askers.clone());
    let largest = u16::try_from(record.mtu().saturating_sub(UDP_OVER_IPV6)).unwrap_or(u16::MAX);
    let handler = move |query: DnsQuery, reply: DnsReply| {
        let resolver = resolver.clone();
        let view = askers.get(query.mac()).unwrap_or_else(|| view.clone());
        tasks.spawn(async move {
            let transport = match query.transport() {
                gateway::Transport::Udp => names::Transport::Udp(largest),
                gateway::Transport::Tcp => names::Transport::Tcp,
            };
            if let Some(answer) = resolver.answer(&view, query.message(), transport).await {
                reply.send(&answer);
            }
        });
    };
    Some(DnsConfig { handler: Arc::new(handler), runtime })
}

/// The addresses of two endpoints that can talk to each other.
fn pairs(a: &Endpoint, b: &Endpoint) -> Vec<(IpAddr, IpAddr)> {
    let of = |e: &Endpoint| e.addresses();
    let all = of(a).into_iter().flat_map(|a| of(b).into_iter().map(move |b| (a, b)));
    all.filter(|(a, b)| a.is_ipv4() == b.is_ipv4()).collect()
}

/// What an endpoint's address translation has to know of it.
pub(super) fn translation(
    record: &NetworkRecord,
    endpoint: &Endpoint,
    host_interface: bool,
    map_host_loopback: bool,
) -> InsideConfig {
    let configs: Vec<_> = record.active().collect();
    let gateway = gateway_configuration(record, &configs);
    let mut config = InsideConfig::new(gateway.mac);
    config.addresses = endpoint.addresses();
    config.mac = endpoint.mac.parse().ok();
    config.gateway_v4 = gateway.v4.first().map(ipnet::Ipv4Net::addr);
    config.gateway_v6 = gateway.v6.first().map(ipnet::Ipv6Net::addr);
    config.subnets = record.active().map(|c| c.subnet).collect();
    config.mtu = u16::try_from(record.mtu()).unwrap_or(u16::MAX);
    config.outbound = record.masquerade();
    config.any_source = record.any_source();
    // At the gateway's address is the host: its loopback where that is wanted, else what it listens at
    // for everybody. With an interface of its own it is there itself.
    let to = |loopback: IpAddr, own: IpAddr| {
        if record.map_host_loopback().unwrap_or(map_host_loopback) {
            Some(loopback)
        } else {
            Some(own).filter(|_| !host_interface)
        }
    };
    let v4 = config.gateway_v4.map(IpAddr::V4);
    let v6 = config.gateway_v6.map(IpAddr::V6);
    let v4 = v4.zip(to(Ipv4Addr::LOCALHOST.into(), Ipv4Addr::UNSPECIFIED.into()));
    let v6 = v6.zip(to(Ipv6Addr::LOCALHOST.into(), Ipv6Addr::UNSPECIFIED.into()));
    config.host_addresses = v4.into_iter().chain(v6).collect();
    match record.outbound_address() {
        Some(IpAddr::V4(address)) => config.source_v4 = Some(address),
        Some(IpAddr::V6(address)) => config.source_v6 = Some(address),
        None => {}
    }
    config
}

/// The name service of one container; it ends when this is dropped.
pub struct Directory {
    view: Arc<ArcSwap<View>>,
    _service: Service,
}

impl Directory {
    /// Serves a container on the sockets that were bound in its namespace.
    pub(super) fn serve(
        resolver: &Arc<Resolver>,
        view: View,
        udp: OwnedFd,
        tcp: OwnedFd,
    ) -> std::io::Result<Self> {
        let (udp, tcp) = (UdpSocket::from(udp), std::net::TcpListener::from(tcp));
        udp.set_nonblocking(true)?;
        tcp.set_nonblocking(true)?;
        let view = Arc::new(ArcSwap::from_pointee(view));
        let service = resolver.serve(view.clone(), udp, tcp)?;
        Ok(Self { view, _service: service })
    }
}

impl Books {
    /// Keeps the stations of a network apart where it asks for that, but for what links open. What one
    /// that is leaving had open is not: its addresses are soon another's.
    pub(super) fn refresh_policy(&self, network_id: &str, leaving: Option<&str>) {
        let Some(network) = self.networks.get(network_id) else { return };
        let Some(fabric) = network.fabric.as_ref().filter(|_| !network.record.icc()) else { return };
        let there = |record: &&Container| record.is_running() && Some(record.id.as_str()) != leaving;
        let running = || self.containers.values().map(|live| &live.record).filter(there);
        let mut openings = Vec::new();
        for record in running() {
            let Some(client) = record.endpoint_on(network_id) else { continue };
            for word in &client.wished.links {
                let (name, _) = super::etc::link(word);
                let target = self.resolve(name).ok().and_then(|id| self.containers.get(&id));
                let Some(target) = target.map(|live| &live.record).filter(there) else { continue };
                let Some(server) = target.endpoint_on(network_id) else { continue };
                for exposed in &target.exposed {
                    for (client, server) in pairs(client, server) {
                        let protocol = exposed.protocol.number();
                        openings.push(Opening { client, server, protocol, port: exposed.port });
                    }
                }
            }
        }
        // Only networks of this host keep stations apart, and those are one segment.
        if let [segment, ..] = fabric.segments() {
            segment.bridge.set_policy(Some(Policy::new(openings)));
        }
    }

    /// Tells the gateways of a container's networks what it may resolve.
    pub(super) fn tell_gateways(&self, record: &Container, view: &Arc<View>) {
        for endpoint in &record.endpoints {
            if let Some(fabric) = self.networks.get(&endpoint.network_id).and_then(|n| n.fabric.as_ref()) {
                fabric.show(endpoint, view);
            }
        }
    }

    /// What a container may resolve.
    pub(super) fn name_view(&self, record: &Container) -> View {
        let mut networks = Vec::new();
        let mut forward = record.endpoints.is_empty();
        for endpoint in &record.endpoints {
            let Some(network) = self.networks.get(&endpoint.network_id) else { continue };
            forward |= !network.record.internal;
            // On the default network only links are names, and those are in the hosts file.
            if network.record.is_default_bridge() || endpoint.gateway_only {
                continue;
            }
            let Some(fabric) = &network.fabric else { continue };
            let links: Vec<(String, String)> = endpoint
                .wished
                .links
                .iter()
                .map(|word| super::etc::link(word))
                .map(|(name, alias)| (alias.to_owned(), name.to_owned()))
                .collect();
            networks.push(Attached::new(fabric.names.clone(), &links));
        }
        let ndots_set = record
            .dns
            .options
            .iter()
            .any(|option| option.strip_prefix("ndots:").is_some_and(|n| n.trim() != "0"));
        View { networks, servers: record.dns.servers.clone(), forward, ndots_set }
    }
}

impl Daemon {
    /// Tells a container's name service, and its gateways', of its networks as they are now.
    pub(super) fn refresh_names(&self, id: &str) {
        let books = self.books.lock();
        let Ok(live) = books.live(id) else { return };
        let view = Arc::new(books.name_view(&live.record));
        books.tell_gateways(&live.record, &view);
        if let Some(directory) = &live.directory {
            directory.view.store(view);
        }
    }
}
