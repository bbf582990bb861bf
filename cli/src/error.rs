//! How a command fails: a sentence and an exit status.

/// What the user is told.
#[derive(Debug, thiserror::Error)]
#[error("{}", crate::format::escape(message))]
pub struct Failure {
    /// A sentence that says what to do.
    pub message: String,
    /// Exit status.
    pub code: i32,
    /// Where it comes from.
    pub cause: Cause,
}

/// Where a failure comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// This command.
    Own,
    /// The daemon refused, with this HTTP status.
    Refused(u16),
    /// No daemon listens: nothing was asked.
    NoDaemon,
    /// The daemon was asked and did not answer: it may have done it all the same.
    NoAnswer,
}

/// What every command returns: its exit status.
pub type Outcome = Result<i32, Failure>;

impl Failure {
    /// Status 1: it failed.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1, cause: Cause::Own }
    }

    /// Status 2: the command line makes no sense.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(message).with_code(2)
    }

    /// The same failure with another status.
    #[must_use]
    pub fn with_code(self, code: i32) -> Self {
        Self { code, ..self }
    }

    /// The same failure from elsewhere.
    #[must_use]
    pub fn because(self, cause: Cause) -> Self {
        Self { cause, ..self }
    }

    /// The daemon knows of no such thing.
    pub fn is_not_found(&self) -> bool {
        self.cause == Cause::Refused(404)
    }
}

impl From<vswitch::control::paths::PathError> for Failure {
    fn from(e: vswitch::control::paths::PathError) -> Self {
        Self::new(e.to_string())
    }
}

impl From<crate::format::TemplateError> for Failure {
    fn from(e: crate::format::TemplateError) -> Self {
        Self::new(e.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(e: std::io::Error) -> Self {
        Self::new(e.to_string())
    }
}
