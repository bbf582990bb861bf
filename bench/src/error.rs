//! What can go wrong, each as a sentence for the person at the terminal.

use std::io;

/// An error of the benchmark itself or of a peer it runs.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A whole sentence.
    #[error("{0}")]
    Sentence(String),
    /// A system call that failed.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was attempted, as it follows "cannot".
        what: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A command that ended with another status than 0.
    #[error("`{command}` failed ({status}): {said}")]
    Command {
        /// The command line.
        command: String,
        /// How it ended.
        status: String,
        /// The last it wrote to standard error (or output).
        said: String,
    },
    /// Something that did not happen in time.
    #[error("waited {seconds} s in vain for {what}")]
    Timeout {
        /// What was awaited.
        what: String,
        /// How long.
        seconds: u64,
    },
}

/// Results of the benchmark.
pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error that is a whole sentence.
    pub(crate) fn sentence(text: impl Into<String>) -> Self {
        Self::Sentence(text.into())
    }
}

/// Says what was attempted when a system call failed.
pub(crate) trait Doing<T> {
    /// Adds what was attempted, as it follows "cannot".
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Doing<T> for std::result::Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Io { what: what(), source: source.into() })
    }
}
