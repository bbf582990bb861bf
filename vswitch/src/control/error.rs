//! What the control side refuses, and how it says so.

use crate::control::store::StoreError;

/// Why a request was not carried out. The text is for people.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// There is no such object.
    #[error("{0}")]
    NotFound(String),
    /// It contradicts the present state.
    #[error("{0}")]
    Conflict(String),
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// Something that should work did not.
    #[error("{0}")]
    Failed(String),
    /// The command could not be started; the status is what `run` exits with.
    #[error("{message}")]
    NotStarted {
        /// A sentence.
        message: String,
        /// Exit status.
        code: i32,
    },
}

impl From<StoreError> for ControlError {
    fn from(e: StoreError) -> Self {
        Self::Failed(e.to_string())
    }
}

impl From<std::io::Error> for ControlError {
    fn from(e: std::io::Error) -> Self {
        Self::Failed(e.to_string())
    }
}
