//! The daemon's life: lock, listen, serve, end.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nat::config::TcpTuning;
use nat::engine::NewEngineError;
use nix::fcntl::{Flock, FlockArg};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};

use super::api;
use super::daemon::{Daemon, HostSide, Sharing, TunnelConfig, Tunnels};
use super::error::ControlError;
use super::store::{Store, StoreError};
use crate::dataplane::{PortEvent, Switch, SwitchConfig};
use crate::outside::{Outside, OutsideError};

/// What the daemon is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens.
    pub socket: PathBuf,
    /// Where its data are.
    pub data_dir: PathBuf,
    /// How frames are carried.
    pub switch: SwitchConfig,
    /// It ends by itself this long after the last container left.
    pub idle_exit: Option<Duration>,
    /// Where networks of all nodes are kept.
    pub sharing: Option<Sharing>,
    /// How other hosts reach this one.
    pub tunnels: TunnelConfig,
    /// Containers outlive an orderly end, as with Docker's flag of this name.
    pub live_restore: bool,
    /// How the host appears to containers.
    pub host: HostSide,
    /// Congestion control of TCP towards the outside; `None` for the host's.
    pub congestion: Option<Box<str>>,
}

/// Why the daemon could not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Another daemon has the data directory.
    #[error("another daemon uses the data directory {0}: stop it, or give this one its own with --data-dir")]
    DataDirInUse(PathBuf),
    /// TCP cannot be as was asked for.
    #[error(transparent)]
    Outside(#[from] NewEngineError),
    /// Another daemon has the socket.
    #[error("another daemon listens on {0}: use it, or give this one its own socket with -H unix://PATH")]
    SocketInUse(PathBuf),
    /// Something else has the socket's path.
    #[error("{0} is there and is not a socket: remove it, or choose another path with -H unix://PATH")]
    NotASocket(PathBuf),
    /// A path cannot be used.
    #[error("{path} cannot be {what}: {error}")]
    Path {
        /// Which.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        error: std::io::Error,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The books.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// Threads, timers, signals.
    #[error("the system refuses what a daemon needs: {0}")]
    System(#[from] std::io::Error),
}

/// Runs the daemon until it is told to end. `ready` is called when it listens.
///
/// # Errors
/// [`ServeError`] as a sentence for people.
pub fn run(config: &Config, ready: impl FnOnce()) -> Result<(), ServeError> {
    let _lock = lock(&config.data_dir)?;
    let descriptors = raise_descriptor_limit();
    let store = Store::open(&config.data_dir.join("vswitch.redb"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(serve(config, store, descriptors, ready));
    // Captures of clients that never go must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// A container takes two or three descriptors, and the usual soft limit of 1024 is for programs
/// that use select(2). The daemon starts no program that would inherit it. Returns what it may have now.
fn raise_descriptor_limit() -> u64 {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
    // Without a limit there is one all the same: the kernel's own for a process.
    getrlimit(Resource::Nofile).current.unwrap_or(1 << 20)
}

fn lock(dir: &Path) -> Result<Flock<File>, ServeError> {
    let failed = |what| move |error| ServeError::Path { path: dir.to_owned(), what, error };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed("made"))?;
    let containers = dir.join("containers");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(containers).map_err(failed("used"))?;
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(dir.join("lock"))
        .map_err(failed("used"))?;
    let mut lock = Flock::lock(file, FlockArg::LockExclusiveNonblock)
        .map_err(|_| ServeError::DataDirInUse(dir.to_owned()))?;
    let _ = lock.set_len(0);
    let _ = writeln!(lock, "{}", std::process::id());
    Ok(lock)
}

/// Takes the socket's path: a stale socket is replaced, a live one is not.
fn listen(path: &Path) -> Result<(UnixListener, Flock<File>), ServeError> {
    let failed = |what| move |error| ServeError::Path { path: path.to_owned(), what, error };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed("made"))?;
    }
    // Two daemons that find the same stale socket must not both replace it.
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    // For nobody else: whoever may open it may lock it.
    let guard = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path.with_file_name(name))
        .map_err(failed("locked"))?;
    let guard = Flock::lock(guard, FlockArg::LockExclusiveNonblock)
        .map_err(|_| ServeError::SocketInUse(path.to_owned()))?;
    match fs::symlink_metadata(path) {
        Ok(m) => {
            use std::os::unix::fs::FileTypeExt;
            if !m.file_type().is_socket() {
                return Err(ServeError::NotASocket(path.to_owned()));
            }
            if StdUnixStream::connect(path).is_ok() {
                return Err(ServeError::SocketInUse(path.to_owned()));
            }
            fs::remove_file(path).map_err(failed("replaced"))?;
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(failed("used")(e)),
    }
    // From the first moment: who connects before a chmod is connected after it.
    let mask = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(path);
    rustix::process::umask(mask);
    Ok((listener.map_err(failed("listened on"))?, guard))
}

async fn serve(
    config: &Config,
    store: Store,
    descriptors: u64,
    ready: impl FnOnce(),
) -> Result<(), ServeError> {
    // First of all: whoever can reach the socket can rely on an orderly end.
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (events, mut happened) = tokio::sync::mpsc::unbounded_channel::<PortEvent>();
    let sink: crate::dataplane::worker::EventSink = Arc::new(move |event| {
        let _ = events.send(event);
    });
    let switch = Switch::new(&config.switch, &sink)?;
    let resolver = crate::names::Resolver::new(crate::names::Config::default());
    let translation = nat::config::Config {
        own_address: Some(crate::outside::own_address),
        limits: crate::outside::limits(descriptors),
        tcp: TcpTuning { congestion: config.congestion.clone(), ..TcpTuning::default() },
        ..nat::config::Config::default()
    };
    let outside = match Outside::new(&switch, &translation) {
        Ok(outside) => Some(outside),
        // What was asked for is done or refused.
        Err(OutsideError::Engine(error @ NewEngineError::Congestion { .. })) => return Err(error.into()),
        Err(error) => {
            tracing::warn!("containers cannot reach the outside: {error}");
            None
        }
    };
    let tunnels = Tunnels::new(config.tunnels.clone());
    let daemon =
        Daemon::new(switch, store, config.data_dir.clone(), resolver, outside, config.host, tunnels)?;
    let (listener, socket_lock) = listen(&config.socket)?;
    daemon.recover().await?;
    if let Some(sharing) = &config.sharing {
        daemon.share(sharing.clone())?;
    }

    let listening =
        tokio::spawn(api::connection::serve(listener, daemon.clone(), api::Limits::within(descriptors)));
    ready();
    tracing::info!("listening on {}", config.socket.display());

    let mut sweep = None;
    loop {
        let idle = config.idle_exit.filter(|_| daemon.active() == 0);
        tokio::select! {
            _ = term.recv() => break,
            _ = int.recv() => break,
            Some(event) = happened.recv() => {
                let daemon = daemon.clone();
                // Removing a port waits for the workers.
                tokio::task::spawn_blocking(move || daemon.port_event(event));
            }
            () = daemon.changed() => {
                if sweep.is_none() {
                    sweep = Some(Duration::from_secs(30));
                }
            }
            () = sleep(sweep) => sweep = daemon.sweep(),
            () = sleep(idle) => {
                if daemon.active() == 0 {
                    tracing::info!("no container left, ending");
                    break;
                }
            }
        }
    }
    listening.abort();
    let _ = listening.await;
    if !config.live_restore {
        daemon.stop_all().await;
    }
    daemon.stop_sharing(config.live_restore).await;
    let _ = fs::remove_file(&config.socket);
    drop(socket_lock);
    Ok(())
}

/// Sleeps that long, or for ever.
async fn sleep(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}
