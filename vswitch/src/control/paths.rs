//! Where the daemon listens and keeps its data unless told otherwise.

use std::env;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

/// Why a default place cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PathError {
    /// Somebody else owns the directory under /tmp.
    #[error("{0} belongs to another user or is open to others: remove it, or set XDG_RUNTIME_DIR")]
    NotOurs(PathBuf),
    /// It cannot be made.
    #[error("{path} cannot be made: {error}")]
    Make {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The address is not one of a unix socket.
    #[error("\"{0}\" is no address of a daemon: write unix:///path/to/vswitch.sock")]
    Scheme(String),
}

fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute())
}

/// The directory for what lives as long as the user's session.
///
/// # Errors
/// [`PathError`] where it has to be made under /tmp and cannot.
pub fn runtime_dir() -> Result<PathBuf, PathError> {
    if geteuid().is_root() {
        return Ok("/run".into());
    }
    if let Some(dir) = variable("XDG_RUNTIME_DIR").filter(|dir| dir.is_dir()) {
        return Ok(dir);
    }
    let dir = PathBuf::from(format!("/tmp/vswitch-{}", geteuid()));
    make_private(&dir)?;
    Ok(dir)
}

/// Makes a directory that only its owner may enter, or checks that it is one.
///
/// # Errors
/// [`PathError`].
pub fn make_private(dir: &Path) -> Result<(), PathError> {
    match std::fs::DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => return Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(PathError::Make { path: dir.to_owned(), error }),
    }
    let m =
        std::fs::symlink_metadata(dir).map_err(|error| PathError::Make { path: dir.to_owned(), error })?;
    // No bit for the group or others.
    if m.is_dir() && m.uid() == geteuid().as_raw() && m.mode().trailing_zeros() >= 6 {
        Ok(())
    } else {
        Err(PathError::NotOurs(dir.to_owned()))
    }
}

/// The daemon's socket: `host` if given (`unix://PATH` or a path), else VSWITCH_HOST, else the default.
///
/// # Errors
/// [`PathError`].
pub fn socket(host: Option<&str>) -> Result<PathBuf, PathError> {
    let Some(host) = host else { return Ok(runtime_dir()?.join("vswitch.sock")) };
    let path = match host.split_once("://") {
        Some(("unix", path)) => path,
        Some(_) => return Err(PathError::Scheme(host.to_owned())),
        None => host,
    };
    if path.is_empty() || path.contains('\0') {
        return Err(PathError::Scheme(host.to_owned()));
    }
    Ok(std::path::absolute(path).unwrap_or_else(|_| path.into()))
}

/// The data directory, `given` or the default.
///
/// # Errors
/// [`PathError`].
pub fn data_dir(given: Option<&Path>) -> Result<PathBuf, PathError> {
    if let Some(dir) = given {
        return Ok(std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned()));
    }
    if geteuid().is_root() {
        return Ok("/var/lib/vswitch".into());
    }
    if let Some(dir) = variable("XDG_DATA_HOME") {
        return Ok(dir.join("vswitch"));
    }
    match variable("HOME").filter(|home| home.is_dir()) {
        Some(home) => Ok(home.join(".local/share/vswitch")),
        None => Ok(runtime_dir()?.join("vswitch-data")),
    }
}
