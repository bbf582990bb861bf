//! How the end of a child is heard of.
#![allow(unsafe_code)]

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, signal};

/// Undoes a SIGCHLD that is ignored, which a program inherits through exec(2): without it the
/// kernel buries children by itself and nobody learns how they ended (wait(2)).
///
/// # Errors
/// What sigaction(2) says.
pub fn notice() -> Result<(), Errno> {
    // SAFETY: the default disposition runs no code.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }.map(drop)
}
