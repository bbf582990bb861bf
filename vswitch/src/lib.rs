//! The switch as a library.

pub mod control;
pub mod dataplane;
pub mod names;
pub mod sandbox;
pub mod sys;
