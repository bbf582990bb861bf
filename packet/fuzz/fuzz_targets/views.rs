//! All views of the bytes, whatever they are.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| packet::fuzzing::views(bytes));
