//! The switch as a library.
