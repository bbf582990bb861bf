//! What is wrong with a filter expression, and where.

/// Why an expression is no filter.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("filter, at \"{word}\" (character {}): {problem}", .offset + 1)]
pub struct FilterError {
    /// Bytes before the word.
    pub offset: usize,
    /// The word.
    pub word: String,
    /// What is wrong with it.
    #[source]
    pub problem: Problem,
}

/// What is wrong with a word, and what to write instead.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Problem {
    /// A part of pcap-filter(7) that makes no sense here or is not there.
    #[error("not supported: {0}")]
    Unsupported(&'static str),
}

impl FilterError {
    pub(super) fn at(offset: usize, word: &str, problem: Problem) -> Self {
        Self { offset, word: word.to_owned(), problem }
    }
}
