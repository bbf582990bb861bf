//! The daemon's end of the line to a shim.

use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tokio::io::unix::AsyncFd;

use crate::sandbox::channel::{Channel, ChannelError};
use crate::sandbox::spec::{ShimEvent, ShimRequest};

/// A connection to the shim of one container.
pub struct ShimLink(AsyncFd<Channel>);

impl ShimLink {
    /// Connects to the shim whose container has this directory.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn connect(dir: &Path) -> Result<Self, ChannelError> {
        let channel = crate::sandbox::connect_shim(dir)?;
        fcntl(&channel, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let io =
            |e: std::io::Error| ChannelError::System(Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO)));
        crate::sys::asyncfd::readable(channel).map(Self).map_err(io)
    }

    /// Asks the shim for something; requests are few and small, so this does not wait.
    ///
    /// # Errors
    /// [`ChannelError::Closed`] when the shim is gone.
    pub fn send(&self, request: &ShimRequest) -> Result<(), ChannelError> {
        self.0.get_ref().send(request, &[])
    }

    /// The next thing the shim says.
    ///
    /// # Errors
    /// [`ChannelError::Closed`] when the shim is gone.
    pub async fn recv(&self) -> Result<(ShimEvent, Vec<OwnedFd>), ChannelError> {
        loop {
            let mut guard = self.0.readable().await.map_err(|_| ChannelError::Closed)?;
            match self.0.get_ref().recv() {
                Err(ChannelError::System(Errno::EAGAIN)) => guard.clear_ready(),
                other => return other,
            }
        }
    }
}
