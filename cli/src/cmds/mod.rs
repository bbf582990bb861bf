//! The commands, a file a noun.

pub mod about;
pub mod attach;
pub mod bridge;
pub mod capture;
pub mod container;
pub mod daemon;
pub mod demo;
pub mod exec;
pub mod run;
pub mod stats;
