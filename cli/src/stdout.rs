//! Standard output, whose reader may leave early.

use std::io::{ErrorKind, Write};

use crate::error::Failure;

/// Prints. `false` when nobody reads any more, as behind `| head`.
///
/// # Errors
/// When it cannot be written, as on a full disk.
pub fn put(text: &str) -> Result<bool, Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(e) => Err(Failure::new(format!("standard output cannot be written: {e}"))),
    }
}
