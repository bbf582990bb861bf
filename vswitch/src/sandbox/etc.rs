//! A container's own files in the place of the host's: hosts, resolv.conf, hostname.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use rustix::fs::CWD;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use super::spec::EtcFiles;

/// Why a file could not take another's place.
#[derive(Debug, thiserror::Error)]
pub enum EtcError {
    /// No mounts of one's own.
    #[error("the mount namespace cannot be set up: {0}")]
    Namespace(Errno),
    /// This one.
    #[error("{file} cannot be mounted over {place}: {errno}")]
    File {
        /// The container's.
        file: PathBuf,
        /// The host's.
        place: &'static str,
        /// Why.
        errno: Errno,
    },
}

fn of(files: &EtcFiles) -> impl Iterator<Item = (&'static str, &Path)> {
    let all = [
        ("/etc/hosts", &files.hosts),
        ("/etc/resolv.conf", &files.resolv_conf),
        ("/etc/hostname", &files.hostname),
    ];
    all.into_iter().filter_map(|(place, file)| Some((place, file.as_deref()?)))
}

/// Keeps what this mount namespace mounts from now on to itself; what the host mounts still comes in.
///
/// # Errors
/// Where the caller may not.
pub fn keep_mounts() -> Result<(), EtcError> {
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_SLAVE | MsFlags::MS_REC, none).map_err(EtcError::Namespace)
}

/// Makes and enters a mount namespace of the caller's own.
///
/// # Errors
/// Where the caller may not.
pub fn own_mounts() -> Result<(), EtcError> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(EtcError::Namespace)?;
    keep_mounts()
}

/// Puts a container's files over the host's in this mount namespace. A system without the file does
/// without it: there is nothing to put this over.
///
/// # Errors
/// What the kernel says, and of which file.
pub fn mount_files(files: &EtcFiles) -> Result<(), EtcError> {
    let none: Option<&str> = None;
    for (place, file) in of(files) {
        match mount(Some(file), place, none, MsFlags::MS_BIND, none) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(EtcError::File { file: file.into(), place, errno }),
        }
    }
    Ok(())
}

/// A container's files on the way into another mount namespace, from which they cannot be seen
/// (open_tree(2)).
pub struct Carried(Vec<(&'static str, PathBuf, OwnedFd)>);

impl Carried {
    /// Takes the files up. Those that are not there are passed over.
    ///
    /// # Errors
    /// What the kernel says, and of which file.
    pub fn new(files: &EtcFiles) -> Result<Self, EtcError> {
        let mut all = Vec::new();
        for (place, file) in of(files) {
            let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            match open_tree(CWD, file, flags) {
                Ok(tree) => all.push((place, file.to_owned(), tree)),
                Err(rustix::io::Errno::NOENT) => {}
                Err(e) => {
                    let errno = Errno::from_raw(e.raw_os_error());
                    return Err(EtcError::File { file: file.into(), place, errno });
                }
            }
        }
        Ok(Self(all))
    }

    /// Puts them over the files of this mount namespace.
    ///
    /// # Errors
    /// What the kernel says, and of which file.
    pub fn put_down(self) -> Result<(), EtcError> {
        for (place, file, tree) in self.0 {
            match move_mount(tree.as_fd(), "", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH) {
                Ok(()) | Err(rustix::io::Errno::NOENT) => {}
                Err(e) => {
                    return Err(EtcError::File { file, place, errno: Errno::from_raw(e.raw_os_error()) });
                }
            }
        }
        Ok(())
    }
}
