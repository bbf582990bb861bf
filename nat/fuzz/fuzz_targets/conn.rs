//! One TCP connection against any container.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nat::fuzzing::conn(bytes));
