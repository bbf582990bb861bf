//! A frame as a TAP gives it, in words.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| packet::fuzzing::describe(bytes));
