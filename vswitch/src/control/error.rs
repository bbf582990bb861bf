//! What the control side refuses, and how it says so.

use crate::control::net::{Class, NetError};
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
    /// It is not allowed.
    #[error("{0}")]
    Forbidden(String),
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// Something that should work did not.
    #[error("{0}")]
    Failed(String),
    /// It is longer than this many bytes.
    #[error("the request body is too large: {0} bytes are the most it may have")]
    TooLarge(usize),
    /// It did not come in time.
    #[error("the request body did not come in time")]
    TooSlow,
    /// The command could not be started; the status is what `run` exits with.
    #[error("{message}")]
    NotStarted {
        /// A sentence.
        message: String,
        /// Exit status.
        code: i32,
    },
}

impl From<NetError> for ControlError {
    fn from(e: NetError) -> Self {
        let text = e.to_string();
        match e.class() {
            Class::Invalid => Self::Invalid(text),
            Class::Forbidden => Self::Forbidden(text),
            Class::NotFound => Self::NotFound(text),
            Class::Conflict => Self::Conflict(text),
        }
    }
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
