//! Entering namespaces and making new ones (namespaces(7), user_namespaces(7)).

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};

use super::spec::{NetworkNamespace, Place, Target};
use crate::sys::nsfd;

/// Why a namespace could not be entered or made.
#[derive(Debug, thiserror::Error)]
pub enum NsError {
    /// There is no such process.
    #[error("no process has the id {0}")]
    NoProcess(i32),
    /// There is nothing at this path.
    #[error("there is no network namespace at {0}: `ip netns list` shows those that are")]
    NoNamespace(PathBuf),
    /// Something else is at this path.
    #[error("{0} is not a network namespace")]
    NotANamespace(PathBuf),
    /// It is not the one that was meant.
    #[error("the namespace at {0} is another one than before: the one that was attached is gone")]
    Another(PathBuf),
    /// It belongs to somebody else.
    #[error("{what} belongs to another user: only its owner or root may attach it ({errno})")]
    NotOwner {
        /// Which one.
        what: String,
        /// What the kernel said.
        errno: Errno,
    },
    /// The kernel does not let this user make user namespaces.
    #[error("this system does not let you make user namespaces: {0}")]
    UserNamespaces(String),
    /// Another system call failed.
    #[error("{what}: {errno}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the kernel said.
        errno: Errno,
    },
}

fn errno(e: &std::io::Error) -> Errno {
    Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO))
}

/// Opens a network namespace.
///
/// # Errors
/// [`NsError`] says what is wrong with the target.
pub fn open(place: &Place) -> Result<OwnedFd, NsError> {
    let target = &place.target;
    let path = match target {
        Target::Pid(pid) => PathBuf::from(format!("/proc/{pid}/ns/net")),
        Target::Netns(path) => path.clone(),
    };
    let file = File::open(&path).map_err(|e| match (errno(&e), target) {
        (Errno::ENOENT | Errno::ESRCH, Target::Pid(pid)) => NsError::NoProcess(*pid),
        (Errno::ENOENT | Errno::ENOTDIR, Target::Netns(path)) => NsError::NoNamespace(path.clone()),
        (errno @ (Errno::EACCES | Errno::EPERM), _) => {
            NsError::NotOwner { what: path.display().to_string(), errno }
        }
        (errno, _) => NsError::System { what: "the namespace cannot be opened", errno },
    })?;
    if !nsfd::is_netns(file.as_fd()) {
        return Err(NsError::NotANamespace(path));
    }
    if let Some(inode) = place.inode {
        let seen = file.metadata().map_err(|e| NsError::System {
            what: "the namespace cannot be told from others",
            errno: errno(&e),
        })?;
        if (seen.dev(), seen.ino()) != inode {
            return Err(NsError::Another(path));
        }
    }
    Ok(file.into())
}

fn same(a: &OwnedFd, path: &str) -> bool {
    let id = |m: fs::Metadata| (m.dev(), m.ino());
    let ours = fs::metadata(path).map(id);
    let theirs = a.try_clone().map(File::from).and_then(|f| f.metadata()).map(id);
    matches!((ours, theirs), (Ok(a), Ok(b)) if a == b)
}

/// Joins the user namespace that owns `netns`, unless the caller is already in it or is root and
/// needs not. Only a process with a single thread can.
///
/// # Errors
/// [`NsError::NotOwner`].
pub fn enter_owner(netns: &OwnedFd) -> Result<(), NsError> {
    let not_owner = |errno| NsError::NotOwner { what: "the namespace".to_owned(), errno };
    let owner = nsfd::owner_of(netns.as_fd()).map_err(not_owner)?;
    // Capabilities reach into every user namespace below one's own.
    if same(&owner, "/proc/self/ns/user") || is_admin() {
        return Ok(());
    }
    setns(owner, CloneFlags::CLONE_NEWUSER).map_err(not_owner)
}

/// Whether the caller has the rights to enter a namespace as it is: they reach into every user
/// namespace below its own.
pub fn may_enter(netns: &OwnedFd) -> bool {
    is_admin() && nsfd::owner_of(netns.as_fd()).is_ok()
}

/// Whether the caller may administer its own user namespace.
pub fn is_admin() -> bool {
    use rustix::thread::{CapabilitySet, capabilities};
    capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN))
}

/// Joins a network namespace.
///
/// # Errors
/// [`NsError`].
pub fn enter(netns: &OwnedFd) -> Result<(), NsError> {
    setns(netns, CloneFlags::CLONE_NEWNET).map_err(|errno| match errno {
        Errno::EPERM => NsError::NotOwner { what: "the namespace".to_owned(), errno },
        Errno::EINVAL => NsError::NotANamespace(PathBuf::from("the given path")),
        errno => NsError::System { what: "the network namespace cannot be entered", errno },
    })
}

/// Makes an empty network namespace and enters it.
///
/// # Errors
/// [`NsError`].
pub fn unshare_net() -> Result<(), NsError> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| match errno {
        Errno::ENOSPC => NsError::UserNamespaces(
            "the limit of network namespaces is reached, raise it with `sysctl user.max_net_namespaces=N`"
                .into(),
        ),
        // Not even with the rights that the target's owner has.
        Errno::EPERM => NsError::NotOwner { what: "the namespace".to_owned(), errno },
        errno => NsError::System { what: "a network namespace cannot be made", errno },
    })
}

/// Makes and enters the namespaces of a container: mount, UTS, network unless it is to see
/// another's, and a user namespace in which the caller is root, unless it already may do without.
///
/// # Errors
/// [`NsError::UserNamespaces`] names the setting that forbids it.
pub fn unshare_container(network: &NetworkNamespace) -> Result<(), NsError> {
    let mut flags = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS;
    match network {
        NetworkNamespace::Own => flags |= CloneFlags::CLONE_NEWNET,
        NetworkNamespace::Host => {}
        NetworkNamespace::Join(place) => {
            let target = open(place)?;
            enter_owner(&target)?;
            enter(&target)?;
            // Root now, there if not everywhere: no further user namespace is needed.
            return unshare(flags)
                .map_err(|errno| NsError::System { what: "namespaces cannot be made", errno });
        }
    }
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    if uid.is_root() {
        match unshare(flags) {
            // root without CAP_SYS_ADMIN, as in most containers: go on as any user.
            Err(Errno::EPERM) => {}
            Err(Errno::ENOSPC) => return Err(NsError::UserNamespaces(forbidden(Errno::ENOSPC))),
            Err(errno) => return Err(NsError::System { what: "namespaces cannot be made", errno }),
            Ok(()) => return Ok(()),
        }
    }
    unshare(flags | CloneFlags::CLONE_NEWUSER).map_err(|errno| NsError::UserNamespaces(forbidden(errno)))?;
    // user_namespaces(7): without privileges setgroups must be given up before the group map.
    let map = |file: &str, text: String| {
        fs::write(Path::new("/proc/self").join(file), text)
            .map_err(|e| NsError::UserNamespaces(forbidden(errno(&e))))
    };
    map("setgroups", "deny".into())?;
    map("uid_map", format!("0 {uid} 1"))?;
    map("gid_map", format!("0 {gid} 1"))
}

/// Which setting is it, and what can be done?
fn forbidden(errno: Errno) -> String {
    let setting = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    if setting("/proc/sys/kernel/unprivileged_userns_clone").as_deref() == Some("0") {
        return "kernel.unprivileged_userns_clone is 0; as root, `sysctl kernel.unprivileged_userns_clone=1`"
            .into();
    }
    if setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").as_deref() == Some("1")
        && matches!(errno, Errno::EPERM | Errno::EACCES)
    {
        return "AppArmor restricts them (kernel.apparmor_restrict_unprivileged_userns is 1); as root, \
                `sysctl kernel.apparmor_restrict_unprivileged_userns=0`, or give the vswitch binary an AppArmor \
                profile with the `userns` rule"
            .into();
    }
    if errno == Errno::ENOSPC {
        for name in ["max_user_namespaces", "max_net_namespaces", "max_mnt_namespaces", "max_uts_namespaces"]
        {
            if setting(&format!("/proc/sys/user/{name}")).as_deref() == Some("0") {
                return format!("user.{name} is 0; as root, `sysctl user.{name}=10000`");
            }
        }
        return "a limit of namespaces is reached; as root, raise user.max_user_namespaces and \
                user.max_net_namespaces with `sysctl`"
            .into();
    }
    if nix::unistd::geteuid().is_root() && errno == Errno::EPERM {
        return "this root lacks CAP_SYS_ADMIN, and CAP_SETFCAP to do without: run as an ordinary user, or give \
                it one of the two"
            .into();
    }
    format!(
        "{errno}; a container's seccomp profile or a security module forbids it (as root it needs no user namespace)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_that_are_no_namespaces_are_told_apart() {
        assert!(matches!(open(&Target::Pid(i32::MAX).into()), Err(NsError::NoProcess(_))));
        assert!(matches!(
            open(&Target::Netns("/nonexistent/ns".into()).into()),
            Err(NsError::NoNamespace(_))
        ));
        for other in ["/proc/self/status", "/proc/self/ns/uts"] {
            assert!(
                matches!(open(&Target::Netns(other.into()).into()), Err(NsError::NotANamespace(_))),
                "{other}"
            );
        }
        assert!(open(&Target::Pid(std::process::id() as i32).into()).is_ok());
    }

    #[test]
    fn a_namespace_that_took_anothers_place_is_refused() {
        let target = Target::Pid(std::process::id() as i32);
        let seen = fs::metadata("/proc/self/ns/net").unwrap();
        let place = |inode| Place { target: target.clone(), inode: Some((seen.dev(), inode)) };
        assert!(open(&place(seen.ino())).is_ok());
        assert!(matches!(open(&place(seen.ino() + 1)), Err(NsError::Another(_))));
    }
}
