//! Interfaces becoming ports: at a container's start, and while it runs.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::{Daemon, Directory, Lent, Live, Plugged, SHIM_ANSWER, no_such};
use crate::control::error::ControlError;
use crate::control::record::{Container, Endpoint, Mode};
use crate::control::request::EndpointRequest;
use crate::control::shim_link::ShimLink;
use crate::dataplane::fdb::Station;
use crate::dataplane::tap::tap_port;
use crate::dataplane::{Bridge, Port, PortConfig, Receive, Switch};
use crate::outside::{Inside, Outside};
use crate::sandbox::spec::{DefaultRoute, HeldPort, ShimEvent, ShimRequest};

impl Daemon {
    /// Connects to a container's shim and makes its interfaces ports.
    pub(super) async fn link_up(self: &Arc<Self>, id: &str) -> Result<Arc<ShimLink>, ControlError> {
        let lost =
            |e: &dyn std::fmt::Display| ControlError::Failed(format!("the container's shim is gone: {e}"));
        let link = Arc::new(ShimLink::connect(&self.dir(id)).map_err(|e| lost(&e))?);
        link.send(&ShimRequest::Hello).map_err(|e| lost(&e))?;
        let answer = tokio::time::timeout(SHIM_ANSWER, link.recv()).await;
        let (event, fds) = answer.map_err(|_| lost(&"it does not answer"))?.map_err(|e| lost(&e))?;
        match &event {
            ShimEvent::State { id: theirs, exit: None, .. } if theirs == id => {}
            ShimEvent::State { .. } => return Err(lost(&"it is another's, or its command has ended")),
            _ => return Err(lost(&"it says something unexpected")),
        }
        let mut linked = self.take_up(id, &link, event, fds);
        // What it was told to finish is done before anybody is let in.
        while linked.is_ok() && link.owes() {
            linked = match tokio::time::timeout(SHIM_ANSWER, link.recv()).await {
                Ok(Ok((ShimEvent::Exited(_), _))) => Err(lost(&"its command has ended")),
                Ok(Ok(said)) => {
                    link.answer(said);
                    Ok(())
                }
                Ok(Err(error)) => Err(lost(&error)),
                Err(_) => Err(lost(&"it does not answer")),
            };
        }
        // One that an earlier daemon left would run on, and nobody know of it.
        if linked.is_err() && self.view(id).is_ok_and(|view| view.record.is_running()) {
            let _ = link.send(&ShimRequest::Quit);
        }
        linked.map(|()| link)
    }

    /// Enters what a shim says it has.
    fn take_up(
        self: &Arc<Self>,
        id: &str,
        link: &Arc<ShimLink>,
        state: ShimEvent,
        mut fds: Vec<OwnedFd>,
    ) -> Result<(), ControlError> {
        let lost =
            |e: &dyn std::fmt::Display| ControlError::Failed(format!("the container's shim is gone: {e}"));
        let ShimEvent::State { shim, pid, ports, name_service, .. } = state else {
            return Err(lost(&"it says something unexpected"));
        };
        let sockets = if name_service {
            let at =
                fds.len().checked_sub(2).ok_or_else(|| lost(&"its descriptors are not those it names"))?;
            fds.split_off(at)
        } else {
            Vec::new()
        };
        if ports.iter().map(|held| held.queues).sum::<usize>() != fds.len() {
            return Err(lost(&"its descriptors are not those it names"));
        }
        let record = self.view(id)?.record;
        let mut plugged = Vec::new();
        let result = self.plug_all(&record, link, ports, fds, &mut plugged);
        let directory = result.and_then(|()| self.serve_names(&record, sockets));
        let entered = {
            let mut books = self.books.lock();
            match (directory, books.containers.get_mut(id)) {
                (Ok(directory), Some(live)) => {
                    live.link = Some(link.clone());
                    live.pid = pid;
                    live.shim = shim;
                    live.directory = directory;
                    live.ports = std::mem::take(&mut plugged);
                    // Its event may have come before the books knew the port.
                    Ok(live.ports.iter().any(|p| p.port.is_gone()))
                }
                (Ok(_), None) => Err(no_such(id)),
                (Err(error), _) => Err(error),
            }
        };
        for plugged in &plugged {
            self.remove_port(plugged);
        }
        if entered? { Err(ControlError::Failed("the namespace was deleted".into())) } else { Ok(()) }
    }

    fn plug_all(
        &self,
        record: &Container,
        link: &ShimLink,
        ports: Vec<HeldPort>,
        fds: Vec<OwnedFd>,
        plugged: &mut Vec<Plugged>,
    ) -> Result<(), ControlError> {
        let mut fds = fds.into_iter();
        // It became the way out when another left: perhaps a daemon died before it could say so.
        let next = |endpoint: &&Endpoint| {
            ports.iter().any(|p| p.spec.endpoint == endpoint.id && p.spec.gateways.is_empty())
        };
        let way_out = record.way_out().filter(next).map(|endpoint| DefaultRoute {
            interface: endpoint.interface.clone(),
            gateways: endpoint.gateways(),
        });
        for held in ports {
            let queues: Vec<OwnedFd> = fds.by_ref().take(held.queues).collect();
            let Some(endpoint) = record.endpoints.iter().find(|e| e.id == held.spec.endpoint) else {
                // A daemon died between the two halves of a disconnect.
                drop(queues);
                let _ = link.tell(&ShimRequest::DropPort(held.spec.endpoint));
                continue;
            };
            plugged.push(self.plug(record, endpoint, &held, queues)?);
        }
        if let Some(route) = way_out {
            let _ = link.tell(&ShimRequest::DefaultRoute(route));
        }
        Ok(())
    }

    /// Makes one of a shim's TAPs a port of its network.
    fn plug(
        &self,
        record: &Container,
        endpoint: &Endpoint,
        held: &HeldPort,
        fds: Vec<OwnedFd>,
    ) -> Result<Plugged, ControlError> {
        let bridge = {
            let books = self.books.lock();
            let network = books.network(&endpoint.network_id)?;
            let fabric = network.fabric.as_ref();
            let segment = fabric.and_then(|fabric| fabric.segment(endpoint));
            segment.map(|s| s.bridge.clone()).ok_or_else(|| super::no_network(&endpoint.network))?
        };
        let (transmit, queues) = tap_port(fds, held.offloads)
            .map_err(|e| ControlError::Failed(format!("the TAP cannot be used: {e}")))?;
        let queues = queues.into_iter().map(|q| Box::new(q) as Box<dyn Receive>).collect();
        let config = PortConfig {
            owner: record.name.clone(),
            interface: held.spec.interface.clone(),
            mtu: held.spec.mtu,
            trusted: false,
        };
        let port =
            super::off_the_runtime(|| self.switch.add_port(&bridge, config, Box::new(transmit), queues))
                .map_err(|e| ControlError::Conflict(e.to_string()))?;
        // What comes from other hosts in the name of a station here is dropped, however long it is silent.
        let is_overlay = self.books.lock().network(&endpoint.network_id)?.record.is_overlay();
        if is_overlay && let Ok(mac) = endpoint.mac.parse() {
            let pinned = bridge.fdb().set_static(Station { mac, vlan: 0 }, port.no(), Switch::now());
            if !pinned {
                tracing::warn!("{}: the forwarding table has no place for it", port.name());
            }
        }
        let inside = self.let_out(endpoint, &bridge, &port);
        Ok(Plugged { endpoint: endpoint.id.clone(), bridge, port, inside })
    }

    /// Gives an endpoint its way out, where its network has one.
    fn let_out(&self, endpoint: &Endpoint, bridge: &Arc<Bridge>, port: &Arc<Port>) -> Option<Inside> {
        self.outside.as_ref()?;
        let config = {
            let books = self.books.lock();
            let network = &books.network(&endpoint.network_id).ok()?.record;
            if !network.has_way_out() {
                return None;
            }
            super::directory::translation(
                network,
                endpoint,
                self.host_subnets.is_some(),
                self.map_host_loopback,
            )
        };
        super::off_the_runtime(|| Outside::add(&self.switch, bridge, port, config))
    }

    fn serve_names(
        &self,
        record: &Container,
        sockets: Vec<OwnedFd>,
    ) -> Result<Option<Directory>, ControlError> {
        let Ok([udp, tcp]) = <[OwnedFd; 2]>::try_from(sockets) else { return Ok(None) };
        let view = self.books.lock().name_view(record);
        Directory::serve(&self.resolver, view, udp, tcp)
            .map(Some)
            .map_err(|e| ControlError::Failed(format!("the name service cannot be started: {e}")))
    }

    /// Tells the networks of a container's endpoints that they are there, if it has not ended.
    pub(super) fn enter(&self, id: &str) {
        let books = self.books.lock();
        let Some(record) = books.containers.get(id).and_then(Live::present) else { return };
        books.tell_gateways(record, &Arc::new(books.name_view(record)));
        for endpoint in &record.endpoints {
            let Some(network) = books.networks.get(&endpoint.network_id) else { continue };
            if let Some(fabric) = &network.fabric {
                fabric.enter(record, endpoint);
                books.refresh_policy(&endpoint.network_id, None);
            }
            self.events.network("connect", &network.record, Some(&record.id));
        }
    }

    /// Tells the networks of a container's endpoints that they are gone.
    pub(super) fn leave(&self, record: &Container) {
        let books = self.books.lock();
        for endpoint in &record.endpoints {
            let Some(network) = books.networks.get(&endpoint.network_id) else { continue };
            if let Some(fabric) = &network.fabric {
                fabric.leave(endpoint);
                books.refresh_policy(&endpoint.network_id, Some(&record.id));
            }
            self.events.network("disconnect", &network.record, Some(&record.id));
        }
    }

    /// Puts a running container on one more network.
    ///
    /// # Errors
    /// With Docker's sentences; nothing is changed then.
    pub async fn connect(
        self: &Arc<Self>,
        network: &str,
        container: &str,
        request: EndpointRequest,
    ) -> Result<(), ControlError> {
        self.connect_one(network, container, request, false).await?;
        self.settle_way_out(container).await
    }

    /// The same for one endpoint, and not for what it needs besides.
    pub(super) async fn connect_one(
        self: &Arc<Self>,
        network: &str,
        container: &str,
        mut request: EndpointRequest,
        gateway_only: bool,
    ) -> Result<(), ControlError> {
        let (id, turn) = {
            let books = self.books.lock();
            let id = books.resolve(container)?;
            let turn = books.live(&id)?.turn.clone();
            (id, turn)
        };
        let _turn = turn.lock().await;
        request.network = network.to_owned();
        let (network_id, record, link) = {
            let books = self.books.lock();
            let network_id = books.resolve_network(network)?;
            let live = books.live(&id)?;
            let record = live.record.clone();
            let link = live.link.clone();
            refuse_mode(&record, &books.network(&network_id)?.record)?;
            let link = link.filter(|_| record.is_running()).ok_or_else(|| not_running(&id))?;
            if (record.endpoints.len() + 1) * record.queues > super::reserve::MAX_QUEUES {
                return Err(ControlError::Invalid("the container has too many interfaces".into()));
            }
            (network_id, record, link)
        };
        let claims = self.claim_one(&record, &network_id, &request).await?;
        let reserved = self.books.lock().reserve(&record, &request, claims.on(&network_id));
        let endpoint = match reserved {
            Ok(endpoint) => Endpoint { gateway_only, ..endpoint },
            Err(error) => {
                self.unclaim(&claims);
                return Err(error);
            }
        };
        let lent = Lent {
            endpoint: endpoint.id.clone(),
            network_id: endpoint.network_id.clone(),
            addresses: endpoint.addresses(),
        };
        let had_way_out = record.way_out().is_some();
        let entered = self.commit(&id, |record| {
            if record.is_running() {
                record.endpoints.push(endpoint.clone());
            }
        });
        let record = match entered {
            Ok(record) if record.is_running() => record,
            other => {
                self.release(&[lent]);
                return other.and(Err(not_running(&id)));
            }
        };
        let plugged = self.add_port(&record, &endpoint, &link, had_way_out).await;
        let failure = match plugged {
            Ok(plugged) => {
                let mut books = self.books.lock();
                match books.containers.get_mut(&id) {
                    Some(live) if live.link.is_some() && live.record.is_running() => {
                        let port = plugged.port.clone();
                        live.ports.push(plugged);
                        drop(books);
                        // Its event may have come before the books knew the port.
                        if port.is_gone() {
                            if record.is_attached() {
                                self.finish(&id, 0);
                            }
                            return Err(not_running(&id));
                        }
                        None
                    }
                    // It ended meanwhile; whoever ended it gave the addresses back.
                    _ => {
                        drop(books);
                        self.remove_port(&plugged);
                        return Err(not_running(&id));
                    }
                }
            }
            Err(error) => Some(error),
        };
        if let Some(error) = failure {
            // An interface that came to be without becoming a port.
            let _ = link.ask(&ShimRequest::DropPort(endpoint.id.clone()), SHIM_ANSWER).await;
            self.withdraw(&id, &endpoint);
            return Err(error);
        }
        {
            let books = self.books.lock();
            // As it is now: it may have ended, or have another name.
            let present = books.live(&id)?.present();
            let record = present.filter(|record| record.endpoints.iter().any(|e| e.id == endpoint.id));
            let record = record.ok_or_else(|| not_running(&id))?;
            let network = books.network(&endpoint.network_id)?;
            if let Some(fabric) = &network.fabric {
                fabric.enter(record, &endpoint);
                books.refresh_policy(&endpoint.network_id, None);
            }
            self.events.network("connect", &network.record, Some(&id));
        }
        if !had_way_out {
            self.republish(&id);
        }
        self.refresh_names(&id);
        self.rewrite_files(&id);
        self.changed.notify_one();
        Ok(())
    }

    async fn add_port(
        &self,
        record: &Container,
        endpoint: &Endpoint,
        link: &ShimLink,
        had_way_out: bool,
    ) -> Result<Plugged, ControlError> {
        let mut spec = self.books.lock().port_spec(record, endpoint)?;
        if had_way_out {
            spec.gateways.clear();
        }
        match link.ask(&ShimRequest::AddPort(spec), SHIM_ANSWER).await? {
            (ShimEvent::PortReady(held), fds) if held.queues == fds.len() => {
                self.plug(record, endpoint, &held, fds)
            }
            _ => Err(ControlError::Failed("the container's shim says something unexpected".into())),
        }
    }

    /// Takes an endpoint out of the books, its addresses last.
    pub(super) fn withdraw(&self, id: &str, endpoint: &Endpoint) {
        let Ok(lent) = self.books.lock().live(id).map(|live| live.lent(endpoint)) else { return };
        let removed = self.commit(id, |record| record.endpoints.retain(|e| e.id != endpoint.id));
        // A container that has ended meanwhile gave all its addresses back.
        if let Some(record) = removed.ok().filter(|record| !record.has_ended()) {
            // Before another has them.
            if let Some(network) = self.books.lock().networks.get(&endpoint.network_id)
                && let Some(fabric) = &network.fabric
            {
                fabric.expect_no_more(endpoint);
            }
            self.release(&[lent]);
            self.let_go_of_name(&record);
        }
    }

    /// Takes a running container off a network.
    ///
    /// # Errors
    /// With Docker's sentences; nothing is changed then.
    pub async fn disconnect(
        self: &Arc<Self>,
        network: &str,
        container: &str,
        force: bool,
    ) -> Result<(), ControlError> {
        self.disconnect_one(network, container, force).await?;
        self.store_told().await;
        // Gone as a whole, perhaps.
        if self.view(container).is_ok_and(|view| view.record.is_running()) {
            self.settle_way_out(container).await?;
        }
        Ok(())
    }

    /// The same for one endpoint, and not for what only it needed.
    pub(super) async fn disconnect_one(
        self: &Arc<Self>,
        network: &str,
        container: &str,
        force: bool,
    ) -> Result<(), ControlError> {
        let (id, turn) = {
            let books = self.books.lock();
            let id = match books.resolve(container) {
                Ok(id) => id,
                // Docker's --force is for endpoints of containers that are gone. Here there are none.
                Err(_) if force => return books.resolve_network(network).map(drop),
                Err(error) => return Err(error),
            };
            let turn = books.live(&id)?.turn.clone();
            (id, turn)
        };
        let _turn = turn.lock().await;
        let (endpoint, lent, link, way_out, left) = {
            let books = self.books.lock();
            let network_id = books.resolve_network(network)?;
            let network = books.network(&network_id)?;
            let live = books.live(&id)?;
            let record = &live.record;
            if matches!(record.mode, Mode::Host | Mode::None | Mode::Container(_)) {
                let sentence = if record.mode == Mode::Host {
                    "container cannot be disconnected from host network or connected to host network"
                } else {
                    "container is not on a network that it could be disconnected from"
                };
                return Err(ControlError::Forbidden(sentence.into()));
            }
            let endpoint = record.endpoint_on(&network_id).cloned().ok_or_else(|| {
                ControlError::Forbidden(format!(
                    "container {id} is not connected to network {}",
                    network.record.name
                ))
            })?;
            let link = live.link.clone().filter(|_| record.is_running()).ok_or_else(|| not_running(&id))?;
            let way_out = record.way_out().is_some_and(|e| e.id == endpoint.id);
            (endpoint.clone(), live.lent(&endpoint), link, way_out, network.record.clone())
        };
        // Whoever ended it meanwhile gave its addresses back.
        let mut ours = false;
        let record = self.commit(&id, |record| {
            ours = record.is_running();
            record.endpoints.retain(|e| e.id != endpoint.id);
        })?;
        let plugged = {
            let mut books = self.books.lock();
            if ours
                && let Some(fabric) = books.networks.get(&endpoint.network_id).and_then(|n| n.fabric.as_ref())
            {
                fabric.leave(&endpoint);
            }
            books.refresh_policy(&endpoint.network_id, None);
            books.containers.get_mut(&id).and_then(|live| {
                let at = live.ports.iter().position(|p| p.endpoint == endpoint.id)?;
                Some(live.ports.remove(at))
            })
        };
        if let Some(plugged) = plugged {
            super::off_the_runtime(|| self.remove_port(&plugged));
        }
        // The interface goes with the last descriptor, which is the shim's.
        let dropped = link.ask(&ShimRequest::DropPort(endpoint.id.clone()), SHIM_ANSWER).await;
        if ours {
            self.release(&[lent]);
            self.let_go_of_name(&record);
        }
        if way_out && let Some(next) = record.way_out() {
            let route = DefaultRoute { interface: next.interface.clone(), gateways: next.gateways() };
            if let Err(error) = link.ask(&ShimRequest::DefaultRoute(route), SHIM_ANSWER).await {
                tracing::warn!("container {} has no default route: {error}", super::short(&id));
            }
            self.republish(&id);
        }
        self.events.network("disconnect", &left, Some(&id));
        self.refresh_names(&id);
        self.rewrite_files(&id);
        self.changed.notify_one();
        dropped.map(drop)
    }
}

fn not_running(id: &str) -> ControlError {
    ControlError::Conflict(format!("Container {id} is not running"))
}

fn refuse_mode(record: &Container, network: &crate::control::net::NetworkRecord) -> Result<(), ControlError> {
    let sentence = match (&record.mode, network.name.as_str()) {
        (Mode::Host, _) | (_, "host") => {
            "container cannot be disconnected from host network or connected to host network"
        }
        (Mode::Container(_), _) => {
            "container sharing network namespace with another container or host cannot be connected to any \
             other network"
        }
        (Mode::None, _) | (_, "none") => {
            "container cannot be connected to multiple networks with one of the networks in private (none) mode"
        }
        (Mode::Networks, _) => return Ok(()),
    };
    Err(ControlError::Forbidden(sentence.into()))
}
