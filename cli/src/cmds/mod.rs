//! The commands, a file a noun.

pub mod about;
pub mod attach;
pub mod bridge;
pub mod capture;
pub mod container;
pub mod daemon;
pub mod demo;
pub mod events;
pub mod exec;
mod feed;
pub mod inspect;
pub mod nat;
pub mod network;
pub mod port;
pub mod ps;
pub mod run;
pub mod stats;
