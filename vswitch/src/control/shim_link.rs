//! The daemon's end of the line to a shim.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use parking_lot::Mutex;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

use super::error::ControlError;
use crate::sandbox::channel::{Channel, ChannelError};
use crate::sandbox::spec::{ShimEvent, ShimRequest};

/// What a shim said, with the descriptors that came along.
pub type Said = (ShimEvent, Vec<OwnedFd>);

#[derive(Default)]
struct Asking {
    waiting: Option<oneshot::Sender<Said>>,
    /// Answers that nobody waits for any more.
    late: usize,
    /// Nobody listens to the shim any more.
    closed: bool,
}

/// A connection to the shim of one container.
pub struct ShimLink {
    channel: AsyncFd<Channel>,
    /// Who waits for the next answer.
    asking: Mutex<Asking>,
}

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
        let channel = crate::sys::asyncfd::readable(channel).map_err(io)?;
        Ok(Self { channel, asking: Mutex::default() })
    }

    /// Asks the shim for something; requests are few and small, so this does not wait.
    ///
    /// # Errors
    /// [`ChannelError::Closed`] when the shim is gone.
    pub fn send(&self, request: &ShimRequest) -> Result<(), ChannelError> {
        self.channel.get_ref().send(request, &[])
    }

    /// The next thing the shim says.
    ///
    /// # Errors
    /// [`ChannelError::Closed`] when the shim is gone.
    pub async fn recv(&self) -> Result<Said, ChannelError> {
        loop {
            let mut guard = self.channel.readable().await.map_err(|_| ChannelError::Closed)?;
            match self.channel.get_ref().recv() {
                Err(ChannelError::System(Errno::EAGAIN)) => guard.clear_ready(),
                other => return other,
            }
        }
    }

    /// Asks for something and waits for the answer, which whoever listens to the shim passes on with
    /// [`ShimLink::answer`]. One at a time.
    ///
    /// # Errors
    /// What the shim says, or that it says nothing.
    pub async fn ask(&self, request: &ShimRequest, patience: Duration) -> Result<Said, ControlError> {
        let (sender, answer) = oneshot::channel();
        let gone = || ControlError::Failed("the container's shim is gone".into());
        {
            let mut asking = self.asking.lock();
            if asking.closed {
                return Err(gone());
            }
            asking.waiting = Some(sender);
        }
        self.send(request).map_err(|_| gone())?;
        match tokio::time::timeout(patience, answer).await {
            Ok(Ok((ShimEvent::Failed { message, .. }, _))) => Err(ControlError::Failed(message)),
            Ok(Ok(said)) => Ok(said),
            Ok(Err(_)) => Err(gone()),
            Err(_) => {
                let mut asking = self.asking.lock();
                asking.late += usize::from(asking.waiting.take().is_some());
                Err(ControlError::Failed("the container's shim does not answer".into()))
            }
        }
    }

    /// Asks for something whose answer nobody waits for.
    ///
    /// # Errors
    /// [`ChannelError::Closed`] when the shim is gone.
    pub fn tell(&self, request: &ShimRequest) -> Result<(), ChannelError> {
        self.asking.lock().late += 1;
        self.send(request)
    }

    /// Answers are under way that nobody waits for.
    pub fn owes(&self) -> bool {
        self.asking.lock().late > 0
    }

    /// Passes an answer on. Nobody's answer is dropped, its descriptors with it.
    pub fn answer(&self, said: Said) {
        let mut asking = self.asking.lock();
        if let Some(late) = asking.late.checked_sub(1) {
            asking.late = late;
        } else if let Some(waiting) = asking.waiting.take() {
            let _ = waiting.send(said);
        }
    }

    /// There will be no answer any more: whoever waits for one, or asks from now on, learns so.
    pub fn hang_up(&self) {
        let mut asking = self.asking.lock();
        asking.closed = true;
        asking.waiting = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn after_the_line_is_hung_up_nobody_waits_for_an_answer() {
        let (channel, _shim) = Channel::pair().unwrap();
        let channel = crate::sys::asyncfd::readable(channel).unwrap();
        let link = ShimLink { channel, asking: Mutex::default() };
        link.hang_up();
        let refused = link.ask(&ShimRequest::Hello, Duration::MAX).await;
        assert!(matches!(refused, Err(ControlError::Failed(_))));
    }
}
