//! Sandboxes: network namespaces and the processes around them.
//!
//! ```text
//! daemon ---- shim.sock ---- shim ---- init, which becomes the command
//!                              `------ helper, for each interface
//! ```

pub mod channel;
pub mod etc;
pub mod helper;
pub mod init;
pub mod netlink;
pub mod ns;
pub mod reaper;
pub mod shim;
pub mod spec;

use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, socket};

use crate::sys::passing;
use channel::Channel;

/// A shim's socket within its container's directory.
pub const SOCKET_FILE: &str = "shim.sock";

/// Where a shim leaves the command's exit status.
pub const EXIT_FILE: &str = "exit";

/// The address of a socket in a directory of any depth: a unix socket's own path may have 107
/// bytes only, so it is reached through the open directory.
fn address(dir: &Path) -> Result<(File, UnixAddr), Errno> {
    let errno = |e: std::io::Error| Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO));
    let open = File::open(dir).map_err(errno)?;
    let addr = UnixAddr::new(format!("/proc/self/fd/{}/{SOCKET_FILE}", open.as_raw_fd()).as_str())?;
    Ok((open, addr))
}

fn seqpacket() -> Result<OwnedFd, Errno> {
    socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)
}

pub(crate) fn listen(dir: &Path) -> Result<OwnedFd, Errno> {
    let _ = fs::remove_file(dir.join(SOCKET_FILE));
    let (_open, addr) = address(dir)?;
    let fd = seqpacket()?;
    bind(fd.as_raw_fd(), &addr)?;
    nix::sys::socket::listen(&fd, Backlog::new(8)?)?;
    Ok(fd)
}

pub(crate) fn accept(listener: &OwnedFd) -> Result<Channel, Errno> {
    passing::accept(listener).map(Channel::from)
}

/// Connects to the shim whose container has this directory.
///
/// # Errors
/// ECONNREFUSED or ENOENT when there is none any more.
pub fn connect_shim(dir: &Path) -> Result<Channel, Errno> {
    let (_open, addr) = address(dir)?;
    let fd = seqpacket()?;
    connect(fd.as_raw_fd(), &addr)?;
    Ok(Channel::from(fd))
}
