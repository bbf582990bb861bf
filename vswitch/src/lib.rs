//! The switch as a library.

pub mod control;
pub mod dataplane;
pub mod gateway;
pub mod names;
pub mod outside;
pub mod overlay;
pub mod sandbox;
pub mod sys;
