//! The daemon's books: which containers there are, where they stand, what they hold.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;
use packet::MacAddr;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::error::ControlError;
use super::id;
use super::network::{Network, NetworkRecord};
use super::record::{Container, Endpoint, Origin, Status};
pub use super::request::{CreateReply, CreateRequest};
use super::shim_link::ShimLink;
use super::store::Store;
use crate::dataplane::tap::tap_port;
use crate::dataplane::{Bridge, Port, PortConfig, PortEvent, Receive, Switch};
use crate::sandbox::spec::{HeldPort, InitSpec, PortSpec, Sandbox, ShimEvent, ShimRequest};
use crate::sandbox::{EXIT_FILE, reaper};

/// How long a shim has to answer; all it does by itself takes milliseconds.
const SHIM_ANSWER: Duration = Duration::from_secs(10);

/// How long a container that was reserved may take to be started.
const RESERVATION: Duration = Duration::from_mins(1);

/// TAP queues of a container unless asked otherwise.
const QUEUES: usize = 1;

/// What whoever waits for a container is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its command has not begun.
    Created,
    /// It runs.
    Running,
    /// Its command has ended with this status.
    Exited(i32),
    /// It is gone; this was the status.
    Removed(i32),
}

struct Live {
    record: Container,
    phase: watch::Sender<Phase>,
    pid: i32,
    shim: i32,
    link: Option<Arc<ShimLink>>,
    port: Option<Arc<Port>>,
    queues: usize,
    /// Its address is its own. Whoever takes this is who gives the address back.
    holds_address: bool,
    /// Somebody starts it.
    starting: bool,
}

/// What a container held on its network, to be given back by whoever took it out of the books.
struct Holdings {
    port: Option<Arc<Port>>,
    link: Option<Arc<ShimLink>>,
    address: Option<Ipv4Addr>,
    network: String,
}

impl Live {
    fn new(record: Container, phase: Phase, queues: usize, holds_address: bool) -> Self {
        let phase = watch::Sender::new(phase);
        Self {
            record,
            phase,
            pid: 0,
            shim: 0,
            link: None,
            port: None,
            queues,
            holds_address,
            starting: false,
        }
    }

    fn take_holdings(&mut self) -> Holdings {
        self.pid = 0;
        self.shim = 0;
        Holdings {
            port: self.port.take(),
            link: self.link.take(),
            address: std::mem::take(&mut self.holds_address).then_some(self.record.endpoint.address),
            network: self.record.endpoint.network.clone(),
        }
    }
}

struct Books {
    containers: HashMap<String, Live>,
    names: BTreeMap<String, String>,
    networks: BTreeMap<String, Network>,
}

/// The daemon, as its API sees it.
pub struct Daemon {
    switch: Switch,
    store: Store,
    data_dir: PathBuf,
    books: Mutex<Books>,
    changed: Notify,
    started: SystemTime,
}

/// A container and what is known of it only while it lives.
#[derive(Clone)]
pub struct ContainerView {
    /// What is kept.
    pub record: Container,
    /// Its first process, 0 if there is none.
    pub pid: i32,
    /// Its shim, 0 if there is none.
    pub shim: i32,
    /// Its port.
    pub port: Option<Arc<Port>>,
}

/// A network at this moment.
#[derive(Clone)]
pub struct NetworkView {
    /// What is kept.
    pub record: NetworkRecord,
    /// Its switching.
    pub bridge: Arc<Bridge>,
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

fn container_key(id: &str) -> String {
    format!("container/{id}")
}

impl Daemon {
    /// Opens the books. Follow with [`Daemon::recover`].
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn new(switch: Switch, store: Store, data_dir: PathBuf) -> Result<Arc<Self>, ControlError> {
        let mut records: Vec<NetworkRecord> = store.list("network/")?;
        if records.is_empty() {
            let record = NetworkRecord::default_bridge(id::new_id()?, now());
            store.put(&format!("network/{}", record.id), &record)?;
            records.push(record);
        }
        let mut networks = BTreeMap::new();
        for record in records {
            let bridge = switch.add_bridge(&crate::dataplane::BridgeConfig::default());
            let name = record.name.clone();
            let network = Network::new(record, bridge).map_err(|e| ControlError::Failed(e.to_string()))?;
            networks.insert(name, network);
        }
        let books = Books { containers: HashMap::new(), names: BTreeMap::new(), networks };
        Ok(Arc::new(Self {
            switch,
            store,
            data_dir,
            books: Mutex::new(books),
            changed: Notify::new(),
            started: SystemTime::now(),
        }))
    }

    /// The dataplane.
    pub fn switch(&self) -> &Switch {
        &self.switch
    }

    /// Where the data are.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Since when this daemon runs.
    pub fn started(&self) -> SystemTime {
        self.started
    }

    /// Something about the containers has changed since the last call. For one listener.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn dir(&self, id: &str) -> PathBuf {
        self.data_dir.join("containers").join(id)
    }

    /// Takes back what an earlier daemon left: running containers with their TAPs, and the books
    /// of those that ended meanwhile.
    ///
    /// # Errors
    /// When the books cannot be read.
    pub async fn recover(self: &Arc<Self>) -> Result<(), ControlError> {
        let records: Vec<Container> = self.store.list("container/")?;
        let mut known: Vec<String> = records.iter().map(|r| r.id.clone()).collect();
        known.sort();
        for record in records {
            let running = record.is_running();
            let id = record.id.clone();
            self.enter(record);
            if !running {
                if self.view(&id).is_ok_and(|v| v.record.status == Status::Created) {
                    self.forget(&id);
                }
                continue;
            }
            if let Err(error) = self.take_back(&id).await {
                tracing::info!("container {} ended while no daemon ran ({error})", id::short(&id));
                let code = std::fs::read_to_string(self.dir(&id).join(EXIT_FILE))
                    .ok()
                    .and_then(|text| text.trim().parse().ok());
                self.finish(&id, code.unwrap_or(137));
            }
        }
        // Directories without a record: a crash between the two.
        if let Ok(dirs) = std::fs::read_dir(self.data_dir.join("containers")) {
            for dir in dirs.flatten() {
                let name = dir.file_name().to_string_lossy().into_owned();
                if known.binary_search(&name).is_err() {
                    let _ = std::fs::remove_dir_all(dir.path());
                }
            }
        }
        Ok(())
    }

    /// Enters a stored record into the books.
    fn enter(&self, record: Container) {
        let mut books = self.books.lock();
        let holds_address = !matches!(record.status, Status::Exited { .. })
            && books
                .networks
                .get_mut(&record.endpoint.network)
                .is_some_and(|network| network.pool.claim(record.endpoint.address).is_ok());
        let phase = match record.status {
            Status::Created => Phase::Created,
            Status::Running { .. } => Phase::Running,
            Status::Exited { code, .. } => Phase::Exited(code),
        };
        books.names.insert(record.name.clone(), record.id.clone());
        books.containers.insert(record.id.clone(), Live::new(record, phase, QUEUES, holds_address));
    }

    async fn take_back(self: &Arc<Self>, id: &str) -> Result<(), ControlError> {
        let link = self.connect(id).await?;
        tokio::spawn(self.clone().follow(id.to_owned(), link));
        Ok(())
    }

    /// Reserves a name, an address and a directory. They are given back when the process `client`
    /// ends before the container was started.
    ///
    /// # Errors
    /// With Docker's sentences; nothing is reserved then.
    pub fn create(
        self: &Arc<Self>,
        request: CreateRequest,
        client: Option<i32>,
    ) -> Result<CreateReply, ControlError> {
        if request.command.is_empty() == request.attach.is_none() {
            return Err(ControlError::Invalid("give either a command or a namespace to attach".into()));
        }
        if let Some(other) =
            request.networks.iter().find(|e| !matches!(e.network.as_str(), "bridge" | "default"))
        {
            return Err(ControlError::NotFound(format!("network {} not found", other.network)));
        }
        let mac = request
            .networks
            .first()
            .and_then(|endpoint| endpoint.mac_address.as_deref())
            .map(|text| match text.parse::<MacAddr>() {
                Ok(mac) if mac.is_multicast() || mac == MacAddr::ZERO => {
                    Err(ControlError::Invalid(format!("{mac} cannot be a station's address")))
                }
                other => other.map_err(|e| ControlError::Invalid(e.to_string())),
            })
            .transpose()?;
        let id = id::new_id()?;
        let hostname = request.hostname.clone().unwrap_or_else(|| id::short(&id).to_owned());
        if hostname.is_empty() || hostname.len() > 64 || hostname.contains(['\0', '\n']) {
            return Err(ControlError::Invalid(format!("\"{hostname}\" cannot be a host name")));
        }
        let dir = self.dir(&id);
        let endpoint_id = id::new_id()?;

        let record = {
            let mut books = self.books.lock();
            let name = books.choose_name(request.name.as_deref(), &id)?;
            let network = books
                .networks
                .get_mut("bridge")
                .ok_or_else(|| ControlError::NotFound("network bridge not found".into()))?;
            let address = network.pool.allocate().map_err(|e| ControlError::Conflict(e.to_string()))?;
            let endpoint = Endpoint {
                id: endpoint_id,
                network: network.record.name.clone(),
                network_id: network.record.id.clone(),
                address,
                prefix: network.record.subnet.prefix_len(),
                gateway: network.record.gateway,
                mac: mac.unwrap_or_else(|| MacAddr::from_ipv4(address)).to_string(),
                interface: "eth0".into(),
            };
            let origin = match request.attach {
                Some(target) => Origin::Attach(target),
                None => Origin::Run {
                    command: request.command,
                    log: request.detached.then(|| dir.join("output.log")),
                },
            };
            let record = Container {
                id: id.clone(),
                name: name.clone(),
                created: now(),
                origin,
                auto_remove: request.auto_remove,
                hostname,
                labels: request.labels,
                status: Status::Created,
                endpoint,
            };
            books.names.insert(name, id.clone());
            let queues = request.queues.unwrap_or(QUEUES).clamp(1, 16);
            books.containers.insert(id.clone(), Live::new(record.clone(), Phase::Created, queues, true));
            record
        };
        let made = super::paths::make_private(&dir).map_err(|e| ControlError::Failed(e.to_string()));
        if let Err(error) = made.and_then(|()| self.keep(&record)) {
            self.forget(&id);
            return Err(error);
        }
        self.expire(id.clone(), client);
        self.changed.notify_one();
        let ports = vec![self.port_spec(&record)?];
        let Container { id, name, hostname, origin, .. } = record;
        let sandbox = match origin {
            Origin::Run { command, log } => Sandbox::Run(InitSpec { argv: command, hostname, log }),
            Origin::Attach(target) => Sandbox::Attach(target),
        };
        Ok(CreateReply { id, name, dir, sandbox, ports, warnings: Vec::new() })
    }

    /// A reservation goes with whoever made it, and after a while in any case.
    fn expire(self: &Arc<Self>, id: String, client: Option<i32>) {
        let daemon = self.clone();
        let pidfd = client
            .and_then(rustix::process::Pid::from_raw)
            .map(|pid| rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()));
        tokio::spawn(async move {
            let Ok(mut phase) = daemon.phase(&id) else { return };
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
            if dropped && daemon.view(&id).is_ok_and(|v| v.record.status == Status::Created) {
                daemon.forget(&id);
            }
        });
    }

    fn port_spec(&self, record: &Container) -> Result<PortSpec, ControlError> {
        let endpoint = &record.endpoint;
        let invalid = |e: &dyn std::fmt::Display| ControlError::Failed(e.to_string());
        let address = ipnet::Ipv4Net::new(endpoint.address, endpoint.prefix).map_err(|e| invalid(&e))?;
        let books = self.books.lock();
        let mtu = books.networks.get(&endpoint.network).map_or(1500, |n| n.record.mtu);
        Ok(PortSpec {
            endpoint: endpoint.id.clone(),
            interface: endpoint.interface.clone(),
            mac: endpoint.mac.parse().map_err(|e| invalid(&e))?,
            mtu,
            addresses: vec![address.into()],
            gateways: vec![endpoint.gateway.into()],
            queues: books.containers.get(&record.id).map_or(QUEUES, |c| c.queues),
        })
    }

    /// Connects to a container's shim and makes its interfaces ports.
    async fn connect(self: &Arc<Self>, id: &str) -> Result<Arc<ShimLink>, ControlError> {
        let lost =
            |e: &dyn std::fmt::Display| ControlError::Failed(format!("the container's shim is gone: {e}"));
        let link = Arc::new(ShimLink::connect(&self.dir(id)).map_err(|e| lost(&e))?);
        link.send(&ShimRequest::Hello).map_err(|e| lost(&e))?;
        let answer = tokio::time::timeout(SHIM_ANSWER, link.recv()).await;
        let (event, fds) = answer.map_err(|_| lost(&"it does not answer"))?.map_err(|e| lost(&e))?;
        let ShimEvent::State { id: theirs, shim, pid, ports, exit, .. } = event else {
            return Err(lost(&"it says something unexpected"));
        };
        if theirs != id || exit.is_some() {
            return Err(lost(&"it is another's, or its command has ended"));
        }
        let (bridge, port) = self.plug(id, &ports, fds)?;
        let mut books = self.books.lock();
        let Some(live) = books.containers.get_mut(id) else {
            drop(books);
            self.switch.remove_port(&bridge, &port);
            return Err(ControlError::NotFound(no_such(id)));
        };
        live.link = Some(link.clone());
        live.port = Some(port.clone());
        live.pid = pid;
        live.shim = shim;
        drop(books);
        // Its event may have come before the books knew the port.
        if port.is_gone() { Err(ControlError::Failed("the namespace was deleted".into())) } else { Ok(link) }
    }

    /// Makes a shim's TAPs ports of their network.
    fn plug(
        &self,
        id: &str,
        held: &[HeldPort],
        fds: Vec<OwnedFd>,
    ) -> Result<(Arc<Bridge>, Arc<Port>), ControlError> {
        let (bridge, owner) = {
            let books = self.books.lock();
            let live = books.containers.get(id).ok_or_else(|| ControlError::NotFound(no_such(id)))?;
            let network = books
                .networks
                .get(&live.record.endpoint.network)
                .ok_or_else(|| ControlError::NotFound("the container's network is gone".into()))?;
            (network.bridge.clone(), live.record.name.clone())
        };
        let [held] = held else {
            return Err(ControlError::Failed("the shim holds no interface".into()));
        };
        if held.queues != fds.len() {
            return Err(ControlError::Failed("the shim's descriptors are not those it names".into()));
        }
        let (transmit, queues) = tap_port(fds, held.offloads)
            .map_err(|e| ControlError::Failed(format!("the TAP cannot be used: {e}")))?;
        let queues = queues.into_iter().map(|q| Box::new(q) as Box<dyn Receive>).collect();
        let config = PortConfig { owner, interface: held.spec.interface.clone(), mtu: held.spec.mtu };
        let port = self
            .switch
            .add_port(&bridge, config, Box::new(transmit), queues)
            .map_err(|e| ControlError::Conflict(e.to_string()))?;
        Ok((bridge, port))
    }

    /// Starts a container whose shim is ready.
    ///
    /// # Errors
    /// The container is gone then.
    pub async fn start(self: &Arc<Self>, id: &str) -> Result<(), ControlError> {
        let id = self.resolve(id)?;
        {
            let mut books = self.books.lock();
            let live = books.containers.get_mut(&id).ok_or_else(|| ControlError::NotFound(no_such(&id)))?;
            if live.record.status != Status::Created || std::mem::replace(&mut live.starting, true) {
                return Err(ControlError::Conflict(format!(
                    "container {} has been started before",
                    id::short(&id)
                )));
            }
        }
        let result = self.start_reserved(&id).await;
        if result.is_err() {
            self.forget(&id);
        }
        result
    }

    async fn start_reserved(self: &Arc<Self>, id: &str) -> Result<(), ControlError> {
        let link = self.connect(id).await?;
        // On disk before the command may do anything: a daemon that dies here finds it again.
        let record = self.update(id, |record| record.status = Status::Running { since: now() })?;
        self.keep(&record)?;
        let gone = |_| ControlError::Failed("the container's shim died".into());
        link.send(&ShimRequest::Start).map_err(gone)?;
        let answer = tokio::time::timeout(SHIM_ANSWER, link.recv()).await;
        let answer =
            answer.map_err(|_| ControlError::Failed("the container's shim does not answer".into()))?;
        match answer.map_err(gone)? {
            (ShimEvent::Started, _) => {}
            (ShimEvent::Failed { message, code }, _) => {
                return Err(ControlError::NotStarted { message, code });
            }
            _ => return Err(ControlError::Failed("the container's shim says something unexpected".into())),
        }
        self.set_phase(id, Phase::Running);
        tokio::spawn(self.clone().follow(id.to_owned(), link));
        self.changed.notify_one();
        Ok(())
    }

    /// Listens to a shim until its container ends.
    async fn follow(self: Arc<Self>, id: String, link: Arc<ShimLink>) {
        let pid = self.view(&id).map_or(0, |view| view.pid);
        let netns = (pid > 0).then(|| reaper::NetnsId::of(pid).ok()).flatten();
        loop {
            match link.recv().await {
                Ok((ShimEvent::Exited(exit), _)) => {
                    self.finish(&id, exit.code);
                    return;
                }
                Ok(_) => {}
                Err(_) => {
                    // The shim died, and its command with it; the command's children are left.
                    if let Some(netns) = netns {
                        let killed = tokio::task::spawn_blocking(move || reaper::kill_all(&netns));
                        let _ = killed.await;
                    }
                    self.finish(&id, 137);
                    return;
                }
            }
        }
    }

    /// Keeps the books of a container whose command has ended.
    fn finish(&self, id: &str, code: i32) {
        let removed = self.view(id).is_ok_and(|v| v.record.auto_remove || v.record.is_attached());
        if removed {
            self.forget_ended(id, Some(code));
            return;
        }
        let Ok(ContainerView { mut record, .. }) = self.view(id) else { return };
        let since = if let Status::Running { since } = record.status { since } else { 0 };
        record.status = Status::Exited { code, since, at: now() };
        // On disk first: a daemon that dies here must not find the address with two. For others to
        // see last: what they are told has ended holds nothing any more.
        if let Err(error) = self.keep(&record) {
            tracing::error!("container {}: {error}", id::short(id));
        }
        self.unplug(id);
        let _ = self.update(id, |ended| ended.status = record.status);
        self.set_phase(id, Phase::Exited(code));
        self.changed.notify_one();
    }

    /// Takes a container off its network: port, address and shim.
    fn unplug(&self, id: &str) {
        let held = self.books.lock().containers.get_mut(id).map(Live::take_holdings);
        if let Some(held) = held {
            self.give_back(held);
        }
    }

    /// The address last: nobody else gets it while a port still has it.
    fn give_back(&self, Holdings { port, link, address, network }: Holdings) {
        if let Some(link) = link {
            let _ = link.send(&ShimRequest::Quit);
        }
        let bridge = self.books.lock().networks.get(&network).map(|n| n.bridge.clone());
        if let (Some(port), Some(bridge)) = (port, bridge) {
            self.switch.remove_port(&bridge, &port);
        }
        if let Some(address) = address
            && let Some(network) = self.books.lock().networks.get_mut(&network)
        {
            network.pool.release(address);
        }
    }

    /// Stores a record, unless its container was forgotten meanwhile.
    fn keep(&self, record: &Container) -> Result<(), ControlError> {
        self.store.put(&container_key(&record.id), record)?;
        if !self.books.lock().containers.contains_key(&record.id) {
            self.store.remove(&container_key(&record.id))?;
        }
        Ok(())
    }

    /// Removes every trace of a container, whatever its state.
    fn forget(&self, id: &str) {
        self.forget_ended(id, None);
    }

    /// The same, of a container that has just ended with this status.
    fn forget_ended(&self, id: &str, code: Option<i32>) {
        let live = {
            let mut books = self.books.lock();
            let mut live = books.containers.remove(id);
            if let Some(live) = &live
                && books.names.get(&live.record.name).is_some_and(|owner| owner == id)
            {
                books.names.remove(&live.record.name);
            }
            live.as_mut().map(Live::take_holdings).zip(live)
        };
        // On disk first: a daemon that dies here must not find the address with two.
        if let Err(error) = self.store.remove(&container_key(id)) {
            tracing::error!("container {}: {error}", id::short(id));
        }
        let live = live.map(|(held, live)| {
            self.give_back(held);
            live
        });
        let _ = std::fs::remove_dir_all(self.dir(id));
        if let Some(live) = live {
            let before = if let Phase::Exited(code) = *live.phase.borrow() { code } else { 0 };
            live.phase.send_replace(Phase::Removed(code.unwrap_or(before)));
        }
        self.changed.notify_one();
    }

    fn update(&self, id: &str, change: impl FnOnce(&mut Container)) -> Result<Container, ControlError> {
        let mut books = self.books.lock();
        let live = books.containers.get_mut(id).ok_or_else(|| ControlError::NotFound(no_such(id)))?;
        change(&mut live.record);
        Ok(live.record.clone())
    }

    fn set_phase(&self, id: &str, phase: Phase) {
        if let Some(live) = self.books.lock().containers.get(id) {
            live.phase.send_replace(phase);
        }
    }

    /// The id that a name, an id or an unambiguous beginning of one stands for.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] with Docker's sentence.
    pub fn resolve(&self, text: &str) -> Result<String, ControlError> {
        let books = self.books.lock();
        let text = text.strip_prefix('/').unwrap_or(text);
        if let Some(id) = books.names.get(text) {
            return Ok(id.clone());
        }
        if books.containers.contains_key(text) {
            return Ok(text.to_owned());
        }
        let mut matching = books.containers.keys().filter(|id| !text.is_empty() && id.starts_with(text));
        match (matching.next(), matching.next()) {
            (Some(id), None) => Ok(id.clone()),
            (Some(_), Some(_)) => {
                Err(ControlError::Invalid(format!("Multiple IDs found with provided prefix: {text}")))
            }
            _ => Err(ControlError::NotFound(no_such(text))),
        }
    }

    /// One container.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub fn view(&self, text: &str) -> Result<ContainerView, ControlError> {
        let id = self.resolve(text)?;
        let books = self.books.lock();
        books.containers.get(&id).map(view).ok_or_else(|| ControlError::NotFound(no_such(text)))
    }

    /// All containers, the newest first.
    pub fn views(&self) -> Vec<ContainerView> {
        let mut all: Vec<_> = self.books.lock().containers.values().map(view).collect();
        all.sort_by(|a, b| (b.record.created, &b.record.id).cmp(&(a.record.created, &a.record.id)));
        all
    }

    /// All networks, by name.
    pub fn networks(&self) -> Vec<NetworkView> {
        self.books.lock().networks.values().map(network_view).collect()
    }

    /// One network, by name, id, beginning of an id, or its bridge's name.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] with Docker's sentence.
    pub fn network(&self, text: &str) -> Result<NetworkView, ControlError> {
        let books = self.books.lock();
        if let Some(network) = books.networks.get(text) {
            return Ok(network_view(network));
        }
        books
            .networks
            .values()
            .find(|n| n.record.bridge_name == text || !text.is_empty() && n.record.id.starts_with(text))
            .map(network_view)
            .ok_or_else(|| ControlError::NotFound(format!("network {text} not found")))
    }

    /// Sets and keeps a network's ageing time.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub fn set_ageing(&self, network: &str, seconds: u32) -> Result<(), ControlError> {
        let NetworkView { record, bridge } = self.network(network)?;
        let record = {
            let mut books = self.books.lock();
            let network = books
                .networks
                .get_mut(&record.name)
                .ok_or_else(|| ControlError::NotFound(format!("network {network} not found")))?;
            network.record.ageing = seconds;
            network.record.clone()
        };
        self.store.put(&format!("network/{}", record.id), &record)?;
        bridge.fdb().set_ageing(seconds);
        Ok(())
    }

    /// How a container's phase changes.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub fn phase(&self, text: &str) -> Result<watch::Receiver<Phase>, ControlError> {
        let id = self.resolve(text)?;
        let books = self.books.lock();
        let live = books.containers.get(&id).ok_or_else(|| ControlError::NotFound(no_such(text)))?;
        Ok(live.phase.subscribe())
    }

    /// Sends a running command a signal.
    ///
    /// # Errors
    /// When it does not run, or is not ours.
    pub fn kill(&self, text: &str, signal: Signal) -> Result<(), ControlError> {
        let id = self.resolve(text)?;
        let books = self.books.lock();
        let live = books.containers.get(&id).ok_or_else(|| ControlError::NotFound(no_such(text)))?;
        if live.record.is_attached() {
            return Err(attached(&live.record));
        }
        let link = live
            .link
            .as_ref()
            .ok_or_else(|| ControlError::Conflict(format!("Container {id} is not running")))?;
        link.send(&ShimRequest::Signal(signal as i32)).map_err(|e| ControlError::Failed(e.to_string()))
    }

    /// Ends a command: first asks it to, after `grace` it is killed.
    ///
    /// # Errors
    /// When it is not ours, or does not end even so.
    pub async fn stop(&self, text: &str, grace: Duration) -> Result<(), ControlError> {
        let id = self.resolve(text)?;
        let mut phase = self.phase(&id)?;
        if !matches!(*phase.borrow(), Phase::Running) {
            return Ok(());
        }
        for (signal, patience) in [(Signal::SIGTERM, grace), (Signal::SIGKILL, SHIM_ANSWER)] {
            if patience.is_zero() {
                continue;
            }
            // Refused when it ends by itself at this moment: then there is nothing but to wait.
            let _ = self.kill(&id, signal);
            if tokio::time::timeout(patience, ended(&mut phase)).await.is_ok() {
                return Ok(());
            }
        }
        Err(ControlError::Failed(format!("container {} does not end", id::short(&id))))
    }

    /// Removes a container; a running one only with `force`.
    ///
    /// # Errors
    /// With Docker's sentence when it runs.
    pub async fn remove(&self, text: &str, force: bool) -> Result<(), ControlError> {
        // Not the view as a whole: its port keeps the TAP.
        let record = self.view(text)?.record;
        let id = record.id.clone();
        if record.is_running() {
            if !force {
                return Err(ControlError::Conflict(format!(
                    "You cannot remove a running container {id}. Stop the container before attempting removal \
                     or force remove"
                )));
            }
            if record.is_attached() {
                self.detach(&id).await?;
            } else {
                self.stop(&id, Duration::ZERO).await?;
            }
        }
        self.forget(&id);
        Ok(())
    }

    /// Gives an attached namespace back as it was.
    ///
    /// # Errors
    /// When the container is not an attached one.
    pub async fn detach(&self, text: &str) -> Result<(), ControlError> {
        let (id, link) = {
            let id = self.resolve(text)?;
            let books = self.books.lock();
            let live = books.containers.get(&id).ok_or_else(|| ControlError::NotFound(no_such(text)))?;
            if !live.record.is_attached() {
                return Err(ControlError::Conflict(format!(
                    "container {} was started with `run`: end it with `vswitch stop {}`",
                    live.record.name, live.record.name
                )));
            }
            (id, live.link.clone())
        };
        self.finish(&id, 0);
        // The shim closes the channel after the TAP: then the interface's name is free.
        if let Some(link) = link {
            let closed = async { while link.recv().await.is_ok() {} };
            let _ = tokio::time::timeout(SHIM_ANSWER, closed).await;
        }
        Ok(())
    }

    /// What a worker saw.
    pub fn port_event(&self, event: PortEvent) {
        let PortEvent::Gone { port, .. } = event;
        let owner = {
            let books = self.books.lock();
            let found = books.containers.values().find(|c| c.port.as_ref().is_some_and(|p| p.uid() == port));
            found.map(|c| (c.record.id.clone(), c.record.is_attached()))
        };
        // A command's own end comes from its shim, with its exit status.
        if let Some((id, true)) = owner {
            tracing::info!("the namespace of container {} was deleted", id::short(&id));
            self.finish(&id, 0);
        }
    }

    /// Containers that hold something.
    pub fn active(&self) -> usize {
        let books = self.books.lock();
        books.containers.values().filter(|c| !matches!(c.record.status, Status::Exited { .. })).count()
    }

    /// Ends every container, all at once.
    pub async fn stop_all(self: &Arc<Self>) {
        let mut tasks = tokio::task::JoinSet::new();
        for record in self.views().into_iter().map(|view| view.record) {
            let daemon = self.clone();
            tasks.spawn(async move {
                let id = &record.id;
                // One that is just being started runs before it can be stopped.
                if let Ok(mut phase) = daemon.phase(id) {
                    let begun = phase.wait_for(|phase| *phase != Phase::Created);
                    let _ = tokio::time::timeout(SHIM_ANSWER, begun).await;
                }
                let result = if record.is_attached() {
                    daemon.detach(id).await
                } else {
                    daemon.stop(id, Duration::from_secs(10)).await
                };
                if let Err(error) = result {
                    tracing::warn!("container {}: {error}", id::short(id));
                }
            });
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Frees the places of stations that have aged. Returns when the next look is due.
    pub fn sweep(&self) -> Option<Duration> {
        let now = Switch::now();
        let mut next = None;
        for NetworkView { bridge, .. } in self.networks() {
            bridge.fdb().sweep(now);
            if !bridge.fdb().is_empty() {
                next = Some(Duration::from_secs(30));
            }
        }
        next
    }
}

/// Waits until a container no longer runs.
pub async fn ended(phase: &mut watch::Receiver<Phase>) -> i32 {
    match phase.wait_for(|p| matches!(p, Phase::Exited(_) | Phase::Removed(_))).await.as_deref() {
        Ok(Phase::Exited(code) | Phase::Removed(code)) => *code,
        _ => 0,
    }
}

impl Books {
    fn choose_name(&self, wished: Option<&str>, id: &str) -> Result<String, ControlError> {
        let Some(name) = wished else {
            let free = (0..1000).map(|n| id::generated_name(id, n)).find(|n| !self.names.contains_key(n));
            return free
                .ok_or_else(|| ControlError::Conflict("no name is free: give one with --name".into()));
        };
        if !id::is_valid_name(name) {
            return Err(ControlError::Invalid(format!(
                "Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
            )));
        }
        if let Some(owner) = self.names.get(name) {
            return Err(ControlError::Conflict(format!(
                "Conflict. The container name \"/{name}\" is already in use by container \"{owner}\". You have to \
                 remove (or rename) that container to be able to reuse that name."
            )));
        }
        Ok(name.to_owned())
    }
}

fn attached(record: &Container) -> ControlError {
    ControlError::Conflict(format!(
        "the processes of {} are not vswitch's: take it off the network with `vswitch detach {}`",
        record.name, record.name
    ))
}

fn no_such(text: &str) -> String {
    format!("No such container: {text}")
}

fn view(live: &Live) -> ContainerView {
    ContainerView { record: live.record.clone(), pid: live.pid, shim: live.shim, port: live.port.clone() }
}

fn network_view(network: &Network) -> NetworkView {
    NetworkView { record: network.record.clone(), bridge: network.bridge.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataplane::SwitchConfig;

    fn daemon(dir: &Path) -> Arc<Daemon> {
        std::fs::create_dir(dir.join("containers")).unwrap();
        let events: crate::dataplane::worker::EventSink = Arc::new(|_| {});
        let switch = Switch::new(&SwitchConfig { workers: 1, busy_poll: Duration::ZERO }, &events).unwrap();
        let store = Store::open(&dir.join("db")).unwrap();
        Daemon::new(switch, store, dir.to_owned()).unwrap()
    }

    fn create(daemon: &Arc<Daemon>, name: &str) -> (String, Ipv4Addr) {
        let request = serde_json::json!({"Name": name, "Command": ["true"], "AutoRemove": true});
        let reply = daemon.create(serde_json::from_value(request).unwrap(), None).unwrap();
        (reply.id.clone(), daemon.view(&reply.id).unwrap().record.endpoint.address)
    }

    #[tokio::test]
    async fn an_address_is_given_back_once() {
        let dir = tempfile::tempdir().unwrap();
        let daemon = daemon(dir.path());
        let (first, address) = create(&daemon, "first");
        daemon.update(&first, |record| record.status = Status::Running { since: 1 }).unwrap();
        // Two that end it at once, and a third who gets its address in between.
        daemon.unplug(&first);
        assert_eq!(create(&daemon, "second").1, address);
        daemon.finish(&first, 0);
        daemon.forget(&first);
        assert_ne!(create(&daemon, "third").1, address);
    }

    #[tokio::test]
    async fn a_record_that_is_kept_too_late_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let daemon = daemon(dir.path());
        let (id, _) = create(&daemon, "first");
        let record = daemon.view(&id).unwrap().record;
        daemon.forget(&id);
        daemon.keep(&record).unwrap();
        assert!(daemon.store.list::<Container>("container/").unwrap().is_empty());
    }
}
