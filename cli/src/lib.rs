//! The `vswitch` command.

