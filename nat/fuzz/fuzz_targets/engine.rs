//! Frames of containers and programs of the host, in any order.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nat::fuzzing::engine(bytes));
