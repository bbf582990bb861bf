//! Reserving what a container needs, before anything of it exists.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use packet::MacAddr;

use super::etc::{is_field, is_link};
use super::shared::Claims;
use super::{Books, Daemon, Live, Phase, QUEUES, gateways, now};
use crate::control::cluster::SharedEndpoint;
use crate::control::error::ControlError;
use crate::control::expose;
use crate::control::id;
use crate::control::net::{IpamConfig, NetError, PoolError};
use crate::control::publish::{self, Wish};
use crate::control::record::{Container, Dns, Endpoint, ExposedPort, Mode, Origin, Status};
use crate::control::request::{CreateReply, CreateRequest, EndpointRequest};
use crate::sandbox::spec::{EtcFiles, InitSpec, NetworkNamespace, Place, PortSpec, Sandbox, Target};

/// How long a container that was reserved may take to be started.
const RESERVATION: Duration = Duration::from_mins(1);

/// Ports that can be exposed and published by one request: twice all there are.
const MOST_PORTS: usize = 2 * 2 * 65_535;

/// Descriptors that fit in a message with all of a container's queues and its name service.
pub(super) const MAX_QUEUES: usize = 60;

impl Daemon {
    /// Reserves a name, addresses and a directory. They are given back when the process `client`
    /// ends before the container was started.
    ///
    /// # Errors
    /// With Docker's sentences; nothing is reserved then.
    pub fn create(
        self: &Arc<Self>,
        mut request: CreateRequest,
        client: Option<i32>,
    ) -> Result<CreateReply, ControlError> {
        if request.command.is_empty() == request.attach.is_none() {
            return Err(ControlError::Invalid("give either a command or a namespace to attach".into()));
        }
        let id = id::new_id()?;
        let dir = self.dir(&id);
        let (mut name, hostname) = (request.name.take(), request.hostname.take());
        let networks = std::mem::take(&mut request.networks);
        let mut record = draft(&id, &dir, request)?;
        self.make_gateway_bridge(&networks)?;
        let claims = self.claim_all(&id, &mut name, &networks)?;
        let reserved = self.enter_new(&mut record, name.as_deref(), hostname.as_deref(), &networks, &claims);
        let (hosts, resolv) = reserved.inspect_err(|_| self.unclaim(&claims))?;
        let files = || super::etc::write_all(&dir, &record, hosts.as_deref(), resolv.as_deref());
        let written = super::off_the_runtime(files)
            .map_err(|e| ControlError::Failed(e.to_string()))
            // As it is now: it may have been renamed, or removed.
            .and_then(|()| self.commit(&id, |_| ()))
            .and_then(|record| Ok((self.reply(&record)?, record)));
        let (reply, record) = match written {
            Ok(written) => written,
            Err(error) => {
                self.forget(&id);
                return Err(error);
            }
        };
        self.expire(id.clone(), client);
        self.changed.notify_one();
        self.events.container("create", &record);
        Ok(reply)
    }

    /// Gives a container what it asks for and enters it into the books: its hosts and resolv.conf.
    fn enter_new(
        &self,
        record: &mut Container,
        name: Option<&str>,
        hostname: Option<&str>,
        networks: &[EndpointRequest],
        claims: &Claims,
    ) -> Result<(Option<String>, Option<String>), ControlError> {
        let mut books = self.books.lock();
        record.name = books.choose_name(name, &record.id)?;
        record.mode = books.mode(networks)?;
        books.settle_hostname(record, hostname)?;
        record.env.extend(books.link_variables(record, networks)?);
        if let Err(error) = books.reserve_all(record, networks, claims) {
            books.give_back(record);
            return Err(error);
        }
        let id = &record.id;
        books.names.insert(record.name.clone(), id.clone());
        books.containers.insert(id.clone(), Live::new(record.clone(), Phase::Created, true));
        Ok((books.hosts_file(record), books.resolv_conf(record)))
    }

    /// All that whoever starts the shim must tell it.
    fn reply(&self, record: &Container) -> Result<CreateReply, ControlError> {
        let books = self.books.lock();
        let sandbox = match &record.origin {
            Origin::Attach { target, netns } => {
                Sandbox::Attach(Place { target: target.clone(), inode: *netns })
            }
            Origin::Run { command, log } => Sandbox::Run(InitSpec {
                argv: command.clone(),
                hostname: record.hostname.clone(),
                domainname: record.domainname.clone(),
                log: log.clone(),
                env: record.env.clone(),
                network: books.namespace(record)?,
                files: self.files(record),
            }),
        };
        let ports: Result<_, ControlError> =
            record.interfaces().map(|endpoint| books.port_spec(record, endpoint)).collect();
        Ok(CreateReply {
            id: record.id.clone(),
            name: record.name.clone(),
            dir: self.dir(&record.id),
            sandbox,
            ports: ports?,
            name_service: record.has_name_service(),
            warnings: Vec::new(),
        })
    }

    /// The files that take the place of the host's in a container's sandbox.
    pub(super) fn files(&self, record: &Container) -> EtcFiles {
        let dir = self.dir(if let Mode::Container(other) = &record.mode { other } else { &record.id });
        let file = |name: &str| Some(dir.join(name)).filter(|path| path.exists());
        EtcFiles {
            hosts: file(super::etc::HOSTS),
            resolv_conf: file(super::etc::RESOLV_CONF),
            hostname: file(super::etc::HOSTNAME),
        }
    }

    /// A reservation goes with whoever made it, and after a while in any case.
    fn expire(self: &Arc<Self>, id: String, client: Option<i32>) {
        let daemon = Arc::downgrade(self);
        let Ok(mut phase) = self.phase(&id) else { return };
        let pidfd = client
            .and_then(rustix::process::Pid::from_raw)
            .map(|pid| rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()));
        tokio::spawn(async move {
            let ended = async {
                match pidfd {
                    // It ended before it could be watched.
                    Some(Err(rustix::io::Errno::SRCH)) => {}
                    Some(Ok(pidfd)) => match crate::sys::asyncfd::readable_fd(pidfd) {
                        Ok(pidfd) => drop(pidfd.readable().await),
                        Err(_) => std::future::pending().await,
                    },
                    // In a namespace whose process ids mean nothing here: the clock decides.
                    None | Some(Err(_)) => std::future::pending().await,
                }
            };
            let dropped = tokio::select! {
                _ = phase.wait_for(|phase| *phase != Phase::Created) => false,
                () = ended => true,
                () = tokio::time::sleep(RESERVATION) => true,
            };
            let Some(daemon) = daemon.upgrade() else { return };
            if dropped && daemon.view(&id).is_ok_and(|v| v.record.status == Status::Created) {
                daemon.forget(&id);
            }
        });
    }
}

fn too_many_ports() -> ControlError {
    ControlError::Invalid(format!("more than {MOST_PORTS} ports: no container has so many"))
}

/// A record of what was asked for, as far as that alone can be checked.
fn draft(id: &str, dir: &std::path::Path, request: CreateRequest) -> Result<Container, ControlError> {
    let origin = match request.attach {
        Some(Target::Pid(..=0)) => {
            return Err(ControlError::Invalid("a process has a number above 0".into()));
        }
        Some(Target::Netns(path)) if !path.is_absolute() => {
            return Err(ControlError::Invalid(format!(
                "{} says nothing here: give the whole path of the namespace",
                path.display()
            )));
        }
        Some(target) => Origin::Attach { netns: identity(&target), target },
        None => {
            Origin::Run { command: request.command, log: request.detached.then(|| dir.join("output.log")) }
        }
    };
    let mut exposed = BTreeSet::new();
    let mut left = MOST_PORTS;
    let mut bounded = |count: usize| {
        left = left.checked_sub(count).ok_or_else(too_many_ports)?;
        Ok::<_, ControlError>(())
    };
    for word in &request.expose {
        let ports = expose::parse(word)?;
        bounded(ports.len())?;
        exposed.extend(ports);
    }
    let mut published = Vec::new();
    for word in &request.publish {
        let wishes = publish::parse(word)?;
        bounded(wishes.len())?;
        published.extend(wishes);
    }
    exposed.extend(published.iter().map(|wish| wish.port));
    if request.publish_all {
        let already: BTreeSet<ExposedPort> = published.iter().map(|wish| wish.port).collect();
        let rest = exposed.iter().filter(|port| !already.contains(port));
        published.extend(rest.map(|port| Wish { port: *port, address: None, host: None }));
    }
    let hosts: Result<Vec<_>, ControlError> =
        request.extra_hosts.iter().map(|word| super::etc::extra_host(word)).collect();
    // Without a value: as the caller has it, which here is not at all.
    let env =
        request.env.iter().filter_map(|word| Some((word, word.split_once('=')?))).map(|(word, pair)| {
            let (name, value) = pair;
            if name.is_empty() || word.contains('\0') {
                return Err(ControlError::Invalid(format!("invalid environment variable: {word}")));
            }
            Ok((name.to_owned(), value.to_owned()))
        });
    if let Some(domain) = &request.domainname
        && (domain.len() > 64 || !(domain.is_empty() || is_field(domain)))
    {
        return Err(ControlError::Invalid(format!("\"{domain}\" cannot be a domain name")));
    }
    for word in request.dns_search.iter().chain(&request.dns_options) {
        if !is_field(word) {
            return Err(ControlError::Invalid(format!("{word:?} is not a valid domain or resolver option")));
        }
    }
    Ok(Container {
        id: id.to_owned(),
        name: String::new(),
        created: now(),
        origin,
        auto_remove: request.auto_remove,
        hostname: String::new(),
        domainname: request.domainname,
        labels: request.labels,
        env: env.collect::<Result<_, _>>()?,
        status: Status::Created,
        mode: Mode::Networks,
        endpoints: Vec::new(),
        queues: request.queues.unwrap_or(QUEUES).clamp(1, 16),
        dns: Dns {
            servers: request.dns,
            search: request.dns_search,
            options: request.dns_options,
            hosts: hosts?,
        },
        exposed,
        published,
        bindings: Vec::new(),
    })
}

/// Device and inode of a namespace, while it can be seen.
fn identity(target: &Target) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let path = match target {
        Target::Pid(pid) => format!("/proc/{pid}/ns/net").into(),
        Target::Netns(path) => path.clone(),
    };
    std::fs::metadata(path).ok().map(|m| (m.dev(), m.ino()))
}

pub(super) fn mac_of(text: &str) -> Result<MacAddr, ControlError> {
    match text.parse::<MacAddr>() {
        Ok(mac) if mac.is_multicast() || mac == MacAddr::ZERO => {
            Err(ControlError::Invalid(format!("{mac} cannot be a station's address")))
        }
        Ok(mac) => Ok(mac),
        Err(e) => Err(ControlError::Invalid(e.to_string())),
    }
}

impl Books {
    fn choose_name(&self, wished: Option<&str>, id: &str) -> Result<String, ControlError> {
        let Some(name) = wished else {
            let free = (0..1000).map(|n| id::generated_name(id, n)).find(|n| !self.names.contains_key(n));
            return free
                .ok_or_else(|| ControlError::Conflict("no name is free: give one with --name".into()));
        };
        self.check_name(name)?;
        Ok(name.to_owned())
    }

    /// Whether a container may have this name.
    pub(super) fn check_name(&self, name: &str) -> Result<(), ControlError> {
        if !id::is_valid_name(name) {
            return Err(ControlError::Invalid(format!(
                "Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
            )));
        }
        match self.names.get(name) {
            Some(owner) => Err(ControlError::Conflict(format!(
                "Conflict. The container name \"/{name}\" is already in use by container \"{owner}\". You have to \
                 remove (or rename) that container to be able to reuse that name."
            ))),
            None => Ok(()),
        }
    }

    /// What the list of networks asks for as a whole.
    fn mode(&self, networks: &[EndpointRequest]) -> Result<Mode, ControlError> {
        let special = |request: &EndpointRequest| {
            let name = request.network.as_str();
            matches!(name, "host" | "none") || name.starts_with("container:")
        };
        let Some(first) = networks.iter().find(|request| special(request)) else { return Ok(Mode::Networks) };
        if networks.len() > 1 {
            return Err(ControlError::Invalid(format!(
                "conflicting options: {} cannot be combined with another network",
                first.network
            )));
        }
        if first.ip.is_some() || first.ip6.is_some() {
            return Err(ControlError::Invalid(
                "user specified IP address is supported on user defined networks only".into(),
            ));
        }
        if first.mac_address.is_some() {
            return Err(ControlError::Invalid(
                "conflicting options: mac-address and the network mode".into(),
            ));
        }
        if !first.aliases.is_empty() {
            return Err(no_alias());
        }
        match first.network.as_str() {
            "host" if !first.links.is_empty() => Err(ControlError::Invalid(
                "conflicting options: host type networking can't be used with links. This would result in \
                 undefined behavior"
                    .into(),
            )),
            "host" => Ok(Mode::Host),
            "none" => Ok(Mode::None),
            other => {
                let other = other.strip_prefix("container:").unwrap_or(other);
                let id = self.resolve(other)?;
                let live = self.live(&id)?;
                if !live.record.is_running() {
                    return Err(ControlError::Conflict(format!(
                        "cannot join network of a non running container: {id}"
                    )));
                }
                match &live.record.mode {
                    // Where that one lives: whoever joins a joined one joins the first.
                    Mode::Container(first) => Ok(Mode::Container(first.clone())),
                    Mode::Host => Ok(Mode::Host),
                    Mode::Networks | Mode::None => Ok(Mode::Container(id)),
                }
            }
        }
    }

    fn settle_hostname(&self, record: &mut Container, wished: Option<&str>) -> Result<(), ControlError> {
        record.hostname = match (wished, &record.mode) {
            (Some(name), _) => name.to_owned(),
            (None, Mode::Host) => nix::unistd::gethostname().map_or_else(
                |_| id::short(&record.id).to_owned(),
                |name| name.to_string_lossy().into_owned(),
            ),
            (None, Mode::Container(other)) => self.live(other)?.record.hostname.clone(),
            (None, _) => id::short(&record.id).to_owned(),
        };
        let name = &record.hostname;
        if name.len() > 64 || !is_field(name) || name.contains('/') {
            return Err(ControlError::Invalid(format!("\"{name}\" cannot be a host name")));
        }
        Ok(())
    }

    /// The network namespace of a command.
    fn namespace(&self, record: &Container) -> Result<NetworkNamespace, ControlError> {
        let Mode::Container(other) = &record.mode else {
            return Ok(if record.mode == Mode::Host {
                NetworkNamespace::Host
            } else {
                NetworkNamespace::Own
            });
        };
        let live = self.live(other)?;
        match &live.record.origin {
            Origin::Attach { target, netns } => {
                Ok(NetworkNamespace::Join(Place { target: target.clone(), inode: *netns }))
            }
            Origin::Run { .. } if live.pid > 0 => {
                let target = Target::Pid(live.pid);
                Ok(NetworkNamespace::Join(Place { inode: identity(&target), target }))
            }
            Origin::Run { .. } => Err(ControlError::Conflict(format!(
                "cannot join network of a non running container: {other}"
            ))),
        }
    }

    fn reserve_all(
        &mut self,
        record: &mut Container,
        networks: &[EndpointRequest],
        claims: &Claims,
    ) -> Result<(), ControlError> {
        match record.mode {
            Mode::Container(_) => return Ok(()),
            Mode::Host | Mode::None => {
                let name = if record.mode == Mode::Host { "host" } else { "none" };
                record.endpoints.push(self.bare_endpoint(name)?);
                return Ok(());
            }
            Mode::Networks => {}
        }
        let default = [EndpointRequest { network: "default".into(), ..EndpointRequest::default() }];
        let networks = if networks.is_empty() { &default[..] } else { networks };
        if networks.len() * record.queues > MAX_QUEUES {
            return Err(ControlError::Invalid(format!(
                "{} networks with {} queues each are more than {MAX_QUEUES} queues",
                networks.len(),
                record.queues
            )));
        }
        for request in networks {
            let claimed = self.resolve_network(&request.network).ok();
            let claimed = claimed.and_then(|id| claims.on(&id));
            let endpoint = self.reserve(record, request, claimed)?;
            record.endpoints.push(endpoint);
        }
        self.reserve_way_out(record)
    }

    /// An endpoint on a network that switches nothing: without an interface.
    fn bare_endpoint(&self, name: &str) -> Result<Endpoint, ControlError> {
        Ok(Endpoint {
            id: id::new_id()?,
            network: name.into(),
            network_id: self.resolve_network(name)?,
            wished: EndpointRequest { network: name.into(), ..EndpointRequest::default() },
            interface: String::new(),
            mac: String::new(),
            v4: None,
            v6: None,
            gateway4: None,
            gateway6: None,
            gateway_only: false,
        })
    }

    /// Gives back the addresses of all of a record's endpoints.
    fn give_back(&mut self, record: &Container) {
        for endpoint in &record.endpoints {
            if let Some(network) = self.networks.get_mut(&endpoint.network_id) {
                network.release(&endpoint.addresses());
            }
        }
    }

    /// Reserves an endpoint on one more network: the one that was claimed in the store, where the network is
    /// one of all nodes.
    ///
    /// # Errors
    /// With Docker's sentences; nothing is reserved then.
    pub(super) fn reserve(
        &mut self,
        record: &Container,
        request: &EndpointRequest,
        claimed: Option<&SharedEndpoint>,
    ) -> Result<Endpoint, ControlError> {
        let id = self.resolve_network(&request.network)?;
        let network = self.network_mut(&id)?;
        let Some(fabric) = &network.fabric else {
            return Err(ControlError::Forbidden(format!(
                "container cannot be connected to network {}: it switches nothing",
                network.record.name
            )));
        };
        if record.endpoint_on(&id).is_some() {
            return Err(ControlError::Forbidden(format!(
                "endpoint with name {} already exists in network {}",
                record.name, network.record.name
            )));
        }
        let is_default = network.record.is_default_bridge();
        if is_default && (request.ip.is_some() || request.ip6.is_some()) {
            return Err(ControlError::Invalid(
                "user specified IP address is supported on user defined networks only".into(),
            ));
        }
        if is_default && !request.aliases.is_empty() {
            return Err(no_alias());
        }
        for alias in &request.aliases {
            if alias.len() > 253 || !is_field(alias) || alias.contains('/') {
                return Err(ControlError::Invalid(format!("\"{alias}\" cannot be an alias")));
            }
        }
        if let Some(word) = request.links.iter().find(|word| !is_link(word)) {
            return Err(ControlError::Invalid(format!("invalid link format: {word}")));
        }
        let wished_mac = request.mac_address.as_deref().map(mac_of).transpose()?;
        wished_mac.map_or(Ok(()), |mac| fabric.check_mac(&network.record, mac))?;
        let (endpoint_id, (v4, v6, mac)) = match (claimed, &network.shared) {
            (Some(claimed), Some(_)) => {
                (claimed.id.clone(), (Some(claimed.ipv4), claimed.ipv6, mac_of(&claimed.mac)?))
            }
            (None, None) => (id::new_id()?, network.reserve_addresses(request, wished_mac)?),
            // It came or went at this moment.
            _ => return Err(super::no_network(&request.network)),
        };
        let (gateway4, gateway6) = if network.record.has_way_out() {
            gateways(network.record.ipam.config.iter().filter_map(IpamConfig::default_gateway))
        } else {
            (None, None)
        };
        Ok(Endpoint {
            id: endpoint_id,
            network: network.record.name.clone(),
            network_id: id,
            wished: request.clone(),
            interface: record.free_interface(network.record.interface_prefix()),
            mac: mac.to_string(),
            v4,
            v6,
            gateway4: gateway4.filter(|_| v4.is_some()),
            gateway6: gateway6.filter(|_| v6.is_some()),
            gateway_only: false,
        })
    }

    /// What a helper is told of an endpoint.
    pub(super) fn port_spec(
        &self,
        record: &Container,
        endpoint: &Endpoint,
    ) -> Result<PortSpec, ControlError> {
        let network = self.network(&endpoint.network_id)?;
        let mac = endpoint.mac.parse().map_err(|e| ControlError::Failed(format!("{e}")))?;
        let way_out = record.way_out().is_some_and(|first| first.id == endpoint.id);
        Ok(PortSpec {
            endpoint: endpoint.id.clone(),
            interface: endpoint.interface.clone(),
            mac,
            mtu: network.record.mtu(),
            addresses: endpoint.networks().collect::<Vec<IpNet>>(),
            gateways: if way_out { endpoint.gateways() } else { Vec::new() },
            routes: network.record.routes_of(&endpoint.addresses()),
            queues: record.queues,
        })
    }
}

impl super::Network {
    /// A certain address, or the next one, of the subnets of one IP version; `None` if there are none.
    fn take(
        &mut self,
        wished: Option<IpAddr>,
        v6: bool,
        mac: Option<MacAddr>,
    ) -> Result<Option<IpNet>, PoolError> {
        let mut refusal = wished.map(|_| PoolError::Outside);
        for pool in self.pools.iter_mut().filter(|pool| matches!(pool.subnet(), IpNet::V6(_)) == v6) {
            let taken = match (wished, mac) {
                (Some(address), _) => pool.claim(address).map(|()| address),
                (None, Some(mac)) => pool.allocate_for(mac),
                (None, None) => pool.allocate(),
            };
            match taken {
                Ok(address) => {
                    let net = IpNet::new(address, pool.subnet().prefix_len());
                    return Ok(net.ok());
                }
                Err(PoolError::Outside) => {}
                Err(error) => refusal = Some(error),
            }
        }
        refusal.map_or(Ok(None), Err)
    }

    /// An address of each version that the network has, and the interface's Ethernet address.
    fn reserve_addresses(
        &mut self,
        request: &EndpointRequest,
        wished_mac: Option<MacAddr>,
    ) -> Result<(Option<ipnet::Ipv4Net>, Option<ipnet::Ipv6Net>, MacAddr), NetError> {
        let wished4 = request.ip.map(IpAddr::from);
        let wished6 = request.ip6.map(IpAddr::from);
        let v4 = self.take(wished4, false, None).map_err(|e| self.record.refused(4, wished4, e))?;
        let mac = match (wished_mac, v4) {
            (Some(mac), _) => mac,
            (None, Some(IpNet::V4(net))) => MacAddr::from_ipv4(net.addr()),
            // An address of no subnet, but never twice: the last bytes of the IPv6 address come later.
            (None, _) => MacAddr::from_ipv4(std::net::Ipv4Addr::from(rand_u32())),
        };
        let v6 = match self.take(wished6, true, Some(mac)) {
            Ok(v6) => v6,
            Err(error) => {
                if let Some(net) = v4 {
                    self.release(&[net.addr()]);
                }
                return Err(self.record.refused(6, wished6, error));
            }
        };
        let v4 = if let Some(IpNet::V4(net)) = v4 { Some(net) } else { None };
        let v6 = if let Some(IpNet::V6(net)) = v6 { Some(net) } else { None };
        Ok((v4, v6, mac))
    }
}

fn rand_u32() -> u32 {
    let id = id::new_id().unwrap_or_default();
    id.get(..8).and_then(|hex| u32::from_str_radix(hex, 16).ok()).unwrap_or(1)
}

fn no_alias() -> ControlError {
    ControlError::Invalid(
        "network-scoped alias is supported only for containers in user defined networks".into(),
    )
}
