//! The `vswitch` command.

pub mod format;
