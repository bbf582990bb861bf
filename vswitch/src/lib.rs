//! The switch as a library.

pub mod dataplane;
pub mod sys;
