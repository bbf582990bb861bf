//! The congestion control that sockets in the namespaces made here are born with.
//!
//! Choosing cubic for a socket once it is connected, as iperf3 does, is not enough where the machine's
//! default is bbr: bbr has then begun, and the socket stays paced (`sk_pacing_status` in the kernel's
//! `tcp_bbr.c` is never taken back). Whoever is further away is slowed by that more, so ratios would be wrong too.

use std::fs;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::error::{Doing as _, Result};

/// What sockets are born with; bbr can be chosen later without any such trace.
const BORN_WITH: &str = "cubic";
/// What a namespace may have as its default, for all of the machine; only the first namespace may say.
const ALLOWED: &str = "/proc/sys/net/ipv4/tcp_allowed_congestion_control";
/// The default of the calling thread's namespace.
const DEFAULT: &str = "/proc/sys/net/ipv4/tcp_congestion_control";

/// Namespaces keep the machine's default.
static KEPT: AtomicBool = AtomicBool::new(false);

/// From now on namespaces keep the machine's default, to see what a socket that is born with another and then given
/// cubic makes of it.
pub(crate) fn keep() {
    KEPT.store(true, Relaxed);
}

/// Lets namespaces choose cubic until it is dropped.
#[derive(Debug)]
pub(crate) struct Permission {
    /// What was allowed before, if that was changed.
    before: Option<String>,
}

impl Permission {
    /// Asks for it. Where it is refused the namespaces keep the machine's default.
    pub(crate) fn ask() -> Self {
        let allowed = fs::read_to_string(ALLOWED).unwrap_or_default();
        let before = with(&allowed, BORN_WITH)
            .and_then(|more| fs::write(ALLOWED, more).is_ok().then(|| allowed.trim().to_owned()));
        Self { before }
    }
}

impl Drop for Permission {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // At worst namespaces may go on choosing cubic.
            let _ = fs::write(ALLOWED, before);
        }
    }
}

/// Whether namespaces have cubic as their default.
pub(crate) fn is_cubic() -> bool {
    !KEPT.load(Relaxed)
        && fs::read_to_string(ALLOWED).is_ok_and(|allowed| with(&allowed, BORN_WITH).is_none())
}

/// The list with one name more, unless it is there.
fn with(allowed: &str, name: &str) -> Option<String> {
    (!allowed.split_whitespace().any(|known| known == name)).then(|| format!("{} {name}", allowed.trim()))
}

/// Makes cubic the default of the calling thread's namespace, unless it is to be [kept](keep).
pub(crate) fn set_default() -> Result<()> {
    if KEPT.load(Relaxed) {
        return Ok(());
    }
    match fs::write(DEFAULT, BORN_WITH) {
        Err(error) if is_refusal(&error) => Ok(()),
        done => done.doing(|| format!("write to {DEFAULT}")),
    }
}

/// The kernel lacks cubic, or does not let the namespace have it.
fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::InvalidInput)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_added_to_the_list_once() {
        assert_eq!(with("reno bbr\n", "cubic").as_deref(), Some("reno bbr cubic"));
        assert_eq!(with("reno cubic\n", "cubic"), None);
    }
}
