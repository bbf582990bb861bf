//! A filter in the first line, run on the bytes after it.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| packet::fuzzing::filter(bytes));
