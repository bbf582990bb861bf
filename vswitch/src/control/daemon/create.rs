//! Reserving what a container needs, before anything of it exists.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::draft::draft;
use super::etc::is_field;
use super::reserve::no_alias;
use super::shared::Claims;
use super::{Books, Daemon, Live, Phase};
use crate::control::error::ControlError;
use crate::control::id;
use crate::control::record::{Container, Endpoint, Mode, Origin, Status};
use crate::control::request::{CreateReply, CreateRequest, EndpointRequest};
use crate::sandbox::spec::{EtcFiles, InitSpec, NetworkNamespace, Place, PortSpec, Sandbox, Target};

/// How long a container that was reserved may take to be started.
const RESERVATION: Duration = Duration::from_mins(1);

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

/// Device and inode of a namespace, while it can be seen.
pub(super) fn identity(target: &Target) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let path = match target {
        Target::Pid(pid) => format!("/proc/{pid}/ns/net").into(),
        Target::Netns(path) => path.clone(),
    };
    std::fs::metadata(path).ok().map(|m| (m.dev(), m.ino()))
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
